"""What every aligner does, and the reasons for which a recording gets no alignment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from latent.data.manifest import Alignment, Utterance

UNREADABLE, UNFOUND, WORDLESS = "that cannot be read", "whose text was not found in the sound", "without words"


class Aligner(ABC):
    """Finds when the units of texts sound in their recordings."""

    @abstractmethod
    def align(self, utterances: Sequence[Utterance], processes: int) -> dict[str, Alignment | str]:
        """The alignment of each utterance by its id, or why it has none ("without words").

        Raises:
            InputError: a package is not installed, or nothing can be learned from these recordings.
        """
