"""Whether the voice goes up at the end of questions: the pitch of their ends beside that of other sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.metric import Array, Metric, ratio
from eval.pitch import END_SECONDS

_MARKS = ("?", "？", "؟", "\u037e")  # the last is Greek
_AROUND = " \"'”’»)]"
_WHAT = f"median pitch of the last {END_SECONDS:g} s, in semitones above that of the sentence; YIN"


def is_question(text: str) -> bool:
    """Whether a text ends with a question mark, of any script, perhaps in quotes."""
    return text.rstrip(_AROUND).endswith(_MARKS)


def intonation(ends: Sequence[float], questions: Sequence[bool]) -> list[Metric]:
    """Ends of questions, of other sentences, and the difference, in semitones.

    Args:
        ends: From `eval.pitch.ending`; NaN does not count.
        questions: Which sentences are questions.
    """
    asked, known = np.asarray(questions), ~np.isnan(ends)
    values = np.where(known, ends, 0.0)
    parts = [(values * chosen, known & chosen) for chosen in (asked, ~asked)]
    names = ("end of questions, semitones", "end of others, semitones")
    metrics = [
        ratio(name, *part, _WHAT, 1.0, "no such sentence has a pitch at its end")
        for name, part in zip(names, parts, strict=True)
    ]
    rows = np.concatenate([metric.rows for metric in metrics], axis=1)
    return [*metrics, Metric("questions above others, semitones", rows, _difference, _WHAT, metrics[0].note)]


def _difference(sums: Array) -> Array:
    counts = np.where(sums[:, 1::2] > 0, sums[:, 1::2], np.nan)
    means = sums[:, ::2] / counts
    return np.asarray(means[:, 0] - means[:, 1])
