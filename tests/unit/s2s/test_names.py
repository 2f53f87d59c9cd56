"""An unknown name: its message leads to a known one, and stays short however many there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import InputError
from s2s.registry import nearest

NAMES = st.sets(st.text("abcdef_", min_size=1, max_size=30), min_size=1, max_size=200)


@given(names=NAMES)
def test_names_that_are_not_told_are_counted(names: set[str]) -> None:
    end = nearest("ZZZ", names)
    told, _, more = end.removeprefix("; known: ").partition(" and ")
    told_names = told.split(", ")
    assert told_names == sorted(names)[: len(told_names)]
    assert more == (f"{len(names) - len(told_names)} more" if len(told_names) < len(names) else "")
    assert str(InputError(f"a message of seventy characters and more, which says what was expected{end}")).endswith(end)


def test_the_nearest_of_many_names_is_told_alone() -> None:
    assert nearest("speaker_71", [f"speaker_{n}" for n in range(0, 990, 10)]).startswith(". Did you mean 'speaker_")
    assert nearest("anything", []) == ""
