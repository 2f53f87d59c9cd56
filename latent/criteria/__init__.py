"""What speech models minimize."""
