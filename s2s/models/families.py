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
    "modernbert",
    "deberta-v2",
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
_NEAREST = {
    "albert": "bert",
    "bart": "roberta, or task.method=encoder_decoder for all of it",
    "big_bird": "modernbert",
    "deberta": "deberta-v2",
    "ernie": "bert",
    "eurobert": "modernbert",
    "flaubert": "camembert",
    "longformer": "modernbert",
    "mbart": "xlm-roberta",
    "mobilebert": "minilm",
    "modernbert-decoder": "modernbert",
    "mt5": "xlm-roberta",
    "nomic_bert": "modernbert",
    "pegasus": "roberta",
    "squeezebert": "distilbert",
    "t5": "roberta",
    "xlm": "xlm-roberta",
    "xlm-roberta-xl": "xlm-roberta",
    "xlnet": "mpnet",
}
"""What to start from in place of families that are not supported: the most alike in vocabulary and training."""
_POSITIONS = ("rotary_base", "local_rotary_base", "global_every", "window", "distance_buckets")
SETTLED = frozenset([*SIZES, *_POSITIONS, "norm_first", "gated", "biases"])
"""All options that a checkpoint settles, also those that BERT has no name for."""
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
    "deberta-v2": {"distance_buckets": "position_buckets", "max_relative_distance": "max_relative_positions"},
    "modernbert": {
        "activation": "hidden_activation",
        "layer_norm_eps": "norm_eps",
        "hidden_dropout": "mlp_dropout",
        "attention_dropout": "attention_dropout",
        "window": "local_attention",
        "rotary_base": "global_rope_theta",
        "local_rotary_base": "local_rope_theta",
        "global_every": "global_attn_every_n_layers",
    },
}
_UNSAID: dict[str, dict[str, Any]] = {
    "deberta-v2": {"num_segments": 0, "layer_norm_eps": 1e-7},
    "distilbert": {"num_segments": 0, "layer_norm_eps": 1e-12},
    "modernbert": {
        "num_segments": 0,
        "rotary_base": 160_000.0,
        "local_rotary_base": 10_000.0,
        "global_every": 3,
        "window": 128,
        "norm_first": True,
        "gated": True,
        "biases": False,
        "layer_norm_eps": 1e-5,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "mpnet": {"num_segments": 0, "relative_buckets": 32, "max_relative_distance": 128},
}
"""What the configurations of a family leave unsaid."""
ROWS_FOR_PADDING = {"roberta": 2, "xlm-roberta": 2, "camembert": 2, "mpnet": 2}
"""First rows of the position table that are for padding; `UniLM` has none."""
_FIXED: dict[str, dict[str, Any]] = {
    "deberta-v2": {
        "relative_attention": True,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "conv_kernel_size": 0,
        "type_vocab_size": 0,
    },
    "modernbert": {
        "attention_bias": False,
        "mlp_bias": False,
        "norm_bias": False,
        "classifier_bias": False,
        "decoder_bias": True,
        "tie_word_embeddings": True,
    },
}
"""What a family may vary in its configuration but `UniLM` does not."""
_OTHER_DEFAULTS: dict[str, dict[str, Any]] = {
    "deberta-v2": {"relative_attention": False, "share_att_key": False, "norm_rel_ebd": "none"},
}
_OTHER_DEFAULTS["deberta-v2"] |= {"position_biased_input": True, "pos_att_type": None, "position_buckets": -1}
"""What is meant where the configuration of a family leaves out an option whose value is fixed."""
_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
_ACTIVATIONS |= {"silu": "silu", "swish": "silu"}
_PUBLIC = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "silu": "silu"}
_NOT_BERTS = ("embedding_size", "relative_buckets", "max_relative_distance")


def family_of(config: Mapping[str, Any], where: Path) -> str:
    """The family that the config.json `where` names; InputError if it is none of `FAMILIES`."""
    family = config.get("model_type", "bert")  # the configurations of UniLM lack it
    if not isinstance(family, str) or family not in FAMILIES:
        near = _NEAREST.get(family) if isinstance(family, str) else None
        hint = f"; the nearest to it is {near}" if near else ""
        raise InputError(f"{where}: model_type must be one of {', '.join(FAMILIES)}, found {shown(family)}{hint}")
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
    stated = _OTHER_DEFAULTS.get(family, {}) | dict(config)
    for name, value in _FIXED.get(family, {}).items():
        _check(stated, name, value, where)
    if family == "modernbert":
        sizes |= _rotary(config, sizes, where)
    if family == "deberta-v2":
        sizes |= _distances(stated, sizes, where)
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


