"""Speech of a synthetic teacher: texts that a synthesizer reads, so that a voice hears many words and many speakers.

    OUT/audio/VOICE/N.flac           one file for each text; it appears complete or not at all
    OUT/{train,valid,test}.jsonl     manifests, when all is read; no text is in two of them
    OUT/strangers.jsonl              voices that read nothing else, and texts that nobody else reads
    OUT/.teacher.journal             what is read so far, so that the same command continues

It is for training; evaluation needs recordings of people too.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from data_prep.corpus_files import split_of_text
from data_prep.corpus_writer import SPLITS, listed
from data_prep.speech_corpus import Clip, SpeechOptions, data_card, level, publish, summary
from data_prep.spoken_text import normal_form
from data_prep.teachers.teacher import Teacher, Unreadable
from data_prep.workers import share
from latent.audio.files import write_audio
from latent.audio.resampling import resample
from latent.data.manifest import write_alignment
from latent.text.spoken import plain, spoken
from s2s.data.jsonl import read_records
from s2s.durable import Journal, claimed, refuse_other_job, write_whole, writing
from s2s.errors import InputError
from s2s.json_files import dump_json
from s2s.progress import Meter, audio

STRANGERS = "strangers"
"""The split of the voices that are held out."""
_JOURNAL = ".teacher.journal"
_CHARACTERS_PER_SECOND = 15
_OURS = re.compile(r"\.?\d{6}\.flac(\.\w+)*")
"""Names of files of audio, also of unfinished ones."""
_CHOICES = (
    *("sample_rate", "loudness_dbfs", "min_seconds", "max_seconds"),
    *("min_characters_per_second", "max_characters_per_second"),
)
"""The options of a corpus that speech depends on."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?:;()\[\]\"*]+")

Skip = Callable[[str], None]


@dataclass(frozen=True)
class Turn:
    """One text that one voice reads; `number` is its place in the order of the job."""

    number: int
    text: str
    voice: str
    split: str


@dataclass(frozen=True)
class Casting:
    """Who reads what.

    Args:
        voices: They read the texts of train, valid and test in turns.
        held_out: They read the texts of strangers in turns; if there are none, no text is for them.
        percents: Share of texts for each split other than train.
    """

    voices: Sequence[str]
    held_out: Sequence[str]
    percents: Mapping[str, int]

    def __post_init__(self) -> None:
        if both := sorted(set(self.voices) & set(self.held_out)):
            raise InputError(f"--hold-out-voice {both[0]}: is also a --voice")
        if sum(self.percents.values()) >= 100:
            raise InputError(f"--valid-percent and others: must leave something to train on, found {self.percents}")

    @classmethod
    def of(
        cls,
        teacher: type[Teacher],
        voices: Sequence[str] | None,
        held_out: Sequence[str] | None,
        percents: Mapping[str, int],
        mixtures: int = 0,
    ) -> Casting:
        """Voices of a teacher; None: its own choice. InputError if it has no such voice or cannot mix them.

        `mixtures` is the number of further voices, each of them two of the voices; a larger number adds to a smaller.
        """
        chosen = list(dict.fromkeys(voices or teacher.default_voices))
        others = list(dict.fromkeys(held_out or [voice for voice in teacher.default_held_out if voice not in chosen]))
        for option, names in {"--voice": chosen, "--hold-out-voice": others}.items():
            for name in names:
                if not set(name.split("+") if teacher.mixes else [name]) <= set(teacher.voices):
                    raise InputError(f"{option}: must be one of {', '.join(teacher.voices)}, found {name!r}")
        chosen += _mixtures(teacher, chosen, mixtures)
        return cls(chosen, others if percents.get(STRANGERS) else [], percents)

    def turns(self, texts: Iterable[str]) -> Iterator[Turn]:
        """The turns of texts that differ, in their order."""
        percents = {split: share for split, share in self.percents.items() if split != STRANGERS or self.held_out}
        counts = Counter[bool]()
        for number, text in enumerate(texts):
            split = split_of_text(normal_form(text), percents)
            voices = self.held_out if split == STRANGERS else self.voices
            yield Turn(number, text, voices[counts[split == STRANGERS] % len(voices)], split)
            counts[split == STRANGERS] += 1


