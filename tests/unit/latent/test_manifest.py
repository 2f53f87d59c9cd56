"""Manifests are read with paths from their own folder; a broken line is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latent.audio.files import write_audio
from latent.data.manifest import Utterance, read_manifest
from s2s.errors import InputError

GOOD = {"id": "a", "audio": "audio/a.wav", "seconds": 1.5, "text": "Hello.", "speaker": "s", "language": "fr"}


def write(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    absolute = {"id": "b", "audio": "/far/b.wav", "seconds": 2, "text": "There."}
    assert read_manifest(write(tmp_path, GOOD, absolute)) == [
        Utterance("a", tmp_path / "audio/a.wav", 1.5, "Hello.", "s", "fr"),
        Utterance("b", Path("/far/b.wav"), 2.0, "There.", "unknown", "en"),
    ]


def test_missing_seconds_come_from_the_audio(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    write_audio(tmp_path / "a.wav", np.zeros(4000, np.float32), 8000)
    [utterance] = read_manifest(write(tmp_path, {"id": "a", "audio": "a.wav", "text": "x"}))
    assert utterance.seconds == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": None}, r"m\.jsonl:2: 'text' must be a string that is not blank, found null"),
        ({"text": " "}, r"m\.jsonl:2: 'text' must be a string that is not blank"),
        ({"seconds": 0}, r"m\.jsonl:2: 'seconds' must be a number above 0, found a number \(0\)"),
        ({"seconds": "1"}, r"m\.jsonl:2: 'seconds' must be a number above 0, found a string"),
        ({"id": "a"}, r"m\.jsonl:2: 'id' 'a' is that of an earlier line"),
    ],
)
def test_broken_line_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_manifest(write(tmp_path, GOOD, {**GOOD, "id": "b", **change}))


@pytest.mark.parametrize("field", ["id", "audio", "text"])
def test_missing_field_is_named(tmp_path: Path, field: str) -> None:
    record = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(InputError, match=rf"m\.jsonl:1: '{field}' is missing; found "):
        read_manifest(write(tmp_path, record))
