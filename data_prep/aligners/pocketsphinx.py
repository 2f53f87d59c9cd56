"""An aligner for English: forced alignment by pocketsphinx, which knows English from many speakers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from data_prep.aligners.aligner import UNFOUND, UNREADABLE, WORDLESS, Aligner
from data_prep.workers import share
from latent.audio.files import Samples, load_audio
from latent.audio.levels import loud_span
from latent.data.manifest import Alignment, Sounding, Utterance
from latent.text.phonemes import MARKS, PhonemeFrontEnd
from latent.text.spoken import spoken
from s2s.errors import InputError
from s2s.packages import load

LANGUAGE = "en"
_PACKAGE = "pocketsphinx"
_RATE, _FRAME_SECONDS = 16000, 0.01
_FRAME_CENTER = 0.0128 - _FRAME_SECONDS / 2  # a frame is computed from 25.6 ms: its features are from their middle
_SHORTEST = 3 * _FRAME_SECONDS
_SILENCE_DB = 40.0
_WORST_SCORE = -40.0  # mean log likelihood of a frame: right texts have -6 to -35 nearly always, others -40 to -65
_FOREIGN, _STRANGE = "in other languages", "with unreadable characters"
_OTHER = "(2)"  # marks the second pronunciation of a word in the dictionary

_LETTER_NAMES = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH", "i": "AY",
    "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY", "q": "K Y UW",
    "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S",
    "y": "W AY", "z": "Z IY",
}  # fmt: skip
_LETTER_SOUNDS = {
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip

Word = tuple[str, ...]
"""Names of the tokens that the front end makes of a word, without marks."""


def words_of(front_end: PhonemeFrontEnd, text: str) -> list[Word]:
    """The words to find in the recording of an English text; raises InputError for a character that has no sound."""
    parts = front_end.names_by_part(spoken(text, LANGUAGE))
    words = [tuple(name for name in names if name not in MARKS) for names in parts]
    return [word for word in words if word]


def readings(word: Word) -> list[list[list[str]]]:
    """Ways to say a word, each the phonemes of each unit: letters that are spelled are names of letters, or sounds.

    The acoustic model knows no stress: the unit "/EY1" is its phoneme EY.
    """
    found = []
    for letters in (_LETTER_NAMES, _LETTER_SOUNDS):
        reading = [letters[unit].split() if unit in letters else [unit.strip("/012")] for unit in word]
        if reading not in found:
            found.append(reading)
    return found


class _Segment(NamedTuple):
    """One word or silence of an alignment of pocketsphinx; start and end of its phonemes in seconds."""

    name: str
    score: int
    frames: int
    phones: list[tuple[float, ...]]


class Task(NamedTuple):
    """One recording to align."""

    audio: Path
    words: tuple[Word, ...]


@dataclass
class Listener:
    """Finds words in recordings. `words` are those of all recordings; workers get only them, and open a decoder."""

    words: Sequence[Word]
    _decoder: Any = field(default=None, init=False, repr=False)

    def __call__(self, task: Task) -> tuple[Task, Alignment | str]:
        """The task and its alignment, or why there is none."""
        try:
            samples = load_audio(task.audio, _RATE)
        except InputError:
            return task, UNREADABLE
        return task, self.align(samples, task.words) or UNFOUND

    def align(self, samples: Samples, words: Sequence[Word]) -> Alignment | None:
        """The alignment of a signal `(S,)` at 16 kHz; None if there is none, or its score is too low."""
        decoder = self._open()
        content = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        names = [self._names[word] for word in words]
        try:
            decoder.set_align_text(" ".join(names))
            _decode(decoder, content)
            if decoder.hyp() is None:
                return None
            decoder.set_alignment()
            _decode(decoder, content)
            segments = [
                _Segment(entry.name, entry.score, entry.duration, list(map(_span, entry)))
                for entry in decoder.get_alignment()
            ]  # an entry is valid only until the next one is taken
        except RuntimeError:  # pocketsphinx found no path through the words
            return None
        if sum(entry.score for entry in segments) < _WORST_SCORE * sum(entry.frames for entry in segments):
            return None
        segments = [entry for entry in segments if entry.name.startswith("w")]
        if [entry.name.removesuffix(_OTHER) for entry in segments] != names:
            return None
        found = [sounding for entry, word in zip(segments, words, strict=True) for sounding in _soundings(entry, word)]
        return _within_sound(found, samples)

    def _open(self) -> Any:
        """The decoder, whose dictionary has each way to say each word."""
        if self._decoder is None:
            self._names = {word: f"w{index}" for index, word in enumerate(self.words)}
            lines = [
                f"{name}{variant} {' '.join(phone for unit in reading for phone in unit)}\n"
                for word, name in self._names.items()
                for variant, reading in zip(("", _OTHER), readings(word), strict=False)
            ]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "words.dict"
                path.write_text("".join(lines), encoding="utf-8")
                self._decoder = load(_PACKAGE, "speech").Decoder(
                    samprate=_RATE, dict=str(path), lm=None, bestpath=False, loglevel="FATAL"
                )
        return self._decoder


def _decode(decoder: Any, content: bytes) -> None:
    decoder.start_stream()  # forgets the noise level of the last recording
    decoder.start_utt()
    decoder.process_raw(content, full_utt=True)
    decoder.end_utt()


def _span(phone: Any) -> tuple[float, ...]:
    frames = (phone.start, phone.start + phone.duration)
    return tuple(frame * _FRAME_SECONDS + _FRAME_CENTER if frame else 0.0 for frame in frames)


def _soundings(segments: _Segment, word: Word) -> Iterator[Sounding]:
    spans = iter(segments.phones)
    for unit, sounds in zip(word, readings(word)[segments.name.endswith(_OTHER)], strict=True):
        unit_spans = [next(spans) for _ in sounds]
        yield Sounding(unit, unit_spans[0][0], unit_spans[-1][1])


def _within_sound(found: Sequence[Sounding], samples: Samples) -> Alignment:
    """Without the leading and trailing silence that the decoder added to the first and the last unit."""
    start, stop = (sample / _RATE for sample in loud_span(samples, _RATE, _SILENCE_DB) or (0, len(samples)))
    first, last = found[0], found[-1]
    cut = [replace(first, start=max(first.start, min(start, first.end - _SHORTEST))), *found[1:]]
    cut[-1] = replace(cut[-1], end=min(last.end, max(stop, cut[-1].start + _SHORTEST)))
    return tuple(cut)


class PocketsphinxAligner(Aligner):
    """Aligns English with the tokens of the front end `phonemes`, as CMUdict has them.

    Raises:
        InputError: a package is not installed.
    """

    languages = (LANGUAGE,)

    def __init__(self) -> None:
        for package in (_PACKAGE, "soundfile"):
            load(package, "speech")
        self.front_end: PhonemeFrontEnd = PhonemeFrontEnd.learn([], None)

    def align(self, utterances: Sequence[Utterance], processes: int) -> dict[str, Alignment | str]:
        tasks = {utterance.id: _task(self.front_end, utterance) for utterance in utterances}
        different = [task for task in dict.fromkeys(tasks.values()) if isinstance(task, Task)]  # manifests may repeat
        listener = Listener(list(dict.fromkeys(word for task in different for word in task.words)))
        work = share(listener, different, processes)
        done = dict(tqdm(work, total=len(different), desc="aligned", unit=" clips", disable=None))
        return {name: done[task] if isinstance(task, Task) else task for name, task in tasks.items()}

    def find(self, said: str, samples: Samples) -> Alignment | str:
        try:
            words = words_of(self.front_end, said)
        except InputError:
            return _STRANGE
        if not words:
            return WORDLESS
        return Listener(list(dict.fromkeys(words))).align(samples, words) or UNFOUND


def _task(front_end: PhonemeFrontEnd, utterance: Utterance) -> Task | str:
    """What to align, or why there is nothing."""
    if utterance.language != LANGUAGE:
        return _FOREIGN
    try:
        words = words_of(front_end, utterance.text)
    except InputError:
        return _STRANGE
    return Task(utterance.audio, tuple(words)) if words else WORDLESS
