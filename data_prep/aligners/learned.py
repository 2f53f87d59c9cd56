"""An aligner for any language: it learns how the units of a front end sound from the recordings that it aligns."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from data_prep.aligners.aligner import UNFOUND, UNREADABLE, WORDLESS, Aligner
from data_prep.aligners.features import HOP_SECONDS, RATE, Frames, Heard, Scale, hear
from data_prep.aligners.learning import Example, learn_sounds
from data_prep.aligners.mixtures import Mixtures
from data_prep.aligners.sounds import SoundModel, Sounds
from data_prep.workers import share
from latent.audio.files import Samples, load_audio
from latent.data.manifest import Alignment, Sounding, Utterance
from latent.text.front_end import FRONT_ENDS, FrontEnd
from latent.text.spoken import spoken
from s2s.checkpoint import read_tensors, write_weights
from s2s.durable import write_whole, writing
from s2s.errors import InputError
from s2s.json_files import dump_json, read_object
from s2s.packages import load

_FACTS, _WEIGHTS = "aligner.json", "sounds.safetensors"
_ENOUGH_SECONDS = 3600.0
"""Of speech to learn from; more adds minutes of work, not precision."""
_WORST = 6.0
"""A recording whose score is so many deviations below the usual one says something else than its text."""
_SHORTEST = RATE // 20
"""Samples of the shortest signal."""
UNHEARD = "with units that the aligner has not heard"


class Task(NamedTuple):
    """One recording to align."""

    audio: Path
    sounds: Sounds


@dataclass(frozen=True)
class Listener:
    """What was learned: how units sound, and how well right texts fit.

    Args:
        least_score: Recordings that fit worse have another text.
    """

    scale: Scale
    model: SoundModel
    least_score: float = -np.inf

    def __call__(self, task: Task) -> tuple[Task, Alignment | str]:
        """The task and its alignment, or why there is none."""
        if not self.model.knows(task.sounds):
            return task, UNHEARD
        heard = listen(task.audio)
        return task, UNREADABLE if heard is None else self.align(heard, task.sounds)

    def align(self, heard: Heard, sounds: Sounds) -> Alignment | str:
        """The alignment of a recording with a text whose units are known, or why there is none."""
        found = self.find(self.scale.normal(heard.frames), sounds)
        return UNFOUND if found is None or found[1] < self.least_score else found[0]

    def find(self, frames: Frames, sounds: Sounds) -> tuple[Alignment, float] | None:
        """The alignment of normal frames `(T, D)`, and how much less likely a frame is than the likeliest sound."""
        chain = self.model.chain(sounds)
        path = self.model.path(frames, chain)
        if path is None:
            return None
        names = [name for name in sounds if name is not None]
        said = chain.units[path.places]
        edges = [0, *(np.flatnonzero(np.diff(said)) + 1), len(said)]
        times = [max(0.0, (edge - 0.5) * HOP_SECONDS) for edge in edges]
        spans = zip(said[edges[:-1]], times[:-1], times[1:], strict=True)
        alignment = tuple(Sounding(names[unit], start, end) for unit, start, end in spans if unit >= 0)
        likeliest = self.model.mixtures.scores(frames, np.arange(len(self.model.mixtures))).max(axis=1)
        return alignment, path.score - float(likeliest.mean())

    def with_limit(self, examples: Sequence[Example]) -> Listener:
        """Itself with a limit to scores, from those of the recordings that it learned from."""
        found = [self.find(example.heard.frames, example.sounds) for example in examples]
        scores = np.array([score for _, score in filter(None, found)])
        usual = float(np.median(scores))
        deviation = 1.4826 * float(np.median(abs(scores - usual)))  # of a normal distribution
        return Listener(self.scale, self.model, usual - _WORST * max(deviation, 0.1))


def listen(audio: Path) -> Heard | None:
    """The features of a recording; None if it cannot be read."""
    try:
        return hear(load_audio(audio, RATE))
    except InputError:
        return None


class LearnedAligner(Aligner):
    """Learns from the recordings that it is first given, needs nothing else, and aligns any language.

    Args:
        front_end: Cuts texts into the units to find.
        listener: What was learned before, else None.
        languages: Of the recordings that it learned from.
    """

    def __init__(self, front_end: FrontEnd, listener: Listener | None = None, languages: Iterable[str] = ()) -> None:
        self.front_end, self._listener = front_end, listener
        self.languages = sorted(set(languages))

    def align(self, utterances: Sequence[Utterance], processes: int) -> dict[str, Alignment | str]:
        load("soundfile", "speech")
        tasks = {
            one.id: Task(one.audio, tuple(self.front_end.sounds(spoken(one.text, one.language)))) for one in utterances
        }
        different = [task for task in dict.fromkeys(tasks.values()) if any(task.sounds)]  # manifests may repeat
        if self._listener is None:
            self._listener = learn(different)
            self.languages = sorted({one.language for one in utterances})
        work = share(self._listener, different, processes)
        done = dict(tqdm(work, total=len(different), desc="aligned", unit=" clips", disable=None))
        return {name: done.get(task, WORDLESS) for name, task in tasks.items()}

    def find(self, said: str, samples: Samples) -> Alignment | str:
        assert self._listener is not None, "align first, or load one that has learned"
        sounds = tuple(self.front_end.sounds(said))
        if not any(sounds):
            return UNHEARD if any(map(str.isalnum, said)) else WORDLESS
        if not self._listener.model.knows(sounds):
            return UNHEARD
        return self._listener.align(hear(samples), sounds) if len(samples) >= _SHORTEST else UNFOUND

    def save(self, folder: Path) -> None:
        """Write what was learned, for `load`."""
        assert self._listener is not None, "align first"
        scale, model, least = self._listener.scale, self._listener.model, self._listener.least_score
        mixtures = model.mixtures
        arrays = {**vars(mixtures), **scale._asdict(), "leaving": model.leaving}
        facts = {"front_end": self.front_end.name, "units": list(model.units), "least_score": least}
        facts["languages"] = self.languages
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.front_end.save(folder)
        write_weights({name: torch.from_numpy(array) for name, array in arrays.items()}, folder / _WEIGHTS)
        write_whole(folder / _FACTS, f"{dump_json(facts)}\n".encode())

    @classmethod
    def load(cls, folder: Path) -> LearnedAligner:
        """An aligner that was saved; raises InputError if a file is missing or broken."""
        try:
            facts = read_object(folder / _FACTS)
            arrays = {name: tensor.numpy() for name, tensor in read_tensors(folder / _WEIGHTS).items()}
            mixtures = Mixtures(*(arrays[name] for name in ("means", "variances", "weights")))
            model = SoundModel([str(unit) for unit in facts["units"]], mixtures, arrays["leaving"])
            listener = Listener(Scale(arrays["mean"], arrays["deviation"]), model, float(facts["least_score"]))
            front_end = FRONT_ENDS[facts["front_end"]].load(folder)  # type: ignore[attr-defined]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: is no aligner, or broken: {error}") from error
        return cls(front_end, listener, map(str, facts.get("languages", ())))


def learn(tasks: Sequence[Task]) -> Listener:
    """Learn from an hour of recordings at most, chosen by chance, and from all those with rare units.

    Raises:
        InputError: no recording can be read.
    """
    order = random.Random(0).sample(tasks, len(tasks))
    read: list[tuple[Heard, Sounds]] = []
    known: set[str | None] = set()
    seconds = 0.0
    for task in tqdm(order, desc="read", unit=" clips", disable=None):
        if seconds > _ENOUGH_SECONDS and known.issuperset(task.sounds):
            continue
        heard = listen(task.audio)
        if heard is not None:
            read.append((heard, task.sounds))
            known.update(task.sounds)
            seconds += len(heard.frames) * HOP_SECONDS
    if not read:
        raise InputError("align-speech: there is nothing to learn from; no recording with a text can be read")
    scale = Scale.of([heard.frames for heard, _ in read])
    examples = [Example(Heard(scale.normal(heard.frames), heard.loudness), sounds) for heard, sounds in read]
    return Listener(scale, learn_sounds(examples)).with_limit(examples)
