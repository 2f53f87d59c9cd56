"""The corpus of one process, from what the tasks of a job array have tokenized."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from data_prep.pretrain_text.preparation import WORK, Preparation, count_runs, write_shards
from data_prep.pretrain_text.settings import Settings
from data_prep.workers import available_cores
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError
from s2s.generation.shard_folders import ShardFolder, link_file


def join_preparations(output: Path, tasks: Sequence[ShardFolder], overwrite: bool) -> str:
    """Merge the runs of all tasks, and write shards, tokenizer, statistics and data card; returns a summary.

    The same call continues one that was killed.

    Args:
        output: The folder of the corpus.
        tasks: See `prepare`.
        overwrite: Replace a corpus that is there.

    Raises:
        InputError: the tokenizer is not that of the tasks, there is no text, or the folder holds something else.
    """
    plan = tasks[0].job["plan"]
    settings = Settings(**{field.name: _as_given(plan[field.name]) for field in fields(Settings)})
    job = Preparation(output, settings, Tokenizer.load(settings.tokenizer))
    if job.header.fingerprint != plan["vocabulary"]:
        raise InputError(f"{settings.tokenizer}: is not the tokenizer that the tasks used; run them again")
    with job.claimed():
        if overwrite:
            _discard(job)
        if not job.begin(plan):
            return f"{len(tasks)} shards, {job.summary()} (nothing was left to do)"
        for run in (run for task in tasks for run in sorted((task.path / WORK).glob("*.run"))):
            if not (job.work / run.name).exists():
                link_file(run, job.work / run.name)
        if not job.runs_file.exists():
            count_runs(job, tasks[0].facts["sources"])
        write_shards(job, available_cores())
        job.finish()
    return f"{len(tasks)} shards, {job.summary()}"


def _as_given(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _discard(job: Preparation) -> None:
    shutil.rmtree(job.work, ignore_errors=True)
    for path in (job.stats_file, *job.folder.glob("*.parquet")):
        path.unlink(missing_ok=True)
