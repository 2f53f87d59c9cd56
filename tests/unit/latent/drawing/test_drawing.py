"""Drawing: a picture depends on its own request alone, files are continued, and what is wrong is one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import error_of, unilatent
from PIL import Image
from tiny_pictures import write_painter

from latent.drawing.files import draw_records, read_drawing_requests
from latent.drawing.painter import Painter
from latent.images.files import read_image
from s2s.errors import InputError
from s2s.ranks import Ranks

ONE = Ranks(0, 1, torch.device("cpu"))
FAST = ["decoder.num_inference_steps=2"]


@pytest.fixture(scope="module", params=["latent_lm", "dit"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_painter(tmp_path_factory.mktemp("painter"), dit=request.param == "dit")


@pytest.fixture(scope="module")
def painter(run: Path) -> Painter:
    return Painter.open(run, overrides=FAST)


def test_a_picture_depends_on_its_text_its_seed_and_nothing_else(painter: Painter) -> None:
    requests = [painter.request(text, text, seed) for text, seed in (("cross", 1), ("", 2), ("frame", 1), ("cross", 3))]
    together = painter.draw(requests)
    for request, pixels in zip(requests, together, strict=True):
        np.testing.assert_allclose(painter.draw([request])[0], pixels, atol=1e-4)
    assert together[0].shape == (1, 8, 8)
    assert not np.allclose(together[0], together[3], atol=1e-2)


def test_without_noise_seeds_do_not_matter(painter: Painter) -> None:
    first, second = painter.draw([painter.request("a", "cross", seed, temperature=0) for seed in (1, 2)])
    np.testing.assert_allclose(first, second, atol=1e-5)


def write_lines(folder: Path, *records: dict[str, Any]) -> str:
    (folder / "lines.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(folder / "lines.jsonl")


def contents(folder: Path) -> dict[str, Any]:
    return {path.name: np.asarray(Image.open(path)).tolist() for path in folder.rglob("*.png")}


def test_a_job_that_stopped_is_continued_and_ends_as_one_that_did_not(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = write_lines(tmp_path, *({"id": f"p{index}", "text": "cross"} for index in range(5)))
    records = read_drawing_requests(painter, lines, 0, None)
    draw_records(painter, records, tmp_path / "whole", ONE, max_rows=2)

    drawn, draw = [], painter.draw

    def stops(requests: Any) -> Any:
        drawn.append(len(requests))
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(requests)

    monkeypatch.setattr(painter, "draw", stops)
    with pytest.raises(KeyboardInterrupt):
        draw_records(painter, records, tmp_path / "out", ONE, max_rows=2)
    assert len(contents(tmp_path / "out")) == 4
    (tmp_path / "out/p0.png").unlink()
    summary = draw_records(painter, records, tmp_path / "out", ONE, max_rows=2)
    assert (summary.files, summary.kept) == (2, 3)
    assert drawn == [2, 2, 1, 2, 1]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    manifest = [json.loads(line) for line in (tmp_path / "out/manifest.jsonl").read_text().splitlines()]
    assert [(line["id"], line["image"], line["text"]) for line in manifest][4] == ("p4", "p4.png", "cross")
    assert not (tmp_path / "out/.drawing").exists()


def test_the_verb_draws_a_text_and_says_where_it_comes_from(run: Path, tmp_path: Path) -> None:
    unilatent("draw", str(run), *FAST, "--text", "stripe", "--output", str(tmp_path / "a.png"), "--device", "cpu")
    assert read_image(tmp_path / "a.png", 8, 1).shape == (1, 8, 8)
    assert Image.open(tmp_path / "a.png").text["Comment"].startswith("Synthetic picture")
    again = ["draw", str(run), "--text", "stripe", "--output", str(tmp_path / "a.png"), "--device", "cpu"]
    assert "exists already" in error_of(*again)


def test_the_verb_draws_records_and_a_sheet_and_notes_what_it_cannot(run: Path, tmp_path: Path) -> None:
    lines = write_lines(
        tmp_path,
        {"text": "cross"},
        {"id": "any", "text": ""},
        {"id": "b/c", "text": "square", "seed": 7, "temperature": 0.5},
        {"id": "no", "text": "circle"},
        {"id": "../up", "text": "cross"},
        {"id": "seed", "text": "cross", "seed": -1},
        {"id": "b/C", "text": "cross"},
        {"id": "none"},
    )
    output = tmp_path / "out"
    unilatent("draw", str(run), *FAST, "--input", lines, "--output", str(output), "--sheet", "--device", "cpu")
    assert set(contents(output)) == {"1.png", "any.png", "c.png", "sheet.png"}
    errors = {line["id"]: line["error"] for line in map(json.loads, (output / "errors.jsonl").open())}
    assert errors == {
        "no": "'text' must have words of the training texts, found 'circle'; known: cross, frame, square, stripe",
        "../up": "'id' becomes the name of a file and cannot be a string (\"../up\")",
        "seed": "'seed' must be from 0 to 2^63 - 1, found -1",
        "b/C": "'id' 'b/C' is that of line 3; ids must differ",
        "none": "'text' is missing; found 'id'",
    }
    message = error_of("draw", str(run), *FAST, "--input", lines, "--output", str(output), "--seed", "1")
    assert "exists already, and is not of this job" in message


def test_what_cannot_draw_is_refused(run: Path, tmp_path: Path) -> None:
    draw = ["draw", str(run), "--device", "cpu"]
    assert "give one of --text and --input" in error_of(*draw)
    assert "must end in .png" in error_of(*draw, "--text", "cross", "--output", str(tmp_path / "a.jpg"))
    assert "found 'circle'" in error_of(*draw, "--text", "circle", "--output", str(tmp_path / "a.png"))
    assert "expected an option of the decoder" in error_of(*draw, "model.hidden_size=3", "--text", "cross")
    tokenizer = str(run / "image_tokenizer")
    assert "is not a run of the task 'image_generation'" in error_of("draw", tokenizer, "--text", "cross")
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "image_tokenizer")
    with pytest.raises(InputError, match="not a run folder"):
        Painter.open(copy)
