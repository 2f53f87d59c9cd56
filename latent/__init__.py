"""Speech: the σ-VAE audio tokenizer, and LatentLM, which generates its latents by next-token diffusion."""
