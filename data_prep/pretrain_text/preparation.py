"""Raw text to a folder of shards, by many processes, in bounded memory; a killed preparation is continued.

    FOLDER/.preparation/plan.json         what is being prepared: settings, inputs, tokenizer
    FOLDER/.preparation/000012.run        part 12 of the text, tokenized and sorted (`sorted_runs`)
    FOLDER/.preparation/runs.json         all parts are there; how many, and what was read
    FOLDER/.preparation/train-...json     the shard of that name is in FOLDER; what it holds
    FOLDER/stats.json                     all is there

Order and split of the examples follow from their content and the seed alone, so the number of processes, the order of
the inputs and kills in between leave no trace in the shards.
"""

from __future__ import annotations

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
from data_prep.pretrain_text.packing import SPECIAL_SLOTS
from data_prep.pretrain_text.raw_text import Raw, Unit, files_of, read_raw
from data_prep.pretrain_text.sorted_runs import SPLITS, merge, run_counts, run_tokens, write_run
from data_prep.pretrain_text.tokenizing import Tokenizing
from data_prep.workers import share
from s2s.data.shards import Header, fingerprint, shard_name, write_shard
from s2s.data.tokenizer import Tokenizer
from s2s.durable import claimed, refuse_other_job, whole_file, write_whole, writing
from s2s.errors import InputError
from s2s.json_files import dump_json, read_object

_PART = 1 << 22
"""Bytes of raw text in one part, about: what a process holds at a time."""


@dataclass(frozen=True)
class Settings:
    """What is to be prepared; the command's options, which explain the fields."""

    inputs: tuple[str, ...]
    tokenizer: str
    document: Unit
    field: str
    exclude: tuple[str, ...]
    exclude_words: int
    exclude_shortest: int
    max_length: int
    min_tokens: int
    valid_share: float
    shard_tokens: int
    seed: int


