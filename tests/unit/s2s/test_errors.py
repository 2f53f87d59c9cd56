"""Messages are one short line, whatever they quote."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import ConfigError, InputError, shown


@given(st.text() | st.text("ab\n\t\0\x1b\ud800", min_size=200))
def test_a_message_is_one_short_printable_line(message: str) -> None:
    for kind in (InputError, ConfigError):
        text = str(kind(message))
        assert len(text) <= 300
        assert text.isprintable()
        assert text == message or not message.isprintable() or len(message) > 300


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    text = str(InputError(f"data.jsonl:3: found {'x' * 10_000_000}; expected a number"))
    assert text.startswith("data.jsonl:3: found xxx")
    assert text.endswith("xxx; expected a number")


def test_shown_is_short_for_bombs_and_values_that_contain_themselves() -> None:
    bomb: list[object] = ["lol"]
    for _ in range(50):
        bomb = [bomb] * 10
    circle: dict[str, object] = {}
    circle["more"] = circle
    for value in (bomb, circle, 10**100_000, "x" * 10_000_000, [["x" * 1000] * 1000] * 1000):
        assert len(shown(value)) <= 80


@given(st.integers(-(2**64), 2**64) | st.text(max_size=20).filter(str.isprintable) | st.none() | st.booleans())
def test_shown_is_repr_for_ordinary_values(value: object) -> None:
    assert shown(value) == repr(value)
