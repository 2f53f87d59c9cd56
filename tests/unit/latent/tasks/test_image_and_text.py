"""One LatentLM draws and writes captions: what both directions hold, and that a run of both is learned by heart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import error_of, unilatent
from tiny_pictures import NAMES, drawing_config, tokenizer_config, write_pictures

from latent.data.image_prompts import IMAGE_START, LATENT
from latent.data.image_store import IMAGE_TOKENIZER, ImageStore
from latent.drawing.painter import Painter
from latent.image_encoding import encode_pictures
from latent.image_tokenizer import load_image_tokenizer
from latent.images.files import read_image
from latent.tasks.image_and_text import ImageAndText
from s2s.errors import ConfigError, InputError
from s2s.generation.generator import Generator
from s2s.registry import CRITERIA
from s2s.run import RunConfig, build_model, parse_config, resolve, train_run

TEXTS = {name: f"a {name}: white, {'big' if name < 'g' else 'small-ish'}" for name in NAMES}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a tokenizer with hardly any noise, and a store."""
    folder = tmp_path_factory.mktemp("both")
    pictures = write_pictures(folder / "pictures")
    lines = [json.loads(line) for line in pictures.read_text().splitlines()]
    pictures.write_text("".join(json.dumps(line | {"text": TEXTS[line["text"]]}) + "\n" for line in lines))
    train_run(tokenizer_config(pictures, std=0.05), folder / "tokenizer")
    encode_pictures([pictures], folder / "tokenizer", folder / "store")
    return folder


def config(home: Path, store: str = "store", **parts: Any) -> RunConfig:
    train = {"max_steps": 200, "max_tokens": 1000, "validate_every": 200, "device": "cpu", "loggers": []}
    sizes = {"hidden_size": 48, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "intermediate_size": 96}
    rest = {"max_positions": 100, "rope_theta": 1000.0, "head": {"num_layers": 2, "timestep_size": 32}}
    task = {"name": "image_and_text", "train": str(home / store), "valid": str(home / store)}
    return parse_config(
        {
            "task": {**task, "condition_dropout": 0.0, **parts.pop("task", {})},
            "model": sizes | rest,
            "optim": {"lr": 5e-3, "schedule": "cosine", "warmup_steps": 20},
            "train": train | parts,
        }
    )


def task_of(home: Path, store: str = "store", **task: Any) -> ImageAndText:
    return ImageAndText(config(home, store, task=task).task.config)  # type: ignore[arg-type]


def test_each_picture_is_drawn_and_seen_and_each_end_predicts_its_own(home: Path) -> None:
    task = task_of(home)
    data = task.dataset("train", 1)
    drawn, seen = data.example(1, 0), data.example(5, 0)
    words, places = task.vocabulary.prompt(TEXTS["cross"]), [LATENT] * 16
    assert drawn.tokens == [*words, *places]
    assert seen.tokens == [*places, IMAGE_START, *words]
    assert task.text(words) == TEXTS["cross"]
    assert data.lengths.tolist() == [len(data.example(index, 0).tokens) for index in range(8)]
    batch, width = task.collate([seen, drawn, seen]), len(seen.tokens)
    slots = list(range(16, width - 1))
    assert batch.slots.tolist() == [*slots, *(2 * width + slot for slot in slots)]
    assert batch.labels.tolist() == [*words, *words]
    assert batch.predicted.tolist() == list(range(16, 32)), "latents that are seen are only read"
    assert np.array_equal(seen.latents, data.example(5, 0).latents)
    assert not np.array_equal(seen.latents, data.example(5, 3).latents), "drawn anew in each epoch"


def test_a_batch_of_one_direction_has_the_losses_of_its_rows_in_a_mixed_one(home: Path) -> None:
    given = config(home)
    task = task_of(home)
    model = build_model(resolve(given, task.model_defaults())).eval()
    criterion = CRITERIA[given.criterion.name](given.criterion.config)
    data = task.dataset("valid", 0)
    drawn, seen = data.example(0, 0), data.example(6, 0)
    losses = []
    with torch.no_grad():
        for rows in ([drawn], [seen], [seen, drawn]):
            torch.manual_seed(0)
            losses.append(criterion(model, task.collate(rows)))
    for name, row in (("latent_loss", 0), ("token_loss", 1)):
        torch.testing.assert_close(losses[2][name], losses[row][name])
        assert losses[1 - row][name] == 0


def test_pictures_without_a_text_are_only_drawn(home: Path, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path)
    lines = pictures.read_text().splitlines()
    pictures.write_text("\n".join([lines[0].replace(', "text": "square"', ""), *lines[1:]]) + "\n")
    encode_pictures([pictures], home / "tokenizer", tmp_path / "store")
    assert len(task_of(tmp_path).dataset("train", 0)) == 4 + 3
    pictures.write_text(lines[0].replace(', "text": "square"', "") + "\n")
    encode_pictures([pictures], home / "tokenizer", tmp_path / "none")
    with pytest.raises(InputError, match="none: no picture has a text; expected one at least"):
        task_of(tmp_path, "none").dataset("train", 0)


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    """The run that learns both by heart; its data are gone afterwards."""
    copy = home / "gone"
    shutil.copytree(home / "store", copy)
    train_run(config(home, "gone"), home / "run")
    shutil.rmtree(copy)
    return home / "run"


