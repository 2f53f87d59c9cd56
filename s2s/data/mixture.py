"""UniLM v1's four ways to predict masked tokens in place, as step codes.

[CLS] a [M] [SEP] c [M] [SEP], with the rows of the segment table below (arXiv 1905.03197, and the code of UniLM v1):

    bidirectional     0   0  0    0   0  0    0         everything sees everything             segments 0 and 1
    left_to_right     1   2  3    4   5  6    7         each sees itself and what is before     segment 2
    right_to_left     7   6  5    4   3  2    1         each sees itself and what is after      segment 3
    seq2seq           0   0  0    0   1  2    3         the second segment sees the first, and
                                                        itself from left to right               segments 4 and 5
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from s2s.data.batch import BatchBuilder, Ids, TokenBatch
from s2s.data.masking import MaskedText

Objective = Literal["bidirectional", "seq2seq", "left_to_right", "right_to_left"]

NUM_SEGMENTS = 6
"""Rows of the segment table that the four objectives use."""
_FIRST_SEGMENT: dict[Objective, int] = {"bidirectional": 0, "left_to_right": 2, "right_to_left": 3, "seq2seq": 4}


def pack_mixture(examples: Sequence[MaskedText], objective: Objective, pad_id: int) -> TokenBatch:
    """A batch whose masked tokens are all predicted under one objective.

    A text without a second segment is all source under `seq2seq`, and so bidirectional.
    """
    steps = [_steps(example, objective) for example in examples]
    own = [int((codes == 0).sum()) for codes in steps]
    context = max(own)
    width = max(len(codes) - first for codes, first in zip(steps, own, strict=True))
    builder = BatchBuilder(len(examples), context, width, pad_id)
    for row, (example, codes, first) in enumerate(zip(examples, steps, own, strict=True)):
        place = np.arange(len(codes))
        columns = np.where(place < first, place, place - first + context)
        segments = _FIRST_SEGMENT[objective] + example.segments * (objective in ("bidirectional", "seq2seq"))
        builder.fill(row, columns, tokens=example.tokens, positions=place, segments=segments, steps=codes)
        builder.predict(row, columns[example.masked], example.labels)
    return builder.build(TokenBatch, [example.id for example in examples])


def _steps(example: MaskedText, objective: Objective) -> Ids:
    length = len(example.tokens)
    if objective == "bidirectional":
        return np.zeros(length, np.int64)
    if objective == "seq2seq":
        return np.cumsum(example.segments)
    rising = np.arange(1, length + 1)
    return rising if objective == "left_to_right" else rising[::-1]
