"""Finding ids that occur more than once."""

from __future__ import annotations

from array import array

import numpy as np


class IdLines:
    """The lines on which ids stand, 16 bytes each."""

    def __init__(self) -> None:
        self._hashes, self._lines = array("q"), array("q")

    def add(self, id: str, line: int) -> None:
        """Note the id of a line; lines come in rising order."""
        self._hashes.append(hash(id))
        self._lines.append(line)

    def repeated(self) -> tuple[int, int, int] | None:
        """How many lines have the id of an earlier line, and for the first of them: the earlier line, its own."""
        hashes, lines = np.frombuffer(self._hashes, np.int64), np.frombuffer(self._lines, np.int64)
        order = np.argsort(hashes, kind="stable")
        again = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        if not len(again):
            return None
        first = again[order[again + 1].argmin()]
        return len(again), int(lines[order[first]]), int(lines[order[first + 1]])
