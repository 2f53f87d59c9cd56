"""What training minimises, as sums and weights."""
