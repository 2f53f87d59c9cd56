"""Sequence-to-sequence generation with pretrained bidirectional encoders, and the core that `latent` shares."""
