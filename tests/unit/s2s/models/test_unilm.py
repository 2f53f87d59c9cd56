"""UniLM: the factored forward pass equals the dense one, and cached generation equals the forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from tiny_models import tiny_unilm
from torch import Tensor

from s2s.data.batch import PADDING, Feeding, SourceBatch, TokenBatch
from s2s.errors import InputError
from s2s.models.unilm import UniLM
from s2s.nn import packing
from s2s.nn.masks import visible
from s2s.nn.positions import relative_bucket

VOCAB, HIDDEN, LAYERS, HEADS = 31, 12, 3, 2  # of tiny_unilm
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "relative": {"relative_buckets": 8, "max_relative_distance": 6},
    "projected": {"embedding_size": 8},
    "no segments": {"num_segments": 0},
    "one layer": {"num_layers": 1},
}
MODERN = {"norm_first": True, "gated": True, "biases": False, "num_segments": 0}
OTHER_LAYERS: dict[str, dict[str, Any]] = {
    "rotary": {"rotary_base": 100.0},
    "modern": {"rotary_base": 100.0, "local_rotary_base": 10.0, "global_every": 2, "window": 6, **MODERN},
}
OTHER_LAYERS["disentangled"] = {"distance_buckets": 4, "max_relative_distance": 8, "num_segments": 0}
"""Layers that BERT has not; `test_encoder_families` compares them with `transformers`."""


def tiny(dtype: torch.dtype = torch.float64, **options: Any) -> UniLM:
    return tiny_unilm(**options).to(dtype)


def pseudo_masked_batch(sources: Sequence[int] = (5, 3, 1), targets: Sequence[int] = (2, 4, 3)) -> TokenBatch:
    """Random tokens of these lengths in the layout of pseudo-masked fine-tuning."""
    generator = torch.Generator().manual_seed(1)
    source, target = max(sources), max(targets)
    lengths, counts = torch.tensor(sources).unsqueeze(1), torch.tensor(targets).unsqueeze(1)
    column, step = torch.arange(source), torch.arange(target)
    true = torch.where(step < counts, step + 1, PADDING)
    pseudo = torch.where(step < counts, -step - 1, PADDING)
    steps = torch.cat([torch.where(column < lengths, 0, PADDING), true, pseudo], dim=1)
    after = lengths + step
    positions = torch.cat([column.expand(len(sources), -1), after, after], dim=1).masked_fill(steps == PADDING, 0)
    segments = (torch.arange(steps.shape[1]) >= source).long().expand_as(steps)
    tokens = torch.randint(1, VOCAB, steps.shape, generator=generator)
    slots = ((steps < 0) & (steps != PADDING)).flatten().nonzero().squeeze(1)
    names = [f"record {row}" for row in range(len(sources))]
    return TokenBatch(names, tokens, positions, segments, steps, source, slots, tokens.flatten()[slots], pad_id=0)


def dense_hidden(model: UniLM, batch: TokenBatch) -> Tensor:
    """All hidden states `(B, L, D)`, from BERT's weights and one dense mask, written out."""
    weights, config = model.bert_state(), model.config

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + config.layer_norm_eps).sqrt()
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    table = "bert.embeddings.{}_embeddings.weight"
    x = weights[table.format("word")][batch.tokens] + weights[table.format("position")][batch.positions]
    if config.num_segments:
        x = x + weights[table.format("token_type")][batch.segments]
    x = norm(x, "bert.embeddings.LayerNorm")
    if config.embedding_size not in (0, HIDDEN):
        x = linear(x, "bert.embeddings_project")
    bias = torch.where(visible(batch.steps, batch.steps), 0.0, -torch.inf).unsqueeze(1).to(x.dtype)
    if config.relative_buckets:
        relative = batch.positions.unsqueeze(1) - batch.positions.unsqueeze(2)
        bucket = relative_bucket(relative, config.relative_buckets, config.max_relative_distance)
        bias = bias + weights["bert.rel_pos_bias.weight"][:, bucket].movedim(0, 1)
    for layer in range(config.num_layers):
        name = f"bert.encoder.layer.{layer}"
        query, key, value = (
            linear(x, f"{name}.attention.self.{part}").unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        attended = ((query @ key.mT / (HIDDEN / HEADS) ** 0.5 + bias).softmax(-1) @ value).transpose(1, 2).flatten(2)
        x = norm(x + linear(attended, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = torch.nn.functional.gelu(linear(x, f"{name}.intermediate.dense"))
        x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return x


def sources_of(lengths: Sequence[int], feeding: Feeding, pad_to: int = 0) -> SourceBatch:
    generator = torch.Generator().manual_seed(2)
    tokens = torch.zeros(len(lengths), max(*lengths, pad_to), dtype=torch.int64)
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.randint(1, VOCAB, (length,), generator=generator)
    return SourceBatch(
        [str(row) for row in range(len(lengths))], tokens, torch.tensor(lengths), feeding, [[]] * len(lengths)
    )


def next_scores(model: UniLM, sources: SourceBatch, sentence: int, generated: Sequence[int]) -> Tensor:
    """Scores `(V,)` of the next token by a forward pass over the source, what was generated, and what is fed last."""
    length, feeding = int(sources.lengths[sentence]), sources.feeding
    source = sources.tokens[sentence, :length].tolist()
    if feeding.mask is not None:
        fed = [*generated, feeding.mask]
        steps = [*range(1, len(generated) + 1), -len(fed)]
        places = [*range(length, length + len(generated)), length + len(generated)]
    else:
        assert feeding.start is not None
        fed = [feeding.start, *generated]
        steps, places = list(range(1, len(fed) + 1)), list(range(length, length + len(fed)))
    row = [*source, *fed]
    batch = TokenBatch(
        ["one"],
        torch.tensor([row]),
        torch.tensor([[*range(length), *places]]),
        torch.tensor([[0] * length + [1] * len(fed)]),
        torch.tensor([[0] * length + steps]),
        length,
        torch.tensor([len(row) - 1]),
        torch.tensor([0]),
        0,
    )
    return model(batch)[0]


FEEDINGS = {"mask": Feeding(end=3, mask=4), "start": Feeding(end=3, start=3)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_factored_forward_equals_the_dense_one(variant: str) -> None:
    model, batch = tiny(**VARIANTS[variant]), pseudo_masked_batch()
    expected = dense_hidden(model, batch).flatten(0, 1)[batch.slots]
    torch.testing.assert_close(model.features(batch), expected)


@pytest.mark.parametrize("variant", ["plain", "relative"])
def test_any_slots_in_any_order_can_be_read(variant: str) -> None:
    model, batch = tiny(**VARIANTS[variant]), pseudo_masked_batch()
    real = (batch.steps != PADDING).flatten().nonzero().squeeze(1)
    slots = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))]
    found = model.features(replace(batch, slots=slots, labels=slots))
    torch.testing.assert_close(found, dense_hidden(model, batch).flatten(0, 1)[slots])


@pytest.mark.parametrize("variant", ["plain", "relative", *OTHER_LAYERS])
def test_padded_attention_computes_the_same_model(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny(**(VARIANTS | OTHER_LAYERS)[variant]), pseudo_masked_batch((12, 3, 1), (2, 9, 3))
    expected = model(batch)
    monkeypatch.setattr(packing, "RaggedAttention", packing.PaddedAttention)
    torch.testing.assert_close(model(batch), expected)


@pytest.mark.parametrize("variant", ["plain", *OTHER_LAYERS])
def test_float32_and_bfloat16_follow_float64(variant: str) -> None:
    batch, options = pseudo_masked_batch(), (VARIANTS | OTHER_LAYERS)[variant]
    expected = tiny(**options)(batch)
    torch.testing.assert_close(tiny(torch.float32, **options)(batch).double(), expected, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = tiny(torch.float32, **options)(batch)
    assert (mixed.double() - expected).norm() < 0.05 * expected.norm()


def test_more_padding_changes_nothing() -> None:
    model, batch = tiny(), pseudo_masked_batch()
    wide = pseudo_masked_batch((*(5, 3, 1), 9), (*(2, 4, 3), 7))
    for row in range(3):
        narrow = batch.slots[batch.slots // batch.tokens.shape[1] == row]
        own = wide.steps[row] != PADDING
        tokens = wide.tokens.clone()
        tokens[row, own] = batch.tokens[row, batch.steps[row] != PADDING]
        slots = wide.slots[wide.slots // wide.tokens.shape[1] == row]
        found = model.features(replace(wide, tokens=tokens, slots=slots))
        torch.testing.assert_close(found, model.features(replace(batch, slots=narrow)), atol=1e-12, rtol=1e-12)


def test_gradients_flow_exactly_where_the_rule_lets_them() -> None:
    model = tiny()
    # x1 M2 x3 M4 M5 x6 | x4 x5 x2 | P4 P5 P2, the example of UniLMv2: what a slot depends on is what its mask reaches.
    steps = torch.tensor([[0] * 6 + [1, 1, 2, -1, -1, -2]])
    positions = torch.tensor([[1, 2, 3, 4, 5, 6, 4, 5, 2, 4, 5, 2]])
    tokens = torch.arange(1, 13).unsqueeze(0)  # all different, so that the gradient of a row is that of a slot
    reached = visible(steps, steps)[0].float().matrix_power(LAYERS) > 0
    for slot in range(12):
        batch = TokenBatch(["x"], tokens, positions, steps * 0, steps, 6, torch.tensor([slot]), torch.tensor([0]), 0)
        (gradient,) = torch.autograd.grad(model.features(batch).pow(3).sum(), model.embeddings.tokens.weight)
        assert torch.equal(gradient[1:13].abs().sum(-1) > 0, reached[slot])


@pytest.mark.parametrize("variant", ["relative", *OTHER_LAYERS])
def test_checkpointed_layers_give_the_same_gradients(variant: str) -> None:
    batch = pseudo_masked_batch()
    gradients = []
    for checkpointing in (False, True):
        model = tiny(**(VARIANTS | OTHER_LAYERS)[variant], activation_checkpointing=checkpointing)
        model(batch).pow(2).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_embeddings_get_no_gradient_and_the_rest_does() -> None:
    model = tiny(freeze_embeddings=True)
    model(pseudo_masked_batch()).sum().backward()
    assert model.embeddings.tokens.weight.grad is None
    assert all(p.grad is not None for n, p in model.named_parameters() if n != "embeddings.tokens.weight")


def test_encode_reads_both_ways_and_ignores_padding() -> None:
    model, lengths = tiny(), torch.tensor([4, 2])
    tokens = torch.tensor([[5, 6, 7, 8], [9, 10, 1, 1]])
    hidden = model.encode(tokens, lengths)
    assert hidden[1, 2:].abs().max() == 0
    torch.testing.assert_close(hidden[1:, :2], model.encode(tokens[1:, :2], lengths[1:]))
    changed = model.encode(torch.tensor([[5, 6, 7, 20], [9, 10, 3, 3]]), lengths)
    assert (changed[0, 0] - hidden[0, 0]).abs().max() > 1e-3
    assert torch.equal(changed[1], hidden[1])


@pytest.mark.parametrize(
    ("variant", "feeding"), product(["plain", "relative", "projected", "one layer", *OTHER_LAYERS], FEEDINGS)
)
def test_cached_step_equals_full_forward(variant: str, feeding: str) -> None:
    model, sources = tiny(**(VARIANTS | OTHER_LAYERS)[variant]), sources_of([5, 2, 7], FEEDINGS[feeding])
    fed = torch.randint(1, VOCAB, (6, 3, 1), generator=torch.Generator().manual_seed(3))
    state = model.start(sources, max_steps=6)
    found = model.step(state, None)
    for time in range(6):
        for sentence in range(3):
            expected = next_scores(model, sources, sentence, fed[:time, sentence, 0].tolist())
            torch.testing.assert_close(found[sentence, 0], expected, atol=1e-9, rtol=1e-9)
        if time < 5:
            state.select(None, torch.zeros(3, 1, dtype=torch.int64))
            found = model.step(state, fed[time])


@pytest.mark.parametrize(("variant", "feeding"), product(["plain", "relative", *OTHER_LAYERS], FEEDINGS))
def test_hypotheses_branch_and_sentences_leave_as_in_separate_runs(variant: str, feeding: str) -> None:
    model, sources = (
        tiny(torch.float32, **(VARIANTS | OTHER_LAYERS)[variant]),
        sources_of([5, 2, 7, 3], FEEDINGS[feeding]),
    )
    generator = torch.Generator().manual_seed(4)
    state = model.start(sources, max_steps=9)
    model.step(state, None)
    rows = list(range(4))  # the sentence that each row of the state is
    histories: list[list[list[int]]] = [[[]] for _ in rows]  # tokens of each hypothesis of each row
    for time, width in enumerate([3, 3, 3, 2, 4, 4]):
        kept = {2: [0, 2, 3], 4: [1, 2]}.get(time, list(range(len(rows))))
        parents = torch.randint(0, len(histories[0]), (len(kept), width), generator=generator)
        tokens = torch.randint(1, VOCAB, (len(kept), width), generator=generator)
        state.select(torch.tensor(kept) if len(kept) < len(rows) else None, parents)
        found = model.step(state, tokens)
        rows = [rows[row] for row in kept]
        histories = [
            [
                [*histories[row][int(parent)], int(token)]
                for parent, token in zip(parents[new], tokens[new], strict=True)
            ]
            for new, row in enumerate(kept)
        ]
        for row, hypothesis in product(range(len(rows)), range(width)):
            expected = next_scores(model, sources, rows[row], histories[row][hypothesis])
            torch.testing.assert_close(found[row, hypothesis], expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("feeding", FEEDINGS)
def test_a_sentence_alone_scores_as_in_a_padded_batch(feeding: str) -> None:
    model, lengths = tiny(), [3, 8, 1]
    together = sources_of(lengths, FEEDINGS[feeding], pad_to=11)
    state = model.start(together, max_steps=3)
    scores = [model.step(state, None)]
    state.select(None, torch.zeros(3, 2, dtype=torch.int64))
    scores.append(model.step(state, torch.tensor([[5, 6]] * 3)))
    for row, length in enumerate(lengths):
        alone = replace(
            together,
            ids=["alone"],
            tokens=together.tokens[row : row + 1, :length],
            lengths=together.lengths[row : row + 1],
            prefixes=[[]],
        )
        state = model.start(alone, max_steps=20)
        torch.testing.assert_close(model.step(state, None)[0], scores[0][row])
        state.select(None, torch.zeros(1, 2, dtype=torch.int64))
        torch.testing.assert_close(model.step(state, torch.tensor([[5, 6]]))[0], scores[1][row])


def test_generation_that_cannot_fit_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="need 41 positions, the model has 40; shorten"):
        tiny().start(sources_of([10, 3], FEEDINGS["mask"]), max_steps=31)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("variant", ["plain", "relative"])
def test_a_gpu_computes_the_same_model(variant: str) -> None:
    model = tiny(torch.float32, **VARIANTS[variant])
    batch, sources = pseudo_masked_batch(), sources_of([5, 2], FEEDINGS["mask"])
    expected = [model(batch), model.step(model.start(sources, 3), None)]
    model, batch, sources = model.to("cuda"), batch.to("cuda"), sources.to("cuda")
    found = [model(batch), model.step(model.start(sources, 3), None)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=1e-3, rtol=1e-3)
