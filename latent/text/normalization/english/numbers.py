"""Numbers in English, in the order in which they are looked for: from telephones to single digits."""

from __future__ import annotations

import re

from latent.text.normalization.english import words
from latent.text.normalization.english.amounts import AMOUNT, NUMBERS, SUFFIXES, WHOLE, amount
from latent.text.normalization.english.amounts import RULES as AMOUNTS
from latent.text.normalization.english.codes import LEADING_ZEROS, LETTERS_AND_DIGITS, TELEPHONES
from latent.text.normalization.english.dates import DECADES, year
from latent.text.normalization.english.dates import RULES as DATES
from latent.text.normalization.rules import Rule, alternatives, ends_sentence, rule

_FRACTIONS = dict(zip("½¼¾⅓⅔⅛⅜⅝⅞", "1/2 1/4 3/4 1/3 2/3 1/8 3/8 5/8 7/8".split(), strict=True))
_PARTED = alternatives(words.PARTED_UNITS)
_NUMBERED = {name.casefold(): said for name, said in words.NUMBERED.items()}


def _fraction_sign(found: re.Match[str]) -> str:
    after_digit = found.start() and found.string[found.start() - 1].isdecimal()
    return (" " if after_digit else "") + _FRACTIONS[found[0]]


def _fraction(found: re.Match[str]) -> str:
    top, bottom = int(found["top"]), int(found["bottom"])
    if top == bottom == 50:
        return "fifty fifty"
    if top == bottom:
        return f"{NUMBERS.cardinal(found['top'])} out of {NUMBERS.cardinal(found['bottom'])}"
    if bottom < 2 or (bottom > 10 and bottom not in (12, 16, 20, 32, 64, 100)) or top > bottom * 3:
        return found[0]
    one, many = _parts(bottom)
    if found["whole"]:
        part = f"a {one}" if top == 1 else f"{NUMBERS.cardinal(found['top'])} {many}"
        return f"{NUMBERS.cardinal(found['whole'])} and {part}"
    if (top, bottom) == (1, 2) and re.match(r"\san?\s", found.string[found.end() :]):
        return one  # "half a cup"
    return f"{NUMBERS.cardinal(found['top'])} {one if top == 1 else many}"


def _parts(bottom: int) -> tuple[str, str]:
    if bottom == 2:
        return "half", "halves"
    one = "quarter" if bottom == 4 else NUMBERS.ordinal(str(bottom))
    return one, f"{one}s"


def _version(found: re.Match[str]) -> str:
    parts = found["parts"].split(".")
    address = len(parts) == 4
    said = (
        NUMBERS.digits(part)
        if (address and len(part) > 2) or (part[0] == "0" and part != "0")
        else NUMBERS.cardinal(part)
        for part in parts
    )
    return ("version " if found["v"] else "") + (" dot " if address else " point ").join(said)


def _of_unit(found: re.Match[str]) -> str:
    """ "two and a quarter tsp." as "two and a quarter teaspoons"."""
    one, many = words.PARTED_UNITS[found["unit"]]
    end = "." if found["dot"] and ends_sentence(found) else ""
    return f"{found['part']} {many if found['part'].startswith('and') else one}{end}"


def _power(found: re.Match[str]) -> str:
    power = found[1].replace("-", "minus ")
    return {"2": " squared", "3": " cubed"}.get(power, f" to the power of {power}")


def _range(found: re.Match[str]) -> str:
    return " to ".join(year(end) if re.fullmatch(r"[12]\d{3}", end) else amount(end) for end in found.groups())


def _race(found: re.Match[str]) -> str:
    return f"{found['before']}{NUMBERS.cardinal(found['amount'])} K"


def _wireless(found: re.Match[str]) -> str:
    return f"eight oh two point {NUMBERS.cardinal(found[1])} {' '.join(found[2])}"


def _numbered(found: re.Match[str]) -> str:
    return _NUMBERED[found[1].casefold()] + " "


