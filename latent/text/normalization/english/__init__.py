"""English (American): the rules, in the order in which they read a text.

A rule that reads a longer thing comes before those that would read a part of it: an address of the web before a
number, a date before a fraction, money and units before bare numbers, and those before years and digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from latent.text.normalization.english import capitals, numbers, words
from latent.text.normalization.rules import Rule, Said, alternatives, apply, ends_sentence, rule, without_markup

_LETTER_NAMES = str.maketrans({"-": " dash ", "_": " underscore ", ".": " dot ", "/": " slash ", "+": " plus "})


def normalize(text: str) -> str:
    """An English text as people say it: words, and the marks of its sentences."""
    text = capitals.in_lower_case(without_markup(text))
    for rules in (WEB, numbers.RULES, ABBREVIATIONS, SLASHES):
        text = apply(rules, text)
    return apply(SIGNS, apply(capitals.RULES, text))


def _host(host: str) -> str:
    *names, last = host.split(".")
    spoken = ["w w w" if name.casefold() == "www" else name.translate(_LETTER_NAMES) for name in names]
    end = " ".join(last) if last.casefold() in words.SPELLED_TLDS else last
    return " dot ".join([*spoken, end]).replace("bbc", "b b c")


def _address(found: re.Match[str]) -> str:
    path = (found["path"] or "").rstrip("/")
    return _host(found["host"]) + path.translate(_LETTER_NAMES)


def _mail(found: re.Match[str]) -> str:
    return f"{found['user'].translate(_LETTER_NAMES)} at {_host(found['host'])}"


_HOST = rf"(?P<host>(?:[a-z0-9-]+\.)+(?:{alternatives(words.TLDS)})\b)"
_PATH = r"(?P<path>(?:/[\w~%-]+(?:\.[\w~%-]+)*)*)/?(?![\w@-])"
WEB: tuple[Rule, ...] = (
    rule(r"(?<![\w.+-])(?P<user>[\w.+-]+)@(?P<host>(?:[\w-]+\.)+[a-z]{2,})\b", _mail, re.IGNORECASE),
    rule(rf"(?:https?://)?(?<![\w.@-]){_HOST}{_PATH}", _address, re.IGNORECASE),
    rule(r"\bhttps?://", ""),
    rule(rf"(?<!\S)\.({alternatives(words.FILES)})\b", lambda found: f"dot {words.FILES[found[1]]}"),
    rule(r"(?<!\w)@(\w+)", r"at \1"),
    rule(r"(?<![\w&])\#(?![A-Z]{1,4}\d+\b)([A-Za-z_]\w+)", r"hashtag \1"),
    rule(
        rf"\b([\w-]{{1,64}}(?:\.\d{{1,8}}){{0,4}})\.({alternatives(words.FILES)})\b",
        lambda found: f"{found[1].translate(_LETTER_NAMES)} dot {words.FILES[found[2]]}",
    ),
)


def _ending(table: Mapping[str, str]) -> Said:
    """The words of an abbreviation, whatever its case; its period stays where it also ends the sentence."""
    folded = {name.casefold(): said for name, said in table.items()}
    return lambda found: folded[found[1].casefold()] + ("." if _ends(found) else "")


def _ends(found: re.Match[str]) -> bool:
    return found[1].casefold() not in words.NEVER_LAST and ends_sentence(found)


def _initials(found: re.Match[str]) -> str:
    letters = re.findall("[A-Z]", found[0])
    following = found.string[found.end() :]
    if len(letters) == 1 and not re.match(r"\s?[A-Z]", following):
        return found[0]  # the end of a sentence: "vitamin C."
    end = "." if not following and found[0].endswith(".") else ""
    return " ".join(letters) + end + (" " if found[0].endswith(" ") else "")


def _in_calendar(found: re.Match[str]) -> str:
    """A day or month; its period stays at the end of the text, for a capital after it is mostly a month or a name."""
    end = "." if found[0].endswith(".") and not found.string[found.end() :].strip() else ""
    return {**words.DAYS, **words.MONTHS}[found[1]] + end


_DIRECTIONS = {"N": "north", "S": "south", "E": "east", "W": "west"}
_TITLES, _STREETS, _DAYS = map(alternatives, (words.TITLES, words.STREETS, words.DAYS))
ABBREVIATIONS: tuple[Rule, ...] = (
    rule(r"\be\.\s?g\.,?", "for example", re.IGNORECASE),
    rule(r"\bi\.\s?e\.,?", "that is", re.IGNORECASE),
    rule(r"\ba\.\s?k\.\s?a\.", "also known as", re.IGNORECASE),
    rule(r"(?<=\()([DRI])-(?=[A-Z])", r"\1, "),
    rule(rf"(?<=,\s)({alternatives(words.NEWS_STATES)})\.", _ending(words.NEWS_STATES)),
    rule(
        rf"\b([NSEW])\.?\s(?=(?:[A-Z][a-z]+|[a-z-]+(?:st|nd|rd|th))\s(?:Street|Avenue|Road|Boulevard|{_STREETS})\b)",
        lambda found: f"{_DIRECTIONS[found[1]]} ",
    ),
    rule(rf"\b({alternatives(words.CHAT)})\b", lambda found: words.CHAT[found[1].casefold()], re.IGNORECASE),
    rule(r"\bPh\.?\s?D\b\.?", "P H D"),
    rule(rf"\b({_TITLES})\.(?=\s+[A-Z])", lambda found: words.TITLES[found[1]]),
    rule(r"\b(Mrs?|Ms|Prof)\.(?=\s(?:and|&|or)\s)", lambda found: words.TITLES[found[1]]),
    rule(r"\bSt\s(?=[A-Z])", "saint "),
    rule(
        r"\b((?:I|US|Route|Highway|Interstate)[\s-](?:\d|\w\w)[\w\s-]{0,30}?)\s([NSEW])\.(?=\s[a-z]|$)",
        lambda found: f"{found[1]} {_DIRECTIONS[found[2]]}",
    ),
    rule(rf"(?<=[a-z]\s)({_STREETS})\.", _ending(words.STREETS)),
    rule(rf"\b({_DAYS})(?<![Tt]he\sSun)\.", _in_calendar),
    rule(rf"\b({alternatives(words.MONTHS)})\.", _in_calendar),
    rule(rf"\b({alternatives(words.ONLY_MONTHS)})\b(?!')", _in_calendar),
    rule(
        rf"(?<![\\/])\b(?!(?-i:EST|ED)\b)({alternatives(words.ABBREVIATIONS)})\.",
        _ending(words.ABBREVIATIONS),
        re.IGNORECASE,
    ),
    rule(rf"(?<=,\s)({alternatives(words.STATES)})\b", lambda found: words.STATES[found[1]]),
    rule(r"(?<!\b[A-Z]\s)\b(?:[A-Z]\.\s?){1,4}(?=\W|\w|$)", _initials),
    rule(r"'n'", "and"),
)  # fmt: skip
_CHOICES = "yes|pass|he|she|his|him|black|true|on|win"
SLASHES: tuple[Rule, ...] = (
    rule(r"\band/or\b", "and or"),
    rule(r"\bkm/h\b", "kilometers per hour"),
    rule(r"\bw/o\b", "without"),
    rule(r"\bw/(?=\s|\w)", "with "),
    rule(rf"(?<=[A-Za-z])/({alternatives(words.PER)})\b", lambda found: f" per {words.PER[found[1]]}"),
    rule(rf"(?<=[a-z]s)/({alternatives(words.PER_AFTER_PLURAL)})\b", r" per \1"),
    rule(r"(?<=[a-z])/(?=one\shundred\s(?:kilometer|gram|milliliter|mile)s)", " per "),
    rule(rf"\b({_CHOICES})/(?=\w)", r"\1 or ", re.IGNORECASE),
    rule(r"/(?=\w)", " slash "),
)
SIGNS: tuple[Rule, ...] = (
    rule(r"\bC\+\+", "C plus plus"),
    rule(r"\b([A-G])\#", r"\1 sharp"),
    rule(rf"[{words.SILENT_SIGNS}]", " "),
    *(rule(re.escape(sign), f" {said} ") for sign, said in words.SIGNS),
)
