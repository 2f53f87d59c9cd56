"""Raw text to a folder of shards, by many processes, in bounded memory; a killed preparation is continued.

    FOLDER/.preparation/plan.json         what is being prepared: settings, inputs, tokenizer
    FOLDER/.preparation/000012.run        part 12 of the text, tokenized and sorted (`sorted_runs`)
    FOLDER/.preparation/runs.json         all parts are complete; their number, and what was read
    FOLDER/.preparation/train-...json     the shard of that name is complete; what it holds
    FOLDER/stats.json                     all shards are complete

Order and split of the examples follow from their content and the seed alone, so the shards do not depend on the number
of processes, the order of the inputs, or kills.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from data_prep.pretrain_text.card import card
from data_prep.pretrain_text.exclusion import Exclusion
from data_prep.pretrain_text.raw_text import Raw, files_of, read_raw
from data_prep.pretrain_text.settings import Settings
from data_prep.pretrain_text.sorted_runs import SPLITS, merge, run_facts, write_run
from data_prep.pretrain_text.tokenizing import SPECIAL_SLOTS, Tokenizing
from data_prep.workers import share
from s2s.data.shards import Header, fingerprint, shard_name, write_shard
from s2s.data.tokenizer import Tokenizer
from s2s.durable import claimed, refuse_other_job, whole_file, write_whole, writing
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from s2s.generation.shard_folders import NOTE, ShardFolder
from s2s.json_files import dump_json, read_object

WORK = ".preparation"
TOKENIZED = "tokenized text"
"""What the folder of a task holds."""
_PART = 1 << 22  # bytes of raw text in one part, roughly: what a process holds at a time


def prepare(folder: Path, settings: Settings, processes: int, task: Shard | None = None) -> str:
    """Write the shards, tokenizer, statistics and data card of a corpus to `folder`; returns a summary.

    With a `task`, tokenize a part of the text alone, into a folder of its own, which `join_preparations` reads.

    Raises:
        InputError: an input is missing or bad, the tokenizer cannot be used, or the folder holds something else.
    """
    if settings.max_length <= SPECIAL_SLOTS + settings.min_tokens:
        raise InputError(
            f"--max-length must be more than --min-tokens and the {SPECIAL_SLOTS} special tokens "
            f"({SPECIAL_SLOTS + settings.min_tokens}), got {settings.max_length}"
        )
    files = {name: files_of(name) for name in settings.inputs}
    tokenizer = Tokenizer.load(settings.tokenizer)
    job = Preparation(folder if task is None else task.path(folder), settings, tokenizer)
    plan = _plan(settings, files, job.header.fingerprint)
    with job.claimed():
        if not job.begin(plan):
            return f"{job.summary()} (nothing was left to do)"
        if task is not None:
            (job.folder / NOTE).unlink(missing_ok=True)
            sources = _tokenize(job, files, processes, task)
            ShardFolder(job.folder, TOKENIZED, {"plan": plan}, {"sources": sources}).finish()
            mine = sum(map(task.takes, range(len(sources))))
            return f"{job.folder}: {mine} of {len(sources)} parts of the text tokenized"
        if not job.runs_file.exists():
            count_runs(job, _tokenize(job, files, processes))
        write_shards(job, processes)
        job.finish()
    return job.summary()


class _Part(NamedTuple):
    number: int
    source: str
    documents: list[Raw]


class _ShardTask(NamedTuple):
    split: str
    number: int
    shards: int


@dataclass(frozen=True)
class Preparation:
    """One preparation and its files."""

    folder: Path
    settings: Settings
    tokenizer: Tokenizer

    @property
    def work(self) -> Path:
        return self.folder / WORK

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the folder for a block that writes it."""
        with claimed(self.folder, self.folder / f"{WORK}.lock"), writing(self.folder):
            yield

    @property
    def runs_file(self) -> Path:
        return self.work / "runs.json"

    @property
    def stats_file(self) -> Path:
        return self.folder / "stats.json"

    @cached_property
    def header(self) -> Header:
        return Header(
            self.settings.max_length, self.tokenizer.vocab_size, fingerprint(self.tokenizer), self.settings.seed
        )

    def begin(self, plan: dict[str, Any]) -> bool:
        """Whether something is left to do."""
        for path in (self.stats_file, self.work / "plan.json"):
            if path.exists():
                _refuse_other_corpus(self.folder, read_object(path).get("plan", {}), plan)
                return path != self.stats_file
        if any(self.folder.glob("*.parquet")):
            raise InputError(f"{self.folder}: holds shards that no preparation wrote; choose another folder")
        self.work.mkdir(exist_ok=True)
        _write_json(self.work / "plan.json", {"plan": plan})
        return True

    def finish(self) -> None:
        runs = read_object(self.runs_file)
        splits: dict[str, Any] = {}
        for split, count in runs["shards"].items():
            shards = [read_object(self.work / f"{shard_name(split, i, count)}.json") for i in range(count)]
            splits[split] = _added(shards) | {"shards": count}
        (self.folder / "tokenizer").mkdir(exist_ok=True)
        self.tokenizer.save(self.folder / "tokenizer")
        stats = {
            "plan": read_object(self.work / "plan.json")["plan"],
            "counts": runs["counts"],
            "inputs": runs["inputs"],
            "splits": splits,
        }
        write_whole(self.folder / "DATA_CARD.md", card(stats).encode())
        _write_json(self.stats_file, stats)
        shutil.rmtree(self.work)

    def summary(self) -> str:
        splits = read_object(self.stats_file)["splits"]
        parts = ", ".join(
            f"{name} {facts['examples']:,} examples of {facts['tokens']:,} tokens in {facts['shards']} shards"
            for name, facts in splits.items()
        )
        return f"{self.folder}: {parts}"


