"""Names of weights: from public checkpoints to BERT's, and between BERT's and ours.

BERT's names (as in the `transformers` library) are the common format: checkpoints of every family are renamed to them,
and `UniLM` loads them. The maps only rename, split and join, so they work for gradients too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from s2s.errors import InputError

FAMILIES = ("bert", "minilm", "unilm", "roberta", "xlm-roberta", "electra", "distilbert")

_OURS = {
    "bert.embeddings.word_embeddings": "embeddings.tokens",
    "bert.embeddings.position_embeddings": "embeddings.positions",
    "bert.embeddings.token_type_embeddings": "embeddings.segments",
    "bert.embeddings.LayerNorm": "embeddings.norm",
    "bert.embeddings_project": "embeddings.project",
    "bert.rel_pos_bias": "relative_bias",
    "cls.predictions.transform.dense": "head.dense",
    "cls.predictions.transform.LayerNorm": "head.norm",
    "cls.predictions": "head",
}
_OURS_IN_LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "down_norm",
}
_BERTS = {ours: bert for bert, ours in _OURS.items()}
_BERTS_IN_LAYER = {ours: bert for bert, ours in _OURS_IN_LAYER.items()}

_DISTILBERT = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
_HEADS = {
    "roberta": {
        "lm_head.dense": "cls.predictions.transform.dense",
        "lm_head.layer_norm": "cls.predictions.transform.LayerNorm",
        "lm_head.decoder": "cls.predictions.decoder",
        "lm_head": "cls.predictions",
    },
    "electra": {
        "generator_predictions.dense": "cls.predictions.transform.dense",
        "generator_predictions.LayerNorm": "cls.predictions.transform.LayerNorm",
        "generator_lm_head": "cls.predictions",
    },
    "distilbert": {
        "vocab_transform": "cls.predictions.transform.dense",
        "vocab_layer_norm": "cls.predictions.transform.LayerNorm",
        "vocab_projector": "cls.predictions",
    },
}
_ROOTS = ("embeddings.", "encoder.", "pooler.", "transformer.", "embeddings_project.", "rel_pos_bias.")


def to_bert_names(state: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint of one of `FAMILIES` under BERT's names, in BERT's layout.

    Bare models (without the family's prefix) and the older names gamma and beta are accepted. RoBERTa's position table
    loses its first two rows, which are for padding, and its segment table of one row is dropped: call
    `fold_segment_row` before. UniLM v2's joint projection is split into query, key and value.

    Source: the conversions of s2s-ft, and for the heads of ELECTRA and DistilBERT the names in `transformers`.
    """
    if family not in FAMILIES:
        raise InputError(f"checkpoint family must be one of {', '.join(FAMILIES)}, found {family!r}")
    family = {"xlm-roberta": "roberta", "minilm": "bert", "unilm": "bert"}.get(family, family)
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        name = f"bert.{name}" if name.startswith(_ROOTS) else re.sub(rf"^{family}\.", "bert.", name)
        name = _rename(name, _HEADS.get(family, {}))
        if family == "distilbert":
            name = _rename_in_layer(name, "bert.transformer.layer", "bert.encoder.layer", _DISTILBERT)
        named[name] = tensor
    if family == "roberta":
        positions, segments = (f"bert.embeddings.{table}_embeddings.weight" for table in ("position", "token_type"))
        if segments in named and len(named[segments]) == 1:
            del named[segments]
        if positions in named:
            named[positions] = named[positions][2:]
    return _split_joint_projections(named)


def fold_segment_row(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy in which a segment table of one row is added to every position and removed.

    All slots have that segment, so the model computes the same. The word table is also the output matrix, so it stays.
    """
    folded = dict(state)
    for name, tensor in state.items():
        if name.endswith("embeddings.token_type_embeddings.weight") and len(tensor) == 1:
            positions = name.replace("token_type", "position")
            folded[positions] = state[positions] + tensor
            del folded[name]
    return folded


def from_bert_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under our names: renamed, key and value joined. Other names stay."""
    renamed = {
        _rename(_rename_in_layer(name, "bert.encoder.layer", "layers", _OURS_IN_LAYER), _OURS): tensor
        for name, tensor in state.items()
    }
    for name in list(renamed):
        if ".attention.key." in name:
            value = name.replace(".key.", ".value.")
            if value in renamed:
                renamed[name.replace(".key.", ".key_value.")] = torch.cat([renamed.pop(name), renamed.pop(value)])
    return renamed


def into_bert_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_bert_names`."""
    cut: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".attention.key_value." in name:
            cut[name.replace("key_value", "key")], cut[name.replace("key_value", "value")] = tensor.chunk(2)
        else:
            cut[name] = tensor
    return {
        _rename(_rename_in_layer(name, "layers", "bert.encoder.layer", _BERTS_IN_LAYER), _BERTS): tensor
        for name, tensor in cut.items()
    }


def bert_parts(layer: str, weight: Tensor) -> dict[str, int]:
    """The layers of BERT that one of ours holds, and the rows of its weight that each has."""
    return {
        name.removesuffix(".weight"): len(part) for name, part in into_bert_names({f"{layer}.weight": weight}).items()
    }


def _split_joint_projections(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    split: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, _, leaf = name.rpartition(".self.")
        if leaf == "qkv_linear.weight":
            for part, weight in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                split[f"{stem}.self.{part}.weight"] = weight
        elif leaf in ("q_bias", "v_bias"):
            split[f"{stem}.self.{'query' if leaf == 'q_bias' else 'value'}.bias"] = tensor.flatten()
            split[f"{stem}.self.key.bias"] = torch.zeros_like(tensor.flatten())
        else:
            split[name.replace("bert.encoder.rel_pos_bias", "bert.rel_pos_bias")] = tensor
    return split


def _rename(name: str, names: Mapping[str, str]) -> str:
    """The name with all but its last part replaced."""
    stem, dot, leaf = name.rpartition(".")
    return names.get(stem, stem) + dot + leaf


def _rename_in_layer(name: str, old: str, new: str, names: Mapping[str, str]) -> str:
    match = re.fullmatch(rf"{re.escape(old)}\.(\d+)\.(.+)", name)
    return f"{new}.{match[1]}.{_rename(match[2], names)}" if match else name
