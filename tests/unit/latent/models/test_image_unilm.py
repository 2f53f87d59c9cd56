"""UniLM that reads pictures, and BEiT-3's weights in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from latent.data.batch import SeenBatch, SeenSources
from latent.data.captions import lay_out_caption, pack_captions
from latent.models.beit3 import from_beit3_names, into_beit3_names
from latent.models.image_unilm import ImageUniLM
from s2s.data.batch import PADDING, TokenBatch
from s2s.data.layout import Noise, feeding
from s2s.data.tokenizer import SpecialIds
from s2s.errors import ConfigError, InputError

GOLDEN = Path(__file__).parents[3] / "golden/data/captioning/case_pub_beit3.safetensors"
SPECIAL = SpecialIds(cls=0, pad=1, sep=2, mask=3)
PLACES = 5
METHODS = ("causal", "masked", "pseudo_masked")
SIZES: dict[str, Any] = {"vocab_size": 20, "hidden_size": 8, "num_layers": 2, "num_heads": 2, "intermediate_size": 12}
SIZES |= {"image_size": 4, "patch_size": 2, "channels": 1, "max_positions": 30, "num_segments": 0}
GIVEN = {"image_size": 6, "patch_size": 2, "channels": 2, "vocab_size": 40, "num_positions": 40}


def model_of(multiway: bool, **options: Any) -> ImageUniLM:
    torch.manual_seed(1)
    model = ImageUniLM(ImageUniLM.Config(**{**SIZES, "multiway": multiway, **options})).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(count).uniform(-1, 1, (count, 1, 4, 4)).astype(np.float32)


def batch_of(captions: list[list[int]], method: Any, read: tuple[int, ...] = (), alone: bool = True) -> SeenBatch:
    """Captions without noise, of pictures that differ."""
    noise, generator = Noise(0, 0, 0, 0, None, np.arange(4, 20)), np.random.default_rng(0)
    arguments = (np.array(read, np.int64), alone, PLACES, method, SPECIAL, (8, 8), noise, generator)
    layouts = [lay_out_caption(np.array(caption), *arguments) for caption in captions]
    return pack_captions(layouts, list(pictures(len(captions))), PLACES, alone, SPECIAL.pad)


def sources_of(count: int, method: str) -> SeenSources:
    tokens = torch.tensor([[SPECIAL.pad] * PLACES + [SPECIAL.cls]] * count)
    rest = {"images": torch.from_numpy(pictures(count)), "places": PLACES, "alone": True}
    lengths = torch.full((count,), PLACES + 1)
    return SeenSources([""] * count, tokens, lengths, feeding(method, SPECIAL), [[]] * count, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("multiway", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_gives_the_scores_of_training(multiway: bool, method: str) -> None:
    """What is cached is what the batch of a method computes, in rows of different lengths."""
    model, captions = model_of(multiway), [[7, 9, 12], [8, 5, 11]]
    batch = batch_of(captions, method)
    if method == "masked":  # the same captions, each cut before a mask
        trained = [_last_scores(model, [row[:length] for row in captions]) for length in range(4)]
    else:
        trained = list(model(batch).view(2, 4, -1).unbind(1))
    state = model.start(sources_of(2, method), 8)
    fed: list[Tensor | None] = [None, *torch.tensor(captions).t().unsqueeze(-1)]
    for tokens, expected in zip(fed, trained, strict=True):
        torch.testing.assert_close(model.step(state, tokens)[:, 0], expected, atol=1e-4, rtol=1e-4)


def _last_scores(model: ImageUniLM, captions: list[list[int]]) -> Tensor:
    """Scores at a mask after each caption."""
    batch = batch_of(captions, "pseudo_masked")  # its true slots hold no mask yet
    last = len(captions[0])
    slots = torch.tensor([row * batch.tokens.shape[1] + PLACES + 1 + last for row in range(len(captions))])
    tokens = batch.tokens.clone()
    tokens.view(-1)[slots] = SPECIAL.mask
    return model(replace(batch, tokens=tokens, slots=slots))


@pytest.mark.parametrize("multiway", [False, True])
def test_a_picture_does_not_see_its_caption_but_sees_a_text_that_is_read_with_it(multiway: bool) -> None:
    model = model_of(multiway)
    places = torch.arange(PLACES)

    def seen(caption: int, read: tuple[int, ...], alone: bool) -> Tensor:
        return model.features(replace(batch_of([[caption, 9]], "causal", read, alone), slots=places))

    assert torch.equal(seen(7, (), True), seen(8, (), True))
    assert torch.equal(seen(7, (4,), True), seen(7, (5,), True)), "a language"
    assert not torch.allclose(seen(7, (4, 6), False), seen(7, (5, 6), False))
    assert torch.equal(seen(7, (4, 6), False), seen(8, (4, 6), False))


def test_the_start_of_a_caption_and_its_language_see_the_picture_and_each_other() -> None:
    batch = batch_of([[7]], "pseudo_masked", read=(4,))
    assert batch.context == PLACES
    assert batch.steps.tolist() == [[0] * PLACES + [1, 1, 2, 3, -2, -3]]
    both = batch_of([[7], [7, 8]], "causal", read=(4, 5), alone=False)
    assert both.context == PLACES + 3
    assert both.steps[0].tolist() == [0] * (PLACES + 3) + [1, 2, PADDING]


def test_another_picture_gives_another_text() -> None:
    model, batch = model_of(True), batch_of([[7, 9]], "causal")
    other = replace(batch, images=batch.images.flip(-1))
    assert not torch.allclose(model(batch), model(other))


@pytest.mark.parametrize("multiway", [False, True])
def test_packed_weights_give_the_same_scores(multiway: bool) -> None:
    model = model_of(multiway)
    before = model.step(model.start(sources_of(3, "masked"), 4), None)
    model.prepare()
    after = model.step(model.start(sources_of(3, "masked"), 4), None)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_a_batch_without_pictures_is_refused() -> None:
    seen = vars(batch_of([[7]], "causal"))
    text = TokenBatch(**{name: value for name, value in seen.items() if name not in ("images", "places")})
    with pytest.raises(ConfigError, match=r"model\.name: this model reads pictures, and the task gives it none"):
        model_of(False)(text)


# BEiT-3


def published() -> dict[str, Tensor]:
    """A tiny checkpoint under the published names."""
    return {n.removeprefix("param."): t for n, t in load_file(GOLDEN).items() if n.startswith("param.")}


def test_published_names_come_back() -> None:
    state = published()
    back = into_beit3_names(from_beit3_names(state), places=10)
    assert back.keys() == state.keys() - {"beit3.vision_embed.mask_token"}
    for name, tensor in back.items():
        unused = 2 if "embed_positions" in name else 0
        assert torch.equal(tensor[unused:].flatten(), state[name][unused:].flatten()), name
        assert not tensor[:unused].any()


@pytest.mark.parametrize("form", ["model.pth", "model.safetensors"])
def test_a_run_starts_from_released_weights(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    if form.endswith("pth"):
        torch.save({"model": published()}, path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in published().items()}, path)
    config = ImageUniLM.resolve(ImageUniLM.Config(multiway=True, init=str(path), num_heads=1), GIVEN)
    assert (config.hidden_size, config.num_layers, config.intermediate_size, config.vocab_size) == (24, 2, 48, 40)
    assert (config.max_positions, config.layer_norm_eps, config.init) == (48, 1e-5, str(path))
    model = ImageUniLM(config)
    model.initialize()
    assert torch.equal(model.head.output.weight, published()["mlm_head.weight"])  # type: ignore[union-attr]
    again = ImageUniLM.resolve(config, {"vocab_size": 40})
    assert again == config, "as a run folder has it"


def test_new_tokens_get_rows_and_a_checkpoint_without_a_head_leaves_it_untrained(tmp_path: Path) -> None:
    torch.save({name: value for name, value in published().items() if "mlm_head" not in name}, tmp_path / "b.pth")
    asked = ImageUniLM.Config(multiway=True, init=str(tmp_path / "b.pth"))
    model = ImageUniLM(ImageUniLM.resolve(asked, GIVEN | {"vocab_size": 43}))
    model.initialize()
    assert model.embeddings.tokens.weight.shape == (43, 24)
    assert torch.equal(model.embeddings.tokens.weight[:40], published()["beit3.text_embed.weight"])


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({}, {"image_size": 8}, r"task\.image_size: must be 6 as in .*b\.pth, found 8"),
        ({}, {"patch_size": 3}, r"task\.patch_size: must be 2 as in .*b\.pth, found 3"),
        ({"hidden_size": 16}, {}, r"model\.hidden_size: must be 24 as in .*b\.pth, found 16"),
        ({"norm_first": True}, {}, r"model\.norm_first: cannot be combined with model\.multiway"),
        ({"rotary_base": 10.0}, {}, r"model\.rotary_base: cannot be combined with model\.multiway"),
        ({"adapters": {"rank": 2}}, {}, r"model\.adapters: cannot be combined with model\.multiway"),
    ],
)
def test_what_does_not_fit_released_weights_is_refused(
    tmp_path: Path, options: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    torch.save(published(), tmp_path / "b.pth")
    config = ImageUniLM.Config(multiway=True, init=str(tmp_path / "b.pth"), **options)
    with pytest.raises(ConfigError, match=message):
        ImageUniLM.resolve(config, GIVEN | given)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    torch.save({"bert.embeddings.weight": torch.zeros(3)}, tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"b\.pth: lacks beit3\.\S+: not a checkpoint of BEiT-3"):
        ImageUniLM.resolve(ImageUniLM.Config(multiway=True, init=str(tmp_path / "b.pth")), GIVEN)
