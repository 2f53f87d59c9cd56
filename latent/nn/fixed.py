"""The layers of `latent.nn.conv` in a faster form for generation, which cannot be trained or saved.

The weights of norms and the scales of branches are multiplied into the matrices beside them. A convolution is one
matrix product of its windows, with packed weights of oneDNN. Signals are still `(B, C, T)`, but lie in memory as rows
`(B, T, C)`, so that nothing is copied between layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent.nn.conv import CausalConv, CausalUpsampling, ConvBlock
from s2s.nn.linear import remember_kernels
from s2s.nn.packed import PackedLinear, can_pack

_SHORT = 40
"""Maximum number of rows for which a depthwise convolution is faster as a product and a sum."""


def fixed_layers(layers: nn.ModuleList) -> nn.ModuleList:
    """The same stack, for `run_stack` with histories of its own.

    Where weights cannot be packed, which is everywhere but on a CPU in float32, the layers stay as they are.
    """
    kinds: dict[type, type] = {CausalConv: FixedConv, CausalUpsampling: FixedUpsampling, ConvBlock: FixedBlock}
    if not all(can_pack(weight) for weight in layers.parameters()):
        return layers
    remember_kernels()
    return nn.ModuleList(kinds[type(layer)](layer) if type(layer) in kinds else layer for layer in layers)


class FixedConv(nn.Module):
    """A `CausalConv` of one group; its past is rows `(B, kernel - stride, C)`."""

    def __init__(self, layer: CausalConv) -> None:
        super().__init__()
        conv = layer.conv
        assert conv.groups == 1
        self.product = PackedLinear(conv.weight.transpose(1, 2).flatten(1), conv.bias)
        self.window, self.stride, self.past_size = conv.kernel_size[0], conv.stride[0], layer.past_size

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `CausalConv`."""
        longer, past = _with_past(x.transpose(1, 2), past, self.past_size)
        channels = longer.shape[2]
        windows = longer.flatten(1).unfold(1, self.window * channels, self.stride * channels)
        return self.product(windows).transpose(1, 2), past


class FixedUpsampling(nn.Module):
    """A `CausalUpsampling`; its past is `(B, 1, stride · C)`."""

    def __init__(self, layer: CausalUpsampling) -> None:
        super().__init__()
        weight, bias = layer.conv.weight, layer.conv.bias
        assert bias is not None
        own = torch.cat([bias.repeat(layer.stride), bias.new_zeros(layer.stride * len(bias))])
        self.product = PackedLinear(weight.permute(2, 1, 0).flatten(0, 1), own)
        self.channels = weight.shape[1]

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `CausalUpsampling`."""
        own, later = self.product(x.transpose(1, 2)).chunk(2, dim=-1)  # (B, T, stride · C)
        earlier, past = _with_past(later, past, 1)
        return (own + earlier[:, :-1]).reshape(len(x), -1, self.channels).transpose(1, 2), past


class FixedBlock(nn.Module):
    """A `ConvBlock`; its past is normalized rows `(B, kernel - 1, C)`."""

    def __init__(self, layer: ConvBlock) -> None:
        super().__init__()
        conv, scale = layer.mixer.conv, layer.mixer_scale
        assert conv.bias is not None
        self._taps = (conv.weight[:, 0] * (layer.mixer_norm.weight * scale).unsqueeze(1)).detach()  # (C, kernel)
        self._bias = (conv.bias * scale).detach()
        self.eps, self.past_size = (layer.mixer_norm.eps, layer.ffn_norm.eps), layer.mixer.past_size
        self.up = PackedLinear(layer.up.weight * layer.ffn_norm.weight, layer.up.bias)
        scale = layer.ffn_scale
        self.down = PackedLinear(layer.down.weight * scale.unsqueeze(1), layer.down.bias * scale)

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `ConvBlock`."""
        rows = x.transpose(1, 2)
        size = rows.shape[2:]
        longer, past = _with_past(F.rms_norm(rows, size, eps=self.eps[0]), past, self.past_size)
        rows = rows + self._mixed(longer)
        wide = F.gelu(self.up(F.rms_norm(rows, size, eps=self.eps[1])))
        return (rows + self.down(wide)).transpose(1, 2), past

    def _mixed(self, longer: Tensor) -> Tensor:
        if longer.shape[1] <= _SHORT:
            return (longer.unfold(1, self._taps.shape[1], 1) * self._taps).sum(-1) + self._bias
        image = longer.transpose(1, 2).unsqueeze(2)  # (B, C, 1, T), "channels last" in memory
        mixed = F.conv2d(image, self._taps[:, None, None], self._bias, groups=len(self._taps))
        return mixed.squeeze(2).transpose(1, 2)


def _with_past(rows: Tensor, past: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
    """`latent.nn.conv.with_past` for rows `(B, T, C)`."""
    longer = F.pad(rows, (0, 0, size, 0)) if past is None else torch.cat([past, rows], dim=1)
    return longer, longer[:, longer.shape[1] - size :].clone()
