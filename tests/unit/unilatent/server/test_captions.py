"""Captions over HTTP: a picture in, what is written about it out, and what clients do wrong."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("python_multipart")
pytest.importorskip("PIL")
from PIL import Image
from serving import TEXT_RUN, Running, error_of, running
from tiny_pictures import caption_config, write_captions

from s2s.generation.generator import Generator
from s2s.run import train_run
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import open_model

PATH = "/v1/images/captions"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny pictures, and two runs that write about them; `asked` reads a text with each."""
    folder: Path = tmp_path_factory.mktemp("pictures")
    records = write_captions(folder)
    train_run(caption_config(records, languages=["en", "de"]), folder / "seen")
    asked = folder / "asked.jsonl"
    lines = [json.loads(line) | {"src": "what is white"} for line in records.read_text().splitlines()]
    asked.write_text("".join(json.dumps(line) + "\n" for line in lines))
    train_run(caption_config(asked, source="image+text", max_source=8), folder / "asked")
    return folder


@pytest.fixture(scope="module")
def server(pictures: Path) -> Iterator[Running]:
    limits, metrics = Limits(), Metrics()
    paths = {"seen": pictures / "seen", "asked": pictures / "asked", "words": TEXT_RUN}
    models = [open_model(name, str(path), "cpu", {}, False, limits, metrics) for name, path in paths.items()]
    with running(models, limits, metrics, None) as server:
        yield server


def sent(server: Running, picture: bytes, **fields: Any) -> httpx.Response:
    given = {"model": "seen", **({} if fields.get("model") == "asked" else {"language": "en"}), **fields}
    return server.client.post(PATH, data=given, files={"file": ("any name", picture)})


def test_the_best_captions_of_a_picture_are_those_that_decoding_finds(server: Running, pictures: Path) -> None:
    picture = pictures / "cross0.png"
    answer = sent(server, picture.read_bytes(), language="de", num_hypotheses=3, prefix="das").json()
    record = {"image": str(picture), "language": "de", "prefix": "das"}
    generator = Generator.load(pictures / "seen", device="cpu").with_options(beam_size=5, num_hypotheses=3)
    [made] = generator.generate([record])
    found = [(one["text"], one["score"]) for one in answer["outputs"][0]["nbest"]]
    assert found == [(one.text, pytest.approx(one.score, abs=1e-4)) for one in made.nbest]
    assert answer["outputs"][0]["text"] == made.text
    assert made.text.startswith("das")
    assert [answer["object"], answer["model"]] == ["generation", "seen"]


def test_a_text_is_read_with_the_picture_by_models_that_take_one(server: Running, pictures: Path) -> None:
    picture = pictures / "frame0.png"
    answer = sent(server, picture.read_bytes(), model="asked", input="what is white").json()
    [made] = Generator.load(pictures / "asked", device="cpu").generate(
        [{"image": str(picture), "src": "what is white"}]
    )
    assert answer["outputs"][0]["text"] == made.text


def bytes_of(**how: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, **how)
    return file.getvalue()


PNG = bytes_of(format="PNG")
ANIMATED = bytes_of(format="GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])


@pytest.mark.parametrize(
    ("picture", "fields", "status", "said"),
    [
        (b"no picture", {}, 400, "file: "),
        (PNG[:40], {}, 400, "file: "),
        (ANIMATED, {}, 400, "file: must hold one still picture"),
        (b"", {}, 400, "file: "),
        (PNG, {"language": "fr"}, 400, "language: must be one of en, de, found 'fr'"),
        (PNG, {"input": "what?"}, 400, "input: must be left out ('seen')"),
        (PNG, {"model": "asked"}, 400, "input: must be given, it reads a text with each picture ('asked')"),
        (PNG, {"prefix": "x" * 30_000}, 400, "must have at most 20,000 characters, found 30,000"),
        (PNG, {"num_hypotheses": 100}, 400, "decoder.num_hypotheses: must be at most 16 here, found 100"),
        (PNG, {"num_hypotheses": "many"}, 400, "num_hypotheses: must be a valid integer"),
        (PNG, {"colour": "red"}, 400, "colour: no such option"),
        (PNG, {"model": "words"}, 400, "model: 'words' generates text and does not write captions"),
        (PNG, {"model": "sen"}, 404, "model: no model is called 'sen'"),
        (PNG + b" " * (26 << 20), {}, 413, "the body must have at most"),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None,
)
def test_a_wrong_request_is_told_why(
    server: Running, picture: bytes, fields: dict[str, Any], status: int, said: str
) -> None:
    found, message = error_of(sent(server, picture, **fields))
    assert (found, said in message) == (status, True), message
    assert tempfile.gettempdir() not in message
    assert sent(server, PNG).status_code == 200


def test_models_of_texts_and_of_pictures_are_told_apart(server: Running) -> None:
    kinds = {model["id"]: model["kind"] for model in server.client.get("/v1/models").json()["data"]}
    assert kinds == {"seen": "captions", "asked": "captions", "words": "text"}
    status, message = error_of(server.generate(model="seen"))
    assert (status, message) == (400, "model: 'seen' writes captions and does not generate text")


def test_no_picture_stays_on_the_disk(server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert sent(server, PNG).status_code == 200
    assert sent(server, PNG, language="fr").status_code == 400
    assert list(tmp_path.iterdir()) == []
