"""Released weights of BEiT-3: their names, sizes and position tables, and ours.

Their two position tables begin with two rows that are never used; ours is one, the places of a picture before those of
a text. The maps only rename, cut and join, so they work for gradients too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.errors import ConfigError, InputError
from s2s.models.pretrained import locate, read_state

_OUTSIDE = {
    "beit3.text_embed.weight": "embeddings.tokens.weight",
    "beit3.vision_embed.cls_token": "patches.whole",
    "beit3.vision_embed.proj.weight": "patches.project.weight",
    "beit3.vision_embed.proj.bias": "patches.project.bias",
    "mlm_head.weight": "head.output.weight",
    "mlm_head.bias": "head.output.bias",
}
_IN_LAYER = {
    "self_attn.q_proj.{}": "attention.query",
    "self_attn.k_proj.{}": "attention.key",
    "self_attn.v_proj.{}": "attention.value",
    "self_attn.out_proj.{}": "attention.out.linear",
    "self_attn.inner_attn_ln.{}": "attention.out.norm",
    "self_attn_layer_norm.{}": "attention_norm",
    "ffn.{}.fc1": "up",
    "ffn.{}.fc2": "down.linear",
    "ffn.{}.ffn_layernorm": "down.norm",
    "final_layer_norm.{}": "down_norm",
}
_WAYS = {"A": "seen", "B": "read"}
_LAYER = re.compile(r"beit3\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_LAST = re.compile(r"beit3\.encoder\.layer_norm\.([AB])\.(weight|bias)")
_PLACES = {way: f"beit3.encoder.embed_positions.{way}.weight" for way in _WAYS}
_POSITIONS = "embeddings.positions.weight"
_UNUSED_ROWS = 2
_OTHERS = ("beit3.vision_embed.mask_token", "logit_scale", "language_head.", "vision_head.")
"""What captioning has no use for: mask for patches, heads of retrieval."""
_HEAD_WIDTH = 64


def from_beit3_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a checkpoint under our names; what has no place here is left out.

    Raises:
        InputError: a position table is missing.
    """
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(_OTHERS)}
    for name in _PLACES.values():
        if name not in kept:
            raise InputError(f"lacks {name}: not a checkpoint of BEiT-3 for captioning")
    tables = [kept.pop(name)[_UNUSED_ROWS:] for name in _PLACES.values()]
    last = max((int(match[1]) for name in kept if (match := _LAYER.fullmatch(name))), default=0)
    renamed = {_OUTSIDE.get(name) or _into_layer(name, last): tensor for name, tensor in kept.items()}
    if "patches.whole" in renamed:
        renamed["patches.whole"] = renamed["patches.whole"].flatten()
    for name in [name for name in renamed if ".attention.key." in name]:
        parts = renamed.pop(name), renamed.pop(name.replace(".key.", ".value."))
        renamed[name.replace(".key.", ".key_value.")] = torch.cat(parts)
    return {**renamed, _POSITIONS: torch.cat(tables)}


def into_beit3_names(state: Mapping[str, Tensor], places: int) -> dict[str, Tensor]:
    """The inverse of `from_beit3_names`, with zeros in rows that are never used; a picture has so many places."""
    theirs: dict[str, Tensor] = {}
    outside = {ours: name for name, ours in _OUTSIDE.items()}
    for name, tensor in state.items():
        if name == _POSITIONS:
            for way, table in zip(_WAYS, (tensor[:places], tensor[places:]), strict=True):
                theirs[_PLACES[way]] = F.pad(table, (0, 0, _UNUSED_ROWS, 0))
        elif ".key_value." in name:
            for part, half in zip(("key", "value"), tensor.chunk(2), strict=True):
                theirs[_out_of_layer(name.replace("key_value", part))] = half
        else:
            theirs[outside.get(name) or _out_of_layer(name)] = tensor
    return theirs


def _into_layer(name: str, last: int) -> str:
    if match := _LAST.fullmatch(name):
        return f"layers.{last}.{_WAYS[match[1]]}.closing.{match[2]}"
    if match := _LAYER.fullmatch(name):
        for way, ours in _WAYS.items():
            for theirs, part in _IN_LAYER.items():
                if match[2] == theirs.format(way):
                    return f"layers.{match[1]}.{ours}.{part}.{match[3]}"
    return name


def _out_of_layer(name: str) -> str:
    _, layer, way, *parts, leaf = name.split(".")
    letter = next(theirs for theirs, ours in _WAYS.items() if ours == way)
    if parts == ["closing"]:
        return f"beit3.encoder.layer_norm.{letter}.{leaf}"
    theirs = next(theirs for theirs, part in _IN_LAYER.items() if part == ".".join(parts))
    return f"beit3.encoder.layers.{layer}.{theirs.format(letter)}.{leaf}"


def read_beit3(checkpoint: str) -> dict[str, Tensor]:
    """The tensors of a released checkpoint, a .pth or .safetensors file, under our names, as float32.

    Raises:
        InputError: it is missing or damaged, or no BEiT-3.
    """
    try:
        return from_beit3_names({name: tensor.float() for name, tensor in read_state(locate(checkpoint)).items()})
    except InputError as error:
        raise error if checkpoint in str(error) else InputError(f"{checkpoint}: {error}") from error


def beit3_sizes(checkpoint: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of a released checkpoint under the names of `ImageUniLM.Config`, from the shapes of its tensors.

    Args:
        facts: The task's `image_size`, `patch_size` and `channels`.

    Raises:
        InputError: as for `read_beit3`.
        ConfigError: its pictures are others than the task's.
    """
    state = read_state(locate(checkpoint))
    try:
        seen, read = (len(state[name]) - _UNUSED_ROWS for name in _PLACES.values())
        _, channels, patch_size, _ = state["beit3.vision_embed.proj.weight"].shape
        inner, width = state["beit3.encoder.layers.0.ffn.B.fc1.weight"].shape
        vocab_size = len(state["beit3.text_embed.weight"])
    except KeyError as error:
        raise InputError(f"{checkpoint}: lacks {error.args[0]}: not a checkpoint of BEiT-3") from error
    trained = {"image_size": patch_size * math.isqrt(seen), "patch_size": patch_size, "channels": channels}
    for name, value in trained.items():
        if facts[name] != value:
            raise ConfigError(f"task.{name}: must be {value} as in {checkpoint}, found {facts[name]}")
    return {
        "vocab_size": vocab_size,
        "hidden_size": width,
        "num_layers": sum(bool(re.fullmatch(r"beit3\.encoder\.layers\.\d+\.ffn\.B\.fc1\.weight", n)) for n in state),
        "num_heads": max(1, width // _HEAD_WIDTH),
        "intermediate_size": inner,
        "max_positions": seen + read,
        "activation": "gelu",
        "layer_norm_eps": 1e-5,
    }
