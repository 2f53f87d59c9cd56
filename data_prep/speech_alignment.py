"""Manifests with alignments: when each unit of a text sounds in its recording."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_prep.aligners.aligner import Aligner
from latent.data.manifest import Alignment, Utterance, write_alignment
from s2s.data.jsonl import read_records
from s2s.durable import claimed, write_whole

_SHOWN = 3
"""Ids that the summary names for each reason."""


def align_manifest(
    manifest: str | Path, utterances: Sequence[Utterance], output: str | Path, aligner: Aligner, processes: int
) -> str:
    """Copy a manifest and add alignments; returns a summary, with the recordings that got none and why.

    Args:
        manifest: See `latent.data.manifest`; its former alignments are left out.
        utterances: Those of the manifest.
        output: The new manifest; relative paths of audio become relative to its folder.
        processes: Number of worker processes.

    Raises:
        InputError: the output cannot be written, a package is not installed, or there is nothing to learn from.
    """
    begin, output = time.monotonic(), Path(output)
    with claimed(output):  # an output that cannot be written is reported before the work begins
        found = aligner.align(utterances, processes)
        alignments = {name: one for name, one in found.items() if not isinstance(one, str)}
        write_whole(output, "".join(_lines(manifest, output, utterances, alignments)).encode())
    skipped: dict[str, list[str]] = {}
    for name, reason in found.items():
        if isinstance(reason, str):
            skipped.setdefault(reason, []).append(name)
    left_out = "".join(f"; {len(names):,} {reason} ({_some(names)})" for reason, names in sorted(skipped.items()))
    seconds = time.monotonic() - begin
    return f"{output}: {len(alignments):,} of {len(utterances):,} recordings aligned in {seconds:.0f} s{left_out}"


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], "..."] if len(names) > _SHOWN else names)


def _lines(
    manifest: str | Path, output: Path, utterances: Sequence[Utterance], alignments: Mapping[str, Alignment]
) -> Iterator[str]:
    for utterance, (_, record) in zip(utterances, read_records(manifest), strict=True):
        record.pop("alignment", None)
        if not Path(record["audio"]).is_absolute():
            record["audio"] = os.path.relpath(utterance.audio.resolve(), output.parent.resolve())
        if utterance.id in alignments:
            record["alignment"] = write_alignment(alignments[utterance.id])
        yield json.dumps(record, ensure_ascii=False) + "\n"
