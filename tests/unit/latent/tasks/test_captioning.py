"""The task of captions: records, pictures, methods, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import write_encoder
from tiny_pictures import NAMES, caption_config, shape, write_captions, write_vision_encoder

from latent.images.files import write_image
from latent.tasks.captioning import Captioning
from s2s.data.batch import PADDING
from s2s.errors import ConfigError, InputError
from s2s.generation.decode import DecodeOptions, decode_file
from s2s.generation.generator import Generator
from s2s.ranks import Ranks
from s2s.run import train_run
from s2s.tasks.seq2seq import Seq2Seq
from s2s.trim import store_run, trim_run

LANGUAGES = ["en", "de"]
ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return write_captions(tmp_path)


def task_of(records: Path, **options: Any) -> Captioning:
    return Captioning(caption_config(records, **options).task.config)  # type: ignore[arg-type]


def add(records: Path, *lines: dict[str, Any]) -> Path:
    """The records with more lines."""
    with records.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return records


def only(records: Path, *lines: dict[str, Any]) -> Path:
    records.write_text("")
    return add(records, *lines)


@pytest.mark.parametrize("method", ["causal", "masked", "pseudo_masked"])
def test_a_caption_follows_its_picture_and_its_language(records: Path, method: str) -> None:
    task = task_of(records, method=method, languages=LANGUAGES, target_mask_prob=0.0)
    dataset = task.dataset("train", seed=0)
    batch = task.collate([dataset.example(index, 0) for index in (0, 1)])
    assert batch.places == batch.context == 5
    assert torch.equal(batch.images[0], torch.from_numpy(shape("square")))
    special = task.tokenizer.special
    for row, language in enumerate(LANGUAGES):
        start = [special.cls, task.token_id(f"[lang:{language}]")]
        assert batch.tokens[row, :7].tolist() == [special.pad] * 5 + start
        target = batch.steps[row, 7:]
        caption = batch.tokens[row, 7:][(target > 1) & (target != PADDING)]
        if method != "masked":
            assert task.text(caption.tolist()) == ["a white square", "das helle square"][row]
    slots = (dataset.lengths[:2].sum(1)).tolist()
    assert (batch.steps != PADDING).sum(1).tolist() == slots, "what the sampler counts is what is fed"


def test_a_list_of_captions_gives_an_example_for_each(records: Path) -> None:
    only(records, {"image": "square0.png", "tgt": ["one", "two"]}, {"image": "cross0.png", "tgt": "three"})
    assert len(task_of(records).dataset("train", seed=0)) == 3


def test_a_text_may_be_read_with_the_picture(records: Path) -> None:
    only(records, {"image": "square0.png", "src": "what is it", "tgt": "square"})
    task = task_of(records, source="image+text", languages=())
    batch = task.collate([task.dataset("train", seed=0).example(0, 0)])
    context = batch.tokens[0, 5 : batch.context].tolist()
    assert (context[0], context[-1]) == (task.tokenizer.special.cls, task.tokenizer.special.sep)
    assert task.text(context) == "what is it"
    assert not batch.steps[0, : batch.context].any(), "both see each other"
    source = task.source({"image": str(records.parent / "square0.png"), "src": "what is it"}, "text 1")
    assert source.tokens == batch.tokens[0, : batch.context].tolist()
    with pytest.raises(InputError, match="text 1: 'src' is missing"):
        task.source({"image": str(records.parent / "square0.png")}, "text 1")


def test_training_varies_pictures_by_epoch_and_validation_does_not(records: Path) -> None:
    task = task_of(records, valid=str(records), variation={"crop": 0.3, "erase": 0.5})
    train, valid = task.dataset("train", seed=1), task.dataset("valid", seed=1)
    assert not np.array_equal(train.example(4, 0).pixels, train.example(4, 1).pixels)
    assert np.array_equal(train.example(4, 1).pixels, task.dataset("train", seed=1).example(4, 1).pixels)
    assert np.array_equal(valid.example(4, 0).pixels, valid.example(4, 1).pixels)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"tgt": "a"}, "'image' is missing; this run reads pictures, found 'tgt'"),
        ({"image": 3, "tgt": "a"}, "'image' must be a string that is not blank, found"),
        ({"image": "none.png", "tgt": "a"}, "none.png: there is no such file"),
        ({"image": "x" * 5000, "tgt": "a"}, "there is no such file"),
        ({"image": "\0", "tgt": "a"}, "there is no such file"),
        ({"image": "square0.png"}, "'tgt' is missing"),
        ({"image": "square0.png", "tgt": " "}, "'tgt' must be a string that is not blank"),
        ({"image": "square0.png", "tgt": []}, "'tgt' must be a caption or a list of them"),
        ({"image": "square0.png", "tgt": ["a", 1]}, "'tgt' must be a string that is not blank"),
        ({"image": "square0.png", "tgt": "a", "language": "dee"}, "'language' must be one of en, de, found 'dee'"),
        ({"image": "square0.png", "tgt": "a"}, "'language' must be one of en, de, found nothing"),
    ],
)
def test_bad_records_are_refused_with_their_line(records: Path, line: dict[str, Any], message: str) -> None:
    languages = LANGUAGES if "'language'" in message else []
    with pytest.raises(InputError) as raised:
        task_of(add(records, line), languages=languages)
    assert message in str(raised.value)
    assert f"{records}:9: " in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 3}, r"task\.patch_size: must divide task\.image_size \(8\), found 3"),
        ({"patch_size": 16}, r"task\.patch_size: must divide task\.image_size \(8\), found 16"),
        ({"vision_encoder": "a/b", "channels": 1}, r"task\.channels: must be 3 with task\.vision_encoder, found 1"),
        ({"keep_prob": 0.6, "random_prob": 0.6}, r"task\.keep_prob and task\.random_prob together"),
    ],
)
def test_options_that_do_not_fit_are_refused(records: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task_of(records, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    train_run(caption_config(write_captions(folder), valid=str(folder / "captions.jsonl")), folder / "run")
    return folder / "run"


def test_pictures_of_all_kinds_are_decoded_and_bad_ones_fail_alone(run: Path, tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    good = write_forms(tmp_path, pillow)
    bad = write_bad(tmp_path, pillow)
    records = only(tmp_path / "in.jsonl", *({"id": name, "image": name} for name in [*good, *bad]))
    options = DecodeOptions(max_sentences=4)
    summary = decode_file(Generator.load(run, device="cpu"), records, tmp_path / "out.jsonl", options, ALONE)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (summary.lines, summary.failed) == (len(good) + len(bad), len(bad))
    for row in rows[: len(good)]:
        assert isinstance(row["tgt"], str), row
    for row, expected in zip(rows[len(good) :], bad.values(), strict=True):
        assert row["tgt"] is None
        assert expected in row["error"]


def test_a_run_keeps_its_vision_encoder(tmp_path: Path) -> None:
    records, encoder = write_captions(tmp_path), write_vision_encoder(tmp_path / "vit", size=8)
    train_run(caption_config(records, vision_encoder=str(encoder), channels=3), tmp_path / "run")
    pictures = [{"image": str(tmp_path / f"{name}0.png")} for name in NAMES]
    before = [made.score for made in Generator.load(tmp_path / "run", device="cpu").generate(pictures)]
    shutil.rmtree(encoder)
    after = [made.score for made in Generator.load(tmp_path / "run", device="cpu").generate(pictures)]
    assert before == after
    assert len(set(before)) == len(NAMES), "pictures are told apart"


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_smaller_run_keeps_its_vision_encoder(tmp_path: Path, is_cut: bool) -> None:
    records, encoder = write_captions(tmp_path), write_vision_encoder(tmp_path / "vit", size=8)
    train_run(caption_config(records, vision_encoder=str(encoder), channels=3), tmp_path / "run")
    if is_cut:
        trim_run(tmp_path / "run", tmp_path / "small", [str(records)], size=40)
    else:
        store_run(tmp_path / "run", tmp_path / "small", "float16")
    shutil.rmtree(encoder)
    shutil.rmtree(tmp_path / "run")
    assert Generator.load(tmp_path / "small", device="cpu").generate([{"image": str(tmp_path / "cross0.png")}])


def test_another_encoder_than_that_of_the_run_whose_tokenizer_is_taken_is_read(tmp_path: Path) -> None:
    records = write_captions(tmp_path)
    names = [str(write_vision_encoder(tmp_path / name, size=size)) for name, size in (("old", 8), ("new", 16))]
    train_run(caption_config(records, vision_encoder=names[0], channels=3), tmp_path / "run")
    options = {"tokenizer": str(tmp_path / "run"), "vision_encoder": names[1], "channels": 3, "image_size": 16}
    assert task_of(records, **options).inputs()[-1] == Path(names[1], "model.safetensors")


@pytest.mark.parametrize("crop", [0.5, 1.0])
def test_features_in_training_are_those_in_generation(tmp_path: Path, crop: float) -> None:
    records, encoder = write_captions(tmp_path), write_vision_encoder(tmp_path / "vit", size=8)
    options = {"vision_encoder": str(encoder), "channels": 3, "variation": {"crop": crop, "erase": 0.0}}
    task = task_of(records, valid=str(records), **options)
    source = task.source({"image": str(tmp_path / "cross0.png")}, "text 1")
    (seen,) = task.collate_sources([source]).images.numpy()
    assert seen.shape == (32, 2, 2)
    for _ in range(2):
        assert np.array_equal(task.dataset("valid", seed=0).example(2, 0).pixels, seen)
    varied = task.dataset("train", seed=0).example(2, 0).pixels
    assert np.array_equal(varied, seen) == (crop == 1)


def write_forms(folder: Path, pillow: Any) -> list[str]:
    """Pictures that are read: other modes, sizes and formats; one whose suffix is wrong."""
    names = []
    sizes = {"RGBA": (9, 5), "P": (8, 8), "L": (30, 7), "I;16": (8, 8), "1": (8, 8), "LA": (1, 1)}
    for mode, size in sizes.items():
        pillow.new(mode, size).save(folder / f"{mode.replace(';', '')}.png")
        names.append(f"{mode.replace(';', '')}.png")
    pillow.new("CMYK", (16, 8)).save(folder / "cmyk.jpg")
    pillow.new("RGB", (8, 8), "red").save(folder / "really_a_png.jpg", "PNG")
    return [*names, "cmyk.jpg", "really_a_png.jpg"]


def write_bad(folder: Path, pillow: Any) -> dict[str, str]:
    """Pictures that are refused, and why."""
    frames = [pillow.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    write_image(folder / "whole.png", np.random.default_rng(0).uniform(-1, 1, (1, 64, 64)).astype(np.float32))
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:-900])
    (folder / "text.png").write_text("no picture")
    (folder / "empty.png").write_bytes(b"")
    pillow.new("1", (10_000, 10_000)).save(folder / "bomb.png")
    return {
        "moving.gif": "must hold one still picture, found 2",
        "cut.png": "truncated or damaged",
        "text.png": "not a picture in a format that is read",
        "empty.png": "not a picture in a format that is read",
        "bomb.png": "must have at most 67,108,864 pixels",
        "gone.png": "there is no such file",
    }


def test_a_picture_that_breaks_in_training_is_named_with_its_line(tmp_path: Path) -> None:
    records = write_captions(tmp_path)
    (tmp_path / "cross0.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"captions\.jsonl:[34]: 'image': \S+cross0\.png: not a picture"):
        train_run(caption_config(records), tmp_path / "run")


def test_python_takes_records_and_refuses_texts(run: Path) -> None:
    generator = Generator.load(run, device="cpu")
    (made,) = generator.generate([{"image": str(run.parent / "square0.png"), "prefix": "a white"}])
    assert made.text.startswith("a white")
    with pytest.raises(InputError, match="this run reads pictures, found a text"):
        generator.generate("square")


@pytest.mark.parametrize("multiway", [False, True])
def test_a_trimmed_run_scores_the_pieces_that_stay_as_before(tmp_path: Path, multiway: bool) -> None:
    records = write_captions(tmp_path)
    train_run(caption_config(records, model={"multiway": multiway}), tmp_path / "run")
    trim_run(tmp_path / "run", tmp_path / "small", [str(records)], size=40)
    before, after = (Generator.load(tmp_path / name, device="cpu") for name in ("run", "small"))
    small = after.task.tokenizer
    kept = [before.task.token_id(token) for token in small.tokens(range(small.vocab_size))]
    assert len(kept) < before.task.tokenizer.vocab_size
    scores = []
    for generator in (before, after):
        source = generator.task.source({"image": str(tmp_path / "cross0.png")}, "text 1")
        state = generator.model.start(generator.task.collate_sources([source]), 4)
        scores.append(generator.model.step(state, None)[0, 0])
    torch.testing.assert_close(scores[1], scores[0][kept])


@pytest.mark.parametrize("name", ["caption_beam", "wide_beam", "sampling", "diverse_beam", "constrained_beam"])
def test_every_search_writes_captions(run: Path, name: str) -> None:
    records = [{"image": str(run.parent / f"{shape}0.png")} for shape in NAMES]
    together = Generator.load(run, device="cpu", name=name).generate(records)
    alone = Generator.load(run, device="cpu", name=name).generate(records, max_sentences=1)
    assert [made.text for made in together] == [made.text for made in alone]


def test_a_text_model_says_what_it_misses_in_a_record_with_a_picture(tmp_path: Path) -> None:
    write_encoder(tmp_path, ["cat"])
    task = Seq2Seq(Seq2Seq.Config(tokenizer=str(tmp_path)))
    with pytest.raises(InputError, match="line 1: 'src' is missing; found 'image'"):
        task.source({"image": "cat.png"}, "line 1")
