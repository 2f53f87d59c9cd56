"""How well runs predict melodies that they have not seen: perplexity by stream, beside a Markov baseline.

Examples are families of tunes, since lines of one tune are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from eval import markov_melody as markov
from eval.metric import Array, Metric, mean
from eval.report import Report, Scored, make_report
from s2s.criteria.factored_cross_entropy import StreamScorer
from s2s.data.jsonl import read_records
from s2s.data.melody import check_together, read_notes, syllables_of
from s2s.data.melody_batch import MelodyBatch, MelodyExample
from s2s.data.melody_vocabulary import STREAMS
from s2s.errors import InputError
from s2s.run import load_model
from s2s.tasks.melody_from_lyrics import MelodyFromLyrics

MARKOV = "markov"
_BATCH = 64
_SIGNATURE = "e to the mean negative log-probability per note, with the pitches and lengths that the run knows"


@dataclass(frozen=True)
class PerplexitySettings:
    """The options of an evaluation; all of them are in the report.

    Args:
        markov: Lines that the baseline learns from, and those that choose its orders; or None.
        resamples: Bootstrap samples for intervals; `seed` is theirs.
    """

    markov: tuple[str, str] | None = None
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class _Lines:
    examples: list[MelodyExample]
    families: list[str]

    @property
    def for_markov(self) -> list[markov.MarkovLine]:
        return [markov.MarkovLine(example.source.context, example.notes) for example in self.examples]


def evaluate_perplexity(reference: str, runs: Mapping[str, str], settings: PerplexitySettings) -> Report:
    """Perplexity of the reference's notes under runs, and under n-grams in the streams of the first run.

    Raises:
        InputError: a file is broken, or a run writes no melodies, or two runs know other lengths of notes.
    """
    scored: dict[str, Scored] = {}
    notes: list[str] = []
    lengths = None
    for name, path in runs.items():
        task, model = _loaded(path)
        if lengths not in (None, task.vocabulary.lengths):
            raise InputError(f"{path}: knows other lengths of notes than the first run, so their units differ")
        lines = _read(reference, task)
        if lengths is None and settings.markov is not None:
            grams = _fitted(task, settings.markov)
            scored[MARKOV] = _scored(markov.losses(grams, lines.for_markov), lines)
            notes.append(f"{MARKOV}: notes of history, chosen on {settings.markov[1]}: {markov.orders(grams)}")
        lengths = task.vocabulary.lengths
        scored[name] = _scored(_losses(task, model, lines.examples), lines)
    baseline = MARKOV if settings.markov is not None else None
    facts = {"task": "melody perplexity", **asdict(settings), "baseline": baseline}
    return make_report(scored, runs, reference, facts, ("unilatent", "numpy", "torch"), notes)


def _loaded(path: str) -> tuple[MelodyFromLyrics, Any]:
    _, task, model = load_model(path)
    if not isinstance(task, MelodyFromLyrics) or not isinstance(model, StreamScorer):
        raise InputError(f"{path}: writes no melodies")
    return task, model


def _read(path: str, task: MelodyFromLyrics) -> _Lines:
    examples, families = [], []
    for where, record in read_records(Path(path)):
        notes = read_notes(record.get("tgt"), where)
        check_together(syllables_of(record.get("src") or "", where), notes, where)
        examples.append(MelodyExample(task.source(record, where), task.vocabulary.values(notes)))
        families.append(str(record.get("family", record.get("tune", where))))
    return _Lines(examples, families)


def _fitted(task: MelodyFromLyrics, files: tuple[str, str]) -> list[markov.NGrams]:
    train, valid = (_read(path, task).for_markov for path in files)
    return markov.fit(train, valid, task.vocabulary.sizes)


@torch.inference_mode()
def _losses(task: MelodyFromLyrics, model: StreamScorer, examples: Sequence[MelodyExample]) -> Array:
    """Summed losses of the streams of each line, `(lines, 3)`."""
    found = []
    for start in range(0, len(examples), _BATCH):
        batch: MelodyBatch = task.collate(examples[start : start + _BATCH])
        features, rows = model.note_features(batch), []
        for stream in range(len(STREAMS)):
            logits = model.stream_logits(stream, features, batch.notes)
            losses = F.cross_entropy(logits.flatten(0, 1), batch.notes[..., stream].flatten(), reduction="none")
            rows.append(losses.view(batch.real.shape).masked_fill(~batch.real, 0).sum(1))
        found.append(torch.stack(rows, 1).double().numpy())
    return np.concatenate(found)


def _scored(losses: Array, lines: _Lines) -> Scored:
    """Perplexities, with a row for each family: the losses of its streams, and its notes."""
    counts = np.array([[float(len(example.notes))] for example in lines.examples])
    by_line = np.concatenate([losses, counts], 1)
    names = sorted(set(lines.families))
    rows = np.zeros((len(names), by_line.shape[1]))
    np.add.at(rows, [names.index(family) for family in lines.families], by_line)
    columns = {name: rows[:, [stream, -1]] for stream, name in enumerate(STREAMS)}
    columns["note"] = np.stack([rows[:, :-1].sum(1), rows[:, -1]], 1)
    quality = [Metric(name, part, _perplexity, _SIGNATURE) for name, part in columns.items()]
    return Scored(quality, [mean("notes", list(rows[:, -1]), "notes of a family", scale=1.0)])


def _perplexity(sums: Array) -> Array:
    return np.asarray(np.exp(sums[:, 0] / sums[:, 1]))
