"""Recordings aligned by pocketsphinx: every unit of the front end has its span, and what does not fit is told."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import data_prep
from latent.audio.files import load_audio, write_audio
from latent.data.manifest import Alignment, read_manifest
from latent.text.phonemes import MARKS, PhonemeFrontEnd
from latent.text.spoken import spoken
from s2s.durable import claimed
from s2s.errors import InputError
from unilatent.commands.prepare import app

pytest.importorskip("soundfile")
pytest.importorskip("pocketsphinx")

from data_prep.aligners.pocketsphinx import Listener, readings, words_of

SPEECH = Path(data_prep.__file__).parent / "sample/speech"
FRONT_END = PhonemeFrontEnd.learn([], None)
RECORDINGS = {name: load_audio(SPEECH / f"en-{name}.ogg", 16000) for name in ("agent-pass", "vm-undelete", "spy-mgcp")}


def align(samples: np.ndarray, text: str) -> Alignment | None:
    words = words_of(FRONT_END, text)
    return Listener(words).align(samples, words)


def prepare(manifest: Path, output: Path) -> str:
    result = CliRunner().invoke(
        app, ["align-speech", str(manifest), "--output", str(output), "--aligner", "pocketsphinx"]
    )
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def text_of(name: str) -> str:
    spoken = {
        line.id: line.text for split in ("train", "valid", "test") for line in read_manifest(SPEECH / f"{split}.jsonl")
    }
    return spoken[f"en/{name}"]


@pytest.mark.parametrize("text", ["Don't press 21, please - or #!", "MGCP: café, order's", "..."])
def test_units_are_the_tokens_of_the_front_end_without_marks(text: str) -> None:
    units = [unit for word in words_of(FRONT_END, text) for unit in word]
    names = [name for names in FRONT_END.names_by_part(spoken(text, "en")) for name in names]
    assert units == [name for name in names if name not in MARKS]
    assert len(names) == len(FRONT_END.tokens(spoken(text, "en")))


def test_every_unit_has_phonemes_of_the_dictionary_in_every_reading() -> None:
    known = {phone.strip("012") for sounds in FRONT_END.pronunciations.values() for phone in sounds}
    letters = tuple("abcdefghijklmnopqrstuvwxyz")
    named, sounded = readings(letters)
    assert all(unit and set(unit) <= known for reading in (named, sounded) for unit in reading)
    assert len(named) == len(sounded) == len(letters)
    assert readings(("/AH", "/B")) == readings(("/AH0", "/B")) == [[["AH"], ["B"]]]


@pytest.mark.parametrize("name", RECORDINGS)
def test_spans_are_in_order_within_the_sound(name: str) -> None:
    """One recording of dictionary words, one with a word read by its letters' sounds, one spelled by their names."""
    samples, text = RECORDINGS[name], text_of(name)
    found = align(samples, text)
    assert found
    assert [sounding.unit for sounding in found] == [unit for word in words_of(FRONT_END, text) for unit in word]
    assert found[0].start >= 0
    assert found[-1].end <= len(samples) / 16000 + 0.02
    assert all(sounding.end - sounding.start > 0.029 for sounding in found)
    assert all(one.end <= two.start for one, two in itertools.pairwise(found))
    assert max(sounding.end - sounding.start for sounding in found) < 0.6


def test_silence_before_and_after_moves_spans_and_lengthens_none() -> None:
    samples, text = RECORDINGS["agent-pass"], text_of("agent-pass")
    noise = np.random.default_rng(0).standard_normal(4800).astype(np.float32) * 1e-4
    plain, later = align(samples, text), align(np.concatenate([noise, samples, noise]), text)
    assert plain
    assert later
    moved = [(two.start - one.start, two.end - one.end) for one, two in zip(plain, later, strict=True)]
    np.testing.assert_allclose(moved, 0.3, atol=0.035)


def test_text_of_another_recording_is_not_aligned() -> None:
    assert align(RECORDINGS["agent-pass"], text_of("spy-mgcp")) is None
    assert align(RECORDINGS["spy-mgcp"], "Please hold while I try to locate the person") is None


