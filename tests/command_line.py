"""The command line in this process, as a user would call it."""

from __future__ import annotations

import sys

import pytest

from unilatent.cli import main


def unilatent(*arguments: object) -> None:
    """Run a verb; SystemExit if it fails."""
    before = sys.argv
    sys.argv = ["unilatent", *map(str, arguments)]
    try:
        main()
    except SystemExit as ending:
        if ending.code:
            raise
    finally:
        sys.argv = before


def error_of(*arguments: object) -> str:
    """The line that a verb prints before it fails."""
    with pytest.raises(SystemExit) as ending:
        unilatent(*arguments)
    message = ending.value.code
    assert isinstance(message, str), f"ended with {message!r}"
    assert message.startswith("error: ")
    assert "\n" not in message
    return message
