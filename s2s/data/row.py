"""One record of an input, before it is parsed, so that a bad one does not end the reading of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One record of an input.

    Args:
        number: Number of its line in a file of lines, of its row in a table, both from 1; column names do not count.
        where: Where it is, for messages.
        record: Gives its fields; InputError if it is bad.
    """

    number: int
    where: str
    record: Callable[[], dict[str, Any]]
