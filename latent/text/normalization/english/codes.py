"""What is read digit by digit in English: telephone numbers and codes, and letters with digits."""

from __future__ import annotations

import re

from latent.text.normalization.english.amounts import NUMBERS
from latent.text.normalization.english.words import STATES
from latent.text.normalization.rules import Rule, alternatives, rule

_CUES = (
    r"(?:code|passcode|pin|zip|id|password|account|serial|tracking|postcode|hotline|order)\b"
    r"(?:\s(?:code|number|no\.?|id))?(?:\sis|:)?"
)

_PLACES = "[Rr]oom|[Gg]ate|[Ss]eat|[Uu]nit|[Ff]lat|[Ss]uite|apartment|[Bb]uilding|[Bb]lock|[Gg]rade|[Ss]ize|[Ll]ine|"
_PLACES += "[Ee]xit|[Rr]oute|[Hh]ighway|[Pp]latform|[Tt]rack|[Tt]erminal|[Tt]able|[Ff]igure|[Ss]ection|[Ff]orm|[Dd]oor"


def digits(text: str) -> str:
    """ "407" as "four oh seven"."""
    return NUMBERS.digits(text, "oh")


def _telephone(found: re.Match[str]) -> str:
    groups = re.findall(r"\d+", found[0])
    plus = "plus " if found[0].startswith("+") else ""
    return plus + ", ".join("eight hundred" if group == "800" else digits(group) for group in groups)


def _after_cue(found: re.Match[str]) -> str:
    return found["cue"] + digits(found["digits"])


def _letters_and_digits(found: re.Match[str]) -> str:
    """ "B12" as "B twelve", "BA2490" as "B A two four nine oh", "221B" as "two twenty-one B"."""
    if re.fullmatch(r"\d+[KMB]", found[0]) and not re.search(rf"\b(?:{_PLACES})\s$", found.string[: found.start()]):
        return found[0]  # an amount, which a later rule reads
    return " ".join(map(_part, re.findall(r"\d+|[A-Za-z]+", found[0])))


def _part(part: str) -> str:
    if not part.isdecimal():
        return part.lower() if len(part) > 3 else " ".join(part)
    if len(part) <= 2 and part[0] != "0":
        return NUMBERS.cardinal(part)
    if len(part) == 3 and "0" not in part[:2]:
        return f"{NUMBERS.cardinal(part[0])} {NUMBERS.cardinal(part[1:])}"
    return digits(part)


TELEPHONES: tuple[Rule, ...] = (
    rule(rf"(?P<cue>\b(?i:{_CUES})\s)(?P<digits>\d{{2,}}(?:\s\d{{2,}})+)\b(?![.,:/-]?\d)", _after_cue),
    rule(r"(?<![\w.,-])[1-9]\d{0,2}(?:\s\d{3})*(?:\s000)(?![\d-])", lambda found: re.sub(r"\s", "", found[0])),
    rule(r"(?<![\w.,-])[1-9]\d{0,2}(?:\.000){2,}(?![\d.]*\d)", lambda found: found[0].replace(".", "")),
    rule(r"\+\d{1,3}(?:[\s-]\d{2,4}){2,4}\b", _telephone),
    rule(r"(?:\b1-)?\(\d{3}\)\s?\d{3}[-\s]\d{4}\b", _telephone),
    rule(r"(?<![\w-])(?:1-)?\d{3}-\d{3}-\d{4}\b(?!-)", _telephone),
    rule(r"(?<![\w$€£.,-])0\d{1,4}(?:[\s-]\d{3,8}){1,3}\b(?!-)", _telephone),
    rule(r"(?<![\w$€£.,-])\d{3}[-\s]\d{4}\b(?![-,.]\d|\s?-)", _telephone),
    rule(r"(?P<cue>\b(?i:dial|call)\s)(?P<digits>\d{3})\b(?![-\s]\d)", _after_cue),
    rule(rf"(?P<cue>\b(?i:{_CUES})\s)(?P<digits>\d{{3,}})\b(?![.,:/-]?\d)", _after_cue),
    rule(r"(?P<cue>\b(?i:extension|ext\.)\s)(?P<digits>\d{3,})\b", _after_cue),
    rule(rf"(?P<cue>\b(?:{alternatives(STATES)})\s)(?P<digits>\d{{5}})\b(?!\.?\d)", _after_cue),
    rule(
        r"(?P<cue>\b(?:[Oo]n|[Oo]ff|[Tt]ake)\sthe\s)(?P<digits>[1-9]0[1-9])\b"
        r"(?=\s(?:is|was|has|near|at|north|south|east|west|freeway|until)\b|[.,!?]|$)",
        _after_cue,
    ),
    rule(r"(?P<cue>\b[Ee]rror\s)(?P<digits>\d{3})\b", _after_cue),
    rule(r"(?P<cue>)\b(?P<digits>\d{3})(?=\serrors?\b)", _after_cue),
    rule(r"(?P<cue>\bBoeing\s)(?P<digits>7\d7)\b", lambda found: found["cue"] + _part(found["digits"])),
    rule(r"\b\d(?:-\d){2,}\b", lambda found: NUMBERS.digits(found[0])),
)
"""Before dates and amounts, which would read their parts."""
LETTERS_AND_DIGITS: tuple[Rule, ...] = (
    rule(r"(?<=\b[A-Z]\d)\s?-\s?(?=[A-Z]\d\b)", " to "),
    rule(r"\b(?=[A-Z]*\d)(?=\d*[A-Z])(?:[A-Z]{1,8}-?\d{1,5}[A-Z]?|\d{1,4}[A-Z])\b(?![.,]\d)", _letters_and_digits),
    rule(r"(?<=\b[A-Z]{3}\s)\d{3}\b(?!,\d)", lambda found: digits(found[0])),
)
LEADING_ZEROS: tuple[Rule, ...] = (
    rule(r"(?<![\d.,])007\b", "double oh seven"),
    rule(r"(?<![\d.,])0\d+\b(?![.,]\d)", lambda found: NUMBERS.digits(found[0])),
)
