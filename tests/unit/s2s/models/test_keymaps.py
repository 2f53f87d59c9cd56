"""Names of weights: foreign layouts become BERT's, BERT's become ours and back, bit for bit."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny_unilm
from torch import Tensor

from s2s.errors import InputError
from s2s.models.keymaps import fold_segment_row, from_bert_names, into_bert_names, to_bert_names
from s2s.models.unilm import UniLM

LAYER = "bert.encoder.layer.0.attention.self"
POSITIONS = "roberta.embeddings.position_embeddings.weight"
SEGMENTS = "roberta.embeddings.token_type_embeddings.weight"


def model() -> UniLM:
    return tiny_unilm(num_layers=2, num_heads=3, embedding_size=8, relative_buckets=8)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_ours_and_berts_names_map_both_ways_exactly() -> None:
    own = dict(model().state_dict())
    bert = into_bert_names(own)
    assert f"{LAYER}.key.weight" in bert
    assert "cls.predictions.transform.LayerNorm.bias" in bert
    assert all(name.startswith(("bert.", "cls.predictions.")) for name in bert)
    assert_same(from_bert_names(bert), own)


def test_a_model_takes_back_what_it_gave() -> None:
    one, other = model(), model()
    for parameter in one.parameters():
        torch.nn.init.normal_(parameter)
    other.load_bert_state(one.bert_state())
    assert_same(dict(other.state_dict()), dict(one.state_dict()))


def test_joint_projections_of_unilm2_are_cut() -> None:
    joint, query, value = torch.randn(12, 4), torch.randn(1, 1, 4), torch.randn(1, 1, 4)
    named = {f"{LAYER}.qkv_linear.weight": joint, f"{LAYER}.q_bias": query, f"{LAYER}.v_bias": value}
    named["bert.encoder.rel_pos_bias.weight"] = torch.randn(2, 8)
    found = to_bert_names(named, "unilm")
    expected = {f"{LAYER}.{part}.weight": joint[4 * i : 4 * i + 4] for i, part in enumerate(("query", "key", "value"))}
    expected |= {f"{LAYER}.query.bias": query.flatten(), f"{LAYER}.value.bias": value.flatten()}
    expected |= {
        f"{LAYER}.key.bias": torch.zeros(4),
        "bert.rel_pos_bias.weight": named["bert.encoder.rel_pos_bias.weight"],
    }
    assert_same(found, expected)


def test_old_names_and_missing_prefixes_are_understood() -> None:
    table = torch.randn(3)
    assert to_bert_names({"bert.embeddings.LayerNorm.gamma": table}, "bert").keys() == {
        "bert.embeddings.LayerNorm.weight"
    }
    assert to_bert_names({"embeddings.LayerNorm.beta": table}, "minilm").keys() == {"bert.embeddings.LayerNorm.bias"}


def test_one_segment_of_roberta_moves_into_the_positions() -> None:
    state = {POSITIONS: torch.randn(7, 4), SEGMENTS: torch.randn(1, 4)}
    kept = {name: value.clone() for name, value in state.items()}
    folded = to_bert_names(fold_segment_row(state), "roberta")
    assert_same(folded, {POSITIONS.replace("roberta", "bert"): (kept[POSITIONS] + kept[SEGMENTS])[2:]})
    assert_same(state, kept)


def test_two_segments_stay_a_table() -> None:
    state = {POSITIONS: torch.randn(7, 4), SEGMENTS: torch.randn(2, 4)}
    assert to_bert_names(fold_segment_row(state), "roberta")[SEGMENTS.replace("roberta", "bert")] is state[SEGMENTS]


def test_unknown_family_is_refused() -> None:
    with pytest.raises(InputError, match=r"must be one of bert, .*found 'gpt2'"):
        to_bert_names({}, "gpt2")
