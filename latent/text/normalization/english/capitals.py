"""Capital letters in English: words that shout, initialisms that are spelled, Roman numerals, letters with digits."""

from __future__ import annotations

import re

from latent.text.normalization.english.amounts import NUMBERS
from latent.text.normalization.english.words import ACRONYMS, INITIALISMS, SHORT_WORDS, SMALL_INITIALISMS
from latent.text.normalization.rules import Rule, roman, rule

_COUNTED = (
    "War Chapter Part Volume Book Act Scene Section Bowl Rocky Phase Type Level Class Article Title Appendix Stage Tier"
).split()
_MONARCHS = "Elizabeth|Charles|James|Henry|George|William|Edward|Mary|Napoleon|Francis|Nicholas|Peter|Catherine|Paul"
_SMALL = "|".join([*SMALL_INITIALISMS, *map(str.capitalize, SMALL_INITIALISMS)])
_VOWELS = re.compile("[AEIOUY]")
_HARD = re.compile("[BCDFGHJKLMNPQRSTVWXZ]{3}")
_HARD_END = re.compile("(?:[BCDGJKLMNPQRTVWXZ][BCDFGJLMNPQRVWXZ]|[BCDFGJLMNPQRVWXZ][KPT])$")


def in_lower_case(text: str) -> str:
    """A text that is written in capitals throughout, in lower case; other texts as they are."""
    capitals = re.findall(r"\b[A-Z]{2,}\b", text)
    shouted = sum(word in SHORT_WORDS or _readable(word) for word in capitals)
    return text.lower() if len(capitals) >= 3 and shouted >= 2 and not re.search("[a-z]", text) else text


def _numbered(found: re.Match[str]) -> str:
    value = str(roman(found[2]))
    counted = found[1].split()[-1] in _COUNTED
    return f"{found[1]} {NUMBERS.cardinal(value)}" if counted else f"{found[1]} the {NUMBERS.ordinal(value)}"


def _readable(word: str) -> bool:
    """Whether a word in capitals looks like one that is read, not spelled."""
    if word in ACRONYMS:
        return True
    if word in INITIALISMS or len(word) < 4:
        return word in SHORT_WORDS
    begins = _VOWELS.search(word[:3]) is not None and _VOWELS.search(word[1:]) is not None
    return begins and not _HARD.search(word[:3]) and not _HARD_END.search(word)


def _capitals(found: re.Match[str]) -> str:
    word, plural = found["word"], found["plural"] or ""
    if _readable(word):
        return word.lower() + plural
    return " ".join(word) + ("'s" if plural else "")


RULES: tuple[Rule, ...] = (
    rule(r"\bX-(?=[a-z])", "x "),
    rule(r"\bWW(I{1,2})\b", lambda found: f"World War {'one' if found[1] == 'I' else 'two'}"),
    rule(rf"\b({_MONARCHS})\sI(?=\s(?:reigned|ruled|became|of|died|was)\b)", r"\1 the first"),
    rule(rf"\b({_SMALL})\b", lambda found: " ".join(found[0].upper())),
    rule(rf"\b((?:[A-Z][a-z]+\s)?(?:{'|'.join(_COUNTED)}))\s([IVXLC]+)\b", _numbered),
    rule(r"\b([A-Z][a-z]+)\s((?:X{1,3}|XL|L)?(?:IX|IV|VI{1,3}|II{1,2}|V(?=\s[a-z])|X)|X{2,3})\b", _numbered),
    rule(r"\bpH\b", "p H"),
    rule(r"\bJSON\b", "jason"),
    rule(r"\b([YQM])o([YQM])\b", r"\1 O \2"),
    rule(r"(?<=[a-z]{2})(?=[A-Z]{2,}\b)", " "),
    rule(r"(?<=[A-Z]{2})-(?=[A-Z]\b)", " "),
    rule(r"\bAT\s?&\s?T\b", "A T and T"),
    rule(r"\b([A-Z])\s?&\s?([A-Z])\b", r"\1 and \2"),
    rule(r"(?<![A-Za-z'])(?P<word>[A-Z]{2,})(?P<plural>(?:'?s)?)(?![A-Za-z])", _capitals),
    rule(r"\b([A-Z])-(?=[a-z])", r"\1 "),
    rule(r"\b([A-Z])-([A-Z])\b", r"\1 to \2"),
)
