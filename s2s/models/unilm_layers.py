"""The layers of a UniLM, of the kind that its options describe, and what positions do to their attention."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from torch import nn

from s2s.errors import ConfigError
from s2s.nn.disentangled import Distances
from s2s.nn.placing import Disentangled, Placing, Rotary, Shared
from s2s.nn.positions import RelativeBias, Window
from s2s.nn.transformer import Block, NormFirstBlock


def check_options(config: Any) -> None:
    """Raise ConfigError for options of UniLM that cannot be combined."""
    if config.attention == "flex" and config.attention_dropout:
        raise ConfigError(
            f"model.attention_dropout: must be 0 with model.attention=flex, found {config.attention_dropout:g}"
        )
    if config.neighbor_bias and not config.relative_buckets:
        raise ConfigError("model.neighbor_bias: needs model.relative_buckets (32, say), found 0")


def make_layers(config: Any) -> nn.ModuleList:
    """The layers for a `UniLM.Config`."""
    kind = NormFirstBlock if config.norm_first else Block
    layers = nn.ModuleList(
        kind(
            config.hidden_size,
            config.num_heads,
            config.intermediate_size,
            config.activation,
            config.layer_norm_eps,
            config.hidden_dropout,
            config.attention_dropout,
            config.gated,
            config.biases,
        )
        for _ in range(config.num_layers)
    )
    if config.norm_first:
        layers[0].attention_norm = nn.Identity()  # the embeddings are normalized
    return layers


def final_norm_of(config: Any) -> nn.LayerNorm | None:
    """The norm after the last layer for a `UniLM.Config`, if its layers leave their outputs as they are."""
    if not config.norm_first:
        return None
    return nn.LayerNorm(config.hidden_size, config.layer_norm_eps, bias=config.biases)


def relative_bias_of(config: Any) -> RelativeBias | None:
    """The relative bias for a `UniLM.Config`, if it wants one."""
    if not config.relative_buckets:
        return None
    bias = RelativeBias(config.num_heads, config.relative_buckets, config.max_relative_distance)
    bias.prefer_neighbors_(config.neighbor_bias)
    return bias


def placing_of(
    config: Any, relative_bias: RelativeBias | None, distances: Distances | None, layers: Iterable[nn.Module]
) -> Placing:
    """What positions do to the attention of the layers for a `UniLM.Config`, with the weights as they are."""
    if distances is not None:
        return Disentangled(distances, [cast(Block, layer).attention for layer in layers])
    if not config.rotary_base:
        return Shared(relative_bias)
    window = Window(config.window // 2) if config.window else None
    width, local_base = config.hidden_size // config.num_heads, config.local_rotary_base or config.rotary_base
    return Rotary(width, config.rotary_base, local_base, window, config.global_every)
