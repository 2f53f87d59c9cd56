"""Text as it is spoken: plain characters, numbers and signs as words."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

from latent.text.normalization import normalizer
from latent.text.pronunciation import GIVEN
from s2s.packages import load

logger = logging.getLogger(__name__)

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

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_GIVEN = "\U00100000"  # stands for a pronunciation: a private character, which no rule reads
_COMMA_LANGUAGES = frozenset(
    ("cs", "da", "de", "fi", "hr", "hu", "id", "it", "nl", "no", "pl", "pt", "ro", "ru", "sl", "sv", "tr", "uk")
)  # which write "1.234,5"
_GROUPED = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:[. ]\d{3})+(?:,\d+)?|\d+,\d+)(?![\d.,]*\d)")
_EUROS = re.compile(r"€ ?(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?) ?€")
_EURO = {"de": "Euro", "it": "euro", "nl": "euro", "pl": "euro", "pt": "euros", "ru": "евро"}
_LONGEST_NUMBER = 15  # digits, as in the languages with rules of their own
_LONGEST = 500
_MOST_PASSES = 4
_CUT = re.compile(rf".{{1,{_LONGEST}}}[.!?] (?=[A-Z])|.{{1,{_LONGEST}}} ")
_LIST = re.compile(r"^(?:[-*+>•] )+")  # a mark that a rule has moved to the beginning, where it would be one of a list
_BEFORE_MARK = re.compile(r" (?=[.,;:!?])")


def plain(text: str) -> str:
    """The text in composed form (NFC), with plain quotes, dashes and dots, and single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_PLAIN).split())


def signs_as_words(text: str, language: str) -> str:
    """The text with the signs of `SIGNS` as words."""
    for sign, word in SIGNS.get(language, {}).items():
        text = text.replace(sign, f" {word} ")
    return text


def number_as_words(digits: str, language: str) -> str:
    """A number as a cardinal in words, or digit by digit if it is long; unchanged where num2words cannot spell it.

    Raises:
        InputError: num2words is not installed.
    """
    num2words = load("num2words", "speak")
    if not any(code in num2words.CONVERTER_CLASSES for code in (language, language[:2])):
        _warn_of_language(language)
    if len(digits) > _LONGEST_NUMBER and "." not in digits:
        return " ".join(number_as_words(digit, language) for digit in digits)
    try:
        return str(num2words.num2words(float(digits) if "." in digits else int(digits), lang=language))
    except (NotImplementedError, ArithmeticError, LookupError, TypeError, ValueError):  # language, or too many digits
        return digits


@lru_cache  # once, not for every number
def _warn_of_language(language: str) -> None:
    logger.warning(f"numbers are not read as in the language {language!r}, which num2words does not know")


def spoken(text: str, language: str) -> str:
    """A text as a model speaks it: in plain characters, with numbers, signs and abbreviations as words.

    English, Spanish and French have rules of their own (`latent.text.normalization`); other languages get the numbers
    of num2words and the names of `SIGNS`. What has been spoken once does not change. Pronunciations stay as they are.

    Raises:
        InputError: num2words is not installed.
    """
    given = [f"[[{written}]]" for written in GIVEN.findall(text)]
    text = plain(GIVEN.sub(_GIVEN, text.replace(_GIVEN, "")) if given else text)
    normalize = normalizer(language)
    said = _settled(text, normalize) if normalize else _said(text, lambda piece: _general(piece, language))
    return re.sub(_GIVEN, lambda _: given.pop(0), said) if given else said


def _settled(text: str, normalize: Callable[[str], str]) -> str:
    """The text after the rules, and again as long as they find something to change in what they wrote."""
    said = _LIST.sub("", _said(text, normalize))
    for _ in range(_MOST_PASSES):
        again = _LIST.sub("", _said(said, normalize))
        if again.casefold() == said.casefold():
            break
        said = again
    return said


def _said(text: str, normalize: Callable[[str], str]) -> str:
    return _BEFORE_MARK.sub("", plain(" ".join(map(normalize, _pieces(text)))))


def _pieces(text: str) -> Iterator[str]:
    """Parts of a text, at most `_LONGEST` long if it can be cut at the end of a sentence or between words.

    A rule may look at all that precedes and follows, so its time grows with the square of the length.
    """
    while len(text) > _LONGEST:
        found = _CUT.match(text)
        end = found.end() if found else _LONGEST
        yield text[:end]
        text = text[end:]
    yield text


def _general(text: str, language: str) -> str:
    if language[:2] in _COMMA_LANGUAGES:
        text = _GROUPED.sub(lambda found: re.sub("[. ]", "", found[0]).replace(",", "."), text)
    if language[:2] in _EURO:
        text = _EUROS.sub(lambda found: _euros(found[1] or found[2], language), text)
    text = signs_as_words(text, language)
    return _NUMBER.sub(lambda found: f" {number_as_words(found[0], language)} ", text)


def _euros(amount: str, language: str) -> str:
    """An amount of euros in words; cents as the language says them, where num2words knows it."""
    if "." in amount:
        try:
            num2words = load("num2words", "speak").num2words
            return f" {num2words(float(amount), lang=language, to='currency', currency='EUR')} "
        except (NotImplementedError, ArithmeticError, LookupError, TypeError, ValueError):
            pass
    return f" {number_as_words(amount, language)} {_EURO[language[:2]]} "
