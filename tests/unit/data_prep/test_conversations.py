"""Conversations of two speakers: what the reference says is where the audio has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_voice import write_recordings

from data_prep.conversations import join_recordings
from latent.audio.files import load_audio
from latent.data.manifest import read_manifest
from s2s.errors import InputError


def test_turns_alternate_and_sound_where_the_reference_says(tmp_path: Path) -> None:
    utterances = read_manifest(write_recordings(tmp_path / "recordings"))
    reference = join_recordings(utterances, tmp_path / "joined", count=2, turns=4, sample_rate=2000)
    lines = [json.loads(line) for line in reference.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["conversation-000", "conversation-001"]
    texts = {utterance.text: utterance.speaker for utterance in utterances}
    for line in lines:
        samples = load_audio(reference.parent / line["audio"], 2000)
        speakers = [segment["speaker"] for segment in line["segments"]]
        assert speakers[0] != speakers[1]
        assert speakers == speakers[:2] * 2
        before = 0.0
        for segment in line["segments"]:
            assert texts[segment["text"]] == segment["speaker"]
            start, end = round(segment["start"] * 2000), round(segment["end"] * 2000)
            assert not samples[round(before * 2000) : start].any()
            assert np.abs(samples[start:end]).mean() > 0.02
            before = segment["end"]
        assert len(samples) == round(before * 2000)


def test_one_speaker_is_no_conversation(tmp_path: Path) -> None:
    utterances = [one for one in read_manifest(write_recordings(tmp_path / "recordings")) if one.speaker == "ann"]
    with pytest.raises(InputError, match="needs recordings of two speakers, found 1"):
        join_recordings(utterances, tmp_path / "joined", count=1)
