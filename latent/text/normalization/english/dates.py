"""Dates, times, years and decades in English, in the American order of month and day."""

from __future__ import annotations

import re

from latent.text.normalization.english import words
from latent.text.normalization.english.amounts import NUMBERS
from latent.text.normalization.rules import Rule, alternatives, ends_sentence, rule

_MONTH = rf"(?P<month>{'|'.join(words.MONTH_NAMES)}|(?:{alternatives(words.MONTHS)})\b\.?)"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_CUES = "on|by|from|through|thru|until|till|due|before|after|since|starting|dated"
_HALF = r"(?P<half>[AaPp]\.?\s?[Mm]\b\.?)"
_ZONE = re.compile(r"\s(?:A?[ECMP][SD]?T|GMT|UTC|CES?T|BST|IST|JST)\b")
_DAYS, _NO_OTHER_WORD = map(alternatives, (words.DAYS, words.ONLY_DAYS))


def year(digits: str) -> str:
    """ "1999" as "nineteen ninety-nine", "2005" as "two thousand and five", "1805" as "eighteen oh five"."""
    if len(digits) != 4 or digits[0] == "0":
        return NUMBERS.cardinal(digits)
    century, rest = digits[:2], digits[2:]
    if digits[1] == "0" and rest[0] == "0":
        return NUMBERS.cardinal(digits)
    if rest == "00":
        return f"{NUMBERS.cardinal(century)} hundred"
    return f"{NUMBERS.cardinal(century)} {minutes(rest)}"


def minutes(digits: str) -> str:
    """ "05" as "oh five"."""
    return f"oh {NUMBERS.cardinal(digits[1])}" if digits[0] == "0" else NUMBERS.cardinal(digits)


def _month(found: re.Match[str]) -> str:
    name = found["month"].rstrip(".")
    return words.MONTHS.get(name, name)


def _with_year(found: re.Match[str], said: str) -> str:
    if found["year"]:
        return f"{said}, {year(found['year'])}"
    return said + ("." if found[0].endswith(".") and ends_sentence(found) else "")


def _month_first(found: re.Match[str]) -> str:
    return _with_year(found, f"{_month(found)} {NUMBERS.ordinal(found['day'])}")


def _day_first(found: re.Match[str]) -> str:
    return _with_year(found, f"the {NUMBERS.ordinal(found['day'])} of {_month(found)}")


def _in_digits(found: re.Match[str]) -> str:
    month, day = int(found["month"]), int(found["day"])
    if month > 12:
        month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return found[0]
    return _with_year(found, f"{words.MONTH_NAMES[month - 1]} {NUMBERS.ordinal(str(day))}")


def _after_cue(found: re.Match[str]) -> str:
    """ "on 9/28" as a date; "fell by 1/2" and "from 3/4" stay fractions."""
    if found["cue"].strip().casefold() in ("by", "from") and found["day"] in ("2", "3", "4", "5", "6", "8", "10", "16"):
        return found[0]
    said = _in_digits(found)
    return found[0] if said == found[0] else found["cue"] + said


def _time(found: re.Match[str]) -> str:
    hour, minute, second, half = (found[name] for name in ("hour", "minute", "second", "half"))
    said = ["zero" if hour == "00" else NUMBERS.cardinal(hour)]
    if second:
        said += [minutes(minute), "zero zero" if second == "00" else NUMBERS.cardinal(second)]
    elif minute and minute != "00":
        said.append(minutes(minute))
    elif minute and not half:
        said.append("o'clock" if 1 <= int(hour) <= 12 else "hundred")
    if half:
        ends = half.endswith(".") and ends_sentence(found) and not _ZONE.match(found.string, found.end())
        said.append(f"{half[0].upper()} M" + ("." if ends else ""))
    return " ".join(said)


def _decade(found: re.Match[str]) -> str:
    century, tens = found["century"], found["tens"]
    if tens == "00":
        return f"{NUMBERS.cardinal(century)} hundreds" if century[1] != "0" else f"{NUMBERS.cardinal(century + tens)}s"
    word = NUMBERS.cardinal(tens)
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{NUMBERS.cardinal(century)} {plural}" if century else plural


def _days(found: re.Match[str]) -> str:
    return f"{_month(found)} {NUMBERS.ordinal(found['day'])} to {NUMBERS.ordinal(found['last'])}"


def _weekday(found: re.Match[str]) -> str:
    return words.DAYS[found[1]]


RULES: tuple[Rule, ...] = (
    rule(rf"\b({_DAYS})\.?\s?-\s?({_DAYS})\b\.?", lambda found: f"{words.DAYS[found[1]]} to {words.DAYS[found[2]]}"),
    rule(rf"\b({_NO_OTHER_WORD})\b(?![.'])", _weekday),
    rule(rf"(?i:(?<=\bon\s)|(?<=\b(?:next|this)\s))({_DAYS})\b(?![.'])", _weekday),
    rule(rf"\b({_DAYS})(?=,?\s(?:{_MONTH}\s\d|\d{{1,2}}(?:[:/]\d|\s?[ap]\.?m\b)))", _weekday),
    rule(rf"\b({_DAYS})(?=,?\s{_DAY}\s(?:of\s)?{_MONTH})", _weekday),
    rule(rf"\b({_DAYS})(?=\s(?:to|through|and|or)\s(?:{_DAYS})\b)", _weekday),
    rule(rf"\b{_MONTH}\s{_DAY}\s?-\s?(?P<last>\d{{1,2}})(?:st|nd|rd|th)?\b(?![-/:\d])", _days),
    rule(rf"\b{_MONTH}\s{_DAY}\b(?:,?\s{_YEAR}\b)?(?!:\d)", _month_first),
    rule(rf"(?:\b[Tt]he\s)?\b{_DAY}\s(?:of\s)?{_MONTH}(?!\w)(?:,?\s{_YEAR}\b)?", _day_first),
    rule(rf"\b{_MONTH}\s{_YEAR}\b", lambda found: f"{_month(found)} {year(found['year'])}"),
    rule(rf"\b{_YEAR}-(?P<month>\d{{2}})-(?P<day>\d{{2}})\b", _in_digits),
    rule(rf"\b(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})/{_YEAR}\b", _in_digits),
    rule(rf"(?P<cue>\b(?i:{_CUES})\s)(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})(?P<year>)\b(?![/\d]|\sof\b)", _after_cue),
    rule(r"\b(\d+)\s?h\s?(\d+)\s?m(?:in)?\b", r"\1 h \2 min"),
    rule(r"\b24/7\b", "twenty-four seven"),
    rule(r"(?<=\d:\d\d)\s?-\s?(?=\d{1,2}:\d\d)", " to "),
    rule(r"(?i:(?<=[ap]m)|(?<=[ap]\.m\.))\s?-\s?(?=\d)", " to "),
    rule(r"\b(\d{1,2})\s?-\s?(?=\d{1,2}\s?[ap]\.?m\b)", r"\1 to ", re.IGNORECASE),
    rule(rf"\b(?P<hour>\d{{1,2}}):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?:\s?{_HALF})?(?![\d:])", _time),
    rule(rf"\b(?P<hour>\d{{1,2}})(?P<minute>)(?P<second>)\s?{_HALF}(?!\w)", _time),
)
"""Dates and times."""
DECADES: tuple[Rule, ...] = (
    rule(r"(?P<century>\b\d{2})(?P<tens>\d0)'?s\b", _decade),
    rule(r"(?:'|\b)(?P<century>)(?P<tens>[1-9]0)s\b", _decade),
)
