"""Pseudo-labels: what a teacher writes for the sources of a corpus, beside its own targets, for a student to learn.

Source: sequence-level distillation (arXiv 1606.07947). PLATE (arXiv 2106.03441) gives the teacher a higher attention
temperature for it, `decoder.attention_temperature`, and the student none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from s2s.data.fields import PSEUDO_TARGET
from s2s.data.files import STANDARD
from s2s.durable import fingerprint
from s2s.errors import InputError
from s2s.generation.decode import DecodeOptions, Summary, decode_file
from s2s.generation.generator import Generator
from s2s.generation.output_formats import output_format
from s2s.generation.window_work import Join
from s2s.json_files import dump_json
from s2s.ranks import Ranks

_HASH_LENGTH = 16


def label_file(
    teacher: Generator, source: str | Path, output: str | Path, options: DecodeOptions, ranks: Ranks
) -> Summary:
    """Write the records of an input again, each with `tgt_pseudo`, the best that the teacher writes for its source.

    A record also gets its `id`, if it has none, the `score` of what the teacher wrote, and `teacher`, the beginning of
    the SHA-256 of its weights. OUTPUT.state.json records the whole hash and all settings. Records that the teacher
    cannot read, or writes nothing for, are in OUTPUT.errors.jsonl alone. Otherwise as `decode_file`: several processes
    share the work, and the same call continues a job that was killed.

    Raises:
        InputError: as for `decode_file`; or the output is not a file of JSON lines.
    """
    check_labels(output)
    labeler, join = labeling(teacher)
    return decode_file(labeler, source, output, options, ranks, join=join)


def check_labels(output: str | Path) -> None:
    """Raise InputError for an output that cannot hold labels."""
    if str(output) == STANDARD or output_format(str(output), is_text=False) != "jsonl":
        raise InputError(f"{output}: pseudo-labels are JSON lines in a file; give a name in .jsonl")


def labeling(teacher: Generator) -> tuple[Generator, Join]:
    """The generator of a job that labels, and what makes its records."""
    weights = Path(teacher.settings["model"])
    digest = str(fingerprint(weights)["sha256"])[:_HASH_LENGTH]
    labeler = replace(teacher, settings={**teacher.settings, "adds": PSEUDO_TARGET})
    return labeler, partial(_labeled, digest)


def _labeled(teacher: str, record: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    if not made["tgt"].strip():
        raise InputError("the teacher writes nothing for it")
    for name, value in record.items():
        try:
            dump_json(value)
        except TypeError as error:
            found = type(value).__name__
            raise InputError(f"{name!r} holds a {found}, which JSON lines cannot hold; leave it out") from error
    labels = {"id": made["id"], PSEUDO_TARGET: made["tgt"], "score": made["score"], "teacher": teacher}
    return {**record, **labels}
