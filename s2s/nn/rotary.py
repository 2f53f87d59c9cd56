"""Rotary positions (RoPE): queries and keys are turned by the angles of their positions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s.nn.attention import Attention


class Rotation(NamedTuple):
    """Cosines and sines of the positions' angles, one for each pair of numbers of a head, float32."""

    cos: Tensor
    sin: Tensor


def rotation(positions: Tensor, head_dim: int, theta: float, heads: int = -2) -> Rotation:
    """The angles of position ids `(..., T)`: position · theta^(-2i / D) for the i-th pair of a head's D numbers.

    A pair is a number of the first half and one of the second. Source: RoFormer (arXiv 2104.09864), section 3.2.

    Args:
        positions: Position ids.
        head_dim: The width of a head, D; even.
        theta: Base of the frequencies.
        heads: The axis of the result that stands for all heads: `(..., T, 1, D / 2)` by default.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = positions.float().unsqueeze(-1) * theta**-exponents  # (..., T, D / 2)
    return Rotation(angles.cos().unsqueeze(heads), angles.sin().unsqueeze(heads))


def rotate(x: Tensor, turn: Rotation) -> Tensor:
    """Turn each pair of numbers of heads `(..., D)` by the angle of its position; computed in float32 at least."""
    first, second = x.to(torch.promote_types(x.dtype, torch.float32)).chunk(2, dim=-1)
    turned = torch.cat([first * turn.cos - second * turn.sin, second * turn.cos + first * turn.sin], dim=-1)
    return turned.to(x.dtype)


def rotate_keys(keys_values: Tensor, turn: Rotation) -> Tensor:
    """Keys and values `(..., K, 2, H, D)` with the keys turned."""
    keys, values = keys_values.unbind(-3)
    return torch.stack([rotate(keys, turn), values], dim=-3)


def turning(attention: Attention, asking: Rotation, answering: Rotation) -> Attention:
    """Attention of turned queries to turned keys.

    Args:
        attention: What sees the turned ones.
        asking: Of the rows of queries; if there are fewer of these, they are the last rows.
        answering: Of the rows of keys.
    """

    def attend(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        last = Rotation(*(part[..., -queries.shape[-3] :, :, :] for part in asking))
        return attention(rotate(queries, last), rotate_keys(keys_values, answering), dropout)

    return attend