def _tokenize(job: Preparation, files: dict[str, list[str]], processes: int, task: Shard | None = None) -> list[str]:
    """Tokenize the parts of the text, or those of a task; the input of every part."""
    sources: list[str] = []

    def missing() -> Iterator[_Part]:
        for part in _parts(files, job.settings):
            sources.append(part.source)
            mine = task is None or task.takes(part.number)
            if mine and not run_path(job.work, part.number).exists():
                yield part

    with tqdm(desc="tokenizing", unit=" MB", unit_scale=True, disable=None) as progress:
        for size in share(_TokenizePart(job.work, job.settings), missing(), processes):
            progress.update(size / 1e6)
    return sources


def count_runs(job: Preparation, sources: Sequence[str]) -> None:
    """Note what all runs hold, once they are there; `sources` has the input of each.

    Raises:
        InputError: they hold nothing.
    """
    counts: Counter[str] = Counter()
    inputs = {name: Counter({"documents read": 0, "bytes read": 0}) for name in job.settings.inputs}
    tokens: Counter[str] = Counter()
    for number, source in enumerate(sources):
        found, found_tokens = run_facts(run_path(job.work, number))
        counts += found
        inputs[source].update({name: found[name] for name in inputs[source]})
        tokens += found_tokens
    if not tokens["train"]:
        shutil.rmtree(job.work)
        left_out = "; ".join(f"{number:,} {reason}" for reason, number in counts.items() if number)
        raise InputError(f"{job.folder}: no text to write; {left_out or 'the inputs are empty'}")
    shards = {split: max(1, round(tokens[split] / job.settings.shard_tokens)) for split in SPLITS}
    shards = {split: count for split, count in shards.items() if split == "train" or tokens[split]}
    _write_json(job.runs_file, {"parts": len(sources), "shards": shards, "counts": counts, "inputs": inputs})


@dataclass(frozen=True)
class _TokenizePart:
    """Writes the run of one part; returns its size in bytes."""

    work: Path
    settings: Settings

    @cached_property
    def tokenizing(self) -> Tokenizing:
        return Tokenizing(self.settings, Tokenizer.load(self.settings.tokenizer), _exclusions(self.settings))

    def __call__(self, part: _Part) -> int:
        write_run(run_path(self.work, part.number), self.tokenizing(part.documents))
        return sum(len(raw.content) for raw in part.documents)


def run_path(work: Path, number: int) -> Path:
    return work / f"{number:06d}.run"


