"""Speech by next-token diffusion: σ-VAE audio tokenizer and LatentLM (to come; see CHANGELOG.md)."""
