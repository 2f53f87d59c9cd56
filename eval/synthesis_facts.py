"""What synthesis noted beside its audio: whether the model ended each file, and how long it took to make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.metric import Metric, mean, ratio
from s2s.data.jsonl import read_records
from s2s.errors import InputError
from s2s.json_files import describe

MANIFEST = "manifest.jsonl"
NEAR = 0.3
"""Share of its recording's length by which an utterance may be longer or shorter and still counts as near."""


@dataclass(frozen=True)
class Facts:
    """What is known of one file.

    Args:
        ended: Whether the model ended it; False: it was cut at the maximum length.
        work_seconds: Time to make it, its share of the batch; None: unknown.
    """

    ended: bool
    work_seconds: float | None


def read_facts(folder: Path) -> dict[str, Facts]:
    """Facts by id from the manifest in a folder of audio; empty without a manifest or without these facts in it."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    return {
        str(record.get("id")): Facts(_flag(record, where), _seconds(record, where))
        for where, record in read_records(path)
        if "ended" in record
    }


def ending_metrics(
    facts: Mapping[str, Facts], ids: Sequence[str], lengths: Sequence[float], near: Sequence[bool] | None = None
) -> list[Metric]:
    """Whether speech ended where it should, and the real-time factor, as far as they are known.

    Args:
        facts: From `read_facts`; an id that is missing counts as one that did not end.
        ids: Ids of the utterances.
        lengths: Seconds of their audio, 0 where there is none.
        near: Whether their lengths are near those of their recordings (`NEAR`); None without recordings.
    """
    if not facts:
        return []
    ended = [one in facts and facts[one].ended for one in ids]
    stopped = "% of utterances that the model ended; the others were cut"
    metrics = [mean("natural stop %", list(map(float, ended)), stopped)]
    if near is not None:
        right = [float(one and close) for one, close in zip(ended, near, strict=True)]
        about = f"% of utterances that the model ended and that are at most {NEAR:.0%} longer or shorter than recorded"
        metrics.append(mean("end accuracy %", right, about))
    work = [facts[one].work_seconds if one in facts else 0.0 for one in ids]
    known = [seconds for seconds in work if seconds is not None]
    if len(known) == len(work):
        metrics.append(ratio("real-time factor", known, lengths, "seconds of work for a second of audio", scale=1.0))
    return metrics


def _flag(record: Mapping[str, Any], where: str) -> bool:
    if not isinstance(record["ended"], bool):
        raise InputError(f"{where}: 'ended' must be true or false, found {describe(record['ended'])}")
    return bool(record["ended"])


def _seconds(record: Mapping[str, Any], where: str) -> float | None:
    value = record.get("work_seconds")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise InputError(f"{where}: 'work_seconds' must be a number from 0, found {describe(value)}")
    return float(value)
