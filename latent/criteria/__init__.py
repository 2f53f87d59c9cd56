"""What speech models minimise."""
