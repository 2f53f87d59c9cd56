"""What a teacher is: a synthesizer with voices, which reads a text and may tell when each sound is spoken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from latent.audio.files import Samples
from latent.data.manifest import Alignment


class Unreadable(Exception):
    """A teacher cannot read a text; the message completes "left out: texts ..."."""


@dataclass(frozen=True)
class Speech:
    """A text that was read: samples `(L,)` at the teacher's rate, and when each sound is spoken, if it is known."""

    samples: Samples
    alignment: Alignment | None = None


class Teacher(ABC):
    """Reads texts aloud. It is sent to other processes, so what cannot be pickled is made at first use."""

    title: ClassVar[str]
    about: ClassVar[str]
    license: ClassVar[str]
    sample_rate: ClassVar[int]
    """Of its speech, in Hz."""
    language: ClassVar[str] = "en"
    voices: ClassVar[Sequence[str]]
    """Names of all of its voices."""
    default_voices: ClassVar[Sequence[str]]
    default_held_out: ClassVar[Sequence[str]] = ()
    """Voices that training does not hear unless the user chooses others."""
    mixes: ClassVar[bool] = False
    """Whether names joined by "+" are a voice too, a mixture of these."""

    @abstractmethod
    def speaker(self, voice: str) -> str:
        """The name of a voice in manifests."""

    @abstractmethod
    def identity(self) -> Mapping[str, object]:
        """What its speech depends on, so that a job is not continued with something else."""

    @abstractmethod
    def read(self, text: str, voice: str) -> Speech:
        """Read a normalized text, without silence of more than a fraction of a second at either end.

        Raises:
            Unreadable: it cannot read this text.
            InputError: it fails.
        """
