"""What the languages share: rules, each a pattern and the words for it; numbers in words; leftovers of markup."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from s2s.packages import load

Said = Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Rule:
    """Where a pattern is found, `say` gives the words; None of them may hold what a later rule would read again."""

    pattern: re.Pattern[str]
    say: Said

    def apply(self, text: str) -> str:
        """The text with every match replaced by its words."""
        return self.pattern.sub(self.say, text)


def rule(pattern: str, say: Said | str, flags: int = 0) -> Rule:
    """A rule from a pattern, verbose and Unicode, and words or a template of groups."""
    said = say if callable(say) else lambda found: found.expand(say)
    return Rule(re.compile(pattern, re.VERBOSE | flags), said)


def apply(rules: Iterable[Rule], text: str) -> str:
    """The text after all rules, in their order."""
    for each in rules:
        text = each.apply(text)
    return text


def alternatives(words: Iterable[str]) -> str:
    """A pattern for any of the words, longest first; blanks and marks are literal."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))


def ends_sentence(found: re.Match[str]) -> bool:
    """Whether the period at the end of a match also ends a sentence."""
    return bool(re.match(r"\s*$|\s+[A-Z]", found.string[found.end() :]))


_LONGEST = 15
"""Digits of the longest number that is read as a whole; a longer one is read digit by digit."""
_GROUPS = re.compile("[ \u00a0\u202f.]")
"""Between groups of three digits, where a comma begins the fraction."""
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


class Numbers:
    """Numbers of a language in words, by num2words."""

    def __init__(self, language: str, zero: str) -> None:
        self.language, self.zero = language, zero

    def _say(self, digits: str, **how: Any) -> str:
        if len(digits) > _LONGEST:
            return self.digits(digits)
        num2words = load("num2words", "speak")
        return str(num2words.num2words(int(digits), lang=self.language, **how)).replace(",", "")

    def cardinal(self, digits: str) -> str:
        """ "12" as "twelve"."""
        return self._say(digits)

    def ordinal(self, digits: str) -> str:
        """ "12" as "twelfth"."""
        return self._say(digits, to="ordinal")

    def digits(self, text: str, zero: str | None = None) -> str:
        """ "407" as "four zero seven", or with another word for zero."""
        return " ".join(
            (zero or self.zero) if int(digit) == 0 else self._say(digit) for digit in text if digit.isdecimal()
        )

    def decimal(self, whole: str, fraction: str, point: str) -> str:
        """ "3" and "14" as "three point one four": the fraction is read digit by digit."""
        return f"{self.cardinal(whole)} {point} {self.digits(fraction)}"

    def with_comma(self, text: str, comma: str) -> str:
        """ "1.234,05" as "mil doscientos treinta y cuatro coma cero cinco": up to two digits are read as a number."""
        whole, _, fraction = _GROUPS.sub("", text).partition(",")
        if not fraction:
            return self.cardinal(whole)
        rest = fraction.lstrip("0")
        zeros = [self.zero] * (len(fraction) - len(rest))
        said = self.cardinal(rest) if rest and len(rest) <= 2 else self.digits(rest)
        return " ".join(part for part in (self.cardinal(whole), comma, *zeros, said) if part)


def roman(numeral: str) -> int:
    """ "XIV" as 14; the letters are I, V, X, L and C."""
    values = [_ROMAN[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def _without_emphasis(found: re.Match[str]) -> str:
    return found["inside"]


MARKUP = (
    rule(r"<br\s*/?>", " ", re.IGNORECASE),
    rule(r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>", "", re.IGNORECASE),
    rule(r"(?<!\S)(?:[*_=~\#]\s?){3,}(?!\S)", " "),
    rule(r"!?\[(?P<inside>[^\]\n]+)\]\([^)\s]*\)", _without_emphasis),
    rule(r"^\s*\#{1,6}\s+", "", re.MULTILINE),
    rule(r"^\s*[-*+>•]\s+", "", re.MULTILINE),
    rule(r"(?<![\w*])(\*{1,3})(?P<inside>[^\s*](?:[^*]*[^\s*])?)\1(?![\w*])", _without_emphasis),
    rule(r"(?<![\w_])(_{1,3})(?P<inside>[^\s_](?:[^_]*[^\s_])?)\1(?![\w_])", _without_emphasis),
    rule(r"~~(?P<inside>[^~]+)~~", _without_emphasis),
    rule(r"`{1,3}(?P<inside>[^`]+)`{1,3}", _without_emphasis),
)
"""Leftovers of Markdown and HTML."""


def without_markup(text: str) -> str:
    """The text without HTML entities, tags, and marks of Markdown."""
    return apply(MARKUP, html.unescape(text))
