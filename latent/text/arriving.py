"""Text that is still being written: what of it can be spoken already.

Neither words nor sentences depend on the pieces in which a text arrives.
"""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from s2s.data.sentences import sentence_ends
from s2s.errors import InputError

_WORD_START = re.compile(r"(?<=\S) (?=\s*\S)|(?<=[^\W_])(?=[，。！？、；：])")
_SPACE = re.compile(r"\s+")


class ArrivingText:
    """Pieces of a text, as they are written. Iterating waits for them, once.

    Args:
        pieces: Of any length.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self.begun: float | None = None
        """When the first piece had arrived (`time.monotonic`); None before."""
        self.waited = 0.0
        """Seconds spent waiting for pieces."""

    def __iter__(self) -> Iterator[str]:
        while True:
            before = time.monotonic()
            piece = next(self._pieces, None)
            now = time.monotonic()
            self.waited += now - before
            if piece is None:
                return
            self.begun = self.begun or now
            yield piece


def pieces_of(file: BinaryIO, name: str) -> Iterator[str]:
    """The text of a file as it comes, such as from a pipe; InputError, with the `name`, where it is not UTF-8."""
    decode = codecs.getincrementaldecoder("utf-8-sig")().decode
    try:
        while block := file.read1(1 << 12):  # type: ignore[attr-defined]
            yield decode(block)
        decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: invalid UTF-8; expected UTF-8 text") from error


class Word(NamedTuple):
    """A word with the blank before it, and whether it is the last of its text."""

    text: str
    is_last: bool


def arriving_words(pieces: Iterable[str]) -> Iterator[Word]:
    """Each word as soon as more text shows that it is whole.

    Joined, they are the text without white space around it. They begin where tokenizers that split at blanks (all of
    the GPT-2 family) begin a token in any case, so the tokens of a text are those of its words.
    """
    rest = ""
    for piece in pieces:
        rest = rest + piece if rest else piece.lstrip()
        start = 0
        for found in _WORD_START.finditer(rest):
            yield Word(rest[start : found.start()], False)
            start = found.start()
        rest = rest[start:]
    if rest.strip():
        yield Word(rest.rstrip(), True)


def arriving_sentences(pieces: Iterable[str]) -> Iterator[str]:
    """Each sentence, with single blanks between words, as soon as the first word of the next one is whole."""
    rest = ""
    for piece in pieces:
        rest = _SPACE.sub(" ", rest + piece).lstrip()
        start = 0
        for end in sentence_ends(rest):
            if not _is_settled(rest, end):
                break
            yield rest[start:end].rstrip()
            start = end
        rest = rest[start:]
    start = 0
    for end in [*sentence_ends(rest), len(rest)]:
        if sentence := rest[start:end].strip():
            yield sentence
        start = end


def _is_settled(text: str, end: int) -> bool:
    """Whether later text cannot change that a sentence ends there: the rules look at the whole word after a blank."""
    return text.find(" ", end) > 0 if text[end - 1] == " " else end < len(text)
