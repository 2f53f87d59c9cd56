"""The recordings that the repository ships: small, readable, with their license, and fair to measure on."""

from __future__ import annotations

from pathlib import Path

import pytest

import data_prep
from data_prep.corpus_files import split_of_text
from data_prep.spoken_text import normal_form
from latent.audio.files import audio_info
from latent.data.manifest import read_manifest

pytest.importorskip("soundfile")

SPEECH = Path(data_prep.__file__).parent / "sample/speech"
SPLITS = ("train", "valid", "test")


def test_the_folder_holds_what_the_manifests_name_in_a_megabyte_and_a_half() -> None:
    named = {spoken.audio for split in SPLITS for spoken in read_manifest(SPEECH / f"{split}.jsonl")}
    assert named == set(SPEECH.glob("*.ogg"))
    assert sum(path.stat().st_size for path in SPEECH.iterdir()) <= 1_500_000


def test_recordings_are_as_long_as_the_manifests_say() -> None:
    for split in SPLITS:
        for spoken in read_manifest(SPEECH / f"{split}.jsonl")[:10]:
            assert audio_info(spoken.audio).seconds == pytest.approx(spoken.seconds, abs=0.01)
            assert audio_info(spoken.audio)[:2] == (16000, 1)


def test_every_text_is_in_its_own_split() -> None:
    for split in SPLITS:
        for spoken in read_manifest(SPEECH / f"{split}.jsonl"):
            assert split_of_text(normal_form(spoken.text), {"test": 5, "valid": 5}) == split


def test_the_license_is_beside_the_recordings() -> None:
    license = (SPEECH / "LICENSE").read_text(encoding="utf-8")
    for words in ("Allison Smith", "CC-BY-SA-3.0", "CREATIVE COMMONS PUBLIC LICENSE", "Changed:"):
        assert words in license
    assert "Allison Smith" in (SPEECH.parent / "NOTICE").read_text(encoding="utf-8")
