"""Families whose layers differ from BERT's: the numbers of `transformers`, beyond every window and in every layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from s2s.data.batch import PADDING, TokenBatch
from s2s.errors import ConfigError, InputError
from s2s.models.export import save_bert_folder
from s2s.models.unilm import UniLM
from s2s.nn.masks import visible

VOCAB = 50
SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "initializer_range": 0.3,
}
DEBERTA = {"relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True}
DEBERTA |= {"pos_att_type": "p2c|c2p", "position_biased_input": False}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "mpnet": ("MPNet", {**SIZES, "max_position_embeddings": 302}),
    "deberta-v2": ("DebertaV2", {**SIZES, **DEBERTA, "max_position_embeddings": 300}),
    "deberta-v2, short": (
        "DebertaV2",
        {**SIZES, **DEBERTA, "max_position_embeddings": 300, "max_relative_positions": 40},
    ),
    "modernbert": ("ModernBert", {**SIZES, "max_position_embeddings": 300, "local_attention": 16, "pad_token_id": 0}),
}


def random_checkpoint(family: str, folder: Path) -> Any:
    """A model of `transformers` with random weights, biases and norms too, saved to a folder."""
    name, options = FAMILIES[family]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**options)
    theirs = getattr(transformers, f"{name}ForMaskedLM")(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3 if parameter.dim() == 1 else 0.1)
    theirs.save_pretrained(folder)
    return theirs


def read(folder: Path, **options: Any) -> UniLM:
    model = UniLM(UniLM.resolve(UniLM.Config(init=str(folder), **options), {"vocab_size": VOCAB}))
    model.initialize()
    return model.eval()


def long_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens without special ids, true lengths, and the attention mask of `transformers`."""
    tokens = torch.randint(8, VOCAB, (3, 290), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([290, 20, 160])
    return tokens, lengths, (torch.arange(290) < lengths.unsqueeze(1)).long()


def masked_batch(method: str) -> TokenBatch:
    """One sentence of 150 source and 20 target tokens, as each method of fine-tuning lays it out."""
    source, target = 150, 20
    following, step = source + torch.arange(target), torch.arange(1, target + 1)
    slots = {"causal": [(following, step)], "masked": [(following, step)]}.get(method, [(following, step)] * 2)
    if method == "pseudo_masked":
        slots[1] = (following, -step)
    if method == "masked":  # each masked token sees the true ones before it, and itself
        chosen = torch.tensor([2, 9, 15])
        slots.append((following[chosen], -step[chosen]))
    positions = torch.cat([torch.arange(source), *(places for places, _ in slots)]).unsqueeze(0)
    steps = torch.cat([torch.zeros(source, dtype=torch.int64), *(codes for _, codes in slots)]).unsqueeze(0)
    tokens = torch.randint(8, VOCAB, steps.shape, generator=torch.Generator().manual_seed(2))
    read = torch.arange(source, steps.shape[1])
    segments = (torch.arange(steps.shape[1]) >= source).long().unsqueeze(0)
    return TokenBatch(["a"], tokens, positions, segments, steps, source, read, tokens[0, read], pad_id=0)


def scores_of_mpnet(theirs: Any, batch: TokenBatch, seen: Tensor) -> Tensor:
    encoder = theirs.mpnet.encoder
    distances = batch.positions.unsqueeze(1) - batch.positions.unsqueeze(2)
    biases = encoder.relative_attention_bias(encoder.relative_position_bucket(distances)).movedim(-1, 1)
    encoder.compute_position_bias = lambda _: biases
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min).unsqueeze(1)
    hidden = encoder(theirs.mpnet.embeddings(batch.tokens, position_ids=batch.positions + 2), mask)[0]
    return theirs.lm_head(hidden)


def scores_of_modernbert(theirs: Any, batch: TokenBatch, seen: Tensor) -> Tensor:
    near = (batch.positions.unsqueeze(1) - batch.positions.unsqueeze(2)).abs() <= 8
    masks = {"full_attention": seen.unsqueeze(1), "sliding_attention": (seen & near).unsqueeze(1)}
    return theirs(batch.tokens, position_ids=batch.positions, attention_mask=masks).logits


