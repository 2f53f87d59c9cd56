"""Manifests are read with paths from their own folder; a broken line is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latent.audio.files import write_audio
from latent.data.latent_store import LatentStore, StoreFacts, write_store
from latent.data.manifest import Sounding, Utterance, read_manifest
from latent.data.turns import SpeakerTurn
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


SEGMENTS = [{"speaker": "eve", "text": "Hi.", "start": 0, "end": 0.5}, {"speaker": "ann", "text": "Yes?"}]


def test_segments_are_turns_and_their_texts_the_text_and_a_store_keeps_them(tmp_path: Path) -> None:
    bare = {name: value for name, value in GOOD.items() if name not in ("text", "speaker")}
    alone = [{"speaker": "eve", "text": "Hi.", "start": 1.0, "end": 1.6}]
    unnamed = [{"speaker": None, "text": "Hi.", "start": 0, "end": 1}]
    path = write(
        tmp_path,
        {**bare, "segments": SEGMENTS},
        {**bare, "id": "b", "segments": alone},
        {**GOOD, "id": "c", "segments": unnamed},
    )
    dialogue, eve, plain = read_manifest(path)
    assert (dialogue.text, dialogue.speaker) == ("Hi. Yes?", "unknown")
    assert dialogue.turns == (SpeakerTurn("eve", "Hi.", 0.0, 0.5), SpeakerTurn("ann", "Yes?"))
    assert (eve.speaker, eve.turns[0].end) == ("eve", 1.5), "cut at the end of the recording"
    assert plain == replace(read_manifest(write(tmp_path, GOOD))[0], id="c"), "nobody is named"
    facts = StoreFacts("none", 1, 8000, 4000, "none", 0.0)
    write_store(tmp_path / "store", facts, [(one, np.zeros((3, 1), np.float32)) for one in (dialogue, plain)])
    stored = LatentStore(tmp_path / "store").utterances
    assert stored[0].script == dialogue.turns
    assert stored[1].script == (SpeakerTurn("s", "Hello."),)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ("no", r"m\.jsonl:1: 'segments' must be a list of objects, found a string"),
        ([SEGMENTS[0], {"text": "x"}], r"m\.jsonl:1: 'segments' must all name their 'speaker', found 1 of 2"),
        (
            [{"speaker": 1, "text": "x"}],
            r"'segments'\[0\]: 'speaker' must be a string that is not blank, found a number",
        ),
        ([{**SEGMENTS[0], "text": ""}], r"'segments'\[0\]: 'text' must be a string that is not blank"),
        ([{**SEGMENTS[0], "end": None}], r"'segments'\[0\]: 'start' and 'end' must be seconds, one after the other"),
        ([{**SEGMENTS[0], "end": 0}], r"'segments'\[0\]: 'start' and 'end' must be seconds"),
        (
            [{**SEGMENTS[0], "start": 2, "end": 3}],
            r"'segments'\[0\]: must start within the recording of 1.5 s, found 2 s",
        ),
    ],
)
def test_broken_segments_are_named(tmp_path: Path, segments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_manifest(write(tmp_path, {**GOOD, "segments": segments}))


def test_alignment_is_cut_at_the_end_of_the_recording(tmp_path: Path) -> None:
    alignment = [["/HH", 0.25, 0.5], ["/AH", 0.5, 0.5], ["q", 1, 1.49], ["/OW", 1.51, 1.55]]
    [found] = read_manifest(write(tmp_path, {**GOOD, "alignment": alignment}))
    assert found.alignment == (
        Sounding("/HH", 0.25, 0.5),
        Sounding("/AH", 0.5, 0.5),
        Sounding("q", 1.0, 1.49),
        Sounding("/OW", 1.5, 1.5),
    )


@pytest.mark.parametrize(
    ("alignment", "message"),
    [
        ({}, r"m\.jsonl:1: 'alignment' must be a list of \[unit, start, end\], found an object"),
        ([["a", 0, 1], ["b", 1]], r"m\.jsonl:1: 'alignment'\[1\] must be \[unit, start, end\], found"),
        ([["", 0, 1]], r"m\.jsonl:1: 'alignment'\[0\] must be \[unit, start, end\], found"),
        ([["a", "0", 1]], r"'alignment'\[0\] must have two numbers of seconds after 'a', found '0' and 1"),
        ([["a", 0, float("nan")]], r"m\.jsonl:1: JSON that cannot be read: the number NaN; expected finite numbers"),
        ([["a", -1, 0]], r"'alignment'\[0\] \('a'\) must start at 0 s or later .*, found -1 to 0 s"),
        ([["a", 1, 0.5]], r"'alignment'\[0\] \('a'\) must start at 0 s or later .*, found 1 to 0.5 s"),
        ([["a", 0, 1], ["b", 0.9, 1.2]], r"'alignment'\[1\] \('b'\) must start at 1 s or later .*, found 0.9 to 1.2 s"),
        ([["a", 0, 2]], r"'alignment'\[0\] \('a'\) must end within the recording of 1.5 s, found 2 s"),
    ],
)
def test_broken_alignment_is_named(tmp_path: Path, alignment: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_manifest(write(tmp_path, {**GOOD, "alignment": alignment}))


def test_alignment_of_null_is_none(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path, {**GOOD, "alignment": None})) == read_manifest(write(tmp_path, GOOD))


def test_broken_alignment_does_not_disturb_who_asks_for_none(tmp_path: Path) -> None:
    [found] = read_manifest(write(tmp_path, {**GOOD, "alignment": {}}), alignments=False)
    assert found.alignment is None


def test_alignments_pass_through_a_store(tmp_path: Path) -> None:
    aligned = {**GOOD, "id": "b", "alignment": [["/HH", 0.25, 0.5], ["q", 0.5, 1.4375]]}
    silent = {**GOOD, "id": "c", "alignment": []}
    spoken = read_manifest(write(tmp_path, GOOD, aligned, silent))
    means = [np.ones((1 + index, 2), np.float32) for index in range(3)]
    facts = StoreFacts("tests", 2, 8000, 8000, "fixed", 0.5)
    write_store(tmp_path / "store", facts, zip(spoken, means, strict=True))
    stored = LatentStore(tmp_path / "store").utterances
    assert [line.alignment for line in stored] == [line.alignment for line in spoken]
    first, *_ = (tmp_path / "store/index.jsonl").read_text().splitlines()
    assert "alignment" not in json.loads(first), "stores without alignments are what they were"


def test_broken_alignment_of_a_store_is_named(tmp_path: Path) -> None:
    [spoken] = read_manifest(write(tmp_path, GOOD))
    facts = StoreFacts("tests", 2, 8000, 800, "fixed", 0.5)
    write_store(tmp_path, facts, [(spoken, np.ones((10, 2), np.float32))])
    index = tmp_path / "index.jsonl"
    index.write_text(index.read_text().replace("}", ', "alignment": [["a", 0, 3]]}'))
    with pytest.raises(InputError, match=r"index\.jsonl:1: 'alignment'\[0\] \('a'\) must end within .* 1 s, found 3 s"):
        LatentStore(tmp_path)
