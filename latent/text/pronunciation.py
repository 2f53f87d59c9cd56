"""Pronunciations in a text, `[[ˈkʌmpəni]]` or `[[K AH1 M P AH0 N IY0]]`, as units of a voice."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from s2s.errors import InputError
from s2s.registry import nearest

GIVEN = re.compile(r"\[\[([^\[\]\n]*)\]\]")
"""A pronunciation in a text."""

_VOWELS = {
    **{"ɑ": "AA", "ɒ": "AA", "a": "AA", "æ": "AE", "ʌ": "AH", "ɐ": "AH", "ə": "AH", "ɔ": "AO", "aʊ": "AW", "aɪ": "AY"},
    **{"ɛ": "EH", "e": "EH", "ɝ": "ER", "ɚ": "ER", "ɜ": "ER", "ɜɹ": "ER", "ɜr": "ER", "əɹ": "ER", "ər": "ER"},
    **{"eɪ": "EY", "ɪ": "IH", "ɨ": "IH", "ᵻ": "IH", "i": "IY", "oʊ": "OW", "əʊ": "OW", "o": "OW", "ɔɪ": "OY"},
    **{"ʊ": "UH", "u": "UW", "ʉ": "UW", "ɪə": "IH R", "eə": "EH R", "ɛə": "EH R", "ʊə": "UH R"},
}
_CONSONANTS = {
    **{"b": "B", "tʃ": "CH", "ʧ": "CH", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "g": "G", "h": "HH", "dʒ": "JH"},
    **{"ʤ": "JH", "k": "K", "x": "K", "l": "L", "ɫ": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "r": "R", "ɹ": "R"},
    **{"ɾ": "T", "s": "S", "ʃ": "SH", "t": "T", "ʔ": "T", "θ": "TH", "v": "V", "w": "W", "ʍ": "W", "j": "Y"},
    **{"z": "Z", "ʒ": "ZH", "ɲ": "N Y", "l\u0329": "AH0 L", "n\u0329": "AH0 N", "m\u0329": "AH0 M"},
}
_ENGLISH = frozenset(("AA", "DH", "NG", "ZH", "HH"))  # of every ARPAbet, with and without stress
_STRESS = {"ˈ": "1", "'": "1", "ˌ": "2"}
_SILENT = str.maketrans(dict.fromkeys("ːˑ.‿/\u0361\u035c", ""))  # length, syllables, ties: English has no use for them
_WEAK = frozenset("əɚɨᵻ")
_UNIT = re.compile(r"[A-Z]+\d?")


def units_of(written: str, known: Collection[str]) -> tuple[str, ...]:
    """A pronunciation as units of a voice.

    It may be given in these units, with blanks between; in IPA, where they are ARPAbet ("K AH1 M"), the alphabet of
    CMUdict; or else without blanks. Without a mark of stress, IPA has it on the first full vowel.

    Raises:
        InputError: it is empty, or a symbol is unknown.
    """
    parts = unicodedata.normalize("NFC", written).split()
    if not parts:
        raise InputError(f"[[{written}]]: expected a pronunciation, found none")
    if all(part in known for part in parts):
        return tuple(parts)
    english = any(unit.rstrip("012") in _ENGLISH for unit in known)
    if english and all(map(_UNIT.fullmatch, parts)):
        return tuple(_unit(part, known, written) for part in parts)
    if english:
        return tuple(_unit(part, known, written) for part in _arpabet("".join(parts), written))
    return _cut("".join(parts), known, written)


def _unit(unit: str, known: Collection[str], written: str) -> str:
    """A unit, without its stress where the voice has none."""
    for found in (unit, unit.rstrip("012")):
        if found in known:
            return found
    raise InputError(f"{_unknown(unit, written, 'a phoneme of this voice')}{nearest(unit, known)}")


def _arpabet(ipa: str, written: str) -> list[str]:
    """ARPAbet of English IPA."""
    found: list[str] = []
    weak: list[bool] = []
    stress = "0"
    rest = ipa.translate(_SILENT)
    while rest:
        if rest[0] in _STRESS:
            stress, rest = _STRESS[rest[0]], rest[1:]
            continue
        symbol = next((rest[:size] for size in (2, 1) if rest[:size] in _VOWELS or rest[:size] in _CONSONANTS), None)
        if symbol is None:
            raise _unknown(rest[0], written, "an English sound in IPA, or a phoneme as in CMUdict (AH0)")
        rest = rest[len(symbol) :]
        if symbol in _CONSONANTS:
            found += _CONSONANTS[symbol].split()
        else:
            vowel, *after = _VOWELS[symbol].split()
            weak.append(symbol[0] in _WEAK)
            found += [vowel + stress, *after]
            stress = "0"
    return _stressed(found, weak)


def _stressed(units: list[str], weak: list[bool]) -> list[str]:
    """With the stress on the first full vowel, if there is none."""
    vowels = [index for index, unit in enumerate(units) if unit[-1].isdigit()]
    if any(units[index][-1] == "1" for index in vowels) or not weak or len(vowels) != len(weak):
        return units
    first = next((index for index, is_weak in zip(vowels, weak, strict=True) if not is_weak), None)
    return units if first is None else [*units[:first], f"{units[first][:-1]}1", *units[first + 1 :]]


def _cut(text: str, known: Collection[str], written: str) -> tuple[str, ...]:
    """A text without blanks as the longest units that it begins with, one after the other."""
    longest = max(map(len, known))
    found: list[str] = []
    while text:
        unit = next((text[:size] for size in range(longest, 0, -1) if text[:size] in known), None)
        if unit is None:
            raise _unknown(text[0], written, "a phoneme of this voice")
        found, text = [*found, unit], text[len(unit) :]
    return tuple(found)


def _unknown(symbol: str, written: str, expected: str) -> InputError:
    name = unicodedata.name(symbol, "").casefold() if len(symbol) == 1 else ""
    found = f"{symbol!r} ({name})" if name else repr(symbol)
    return InputError(f"[[{written.strip()}]]: expected {expected}, found {found}")
