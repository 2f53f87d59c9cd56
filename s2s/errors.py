"""The errors that a user can cause; the command line prints them as one line, without a traceback."""

from __future__ import annotations

import reprlib

_LONGEST = 300


class InputError(ValueError):
    """A file, a record or an argument is not as expected.

    The message is one line: where (file, line, field or option), what is expected, what was found. Whatever it quotes,
    it stays one line of printable characters; a long one loses its middle.
    """

    def __init__(self, message: str) -> None:
        short = _shorten(message)
        super().__init__(_shorten("".join(char if char.isprintable() else repr(char)[1:-1] for char in short)))


class ConfigError(InputError):
    """A configuration names something unknown, or gives a value of the wrong kind; the message has the key's path."""


class UnreachableError(InputError):
    """What a record asks of its output cannot be had, which only the search could find out."""


def _shorten(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most * 3 // 5]} ... {text[5 - most * 2 // 5 :]}"


def reason_of(error: BaseException) -> str:
    """The first line of what a library says about its error; the name of its class if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the machine or of a GPU was not enough."""
    named = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return named or "can't allocate memory" in str(error)


class _Shown(reprlib.Repr):
    """`repr` with bounds on depth, number and length."""

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() <= 128 else f"an integer of {x.bit_length()} bits"


_shown = _Shown()
_shown.maxlevel, _shown.maxstring, _shown.maxother = 3, 60, 60


def shown(value: object) -> str:
    """A value as text for messages: its beginning if it is long, its outer levels if it is deep or contains itself."""
    return _shorten(_shown.repr(value), 80)
