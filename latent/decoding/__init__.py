"""Generation: latents frame by frame, and audio from them as they come."""
