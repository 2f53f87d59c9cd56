"""Transcripts become what was said, or are left out; nothing is guessed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.spoken_text import normal_form, spell_out
from latent.text.spoken import plain


def spelled(text: str, language: str = "en") -> tuple[str | None, Counter[str]]:
    skipped: Counter[str] = Counter()
    return spell_out(plain(text), language, lambda reason: skipped.update([reason])), skipped


@given(st.text())
def test_plain_text_is_stable_and_has_single_blanks(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert "  " not in once
    assert once == once.strip()


def test_plain_text_has_plain_signs() -> None:
    assert plain(" “It’s” –\u00a0he\u200b said…\n ") == '"It\'s" - he said...'
    assert plain("cafe\u0301") == "café"


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("Press # or *, then 21.", "en", "Press pound or star, then twenty-one."),
        ("Appuyez sur 2", "fr", "Appuyez sur deux"),
        ("нажмите 7#", "ru", "нажмите семь решётка"),
        ("No digits here?", "en", "No digits here?"),
    ],
)
def test_numbers_and_signs_become_words(text: str, language: str, said: str) -> None:
    pytest.importorskip("num2words")
    assert spelled(text, language) == (said, Counter())


@pytest.mark.parametrize("text", ["extension 1234", "28.8 kilobits", "at 6:30", "1/2 mile"])
def test_numbers_with_several_readings_are_left_out(text: str) -> None:
    assert spelled(text) == (None, Counter(["texts with a number of more than 2 digits, which has several readings"]))


def test_signs_without_a_reading_are_left_out() -> None:
    assert spelled("a ~ b") == (None, Counter(["texts with a sign that has no reading"]))


def test_normal_form_ignores_case_and_signs() -> None:
    assert normal_form("Good-bye, World!") == normal_form("good bye world")
    assert normal_form("one") != normal_form("two")
    assert normal_form("?!") == "?!"
