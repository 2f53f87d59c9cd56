"""Sizes of a model, from its configuration, its checkpoint and the task."""

from __future__ import annotations

from typing import Any

from s2s.config import parse_section
from s2s.errors import ConfigError
from s2s.models.families import SIZES
from s2s.models.initial_weights import layer_numbers
from s2s.models.pretrained import read_sizes
from s2s.nn.tags import TagSection

_RESIZABLE = {"vocab_size", "max_positions", "num_segments", "source_segment", "target_segment"}
_FREE = {"hidden_dropout", "attention_dropout", "initializer_range", "layer_norm_eps"}
_FROM_TASK = {"vocab_size", "num_positions", "added_tokens", "num_segments", "features"}
_SPARE_ROWS = 1000
"""Limit of the rows in a released checkpoint's vocabulary table that its tokenizer does not use."""
_PADDED_TO = (8, 64, 128)
"""Other vocabulary tables may be padded to a multiple of one of these, for speed."""


def resolve_sizes(config: Any, defaults: dict[str, int]) -> Any:
    """`UniLM.Config` with every size filled in; see `s2s.models.base.Model.resolve`.

    Args:
        config: The section; options that it sets override the checkpoint.
        defaults: `vocab_size`, `num_positions`, `added_tokens` (tokens that the tokenizer has in addition to the
            checkpoint's) and `num_segments` (rows of the segment table that the task uses), each optional.
    """
    refuse_others(defaults, _FROM_TASK)
    if config.init and config.like:
        raise ConfigError("model.init: give either init (weights and sizes) or like (sizes alone), found both")
    if config.layers_from is not None and not config.like:
        raise ConfigError("model.layers_from: needs model.like, the checkpoint that has these layers")
    checkpoint = config.init or config.like
    given = config.model_fields_set
    known = read_sizes(checkpoint) if checkpoint and not given >= set(SIZES) else {}
    if config.layers_from is not None:
        _check_layers(config, known)
        known |= {"num_layers": len(config.layers_from)} if known else {}
    check_copied(config, known)
    if known:
        values = {**known, **config.model_dump(exclude_unset=True)}
        config = parse_section(type(config), values, f"{checkpoint}: model")
    config = config.model_copy(
        update={
            "vocab_size": vocabulary_for(config, given, known, defaults),
            "max_positions": positions_for(config, given, defaults.get("num_positions", 0)),
            "embedding_size": config.embedding_size or config.hidden_size,
            "features": features_for(config, defaults),
        }
    )
    _check(config, defaults.get("num_segments", 0))
    return config


def refuse_others(defaults: dict[str, Any], known: set[str]) -> None:
    """Raise a ConfigError for what a task says of its data and a model has no use for."""
    if other := sorted(defaults.keys() - known):
        raise ConfigError(f"model.name: must be another, this one has no use for the task's {other[0]!r}")


def _check_layers(config: Any, known: dict[str, Any]) -> None:
    if known.get("norm_first"):
        raise ConfigError(
            f"model.layers_from: needs a checkpoint whose layers are alike; in {config.like} they differ by their place"
        )
    count = len(config.layers_from)
    if "num_layers" in config.model_fields_set and config.num_layers != count:
        raise ConfigError(
            f"model.num_layers: must be {count}, since model.layers_from names {count}, found {config.num_layers}"
        )
    if "num_layers" in known:
        try:
            layer_numbers(config.layers_from, known["num_layers"])
        except ValueError as error:
            raise ConfigError(f"model.layers_from: {error}, in {config.like}") from error


def check_copied(config: Any, known: dict[str, Any]) -> None:
    """Refuse sizes other than those of the weights that the model takes."""
    if not config.copies_weights:
        return
    hint = "" if config.init else "; without model.layers_from the weights are random, and any width will do"
    for name in config.model_fields_set & known.keys() - _RESIZABLE - _FREE:
        asked, checkpoint = getattr(config, name), config.init or config.like
        if asked != known[name]:
            raise ConfigError(f"model.{name}: must be {known[name]} as in {checkpoint}, found {asked}{hint}")


def features_for(config: Any, defaults: dict[str, Any]) -> TagSection:
    """The section of features with the counts of the task, if it says any."""
    section: TagSection = config.features
    return section.model_copy(update={"counts": defaults["features"]}) if "features" in defaults else section


