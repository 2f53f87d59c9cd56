"""What every aligner does, and the reasons for which a recording gets no alignment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from latent.audio.files import Samples
from latent.data.manifest import Alignment, Utterance
from latent.text.front_end import FrontEnd

UNREADABLE, UNFOUND, WORDLESS = "that cannot be read", "whose text was not found in the sound", "without words"


class Aligner(ABC):
    """Finds when the units of texts sound in their recordings."""

    front_end: FrontEnd
    """Cuts texts into the units to find."""
    languages: Collection[str]
    """Codes of the languages that it aligns; none if they are not known."""

    @abstractmethod
    def align(self, utterances: Sequence[Utterance], processes: int) -> dict[str, Alignment | str]:
        """The alignment of each utterance by its id, or why it has none ("without words").

        Raises:
            InputError: a package is not installed, or nothing can be learned from these recordings.
        """

    @abstractmethod
    def find(self, said: str, samples: Samples) -> Alignment | str:
        """The alignment of a text as it is spoken in a signal `(S,)` at 16 kHz, or why it has none."""
