"""Causal convolutions that can run chunk by chunk: the caller holds the last inputs, modules hold weights.

Every layer is called as `y, past = layer(x, past)`. `past` is what the layer needs of earlier chunks; None at the start
of a signal means zeros. Chunks of any size give the same result as the whole signal.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s.nn.linear import Linear

History = list[Tensor]
"""The `past` of each layer of a stack, in order, each `(B, C, size)`; rows are independent of each other."""


def with_past(x: Tensor, past: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
    """The `past` `(B, C, size)` and a chunk `(B, C, T)` joined, `(B, C, size + T)`, and the last `size` columns."""
    longer = F.pad(x, (size, 0)) if past is None else torch.cat([past, x], dim=-1)
    return longer, longer[..., longer.shape[-1] - size :].clone()  # a view would keep the whole chunk in memory


class CausalConv(nn.Module):
    """A convolution whose output never depends on later inputs; a chunk must be a multiple of the stride."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, groups=groups)
        self.past_size = kernel_size - stride

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(B, in_channels, T)` gives `(B, out_channels, T / stride)`."""
        longer, past = with_past(x, past, self.past_size)
        return self.conv(longer), past


class CausalUpsampling(nn.Module):
    """A transposed convolution, with kernel 2 · stride, cut so that no output depends on later inputs.

    An input reaches 2 · stride outputs: its own and those of the next input. The past is what it adds to the latter. So
    this is one matrix product and one sum, faster than the general kernel for short chunks.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(in_channels, out_channels, 2 * stride, stride)
        self.stride = stride

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(B, in_channels, T)` gives `(B, out_channels, T · stride)`."""
        weight, bias = self.conv.weight, self.conv.bias
        reached = x.transpose(1, 2) @ weight.flatten(1)  # (B, T, C · 2 s)
        own, later = reached.view(len(x), x.shape[2], -1, 2 * self.stride).chunk(2, dim=-1)  # (B, T, C, s)
        earlier = torch.zeros_like(later[:, :1]) if past is None else past.unsqueeze(1)
        summed = own + torch.cat([earlier, later[:, :-1]], dim=1)
        assert bias is not None
        return summed.transpose(1, 2).flatten(2) + bias.unsqueeze(1), later[:, -1].clone()


class ConvBlock(nn.Module):
    """Depthwise causal convolution, then a feed-forward network, each scaled and added to its input.

    Sizes as in `SigmaVAE.Config`; both norms run over channels.

    Source: VibeVoice (arXiv 2508.19205), section 2;
    `vibevoice-community/VibeVoice: vibevoice/modular/modular_vibevoice_tokenizer.py`.
    """

    def __init__(self, channels: int, kernel_size: int, expansion: int, norm_eps: float, layer_scale: float) -> None:
        super().__init__()
        self.mixer_norm = nn.RMSNorm(channels, norm_eps)
        self.mixer = CausalConv(channels, channels, kernel_size, groups=channels)
        self.mixer_scale = nn.Parameter(torch.full((channels,), layer_scale))
        self.ffn_norm = nn.RMSNorm(channels, norm_eps)
        self.up = Linear(channels, expansion * channels)
        self.down = Linear(expansion * channels, channels)
        self.ffn_scale = nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(B, channels, T)` gives the same shape."""
        mixed, past = self.mixer(self.mixer_norm(x.transpose(1, 2)).transpose(1, 2), past)
        rows = torch.addcmul(x.transpose(1, 2), mixed.transpose(1, 2), self.mixer_scale)  # (B, T, C)
        wide = F.gelu(self.up(self.ffn_norm(rows)))
        return torch.addcmul(rows, self.down(wide), self.ffn_scale).transpose(1, 2), past


def run_stack(
    layers: Sequence[nn.Module] | nn.ModuleList, x: Tensor, history: History | None
) -> tuple[Tensor, History]:
    """Run layers on a chunk `(B, C, T)`: the output of the last one, and the history for the next chunk."""
    assert history is None or len(history) == len(layers), "this history is of another stack"
    new: History = []
    for index, layer in enumerate(layers):
        x, past = layer(x, None if history is None else history[index])
        new.append(past)
    return x, new


def cleared(history: History, rows: Tensor) -> History:
    """A history with `rows` `(B,)` bool at the start of a signal."""
    return [past.masked_fill(rows[:, None, None], 0) for past in history]


def take_rows(history: History | None, rows: Tensor | None) -> History | None:
    """The history of some rows `(R,)` int64, in this order; all of it where `rows` is None."""
    if history is None or rows is None:
        return history
    return [past.index_select(0, rows) for past in history]


def put_rows(history: History | None, new: History, rows: Tensor | None, batch: int) -> History:
    """A history of `batch` rows in which `rows` `(R,)` are `new`; all of them where `rows` is None."""
    if rows is None:
        return new
    if history is None:
        history = [past.new_zeros(batch, *past.shape[1:]) for past in new]
    return [past.index_copy(0, rows, part) for past, part in zip(history, new, strict=True)]


def with_silence(history: History | None, rows: int) -> History | None:
    """A history with more rows at the start of a signal."""
    if history is None:
        return None
    return [torch.cat([past, past.new_zeros(rows, *past.shape[1:])]) for past in history]
