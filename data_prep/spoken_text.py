"""Transcripts to what was said: plain characters, numbers and signs as words."""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Callable

from s2s.errors import InputError

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        "…": "...",
        "\u00ad": None,
        "\u200b": None,
        "\ufeff": None,
    }
)

SIGNS = {
    "en": {"#": "pound", "*": "star", "&": "and", "%": "percent", "+": "plus", "=": "equals"},
    "es": {"#": "numeral", "*": "asterisco", "&": "y", "%": "por ciento", "+": "más", "=": "igual"},
    "fr": {"#": "dièse", "*": "étoile", "&": "et", "%": "pour cent", "+": "plus", "=": "égal"},
    "it": {"#": "cancelletto", "*": "asterisco", "&": "e", "%": "per cento", "+": "più", "=": "uguale"},
    "ru": {"#": "решётка", "*": "звёздочка", "&": "и", "%": "процентов", "+": "плюс", "=": "равно"},
    "de": {"#": "Raute", "*": "Stern", "&": "und", "%": "Prozent", "+": "plus", "=": "gleich"},
}
"""How signs are said, by language."""

_LONGEST_NUMBER = 2
_PUNCTUATION = frozenset(" .,;:!?'\"-()¿¡")


def plain(text: str) -> str:
    """The text in composed form (NFC), with plain quotes, dashes and dots, and single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_PLAIN).split())


def spell_out(text: str, language: str, skip: Callable[[str], None]) -> str | None:
    """A plain text with its numbers and signs as words; None, after telling `skip` why, if that would be a guess.

    A number of one or two digits has one reading. A longer one (1234, 28.8, 2007) may be read in several ways, and a
    sign that has no name in `SIGNS` may not be read at all; training on a guess teaches wrong sounds.

    Raises:
        InputError: num2words, which spells numbers, is not installed or does not know the language.
    """
    for sign, word in SIGNS.get(language, {}).items():
        text = text.replace(sign, f" {word} ")
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
    try:
        num2words = importlib.import_module("num2words")
    except ModuleNotFoundError as error:
        raise InputError('num2words is not installed; it comes with pip install "unilatent[speech]"') from error
    try:
        return str(num2words.num2words(int(digits), lang=language))
    except NotImplementedError as error:
        raise InputError(
            f"--language: num2words cannot spell numbers in {language!r}; use --no-spell-out to keep digits"
        ) from error


def normal_form(text: str) -> str:
    """What two texts have in common when they are the same sentence: letters and digits, in lower case."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold())) or text
