"""Melodies as text, and the vocabulary of their streams."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.melody import REST, Note, as_text, check_together, num_syllables, read_notes, syllables_of
from s2s.data.melody_vocabulary import UNKNOWN, MelodyVocabulary
from s2s.errors import InputError

LENGTHS = st.builds(Fraction, st.integers(1, 60), st.sampled_from([1, 2, 3, 4, 8, 48]))
SYLLABLES = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(-1, 127), LENGTHS), max_size=3), st.integers(0, 127), LENGTHS), max_size=8
)


def notes_of(syllables: list[tuple[list[tuple[int, Fraction]], int, Fraction]]) -> list[Note]:
    return [
        note
        for before, pitch, beats in syllables
        for note in (*(Note(*one, False) for one in before), Note(pitch, beats, True))
    ]


@given(SYLLABLES)
def test_a_melody_as_text_is_read_as_it_was(syllables: list[tuple[list[tuple[int, Fraction]], int, Fraction]]) -> None:
    notes = notes_of(syllables)
    text = as_text(notes)
    assert read_notes(text, "here") == notes
    assert len(text.split()) == num_syllables(notes) == len(syllables)


@given(SYLLABLES)
def test_notes_come_back_from_their_tokens(syllables: list[tuple[list[tuple[int, Fraction]], int, Fraction]]) -> None:
    notes = notes_of(syllables)
    vocabulary = MelodyVocabulary.learn([(["a"], notes)])
    sizes = vocabulary.sizes
    firsts = [1, 1 + sizes[0], 1 + sizes[0] + sizes[1]]
    tokens = (vocabulary.values(notes) + firsts).flatten().tolist()
    assert vocabulary.notes(tokens) == notes
    assert max(tokens, default=0) < len(vocabulary)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C4", "a note is PITCH:BEATS, such as C#4:3/2 or R:1, found 'C4'"),
        ("C4:1 H4:1", "a note is PITCH:BEATS, such as C#4:3/2 or R:1, found 'H4:1'"),
        ("C4:1~ D4:1", "a note is PITCH:BEATS, such as C#4:3/2 or R:1, found ''"),
        ("C4:0", "a length is above 0 and at most 64 beats, with a divisor of at most 96, found 'C4:0'"),
        ("C4:1/0", "a length is above 0 and at most 64 beats, with a divisor of at most 96, found 'C4:1/0'"),
        ("A99:1", "pitches are from C-1 to G9, found 'A99:1'"),
        ("C4:1 R:1", "a rest belongs to the syllable after it, found 'R:1'"),
    ],
)
def test_what_is_no_melody_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        read_notes(text, "tunes.jsonl:3")
    assert str(raised.value) == f"tunes.jsonl:3: 'tgt': {message}"


def test_a_melody_must_be_a_text() -> None:
    with pytest.raises(InputError, match=r"^x:1: 'tgt' must be a melody, such as"):
        read_notes([60, 1], "x:1")


def test_flats_and_sharps_name_the_same_key() -> None:
    assert read_notes("Db4:1 C#4:1", "here")[0].pitch == read_notes("C#4:1", "here")[0].pitch == 61


def test_blanks_and_hyphens_divide_syllables() -> None:
    assert syllables_of("Twin-kle twin- kle, star", "here") == ["Twin-", "kle", "twin-", "kle,", "star"]
    assert syllables_of(["Twin-", "kle"], "here") == ["Twin-", "kle"]


@pytest.mark.parametrize("lyrics", ["", "  ", "- — …", []])
def test_lyrics_without_syllables_are_refused(lyrics: str | list[str]) -> None:
    with pytest.raises(InputError, match=r"^song:1: 'src' must hold syllables, such as 'Twin-kle twin-kle', found"):
        syllables_of(lyrics, "song:1")


def test_a_melody_with_another_number_of_syllables_is_refused() -> None:
    with pytest.raises(InputError, match=r"^song:1: 'tgt' must have as many syllables as 'src', 2, found 1$"):
        check_together(["a", "b"], [Note(60, Fraction(1), True)], "song:1")


def test_a_vocabulary_comes_back_from_its_file(tmp_path: Path) -> None:
    vocabulary = MelodyVocabulary.learn([(["Über-", "all"], read_notes("C4:3/2 D4:1/3", "here"))])
    vocabulary.save(tmp_path)
    assert MelodyVocabulary.load(tmp_path) == vocabulary
    (tmp_path / "melody.json").write_text('{"letters": 5}')
    with pytest.raises(InputError, match=r"melody\.json: is not the vocabulary of a run of melodies"):
        MelodyVocabulary.load(tmp_path)


def test_what_training_has_not_seen_becomes_unknown_or_the_nearest_length() -> None:
    vocabulary = MelodyVocabulary(tuple("ab"), (Fraction(1), Fraction(2)))
    letters, owners = vocabulary.spelled(["Ab-", "z"])
    assert letters.tolist() == [2, 3, UNKNOWN, UNKNOWN]
    assert owners.tolist() == [0, 0, 0, 1]
    assert vocabulary.values([Note(REST, Fraction(7, 4), False)]).tolist() == [[0, 1, 0]]
