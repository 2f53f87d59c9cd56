"""Building blocks of the speech models: causal convolutions, Transformer blocks, diffusion head. No configuration."""
