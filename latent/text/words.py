"""Text as the words of the training data: for classes and short captions, in which no word is new."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from latent.text.front_end import FrontEnd, Reading, refuse_file, register_front_end
from s2s.data.readable import join_words
from s2s.json_files import dump_json, read_json

_FILE = "words.json"
_WORD = re.compile(r"\w+|[^\w\s]")


@register_front_end("words")
@dataclass(frozen=True)
class WordFrontEnd(FrontEnd):
    """One token for each word and each mark, in lower case; words that the training data lacks are left out."""

    name: ClassVar[str] = "words"

    vocabulary: tuple[str, ...]
    """The words, sorted."""

    @classmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> WordFrontEnd:
        refuse_file("words", file)
        return cls(tuple(sorted({word for text in texts for word in _words(text)})))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def read(self, text: str) -> Reading:
        places = {word: place for place, word in enumerate(self.vocabulary)}
        found = _words(text)
        return Reading([places[word] for word in found if word in places], [], [w for w in found if w not in places])

    def text(self, tokens: Sequence[int]) -> str:
        return join_words([self.vocabulary[token] for token in tokens])

    def save(self, folder: Path) -> None:
        (folder / _FILE).write_text(dump_json(self.vocabulary) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> WordFrontEnd:
        return cls(tuple(map(str, read_json(folder / _FILE))))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
