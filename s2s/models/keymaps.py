"""Names of weights: from public checkpoints to BERT's, and between BERT's and ours.

BERT's names (as in the `transformers` library) are the common format: checkpoints of every family are renamed to them,
and `UniLM` loads them. The maps only rename, split and join, so they work for gradients too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.errors import InputError
from s2s.models.families import FAMILIES, ROWS_FOR_PADDING

_OURS = {
    "bert.embeddings.word_embeddings": "embeddings.tokens",
    "bert.embeddings.position_embeddings": "embeddings.positions",
    "bert.embeddings.token_type_embeddings": "embeddings.segments",
    "bert.embeddings.LayerNorm": "embeddings.norm",
    "bert.embeddings_project": "embeddings.project",
    "bert.rel_pos_bias": "relative_bias",
    "bert.final_norm": "final_norm",
    "bert.encoder.rel_embeddings": "distances.table",
    "bert.encoder.LayerNorm": "distances.norm",
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
_BERTS_LAYER = "bert.encoder.layer"
_POSITIONS, _SEGMENTS = (f"bert.embeddings.{table}_embeddings.weight" for table in ("position", "token_type"))
_BUCKETS = "bert.rel_pos_bias.weight"
_BERTS = {ours: bert for bert, ours in _OURS.items()}
_BERTS_IN_LAYER = {ours: bert for bert, ours in _OURS_IN_LAYER.items()}

_IN_LAYER = {
    "distilbert": {
        "attention.q_lin": "attention.self.query",
        "attention.k_lin": "attention.self.key",
        "attention.v_lin": "attention.self.value",
        "attention.out_lin": "attention.output.dense",
        "sa_layer_norm": "attention.output.LayerNorm",
        "ffn.lin1": "intermediate.dense",
        "ffn.lin2": "output.dense",
        "output_layer_norm": "output.LayerNorm",
    },
    "modernbert": {
        "attn_norm": "attention.output.LayerNorm",
        "attn.Wqkv": "attention.self.qkv_linear",
        "attn.Wo": "attention.output.dense",
        "mlp_norm": "output.LayerNorm",
        "mlp.Wi": "intermediate.dense",
        "mlp.Wo": "output.dense",
    },
    "deberta-v2": {
        "attention.self.query_proj": "attention.self.query",
        "attention.self.key_proj": "attention.self.key",
        "attention.self.value_proj": "attention.self.value",
    },
    "mpnet": {
        "attention.attn.q": "attention.self.query",
        "attention.attn.k": "attention.self.key",
        "attention.attn.v": "attention.self.value",
        "attention.attn.o": "attention.output.dense",
        "attention.LayerNorm": "attention.output.LayerNorm",
    },
}
"""Parts of a layer, by family, and what BERT calls them."""
_ROBERTAS_HEAD = {
    "lm_head.dense": "cls.predictions.transform.dense",
    "lm_head.layer_norm": "cls.predictions.transform.LayerNorm",
    "lm_head.decoder": "cls.predictions.decoder",
    "lm_head": "cls.predictions",
}
_OUTSIDE = {
    "roberta": _ROBERTAS_HEAD,
    "mpnet": _ROBERTAS_HEAD | {"bert.encoder.relative_attention_bias": "bert.rel_pos_bias"},
    "modernbert": {
        "bert.embeddings.tok_embeddings": "bert.embeddings.word_embeddings",
        "bert.embeddings.norm": "bert.embeddings.LayerNorm",
        "head.dense": "cls.predictions.transform.dense",
        "head.norm": "cls.predictions.transform.LayerNorm",
        "decoder": "cls.predictions",
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
"""What is outside of the layers, by family, and what BERT calls it."""
_DEBERTAS_OWN_HEAD = {
    "lm_predictions.lm_head.dense": "cls.predictions.transform.dense",
    "lm_predictions.lm_head.LayerNorm": "cls.predictions.transform.LayerNorm",
    "lm_predictions.lm_head": "cls.predictions",
}
"""The head of released checkpoints. Other programs add one of BERT's names, untrained, which comes second."""
_LAYERS = {"distilbert": "bert.transformer.layer", "modernbert": "bert.layers"}
_INNER = ("encoder.", "layers.", "transformer.", "final_norm.", "rel_pos_bias.", "pooler.")
_ROOTS = ("embeddings.", "embeddings_project.", *_INNER)
"""What names of bare models begin with."""
_PREFIXES = {"unilm": "bert", "modernbert": "model", "deberta-v2": "deberta"}
"""What the names of a family begin with, if it is not the family."""
_SAME = {"xlm-roberta": "roberta", "camembert": "roberta", "minilm": "bert", "unilm": "bert"}
"""Families with the names of another."""


