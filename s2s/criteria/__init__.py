"""What training minimizes, as sums and weights."""
