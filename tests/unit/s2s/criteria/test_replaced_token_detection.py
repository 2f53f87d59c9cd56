"""Detection of replaced tokens: its values by definition, who learns from what, and what it draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_electra, tiny_unilm
from torch import Tensor

from s2s.criteria.replaced_token_detection import ReplacedTokenDetection
from s2s.data.batch import MaskedBatch
from s2s.data.masking import MaskedText, pack_masked
from s2s.errors import ConfigError
from s2s.models.electra import Electra

MASK, PAD = 4, 0


def masked_batch(seed: int = 0, autoregressive: bool = False) -> MaskedBatch:
    """Two texts, the second one shorter, whose masked places are not in the order of the text."""
    generator, examples = np.random.default_rng(seed), []
    for length, masked in ((9, [6, 2, 3]), (5, [1])):
        tokens, places = generator.integers(5, 31, length), np.array(masked)
        labels = tokens[places]
        tokens[places] = MASK
        examples.append(MaskedText(tokens, np.zeros(length, np.int64), places, np.arange(len(masked)) + 1, labels))
    return pack_masked(examples, MASK, PAD, autoregressive=autoregressive)


def criterion_of(**options: Any) -> ReplacedTokenDetection:
    return ReplacedTokenDetection(ReplacedTokenDetection.Config(**options))


def sums_of(criterion: ReplacedTokenDetection, model: Electra, batch: MaskedBatch, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return criterion(model, batch)  # type: ignore[no-any-return]


def by_definition(
    model: Electra, batch: MaskedBatch, seed: int, gamma: float, factor: float, limit: float, hard: bool
) -> dict[str, float]:
    """The three sums, one place and one word of the vocabulary at a time."""
    torch.manual_seed(seed)
    numbers = torch.rand(len(batch.labels), dtype=torch.float64).tolist()
    features = model.generator_features(batch)
    scores, tokens = model.generator_logits(features).tolist(), batch.tokens.flatten().tolist()
    places, labels = batch.slots.tolist(), batch.labels.tolist()
    guesses = model.hardness(features).tolist()
    focal, weights, predicted = 0.0, {}, {}
    for row, place in enumerate(places):
        total = sum(math.exp(score) for score in scores[row])
        p = [math.exp(score) / total for score in scores[row]]
        h = [math.log1p(math.exp(guess)) if hard else 1.0 for guess in guesses[row]]
        mean = sum(one * other for one, other in zip(p, h, strict=True))
        below, token = 0.0, 0
        for token in range(len(p)):
            below += p[token] * h[token] / mean
            if below > numbers[row]:
                break
        focal -= (1 - p[labels[row]]) ** gamma * math.log(p[labels[row]])
        tokens[place], weights[place], predicted[place] = token, min(limit, mean / h[token]), h[token]
    read = torch.tensor(tokens).view_as(batch.tokens)
    original = dict(zip(places, labels, strict=True))
    detection, hardness = 0.0, 0.0
    for row, length in enumerate((9, 5)):
        hidden = model.discriminator.encode(read[row : row + 1, :length], torch.tensor([length]))
        for column, score in enumerate(model.discriminator.detection(hidden)[0].tolist()):
            place = row * read.shape[1] + column
            is_replaced = tokens[place] != original.get(place, tokens[place])
            loss = math.log1p(math.exp(-score if is_replaced else score))
            detection += weights.get(place, 1.0) * loss
            hardness += (predicted[place] - loss) ** 2 if place in predicted else 0.0
    return {"generator": focal, "discriminator": factor * detection, "hardness": hardness}


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999),
    gamma=st.floats(0, 4),
    factor=st.floats(0.1, 60),
    limit=st.floats(1, 9),
    hard=st.booleans(),
    rows=st.sampled_from([1, 3, 100]),
)
def test_it_is_what_the_equations_say(
    seed: int, gamma: float, factor: float, limit: float, hard: bool, rows: int
) -> None:
    model, batch = tiny_electra(seed).double(), masked_batch(seed)
    sampling = "hardness" if hard else "generator"
    criterion = criterion_of(
        sampling=sampling, focal_gamma=gamma, discriminator_weight=factor, max_weight=limit, chunk_rows=rows
    )
    sums = sums_of(criterion, model, batch, seed)
    wanted = by_definition(model, batch, seed, gamma, factor, limit, hard)
    assert ("hardness" in sums) == hard
    for name in criterion.losses:
        if name in sums:
            torch.testing.assert_close(sums[name].item(), wanted[name], rtol=1e-9, atol=1e-11)
    assert sums.keys() == criterion.weights(batch).keys()


def test_the_mean_loss_of_a_place_over_all_draws_is_that_over_the_generators_own_draws() -> None:
    """On one masked place, each word of the vocabulary in turn, with and without the weights."""
    model = tiny_electra(3).double()
    text = MaskedText(np.array([MASK]), np.zeros(1, np.int64), np.array([0]), np.array([1]), np.array([8]))
    batch = pack_masked([text], MASK, PAD, autoregressive=False)

    class Fixed(ReplacedTokenDetection):
        value = 0.0

        def uniform(self, count: int, device: torch.device) -> Tensor:
            return torch.full((count,), self.value, dtype=torch.float64)

    def mean(sampling: str, distribution: Tensor) -> float:
        criterion = Fixed(ReplacedTokenDetection.Config(sampling=sampling, max_weight=None))  # type: ignore[arg-type]
        ends, total = distribution.cumsum(0), 0.0
        for share, end in zip(distribution.tolist(), ends.tolist(), strict=True):
            criterion.value = end - share / 2
            total += share * criterion(model, batch)["discriminator"].item()
        return total

    features = model.generator_features(batch)
    p = model.generator_logits(features)[0].softmax(-1)
    q = p * torch.nn.functional.softplus(model.hardness(features)[0])
    assert not torch.allclose(p, q / q.sum(), atol=0.02)
    assert mean("hardness", q / q.sum()) == pytest.approx(mean("generator", p), rel=1e-12)


def test_equal_predictions_are_plain_electra() -> None:
    model, batch = tiny_electra(1).double(), masked_batch()
    assert model.generator.hardness is not None
    for parameter in model.generator.hardness.parameters():
        torch.nn.init.zeros_(parameter)
    hard, plain = (
        {name: value.item() for name, value in sums_of(criterion_of(sampling=sampling), model, batch).items()}
        for sampling in ("hardness", "generator")
    )
    assert hard["effective_draws"] == pytest.approx(len(batch.labels))
    assert all(hard[name] == pytest.approx(plain[name]) for name in plain)


def gradients(model: Electra, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return {name: grad for name, grad in zip(names, found, strict=True) if grad is not None and bool(grad.any())}


def test_the_generator_learns_nothing_from_the_discriminators_loss_but_shared_embeddings_do() -> None:
    model, batch = tiny_electra().double(), masked_batch()
    sums = sums_of(criterion_of(), model, batch)
    of = {name: set(gradients(model, sums[name])) for name in ("generator", "discriminator", "hardness")}
    own = {name for name, _ in model.named_parameters() if name.startswith("generator.")}
    shared = {name for name, _ in model.discriminator.named_parameters(prefix="discriminator.embeddings")}
    assert "generator.embeddings.project.weight" in own, "the rest of the embeddings is the discriminator's"
    assert not of["discriminator"] & own
    assert "discriminator.embeddings.tokens.weight" in of["discriminator"] & of["generator"] & of["hardness"]
    assert not {name for name in of["generator"] | of["hardness"] if name.startswith("discriminator.layers")}
    assert not {name for name in of["generator"] | of["hardness"] if "detection" in name}
    assert shared
    assert of["generator"] | of["discriminator"] | of["hardness"] == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("generator", "generator.head.dense.weight"),
        ("hardness", "generator.hardness.1.weight"),
        ("hardness", "generator.layers.0.up.weight"),
        ("discriminator", "discriminator.layers.1.attention.query.weight"),
        ("discriminator", "discriminator.detection.dense.weight"),
    ],
)
def test_gradients_are_those_of_finite_differences(loss: str, name: str) -> None:
    model, batch, criterion = tiny_electra(2).double(), masked_batch(), criterion_of(focal_gamma=1.5)
    parameter = model.get_parameter(name)
    grad = gradients(model, sums_of(criterion, model, batch)[loss])[name]
    place = divmod(int(grad.abs().argmax()), grad.shape[1])
    values = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            parameter[place] += step
            values.append(sums_of(criterion, model, batch)[loss].item())
            parameter[place] -= step
    assert grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def test_draws_depend_on_the_seed_and_not_on_the_size_of_chunks() -> None:
    model, batch = tiny_electra(), masked_batch()
    one, again, chunked, other = (
        {name: value.item() for name, value in sums_of(criterion_of(chunk_rows=rows), model, batch, seed).items()}
        for seed, rows in ((1, 100), (1, 100), (1, 1), (2, 100))
    )
    assert one == again
    assert one == pytest.approx(chunked)
    assert one != other


def test_what_it_cannot_train_is_refused() -> None:
    criterion = criterion_of()
    criterion.check(tiny_electra(), masked_batch())
    with pytest.raises(ConfigError, match="cannot train on UniLM; expected Detector"):
        criterion.check(tiny_unilm(), masked_batch())
    with pytest.raises(ConfigError, match="plain masked text, found pseudo tokens in the batch"):
        criterion.check(tiny_electra(), masked_batch(autoregressive=True))
    with pytest.raises(ConfigError, match=r"hardness needs model\.generator\.hardness_rank above 0, found 0"):
        criterion.check(tiny_electra(rank=0), masked_batch())
    criterion_of(sampling="generator").check(tiny_electra(rank=0), masked_batch())