def vocabulary_for(config: Any, given: set[str], known: dict[str, Any], defaults: dict[str, int]) -> int:
    """The size of the vocabulary: of the options `given`, of a checkpoint (`known`) or of the task (`defaults`)."""
    asked = int(config.vocab_size) if "vocab_size" in given else 0
    stored = int(known.get("vocab_size", 0))
    tokens = defaults.get("vocab_size", asked or stored)
    if not tokens:
        raise ConfigError("model.vocab_size: must be given, since neither a checkpoint nor the task has one")
    if not asked and not config.copies_weights:
        return tokens
    rows = asked or stored
    spare = rows - tokens
    padded = spare < _SPARE_ROWS if config.copies_weights else any(rows % m == 0 and spare < m for m in _PADDED_TO)
    if -spare > defaults.get("added_tokens", 0) or (spare > 0 and not padded):
        where = "model.vocab_size" if asked else config.init or config.like
        raise ConfigError(f"model.vocab_size: the tokenizer has {tokens} tokens, {where} has {rows}; they must agree")
    return max(rows, tokens)


def positions_for(config: Any, given: set[str], needed: int) -> int:
    """Rows of a position table for a task that needs so many; ConfigError if fewer are `given`."""
    if "max_positions" in given and config.max_positions < needed:
        raise ConfigError(
            f"model.max_positions: must be at least {needed}, the task's longest source and target together, "
            f"found {config.max_positions}"
        )
    return max(int(config.max_positions), needed)


def check_heads(config: Any) -> None:
    """Raise a ConfigError unless the hidden size can be divided among the heads."""
    if config.hidden_size % config.num_heads:
        raise ConfigError(
            f"model.num_heads: must divide model.hidden_size ({config.hidden_size}), found {config.num_heads}"
        )


def _check(config: Any, segments: int) -> None:
    check_heads(config)
    buckets, distance = config.relative_buckets, config.max_relative_distance
    if buckets and distance <= buckets // 4:
        raise ConfigError(
            f"model.max_relative_distance: must be more than a quarter of model.relative_buckets ({buckets}), "
            f"found {distance}"
        )
    _check_rotary(config)
    _check_distances(config)
    rows, used = config.num_segments, (config.source_segment, config.target_segment)
    for name, row in zip(("source_segment", "target_segment"), used, strict=True):
        if rows and row >= rows:
            raise ConfigError(f"model.{name}: must be a row of the segment table ({rows} rows), found {row}")
    if segments and rows and (rows < segments or used != (0, 1)):
        raise ConfigError(
            f"model.num_segments: must be at least {segments} (or 0), with source_segment 0 and target_segment 1, "
            f"as the task names the rows itself; found {rows}, {used[0]} and {used[1]}"
        )


def _check_rotary(config: Any) -> None:
    """Refuse options of layers that exclude or need one another."""
    width = config.hidden_size // config.num_heads
    if not config.rotary_base:
        for name in ("window", "local_rotary_base"):
            if getattr(config, name):
                raise ConfigError(f"model.{name}: needs model.rotary_base (160000, say), found 0")
    elif config.relative_buckets:
        raise ConfigError("model.rotary_base: give it or model.relative_buckets, found both")
    elif width % 2:
        raise ConfigError(f"model.rotary_base: needs heads of an even width, found {width}")
    if config.window and config.global_every == 1:
        raise ConfigError(
            "model.window: needs model.global_every of at least 2, since every layer sees everything at 1"
        )


def _check_distances(config: Any) -> None:
    buckets, most = config.distance_buckets, config.max_relative_distance
    if not buckets:
        return
    if config.rotary_base or config.relative_buckets:
        other = "rotary_base" if config.rotary_base else "relative_buckets"
        raise ConfigError(f"model.distance_buckets: give it or model.{other}, found both")
    if most - 1 <= buckets // 2:
        raise ConfigError(
            f"model.max_relative_distance: must be more than {buckets // 2 + 1}, half of model.distance_buckets and 1, "
            f"found {most}"
        )
    if config.attention == "flex":
        raise ConfigError("model.attention: must be auto with model.distance_buckets, found flex")
