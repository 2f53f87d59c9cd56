"""Subtitles: what is said when, as SubRip (.srt) and WebVTT (.vtt, https://www.w3.org/TR/webvtt1).

A subtitle is what WebVTT calls a cue. A text that is too long for `MAX_LINES` lines is shown as several.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from s2s.durable import write_whole

MAX_COLUMNS, MAX_LINES = 42, 2
"""Columns of a line (wide characters take two) and lines of a subtitle, as usual in television and streaming."""

_WIDE = re.compile("[\u1100-\u115f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]")
_LETTER = re.compile(
    "\\S[、。，！？：；）」』”’…\u0300-\u036f\u200d\ufe0f]{0,3}"
)  # a line never begins with these marks
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKUP = re.compile(r"[<{](?=[/\\a-zA-Z!])|--(?=>)")
_WORD_JOINER = "\u2060"


@dataclass(frozen=True)
class Word:
    """A word and when it is said, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Subtitle:
    """A text and when it is said, in seconds.

    Args:
        speaker: Who says it, if that is to be shown.
        words: Its words with their marks and blanks, if their times are known; joined they are the text.
    """

    start: float
    end: float
    text: str
    speaker: str | None = None
    words: Sequence[Word] = ()


class _Piece(NamedTuple):
    """What no line breaks, after a blank or not; when it begins; and whether that is known, since a word begins."""

    text: str
    start: float
    known: bool


class _Shown(NamedTuple):
    """A subtitle as it is written: in whole milliseconds, in lines that fit."""

    start: int
    end: int
    speaker: str | None
    lines: list[list[_Piece]]


