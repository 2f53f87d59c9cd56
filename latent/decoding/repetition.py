"""Models that repeat themselves: where an output has begun to go in circles."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_PERIOD = 64


def loop_length(tokens: Sequence[int], times: int, least: int) -> int:
    """How many tokens at the end only say again what is before them; 0 if these do not go in circles.

    Args:
        tokens: Written so far.
        times: The same tokens must occur so often, one after the other.
        least: They must be so many in all, so that a short word may be said often.
    """
    for period in range(1, min(LONGEST_PERIOD, len(tokens) // times) + 1):
        length = max(times * period, least)
        if length <= len(tokens):
            tail = tokens[len(tokens) - length :]
            if tail[period:] == tail[:-period]:
                return length - period
    return 0