def scores_of_deberta(theirs: Any, batch: TokenBatch, seen: Tensor) -> Tensor:
    encoder = theirs.deberta.encoder
    distances = batch.positions.unsqueeze(2) - batch.positions.unsqueeze(1)
    buckets = make_log_bucket_position(distances, encoder.position_buckets, encoder.max_relative_positions)
    embedded = theirs.deberta.embeddings(batch.tokens)
    hidden = encoder(embedded, seen.long(), relative_pos=buckets.long()).last_hidden_state
    return theirs.cls(hidden)


SCORES: dict[str, Callable[[Any, TokenBatch, Tensor], Tensor]] = {
    "mpnet": scores_of_mpnet,
    "deberta-v2": scores_of_deberta,
    "deberta-v2, short": scores_of_deberta,
    "modernbert": scores_of_modernbert,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_long_texts_get_the_hidden_states_and_scores_of_transformers(family: str, tmp_path: Path) -> None:
    theirs, ours = random_checkpoint(family, tmp_path), read(tmp_path)
    tokens, lengths, mask = long_inputs()
    real = mask.bool()
    with torch.no_grad():
        hidden = ours.encode(tokens, lengths)
        last = theirs.base_model(tokens, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(hidden[real], last[real], atol=1e-4, rtol=0)
        expected = theirs(tokens, attention_mask=mask).logits
        torch.testing.assert_close(ours.logits(hidden)[real], expected[real], atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", ["causal", "masked", "pseudo_masked"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout_gets_the_scores_of_transformers_under_its_positions_and_mask(
    family: str, method: str, tmp_path: Path
) -> None:
    theirs, ours, batch = random_checkpoint(family, tmp_path), read(tmp_path), masked_batch(method)
    assert not (batch.steps == PADDING).any()
    with torch.no_grad():
        expected = SCORES[family](theirs, batch, visible(batch.steps, batch.steps))[0, batch.slots]
        torch.testing.assert_close(ours(batch), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_reads_back_what_was_fine_tuned(family: str, tmp_path: Path) -> None:
    name, _ = FAMILIES[family]
    random_checkpoint(family, tmp_path / "theirs")
    ours = read(tmp_path / "theirs", max_positions=310)
    ours(masked_batch("causal")).pow(2).sum().backward()
    with torch.no_grad():
        for parameter in ours.parameters():
            assert parameter.grad is not None
            parameter.sub_(parameter.grad.clamp(-1, 1), alpha=0.01)
    save_bert_folder(ours, tmp_path / "ours")
    back, found = getattr(transformers, f"{name}ForMaskedLM").from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(found.values())
    tokens, lengths, mask = long_inputs()
    with torch.no_grad():
        expected = ours.logits(ours.encode(tokens, lengths))[mask.bool()]
        torch.testing.assert_close(
            back.eval()(tokens, attention_mask=mask).logits[mask.bool()], expected, atol=1e-4, rtol=0
        )
    again = read(tmp_path / "ours")
    assert again.state_dict().keys() == ours.state_dict().keys()
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in again.state_dict().items())
    kept = {"init", "hidden_dropout"}
    assert again.config.model_dump(exclude=kept) == ours.config.model_dump(exclude=kept)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("deberta-v2", {"share_att_key": False}, "share_att_key must be True, found False"),
        ("deberta-v2", {"conv_kernel_size": 3}, "conv_kernel_size must be 0, found 3"),
        ("deberta-v2", {"position_biased_input": True}, "position_biased_input must be False, found True"),
        ("deberta-v2", {"pos_att_type": "c2p"}, r"pos_att_type must be \['p2c', 'c2p'\], found 'c2p'"),
        ("deberta-v2", {"pos_att_type": 5}, "pos_att_type must be"),
        ("deberta-v2", {"position_buckets": -1}, "position_buckets must be an integer above 0, found -1"),
        ("deberta-v2", {"embedding_size": 8}, "embedding_size must be 16, found 8"),
        ("modernbert", {"norm_bias": True}, "norm_bias must be False, found True"),
        ("modernbert", {"decoder_bias": False}, "decoder_bias must be True, found False"),
        (
            "modernbert",
            {"layer_types": ["full_attention", "full_attention", "sliding_attention"]},
            "layer_types must be",
        ),
        (
            "modernbert",
            {"rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 5}}},
            "rope_type must be 'default', found 'yarn'",
        ),
        ("modernbert", {"rope_parameters": 7, "global_attn_every_n_layers": "three"}, r"model.global_every: must be"),
    ],
)
def test_what_our_layers_cannot_compute_is_refused_by_the_name_of_the_option(
    family: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = {"model_type": family, **FAMILIES[family][1], **changes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"{tmp_path}.*{message}") as caught:
        UniLM.resolve(UniLM.Config(like=str(tmp_path)), {})
    assert "\n" not in str(caught.value)


def test_older_configurations_of_modernbert_are_understood(tmp_path: Path) -> None:
    sizes = {**SIZES, "num_hidden_layers": 5, "max_position_embeddings": 300}
    older = {
        "global_attn_every_n_layers": 2,
        "local_attention": 32,
        "global_rope_theta": 500.0,
        "local_rope_theta": 7.0,
    }
    newer = transformers.ModernBertConfig(**sizes, **older).to_dict()
    found = []
    for config in ({"model_type": "modernbert", **sizes, **older}, newer, {**newer, **older}):
        (tmp_path / "config.json").write_text(json.dumps(config))
        found.append(UniLM.resolve(UniLM.Config(like=str(tmp_path)), {}))
    assert found[0] == found[1] == found[2]
    options = found[0].global_every, found[0].window, found[0].rotary_base, found[0].local_rotary_base
    assert options == (2, 32, 500, 7)


def test_the_own_head_of_a_released_deberta_comes_before_one_of_berts_names(tmp_path: Path) -> None:
    theirs = random_checkpoint("deberta-v2", tmp_path)
    state = {name: tensor for name, tensor in theirs.state_dict().items() if "decoder" not in name}
    names = {"cls.predictions.transform": "lm_predictions.lm_head", "cls.predictions": "lm_predictions.lm_head"}
    own = {}
    for name in filter(lambda name: name.startswith("cls."), state):
        theirs_of = next(root for root in names if name.startswith(root))
        own[name.replace(theirs_of, names[theirs_of])] = state[name] + 1
    for both in (state | own, own | state):
        (tmp_path / "model.safetensors").unlink()
        save_file({name: tensor.contiguous() for name, tensor in both.items()}, tmp_path / "model.safetensors")
        assert torch.equal(read(tmp_path).head.bias, theirs.cls.predictions.bias + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 8}, r"model.window: needs model.rotary_base"),
        ({"rotary_base": 100, "window": 8}, r"model.window: needs model.global_every of at least 2"),
        ({"rotary_base": 100, "relative_buckets": 8}, r"model.rotary_base: give it or model.relative_buckets"),
        ({"rotary_base": 100, "distance_buckets": 8}, r"model.distance_buckets: give it or model.rotary_base"),
        ({"distance_buckets": 16, "max_relative_distance": 8}, r"model.max_relative_distance: must be more than 9"),
        ({"attention": "flex", "distance_buckets": 8}, r"model.attention: must be auto with model.distance_buckets"),
        ({"rotary_base": 100, "num_heads": 256}, r"model.rotary_base: needs heads of an even width, found 3"),
    ],
)
def test_options_of_layers_that_do_not_fit_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UniLM.resolve(UniLM.Config(vocab_size=9, **options), {})


def test_layers_that_differ_by_their_place_are_not_chosen(tmp_path: Path) -> None:
    random_checkpoint("modernbert", tmp_path)
    with pytest.raises(ConfigError, match=r"model.layers_from: needs a checkpoint whose layers are alike"):
        UniLM.resolve(UniLM.Config(like=str(tmp_path), layers_from=[0, 2]), {})
