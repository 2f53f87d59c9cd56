"""Choosing outputs from the traces of a beam search by another ranking, without the model."""

from __future__ import annotations

from pathlib import Path

from s2s.data.files import STANDARD
from s2s.data.jsonl import read_records
from s2s.decoding.ranking import Ranking
from s2s.decoding.trace import Trace
from s2s.durable import refuse_inputs
from s2s.generation.decode import output_record
from s2s.generation.output import PipeOutput, Window, refuse_existing
from s2s.json_files import dump_json
from s2s.tasks.base import GenerationTask


def rerank_file(
    task: GenerationTask, trace: str | Path, output: str | Path, ranking: Ranking, count: int, overwrite: bool
) -> int:
    """Write the outputs that `ranking` chooses from a file of traces, in the form that decoding writes.

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
    target = PipeOutput({"output": str(output)})
    lines = 0
    for where, record in read_records(trace):
        if "error" in record:
            made = record
        else:
            frames = Trace.from_record(record, where)
            source = str(record.get("source", ""))
            made = output_record(task, record.get("id"), frames.best(ranking, count)[0], source)
        target.write(lines, Window({"output": [dump_json(made)]}, {}))
        lines += 1
    target.close(lines)
    return lines