def _bare(found: re.Match[str]) -> str:
    digits, text = found[0], found.string
    said = year(digits) if len(digits) == 4 and "1100" <= digits <= "2099" else NUMBERS.cardinal(digits)
    before = " " if found.start() and text[found.start() - 1].isalpha() else ""
    after = " " if found.end() < len(text) and text[found.end()].isalpha() else ""
    return before + said + after


RULES: tuple[Rule, ...] = (
    rule("|".join(_FRACTIONS), _fraction_sign),
    *TELEPHONES,
    rule(r"\b\d-\d(?:,\s\d-\d)+\b(?!-)", lambda found: found[0].replace("-", " ")),
    rule(r"(?<![\w-])(\d{1,2})-(\d{1,2})(?=\srecord\b)", r"\1 and \2"),
    rule(r"\s?\^\s?(-?\d+)\b", _power),
    rule(r"(?<=\d%)\s?-\s?(?=\d)", " to "),
    rule(r"(?<=\d)x(?=\d+(?:-?inch|-?foot|\s?(?:inches|feet|cm|mm|m|in|ft|px|pixels|pan|photo|print|room)\b))", " by "),
    rule(r"(?P<before>\b(?:an?|the|my|his|her|your|our|first)\s)(?P<amount>5|10)K\b(?!\s(?:people|users|loan))", _race),
    rule(r"\b802\.(\d+)([a-z]{1,2})\b", _wireless),
    rule(r"\bb\.\s(?=[12]\d{3}\b)", "born "),
    *DATES,
    *AMOUNTS,
    rule(rf"\b({alternatives(_NUMBERED)})\.\s?(?=\d)", _numbered, re.IGNORECASE),
    rule(r"(?P<v>)\b(?P<parts>\d+(?:\.\d+){2,})(?!\w|,\d)", _version),
    rule(r"(?P<v>\bv\.?\s?)(?P<parts>\d+(?:\.\d+)*)(?!\w)", _version),
    rule(r"(?<![\w/.])(?:(?P<whole>\d+)\s)?(?P<top>\d{1,2})/(?P<bottom>\d{1,3})(?![\w/])", _fraction),
    rule(
        rf"(?P<part>\b(?:and\s(?:a\s)?)?(?:half|quarter|third|eighth)s?)\s(?P<unit>{_PARTED})\b(?P<dot>\.)?",
        _of_unit,
    ),
    rule(rf"\b({WHOLE})(?:st|nd|rd|th)\b", lambda found: NUMBERS.ordinal(found[1].replace(",", ""))),
    *DECADES,
    rule(r"\#\s?(?=[A-Z]{0,4}-?\d)", "number "),
    rule(r"\bpp\.(?=\sof)", "pages"),
    rule(r"\bhrs\.", "hours"),
    *LETTERS_AND_DIGITS,
    SUFFIXES,
    *LEADING_ZEROS,
    rule(r"(?<=\d)\s+-\s+(?=\d)", " minus "),
    rule(r"(?<=\d)\s?[x×]\s?(?=\d)", " times "),
    rule(r"(?<=\d)x(?=\s(?:\w+er|as|more|less|an?|per|the)\b)", " times"),
    rule(r"(?<![\w.,/-])(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)(?![\w:])", _range),
    rule(r"(?<![\w.,/-])(\d+(?:,\d{3})*(?:\.\d+)?)\s?-\s?(\d+(?:,\d{3})*(?:\.\d+)?)(?![\w-]|[.,]\d)", _range),
    rule(rf"(?<![\w)])-(?={AMOUNT})", "minus "),
    rule(rf"(?<![\w.,])(?:{WHOLE})\.\d+", lambda found: amount(found[0])),
    rule(r"(?<!\w)\.(\d+)", lambda found: f"point {NUMBERS.digits(found[1])}"),
    rule(r"\b(?:BCE?|CE|AD)\b", lambda found: " ".join(found[0])),
    rule(r"(?<![\d,])\d{1,3}(?:,\d{3})+(?!\d)", lambda found: amount(found[0])),
    rule(r"\d+", _bare),
)  # fmt: skip
