"""Names of weights: from public checkpoints to ours, and back for what is fine-tuned.

VibeVoice checkpoints use the names of its own repository or those of `transformers`. `transformers_name` maps the first
to the second; `..._weights` map the second to ours, `..._names` ours to the second. All only rename, join, split and
reorder weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from s2s.errors import InputError

Weights = dict[str, Tensor]

_REPOSITORY_PARTS = {
    "model.acoustic_tokenizer.": "model.audio_tower.",
    "model.semantic_tokenizer.encoder.": "model.semantic_tokenizer_encoder.",
    "model.acoustic_connector.fc1.": "model.multi_modal_projector.linear_1.",
    "model.acoustic_connector.norm.": "model.multi_modal_projector.act.",
    "model.acoustic_connector.fc2.": "model.multi_modal_projector.linear_2.",
    "model.semantic_connector.fc1.": "model.semantic_connector.linear_1.",
    "model.semantic_connector.norm.": "model.semantic_connector.act.",
    "model.semantic_connector.fc2.": "model.semantic_connector.linear_2.",
    "model.prediction_head.": "model.diffusion_head.",
    "model.speech_scaling_factor": "model.latent_scaling_factor",
    "model.speech_bias_factor": "model.latent_bias_factor",
}
_LISTENING_PARTS = {
    "model.acoustic_tokenizer_encoder.": "model.audio_tower.encoder.",
    "model.multi_modal_projector.acoustic_linear_1.": "model.multi_modal_projector.linear_1.",
    "model.multi_modal_projector.acoustic_norm.": "model.multi_modal_projector.act.",
    "model.multi_modal_projector.acoustic_linear_2.": "model.multi_modal_projector.linear_2.",
    "model.multi_modal_projector.semantic_linear_1.": "model.semantic_connector.linear_1.",
    "model.multi_modal_projector.semantic_norm.": "model.semantic_connector.act.",
    "model.multi_modal_projector.semantic_linear_2.": "model.semantic_connector.linear_2.",
}
_REPOSITORY_HEAD = {
    "t_embedder.mlp.0.": "timestep_proj.fc1.",
    "t_embedder.mlp.2.": "timestep_proj.fc2.",
    "timestep_embedder.layer_1.": "timestep_proj.fc1.",
    "timestep_embedder.layer_2.": "timestep_proj.fc2.",
    "final_layer.adaLN_modulation.1.": "final_layer.linear_1.",
    "final_layer.linear.": "final_layer.linear_2.",
    "adaLN_modulation.1.": "linear.",
}
_CODEC_BLOCK = {
    "gamma": "mixer_scale",
    "ffn_gamma": "ffn_scale",
    "norm.weight": "mixer_norm.weight",
    "ffn.linear1.": "up.",
    "ffn.linear2.": "down.",
}
_HEAD = {
    "noisy_images_proj.": "noisy.",
    "cond_proj.": "condition.",
    "timestep_proj.fc1.": "time_in.",
    "timestep_proj.fc2.": "time_out.",
    "final_layer.linear_1.": "adaptation.",
    "final_layer.linear_2.": "out.",
}
_HEAD_BLOCK = {"linear.": "adaptation.", "ffn.down_proj.": "down."}
_LANGUAGE_BLOCK = {
    "self_attn.o_proj.": "out.",
    "mlp.down_proj.": "down.",
    "input_layernorm.": "attention_norm.",
    "post_attention_layernorm.": "ffn_norm.",
}
_CONNECTOR = {"linear_1.": "up.", "act.": "norm.", "linear_2.": "out."}


def transformers_name(name: str) -> str:
    """The name in `transformers` of a weight of the VibeVoice repository; names of `transformers` stay as they are."""
    name = renamed_start(name, _REPOSITORY_PARTS)
    if name.startswith("model.diffusion_head."):
        old = next((part for part in _REPOSITORY_HEAD if part in name), None)
        return name if old is None else name.replace(old, _REPOSITORY_HEAD[old])
    name = re.sub(r"(up|down)sample_layers\.0\.0\.", "stem.", name)
    name = re.sub(r"(?:up|down)sample_layers\.(\d+)\.0\.", lambda found: f"conv_layers.{int(found[1]) - 1}.", name)
    name = re.sub(r"\bstages\.0\.", "stem.stage.", name)
    name = re.sub(r"\bstages\.(\d+)\.", lambda found: f"conv_layers.{int(found[1]) - 1}.stage.", name)
    return name.replace("mixer.conv.conv.conv.", "mixer.conv.").replace("coder.head.conv.conv.", "coder.head.conv.")


def listening_name(name: str) -> str:
    """The name that a weight of VibeVoice-ASR, in either scheme, has in a VibeVoice of `transformers`."""
    return transformers_name(renamed_start(name, _LISTENING_PARTS))


def codec_weights(weights: Mapping[str, Tensor], depths: Sequence[int]) -> Weights:
    """Weights of an `AudioEncoder` or `AudioDecoder`.

    Args:
        weights: Names of `transformers` after "encoder." or "decoder.".
        depths: Blocks of each stage, in the order of that half.
    """
    starts = [sum(depths[:stage]) + stage for stage in range(len(depths) + 1)]
    renamed = {}
    for name, weight in weights.items():
        if found := re.fullmatch(r"(?:stem|conv_layers\.(\d+))\.(?:conv|convtr)\.(?:conv|convtr)\.(\w+)", name):
            layer, rest = starts[_stage(found[1])], f"conv.{found[2]}"
        elif found := re.fullmatch(r"(?:stem|conv_layers\.(\d+))\.stage\.(\d+)\.(.+)", name):
            layer, rest = starts[_stage(found[1])] + 1 + int(found[2]), renamed_start(found[3], _CODEC_BLOCK)
        elif name.startswith("head.conv."):
            layer, rest = starts[-1], f"conv.{name.removeprefix('head.conv.')}"
        else:
            raise InputError(f"no weight of an audio tokenizer is called {name!r}")
        renamed[f"layers.{layer}.{rest}"] = weight
    return renamed


def head_weights(weights: Mapping[str, Tensor]) -> Weights:
    """Weights of a `DiffusionHead` from names of `transformers` after "model.diffusion_head."."""
    renamed = {}
    for name, weight in joined_parts(weights, ("ffn.gate_proj.", "ffn.up_proj."), "gate_up."):
        if found := re.fullmatch(r"layers\.(\d+)\.(.+)", name):
            name = f"blocks.{found[1]}.{renamed_start(found[2], _HEAD_BLOCK)}"
        renamed[renamed_start(name, _HEAD)] = weight
    return renamed


def language_model_weights(weights: Mapping[str, Tensor]) -> Weights:
    """Weights of a `LatentLM` without head and connector, from names of Qwen2 in `transformers`, without prefix."""
    queries_keys_values = ("self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj.")
    joined = dict(joined_parts(weights, ("mlp.gate_proj.", "mlp.up_proj."), "gate_up."))
    renamed = {}
    for name, weight in joined_parts(joined, queries_keys_values, "qkv."):
        if found := re.fullmatch(r"layers\.(\d+)\.(.+)", name):
            name = f"layers.{found[1]}.{renamed_start(found[2], _LANGUAGE_BLOCK)}"
        renamed[renamed_start(name, {"embed_tokens.": "embeddings."})] = weight
    return renamed


def connector_weights(weights: Mapping[str, Tensor]) -> Weights:
    """Weights of a `Connector` from names of `transformers` after "model.multi_modal_projector." or another prefix."""
    return {renamed_start(name, _CONNECTOR): weight for name, weight in weights.items()}


def repository_name(name: str) -> str:
    """The inverse of `transformers_name` for head and connectors."""
    name = renamed_start(name, _inverse(_REPOSITORY_PARTS))
    if name.startswith("model.prediction_head."):
        for old, new in _REPOSITORY_HEAD.items():
            if new in name:
                return name.replace(new, old)
    return name


def head_names(weights: Mapping[str, Tensor]) -> Weights:
    """The inverse of `head_weights`."""
    named = {}
    for name, weight in split_parts(weights, ".gate_up.", (".ffn.gate_proj.", ".ffn.up_proj.")):
        if found := re.fullmatch(r"blocks\.(\d+)\.(.+)", name):
            name = f"layers.{found[1]}.{renamed_start(found[2], _inverse(_HEAD_BLOCK))}"
        named[renamed_start(name, _inverse(_HEAD))] = weight
    return named


def language_model_names(weights: Mapping[str, Tensor], rows: Sequence[int]) -> Weights:
    """The inverse of `language_model_weights`; `rows` are those of queries, keys and values."""
    named = {}
    apart = dict(split_parts(weights, ".gate_up.", (".mlp.gate_proj.", ".mlp.up_proj.")))
    heads = (".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj.")
    for name, weight in split_parts(apart, ".qkv.", heads, rows):
        if found := re.fullmatch(r"layers\.(\d+)\.(.+)", name):
            name = f"layers.{found[1]}.{renamed_start(found[2], _inverse(_LANGUAGE_BLOCK))}"
        named[renamed_start(name, {"embeddings.": "embed_tokens."})] = weight
    return named


def connector_names(weights: Mapping[str, Tensor]) -> Weights:
    """The inverse of `connector_weights`."""
    return {renamed_start(name, _inverse(_CONNECTOR)): weight for name, weight in weights.items()}


def under(weights: Mapping[str, Tensor], prefix: str) -> Weights:
    """The weights whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def above(parts: Mapping[str, Mapping[str, Tensor]]) -> Weights:
    """The weights of all parts, each name after that of its part: the inverse of `under`."""
    return {f"{part}.{name}": weight for part, weights in parts.items() for name, weight in weights.items()}


