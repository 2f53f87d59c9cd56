"""Subtitles follow the rules of SubRip and WebVTT whatever the texts and times are."""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.subtitles import MAX_COLUMNS, MAX_LINES, Subtitle, Word, srt, vtt

_TIMES = re.compile(r"(\d\d+):([0-5]\d):([0-5]\d)[,.](\d{3}) --> (\d\d+):([0-5]\d):([0-5]\d)[,.](\d{3})")
_TAG = re.compile(r"<(\d\d+):([0-5]\d):([0-5]\d)\.(\d{3})>")
SECONDS = st.floats(0, 400_000)


@st.composite
def subtitles(draw: st.DrawFn) -> Subtitle:
    start, end = sorted((draw(SECONDS), draw(SECONDS)))
    speaker = draw(st.none() | st.text(max_size=8))
    if draw(st.booleans()):
        return Subtitle(start, end, draw(st.text(max_size=200)), speaker)
    texts = draw(st.lists(st.text(max_size=30), min_size=1, max_size=12))
    times = sorted(draw(st.lists(SECONDS, min_size=2 * len(texts), max_size=2 * len(texts))))
    words = [Word(text, *span) for text, span in zip(texts, zip(times[::2], times[1::2], strict=True), strict=True)]
    return Subtitle(start, end, "".join(texts), speaker, words)


def ordered(drawn: list[Subtitle]) -> list[Subtitle]:
    return sorted(drawn, key=lambda subtitle: subtitle.start)


def blocks(written: str) -> list[tuple[int, int, list[str]]]:
    """Start and end in milliseconds, and the lines of text, of each subtitle."""
    found = []
    for block in written.split("\n\n"):
        lines = block.strip("\n").split("\n")
        if lines != ["WEBVTT"] and lines != [""]:
            lines = lines[1:] if "-->" not in lines[0] else lines
            match = _TIMES.fullmatch(lines[0])
            assert match, lines[0]
            found.append((milliseconds(match.groups()[:4]), milliseconds(match.groups()[4:]), lines[1:]))
    return found


def milliseconds(clock: tuple[str, ...]) -> int:
    hours, minutes, seconds, thousandths = map(int, clock)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


def test_subrip_numbers_subtitles_and_names_a_speaker_who_is_new() -> None:
    said = [
        Subtitle(0.5, 1.25, "Good evening.", "Ann"),
        Subtitle(1.5, 2, "Two.", "Ann"),
        Subtitle(3661.0004, 3662, "Yes?", "Bo"),
    ]
    assert srt(said) == (
        "1\n00:00:00,500 --> 00:00:01,250\nAnn: Good evening.\n\n"
        "2\n00:00:01,500 --> 00:00:02,000\nTwo.\n\n"
        "3\n01:01:01,000 --> 01:01:02,000\nBo: Yes?\n"
    )


def test_webvtt_has_speakers_escapes_and_times_of_words() -> None:
    words = [Word("if ", 0.5, 1), Word("a<b ", 1, 1.5), Word("& c>d", 1.75, 2.5)]
    said = Subtitle(0.5, 2.5, "if a<b & c>d", "A & B", words)
    assert vtt([said]) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.500\n<v A &amp; B>if <00:00:01.000>a&lt;b <00:00:01.750>&amp; c&gt;d\n"
    )


def test_nothing_said_is_no_subtitle() -> None:
    assert srt([]) == srt([Subtitle(0, 1, " \n ")]) == ""
    assert vtt([]) == vtt([Subtitle(0, 1, "\0")]) == "WEBVTT\n"


@pytest.mark.parametrize("text", ["<b>bold</b>", "{\\an8}top", "a --> b", "</i>", "<font color=red>"])
def test_players_find_no_markup_in_subrip(text: str) -> None:
    (written,) = blocks(srt([Subtitle(0, 1, text)]))
    assert not re.search(r"<[/a-z]|\{\\|-->", written[2][0])
    assert written[2][0].replace("\u2060", "") == text


def test_a_long_text_is_shown_in_balanced_lines_at_the_times_of_its_words() -> None:
    words = [Word(f"word{index:02} ", index, index + 0.5) for index in range(20)]
    shown = blocks(srt([Subtitle(0, 19.5, "".join(word.text for word in words), words=words)]))
    assert [(start, end) for start, end, _ in shown] == [(0, 10_000), (10_000, 19_500)]
    assert [len(line.split()) for _, _, lines in shown for line in lines] == [5, 5, 5, 5]


def test_a_text_without_times_of_words_passes_in_proportion_to_its_letters() -> None:
    first, second = blocks(vtt([Subtitle(10, 20, "abcde " * 20)]))
    assert first[:2] == (10_000, 15_000)
    assert second[:2] == (15_000, 20_000)
    assert "<" not in first[2][0]


def test_a_script_without_blanks_breaks_between_letters_never_before_a_mark() -> None:
    text = "今日は天気がいいですね、" * 8
    shown = blocks(srt([Subtitle(0, 9, text)]))
    lines = [line for _, _, found in shown for line in found]
    assert "".join(lines) == text
    assert all(2 * len(line) <= MAX_COLUMNS and line[0] != "、" for line in lines)


@pytest.mark.parametrize("write", [srt, vtt])
@given(drawn=st.lists(subtitles(), max_size=6))
def test_times_grow_and_no_two_subtitles_overlap(write: Callable[..., str], drawn: list[Subtitle]) -> None:
    found = blocks(write(ordered(drawn)))
    assert all(start < end for start, end, _ in found)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(found))


@pytest.mark.parametrize("write", [srt, vtt])
@given(drawn=st.lists(subtitles(), max_size=3))
def test_subtitles_have_few_short_lines_and_none_is_blank(write: Callable[..., str], drawn: list[Subtitle]) -> None:
    for _, _, lines in blocks(write(ordered(drawn))):
        assert 1 <= len(lines) <= MAX_LINES
        for line in lines:
            plain = html.unescape(re.sub("<[^>]*>", "", line) if write is vtt else line.replace("\u2060", ""))
            assert plain.strip()
            shown = [sign for sign in plain if not unicodedata.combining(sign)]
            assert sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in shown) <= MAX_COLUMNS


@given(drawn=st.lists(subtitles(), max_size=3))
def test_times_of_words_grow_inside_their_subtitle(drawn: list[Subtitle]) -> None:
    for start, end, lines in blocks(vtt(ordered(drawn))):
        tags = [milliseconds(match) for line in lines for match in _TAG.findall(line)]
        assert [start, *tags, end] == sorted({start, *tags, end})


@given(drawn=st.lists(subtitles(), max_size=3))
def test_every_letter_of_the_texts_is_in_webvtt(drawn: list[Subtitle]) -> None:
    written = "".join(line for _, _, lines in blocks(vtt(ordered(drawn))) for line in lines)
    plain = html.unescape(re.sub("<[^>]*>", "", written))
    given_text = "".join(subtitle.text for subtitle in ordered(drawn))

    def letters(text: str) -> str:
        return "".join(re.findall(r"\w", text))

    assert letters(plain) == letters(given_text)
