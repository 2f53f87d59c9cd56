"""One module for each suite of `run.py`: `add_options(parser)` and `measure(args)`, which yields its tables."""
