"""Choosing outputs from the traces of a beam search by another ranking, without the model."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from s2s.data.files import STANDARD
from s2s.data.jsonl import read_records
from s2s.decoding.ranking import Ranking
from s2s.decoding.trace import Trace
from s2s.durable import refuse_inputs
from s2s.generation.output import PipeOutput, Window, refuse_existing
from s2s.generation.output_formats import output_format, rows_file, to_lines
from s2s.generation.window_work import output_record
from s2s.tasks.base import GenerationTask

_WINDOW = 1024
"""Outputs that are written together."""


def rerank_file(
    task: GenerationTask, trace: str | Path, output: str | Path, ranking: Ranking, count: int, overwrite: bool
) -> int:
    """Write the outputs that `ranking` chooses from a file of traces, in the formats that decoding writes.

    Args:
        trace: The JSON-lines file that decoding wrote.
        output: A file, or `-`.
        count: Hypotheses of each sentence.

    Returns:
        How many lines were written.

    Raises:
        InputError: a file cannot be read or written, or a line holds no trace.
    """
    if str(output) != STANDARD and not overwrite:
        refuse_existing({"output": Path(output)})
    refuse_inputs(output, [trace])
    format = output_format(str(output), is_text=False)
    rows = str(rows_file(Path(output))) if format == "parquet" else None
    target, lines = PipeOutput({"output": str(output), "rows": rows}), 0
    chosen = (_choose(task, record, where, ranking, count) for where, record in read_records(trace))
    while window := list(itertools.islice(chosen, _WINDOW)):
        made = to_lines(window, format, count > 1, with_names=not lines)
        target.write(lines, Window({"rows" if rows else "output": made}, {}))
        lines += len(window)
    target.close(lines)
    return lines


def _choose(task: GenerationTask, record: dict[str, Any], where: str, ranking: Ranking, count: int) -> dict[str, Any]:
    if "error" in record:
        return record
    frames, source = Trace.from_record(record, where), str(record.get("source", ""))
    return output_record(task, record.get("id"), frames.best(ranking, count)[0], source)
