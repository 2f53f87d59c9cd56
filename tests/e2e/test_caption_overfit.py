"""Four shapes with names in two languages: a captioner learns them by heart, by each method, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import unilatent
from tiny_pictures import write_captions, write_vision_encoder

OPTIONS = {
    "task.image_size": 8,
    "task.patch_size": 4,
    "task.channels": 1,
    "task.pieces": 100,
    "task.variation.crop": 1,
    "task.variation.erase": 0,
    "model.hidden_size": 32,
    "model.num_layers": 2,
    "model.num_heads": 2,
    "model.intermediate_size": 64,
    "model.hidden_dropout": 0,
    "optim.lr": 4e-3,
    "optim.warmup_steps": 10,
    "optim.decay_steps": 20,
    "train.max_steps": 120,
    "train.validate_every": 1000,
    "train.ema_decay": "null",
    "train.workers": 0,
}


SEARCHES = {"causal": "beam", "masked": "caption_beam", "pseudo_masked": "wide_beam"}


@pytest.mark.parametrize(("method", "decoder"), SEARCHES.items())
def test_each_picture_gets_its_caption_in_its_language(tmp_path: Path, method: str, decoder: str) -> None:
    records = write_captions(tmp_path)
    given = OPTIONS | {"task.train": records, "task.valid": records, "task.method": method}
    run = tmp_path / "run"
    unilatent("train", "captioning_small", "--output", run, *(f"{key}={value}" for key, value in given.items()))
    asked = [{key: value for key, value in record.items() if key != "tgt"} for record in read(records)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(record) + "\n" for record in asked))
    output = tmp_path / "written.jsonl"
    search = f"decoder={{name: {decoder}, beam_size: 2, max_length: 12}}"
    unilatent("decode", run, search, "--input", tmp_path / "asked.jsonl", "--output", output, "--device", "cpu")
    assert [record["tgt"] for record in read(output)] == [record["tgt"] for record in read(records)]
    unilatent("evaluate", "--task", "captions", "--hyp", output, "--ref", records, "--json", tmp_path / "scores.json")
    scores = (tmp_path / "scores.json").read_text()
    assert "ROUGE-L" in scores


def test_a_captioner_learns_from_what_a_frozen_encoder_sees(tmp_path: Path) -> None:
    records, encoder = write_captions(tmp_path), write_vision_encoder(tmp_path / "vit", size=8)
    given = OPTIONS | {"task.train": records, "task.valid": records, "task.method": "causal"}
    given |= {"task.channels": 3, "task.vision_encoder": encoder}
    run, output = tmp_path / "run", tmp_path / "written.jsonl"
    unilatent("train", "captioning_small", "--output", run, *(f"{key}={value}" for key, value in given.items()))
    unilatent("decode", run, "--input", records, "--output", output, "--device", "cpu")
    assert [record["tgt"] for record in read(output)] == [record["tgt"] for record in read(records)]


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