def _exclusions(settings: Settings) -> list[Exclusion]:
    return [Exclusion.read(Path(path), settings.exclude_words, settings.exclude_shortest) for path in settings.exclude]


def _parts(files: dict[str, list[str]], settings: Settings) -> Iterator[_Part]:
    """The documents of each input in parts of similar size."""
    number = 0
    for source, names in files.items():
        documents: list[Raw] = []
        size = 0
        for name in names:
            for raw in read_raw(name, settings.document, settings.field):
                documents.append(raw)
                size += len(raw.content)
                if size >= _PART:
                    yield _Part(number, source, documents)
                    documents, size, number = [], 0, number + 1
        if documents:
            yield _Part(number, source, documents)
            number += 1


def write_shards(job: Preparation, processes: int) -> None:
    runs = read_object(job.runs_file)
    tasks = [_ShardTask(split, i, count) for split, count in runs["shards"].items() for i in range(count)]
    missing = [task for task in tasks if not (job.work / f"{shard_name(*task)}.json").exists()]
    function = _WriteShard(job.folder, job.work, runs["parts"], job.header, job.tokenizer.unknown)
    with tqdm(total=len(tasks), initial=len(tasks) - len(missing), desc="writing", unit=" shards", disable=None) as bar:
        for _ in share(function, missing, min(processes, max(1, len(missing)))):
            bar.update()


@dataclass(frozen=True)
class _WriteShard:
    """Merges and writes one shard, then its statistics."""

    folder: Path
    work: Path
    parts: int
    header: Header
    unknown: int | None

    def __call__(self, task: _ShardTask) -> None:
        merged = merge([run_path(self.work, number) for number in range(self.parts)], *task)
        name, rows = shard_name(*task), merged.rows
        with whole_file(self.folder / name) as file:
            write_shard(file, rows, self.header)
        facts = {
            "examples": len(rows.lengths),
            "tokens": len(rows.values),
            "documents": merged.documents,
            "duplicates": merged.duplicate_documents,
            "two_segments": int((rows.splits < rows.lengths).sum()),
            "unknown": int((rows.values == self.unknown).sum()),
            "lengths": np.bincount(rows.lengths, minlength=self.header.max_length + 1).tolist(),
        }
        _write_json(self.work / f"{name}.json", facts)


def _added(shards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    totals: dict[str, Any] = {key: sum(shard[key] for shard in shards) for key in shards[0] if key != "lengths"}
    return totals | {"lengths": np.sum([shard["lengths"] for shard in shards], axis=0).tolist()}


def _plan(settings: Settings, files: dict[str, list[str]], vocabulary: str) -> dict[str, Any]:
    """Everything that determines the shards, as JSON values."""
    listing = hashlib.sha256()
    for name in sorted(name for names in files.values() for name in names):
        facts = os.stat(name) if os.path.exists(name) else None
        listing.update(repr((name, facts and facts.st_size, facts and facts.st_mtime_ns)).encode())
    excluded = [
        {
            "file": found.name,
            "texts": found.num_texts,
            "too_short": found.num_too_short,
            "digest": hashlib.sha256(Path(found.name).read_bytes()).hexdigest(),
        }
        for found in _exclusions(settings)
    ]
    plan = asdict(settings) | {"files": listing.hexdigest(), "vocabulary": vocabulary, "excluded": excluded}
    return dict(json.loads(json.dumps(plan)))


_WAY_OUT = "choose another folder, or delete it"
# Fields of a plan whose values mean nothing to a user.
_CHANGED = {"files": "an input file", "vocabulary": "the tokenizer", "excluded": "a test set to keep out"}


def _refuse_other_corpus(folder: Path, before: dict[str, Any], plan: dict[str, Any]) -> None:
    refuse_other_job(folder, before | {name: plan[name] for name in _CHANGED}, plan, way_out=_WAY_OUT)
    for name, what in _CHANGED.items():
        if before.get(name) != plan[name]:
            raise InputError(f"{folder}: belongs to another job ({what} has changed); {_WAY_OUT}")


def _write_json(path: Path, value: Any) -> None:
    write_whole(path, f"{dump_json(value, indent=1)}\n".encode())
