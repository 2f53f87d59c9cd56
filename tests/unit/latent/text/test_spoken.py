"""Text as it is said."""

from __future__ import annotations

import pytest

pytest.importorskip("num2words")

from latent.text.spoken import spoken


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Press 1 & hold.", "Press one and hold."),
        ("“It’s” 28.8 %.", '"It\'s" twenty-eight point eight percent.'),
        ("1,234 messages", "one thousand two hundred and thirty-four messages"),
        ("Room 7, please", "Room seven, please"),
        ("nothing  to\u00a0change", "nothing to change"),
    ],
)
def test_numbers_and_signs_become_words(text: str, said: str) -> None:
    assert spoken(text, "en") == said
    assert spoken(said, "en") == said


@pytest.mark.parametrize("text", ["9" * 5000, "0." + "3" * 400, "٣ ४", "1" * 70, "half \ud83d pair"])
def test_no_number_is_too_long(text: str) -> None:
    assert spoken(text, "en").encode()


def test_numbers_stay_where_nobody_can_spell_them() -> None:
    assert spoken("7 € x", "xx") == "7 € x"
