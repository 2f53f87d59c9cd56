"""What commit 28840f1 gave is given again, and the jobs that it left half done are continued.

README.md says how `data/` was made.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import error_of, unilatent

DATA = Path(__file__).parent / "data"
DECODERS = {
    "beam": ["decoder.beam_size=4", "decoder.num_hypotheses=3", "decoder.no_repeat_ngram_size=3"],
    "sampling": ["decoder.name=sampling", "decoder.seed=5", "decoder.top_k=20"],
    "wide_beam": ["decoder.name=wide_beam", "decoder.beam_size=3"],
    "diverse_beam": ["decoder.name=diverse_beam", "decoder.beam_size=4", "decoder.num_groups=2"],
}
WINDOWS = ["--max-sentences", 4, "--window", 16]
LOGGED = ("split", "step", "epoch", "lr", "loss", "token_loss", "latent_loss", "accuracy", "grad_norm")
DEMO_TEXTS = {
    "greeting": "Good morning, and welcome.",
    "pound": "Please enter your number, followed by the pound key.",
    "weather": "Never mind the weather, we are going for a walk.",
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `data` to work in, since the stored configurations name their files relative to it."""
    shutil.copytree(DATA, tmp_path / "work")
    os.utime(tmp_path / "work/raw.jsonl", (0, 0))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def records(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_same(found: Any, expected: Any, where: str = "") -> None:
    """Equal, but for the rounding of numbers that are not whole."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_same(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=2e-3), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("name", DECODERS)
def test_a_run_decodes_to_the_same_tokens_and_scores(work: Path, name: str) -> None:
    trace = ["--trace", "new.trace.jsonl"] if name == "beam" else []
    options = [*WINDOWS, *trace, "task.output=s2s_ft", *DECODERS[name]]
    unilatent("decode", "run", "--input", "input.jsonl", "--output", "new.jsonl", *options)
    assert_same(records(work / "new.jsonl"), records(work / f"decoded/{name}.jsonl"))
    if trace:
        assert_same(records(work / "new.trace.jsonl"), records(work / f"decoded/{name}.trace.jsonl"))


@pytest.mark.parametrize("folder", [".", "speech"])
def test_a_training_has_the_same_losses_and_gradient_norms(work: Path, folder: str) -> None:
    unilatent("train", f"{folder}/config.yaml", "--output", "trained")
    logs = [records(path) for path in (work / "trained/log.jsonl", work / folder / "training.log.jsonl")]
    new, old = ([{key: line[key] for key in LOGGED if key in line} for line in log] for log in logs)
    assert len(old[0]) >= 6
    assert_same(new, old)


def samples(path: Path) -> np.ndarray:
    soundfile = pytest.importorskip("soundfile")

    found, _ = soundfile.read(path, dtype="float32")
    return found  # type: ignore[no-any-return]


def assert_same_sound(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0.01
    assert np.abs(found - expected).max() < 2e-3


def test_a_voice_speaks_lines_and_scripts_with_the_same_samples(work: Path) -> None:
    speak = ["synthesize", "speech/voice", "decoder.min_frames=12", "--device", "cpu"]
    unilatent(*speak, "--max-rows", 2, "--input", "speech/lines.jsonl", "--output", "spoken")
    unilatent(*speak, "--script", "speech/script.txt", "--output", "script.wav", "--no-picture")
    names = [path.name for path in sorted((work / "speech/spoken").glob("*.wav"))]
    assert len(names) == 5
    for name in names:
        assert_same_sound(samples(work / "spoken" / name), samples(work / "speech/spoken" / name))
    assert_same_sound(samples(work / "script.wav"), samples(work / "speech/script.wav"))


def test_the_demo_voice_gives_the_same_samples() -> None:
    import latent
    from latent.synthesis.voices import open_voice

    voice = open_voice(Path(latent.__file__).parent / "demo_voice")
    for id, text in DEMO_TEXTS.items():
        chunks = list(voice.stream([voice.request(id, text, "af_heart", seed=3)]))
        found = np.concatenate([audio for chunk in chunks for audio in chunk.audio.numpy()])
        assert_same_sound(found, samples(DATA / f"demo_voice/{id}.flac"))


SHARDS = [
    "--input",
    "raw.jsonl",
    "--tokenizer",
    "tokenizer",
    "--max-length",
    64,
    "--valid-share",
    0.2,
    "--processes",
    1,
]


def tables(folder: Path) -> dict[str, Any]:
    import pyarrow.parquet

    return {path.name: pyarrow.parquet.read_table(path).to_pydict() for path in sorted(folder.glob("*.parquet"))}


def test_raw_text_becomes_the_same_shards(work: Path) -> None:
    unilatent("prepare", "pretrain-text", "new", *SHARDS)
    assert len(tables(work / "shards")) == 2
    assert tables(work / "new") == tables(work / "shards")


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_a_decoding_job_is_continued(work: Path) -> None:
    folder = work / "interrupted/decode"
    before = (folder / "out.jsonl").read_bytes()
    options = [*WINDOWS, "task.output=s2s_ft", *DECODERS["beam"]]
    unilatent("decode", "run", "--input", "input.jsonl", "--output", folder / "out.jsonl", *options)
    assert_same(records(folder / "out.jsonl"), records(work / "decoded/beam.jsonl"))
    assert (folder / "out.jsonl").read_bytes()[: len(before)] == before
    assert not (folder / "out.jsonl.parts").exists()


def test_a_training_is_continued_from_its_checkpoint(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    unilatent("train", "config.yaml", "--output", "interrupted/training")
    keys = ("split", "step", "loss", "grad_norm")
    logs = [records(path) for path in (work / "interrupted/training/log.jsonl", work / "training.log.jsonl")]
    new, old = ([{key: line[key] for key in keys if key in line} for line in log] for log in logs)
    assert_same(new, old)
    assert "step-000003" in said(caplog)


def test_a_folder_of_spoken_records_is_continued(work: Path) -> None:
    folder = work / "interrupted/spoken"
    before = {path: path.read_bytes() for path in folder.glob("*.wav")}
    assert len(before) == 3
    speak = ["synthesize", "speech/voice", "decoder.min_frames=12", "--device", "cpu", "--max-rows", 2]
    unilatent(*speak, "--input", "speech/lines.jsonl", "--output", folder)
    for path in (work / "speech/spoken").glob("*.wav"):
        assert_same_sound(samples(folder / path.name), samples(path))
    assert {path: path.read_bytes() for path in before} == before
    assert len(records(folder / "manifest.jsonl")) == 5


def test_a_script_is_continued(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    output = work / "interrupted/script/script.wav"
    speak = ["synthesize", "speech/voice", "decoder.min_frames=12", "--device", "cpu", "--max-rows", 2]
    unilatent(*speak, "--script", "speech/script.txt", "--output", output, "--no-picture")
    assert_same_sound(samples(output), samples(work / "speech/script.wav"))
    assert "2 of 4 lines" in said(caplog)


def test_a_preparation_of_shards_is_continued(work: Path) -> None:
    (work / "interrupted/shards/.preparation/000000.run").stat()  # the tokens, which are not made again
    unilatent("prepare", "pretrain-text", "interrupted/shards", *SHARDS)
    assert tables(work / "interrupted/shards") == tables(work / "shards")
    assert not (work / "interrupted/shards/.preparation").exists()


def test_a_former_job_is_refused_in_one_line_where_something_differs(work: Path) -> None:
    decode = ["decode", "run", "--input", "input.jsonl", "--output", "interrupted/decode/out.jsonl", *WINDOWS]
    options = ["task.output=s2s_ft", *DECODERS["beam"], "decoder.beam_size=3"]
    assert "decoder.beam_size was 4, is now 3" in error_of(*decode, *options)
    speak = ["synthesize", "speech/voice", "--device", "cpu"]
    script = ["--script", "speech/script.txt", "--output", "interrupted/script/script.wav", "--no-picture"]
    assert "min_frames was 12, is now 1" in error_of(*speak, *script)
    assert "of this job" in error_of(*speak, "--input", "speech/lines.jsonl", "--output", "interrupted/spoken")
    other = error_of("train", "config.yaml", "--output", "interrupted/training", "optim.lr=0.5")
    assert "optim.lr was 0.01, is now 0.5" in other
    shards = error_of("prepare", "pretrain-text", "interrupted/shards", *SHARDS, "--min-tokens", 9)
    assert "min_tokens was 8, is now 9" in shards
