"""Texts are cut where sentences end, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.sentences import sentence_ends, sentences

_CASES = Path(__file__).parents[4] / "benchmarks/sentence_splitting/en.txt"
CASES = _CASES.read_text(encoding="utf-8").splitlines()
LOWER = "I did it. | i was tired."  # nobody can tell "i" from the rest of a sentence by rules
SAID = "Let's go! | said nobody ever."


def test_the_cases_of_the_benchmark_are_cut_as_a_reader_does() -> None:
    wrong = [case for case in CASES if " | ".join(sentences(case.replace(" | ", " "))) != case]
    assert len(CASES) >= 60
    assert wrong == [LOWER, SAID]


@pytest.mark.parametrize(
    "case",
    [
        "He came in. | Paul left.",
        "The cat sat. | Dogs ran.",
        "Bake for 25 min. | Stir well.",
        "Ask Dr. Who.",
        "Er kam z.B. Montag an. | Das war gut.",
        "La Sra. Ruiz vive aquí. | El perro no.",
        "M. Dupont est là. | Il dort.",
        "We met at 9 a.m. Friday. | Then I left.",
        "It covers Unicode 4.1. | Gentium is a font.",
        "一。二！三",
    ],
)
def test_words_that_look_like_abbreviations_end_sentences(case: str) -> None:
    expected = ["一。", "二！", "三"] if case[0] == "一" else case.split(" | ")
    assert sentences(case.replace(" | ", " ")) == expected


@given(st.text(st.sampled_from("aB1. ?!\"')。(:;-\n"), max_size=40))
def test_no_character_is_lost(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    paragraph = " ".join(text.split())
    ends = list(sentence_ends(paragraph))
    assert ends == sorted(set(ends))
    assert all(0 < end <= len(paragraph) for end in ends)
