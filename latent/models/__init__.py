"""Speech models: σ-VAE audio tokenizer and LatentLM."""