def test_alignment_does_not_depend_on_earlier_recordings() -> None:
    samples, words = load_audio(SPEECH / "en-vm-next.ogg", 16000), words_of(FRONT_END, text_of("vm-next"))
    aligner = Listener(words)
    alone = aligner.align(samples, words)
    for earlier in (samples[:1], samples[:3000], np.zeros(16000, np.float32)):
        assert aligner.align(earlier, words) is None
        assert aligner.align(samples, words) == alone


def test_lines_are_passed_on_with_alignments_and_paths_that_hold(tmp_path: Path) -> None:
    write_audio(tmp_path / "in/a.wav", RECORDINGS["agent-pass"], 16000)
    text = text_of("agent-pass")
    shared = {"audio": "a.wav", "text": text, "note": "kept"}
    records: list[dict[str, Any]] = [
        {"id": "a", **shared},
        {"id": "b", **shared, "audio": str(tmp_path / "in/a.wav")},
        {"id": "c", **shared, "language": "fr", "alignment": [["x", 0, 1]]},
        {"id": "d", **shared, "text": "..."},
        {"id": "e", **shared, "text": "no"},
    ]
    manifest = tmp_path / "in/m.jsonl"
    manifest.write_text("".join(json.dumps(record) + "\n" for record in records))
    output = tmp_path / "out/m.jsonl"
    told = prepare(manifest, output)
    assert re.search(
        r"2 of 5 recordings aligned in \d+ s; 1 in other languages \(c\); "
        r"1 whose text was not found in the sound \(e\); 1 without words \(d\)",
        told.replace("\n", " "),
    )
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [set(line) - set(record) for line, record in zip(lines, records, strict=True)] == [
        {"alignment"}, {"alignment"}, set(), set(), set(),
    ]  # fmt: skip
    assert [lines[0]["audio"], lines[1]["audio"]] == ["../in/a.wav", records[1]["audio"]]
    a, b, *others = read_manifest(output)
    assert a.alignment == b.alignment
    assert [line.alignment for line in others] == [None] * 3
    assert a.alignment
    assert a.audio.resolve() == tmp_path / "in/a.wav"
    assert list(tmp_path.glob("out/*")) == [output]


def test_missing_package_is_told_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    (tmp_path / "m.jsonl").write_text('{"id": "a", "audio": "a.wav", "seconds": 1, "text": "yes"}\n')
    with pytest.raises(InputError, match=r"pocketsphinx is not installed; .*unilatent\[speech\]"):
        prepare(tmp_path / "m.jsonl", tmp_path / "out.jsonl")


def test_unreadable_recording_is_passed_on_and_named(tmp_path: Path) -> None:
    write_audio(tmp_path / "b.wav", RECORDINGS["agent-pass"], 16000)
    (tmp_path / "c.wav").write_bytes(b"RIFF, and then nothing")
    records = [
        {"id": "a", "audio": "a.wav", "seconds": 1, "text": "yes"},
        {"id": "b", "audio": "b.wav", "text": text_of("agent-pass"), "alignment": "of another tool"},
        {"id": "c", "audio": "c.wav", "seconds": 1, "text": "no"},
    ]
    manifest, output = tmp_path / "m.jsonl", tmp_path / "out.jsonl"
    manifest.write_text("".join(json.dumps(record) + "\n" for record in records))
    told = prepare(manifest, output).replace("\n", " ")
    assert re.search(r"1 of 3 recordings aligned in \d+ s; 2 that cannot be read \(a, c\)", told)
    assert [utterance.alignment is not None for utterance in read_manifest(output)] == [False, True, False]


def test_only_failures_of_the_output_are_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the body"), claimed(tmp_path / "out.jsonl"):
        raise OSError("of the body")
    assert not list(tmp_path.iterdir())


def test_unwritable_output_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"id": "a", "audio": "a.wav", "seconds": 1, "text": "yes"}\n')
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/out\.jsonl: cannot be written: "):
        prepare(manifest, tmp_path / "file/out.jsonl")
