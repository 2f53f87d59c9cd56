"""Text as it is spoken: plain characters, numbers and signs as words."""

from __future__ import annotations

import re
import unicodedata

from s2s.packages import load

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        "…": "...",
        **dict.fromkeys("\u00ad\u200b\ufeff", ""),
        **dict.fromkeys(map(chr, range(0xD800, 0xE000)), ""),  # half a surrogate pair is no character
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
"""Names of signs, by language."""

_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def plain(text: str) -> str:
    """The text in composed form (NFC), with plain quotes, dashes and dots, and single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_PLAIN).split())


def signs_as_words(text: str, language: str) -> str:
    """The text with the signs of `SIGNS` as words."""
    for sign, word in SIGNS.get(language, {}).items():
        text = text.replace(sign, f" {word} ")
    return text


def number_as_words(digits: str, language: str) -> str:
    """A whole or decimal number as a cardinal in words, or unchanged where num2words cannot spell it.

    Raises:
        InputError: num2words is not installed.
    """
    num2words = load("num2words", "speech")
    try:
        return str(num2words.num2words(float(digits) if "." in digits else int(digits), lang=language))
    except (NotImplementedError, ArithmeticError, LookupError, TypeError, ValueError):  # language, or too many digits
        return digits


def spoken(text: str, language: str) -> str:
    """A text as a model speaks it: plain, with numbers and signs as words. Texts of data preparation do not change.

    Raises:
        InputError: as `number_as_words`.
    """
    text = signs_as_words(plain(text), language)
    if language == "en":
        text = _GROUPED.sub(lambda found: found[0].replace(",", ""), text)
    text = plain(_NUMBER.sub(lambda found: f" {number_as_words(found[0], language)} ", text))
    return re.sub(r" (?=[.,;:!?])", "", text)
