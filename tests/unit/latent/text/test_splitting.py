"""Where long lines are cut before they are spoken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from latent.text.splitting import split_text


def test_the_point_of_an_abbreviation_ends_no_sentence() -> None:
    line = "He met Dr. Smith on St. James Street in Jan. and paid $5.50 for No. 7. Prof. Jones, e.g. J. Jones, came."
    assert split_text(line, lambda text: len(text) <= 75) == [
        "He met Dr. Smith on St. James Street in Jan. and paid $5.50 for No. 7.",
        "Prof. Jones, e.g. J. Jones, came.",
    ]


def test_sentences_then_clauses_then_words_are_cut() -> None:
    assert split_text("One. Two, three.", lambda text: len(text) <= 11) == ["One.", "Two, three."]
    assert split_text("One. Two, three.", lambda text: len(text) <= 9) == ["One.", "Two,", "three."]
    assert split_text("第一。第二。", lambda text: len(text) <= 3) == ["第一。", "第二。"]


@given(text=st.text("aB .,!?。 ", max_size=40), most=st.integers(1, 12))
def test_nothing_is_lost_and_every_piece_fits(text: str, most: int) -> None:
    pieces = split_text(text, lambda piece: len(piece) <= most)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(len(piece) <= most for piece in pieces)
