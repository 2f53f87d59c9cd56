"""Text as the characters of the training data; others are spelled by those."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from latent.text.front_end import FrontEnd, Reading, refuse_file, register_front_end
from s2s.json_files import dump_json, read_json

_FILE = "characters.json"
_INVISIBLE = ("Cc", "Cf", "Cs", "Mn", "Me")  # control, format, surrogate, marks; and skin tones, which are symbols
_LETTER = re.compile(r"^.*\bLETTER\s")
_BARE = str.maketrans(
    {"ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d"}
    | {"Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "ß": "ss"}
)


@register_front_end("characters")
@dataclass(frozen=True)
class CharacterFrontEnd(FrontEnd):
    """One token for each character, in lower case.

    A character that the training data lacks is replaced by its parts ("é": "e"), else by its name ("€": "euro sign"),
    else left out.
    """

    name: ClassVar[str] = "characters"

    alphabet: str
    """The characters, sorted."""

    @classmethod
    def learn(cls, texts: Sequence[str], file: str | None) -> CharacterFrontEnd:
        refuse_file("characters", file)
        return cls("".join(sorted({character for text in texts for character in text.casefold()})))

    def __len__(self) -> int:
        return len(self.alphabet)

    def read(self, text: str) -> Reading:
        text = text.casefold()
        spelled = [spell(character, self._knows) for character in text]
        return reading([self.alphabet.index(known) for part in spelled for known in part], text, spelled, self._knows)

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(self.alphabet[token] for token in tokens)

    def sounds(self, text: str) -> list[str | None]:
        read = (self.alphabet[token] for token in self.tokens(text))
        return [character if sounding(character) else None for character in read]

    def save(self, folder: Path) -> None:
        (folder / _FILE).write_text(dump_json(self.alphabet) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> CharacterFrontEnd:
        return cls(str(read_json(folder / _FILE)))

    def _knows(self, text: str) -> bool:
        return all(character in self.alphabet for character in text)


def spell(character: str, knows: Callable[[str], bool]) -> str:
    """The first of a character's `spellings` that a front end knows; empty if it knows none.

    An invisible character (a joiner, direction mark, variation selector, skin tone, or combining mark without a
    composed form) is read only where the training data had it.
    """
    if knows(character):
        return character
    return "" if invisible(character) else next(filter(knows, spellings(character)), "")


def spellings(character: str) -> Iterator[str]:
    """Other ways to write a character, in lower case: without its marks, or by its name in Unicode ("α": "alpha")."""
    plain = bare(character)
    if plain and plain != character:
        yield plain.casefold()
    name = _LETTER.sub("", unicodedata.name(character, "")).replace("-", " ").casefold()
    if name:
        yield f" {name} "


def bare(text: str) -> str:
    """A text without accents: "café" is "cafe", "Łódź" is "Lodz"."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_BARE))
    return "".join(part for part in decomposed if not unicodedata.combining(part))


def sounding(character: str) -> bool:
    """Whether a character is a letter, a figure, or part of one, and so may be heard."""
    return unicodedata.category(character)[0] in "LNM"


def invisible(text: str) -> bool:
    """Whether characters show nothing by themselves: they format, or change the character before them."""
    return all(unicodedata.category(sign) in _INVISIBLE or "\U0001f3fb" <= sign <= "\U0001f3ff" for sign in text)


def reading(
    tokens: list[int], parts: Sequence[str], spelled: Sequence[Sequence[str]], knows: Callable[[str], bool]
) -> Reading:
    """A reading from the parts of a text, how each is spelled (empty: not at all), and which need no spelling."""
    new = [(part, read) for part, read in zip(parts, spelled, strict=True) if not knows(part) and not invisible(part)]
    return Reading(tokens, [part for part, read in new if read], [part for part, read in new if not read])
