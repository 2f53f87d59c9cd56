"""The prompt of VibeVoice: numbers of speakers, voices and the slots of their latents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.data.vibevoice_prompt import (
    TAIL,
    SwitchName,
    head_pieces,
    plain_text,
    speaker_numbers,
    tokenized,
    turn_piece,
)

SWITCHES: dict[SwitchName, int] = {"start": -1, "latent": -2, "end": -3}


def spelled(text: str) -> list[int]:
    return [ord(character) for character in text]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_numbered_speakers_keep_their_distances_and_may_count_from_one(numbers: list[int]) -> None:
    found = speaker_numbers([f"Speaker {number}" for number in numbers])
    assert found == {f"Speaker {number}": number - min(1, min(numbers)) for number in numbers}


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["Anna", "Ben", "Anna"], {"Anna": 0, "Ben": 1}),
        (["Speaker 2", "Ben"], {"Speaker 2": 0, "Ben": 1}),
        (["Anna", "ANNA"], {"Anna": 0, "ANNA": 0}),
    ],
)
def test_other_names_are_counted_in_their_order(names: list[str], numbers: dict[str, int]) -> None:
    assert speaker_numbers(names) == numbers


def test_apostrophes_are_straight_as_in_the_released_code() -> None:
    assert plain_text(" It\u2019s \u201cfine\u201d. ") == "It's \u201cfine\u201d."


@given(st.lists(st.integers(1, 4), max_size=3))
def test_every_latent_of_every_voice_has_its_slot(frames: list[int]) -> None:
    pieces = [*head_pieces(frames), turn_piece(0, "a"), *TAIL]
    tokens = tokenized(pieces, spelled, SWITCHES)
    assert tokens.count(SWITCHES["latent"]) == sum(frames)
    assert tokens.count(SWITCHES["end"]) == len(frames)
    assert tokens[-1] == SWITCHES["start"], "speech begins"
    assert (" Voice input:\n" in pieces) == bool(frames)


def test_a_turn_is_a_line_of_its_speaker() -> None:
    pieces = [*head_pieces([]), turn_piece(0, "Hello."), turn_piece(1, "Hi."), *TAIL]
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    assert text.endswith(" Text input:\n Speaker 0: Hello.\n Speaker 1: Hi.\n Speech output:\n")