def _mixtures(teacher: type[Teacher], voices: Sequence[str], count: int) -> list[str]:
    """Names of mixtures of two voices, the pairs in an order that is always the same and has no pattern."""
    pairs = list(combinations(voices, 2))
    if count > (most := len(pairs) if teacher.mixes else 0):
        raise InputError(f"--mixtures: must be at most {most} for {len(voices)} voices of this teacher, found {count}")
    random.Random(0).shuffle(pairs)
    return ["+".join(pair) for pair in pairs[:count]]


def texts_of(files: Sequence[Path], field: str) -> Iterator[str]:
    """The texts of JSON lines; InputError if a file cannot be read or a line has no text."""
    for file in files:
        for where, record in read_records(file):
            if not isinstance(record.get(field), str):
                raise InputError(f"{where}: {field!r} must be a string, found {record.get(field)!r}")
            yield record[field]


def phrases(texts: Iterable[str], words: tuple[int, int], seed: int, skip: Skip) -> Iterator[str]:
    """Runs of whole words from the sentences of texts, in random order.

    Args:
        texts: Any texts.
        words: Minimum and maximum words of a phrase; all lengths are equally likely.
        seed: Of the order and of the lengths.
        skip: Gets the reason why a sentence is not used.
    """
    sentences = [part.split() for text in texts for part in _SENTENCE_END.split(plain(text))]
    chooser = random.Random(seed)
    chooser.shuffle(sentences)
    for sentence in sentences:
        if not all(_WORD.fullmatch(word.rstrip(",")) for word in sentence):
            skip("sentences with something else than words")
            continue
        while len(sentence) >= words[0]:
            length = chooser.randint(*words)
            phrase, sentence = " ".join(sentence[:length]).rstrip(","), sentence[length:]
            if phrase.count(" ") + 1 >= words[0]:
                yield phrase


def readable(texts: Iterable[str], language: str, held_out: Iterable[str], skip: Skip) -> Iterator[tuple[str, str]]:
    """Texts as they are written and as they are spoken, none twice, none that holds what must not be trained on.

    Args:
        texts: As they are written.
        language: Code of two letters.
        held_out: Texts as they are written, compared by their letters and digits as they are spoken.
        skip: Gets the reason why a text is not used.
    """
    used = set[str]()
    kept_back = [f" {normal_form(spoken(text, language))} " for text in held_out]
    for text in texts:
        said = spoken(text, language)
        form = normal_form(said)
        if not re.search(r"[^\W_]", said):
            skip("without a word")
        elif form in used:
            skip("texts that came before")
        elif any(kept in f" {form} " for kept in kept_back):
            skip("texts with a sentence that is held out")
        else:
            used.add(form)
            yield text, said


def write_teacher_speech(
    teacher: Teacher,
    casting: Casting,
    texts: Iterable[str],
    folder: Path,
    options: SpeechOptions,
    hours: float | None,
    skipped: Counter[str],
) -> str:
    """Read texts aloud, continuing what a former call began, and write the corpus.

    What a voice makes of a text depends on nothing else, and the corpus ends with the first text, in their order, at
    which the speech so far lasts `hours`. So neither the number of processes nor a kill changes a byte of it, and a
    longer corpus continues a shorter one.

    Args:
        teacher: Reads.
        casting: Who reads what.
        texts: See `readable`.
        folder: OUT; made if missing.
        options: Rate, loudness, which lengths are kept, and the number of processes; its splits are not used.
        hours: Stop after so many hours of speech; None: after the last text.
        skipped: Reasons why texts were left out before; more are added.

    Returns:
        A summary in one line.

    Raises:
        InputError: the folder holds another job or cannot be written, a file of the teacher is missing, or nothing is
            left to write.
    """
    with claimed(folder, folder / ".teacher.lock"), writing(folder):
        job = _Job(teacher, list(casting.turns(texts)), folder, options, hours)
        job.read_all()
        return job.finish(asdict(casting), skipped)


