"""The front door of the toolkit: its command line. It stands above the other packages and holds no algorithm."""
