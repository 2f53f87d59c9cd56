"""The prompt of VibeVoice: scripts, voices and the slots of their latents."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latent.data.vibevoice_prompt import (
    Turn,
    check_voices,
    parse_script,
    prompt_pieces,
    prompt_sequence,
    script_of_json,
    script_of_text,
)
from s2s.errors import InputError

SWITCHES = {"start": -1, "latent": -2, "end": -3}


@given(st.lists(st.tuples(st.integers(0, 3), st.text("ab c:", min_size=1).filter(str.strip)), min_size=1, max_size=5))
def test_turns_keep_their_order_text_and_distances(said: list[tuple[int, str]]) -> None:
    turns = parse_script("\n".join(f"Speaker {speaker}: {text}" for speaker, text in said))
    assert [turn.text for turn in turns] == [f" {text.strip()}" for _, text in said]
    first = min(speaker for speaker, _ in said)
    assert [turn.speaker for turn in turns] == [speaker - min(first, 1) for speaker, _ in said]


def test_lines_without_a_speaker_are_skipped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_script("Speaker 0: a\nb\n\nspeaker 1 : c") == [Turn(0, " a"), Turn(1, " c")]
    assert [record.getMessage() for record in caplog.records] == [
        "line 2 of the script is skipped: expected 'Speaker 1: text', found 'b'"
    ]


def test_a_script_must_say_something() -> None:
    with pytest.raises(InputError, match="the script: no line reads 'Speaker 1: text'"):
        parse_script("Speaker 1:\nhello\n")
    with pytest.raises(InputError, match="the script: broken JSON: Expecting value"):
        script_of_json("[")
    with pytest.raises(InputError, match="expected a JSON list of turns, found dict"):
        script_of_json("{}")


def test_text_without_speakers_is_the_first_ones() -> None:
    assert script_of_text("Hello.\n\nspeaker 2 :  yes ") == "Speaker 1: Hello.\nSpeaker 2: yes"


@pytest.mark.parametrize(("speakers", "voices"), [([0, 2], 2), ([0], 2), ([0, 1], 1)])
def test_voices_must_match_the_speakers(speakers: list[int], voices: int) -> None:
    turns = [Turn(speaker, " a") for speaker in speakers]
    with pytest.raises(InputError, match=f"the script: {voices} voices need speakers 1 to {voices}, found 1"):
        check_voices(turns, voices)
    check_voices(turns, 0)


@given(st.lists(st.integers(1, 4), max_size=3))
def test_every_latent_of_every_voice_has_its_slot(frames: list[int]) -> None:
    voices = [torch.full((count, 2), float(index)) for index, count in enumerate(frames)]
    sequence = prompt_sequence([Turn(0, " a")], voices, lambda text: [ord(c) for c in text], SWITCHES, 2)
    assert len(sequence.latents) == sum(frames) == len(sequence.latent_slots)
    assert (sequence.tokens[0, sequence.latent_slots] == -2).all()
    assert sequence.tokens[0, -1] == -1, "speech begins"
    assert int(sequence.lengths) == sequence.tokens.shape[1]
    assert (" Voice input:\n" in prompt_pieces([Turn(0, " a")], frames)) == bool(frames)
