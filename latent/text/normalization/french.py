"""French: the rules, in the order in which they read a text."""

from __future__ import annotations

import re

from latent.text.normalization.rules import (
    Numbers,
    Rule,
    alternatives,
    apply,
    ends_sentence,
    roman,
    rule,
    without_markup,
)

_numbers = Numbers("fr", "zéro")
_WHOLE = r"\d{1,3}(?:[ \u00a0\u202f.]\d{3})+(?!\d)|\d+"
_AMOUNT = rf"(?P<amount>(?:{_WHOLE})(?:,\d+)?)"
_MONTHS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()
_CURRENCIES = {"€": ("euro", "centime"), "$": ("dollar", "cent"), "£": ("livre", "penny"), "¥": ("yen", "")}
_UNITS = {
    "km": "kilomètre",
    "m": "mètre",
    "cm": "centimètre",
    "mm": "millimètre",
    "kg": "kilogramme",
    "g": "gramme",
    "mg": "milligramme",
    "l": "litre",
    "L": "litre",
    "ml": "millilitre",
    "h": "heure",
    "min": "minute",
    "s": "seconde",
    "km/h": "kilomètre heure",
    "m²": "mètre carré",
    "°C": "degré Celsius",
    "°": "degré",
    "W": "watt",
    "kWh": "kilowatt heure",
    "Hz": "hertz",
    "Mo": "mégaoctet",
    "Go": "gigaoctet",
}
_ABBREVIATIONS = {
    "M": "monsieur", "MM": "messieurs", "Mme": "madame", "Mmes": "mesdames", "Mlle": "mademoiselle", "Dr": "docteur",
    "Pr": "professeur", "Me": "maître", "St": "saint", "Ste": "sainte",
}  # fmt: skip
"""Before a name, with or without a period ("M" needs one)."""
_DOTTED = {
    "etc": "et cetera", "av": "avenue", "bd": "boulevard", "p": "page", "pp": "pages",
    "vol": "volume", "tél": "téléphone", "env": "environ", "chap": "chapitre", "fig": "figure",
    "ex": "exemple", "no": "numéro",
}  # fmt: skip
_SIGNS = (
    ("%", "pour cent"), ("&", "et"), ("+", "plus"), ("=", "égale"), ("@", "arobase"), ("#", "dièse"), ("*", "étoile"),
    ("<", "inférieur à"), (">", "supérieur à"), ("±", "plus ou moins"), ("~", "environ"), ("_", "tiret bas"),
)  # fmt: skip

_LETTER_NAMES = str.maketrans({"@": " arobase ", ".": " point ", "/": " barre ", "-": " tiret "})
_PARTS = {"2": "demi", "3": "tiers", "4": "quart", "5": "cinquième", "6": "sixième", "8": "huitième", "10": "dixième"}
_SPELLED = ("SNCF", "RATP", "HTML", "CNRS")


def normalize(text: str) -> str:
    """A French text as people say it."""
    return apply(SIGNS, apply(RULES, without_markup(text)))


def _amount(text: str) -> str:
    return _numbers.with_comma(text, "virgule")


def _plural(amount: str, unit: str) -> str:
    if re.match("[01](?:,|$)", amount) or unit.endswith(("hertz", "yen")):
        return unit
    return " ".join(
        word if word in ("Celsius", "heure") and index else f"{word}s" for index, word in enumerate(unit.split())
    )


def _money(found: re.Match[str]) -> str:
    unit, small = _CURRENCIES[found["currency"]]
    whole, _, cents = found["amount"].partition(",")
    if len(cents) != 2 or not small:
        return f"{_amount(found['amount'])} {_plural(found['amount'], unit)}"
    return f"{_amount(whole)} {_plural(whole, unit)}" + (f" {_numbers.cardinal(cents)}" if int(cents) else "")


def _unit(found: re.Match[str]) -> str:
    return f"{_amount(found['amount'])} {_plural(found['amount'], _UNITS[found['unit']])}"


def _time(found: re.Match[str]) -> str:
    hour = re.sub("un$", "une", _numbers.cardinal(found[1]))
    minutes = f" {_numbers.cardinal(found[2])}" if found[2] and int(found[2]) else ""
    return f"{hour} {'heure' if int(found[1]) < 2 else 'heures'}{minutes}"


def _date(found: re.Match[str]) -> str:
    day, month, year = found.groups()
    if not 1 <= int(month) <= 12:
        return found[0]
    first = "premier" if int(day) == 1 else _numbers.cardinal(day)
    return f"{first} {_MONTHS[int(month) - 1]} {_numbers.cardinal(year)}"


