"""Songs for lyrics: a melody line by line, each after the notes of the lines before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from s2s.data.melody import Note, as_text, check_together, read_notes, syllables_of
from s2s.data.song import Line, Song
from s2s.data.text_lines import read_text
from s2s.errors import InputError
from s2s.generation.generator import Generator
from s2s.packages import load
from s2s.tasks.melody_from_lyrics import CONTEXT, MelodyFromLyrics

EXTRA = "music"


def read_lyrics(path: Path, language: str | None) -> list[str]:
    """The lines of lyrics in a file, without empty ones; with a language, long words in its syllables (pyphen).

    Raises:
        InputError: there is none, one has no syllables, or nothing is known of the language.
    """
    lines = [(number, line) for number, line in enumerate(read_text(path).splitlines(), start=1) if line.strip()]
    if not lines:
        raise InputError(f"{path}: holds no lyrics; expected a line of them on each line")
    divided = [(number, line if language is None else hyphenated(line, language)) for number, line in lines]
    return [" ".join(syllables_of(line, f"{path}:{number}")) for number, line in divided]


def hyphenated(text: str, language: str) -> str:
    """A text with a hyphen between the syllables of its words, as pyphen knows the language."""
    pyphen = load("pyphen", EXTRA)
    if pyphen.language_fallback(language) is None:
        raise InputError(f"--hyphenate: no hyphenation of {language!r} is known; en, de, fr and others are")
    known = pyphen.Pyphen(lang=pyphen.language_fallback(language))
    return " ".join(known.inserted(word) for word in text.split())


def compose(generator: Generator, lyrics: Iterable[str], beats_per_minute: float) -> Song:
    """A song for lines of lyrics in syllables.

    Raises:
        InputError: the run writes no melodies, or a line is too long for it.
    """
    task = generator.task
    if not isinstance(task, MelodyFromLyrics):
        raise InputError(f"the run writes no melodies: its task is {generator.config.task.name!r}")
    lines: list[Line] = []
    before: list[Note] = []
    for number, line in enumerate(lyrics, start=1):
        context = as_text(before[-task.config.max_notes :])
        made = _melody_of(generator, {"id": f"line {number}", "src": line, CONTEXT: context})
        notes, syllables = read_notes(made, f"line {number}"), syllables_of(line, f"line {number}")
        check_together(syllables, notes, f"line {number}")
        lines.append(Line(syllables, notes))
        before += notes
    return Song(lines, beats_per_minute)


def _melody_of(generator: Generator, record: dict[str, str]) -> str:
    try:
        return generator.generate(record).text
    except InputError as error:
        raise InputError(f"{record['id']} of the lyrics: {str(error).removeprefix('text 1: ')}") from error
