"""Pretraining on pictures: masks, tokenizers and teachers; each method trains, and what does not fit is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_pictures import write_pictures
from torch.nn import functional as F

from latent.criteria.corrupted_image import CorruptedImageCriterion
from latent.criteria.masked_features import MaskedFeatures
from latent.criteria.masked_pixels import MaskedPixels
from latent.data.batch import MaskedPictures
from latent.models.corrupted_image import CorruptedImage
from latent.models.image_encoder import ImageEncoder, MaskedAutoencoder
from latent.models.image_quantizer import ImageQuantizer
from latent.nn.image_masks import blockwise_mask, random_mask
from latent.nn.patches import from_patches, to_patches
from latent.nn.quantizer import NormEMAQuantizer
from latent.nn.vision import patches_to_predict
from latent.tasks.masked_images import moved
from s2s.errors import ConfigError, InputError
from s2s.run import build_task, parse_config, train_run

ENCODER = {"patch_size": 2, "hidden_size": 8, "num_layers": 1, "num_heads": 2}
SIZES = {"image_size": 8, "channels": 1, **ENCODER}


def config(pictures: Path, model: dict[str, Any], criterion: dict[str, Any], **task: Any) -> Any:
    section = {"name": "masked_images", "train": str(pictures), "valid": str(pictures), "image_size": 8, "channels": 1}
    section |= {"patch_size": 2, "most_shift": 1, **task}
    train = {"max_steps": 2, "max_tokens": 128, "device": "cpu", "workers": 0}
    return parse_config({"task": section, "model": model, "criterion": criterion, "train": train})


def batch(seed: int = 0, share: int = 6) -> MaskedPictures:
    generator = np.random.default_rng(seed)
    images = torch.from_numpy(generator.uniform(-1, 1, (3, 1, 8, 8)).astype(np.float32))
    masks = torch.from_numpy(np.stack([random_mask(4, share, generator) for _ in range(3)]))
    return MaskedPictures(["a", "b", "c"], images, masks)


@given(side=st.integers(2, 14), share=st.floats(0.01, 0.99), seed=st.integers(0, 99), blocks=st.booleans())
def test_a_mask_hides_exactly_as_many_patches_as_asked(side: int, share: float, seed: int, blocks: bool) -> None:
    count = round(share * side * side)
    mask = (blockwise_mask if blocks else random_mask)(side, count, np.random.default_rng(seed))
    assert mask.shape == (side * side,)
    assert mask.sum() == count


def test_blocks_hold_together_more_than_patches_anywhere() -> None:
    def neighbors(mask: Any) -> int:
        grid = mask.reshape(14, 14)
        return int((grid[1:] & grid[:-1]).sum() + (grid[:, 1:] & grid[:, :-1]).sum())

    found = [
        [neighbors(kind(14, 75, np.random.default_rng(seed))) for seed in range(20)]
        for kind in (blockwise_mask, random_mask)
    ]
    assert np.mean(found[0]) > 1.5 * np.mean(found[1])


def test_a_masked_autoencoder_does_not_read_what_is_masked() -> None:
    model = MaskedAutoencoder(MaskedAutoencoder.Config(**SIZES, decoder_size=4)).eval()
    given, other = batch(), batch()
    patches = to_patches(other.images, 2)
    patches[given.mask] = 5.0
    assert model.encoder.visible(given.images, given.mask).shape == (3, 10, 8)
    with torch.no_grad():
        found, again = (model.predict(images, given.mask) for images in (given.images, from_patches(patches, 2)))
    torch.testing.assert_close(found, again)


def test_an_encoder_with_masks_does_not_read_what_is_masked_either() -> None:
    model = ImageEncoder(ImageEncoder.Config(**SIZES, output_size=5)).eval()
    given = batch()
    patches = to_patches(given.images, 2).clone()
    patches[given.mask] = -3.0
    with torch.no_grad():
        torch.testing.assert_close(
            model.predict(given.images, given.mask), model.predict(from_patches(patches, 2), given.mask)
        )
        assert model.predict(given.images, given.mask).shape == (18, 5)


def test_normalized_patches_have_mean_0_and_variance_1() -> None:
    rows = patches_to_predict(batch().images, batch().mask, 2, normalize=True)
    torch.testing.assert_close(rows.mean(-1), torch.zeros(18), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.var(-1), torch.ones(18), atol=1e-3, rtol=0)


def test_the_loss_of_pixels_is_their_mean_square_over_masked_patches_alone() -> None:
    model = ImageEncoder(ImageEncoder.Config(**SIZES, output_size=4))
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    criterion = MaskedPixels(MaskedPixels.Config(normalize=False))
    loss = criterion(model, batch())["loss"] / criterion.weights(batch())["loss"]
    torch.testing.assert_close(loss, to_patches(batch().images, 2)[batch().mask].square().mean())


def test_codes_gather_what_is_alike_and_none_stays_unused() -> None:
    torch.manual_seed(0)
    directions = F.normalize(torch.randn(6, 5), dim=-1)
    rows = directions[torch.arange(600) % 6] * 3 + 0.05 * torch.randn(600, 5)
    quantizer = NormEMAQuantizer(num_codes=24, code_size=5, decay=0.5).train()
    for _ in range(30):
        found = quantizer(rows)
    assert float(found.commitment.mean()) < 0.02
    codes = [set(found.codes[torch.arange(600) % 6 == which].tolist()) for which in range(6)]
    assert all(not one & other for one, other in itertools.combinations(codes, 2)), "a code stands for one direction"
    before = quantizer.codebook.clone()
    quantizer.eval()(rows)
    torch.testing.assert_close(quantizer.codebook, before, msg="evaluation changes nothing")


def test_vectors_of_codes_pass_their_gradient_to_what_they_stand_for() -> None:
    rows = torch.randn(4, 3, requires_grad=True)
    NormEMAQuantizer(2, 3, 0.9).eval()(rows).vectors.sum().backward()  # type: ignore[no-untyped-call]
    assert rows.grad is not None
    assert bool(rows.grad.abs().sum() > 0)


def test_a_student_of_features_learns_them_normalized() -> None:
    teacher = ImageEncoder(ImageEncoder.Config(**SIZES, output_size=1))
    student = ImageEncoder(ImageEncoder.Config(**SIZES, output_size=8))
    criterion = MaskedFeatures(MaskedFeatures.Config(teacher="unused"))
    criterion.learn_from(teacher, student)
    wanted = F.layer_norm(teacher.features(batch().images), (8,))[batch().mask]
    found = student.predict(batch().images, batch().mask)
    expected = F.smooth_l1_loss(found, wanted, reduction="none").mean(-1).sum()
    torch.testing.assert_close(criterion(student, batch())["loss"], expected)
    assert not criterion.state_dict(), "the teacher is no part of what is trained"


def tokenizer(**changes: Any) -> ImageQuantizer:
    return ImageQuantizer(
        ImageQuantizer.Config(**{**SIZES, "output_size": 4, "num_codes": 6, "code_size": 3, **changes})
    )


@pytest.mark.parametrize("learns", ["pixels", "replaced"])
def test_a_corrupted_picture_keeps_its_visible_patches(learns: Any) -> None:
    torch.manual_seed(0)
    model = CorruptedImage(CorruptedImage.Config(**SIZES, num_codes=6, generator_size=4, learns=learns))
    criterion, seen = CorruptedImageCriterion(CorruptedImageCriterion.Config(teacher="unused")), []
    criterion.learn_from(tokenizer().eval(), model)
    model.enhance = lambda images: seen.append(images) or CorruptedImage.enhance(model, images)  # type: ignore
    sums = criterion(model, batch())
    (corrupted,) = seen
    same = (to_patches(corrupted, 2) == to_patches(batch().images, 2)).all(-1)
    assert torch.equal(same, ~batch().mask)
    sums["enhancer"].backward()
    assert model.code_head.weight.grad is None, "draws pass no gradient"
    assert model.head.weight.grad is not None


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretraining")
    pictures = write_pictures(folder)
    quantizer = {"name": "image_quantizer", **ENCODER, "num_codes": 6, "code_size": 3, "decoder_layers": 1}
    train_run(config(pictures, {"name": "masked_autoencoder", **ENCODER, "decoder_size": 4}, {}), folder / "mae")
    for name, size, teacher in (("pixels", 4, None), ("features", 8, str(folder / "mae"))):
        criterion = {"name": "image_quantization", "teacher": teacher}
        train_run(config(pictures, {**quantizer, "output_size": size}, criterion), folder / name)
    return folder


METHODS: dict[str, tuple[dict[str, Any], str, str]] = {
    "BEiT": ({"name": "image_encoder", "output_size": 6}, "masked_image_tokens", "pixels"),
    "BEiT v2": ({"name": "image_encoder", "output_size": 6}, "masked_image_tokens", "features"),
    "MaskDistill": ({"name": "image_encoder", "output_size": 8}, "masked_features", "mae"),
    "CIM": ({"name": "corrupted_image", "num_codes": 6, "generator_size": 4}, "corrupted_image", "pixels"),
}


@pytest.mark.parametrize("name", METHODS)
def test_each_method_trains_and_goes_on_where_it_stopped(runs: Path, tmp_path: Path, name: str) -> None:
    model, criterion, teacher = METHODS[name]
    given = {"name": criterion, "teacher": str(runs / teacher)}
    settings = config(runs / "pictures.jsonl", {**ENCODER, **model}, given, masking="blockwise")
    assert train_run(settings, tmp_path / "run").step == 2
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert str(runs / teacher) in json.dumps(data), "a teacher must not change during a run"


HEAD, CIM = {"output_size": 5}, {"name": "corrupted_image", "num_codes": 6, "generator_size": 4}
REFUSED: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "model.output_size: must be 6, the codes of criterion.teacher, found 5": (HEAD, "masked_image_tokens", "pixels"),
    "model.output_size: must be 8, the features of criterion.teacher, found 5": (HEAD, "masked_features", "mae"),
    "criterion.teacher: must be the run of a DiscreteTokenizer, found Mas": (HEAD, "masked_image_tokens", "mae"),
    "criterion.teacher: must be given": (HEAD, "masked_image_tokens", None),
    "criterion.teacher: .*nowhere: ": (HEAD, "masked_features", "nowhere"),
    "model.output_size: must be 4, the pixels of a patch, found 5": (HEAD, "masked_pixels", None),
    "task.patch_size: must be model.patch_size": (HEAD | {"patch_size": 4}, "masked_pixels", None),
    "model.hidden_size: must be a multiple of 4, found 6": (HEAD | {"hidden_size": 6}, "masked_features", "mae"),
    "model.patch_size: must divide task.image_size": (HEAD | {"patch_size": 3}, "masked_features", "mae"),
    "model.num_codes: must be 6, found 9": (CIM | {"num_codes": 9}, "corrupted_image", "pixels"),
    "criterion.teacher: must restore pixels": (CIM, "corrupted_image", "features"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(runs: Path, tmp_path: Path, message: str) -> None:
    model, criterion, teacher = REFUSED[message]
    given = {"name": criterion} | ({"teacher": str(runs / teacher)} if teacher else {})
    settings = {"name": "image_encoder", **ENCODER, **model}
    with pytest.raises(InputError, match=message) as error:
        train_run(config(runs / "pictures.jsonl", settings, given), tmp_path / "run")
    assert "\n" not in str(error.value)


def test_patches_that_do_not_divide_pictures_are_refused(runs: Path) -> None:
    for size in (3, 8):
        with pytest.raises(
            ConfigError, match=f"task.patch_size: must divide task.image_size.*found {size}, in pictures"
        ):
            build_task(config(runs / "pictures.jsonl", {"name": "masked_autoencoder"}, {}, patch_size=size))


def test_examples_depend_on_seed_epoch_and_index_and_validation_stands_still(runs: Path) -> None:
    task = build_task(config(runs / "pictures.jsonl", {"name": "masked_autoencoder"}, {}))

    def example(split: str, epoch: int, seed: int = 1) -> tuple[bytes, bytes]:
        found = task.dataset(split, seed).example(1, epoch)
        return found.pixels.tobytes(), found.mask.tobytes()

    assert example("train", 3) == example("train", 3) != example("train", 4)
    assert example("train", 3)[1] != example("train", 3, seed=2)[1]
    assert example("valid", 3) == example("valid", 4)


def test_a_moved_picture_shows_the_same_a_little_aside() -> None:
    pixels = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    generator = np.random.default_rng(0)
    shown = [moved(pixels, 1, False, generator) for _ in range(30)]
    assert all(np.isin(one, pixels).all() and one.shape == pixels.shape for one in shown)
    assert len({one.tobytes() for one in shown}) == 9
    np.testing.assert_array_equal(moved(pixels, 0, False, generator), pixels)
