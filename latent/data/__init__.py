"""What passes from speech tasks to models."""
