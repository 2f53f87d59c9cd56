"""The start of the command line: `unilatent`, and `python -m unilatent`."""

import atexit
import gc
import sys

from unilatent import siblings

siblings.install()  # here too: a folder `unilatent` on the path keeps an editable installation from reading __init__


def main() -> None:
    """Run the command line; one line if our own files are not what they were when they were installed."""
    atexit.register(gc.freeze)  # else Python's end searches all objects of torch for cycles, half a second for nothing
    try:
        from unilatent.cli import main as run
    except Exception:
        if line := siblings.clash():
            sys.exit(f"error: {line}")
        raise
    run()


if __name__ == "__main__":
    siblings.leave_current_folder()
    main()