def speech_weights(weights: Mapping[str, Tensor]) -> Weights:
    """What a `LatentLM` has besides its language model, from a whole checkpoint under names of `transformers`."""
    head = head_weights(under(weights, "model.diffusion_head."))
    connector = connector_weights(under(weights, "model.multi_modal_projector."))
    return {
        **above({"head": head, "connector": connector}),
        "latent_scale": weights["model.latent_scaling_factor"],
        "latent_bias": weights["model.latent_bias_factor"],
    }


def vibevoice_weights(weights: Mapping[str, Tensor]) -> Weights:
    """Weights of a `LatentLM` from a whole checkpoint under names of `transformers`, without its tokenizers."""
    language = language_model_weights(under(weights, "model.language_model."))
    return language | above({"scores": under(weights, "lm_head.")}) | speech_weights(weights)


def renamed_start(name: str, names: Mapping[str, str]) -> str:
    """The name with its first part replaced, where `names` has it."""
    for old, new in names.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def joined_parts(weights: Mapping[str, Tensor], parts: tuple[str, ...], whole: str) -> Iterator[tuple[str, Tensor]]:
    """All weights; the parts of a layer are stacked, in order, into the whole."""
    first, *others = parts
    for name, weight in weights.items():
        if first in name:
            rest = [weights[name.replace(first, other)] for other in others]
            yield name.replace(first, whole), torch.cat([weight, *rest])
        elif not any(other in name for other in others):
            yield name, weight


def split_parts(
    weights: Mapping[str, Tensor], whole: str, parts: Sequence[str], rows: Sequence[int] | None = None
) -> Iterator[tuple[str, Tensor]]:
    """The inverse of `joined_parts`; parts have these rows, or equally many."""
    for name, weight in weights.items():
        if whole in name:
            pieces = weight.chunk(len(parts)) if rows is None else torch.split(weight, list(rows))
            yield from ((name.replace(whole, part), piece) for part, piece in zip(parts, pieces, strict=True))
        else:
            yield name, weight


def _inverse(names: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in names.items()}


def _stage(layer: str | None) -> int:
    return 0 if layer is None else int(layer) + 1
