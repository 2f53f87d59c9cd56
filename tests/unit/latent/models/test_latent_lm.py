"""LatentLM: cached steps equal the whole, rows are independent, nothing sees the future, other people's weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_latent_lm

from latent.data.batch import MixedBatch, MixedSequences
from latent.models.keymaps import language_model_weights
from latent.models.latent_lm import LatentLM
from s2s.config import parse_section
from s2s.errors import ConfigError, InputError
from s2s.registry import MODELS


def tiny_model(**options: object) -> LatentLM:
    return tiny_latent_lm(max_positions=40, **options).double().eval().requires_grad_(False)


MODEL = tiny_model(qkv_bias=True, connector="mlp")


def mixed(lengths: list[int], seed: int = 0, width: int = 0) -> MixedSequences:
    """Sequences of alternating tokens and latents."""
    generator = torch.Generator().manual_seed(seed)
    width = width or max(lengths)
    slots = [row * width + column for row, length in enumerate(lengths) for column in range(1, length, 2)]
    return MixedSequences(
        ids=[str(row) for row in range(len(lengths))],
        tokens=torch.randint(0, 11, (len(lengths), width), generator=generator),
        lengths=torch.tensor(lengths),
        latents=torch.randn(len(slots), 3, generator=generator, dtype=torch.float64),
        latent_slots=torch.tensor(slots, dtype=torch.int64),
    )


def row_of(sequences: MixedSequences, row: int) -> MixedSequences:
    """One row, without its padding."""
    width, length = sequences.tokens.shape[1], int(sequences.lengths[row])
    chosen = sequences.latent_slots // width == row
    return MixedSequences(
        ids=[sequences.ids[row]],
        tokens=sequences.tokens[row : row + 1, :length],
        lengths=sequences.lengths[row : row + 1],
        latents=sequences.latents[chosen],
        latent_slots=sequences.latent_slots[chosen] - row * width,
    )


row_lengths = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@settings(max_examples=20, deadline=None)
@given(row_lengths, st.integers(0, 3))
def test_padding_and_other_rows_change_nothing(lengths: list[int], more: int) -> None:
    sequences = mixed(lengths, width=max(lengths) + more)
    hidden = MODEL.hidden(sequences)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(MODEL.hidden(row_of(sequences, row))[0], hidden[row, :length])


@settings(max_examples=20, deadline=None)
@given(row_lengths, st.integers(1, 5))
def test_cached_steps_equal_the_full_forward(lengths: list[int], steps: int) -> None:
    """Prompts of different lengths, then a latent at each step: as if all had been there from the start."""
    prompts = mixed(lengths)
    new = torch.randn(steps, len(lengths), 3, dtype=torch.float64)
    state = MODEL.prefill(prompts, capacity=max(lengths) + steps)
    stepped = [state.hidden, *(MODEL.append(state, MODEL.embed_latents(MODEL.normalize(latents))) for latents in new)]
    for row, length in enumerate(lengths):
        alone = row_of(prompts, row)
        whole = replace(
            alone,
            tokens=torch.cat([alone.tokens, torch.zeros(1, steps, dtype=torch.int64)], 1),
            lengths=alone.lengths + steps,
            latents=torch.cat([alone.latents, new[:, row]]),
            latent_slots=torch.cat([alone.latent_slots, length + torch.arange(steps)]),
        )
        expected = MODEL.hidden(whole)[0, length - 1 :]
        torch.testing.assert_close(torch.stack(stepped)[:, row], expected)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_row_that_pauses_is_as_if_nothing_had_happened(turns: list[list[bool]]) -> None:
    prompts = mixed([2, 5, 3])
    inputs = torch.randn(len(turns), 3, 12, dtype=torch.float64)
    state = MODEL.prefill(prompts, capacity=12)
    for active, fed in zip(turns, inputs, strict=True):
        MODEL.append(state, fed, torch.tensor(active))
    for row in range(3):
        alone = MODEL.prefill(row_of(prompts, row), capacity=12)
        for active, fed in zip(turns, inputs, strict=True):
            if active[row]:
                MODEL.append(alone, fed[row : row + 1])
        torch.testing.assert_close(state.hidden[row], alone.hidden[0])
        assert state.cache.lengths[row] == alone.cache.lengths[0]


def test_selected_rows_go_on_alone() -> None:
    prompts, fed = mixed([2, 5, 3]), torch.randn(2, 3, 12, dtype=torch.float64)
    whole, part = (MODEL.prefill(prompts, capacity=8) for _ in range(2))
    for inputs in fed:
        MODEL.append(whole, inputs)
    MODEL.append(part, fed[0])
    part.keep(torch.tensor([2, 0]))
    torch.testing.assert_close(MODEL.append(part, fed[1][[2, 0]]), whole.hidden[[2, 0]])


def test_a_cleared_row_starts_again_and_the_others_go_on() -> None:
    tokens = torch.tensor([7, 9])
    cleared, kept = (MODEL.prefill(mixed([4, 3]), capacity=8) for _ in range(2))
    cleared.cache.clear(torch.tensor([True, False]))
    MODEL.append(kept, MODEL.embeddings(tokens))
    hidden = MODEL.append(cleared, MODEL.embeddings(tokens))
    alone = replace(mixed([1]), tokens=tokens[:1, None])
    torch.testing.assert_close(hidden[0], MODEL.hidden(alone)[0, 0])
    torch.testing.assert_close(hidden[1], kept.hidden[1])


def test_nothing_sees_the_future() -> None:
    sequences = mixed([7])
    latents = sequences.latents.clone().requires_grad_()
    hidden = MODEL.hidden(replace(sequences, latents=latents))
    for column in range(7):
        (gradient,) = torch.autograd.grad(hidden[0, column].sum(), latents, retain_graph=True, allow_unused=True)
        seen = gradient.abs().sum(1) > 0
        assert seen.tolist() == [slot <= column for slot in (1, 3, 5)]


def test_features_are_the_rows_that_predict_and_logits_may_be_of_few_tokens() -> None:
    sequences = mixed([5, 3])
    slots = torch.tensor([6, 0, 4])
    batch = MixedBatch(**vars(sequences), slots=slots, labels=slots, predicted=slots[:0], pad_id=0)
    features = MODEL.hidden(batch).flatten(0, 1).index_select(0, batch.slots)
    torch.testing.assert_close(features, MODEL.hidden(sequences).flatten(0, 1)[slots])
    legal = torch.tensor([3, 10])
    for model in (MODEL, tiny_model(tie_embeddings=False)):
        torch.testing.assert_close(model.logits(features, legal), model.logits(features)[:, legal])


def test_forgotten_latents_are_the_mean_in_training_and_none_else() -> None:
    sequences = mixed([9, 8])
    model, listening = tiny_model(), tiny_model(latent_dropout=0.6)
    torch.testing.assert_close(listening.embed(sequences), model.embed(sequences))
    torch.manual_seed(0)
    found = listening.train().embed(sequences).flatten(0, 1)[sequences.latent_slots]
    forgotten = torch.isclose(found, listening.embed_latents(torch.zeros(1, 3, dtype=torch.float64))).all(-1)
    assert 0 < forgotten.sum() < len(found)
    expected = model.embed(sequences).flatten(0, 1)[sequences.latent_slots]
    torch.testing.assert_close(found[~forgotten], expected[~forgotten])


def test_normalization_is_of_the_given_statistics_and_comes_back() -> None:
    latents = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(MODEL.normalize(latents), (latents - 0.5) / 2)
    torch.testing.assert_close(MODEL.denormalize(MODEL.normalize(latents)), latents)


def test_generation_without_statistics_is_refused() -> None:
    with pytest.raises(InputError, match="latent_mean and latent_std are unknown"):
        tiny_model(latent_mean=None).prefill(mixed([3]), capacity=5)


def test_a_sequence_that_outgrows_its_capacity_is_an_error() -> None:
    state = MODEL.prefill(mixed([3]), capacity=4)
    MODEL.append(state, torch.zeros(1, 12, dtype=torch.float64))
    with pytest.raises(InputError, match="would reach 5 positions, the capacity is 4"):
        MODEL.append(state, torch.zeros(1, 12, dtype=torch.float64))
    with pytest.raises(InputError, match="max_positions is 40, 41 positions are asked for"):
        MODEL.prefill(mixed([3]), capacity=41)


def test_sizes_come_from_the_task_and_must_agree_with_it() -> None:
    told = {"vocab_size": 11, "latent_size": 3, "latent_mean": 0.1, "latent_std": 1.5, "num_positions": 30}
    config = LatentLM.resolve(LatentLM.Config(), told)
    assert (config.vocab_size, config.latent_size, config.latent_mean, config.latent_std) == (11, 3, 0.1, 1.5)
    with pytest.raises(ConfigError, match=r"model.latent_size: must be 3 as in the task's data, found 4"):
        LatentLM.resolve(LatentLM.Config(latent_size=4), told)
    with pytest.raises(ConfigError, match=r"model.latent_std: must be given"):
        LatentLM.resolve(LatentLM.Config(), {**told, "latent_std": None})
    with pytest.raises(ConfigError, match=r"model.num_kv_heads: must divide model.num_heads \(8\), found 3"):
        LatentLM.resolve(LatentLM.Config(num_kv_heads=3), told)
    with pytest.raises(ConfigError, match=r"model.max_positions: must be at least 30, found 20"):
        LatentLM.resolve(LatentLM.Config(max_positions=20), told)
    with pytest.raises(ConfigError, match=r"model.head.num_layer: no such option"):
        parse_section(LatentLM.Config, {"head": {"num_layer": 3}}, "model")


def test_the_models_are_registered() -> None:
    assert MODELS["latent_lm"] is LatentLM


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_the_language_model_equals_qwen2_of_transformers(kv_heads: int) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=11,
        hidden_size=24,
        intermediate_size=20,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=kv_heads,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        rms_norm_eps=1e-6,
        initializer_range=0.3,
    )
    qwen = transformers.Qwen2Model(config).eval()
    for name, parameter in qwen.named_parameters():
        if name.endswith("bias") or "norm" in name:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
    sizes = {"hidden_size": 24, "intermediate_size": 20, "num_kv_heads": kv_heads, "qkv_bias": True}
    model = tiny_latent_lm(initializer_range=0.02, **sizes).eval()
    _, unknown = model.load_state_dict(language_model_weights(qwen.state_dict()), strict=False)
    assert not unknown
    tokens = torch.randint(0, 11, (2, 9))
    with torch.no_grad():
        expected = qwen(input_ids=tokens).last_hidden_state
        none = torch.empty(0, 3), torch.empty(0, dtype=torch.int64)
        ours = model.hidden(MixedSequences(["a", "b"], tokens, torch.tensor([9, 9]), *none))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
