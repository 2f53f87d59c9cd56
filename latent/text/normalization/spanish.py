"""Spanish: the rules, in the order in which they read a text."""

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

_numbers = Numbers("es", "cero")
_WHOLE = r"\d{1,3}(?:[. \u00a0]\d{3})+(?!\d)|\d+"
_AMOUNT = rf"(?P<amount>(?:{_WHOLE})(?:,\d+)?)"
_MONTHS = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()
_CURRENCIES = {"€": ("euro", "euros"), "$": ("dólar", "dólares"), "£": ("libra", "libras"), "¥": ("yen", "yenes")}
_UNITS = {
    "km": ("kilómetro", "kilómetros"),
    "m": ("metro", "metros"),
    "cm": ("centímetro", "centímetros"),
    "mm": ("milímetro", "milímetros"),
    "kg": ("kilogramo", "kilogramos"),
    "g": ("gramo", "gramos"),
    "mg": ("miligramo", "miligramos"),
    "l": ("litro", "litros"),
    "ml": ("mililitro", "mililitros"),
    "h": ("hora", "horas"),
    "min": ("minuto", "minutos"),
    "s": ("segundo", "segundos"),
    "km/h": ("kilómetro por hora", "kilómetros por hora"),
    "m²": ("metro cuadrado", "metros cuadrados"),
    "°C": ("grado Celsius", "grados Celsius"),
    "°": ("grado", "grados"),
    "W": ("vatio", "vatios"),
    "kWh": ("kilovatio hora", "kilovatios hora"),
    "Hz": ("hercio", "hercios"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
}
_ABBREVIATIONS = {
    "Sr": "señor", "Sra": "señora", "Srta": "señorita", "Sres": "señores", "Dr": "doctor", "Dra": "doctora",
    "Dña": "doña", "Prof": "profesor", "Profa": "profesora", "etc": "etcétera", "Av": "avenida",
    "Avda": "avenida", "pág": "página", "págs": "páginas", "Ud": "usted", "Uds": "ustedes", "tel": "teléfono",
    "núm": "número", "aprox": "aproximadamente", "vol": "volumen", "cap": "capítulo", "fig": "figura", "Sta": "santa",
    "Sto": "santo", "dpto": "departamento", "EE. UU": "Estados Unidos", "p. ej": "por ejemplo",
}  # fmt: skip
_ORDINALS = ("", "primer", "segund", "tercer", "cuart", "quint", "sext", "séptim", "octav", "noven", "décim")
_PARTS = {"2": "medio", "3": "tercio", "4": "cuarto", "5": "quinto", "6": "sexto", "8": "octavo", "10": "décimo"}
_LETTER_NAMES = str.maketrans({"@": " arroba ", ".": " punto ", "/": " barra ", "-": " guion ", "_": " guion bajo "})
_FEMININE = (
    "personas plazas casas veces horas libras mujeres niñas páginas semanas ciudades mesas sillas calles".split()
)
_SIGNS = (
    ("%", "por ciento"), ("&", "y"), ("+", "más"), ("=", "igual a"), ("@", "arroba"), ("#", "numeral"),
    ("*", "asterisco"),
    ("<", "menor que"), (">", "mayor que"), ("±", "más o menos"), ("°", "grados"), ("~", "aproximadamente"),
    ("_", "guion bajo"),
)  # fmt: skip

_FOLDED = {name.casefold(): said for name, said in _ABBREVIATIONS.items()}


def normalize(text: str) -> str:
    """A Spanish text as people say it."""
    return apply(SIGNS, apply(RULES, without_markup(text)))


def _amount(text: str) -> str:
    return _numbers.with_comma(text, "coma")


def _before_noun(number: str, noun: str) -> str:
    """The gender and the short form before a noun: "veintiún libros", "doscientas plazas"."""
    feminine = noun in _FEMININE or noun.endswith(("ciones", "dades", "ías"))
    if feminine:
        return re.sub(r"cientos\b", "cientas", re.sub(r"uno$", "una", number))
    return re.sub(r"\buno$", "un", re.sub(r"veintiuno$", "veintiún", number))


def _counted(found: re.Match[str]) -> str:
    return f"{_before_noun(_amount(found['amount']), found['noun'])} {found['noun']}"


def _many(amount: str, names: tuple[str, str]) -> str:
    return f"{_before_noun(_amount(amount), names[1])} {names[amount != '1']}"


def _unit(found: re.Match[str]) -> str:
    return _many(found["amount"], _UNITS[found["unit"]])


def _money(found: re.Match[str]) -> str:
    names = _CURRENCIES[found["currency"]]
    whole, _, cents = found["amount"].partition(",")
    if len(cents) != 2:
        return _many(found["amount"], names)
    return _many(whole, names) + (f" con {_numbers.cardinal(cents)} céntimos" if int(cents) else "")


def _time(found: re.Match[str]) -> str:
    hour = re.sub("uno$", "una", _numbers.cardinal(found[1]))
    return hour if found[2] == "00" else f"{hour} y {_numbers.cardinal(found[2])}"


def _date(found: re.Match[str]) -> str:
    day, month, year = found.groups()
    if not 1 <= int(month) <= 12:
        return found[0]
    return f"{_numbers.cardinal(day)} de {_MONTHS[int(month) - 1]} de {_numbers.cardinal(year)}"


def _ordinal(found: re.Match[str]) -> str:
    number, mark = int(found[1]), found[2]
    if not 0 < number < len(_ORDINALS):
        return _numbers.ordinal(found[1])
    end = "a" if "ª" in mark else "" if "er" in mark else "o"
    return _ORDINALS[number] + end


def _roman(found: re.Match[str]) -> str:
    value = roman(found[2])
    if found[1].casefold() == "siglo" or value > 10:
        return f"{found[1]} {_numbers.cardinal(str(value))}"
    return f"{found[1]} {_ORDINALS[value]}o"


def _fraction(found: re.Match[str]) -> str:
    top, bottom = found[1], found[2]
    if (top, bottom) == ("1", "2"):
        return "media"
    name = _PARTS.get(bottom)
    return found[0] if name is None else f"un {name}" if top == "1" else f"{_numbers.cardinal(top)} {name}s"


def _host(found: re.Match[str]) -> str:
    return found[0].replace("www", "w w w").translate(_LETTER_NAMES)


def _range(found: re.Match[str]) -> str:
    return f"{_numbers.cardinal(found[1])} a {_numbers.cardinal(found[2])}"


def _dotted(found: re.Match[str]) -> str:
    return _FOLDED[found[1].casefold()] + ("." if ends_sentence(found) else "")


def _half_of_day(found: re.Match[str]) -> str:
    return f"{found[1]} m" + ("." if ends_sentence(found) else "")


def _initials(found: re.Match[str]) -> str:
    word = found[0]
    readable = len(word) > 3 or bool(re.fullmatch("[AEIOU]?[BCDFGLMNPRST][AEIOU][A-Z]?", word))
    return word.lower() if readable else " ".join(word)


_money_mark = "".join(map(re.escape, _CURRENCIES))
_DOMAINS = "com|org|net|es|mx|ar|info|edu|eu"
RULES: tuple[Rule, ...] = (
    rule(rf"(?<![\w.+-])(?:[\w.+-]+@)?(?:[\w-]+\.)+(?:{_DOMAINS})\b(?:/[\w-]+)*", _host, re.IGNORECASE),
    rule(r"(\d+)\.?\s?(er\b|º|ª|\.?ª|\.?º)\.?", _ordinal),
    rule(r"\b([Ss]iglo|[A-ZÁÉÍÓÚ][a-záéíóúñ]+)\s([IVXL]+)\b(?![.'])", _roman),
    rule(r"\bn\.?\s?[º°]\.?", "número", re.IGNORECASE),
    rule(r"\b([ap])\.\s?m\.", _half_of_day),
    rule(rf"\b({alternatives(_ABBREVIATIONS)})\.", _dotted, re.IGNORECASE),
    rule(r"\b(\d{1,2})[/-](\d{1,2})[/-](\d{4})\b", _date),
    rule(r"\b(\d{1,2}):(\d{2})(?:\s?h\b\.?)?", _time),
    rule(r"(?<![\w,.])(\d{1,2})/(\d{1,2})(?![\w/])", _fraction),
    rule(r"(?<!\d)(?:9\d|6\d\d|8\d\d)(?:\s\d{2,3}){2,4}\b", lambda found: _numbers.digits(found[0])),
    rule(r"(?<![\d.,])0\d+\b", lambda found: _numbers.digits(found[0])),
    rule(rf"(?<!\w)-(?={_AMOUNT})", "menos "),
    rule(rf"(?P<currency>[{_money_mark}])\s?{_AMOUNT}", _money),
    rule(rf"(?<![\d.,]){_AMOUNT}\s?(?P<currency>[{_money_mark}])", _money),
    rule(rf"(?<![\w.,]){_AMOUNT}\s?(?P<unit>{alternatives(_UNITS)})(?![\w/²])", _unit),
    rule(r"(?<![\w.,-])(\d+)\s?[-–]\s?(\d+)(?![\w-]|[.,]\d)", _range),
    rule(r"\b1[.\s]?000[.\s]?000\s+de\b", "un millón de"),
    rule(rf"(?<![\w.,]){_AMOUNT}\s(?P<noun>[a-záéíóúñ]{{3,}}s)\b", _counted),
    rule(rf"(?<![\w.,]){_AMOUNT}(?=\s?%)", lambda found: _amount(found["amount"])),
    rule(rf"{_AMOUNT}", lambda found: _amount(found["amount"])),
    rule(r"(?<![^\W_])[A-ZÑ]{2,5}(?![^\W_])", _initials),
)  # fmt: skip
SIGNS: tuple[Rule, ...] = tuple(rule(re.escape(sign), f" {words} ") for sign, words in _SIGNS)
