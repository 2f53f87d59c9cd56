"""Labels of speakers in scripts as people write them, and stage directions.

    Anna: Hello.        **Speaker 1:** Hello.     [Speaker 1]: Hello.     2. Anna (softly): Hello.
    Speaker 1:Hello.    山田さん：こんにちは。      [00:01:10] Anna: Hello. "Anna": Hello.

A label is never read aloud. Text that only looks like one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

_COLON = ":：﹕︰"
_NAME = rf"[^\W_](?:[^{_COLON},;!?\"“”\[\](){{}}<>*|]{{0,38}}[^\s_{_COLON},;!?\"“”\[\](){{}}<>*|])?"
_BEFORE = (
    r"(?:(?:\d{1,4}[.)]|[-•·>#]+|[*+])\s+)*"  # numbering; marks of a list, a quotation, a heading
    r"(?:[\[(<]?\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?[\])>]?\s+)?"  # a time
)
_DIRECTION = r"\[[^\[\]]{0,80}\]|\([^()]{0,80}\)"
_LABEL = re.compile(
    rf"{_BEFORE}(?P<open>[*_\[(<\"“'‘«]*)(?P<name>{_NAME})(?P<close>[*_\])>\"”'’»]*)(?:\s*(?:{_DIRECTION}))?[*_]*"
    rf"\s*[{_COLON}](?P<after>[*_\])>]*)(?P<text>.*)",
    re.DOTALL,
)
_BRACKETED = re.compile(
    rf"{_BEFORE}(?:\[({_NAME})\]|\(({_NAME})\)|<({_NAME})>|\*+({_NAME})\*+|__({_NAME})__)(?P<text>.*)"
)
_NO_LABEL = re.compile(rf"[/\\{_COLON}]|-?[()DP](?:\s|$)")  # after the colon: a URL, a path, C++, a face
_INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF])

NUMBERED = re.compile(r"(?:speaker\s*#?\s*)?(\d{1,6})", re.IGNORECASE)
"""A name that is nothing but a speaker's number."""
_NUMBERED_SPEAKER = r"speaker\s*#?\s*\d{1,6}(?!\d)"

_ACTS = (
    r"laugh|chuckl|giggl|sigh|cough|sniff|sob|cry|cries|gasp|whisper|shout|yell|scream|sing|hum|yawn|paus|beat|silence|"
    r"applause|music|cheer|clap|clear|groan|mutter|mumbl|smil|nod|laut|lach|leise|seufz|rire|soupir|risa"
)
_DIRECTIONS = re.compile(
    r"(?<!\[)\[(?!\s*pause\b)[^\[\]]{0,80}\](?!\])|\{[^{}]{0,80}\}"  # brackets are directions wherever they stand
    r"|^\s*\([^()]{0,80}\)"  # parentheses where a line begins
    rf"|\((?:\w+\s+){{0,3}}?(?:{_ACTS})\w*(?:\s+\w+){{0,3}}\)"  # elsewhere if they say what speakers do
    rf"|(?<!\S)\*(?:\w+\s+){{0,2}}?(?:{_ACTS})\w*(?:\s+\w+){{0,3}}\*(?!\S)",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")


class Label(NamedTuple):
    """The label of a line, and the text after it."""

    name: str
    text: str


def same_speaker(name: str) -> str:
    """A speaker's name in the form that is compared: without case and extra spaces."""
    return _SPACE.sub(" ", name.translate(_INVISIBLE).strip()).casefold()


def find_label(line: str, known: Collection[str] = ()) -> Label | None:
    """The label of a line of a script, if it has one.

    Speakers of `known` (by `same_speaker`) and "Speaker 1" may be indented, and need no colon in brackets.
    """
    plain = line.translate(_INVISIBLE)
    if found := _LABEL.match(plain.strip()):
        name, text = _SPACE.sub(" ", found["name"]), found["text"]
        other = (name[-1].isdigit() and text[:1].isdigit()) or (
            not found["open"] and _NO_LABEL.match(found["after"] + text)
        )
        other = other or (set(found["open"]) & set("[(<") and not set(found["close"] + found["after"]) & set("])>"))
        if not other and (not plain[:1].isspace() or _is_known(name, known)):
            emphasis = found["open"].strip("[(<\"“'‘«")
            if emphasis and not found["after"]:
                text = text.removesuffix(emphasis)
            return Label(name, text.strip())
    if found := _BRACKETED.match(plain.strip()):
        name = next(filter(None, found.groups()))
        if _is_known(name, known):
            return Label(name, found["text"].strip())
    return None


def find_mistaken_label(text: str, known: Collection[str]) -> int | None:
    """The column, from 1, where a text has something that looks like a label but is not one.

    Args:
        text: The text after the label.
        known: Speakers, by `same_speaker`.
    """
    names = "|".join([_NUMBERED_SPEAKER, *(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(known))])
    looks = (
        rf"(?<![^\W_]){_NUMBERED_SPEAKER}[\W_]{{0,6}}[{_COLON}]",  # anywhere
        rf"(?:^|[.!?…。！？])[\W_]*(?:{names})[\W_]{{0,6}}[{_COLON}]",  # where a sentence begins
        rf"^[\W_]*{_NUMBERED_SPEAKER}",
        rf"^[\W_]*(?:{names})\s*(?:$|[-–—|>=;\t]|,[^{_COLON}]{{0,40}}[{_COLON}])",
    )
    found = [match.start() for look in looks if (match := re.search(look, text, re.IGNORECASE))]
    return min(found) + 1 if found else None


def without_directions(text: str) -> tuple[str, list[str]]:
    """A text without its stage directions, and these: "(laughs) Yes. [music]" is "Yes.", "(laughs)", "[music]"."""
    found = [match.strip() for match in _DIRECTIONS.findall(text)]
    return (_SPACE.sub(" ", _DIRECTIONS.sub(" ", text)).strip(), found) if found else (text, [])


def _is_known(name: str, known: Collection[str]) -> bool:
    return same_speaker(name) in known or re.fullmatch(_NUMBERED_SPEAKER, name, re.IGNORECASE) is not None
