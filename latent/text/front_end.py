"""The interface of a text front end, and their registry: text to tokens, and what it could not read as it stands."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from s2s.errors import ConfigError, InputError
from s2s.registry import Registry

FRONT_ENDS = Registry("front_end", "latent.text")

register_front_end = FRONT_ENDS.register

_WORD = re.compile(r"(?:\[\[.*?\]\]|\S)+\s*")


class NothingToSay(InputError):
    """A text holds nothing that could be read aloud."""


@dataclass(frozen=True)
class Reading:
    """A text as a front end reads it."""

    tokens: list[int]
    spelled: list[str]
    """Out-of-vocabulary parts that it reads letter by letter or by name: likely to sound wrong."""
    dropped: list[str]
    """Parts that it cannot read in any way, and leaves out."""
    guessed: Mapping[str, str] = field(default_factory=dict)
    """Words that its dictionary lacks, and how it says them: "quux" as "K W AH1 K S"."""


class FrontEnd(ABC):
    """Cuts texts into tokens 0 to `len(front_end) - 1`; equal ones make equal tokens of equal texts."""

    name: ClassVar[str]
    """Its name in the registry."""

    @classmethod
    @abstractmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> FrontEnd:
        """A front end for texts like these, and from a file (a dictionary, a model) that the configuration names.

        Raises:
            ConfigError: the file is missing, or is given to a front end that takes none.
            InputError: the file cannot be read.
        """

    @abstractmethod
    def __len__(self) -> int:
        """The number of tokens."""

    @abstractmethod
    def read(self, text: str) -> Reading:
        """Read a text that `latent.text.spoken` has normalized. Every text can be read; see `Reading.dropped`."""

    def pronounce(self, written: str) -> tuple[str, ...]:
        """The phonemes of a pronunciation that stands in a text as `[[written]]`; see `latent.text.pronunciation`.

        Raises:
            InputError: it has an unknown symbol, or the front end reads no phonemes.
        """
        raise InputError(f"[[{written}]]: this voice reads no phonemes, but the tokens of the front end {self.name!r}")

    def tokens(self, text: str) -> list[int]:
        """The tokens of `read`."""
        return self.read(text).tokens

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens.

        Raises:
            ConfigError: the tokens of this front end are no text.
        """
        raise ConfigError(f"task.front_end.name: its tokens must be text, which those of {self.name!r} are not")

    def sounds(self, text: str) -> list[str | None]:
        """The name of each token of a normalized text in alignments; None for tokens that are silent.

        Raises:
            ConfigError: recordings cannot be aligned with tokens of this front end.
        """
        known = "phonemes, characters or bytes"
        raise ConfigError(f"task.cues: recordings are aligned with {known}, not with the tokens of {self.name!r}")

    def words(self, text: str) -> list[tuple[str, int, int]]:
        """The words of a normalized text, each with its first sounding token and the one after its last.

        Empty where the words, taken one by one, have other tokens than the text.

        Raises:
            ConfigError: see `sounds`.
        """
        sounds, place, found = self.sounds(text), 0, []
        for word in _WORD.findall(text):
            after = place + len(self.tokens(word))
            heard = [token for token in range(place, min(after, len(sounds))) if sounds[token] is not None]
            found.append((word.strip(), heard[0] if heard else place, heard[-1] + 1 if heard else place))
            place = after
        return found if place == len(sounds) else []

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the front end into a run folder."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> FrontEnd:
        """Read a front end from a run folder; raises OSError or ValueError if a file is missing or broken."""


def refuse_file(name: str, file: str | None) -> None:
    """Raise ConfigError if a front end that takes no file is given one."""
    if file is not None:
        raise ConfigError(f"task.front_end.file: the front end {name!r} takes none, found {file!r}")
