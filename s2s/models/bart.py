"""BART: its sizes and weights under the names of `s2s.models.encoder_decoder.EncoderDecoder`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2s.checkpoint import CONFIG, read_tensors
from s2s.config import read_tree, section_of
from s2s.errors import InputError, shown
from s2s.json_files import read_object
from s2s.models.pretrained import locate, read_state, whole_weights

NAME = "encoder_decoder"
SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "d_model",
    "encoder_layers": "encoder_layers",
    "decoder_layers": "decoder_layers",
    "num_heads": "encoder_attention_heads",
    "intermediate_size": "encoder_ffn_dim",
    "max_positions": "max_position_embeddings",
    "activation": "activation_function",
    "hidden_dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "initializer_range": "init_std",
}
_SAME = {"decoder_attention_heads": "encoder_attention_heads", "decoder_ffn_dim": "encoder_ffn_dim"}
"""Sizes of the decoder that must be those of the encoder."""
_LAYER_NORM_EPS = 1e-5
"""Of every BART; its configuration does not name it."""
_OFFSET = 2
"""Rows of BART's position tables before that of the first position."""
_TIED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
_OURS = {
    "shared": "tokens",
    "embed_positions": "positions",
    "layernorm_embedding": "norm",
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.out",
    "self_attn_layer_norm": "attention_norm",
    "encoder_attn.q_proj": "cross.query",
    "encoder_attn.k_proj": "cross.key",
    "encoder_attn.v_proj": "cross.value",
    "encoder_attn.out_proj": "cross.out",
    "encoder_attn_layer_norm": "cross_norm",
    "fc1": "up",
    "fc2": "down",
    "final_layer_norm": "down_norm",
}
_PLACE = re.compile(r"((?:encoder|decoder)\.(?:layers\.\d+\.)?)?(.+)\.(weight|bias)")


def read_sizes(checkpoint: str) -> dict[str, Any]:
    """The sizes of a BART or of a run with this model, as options; InputError if it is another model."""
    path = locate(checkpoint)
    if (path / CONFIG).is_file():
        model = section_of(read_tree(path / CONFIG), "model", path / CONFIG)
        if model.get("name") != NAME:
            raise InputError(f"{path / CONFIG}: model.name must be {NAME}, found {shown(model.get('name'))}")
        return {key: value for key, value in model.items() if key in SIZES or key == "layer_norm_eps"}
    return _sizes_of(read_object(path / "config.json"), path / "config.json")


def _sizes_of(config: Mapping[str, Any], where: Path) -> dict[str, Any]:
    if config.get("model_type") != "bart":
        raise InputError(f"{where}: model_type must be bart for this model, found {shown(config.get('model_type'))}")
    if config.get("scale_embedding"):
        raise InputError(f"{where}: scale_embedding must be false, as in every published BART, found true")
    for decoders, encoders in _SAME.items():
        if config.get(decoders) != config.get(encoders):
            found = f"{shown(config.get(decoders))} and {shown(config.get(encoders))}"
            raise InputError(f"{where}: {decoders} must be {encoders}, found {found}")
    sizes = {ours: config[theirs] for ours, theirs in SIZES.items() if config.get(theirs) is not None}
    return {**sizes, "layer_norm_eps": _LAYER_NORM_EPS}


def read_weights(checkpoint: str) -> dict[str, Tensor]:
    """The tensors of a BART or of a run under our names, floating ones as float32; errors as for `read_state`."""
    path = locate(checkpoint)
    state = read_tensors(whole_weights(path)) if (path / CONFIG).is_file() else from_bart_names(read_state(path), path)
    return {name: tensor.float() for name, tensor in state.items()}


def from_bart_names(state: Mapping[str, Tensor], where: str | Path = "checkpoint") -> dict[str, Tensor]:
    """Tensors of a BART under our names: position tables without their first rows, keys and values joined.

    Copies of the word embeddings and heads of classification are left out. A bare BART has no bias of the output, which
    is then zero.

    Raises:
        InputError: the output matrix differs from the word embeddings.
    """
    bare = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    words = bare.get("shared.weight", bare.get("encoder.embed_tokens.weight"))
    if words is None:
        raise InputError(f"{where}: lacks shared.weight, the word embeddings of a BART")
    for name in _TIED:
        if name in bare and not torch.equal(bare[name], words):
            raise InputError(f"{where}: {name} must equal the word embeddings, since this model ties them")
    named = {"tokens.weight": words, "bias": bare.get("final_logits_bias", torch.zeros(1, len(words))).flatten()}
    for name, tensor in bare.items():
        if name.startswith(("encoder.", "decoder.")) and name not in _TIED:
            named[_renamed(name)] = tensor[_OFFSET:] if ".embed_positions." in name else tensor
    return _joined(named)


def _renamed(name: str) -> str:
    match = _PLACE.fullmatch(name)
    return f"{match[1]}{_OURS.get(match[2], match[2])}.{match[3]}" if match and match[1] else name


def _joined(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for name in [name for name in state if ".key." in name]:
        value = name.replace(".key.", ".value.")
        if value in state:
            state[name.replace(".key.", ".key_value.")] = torch.cat([state.pop(name), state.pop(value)])
    return state