def _check(config: Mapping[str, Any], name: str, value: Any, where: Path) -> None:
    if config.get(name, value) != value:
        raise InputError(f"{where}: {name} must be {shown(value)}, found {shown(config[name])}")


def _rotary(config: Mapping[str, Any], sizes: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """What newer configurations of ModernBERT say by layer, and kind of layer."""
    found: dict[str, Any] = {}
    kinds, every = config.get("layer_types"), sizes["global_every"]
    if isinstance(kinds, list) and kinds:
        every = next((index for index, kind in enumerate(kinds) if index and kind == "full_attention"), len(kinds))
        expected = ["sliding_attention" if index % every else "full_attention" for index in range(len(kinds))]
        _check(config, "layer_types", expected, where)
        found["global_every"] = every
    by_kind = config.get("rope_parameters")
    for option, kind in (("rotary_base", "full_attention"), ("local_rotary_base", "sliding_attention")):
        rope = by_kind.get(kind) if isinstance(by_kind, dict) else None
        if isinstance(rope, dict):
            _check(rope, "rope_type", "default", where)
            found |= {option: rope["rope_theta"]} if "rope_theta" in rope else {}
    return found


def _distances(config: Mapping[str, Any], sizes: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """What DeBERTa says of distances in several ways."""
    kinds = config["pos_att_type"]
    if (sorted(kinds.split("|")) if isinstance(kinds, str) else kinds) not in (["c2p", "p2c"], ["p2c", "c2p"]):
        raise InputError(f"{where}: pos_att_type must be ['p2c', 'c2p'], found {shown(kinds)}")
    buckets, most = config["position_buckets"], sizes.get("max_relative_distance", -1)
    if not isinstance(buckets, int) or buckets < 1:
        raise InputError(f"{where}: position_buckets must be an integer above 0, found {shown(buckets)}")
    _check(config, "embedding_size", sizes.get("hidden_size"), where)
    return {"max_relative_distance": sizes.get("max_positions", 512)} if most == -1 else {}


def _activation(name: Any, where: Path) -> str:
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise InputError(f"{where}: the activation must be one of {', '.join(_ACTIVATIONS)}, found {shown(name)}")
    return _ACTIVATIONS[name]


def family_for(config: Any) -> str:
    """The family whose layout holds a model with this `UniLM.Config`."""
    if config.rotary_base:
        return "modernbert"
    if config.distance_buckets:
        return "deberta-v2"
    if not config.relative_buckets:
        return "bert"
    as_mpnet = (config.relative_buckets, config.max_relative_distance, config.num_segments, config.activation)
    return "mpnet" if as_mpnet == (32, 128, 0, "gelu") else "unilm"


def config_of(config: Any, family: str) -> dict[str, Any]:
    """The content of config.json for a model of `family_for`; the inverse of `sizes_of`."""
    names = {ours: theirs for ours, theirs in (SIZES | _OTHER_NAMES.get(family, {})).items() if ours not in _NOT_BERTS}
    sizes = {theirs: getattr(config, ours) for ours, theirs in names.items()} | {"tie_word_embeddings": True}
    sizes[names["activation"]] = _PUBLIC[config.activation]
    if family == "modernbert":
        named = {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"], "pad_token_id": None}
        return named | sizes | _FIXED[family]
    if family == "deberta-v2":
        named = {"model_type": family, "architectures": ["DebertaV2ForMaskedLM"], "pos_att_type": ["p2c", "c2p"]}
        return {**named, **sizes, "max_relative_positions": config.max_relative_distance, **_FIXED[family]}
    if family == "mpnet":
        sizes["max_position_embeddings"] += ROWS_FOR_PADDING[family]
        return {"model_type": "mpnet", "architectures": ["MPNetForMaskedLM"], **sizes}
    sizes["type_vocab_size"] = max(1, config.num_segments)
    if family == "bert":
        return {"model_type": "bert", "architectures": ["BertForMaskedLM"], **sizes}
    bias = {SIZES[name]: getattr(config, name) for name in ("relative_buckets", "max_relative_distance")}
    return {"model_type": "unilm", **sizes, **bias}
