"""The text of VibeVoice-Realtime while it is written: words become tokens as they come, in sequences that fit.

A sequence ends with the text, or with a sentence once it has its length, so that the next one begins afresh from the
preset. This depends on the text alone, not on the pieces in which it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from latent.synthesis.released import says_something
from latent.text.arriving import Word

_SENTENCE_END = tuple(".!?…。！？")
_CLOSING = "\"'”’»)]」』）"
_MOST = 1.5  # a sequence without the end of a sentence may be so many times as long


class ArrivingSequence:
    """The tokens of one sequence. Iterating waits for its words, and goes on where it stopped.

    Args:
        opening: Its first words.
        words: Those that follow.
        encode: Tokenizes text.
        size: Characters after which the end of a sentence ends it.
    """

    def __init__(
        self, opening: Sequence[Word], words: Iterator[Word], encode: Callable[[str], Sequence[int]], size: int
    ) -> None:
        self.opening = "".join(word.text for word in opening)
        self.characters = 0
        """Characters read so far."""
        self._tokens = self._read(chain(opening, words), encode, size)

    def __iter__(self) -> Iterator[int]:
        return self._tokens

    def _read(self, words: Iterator[Word], encode: Callable[[str], Sequence[int]], size: int) -> Iterator[int]:
        for word in words:
            self.characters += len(word.text)
            is_end = word.text.rstrip(_CLOSING).endswith(_SENTENCE_END)
            if word.is_last or self.characters >= (size if is_end else _MOST * size):
                yield from encode(f"{word.text}\n")
                return
            yield from encode(word.text)


def next_sequence(words: Iterator[Word], encode: Callable[[str], Sequence[int]], size: int) -> ArrivingSequence | None:
    """The sequence that begins with the next word that says something; None if none does."""
    opening: list[Word] = []
    for word in words:
        opening.append(word if opening else Word(word.text.lstrip(), word.is_last))
        if says_something(word.text):
            return ArrivingSequence(opening, words, encode, size)
    return None