class _Job:
    def __init__(
        self, teacher: Teacher, turns: Sequence[Turn], folder: Path, options: SpeechOptions, hours: float | None
    ) -> None:
        self._teacher, self._turns, self._folder, self._options = teacher, turns, folder, options
        self._wanted = float("inf") if hours is None else hours * 3600
        self._choices = {name: getattr(options, name) for name in _CHOICES}
        self._facts = {"teacher": dict(teacher.identity()), "options": self._choices}
        self._done: dict[int, Clip | str] = {}
        self._end, self._seconds = 0, 0.0
        self._journal = Journal(folder / _JOURNAL)
        for record in self._journal:
            self._take(record)

    def _take(self, record: Mapping[str, Any]) -> None:
        """A record of the journal: what the job depends on, or a turn, with its clip or the reason why it has none."""
        if "job" in record:
            refuse_other_job(self._folder, record["job"], self._facts, way_out="remove the folder, or choose another")
        elif (turn := Turn(**record["turn"])) in self._turns[turn.number : turn.number + 1]:
            self._done[turn.number] = Clip(**record["clip"]) if "clip" in record else record["skipped"]

    def read_all(self) -> None:
        """Read what is not read yet, until there is enough."""
        if not any(True for _ in self._journal):
            self._journal.add({"job": self._facts})
        expected = sum(len(turn.text) for turn in self._turns) / _CHARACTERS_PER_SECOND
        read = partial(_read, self._teacher, self._folder, self._options)
        with Meter(min(expected, self._wanted), True, "read", audio) as meter:
            self._advance(meter)
            left = (turn for turn in self._turns if turn.number not in self._done)
            with closing(share(read, left, self._options.jobs)) as work:
                while not self._complete:
                    turn, result = next(work)
                    self._journal.add(_record(turn, result))
                    self._done[turn.number] = result
                    self._advance(meter)

    def _advance(self, meter: Meter) -> None:
        """Move the end of the corpus over what is done without a gap."""
        while not self._complete and self._end in self._done:
            result = self._done[self._end]
            self._end += 1
            if isinstance(result, Clip):
                self._seconds += result.seconds
                meter.advance(result.seconds)

    @property
    def _complete(self) -> bool:
        return self._end == len(self._turns) or self._seconds >= self._wanted

    def finish(self, casting: Mapping[str, object], skipped: Counter[str]) -> str:
        """Write the manifests and the card; remove what was read beyond the end."""
        clips: dict[str, list[Clip]] = {split: [] for split in (*SPLITS, STRANGERS)}
        for turn in self._turns[: self._end]:
            result = self._done[turn.number]
            if isinstance(result, Clip):
                clips[turn.split].append(result)
            else:
                skipped[result] += 1
        if not any(clips.values()):
            raise InputError(f"{self._folder}: no text to read; skipped {listed(skipped) or 'none, there was none'}")
        teacher = self._teacher
        card = data_card(teacher.title, [teacher.about, teacher.license], {**self._choices, **casting}, clips, skipped)
        publish(self._folder, clips, card)
        records = [{"job": self._facts}, *(_record(turn, self._done[turn.number]) for turn in self._turns[: self._end])]
        write_whole(self._folder / _JOURNAL, "".join(f"{dump_json(record)}\n" for record in records).encode())
        kept = {self._folder / clip.audio for part in clips.values() for clip in part}
        for path in self._folder.glob("audio/*/*"):
            if _OURS.fullmatch(path.name) and path not in kept:
                path.unlink()
        return summary(self._folder, clips, skipped)


def _read(teacher: Teacher, folder: Path, options: SpeechOptions, turn: Turn) -> tuple[Turn, Clip | str]:
    """The manifest line of a text that was read, or the reason why it is left out."""
    try:
        speech = teacher.read(turn.text, turn.voice)
    except Unreadable as problem:
        return turn, f"texts {problem}"
    samples = level(resample(speech.samples, teacher.sample_rate, options.sample_rate), turn.text, options)
    if isinstance(samples, str):
        return turn, samples
    speaker = teacher.speaker(turn.voice)
    name = f"{speaker}/{turn.number:06}"
    write_audio(folder / f"audio/{name}.flac", samples, options.sample_rate)
    seconds = round(len(samples) / options.sample_rate, 4)
    alignment = None if speech.alignment is None else write_alignment(speech.alignment)
    return turn, Clip(name, f"audio/{name}.flac", seconds, turn.text, speaker, teacher.language, alignment)


def _record(turn: Turn, result: Clip | str) -> dict[str, object]:
    made = {"clip": result.record()} if isinstance(result, Clip) else {"skipped": result}
    return {"turn": asdict(turn), **made}
