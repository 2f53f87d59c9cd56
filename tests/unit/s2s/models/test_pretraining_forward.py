"""Pseudo-masked pretraining inside the model: nothing leaks, and the factored pass is the dense one.

The properties of section 3 of UniLMv2 (arXiv 2002.12804), on random networks in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import tiny_unilm
from torch import Tensor

from s2s.criteria.pseudo_masked_lm import PseudoMaskedLM
from s2s.data.batch import PADDING, Feeding, SourceBatch, TokenBatch
from s2s.data.layout import Noise, layout, pack
from s2s.data.masking import Blocks, MaskedText, pack_masked
from s2s.data.mixture import pack_mixture
from s2s.data.tokenizer import SpecialIds
from s2s.errors import ConfigError
from s2s.models.unilm import UniLM
from s2s.nn import packing
from s2s.nn.attention import attend
from s2s.nn.masks import additive, visible
from s2s.nn.packing import Packing
from s2s.nn.positions import RelativeBias

VOCAB, MASK, PSEUDO, PAD, LAYERS = 37, 4, 5, 0, 3
RELATIVE = {"relative_buckets": 8, "max_relative_distance": 6}
WINDOWS = {"rotary_base": 100.0, "global_every": 2, "window": 4}
VARIANTS: list[dict[str, Any]] = [{}, RELATIVE]


def tiny(**options: Any) -> UniLM:
    return tiny_unilm(vocab_size=VOCAB, **options).double().train()


def masked_text(length: int, blocks: Sequence[Sequence[int]], seed: int = 0) -> MaskedText:
    """Random text with these masked blocks in this order."""
    truth = np.random.default_rng(seed).integers(6, VOCAB, length)
    masked = np.array([position for block in blocks for position in block], np.int64)
    steps = np.repeat(np.arange(1, len(blocks) + 1), [len(block) for block in blocks])
    tokens = truth.copy()
    tokens[masked] = MASK
    segments = (np.arange(length) >= length // 2).astype(np.int64)
    return MaskedText(tokens, segments, masked, steps, truth[masked], str(seed))


def random_batch() -> TokenBatch:
    blocks, made = Blocks(0.3, 0.5, 2, 4), []
    for seed, length in enumerate((17, 9, 3, 24)):
        generator = np.random.default_rng(seed)
        positions, steps = blocks.draw(np.arange(length) == 0, generator)
        groups = [positions[steps == step].tolist() for step in range(1, int(steps.max()) + 1)]
        made.append(masked_text(length, groups, seed))
    return pack_masked(made, PSEUDO, PAD)


class DenseAttention:
    """One mask over all rows of all sentences, written down."""

    def __init__(self, packed: Packing, relative_bias: RelativeBias | None, reading: Tensor | None) -> None:
        sentence = torch.arange(len(packed.lengths)).repeat_interleave(torch.tensor(packed.lengths))
        rows = torch.arange(len(sentence)) if reading is None else reading
        sees = visible(packed.steps[rows], packed.steps) & (sentence[rows, None] == sentence)
        self._bias = additive(sees, torch.float64)[None, None]
        if relative_bias is not None:
            self._bias = self._bias + relative_bias(packed.positions[rows], packed.positions)[None]

    def __call__(self, queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        keys, values = keys_values.permute(1, 2, 0, 3).unsqueeze(1)
        return attend(queries.transpose(0, 1)[None], keys, values, self._bias, dropout)[0].transpose(0, 1)


def losses_and_gradients(model: UniLM, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
    criterion = PseudoMaskedLM(PseudoMaskedLM.Config(chunk_rows=5))
    sums = criterion(model, batch)
    losses = torch.stack([sums[name] for name in criterion.losses])
    model.zero_grad()
    (losses[0] + 0.7 * losses[1]).backward()
    return losses.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["RaggedAttention", "PaddedAttention"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_factored_losses_and_gradients_equal_those_of_the_dense_mask(
    variant: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = tiny(**variant), random_batch()
    monkeypatch.setattr(packing, "RaggedAttention", getattr(packing, kind))
    losses, gradients = losses_and_gradients(model, batch)
    monkeypatch.setattr(packing, "RaggedAttention", DenseAttention)
    dense_losses, dense_gradients = losses_and_gradients(model, batch)
    torch.testing.assert_close(losses, dense_losses, rtol=1e-12, atol=1e-12)
    assert gradients.keys() == dense_gradients.keys() == {name for name, _ in model.named_parameters()}
    torch.testing.assert_close(gradients, dense_gradients, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("variant", [*VARIANTS, WINDOWS])
def test_flex_attention_computes_the_same_model(variant: dict[str, Any]) -> None:
    batch = random_batch()
    plain, flexible = tiny(**variant), tiny(**variant, attention="flex")
    with torch.no_grad():  # on a CPU it has no backward pass
        torch.testing.assert_close(flexible.features(batch), plain.features(batch))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("variant", VARIANTS)
def test_flex_attention_has_the_same_gradients_on_a_gpu(variant: dict[str, Any]) -> None:
    batch = random_batch()
    wide = {"hidden_size": 64, **variant}  # heads of 32: the kernel wants at least 16
    expected = losses_and_gradients(tiny(**wide), batch)
    model = tiny(**wide, attention="flex").float().to("cuda")
    losses, gradients = losses_and_gradients(model, batch.to("cuda"))
    torch.testing.assert_close(losses.cpu().double(), expected[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close({n: g.cpu().double() for n, g in gradients.items()}, expected[1], rtol=1e-2, atol=1e-2)


def test_flex_attention_refuses_dropout() -> None:
    with pytest.raises(ConfigError, match=r"model.attention_dropout: must be 0 with model.attention=flex, found 0.1"):
        tiny(attention="flex", attention_dropout=0.1)


def test_heads_begin_at_neighbors_only_with_a_relative_bias() -> None:
    with pytest.raises(ConfigError, match=r"model.neighbor_bias: needs model.relative_buckets \(32, say\), found 0"):
        tiny(neighbor_bias=4)
    model = UniLM(UniLM.Config(vocab_size=9, hidden_size=8, num_heads=2, relative_buckets=8, neighbor_bias=3))
    assert model.relative_bias is not None
    assert model.relative_bias.weight.amax(1).tolist() == [3, 3]


def test_a_fresh_head_expects_each_token_as_often_as_it_occurs() -> None:
    counts = np.array([0, 5, 1, 0, 89, 3, 0, 2, 0])

    def expecting(bias: float, **options: Any) -> Tensor:
        model = UniLM(UniLM.Config(vocab_size=9, hidden_size=8, num_heads=2, num_layers=1, **options))
        model.head.bias.data[4] = bias
        model.expect(lambda: counts)
        return model.head.bias.detach()

    torch.testing.assert_close(expecting(0, frequency_bias=True).softmax(0), torch.from_numpy(counts + 1) / 109.0)
    assert expecting(0.5, frequency_bias=True).tolist() == [0, 0, 0, 0, 0.5, 0, 0, 0, 0]  # a checkpoint's own stays
    assert not expecting(0).any()


def test_spare_rows_of_the_table_are_expected_as_tokens_that_never_occur() -> None:
    counts = np.array([0, 5, 1, 0, 89, 3, 0, 2, 0])
    model = UniLM(UniLM.Config(vocab_size=16, hidden_size=8, num_heads=2, num_layers=1, frequency_bias=True))
    model.expect(lambda: counts)
    expected = torch.tensor([*(counts + 1), *[1] * 7]) / 116.0
    torch.testing.assert_close(model.head.bias.detach().softmax(0), expected)


def reached_slots(model: UniLM, batch: TokenBatch, slot: int) -> Tensor:
    """Slots of a batch of one whose embeddings have an effect on the hidden state at `slot`, `(L,)` bool."""
    leaves: list[Tensor] = []

    def cut(_: Any, __: Any, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    handle = model.embeddings.register_forward_hook(cut)
    features = model.features(replace(batch, slots=torch.tensor([slot])))
    handle.remove()
    (gradient,) = torch.autograd.grad(features.pow(3).sum(), leaves[-1])
    return gradient.abs().sum(-1) > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_slot_of_the_papers_example_reaches_what_it_must_not_know(variant: dict[str, Any]) -> None:
    model, batch = tiny(**variant), pack_masked([masked_text(6, [[3, 4], [1]])], PSEUDO, PAD)
    names = ["c1", "M2", "c3", "M4", "M5", "c6", "x4", "x5", "x2", "P4", "P5", "P2"]

    def reaches(slot: str) -> set[str]:
        found = reached_slots(model, batch, names.index(slot))
        return {name for name, is_reached in zip(names, found.tolist(), strict=True) if is_reached}

    context = {"c1", "M2", "c3", "M4", "M5", "c6"}
    assert reaches("P4") == reaches("P5") == context | {"P4", "P5"}
    assert reaches("P2") == context | {"x4", "x5", "P2"}
    assert reaches("M2") == reaches("c6") == context
    assert reaches("x4") == context | {"x4", "x5"}
    assert reaches("x2") == context | {"x4", "x5", "x2"}


def test_reachability_is_the_visibility_rule_for_any_factorization() -> None:
    model = tiny(**RELATIVE)
    for blocks in ([[2], [5, 6, 7], [0, 1]], [[8], [3]], [[4, 5], [1], [7, 8], [0]]):
        batch = pack_masked([masked_text(9, blocks)], PSEUDO, PAD)
        rule = visible(batch.steps, batch.steps)[0].double().matrix_power(LAYERS) > 0
        for slot in range(batch.tokens.shape[1]):
            assert torch.equal(reached_slots(model, batch, slot), rule[slot])


@pytest.mark.parametrize("variant", VARIANTS)
def test_autoencoding_slots_are_those_of_a_plain_encoder(variant: dict[str, Any]) -> None:
    model, batch = tiny(**variant), random_batch()
    at_context = batch.steps.flatten()[batch.slots] == 0
    lengths = (batch.steps == 0).sum(1)
    width = batch.context
    tokens, segments = batch.tokens[:, :width], batch.segments[:, :width]
    plain = model.encode(tokens, lengths, segments=segments)
    rows, columns = batch.slots // batch.tokens.shape[1], batch.slots % batch.tokens.shape[1]
    torch.testing.assert_close(model.features(batch)[at_context], plain[rows[at_context], columns[at_context]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_permuted_slots_permute_the_outputs(variant: dict[str, Any]) -> None:
    model, batch = tiny(**variant), random_batch()
    rows, width = batch.tokens.shape
    generator = torch.Generator().manual_seed(0)
    order = torch.stack(
        [
            torch.cat(
                [
                    torch.randperm(batch.context, generator=generator),
                    batch.context + torch.randperm(width - batch.context, generator=generator),
                ]
            )
            for _ in range(rows)
        ]
    )
    moved = {name: getattr(batch, name).gather(1, order) for name in ("tokens", "positions", "segments", "steps")}
    place = (order.argsort(1) + width * torch.arange(rows)[:, None]).flatten()
    found = model.features(replace(batch, **moved, slots=place[batch.slots]))
    torch.testing.assert_close(found, model.features(batch))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pseudo_slot_of_training_equals_the_step_that_decodes_it(variant: dict[str, Any]) -> None:
    model, special = tiny(**variant), SpecialIds(cls=2, sep=3, mask=MASK, pad=PAD, pseudo=PSEUDO)
    noise = Noise(0.0, 0.0, 0.0, 0.0, None, np.arange(6, VOCAB))
    pairs = [([7, 8, 9, 10, 11], [20, 21, 22]), ([12, 13], [23, 24, 25])]
    made = [layout(*pair, "pseudo_masked", special, (9, 5), noise, np.random.default_rng(0)) for pair in pairs]
    batch = pack(made, PAD)
    assert set(batch.tokens[(batch.steps < 0)].tolist()) == {PSEUDO}
    trained = model(batch).view(2, 4, VOCAB)
    lengths = torch.tensor([len(item.source) for item in made])
    tokens = torch.full((2, int(lengths.max())), PAD)
    for row, item in enumerate(made):
        tokens[row, : len(item.source)] = torch.from_numpy(item.source)
    sources = SourceBatch(["a", "b"], tokens, lengths, Feeding(end=3, mask=PSEUDO), [[], []])
    state = model.start(sources, max_steps=4)
    found = [model.step(state, None)]
    for time in range(3):
        state.select(None, torch.zeros(2, 1, dtype=torch.int64))
        found.append(model.step(state, torch.tensor([[target[time]] for _, target in pairs])))
    torch.testing.assert_close(torch.cat(found, dim=1), trained)


@pytest.mark.parametrize("objective", ["bidirectional", "seq2seq", "left_to_right", "right_to_left"])
def test_the_mixture_of_unilm_v1_reaches_what_each_objective_lets_it(objective: Any) -> None:
    model = tiny(num_segments=6)
    batch = pack_mixture([masked_text(8, [[1], [6, 7]])], objective, PAD)
    place = batch.positions[0]
    for slot in range(8):
        here = int(place[slot])
        sees = {
            "bidirectional": place >= 0,
            "seq2seq": (place < 4) | (place <= here if here >= 4 else place < 0),
            "left_to_right": place <= here,
            "right_to_left": place >= here,
        }[objective]
        assert torch.equal(reached_slots(model, batch, slot), sees)


def test_each_loss_has_its_own_sum_weight_and_accuracy() -> None:
    model, batch = tiny(), random_batch()
    criterion = PseudoMaskedLM(PseudoMaskedLM.Config())
    log_probs = model(batch).log_softmax(-1)
    at_context = batch.steps.flatten()[batch.slots] == 0
    sums, weights = criterion(model, batch), criterion.weights(batch)
    for name, chosen in (("autoencoding", at_context), ("partially_autoregressive", ~at_context)):
        assert weights[name] == weights[f"{name}_accuracy"] == chosen.sum()
        expected = -log_probs[chosen].gather(1, batch.labels[chosen, None]).sum()
        torch.testing.assert_close(sums[name], expected)
        right = log_probs[chosen].argmax(-1) == batch.labels[chosen]
        assert sums[f"{name}_accuracy"] == right.sum()


def test_a_loss_that_the_task_leaves_out_is_not_there() -> None:
    batch = pack_masked([masked_text(6, [[3, 4], [1]])], PSEUDO, PAD, autoregressive=False)
    criterion = PseudoMaskedLM(PseudoMaskedLM.Config())
    names = {"autoencoding", "autoencoding_accuracy"}
    assert criterion.weights(batch).keys() == criterion(tiny(), batch).keys() == names
    assert (batch.steps != PADDING).all()