def prepare(folder: Path, settings: Settings, processes: int) -> str:
    """Write the shards, tokenizer, statistics and data card of a corpus to `folder`; returns a summary.

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
    job = _Job(folder, settings, tokenizer)
    plan = _plan(settings, files, job.header.fingerprint)
    with claimed(folder, folder / ".preparation.lock"), writing(folder):
        if not job.begin(plan):
            return f"{job.summary()} (nothing was left to do)"
        if not job.runs_file.exists():
            _tokenize(job, files, processes)
        _write_shards(job, processes)
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
class _Job:
    """One preparation and its files."""

    folder: Path
    settings: Settings
    tokenizer: Tokenizer

    @property
    def work(self) -> Path:
        return self.folder / ".preparation"

    @property
    def runs_file(self) -> Path:
        return self.work / "runs.json"

    @property
    def stats_file(self) -> Path:
        return self.folder / "stats.json"

    def run_path(self, number: int) -> Path:
        return self.work / f"{number:06d}.run"

    @cached_property
    def header(self) -> Header:
        return Header(
            self.settings.max_length, self.tokenizer.vocab_size, fingerprint(self.tokenizer), self.settings.seed
        )

    def begin(self, plan: dict[str, Any]) -> bool:
        """Whether something is left to do.

        Raises:
            InputError: the folder holds another preparation, or other files.
        """
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


def _tokenize(job: _Job, files: dict[str, list[str]], processes: int) -> None:
    sources: list[str] = []

    def missing() -> Iterator[_Part]:
        for part in _parts(files, job.settings):
            sources.append(part.source)
            if not job.run_path(part.number).exists():
                yield part

    with tqdm(desc="tokenizing", unit=" MB", unit_scale=True, disable=None) as progress:
        for size in share(_TokenizePart(job.work, job.settings), missing(), processes):
            progress.update(size / 1e6)
    paths = [job.run_path(number) for number in range(len(sources))]
    counts: Counter[str] = Counter()
    inputs = {name: Counter({"documents read": 0, "bytes read": 0}) for name in files}
    tokens: Counter[str] = Counter()
    for source, path in zip(sources, paths, strict=True):
        found = run_counts(path)
        counts += found
        inputs[source] += Counter({name: found[name] for name in inputs[source]})
        tokens.update(run_tokens(path))
    if not tokens["train"]:
        shutil.rmtree(job.work)
        left_out = "; ".join(f"{number:,} {reason}" for reason, number in counts.items() if number)
        raise InputError(f"{job.folder}: no text to write; {left_out or 'the inputs are empty'}")
    shards = {split: max(1, round(tokens[split] / job.settings.shard_tokens)) for split in SPLITS}
    shards = {split: count for split, count in shards.items() if split == "train" or tokens[split]}
    _write_json(job.runs_file, {"parts": len(paths), "shards": shards, "counts": counts, "inputs": inputs})


@dataclass(frozen=True)
class _TokenizePart:
    """Writes the run of one part; returns the bytes that the part has."""

    work: Path
    settings: Settings

    @cached_property
    def tokenizing(self) -> Tokenizing:
        settings = self.settings
        return Tokenizing(
            Tokenizer.load(settings.tokenizer),
            exclusions_of(settings),
            settings.field,
            settings.max_length,
            settings.min_tokens,
            settings.valid_share,
            settings.seed,
        )

    def __call__(self, part: _Part) -> int:
        write_run(self.work / f"{part.number:06d}.run", self.tokenizing(part.documents))
        return sum(len(raw.content) for raw in part.documents)


def exclusions_of(settings: Settings) -> list[Exclusion]:
    """The test sets that the text must have nothing in common with."""
    return [Exclusion.read(Path(path), settings.exclude_words, settings.exclude_shortest) for path in settings.exclude]


def _parts(files: dict[str, list[str]], settings: Settings) -> Iterator[_Part]:
    """The documents of all inputs in parts of similar size, none of two inputs."""
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


def _write_shards(job: _Job, processes: int) -> None:
    runs = read_object(job.runs_file)
    tasks = [_ShardTask(split, i, count) for split, count in runs["shards"].items() for i in range(count)]
    missing = [task for task in tasks if not (job.work / f"{shard_name(*task)}.json").exists()]
    paths = [job.run_path(number) for number in range(runs["parts"])]
    function = _WriteShard(job.folder, job.work, paths, job.header, job.tokenizer.unknown)
    with tqdm(total=len(tasks), initial=len(tasks) - len(missing), desc="writing", unit=" shards", disable=None) as bar:
        for _ in share(function, missing, min(processes, max(1, len(missing)))):
            bar.update()


@dataclass(frozen=True)
class _WriteShard:
    """Merges and writes one shard, then what it holds."""

    folder: Path
    work: Path
    paths: Sequence[Path]
    header: Header
    unknown: int | None

    def __call__(self, task: _ShardTask) -> None:
        merged = merge(self.paths, task.split, task.number, task.shards)
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
    """Facts of several shards, added up."""
    totals: dict[str, Any] = {key: sum(shard[key] for shard in shards) for key in shards[0] if key != "lengths"}
    return totals | {"lengths": np.sum([shard["lengths"] for shard in shards], axis=0).tolist()}


def _plan(settings: Settings, files: dict[str, list[str]], vocabulary: str) -> dict[str, Any]:
    """Everything that the shards follow from, in the values of JSON."""
    listing = hashlib.sha256()
    for name in sorted(name for names in files.values() for name in names):
        facts = os.stat(name) if os.path.exists(name) else None
        listing.update(repr((name, facts and facts.st_size, facts and facts.st_mtime_ns)).encode())
    excluded = [
        {"file": found.name, "texts": found.num_texts, "too_short": found.num_too_short, "digest": _digest(found.name)}
        for found in exclusions_of(settings)
    ]
    plan = asdict(settings) | {"files": listing.hexdigest(), "vocabulary": vocabulary, "excluded": excluded}
    return dict(json.loads(json.dumps(plan)))


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


_WAY_OUT = "choose another folder, or delete it"
_CHANGED = {"files": "an input file", "vocabulary": "the tokenizer", "excluded": "a test set to keep out"}
"""Facts of a plan whose values mean nothing to a user."""


def _refuse_other_corpus(folder: Path, before: dict[str, Any], plan: dict[str, Any]) -> None:
    refuse_other_job(folder, before | {name: plan[name] for name in _CHANGED}, plan, way_out=_WAY_OUT)
    for name, what in _CHANGED.items():
        if before.get(name) != plan[name]:
            raise InputError(f"{folder}: belongs to another job ({what} has changed); {_WAY_OUT}")


def _write_json(path: Path, value: Any) -> None:
    write_whole(path, f"{dump_json(value, indent=1)}\n".encode())
