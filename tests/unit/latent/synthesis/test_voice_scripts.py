"""Scripts for a trained voice: packing it to pass it on, and the curve of its checkpoints."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("soundfile")
import tiny_voice

from eval import recognizers
from latent.data.latent_store import TOKENIZER
from latent.synthesis.voices import open_voice
from s2s import checkpoint
from s2s.checkpoint import MODEL_CARD
from s2s.config import read_tree, write_tree
from s2s.errors import InputError

SCRIPTS = Path(__file__).parents[4] / "scripts"


@pytest.fixture(params=[tiny_voice.write_voice, tiny_voice.write_timed_voice])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    voice: Path = request.param(tmp_path / "here")
    (voice / "log.jsonl").write_text('{"split": "valid", "step": 10, "latent_loss": 0.5}\n')
    return voice


def pack(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    monkeypatch.setattr(sys, "argv", ["pack_voice.py", str(run), str(out), *overrides])
    runpy.run_path(str(SCRIPTS / "pack_voice.py"), run_name="__main__")


def said(run: Path, **options: Any) -> np.ndarray:
    voice = open_voice(run, overrides=["decoder.num_inference_steps=2", "decoder.stop_threshold=1"], **options)
    return voice.say(voice.request("a", "Never mind.", "bob", seed=3)).samples


def test_a_packed_voice_speaks_as_before_from_half_the_bytes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(run, tmp_path / "out", monkeypatch)
    for part in (".", TOKENIZER):
        before, after = (Path(folder, part, checkpoint.WEIGHTS) for folder in (run, tmp_path / "out"))
        assert sum(tensor.nbytes for tensor in checkpoint.read_tensors(after).values()) * 2 == sum(
            tensor.nbytes for tensor in checkpoint.read_tensors(before).values()
        )
    whole = said(run)
    shutil.rmtree(tmp_path / "here")  # the folder needs nothing else
    packed = said(tmp_path / "out")
    assert packed.shape == whole.shape
    assert np.abs(packed - whole).max() < 0.02 * np.abs(whole).max()


def test_a_packed_voice_names_no_path_of_this_machine(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(run, tmp_path / "out", monkeypatch)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {checkpoint.CONFIG, checkpoint.WEIGHTS, MODEL_CARD, "latents.json"}
    assert not [path for path in files if path.name == "log.jsonl" or str(tmp_path).encode() in path.read_bytes()]


def test_a_voice_is_packed_with_the_temperature_that_it_shall_speak_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_voice.write_voice(tmp_path)
    config = read_tree(run / checkpoint.CONFIG) | {"decoder": {"name": "next_token_diffusion"}}
    write_tree(config, run / checkpoint.CONFIG)
    pack(run, tmp_path / "out", monkeypatch, "decoder.temperature=0.25")
    assert open_voice(tmp_path / "out").request("a", "So.", "bob").temperature == 0.25


def test_packing_again_keeps_the_card_and_asks_for_one_that_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, card = tiny_voice.write_voice(tmp_path), tmp_path / "out" / MODEL_CARD
    pack(run, tmp_path / "out", monkeypatch)
    assert f"{card}: complete it" in capsys.readouterr().out
    card.write_text("Whose voice it is.\n")
    pack(run, tmp_path / "out", monkeypatch)
    assert card.read_text() == "Whose voice it is.\n"
    assert "complete it" not in capsys.readouterr().out


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_voice.write_voice(tmp_path)
    tensors = checkpoint.read_tensors(run / checkpoint.WEIGHTS)
    name = next(iter(tensors))
    checkpoint.write_weights(tensors | {name: torch.full_like(tensors[name], 1e5)}, run / checkpoint.WEIGHTS)
    with pytest.raises(InputError, match=f"{name} has a weight beyond the range of float16"):
        pack(run, tmp_path / "out", monkeypatch)


def test_a_packed_voice_may_take_the_decoder_of_another_tokenizer_but_not_its_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = tiny_voice.write_voice(tmp_path), tmp_path / "other"
    shutil.copytree(run / TOKENIZER, other)
    tensors = checkpoint.read_tensors(other / checkpoint.WEIGHTS)
    changed = {name: tensor if name.startswith("encoder.") else 0 * tensor for name, tensor in tensors.items()}
    checkpoint.write_weights(changed, other / checkpoint.WEIGHTS)
    pack(run, tmp_path / "out", monkeypatch, "--tokenizer", str(other))
    assert np.abs(said(run)).max() > 0
    assert np.abs(said(tmp_path / "out")).max() == 0
    name = next(name for name in tensors if name.startswith("encoder."))
    checkpoint.write_weights(changed | {name: tensors[name] + 1}, other / checkpoint.WEIGHTS)
    with pytest.raises(InputError, match=f"its {name} is not that of"):
        pack(run, tmp_path / "again", monkeypatch, "--tokenizer", str(other))


def test_a_packed_voice_may_keep_some_speakers_who_speak_as_before(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_voice(run).speakers == ["ann", "bob"]
    pack(run, tmp_path / "all", monkeypatch, "--precision", "float32")
    pack(run, tmp_path / "out", monkeypatch, "--precision", "float32", "--speaker", "bob")
    assert open_voice(tmp_path / "out").speakers == ["bob"]
    assert np.array_equal(said(tmp_path / "out"), said(tmp_path / "all"))
    with pytest.raises(InputError, match=r"no speaker is called 'bo'.* Did you mean 'bob'"):
        pack(run, tmp_path / "again", monkeypatch, "--speaker", "bo")


def test_a_voice_packed_in_8_bits_is_smaller_and_speaks_alike(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for precision in ("float32", "int8"):
        pack(run, tmp_path / precision, monkeypatch, "--precision", precision)
    whole, small = ((tmp_path / name / checkpoint.WEIGHTS).stat().st_size for name in ("float32", "int8"))
    assert small < whole
    expected, found = said(tmp_path / "float32"), said(tmp_path / "int8")
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


class Deaf:
    """A recognizer that hears the same in everything."""

    signature = "deaf"

    def __init__(self, model: str, language: str) -> None:
        pass

    def __call__(self, samples: np.ndarray) -> str:
        return "so"


def test_the_curve_has_every_checkpoint_and_speaks_each_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jiwer")
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(recognizers.RECOGNIZERS, "deaf", Deaf)
    main = runpy.run_path(str(SCRIPTS / "voice_curve.py"))["main"]
    home = run.parent
    arguments = [str(run), str(home / "recordings/manifest.jsonl"), str(home / "curve.png"), "--recognizer", "deaf"]
    arguments.append("decoder.num_inference_steps=2")
    with pytest.raises(InputError, match=r"found no checkpoints; train with train\.keep_last"):
        main(arguments)
    weights = checkpoint.read_tensors(run / checkpoint.WEIGHTS)
    for step, factor in ((20, 1.0), (10, 0.5)):
        scaled = {name: factor * tensor for name, tensor in weights.items()}
        checkpoint.write_checkpoint(run, step, scaled, {}, {})
    main(arguments)
    report = json.loads((home / "curve.json").read_text())
    assert [system["name"] for system in report["systems"]] == ["10", "20", "recordings"]
    assert all(system["quality"]["WER %"]["value"] > 0 for system in report["systems"])
    assert (home / "curve.png").read_bytes().startswith(b"\x89PNG")
    first, second = (sorted((home / f"curve/step-0000{step}").glob("*.flac")) for step in (10, 20))
    assert [path.name for path in first] == [path.name for path in second]
    assert any(a.read_bytes() != b.read_bytes() for a, b in zip(first, second, strict=True))
    written = [path.stat().st_mtime_ns for path in first]
    main(arguments)
    assert [path.stat().st_mtime_ns for path in first] == written
