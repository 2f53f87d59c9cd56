"""`unilatent transcribe`: options, outputs and messages; the models are tiny."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
import tiny_listener

from latent.audio.files import write_audio
from s2s.errors import InputError
from unilatent.commands import listening

CHAIN = ["assistant\n", '[{"Start":0.0,"End":0.25,"Speaker":0,"Content":"Hello."}', "]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    tiny_listener.write_listener(folder / "chain", CHAIN)
    tiny_listener.write_listener(folder / "live", ["Speaker 1:", "Yes. "], streaming=True)
    for number in range(2):
        write_audio(folder / f"audio/r{number}.wav", np.full(8000, 0.1, np.float32), 16_000)
    return folder


def call(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(listening.transcribe)
    result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_folder_becomes_lines_and_the_summary_has_the_real_time_factor(home: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("Tea Brew\n")
    output = tmp_path / "out.jsonl"
    files = ["--input", home / "audio", "--output", output, "--hotwords", tmp_path / "words.txt"]
    result = call(home / "chain", *files, "--language", "en")
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(line["id"], line["text"], line["language"]) for line in found] == [
        ("r0", "Hello.", "en"),
        ("r1", "Hello.", "en"),
    ]
    assert "2 recordings, 1.0 s of audio, real-time factor" in result.stderr
    assert "finds the language itself; 'en' is only noted" in result.stderr


def test_the_exit_status_is_1_only_if_all_fail(home: Path, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text(json.dumps({"audio": "none.wav"}) + "\n")
    result = call(home / "chain", "--input", tmp_path / "list.jsonl", "--output", tmp_path / "out.txt")
    assert result.exit_code == 1
    assert "1 failed, see the file of errors" in result.stderr
    with open(tmp_path / "list.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"audio": str(home / "audio/r0.wav")}) + "\n")
    result = call(home / "chain", "--input", tmp_path / "list.jsonl", "--output", tmp_path / "out.txt")
    assert result.exit_code == 0
    assert (tmp_path / "out.txt").read_text() == "\nHello.\n"


def test_a_stream_is_printed_chunk_by_chunk_and_written_at_its_end(home: Path, tmp_path: Path) -> None:
    given = ["--stream", "--input", home / "audio/r0.wav", "--wait", 0, "--output", tmp_path / "out.vtt"]
    result = call(home / "live", *given)
    assert result.stdout == "[0:00.0] Speaker 1: Yes.\n[0:00.3] Speaker 1: Yes.\n"
    assert "[0:00.0 to 0:00.3]" in result.stderr
    assert "s of work" in result.stderr
    assert (tmp_path / "out.vtt").read_text() == "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nYes. Yes.\n"
    with pytest.raises(InputError, match="exists already"):
        call(home / "live", *given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chain"], "give --input, a recording, a folder or a manifest; --stream reads standard input"),
        (["chain", "--input", "audio", "--rate", "8000"], "--rate: is for --stream"),
        (["chain", "--stream", "--input", "audio/r0.wav"], "hears whole recordings only"),
        (["live", "--stream", "--input", "none.wav"], "none.wav: cannot be read: No such file"),
        (["chain", "--input", "audio", "--checkpoint", "7"], "released weights have no checkpoints"),
        (["chain", "--input", "audio", "optim.lr=1"], "optim: only options of the decoder can be given here"),
    ],
    ids=["no input", "rate", "offline stream", "no file", "checkpoint", "option"],
)
def test_what_does_not_fit_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(InputError, match=message):
        call(*arguments)
