"""Weights of autoregressive models of the LatentLM image repository under our names, for the case latentlm."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from latent.models.keymaps import Weights, joined_parts, renamed_start

_IMAGE = {
    "x_embedder.proj.": "connector.",
    "y_embedder.embedding_table.": "embeddings.",
    "condition_layer.linear.": "head.condition.",
    "noisy_x_embedder.proj.": "head.noisy.",
    "t_embedder.mlp.0.": "head.time_in.",
    "t_embedder.mlp.2.": "head.time_out.",
    "final_layer.adaLN_modulation.1.": "head.adaptation.",
    "final_layer.linear.": "head.out.",
}


def latentlm_image_weights(weights: Mapping[str, Tensor], head_dim: int) -> Weights:
    """Weights of a `LatentLM` from those of an autoregressive model of the LatentLM image repository.

    Its norms have no weights. Its rotary embedding rotates neighboring pairs of dimensions, ours the two halves of a
    head of width `head_dim`, so rows of queries and keys are reordered. `image_rope_theta` converts its rotary base.
    """
    renamed: Weights = {}
    for name, weight in joined_parts(weights, ("mlp.fc1.", "mlp.gate."), "gate_up."):
        if name.endswith("attn.qkv.weight"):
            weight = _halves_from_pairs(weight, num_kept=_value_rows(weights, name), head_dim=head_dim)
        name = name.replace(".attn.qkv.", ".qkv.").replace(".attn.proj.", ".out.").replace(".mlp.fc2.", ".down.")
        name = re.sub(r"^blocks\.", "layers.", name)
        name = re.sub(r"diffusion_blocks\.(\d+)\.(adaLN_modulation\.1\.)?", _image_head_block, name)
        renamed[renamed_start(name, _IMAGE)] = weight.flatten(1) if weight.dim() == 4 else weight
    hidden = renamed["embeddings.weight"].shape[1]
    blocks = {name.split(".gate_up")[0] for name in renamed if name.endswith("gate_up.weight")}
    for block in blocks:
        norms = ["norm"] if block.startswith("head.") else ["attention_norm", "ffn_norm"]
        renamed |= {f"{block}.{norm}.weight": torch.ones(hidden) for norm in norms}
    return renamed | {"norm.weight": torch.ones(hidden)}


def image_rope_theta(head_dim: int, theta: float = 10_000) -> float:
    """The rotary base that reproduces the frequencies of the LatentLM image repository, which end at 1 / theta."""
    half = head_dim // 2
    return float(theta ** (half / (half - 1)))


def _image_head_block(found: re.Match[str]) -> str:
    return f"head.blocks.{found[1]}." + ("adaptation." if found[2] else "")


def _value_rows(weights: Mapping[str, Tensor], name: str) -> int:
    """Rows of `qkv` that are values: as many as keys; queries have as many rows as `qkv` has columns."""
    rows, columns = weights[name].shape
    return (rows - columns) // 2


def _halves_from_pairs(qkv: Tensor, num_kept: int, head_dim: int) -> Tensor:
    rotated, kept = qkv[: len(qkv) - num_kept], qkv[len(qkv) - num_kept :]
    pairs = rotated.reshape(-1, head_dim // 2, 2, qkv.shape[1])  # (heads, pairs, 2, H)
    return torch.cat([pairs.transpose(1, 2).flatten(0, 2), kept])
