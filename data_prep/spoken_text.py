"""Transcripts to spoken words, for training data; texts whose reading would be a guess are left out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from latent.text.spoken import number_as_words, plain, signs_as_words
from s2s.errors import InputError

_LONGEST_NUMBER = 2
_PUNCTUATION = frozenset(" .,;:!?'\"-()¿¡")


def spell_out(text: str, language: str, skip: Callable[[str], None]) -> str | None:
    """A plain text with its numbers and signs as words; None, and a reason to `skip`, if that would be a guess.

    A number of one or two digits has one reading. A longer one (1234, 28.8, 2007) has several, and a sign without a
    name in `SIGNS` may have none; training on a guess teaches wrong sounds.

    Raises:
        InputError: num2words, which spells numbers, is not installed or does not know the language.
    """
    text = signs_as_words(text, language)
    if re.search(rf"\d{{{_LONGEST_NUMBER + 1},}}|\d[.,:/]\d", text):
        skip(f"texts with a number of more than {_LONGEST_NUMBER} digits, which has several readings")
        return None
    text = plain(re.sub(r"\d+", lambda found: f" {_number(found[0], language)} ", text))
    text = re.sub(r" (?=[.,;:!?])", "", text)
    if any(not (letter.isalpha() or unicodedata.category(letter) == "Mn" or letter in _PUNCTUATION) for letter in text):
        skip("texts with a sign that has no reading")
        return None
    return text


def _number(digits: str, language: str) -> str:
    words = number_as_words(digits, language)
    if words == digits:
        raise InputError(
            f"--language: num2words cannot spell numbers in {language!r}; use --no-spell-out to keep digits"
        )
    return words


def normal_form(text: str) -> str:
    """A text for comparison: its letters and digits in lower case; the text itself where it has none."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold())) or text
