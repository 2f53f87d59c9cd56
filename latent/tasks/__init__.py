"""Problems of speech: recordings in, batches out."""
