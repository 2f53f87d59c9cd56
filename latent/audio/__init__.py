"""Audio files and what is computed from samples. Samples are float32 in [-1, 1], mono, shape `(L,)`, unless stated."""
