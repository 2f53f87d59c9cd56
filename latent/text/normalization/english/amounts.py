"""Amounts in English: numbers with decimals, money, and quantities with their units."""

from __future__ import annotations

import re

from latent.text.normalization.english import words
from latent.text.normalization.rules import Numbers, Rule, alternatives, ends_sentence, rule

NUMBERS = Numbers("en", "zero")
WHOLE = r"\d{1,3}(?:,\d{3})+(?!\d)|\d+"
AMOUNT = rf"(?P<amount>(?:{WHOLE})(?:\.\d+)?)"
MINUS = r"(?P<minus>(?<![\w.)])-(?=[\d$€£¥]))?"

_SCALE = r"(?:\s?(?P<scale>(?:(?i:thousand|million|billion|trillion|tr?n|bl?n|ml?n|k|m|b)|T)\b))?"
_SCALES = {
    "k": "thousand",
    **dict.fromkeys(("m", "mn", "mln"), "million"),
    **dict.fromkeys(("b", "bn", "bln"), "billion"),
    **dict.fromkeys(("t", "tn", "trn"), "trillion"),
}
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "US$": ("U S dollar", "U S dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "USD": ("U S dollar", "U S dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_UNITS = {**words.UNITS, **words.UNCHANGED_UNITS, **words.IRREGULAR_UNITS}
_DETERMINER = re.compile(r"\b(?i:an?|the|this|that|each|every|my|your|his|her|our|their|another)\s(?:\w+\s)?$")
_NEXT_WORD = re.compile(r"[\s-]+([a-z.]+)")


def amount(text: str) -> str:
    """ "1,234.50" as "one thousand two hundred and thirty-four point five zero"."""
    whole, _, fraction = text.replace(",", "").partition(".")
    return NUMBERS.decimal(whole or "0", fraction, "point") if fraction else NUMBERS.cardinal(whole)


def _after(found: re.Match[str]) -> str | None:
    """The word in small letters that follows a match."""
    following = _NEXT_WORD.match(found.string, found.end())
    return following[1].rstrip(".") if following else None


def _money(found: re.Match[str]) -> str:
    one, many, *small = _CURRENCIES[found["currency"]]
    if _describes(found) and _DETERMINER.search(found.string, 0, found.start()):
        many = one
    given, scale, per = found["amount"], found["scale"], found["per"]
    whole, _, cents = given.replace(",", "").partition(".")
    if scale:
        said = f"{amount(given)} {_SCALES.get(scale.lower(), scale.lower())} {many}"
    elif not cents and (many == one or _after(found) in words.SINGULAR_NOUNS):
        said = f"{NUMBERS.cardinal(whole)} {one}"
    elif cents and (len(cents) != 2 or not small[0]):
        said = f"{amount(given)} {many}"
    else:
        main = f"{NUMBERS.cardinal(whole)} {one if whole == '1' else many}"
        rest = f"{NUMBERS.cardinal(cents)} {small[cents != '01']}" if int(cents or 0) else ""
        said = " and ".join(part for part in (main, rest) if part and (int(whole) or part is not main or not rest))
    return f"{'minus ' if found['minus'] else ''}{said}{f' per {words.PER.get(per, per)}' if per else ''}"


def _cents(found: re.Match[str]) -> str:
    one = found["amount"] == "1" or _after(found) in ("coin", "piece", "stamp")
    return f"{amount(found['amount'])} {'cent' if one else 'cents'}"


def _inches(found: re.Match[str]) -> str:
    if found.string.count('"', 0, found.start()) % 2:
        return found[0]  # the end of a quotation
    return f"{amount(found[1])} {'inch' if found[1] == '1' or _describes(found) else 'inches'}"


def _describes(found: re.Match[str]) -> bool:
    """Whether a noun follows."""
    return (after := _after(found)) is not None and after not in words.NOT_NOUNS


def _money_range(found: re.Match[str]) -> str:
    return f"{amount(found['amount'])} to {amount(found['end'])} {_CURRENCIES[found['currency']][1]}"


def _unit(name: str, one: bool) -> str:
    if name in words.UNCHANGED_UNITS:
        return words.UNCHANGED_UNITS[name]
    if name in words.IRREGULAR_UNITS:
        return words.IRREGULAR_UNITS[name][not one]
    unit = words.UNITS[name]
    if one:
        return unit
    head, per, rest = unit.partition(" per ")
    return unit.replace("degree", "degrees") if head.startswith("degree") else f"{head}s{per}{rest}"


def _quantity(found: re.Match[str]) -> str:
    if _is_no_quantity(found):
        return found[0]
    name = found["unit"]
    describes = _describes(found) and not name.startswith("°")
    if name in words.STUFF_UNITS:
        describes = describes and _DETERMINER.search(found.string, 0, found.start()) is not None
    one = found["amount"] == "1" or found["joint"] == "-" or describes
    end = "." if found["dot"] and ends_sentence(found) else ""
    return f"{'minus ' if found['minus'] else ''}{amount(found['amount'])} {_unit(name, one)}{end}"


def _is_no_quantity(found: re.Match[str]) -> bool:
    """Whether what follows a number is a word or a letter, not its unit: "2 in the box", "1980s", "Plan 5 A"."""
    unit, joint, after = found["unit"], found["joint"], found.string[found.end() :]
    if unit == "in" and not found["dot"]:
        return joint == " " and bool(re.match(r"\s\w", after)) and not re.match(r"\s(?:wide|long|tall|high)", after)
    if unit == "s":
        return joint != " " and "." not in found["amount"]
    return unit in ("B", "J") or (unit == "A" and "." not in found["amount"])


_CURRENCY = rf"(?P<currency>{alternatives(_CURRENCIES)})"
_RANGE = rf"\b(\d+(?:\.\d+)?)\s?-\s?(?=\d+(?:\.\d+)?\s?(?:{alternatives(_UNITS)})(?![\w°²³/]))"
_DOT = r"(?P<dot>(?<=in|ft|lb|mi|oz|yd|hr|yr|qt)\.|(?<=min|sec|lbs|hrs|yrs|tsp|gal)\.|(?<=mins|tbsp|Tbsp)\.)?"
RULES: tuple[Rule, ...] = (
    rule(rf"(?P<money>{_CURRENCY}{AMOUNT})\s?-\s?(?=[$€£])", r"\g<money> to "),
    rule(rf"{_CURRENCY}{AMOUNT}\s?-\s?(?P<end>{WHOLE})(?![\w-]|[.,]\d)", _money_range),
    rule(rf"{MINUS}{_CURRENCY}\s?{AMOUNT}{_SCALE}(?:/(?P<per>[a-z]+))?", _money),
    rule(rf"(?<![\d.,]){AMOUNT}\s?¢", _cents),
    rule(r"\b(\d)'\s?(\d{1,2})(?:\"|'')", lambda found: f"{amount(found[1])} foot {amount(found[2])}"),
    rule(r"\b(\d+)\"(?=\s|\.|,|$)", _inches),
    rule(_RANGE, r"\1 to "),
    rule(
        rf"{MINUS}(?<![\w.,])(?<!\d/){AMOUNT}(?P<joint>-|\s)?(?P<unit>{alternatives(_UNITS)})(?![\w°²³]|/(?!\d)){_DOT}",
        _quantity,
    ),
)
"""Money and quantities."""
SUFFIXES = rule(
    rf"(?<![\w.,]){AMOUNT}(?:(?P<suffix>[KMBk])\b(?!\s[A-Z])|\s?(?P<scale>(?:tr?|bl?|ml?)n)\b)",
    lambda found: f"{amount(found['amount'])} {_SCALES[(found['suffix'] or found['scale']).lower()]}",
)
"""Amounts with letters for their scale, such as 2.7M and 3bn; after letters with digits."""
