"""Families of public encoders: which there are, and what their config.json says in the terms of `UniLM.Config`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2s.errors import InputError, shown

FAMILIES = (
    "bert",
    "minilm",
    "unilm",
    "roberta",
    "xlm-roberta",
    "camembert",
    "mpnet",
    "electra",
    "distilbert",
)

SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "num_segments": "type_vocab_size",
    "source_segment": "source_type_id",
    "target_segment": "target_type_id",
    "embedding_size": "embedding_size",
    "relative_buckets": "rel_pos_bins",
    "max_relative_distance": "max_rel_pos",
    "activation": "hidden_act",
    "layer_norm_eps": "layer_norm_eps",
    "hidden_dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "initializer_range": "initializer_range",
}
"""What BERT calls the options of `UniLM.Config` that a checkpoint settles."""
_OTHER_NAMES = {
    "distilbert": {
        "hidden_size": "dim",
        "num_layers": "n_layers",
        "num_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "activation": "activation",
        "hidden_dropout": "dropout",
        "attention_dropout": "attention_dropout",
    },
    "mpnet": {"relative_buckets": "relative_attention_num_buckets"},
}
_UNSAID: dict[str, dict[str, Any]] = {
    "distilbert": {"num_segments": 0, "layer_norm_eps": 1e-12},
    "mpnet": {"num_segments": 0, "relative_buckets": 32, "max_relative_distance": 128},
}
"""What the configurations of a family leave unsaid."""
ROWS_FOR_PADDING = {"roberta": 2, "xlm-roberta": 2, "camembert": 2, "mpnet": 2}
"""First rows of the position table that are for padding; `UniLM` has none."""
_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
_ACTIVATIONS |= {"silu": "silu", "swish": "silu"}
_PUBLIC = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "silu": "silu"}
_NOT_BERTS = ("embedding_size", "relative_buckets", "max_relative_distance")


def family_of(config: Mapping[str, Any], where: Path) -> str:
    """The family that the config.json `where` names; InputError if it is none of `FAMILIES`."""
    family = config.get("model_type", "bert")  # the configurations of UniLM lack it
    if not isinstance(family, str) or family not in FAMILIES:
        raise InputError(f"{where}: model_type must be one of {', '.join(FAMILIES)}, found {shown(family)}")
    return family


def sizes_of(config: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """The sizes in the config.json `where` under the names of `UniLM.Config`.

    Raises:
        InputError: it is of another family, or has something that `UniLM` has not.
    """
    family = family_of(config, where)
    names = SIZES | _OTHER_NAMES.get(family, {})
    found = {ours: config[theirs] for ours, theirs in names.items() if config.get(theirs) is not None}
    sizes = _UNSAID.get(family, {}) | found
    if family in ROWS_FOR_PADDING and "max_positions" in sizes:
        if not isinstance(sizes["max_positions"], int):
            raise InputError(
                f"{where}: max_position_embeddings must be an integer, found {shown(sizes['max_positions'])}"
            )
        sizes["max_positions"] -= ROWS_FOR_PADDING[family]
    if sizes.get("num_segments") == 1:
        sizes["num_segments"] = 0
    if "activation" in sizes:
        sizes["activation"] = _activation(sizes["activation"], where)
    if config.get("position_embedding_type", "absolute") != "absolute":
        kind = shown(config["position_embedding_type"])
        raise InputError(f"{where}: position_embedding_type must be absolute, found {kind}")
    return sizes


def _activation(name: Any, where: Path) -> str:
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise InputError(f"{where}: the activation must be one of {', '.join(_ACTIVATIONS)}, found {shown(name)}")
    return _ACTIVATIONS[name]


def family_for(config: Any) -> str:
    """The family whose layout holds a model with this `UniLM.Config`."""
    if not config.relative_buckets:
        return "bert"
    as_mpnet = (config.relative_buckets, config.max_relative_distance, config.num_segments, config.activation)
    return "mpnet" if as_mpnet == (32, 128, 0, "gelu") else "unilm"


def config_of(config: Any, family: str) -> dict[str, Any]:
    """The content of config.json for a model of `family_for`; the inverse of `sizes_of`."""
    names = {ours: theirs for ours, theirs in (SIZES | _OTHER_NAMES.get(family, {})).items() if ours not in _NOT_BERTS}
    sizes = {theirs: getattr(config, ours) for ours, theirs in names.items()} | {"tie_word_embeddings": True}
    sizes[names["activation"]] = _PUBLIC[config.activation]
    if family == "mpnet":
        sizes["max_position_embeddings"] += ROWS_FOR_PADDING[family]
        return {"model_type": "mpnet", "architectures": ["MPNetForMaskedLM"], **sizes}
    sizes["type_vocab_size"] = max(1, config.num_segments)
    if family == "bert":
        return {"model_type": "bert", "architectures": ["BertForMaskedLM"], **sizes}
    bias = {SIZES[name]: getattr(config, name) for name in ("relative_buckets", "max_relative_distance")}
    return {"model_type": "unilm", **sizes, **bias}