def _ordinal(found: re.Match[str]) -> str:
    if int(found[1]) == 1:
        return "première" if found[2].startswith("r") else "premier"
    return _numbers.ordinal(found[1])


def _king(found: re.Match[str]) -> str:
    return f"{found[1]} premier" if found[2] == "Ier" else f"{found[1]} {_numbers.cardinal(str(roman(found[2])))}"


def _fraction(found: re.Match[str]) -> str:
    top, bottom = found[1], found[2]
    name = _PARTS.get(bottom)
    if name is None:
        return found[0]
    if (top, bottom) == ("1", "2"):
        return "une demi"
    return f"{'un' if top == '1' else _numbers.cardinal(top)} {name if top == '1' or name == 'tiers' else name + 's'}"


def _telephone(found: re.Match[str]) -> str:
    pairs = found[0].split()
    return " ".join(
        f"zéro {_numbers.cardinal(pair[1])}" if pair[0] == "0" else _numbers.cardinal(pair) for pair in pairs
    )


def _range(found: re.Match[str]) -> str:
    return f"{_numbers.cardinal(found[1])} à {_numbers.cardinal(found[2])}"


def _dotted(found: re.Match[str]) -> str:
    return _DOTTED[found[1].casefold()] + ("." if ends_sentence(found) else "")


def _host(found: re.Match[str]) -> str:
    return found[0].replace("www", "w w w").translate(_LETTER_NAMES)


def _initials(found: re.Match[str]) -> str:
    word = found[0]
    readable = len(word) > 3 and word not in _SPELLED and re.search("[AEIOUY]", word[1:-1])
    return word.lower() if readable else " ".join(word)


_money_mark = "".join(map(re.escape, _CURRENCIES))
_DOMAINS = "com|org|net|fr|be|ch|info|edu|eu"
_TITLES = alternatives(set(_ABBREVIATIONS) - {"M"})
RULES: tuple[Rule, ...] = (
    rule(rf"(?<![\w.+-])(?:[\w.+-]+@)?(?:[\w-]+\.)+(?:{_DOMAINS})\b(?:/[\w-]+)*", _host, re.IGNORECASE),
    rule(r"\b([A-ZÉ][a-zéèç]+)\s(Ier|(?=[IVX]{2})[IVX]+|(?:V|X)(?=\s[a-z]))\b", _king),
    rule(r"\b([IVXLC]{2,}|[VX])e\b", lambda found: _numbers.ordinal(str(roman(found[1])))),
    rule(r"\b(\d+)(er|re|ère|e|ème|nd|nde)s?\b", _ordinal),
    rule(r"\bM\.\s(?=[A-ZÉ])", "monsieur "),
    rule(rf"\b({_TITLES})\.?\s(?=[A-ZÉ])", lambda found: f"{_ABBREVIATIONS[found[1]]} "),
    rule(rf"\b({alternatives(_DOTTED)})\.", _dotted, re.IGNORECASE),
    rule(r"\bn[°º]\s?", "numéro "),
    rule(r"\b(\d{1,2})[/-](\d{1,2})[/-](\d{4})\b", _date),
    rule(r"\b([012]?\d)\s?h(?:\s?([0-5]\d))?\b", _time),
    rule(r"\b([012]?\d):([0-5]\d)\b", _time),
    rule(r"(?<![\w,.])(\d{1,2})/(\d{1,2})(?![\w/])", _fraction),
    rule(r"(?<=années\s)80\b", "quatre-vingt"),
    rule(r"\b0\d(?:\s\d\d){4}\b", _telephone),
    rule(r"(?<![\d.,])(?<!\d\s)0\d+\b", lambda found: _numbers.digits(found[0])),
    rule(rf"(?<!\w)-(?={_AMOUNT})", "moins "),
    rule(rf"(?P<currency>[{_money_mark}])\s?{_AMOUNT}", _money),
    rule(rf"(?<![\d.,]){_AMOUNT}\s?(?P<currency>[{_money_mark}])", _money),
    rule(rf"(?<![\w.,]){_AMOUNT}\s?(?P<unit>{alternatives(_UNITS)})(?![\w/²'])", _unit),
    rule(r"(?<![\w.,-])(\d+)\s?[-–]\s?(\d+)(?![\w-]|[.,]\d)", _range),
    rule(rf"{_AMOUNT}", lambda found: _amount(found["amount"])),
    rule(r"(?<![^\W_])[A-Z]{2,6}(?![^\W_])", _initials),
)  # fmt: skip
SIGNS: tuple[Rule, ...] = tuple(rule(re.escape(sign), f" {words} ") for sign, words in _SIGNS)