def to_bert_names(state: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint of one of `FAMILIES` under BERT's names, in BERT's layout.

    Bare models (without the family's prefix) and the older names gamma and beta are accepted. RoBERTa's position table
    loses its first two rows, which are for padding, and its segment table of one row is dropped: call
    `fold_segment_row` before. UniLM v2's joint projection is split into query, key and value.

    Source: the conversions of s2s-ft, and for other families the names in `transformers`.
    """
    if family not in FAMILIES:
        raise InputError(f"checkpoint family must be one of {', '.join(FAMILIES)}, found {family!r}")
    kind = _SAME.get(family, family)
    state = _with_own_head(state)
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        name = f"bert.{name}" if name.startswith(_ROOTS) else re.sub(rf"^{_PREFIXES.get(kind, kind)}\.", "bert.", name)
        name = _rename(name, _OUTSIDE.get(kind, {}))
        named[_rename_in_layer(name, _LAYERS.get(kind, _BERTS_LAYER), _BERTS_LAYER, _IN_LAYER.get(kind, {}))] = tensor
    return _split_joint_projections(_in_berts_layout(named, family))


def _with_own_head(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """DeBERTa's own head under BERT's names, in place of one that has them."""
    own = {name: tensor for name, tensor in state.items() if name.startswith("lm_predictions.")}
    if not own:
        return state
    others = {name: tensor for name, tensor in state.items() if name not in own and not name.startswith("cls.")}
    return others | {_rename(name, _DEBERTAS_OWN_HEAD): tensor for name, tensor in own.items()}


def _in_berts_layout(named: dict[str, Tensor], family: str) -> dict[str, Tensor]:
    """The tensors without rows for padding, a folded segment, or transposed buckets."""
    if padding := ROWS_FOR_PADDING.get(family):
        if _SEGMENTS in named and len(named[_SEGMENTS]) == 1:
            del named[_SEGMENTS]
        if _POSITIONS in named:
            named[_POSITIONS] = named[_POSITIONS][padding:]
    if family == "mpnet" and _BUCKETS in named:
        named[_BUCKETS] = named[_BUCKETS].t()
    return named


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
        _rename(_rename_in_layer(name, _BERTS_LAYER, "layers", _OURS_IN_LAYER), _OURS): tensor
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
        _rename(_rename_in_layer(name, "layers", _BERTS_LAYER, _BERTS_IN_LAYER), _BERTS): tensor
        for name, tensor in cut.items()
    }


def into_family_names(state: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """Tensors under BERT's names as those of a family; what is not named otherwise keeps BERT's name."""
    state = dict(state)
    if rows := ROWS_FOR_PADDING.get(family):
        state[_POSITIONS] = F.pad(state[_POSITIONS], (0, 0, rows, 0))
    if family == "mpnet":
        state[_BUCKETS] = state[_BUCKETS].t()
    if family == "modernbert":
        state = _join_projections(state)
    outside, inside = (
        {bert: theirs for theirs, bert in names.get(family, {}).items()} for names in (_OUTSIDE, _IN_LAYER)
    )
    layers, root = _LAYERS.get(family, _BERTS_LAYER), f"{_PREFIXES.get(family, family)}."
    renamed = {
        _rename_in_layer(_rename(name, outside), _BERTS_LAYER, layers, inside): tensor for name, tensor in state.items()
    }
    return {re.sub(r"^bert\.", root, name): tensor for name, tensor in renamed.items()}


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


def _join_projections(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `_split_joint_projections` for weights without biases."""
    joined: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, _, leaf = name.rpartition(".self.")
        if leaf == "query.weight":
            parts = [state[f"{stem}.self.{part}.weight"] for part in ("query", "key", "value")]
            joined[f"{stem}.self.qkv_linear.weight"] = torch.cat(parts)
        elif not stem:
            joined[name] = tensor
    return joined


def _rename(name: str, names: Mapping[str, str]) -> str:
    """The name with all but its last part replaced."""
    stem, dot, leaf = name.rpartition(".")
    return names.get(stem, stem) + dot + leaf


def _rename_in_layer(name: str, old: str, new: str, names: Mapping[str, str]) -> str:
    match = re.fullmatch(rf"{re.escape(old)}\.(\d+)\.(.+)", name)
    return f"{new}.{match[1]}.{_rename(match[2], names)}" if match else name
