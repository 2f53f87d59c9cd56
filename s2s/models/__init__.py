"""Networks, and the maps from public checkpoints to their weights."""
