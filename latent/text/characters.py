"""Text as the characters of the training data; others are spelled by those."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from latent.text.front_end import FrontEnd, refuse_file, register_front_end
from s2s.errors import InputError

_FILE = "characters.json"


@register_front_end("characters")
@dataclass(frozen=True)
class CharacterFrontEnd(FrontEnd):
    """One token for each character, in lower case.

    A character that the training data lacks is replaced by its parts ("é": "e"), else by its name ("€": "euro sign").

    Args:
        alphabet: The characters, sorted.
    """

    name: ClassVar[str] = "characters"

    alphabet: str

    @classmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> CharacterFrontEnd:
        refuse_file("characters", file)
        return cls("".join(sorted({character for text in texts for character in text.casefold()})))

    def __len__(self) -> int:
        return len(self.alphabet)

    def tokens(self, text: str) -> list[int]:
        """See `FrontEnd`.

        Raises:
            InputError: a character has no name that could be spelled.
        """
        return [self.alphabet.index(known) for found in text.casefold() for known in self._spelled(found)]

    def out_of_vocabulary(self, text: str) -> list[str]:
        return [character for character in text.casefold() if character not in self.alphabet]

    def save(self, folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(self.alphabet, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> CharacterFrontEnd:
        return cls(str(json.loads((folder / _FILE).read_text(encoding="utf-8"))))

    def _spelled(self, character: str) -> Iterator[str]:
        if character in self.alphabet:
            yield character
            return
        for spelling in spellings(character):
            if all(letter in self.alphabet for letter in spelling):
                yield from spelling
                return
        raise InputError(f"text: the character {character!r} is not in the training data, and no name of it is either")


def spellings(character: str) -> Iterator[str]:
    """Other ways to write a character, in lower case: without its marks, or by the name that Unicode gives it."""
    bare = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    if bare and bare != character:
        yield bare.casefold()
    name = unicodedata.name(character, "").replace("-", " ").casefold()
    if name:
        yield f" {name} "