def srt(subtitles: Iterable[Subtitle]) -> str:
    """SubRip: numbered subtitles; a speaker is named where another spoke before.

    It has no escapes. Where a "<" or "{" would be read as markup, an invisible word joiner follows it.

    Args:
        subtitles: In the order of their starts. One that lasts into the next ends there; one without text is left out.
    """
    named, last = list[Subtitle](), None
    for subtitle in subtitles:
        named.append(subtitle if subtitle.speaker == last else _with_name(subtitle))
        last = subtitle.speaker
    blocks = []
    for number, shown in enumerate(_layout(named), start=1):
        text = "\n".join("".join(piece.text for piece in line).strip() for line in shown.lines)
        text = _MARKUP.sub(lambda found: found[0] + _WORD_JOINER, text)
        blocks.append(f"{number}\n{_clock(shown.start, ',')} --> {_clock(shown.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def vtt(subtitles: Iterable[Subtitle]) -> str:
    """WebVTT: with speakers (`<v NAME>`), and the start of every word whose time is known (`<00:00:01.000>`).

    Args:
        subtitles: As for `srt`.
    """
    blocks = ["WEBVTT\n"]
    for shown in _layout(subtitles):
        speaker = " ".join((shown.speaker or "").translate(_ESCAPES).split())
        voice = f"<v {speaker}>" if speaker else ""
        blocks.append(f"{_clock(shown.start, '.')} --> {_clock(shown.end, '.')}\n{voice}{_tagged(shown)}\n")
    return "\n".join(blocks)


FORMATS = {"srt": srt, "vtt": vtt}
"""What writes subtitles, by the suffix of the file."""


def write_subtitles(audio: Path, format: str, subtitles: Iterable[Subtitle]) -> None:
    """Write those of an audio file beside it: "srt" or "vtt" is the format and the suffix; InputError if it cannot."""
    write_whole(audio.with_suffix(f".{format}"), FORMATS[format](subtitles).encode())


def _with_name(subtitle: Subtitle) -> Subtitle:
    if not subtitle.speaker:
        return subtitle
    name = Word(f"{subtitle.speaker}: ", subtitle.start, subtitle.start)
    words = [name, *subtitle.words] if subtitle.words else ()
    return replace(subtitle, text=name.text + subtitle.text, words=words)


def _tagged(shown: _Shown) -> str:
    """The text with its times, which must grow and lie inside the subtitle."""
    lines, latest = list[str](), shown.start
    for line in shown.lines:
        written = ""
        for piece in line:
            time, text = _milliseconds(piece.start), piece.text.translate(_ESCAPES)
            if piece.known and latest < time < shown.end:
                blank = text[: len(text) - len(text.lstrip())]
                text, latest = f"{blank}<{_clock(time, '.')}>{text.lstrip()}", time
            written += text
        lines.append(written.strip())
    return "\n".join(lines)


def _layout(subtitles: Iterable[Subtitle]) -> list[_Shown]:
    """What is shown: one after the other, each for at least a millisecond."""
    parts = [part for subtitle in subtitles for part in _parts(subtitle)]
    starts: list[int] = []
    for start, *_ in parts:
        starts.append(max(_milliseconds(start), starts[-1] + 1 if starts else 0))
    shown = []
    following = itertools.pairwise([*starts, sys.maxsize])
    for (start, after), (_, end, speaker, lines) in zip(following, parts, strict=True):
        shown.append(_Shown(start, min(max(start + 1, _milliseconds(end)), after), speaker, lines))
    return shown


def _parts(subtitle: Subtitle) -> Iterator[tuple[float, float, str | None, list[list[_Piece]]]]:
    """A subtitle in as many as it needs: start, end, speaker, lines."""
    pieces = _pieces(subtitle)
    count = len(_filled(pieces, MAX_COLUMNS))
    if count > MAX_LINES:
        count += -count % MAX_LINES  # no subtitle is left with a line alone, and below no line with a word alone
    least = min(MAX_COLUMNS, math.ceil(sum(_columns(piece.text) for piece in pieces) / max(count, 1)))
    balanced = (_filled(pieces, width) for width in range(least, MAX_COLUMNS + 1))
    lines = next((found for found in balanced if len(found) <= count), [])
    parts = [lines[first : first + MAX_LINES] for first in range(0, len(lines), MAX_LINES)]
    starts = [subtitle.start, *(part[0][0].start for part in parts[1:]), subtitle.end]
    for (start, end), part in zip(itertools.pairwise(starts), parts, strict=False):
        yield start, end, subtitle.speaker, part


def _pieces(subtitle: Subtitle) -> list[_Piece]:
    """The pieces of the text; inside a word, time passes in proportion to its letters."""
    words = subtitle.words or [Word(subtitle.text, subtitle.start, subtitle.end)]
    found: list[_Piece] = []
    blank = False
    for word in words:
        text = _CONTROL.sub("", word.text)
        blank, known, passed = blank or text[:1].isspace(), bool(subtitle.words), 0
        tokens = text.split()
        length = max(1, sum(map(len, tokens)))
        for token in tokens:
            for part in _unbroken(token):
                start = word.start + (word.end - word.start) * passed / length
                found.append(_Piece(f" {part}" if blank else part, start, known))
                passed, known, blank = passed + len(part), False, False
            blank = True
        blank = text[-1:].isspace() or (blank and not tokens)
    return found


def _unbroken(token: str) -> list[str]:
    """A token whole, or by letters where it is too long for a line or in a script without blanks."""
    whole = _columns(token) <= MAX_COLUMNS and not _WIDE.search(token)
    return [token] if whole else _LETTER.findall(token)


def _filled(pieces: Sequence[_Piece], width: int) -> list[list[_Piece]]:
    """Lines of at most `width` columns, or of a single piece."""
    lines: list[list[_Piece]] = []
    used = 0
    for piece in pieces:
        size = _columns(piece.text)
        if not lines or used + size > width:
            lines.append([])
            used = -int(piece.text[0] == " ")  # the blank is not written where a line begins
        lines[-1].append(piece)
        used += size
    return lines


def _columns(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text if not unicodedata.combining(sign))


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _clock(milliseconds: int, point: str) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{fraction:03}"
