"""The training loop, its processes, optimizer and logs."""
