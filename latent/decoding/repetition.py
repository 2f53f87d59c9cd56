"""Models that repeat themselves: where an output has begun to go in circles."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_PERIOD = 64


def repeated_tail(tokens: Sequence[int], times: int, least: int) -> int:
    """The period with which the end of some tokens repeats, 0 if it does not.

    Args:
        tokens: Written so far.
        times: The period must occur so often, one after the other.
        least: What repeats must be so many tokens long in all, so that a short word may be said often.
    """
    for period in range(1, min(LONGEST_PERIOD, len(tokens) // times) + 1):
        length = max(times * period, least)
        if length <= len(tokens):
            tail = tokens[len(tokens) - length :]
            if tail[period:] == tail[:-period]:
                return period
    return 0
