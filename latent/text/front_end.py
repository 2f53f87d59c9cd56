"""The interface of a text front end, and their registry: text to tokens, and what it could not read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from s2s.errors import ConfigError
from s2s.registry import Registry

FRONT_ENDS = Registry("front_end", "latent.text")

register_front_end = FRONT_ENDS.register


class FrontEnd(ABC):
    """Cuts texts into tokens 0 to `len(front_end) - 1`; equal ones make equal tokens of equal texts."""

    name: ClassVar[str]
    """What it is registered as."""

    @classmethod
    @abstractmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> FrontEnd:
        """A front end for texts like these.

        Args:
            texts: What is said in the training data.
            file: What it is made of besides (a dictionary, a model), as the configuration names it.

        Raises:
            ConfigError: a file is missing or is not wanted.
            InputError: the file cannot be read.
        """

    @abstractmethod
    def __len__(self) -> int:
        """How many tokens there are."""

    @abstractmethod
    def tokens(self, text: str) -> list[int]:
        """The tokens of a text that is plain (see `latent.text.spoken`)."""

    def sounds(self, text: str) -> list[str | None]:
        """What alignments call each token of a plain text; None for tokens that are silent.

        Raises:
            ConfigError: recordings are not aligned with tokens of this front end.
        """
        raise ConfigError(f"task.cues: recordings are aligned with phonemes, not with the tokens of {self.name!r}")

    def out_of_vocabulary(self, text: str) -> list[str]:
        """Parts of the text that it does not know, and reads letter by letter or by name: likely to sound wrong."""
        return []

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write it into a run folder."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> FrontEnd:
        """Read it from a run folder.

        Raises:
            OSError, ValueError: a file is missing or broken.
        """


def refuse_file(name: str, file: str | None) -> None:
    """For front ends that need no file.

    Raises:
        ConfigError: there is one.
    """
    if file is not None:
        raise ConfigError(f"task.front_end.file: the front end {name!r} takes none, found {file!r}")
