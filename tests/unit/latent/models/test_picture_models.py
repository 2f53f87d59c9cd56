"""Models of pictures: tokenizers of both kinds, and the DiT."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from latent.data.batch import MixedSequences
from latent.models.dit import DiT
from latent.models.image_sigma_vae import ConvImageTokenizer, ImageTokenizer, PatchImageTokenizer
from s2s.errors import ConfigError

SMALL = {"image_size": 8, "channels": 3, "latent_size": 5}
DIT = {"vocab_size": 7, "latent_size": 3, "latent_mean": 0.5, "latent_std": 2.0, "grid_size": 4}
DIT |= {"hidden_size": 8, "num_layers": 2, "num_heads": 2, "intermediate_size": 12}


def tokenizers() -> list[ImageTokenizer]:
    convolutional = ConvImageTokenizer.Config(**SMALL, widths=(4, 6))
    patches = PatchImageTokenizer.Config(**SMALL, patch_size=2, hidden_size=8, num_layers=1, num_heads=2)
    return [ConvImageTokenizer(convolutional), PatchImageTokenizer(patches)]


@pytest.mark.parametrize("tokenizer", tokenizers(), ids=lambda tokenizer: type(tokenizer).__name__)
def test_a_picture_becomes_a_latent_for_each_place_and_a_picture_again(tokenizer: ImageTokenizer) -> None:
    images = torch.randn(2, 3, 8, 8)
    mean = tokenizer.encode(images)
    assert tokenizer.grid_size == 4
    assert mean.shape == (2, 16, 5)
    assert tokenizer.decode(tokenizer.sample(mean)).shape == images.shape


@pytest.mark.parametrize("tokenizer", tokenizers(), ids=lambda tokenizer: type(tokenizer).__name__)
def test_pictures_of_a_batch_do_not_see_each_other(tokenizer: ImageTokenizer) -> None:
    images = torch.randn(2, 3, 8, 8)
    together, alone = tokenizer.encode(images)[:1], tokenizer.encode(images[:1])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(tokenizer.decode(together), tokenizer.decode(alone))


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (ConvImageTokenizer, {"widths": (4, 4, 4)}, "found 4 pixels in pictures of 6"),
        (PatchImageTokenizer, {"patch_size": 4}, "found 4 pixels in pictures of 6"),
        (PatchImageTokenizer, {"patch_size": 12}, "found 12 pixels in pictures of 6"),
        (
            PatchImageTokenizer,
            {"hidden_size": 9, "num_heads": 3},
            "model.hidden_size: must be a multiple of 4, found 9",
        ),
        (PatchImageTokenizer, {"num_heads": 3}, "model.num_heads: must divide model.hidden_size"),
        (ConvImageTokenizer, {"channels": 1}, "model.channels: must be 3 as in the task's data, found 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(cls: Any, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cls.resolve(cls.Config(**config), {"image_size": 6, "channels": 3})


def dit(**config: Any) -> DiT:
    model = DiT(DiT.Config(**{**DIT, **config})).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("patch_size", [1, 2])
def test_every_latent_of_a_dit_sees_every_other(patch_size: int) -> None:
    model = dit(patch_size=patch_size)
    noisy, steps, condition = torch.randn(1, 48, requires_grad=True), torch.tensor([500]), torch.randn(1, 8)
    model.head(noisy, steps, condition)[0, 0].backward()
    assert (noisy.grad != 0).all()


def test_the_condition_of_a_dit_depends_on_its_tokens_alone() -> None:
    """Not on padding, and not on latents or their slots."""
    model = dit()
    alone = model.conditions(prompts([[4, 2]]))
    padded = model.conditions(prompts([[4, 2], [5, 6, 2]]))
    torch.testing.assert_close(padded[:1], alone)
    with_latents = prompts([[4, 2, 1, 1]], latent_slots=torch.tensor([2, 3]), latents=torch.randn(2, 3))
    torch.testing.assert_close(model.conditions(with_latents), alone)
    torch.testing.assert_close(model.conditions(prompts([[4]])), model.embeddings.weight[4:5])


def prompts(rows: list[list[int]], **latents: torch.Tensor) -> MixedSequences:
    width = max(map(len, rows))
    none = {"latents": torch.empty(0, 3), "latent_slots": torch.empty(0, dtype=torch.int64)}
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return MixedSequences([str(row) for row in rows], tokens, lengths, **{**none, **latents})


def test_a_dit_before_training_predicts_zero() -> None:
    model = DiT(DiT.Config(**DIT))
    assert not model.head(torch.randn(2, 48), torch.tensor([3, 700]), torch.randn(2, 8)).any()


def test_a_dit_generates_the_same_with_packed_weights() -> None:
    model = dit()
    noisy, steps, condition = torch.randn(2, 48), torch.tensor([500, 3]), torch.randn(2, 8)
    with torch.no_grad():
        before = model.head(noisy, steps, condition)
        model.prepare()
        torch.testing.assert_close(model.head(noisy, steps, condition), before)