def test_one_run_draws_what_it_reads_and_writes_what_it_sees(home: Path, run: Path) -> None:
    store, tokenizer = ImageStore(home / "store"), load_image_tokenizer(home / "store" / IMAGE_TOKENIZER)
    (home / "texts.jsonl").write_text("".join(json.dumps({"id": n, "text": TEXTS[n]}) + "\n" for n in NAMES))
    options = ["decoder.guidance_scale=1", "--temperature", "0.3", "--device", "cpu"]
    unilatent("draw", run, *options, "--input", home / "texts.jsonl", "--output", home / "drawn")
    whole = [tokenizer.decode(torch.from_numpy(store.mean(index)[None]))[0].detach() for index in range(4)]
    for number, name in enumerate(NAMES):
        drawn = torch.from_numpy(read_image(home / f"drawn/{name}.png", 8, 1))
        distances = [float((drawn - other.clamp(-1, 1)).square().mean()) for other in whole]
        assert int(np.argmin(distances)) == number, distances
        assert distances[number] < 0.2 * sorted(distances)[1], "much nearer than the next one"
    records = home / "seen.jsonl"
    records.write_text("".join(json.dumps({"id": n, "image": f"pictures/{n}0.png"}) + "\n" for n in NAMES))
    unilatent("decode", run, "--input", records, "--output", home / "written.jsonl", "--device", "cpu")
    written = [json.loads(line)["tgt"] for line in (home / "written.jsonl").read_text().splitlines()]
    assert written == list(TEXTS.values())


def test_a_picture_has_the_same_caption_beside_others(home: Path, run: Path) -> None:
    records = [{"image": str(home / f"pictures/{name}0.png")} for name in NAMES]
    for name in ("beam", "wide_beam", "caption_beam"):
        generator = Generator.load(run, device="cpu", name=name, beam_size=3)
        alone = [generator.generate(record) for record in records]
        together = generator.generate(records)
        assert [made.text for made in together] == [made.text for made in alone] == list(TEXTS.values())
        assert [made.score for made in together] == pytest.approx([made.score for made in alone], abs=1e-4)
    begun = Generator.load(run, device="cpu").generate([{**records[0], "prefix": "a cross"}])
    assert begun[0].text.startswith("a cross")


def test_a_stopped_run_goes_on_to_the_same_weights(home: Path, tmp_path: Path) -> None:
    for steps in (3, 6):
        train_run(config(home, max_steps=steps, validate_every=3), tmp_path / "twice")
    train_run(config(home, max_steps=6, validate_every=3), tmp_path / "once")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("once", "twice"))
    assert first == second


def test_the_best_captions_may_choose_the_weights(home: Path, tmp_path: Path) -> None:
    train_run(config(home, max_steps=2, validate_every=1, keep_best_by="chrf"), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert any("chrf" in str(line) for line in lines)


def test_a_run_that_only_draws_is_gone_on_with_in_both_directions(home: Path, tmp_path: Path) -> None:
    train_run(drawing_config(home / "store"), tmp_path / "painter")
    assert len(task_of(home, tokenizer=str(tmp_path / "painter")).vocabulary) == len(task_of(home).vocabulary)


def test_what_cannot_be_learned_both_ways_is_refused(home: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"store: 'square0': its text takes \d+ tokens, task\.max_text=5"):
        task_of(home, max_text=5).dataset("train", 0)
    dictionary = tmp_path / "words.txt"
    words = sorted({word for text in TEXTS.values() for word in text.replace(":", "").replace(",", "").split()})
    dictionary.write_text("".join(f"{word} AA\n" for word in words))
    with pytest.raises(ConfigError, match=r"task\.front_end\.name: its tokens must be text, .* 'phonemes' are not"):
        task_of(home, front_end={"name": "phonemes", "file": str(dictionary)})
    train_run(drawing_config(home / "store"), tmp_path / "painter")
    with pytest.raises(InputError, match="its task, 'image_generation', generates no text"):
        Generator.load(tmp_path / "painter", device="cpu")
    assert "is not a run of the task 'image_generation' or 'image_and_text', it lacks" in error_of(
        "draw", home / "tokenizer", "--text", "a cross"
    )


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "'image' is missing; this run reads pictures"),
        ({"image": "none.png"}, "there is no such file"),
        ({"image": "square0.png", "prefix": "a crosz"}, "'prefix': 'text' must have words of the training texts"),
        ({"image": "square0.png", "constraints": ["a"]}, "'constraints' must be left out"),
    ],
)
def test_a_bad_record_is_said_with_its_place(home: Path, run: Path, record: dict[str, Any], message: str) -> None:
    if record.get("image") == "square0.png":
        record = {**record, "image": str(home / "pictures/square0.png")}
    with pytest.raises(InputError, match=message) as raised:
        Generator.load(run, device="cpu").generate([record])
    assert str(raised.value).startswith("text 1: ")
    assert "\n" not in str(raised.value)


def test_texts_are_for_drawing(run: Path) -> None:
    with pytest.raises(InputError, match="this run writes about pictures; give records such as"):
        Generator.load(run, device="cpu").generate("a cross")
    with pytest.raises(ConfigError, match=r"decoder\.name: must name a Streamer for this run, found 'beam'"):
        Painter.open(run, overrides=["decoder.name=beam"])
