"""Linear layers for generation on a CPU, with packed weights: in float32, in bfloat16, or in 8 bits.

Inputs and outputs are float32 in each of them, so norms, attention and scores are too. A row's output does not depend
on the rows beside it.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from s2s.errors import ConfigError
from s2s.nn import compiled
from s2s.nn.attention import Attention, Rows, SelfAttention, select_rows
from s2s.nn.linear import is_for_onednn
from s2s.nn.products import onednn_product

Precision = Literal["float32", "bfloat16", "int8"]
"""Of the products of a model that generates. int8 is for CPUs."""


class PackedLinear(nn.Module):
    """A linear layer whose weight `(out, in)` is packed for oneDNN's kernels. CPU, no gradients.

    For 5 to 160 rows, as in decoding, it takes 0.3 to 0.6 of the time of `F.linear` (AMD EPYC with AVX-512, 2 threads,
    torch 2.13).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        self._bias = None if bias is None else bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """Rows `(..., in)` to rows `(..., out)`."""
        return onednn_product(x, self._packed, self._bias)


class BFloat16Linear(PackedLinear):
    """The same with weight and inputs rounded to bfloat16, twice as fast where the processor has such products."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight.bfloat16(), None if bias is None else bias.bfloat16())

    def forward(self, x: Tensor) -> Tensor:
        """See `PackedLinear`."""
        return super().forward(x.bfloat16()).float()


class Int8Linear(nn.Module):
    """A linear layer in 8 bits: one scale for each row of the weight, and one for each row of the input as it comes.

    Sums are exact integers. Three to four times as fast as float32 where the processor multiplies bytes (VNNI); other
    x86 processors add pairs of products in 16 bits, so there the inputs have 7 bits, and sums are exact too.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        weight = weight.detach()
        self._scales = weight.abs().amax(1).clamp(min=torch.finfo(weight.dtype).tiny) / 127
        self._packed = torch.ops.onednn.qlinear_prepack((weight / self._scales.unsqueeze(1)).round().char(), None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        self._bias = None if bias is None else bias.detach().clone()
        self._levels = input_levels()

    def forward(self, x: Tensor) -> Tensor:
        """Rows `(..., in)` to rows `(..., out)`."""
        to_bytes, scale_rows = _BY_KERNELS if compiled.available() else _BY_TORCH
        bytes_, largest = to_bytes(x.flatten(0, -2).contiguous(), self._levels)
        output = _byte_product(bytes_, 1 / self._levels, self._packed, self._scales, self._zeros)
        return scale_rows(output, largest, self._bias).view(*x.shape[:-1], -1)


def _to_bytes(rows: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """See `compiled.to_bytes`."""
    largest = rows.abs().amax(1, keepdim=True).clamp_(min=torch.finfo(rows.dtype).tiny)
    return rows.mul(levels / largest).round_().char().view(torch.uint8).bitwise_xor_(128), largest


def _scale_rows(rows: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
    """See `compiled.scale_rows`."""
    return rows.mul_(scales) if bias is None else torch.addcmul(bias, rows, scales, out=rows)


_BY_KERNELS, _BY_TORCH = (compiled.to_bytes, compiled.scale_rows), (_to_bytes, _scale_rows)


_KINDS: dict[str, type[PackedLinear | Int8Linear]] = {
    "float32": PackedLinear,
    "bfloat16": BFloat16Linear,
    "int8": Int8Linear,
}


def can_pack(weight: Tensor) -> bool:
    """Whether a weight can be packed: on a CPU with oneDNN, in float32."""
    return is_for_onednn(weight)


def pack(weight: Tensor, bias: Tensor | None, precision: Precision = "float32") -> PackedLinear | Int8Linear | None:
    """A packed layer; None where the weight cannot be packed."""
    if not can_pack(weight):
        return None
    return _KINDS[precision](weight, bias)


def pack_linears(module: nn.Module, precision: Precision = "float32", fused: bool = True) -> None:
    """Replace every linear layer inside a module by a packed one, where possible."""
    for name, child in module.named_children():
        packed: nn.Module | None = None
        if isinstance(child, nn.Linear):
            packed = pack(child.weight, child.bias, precision)
        elif type(child) is SelfAttention and can_pack(child.query.weight) and fused:
            packed = PackedSelfAttention(child, precision)
        if packed is not None:
            setattr(module, name, packed)
        else:
            pack_linears(child, precision, fused)


class PackedSelfAttention(nn.Module):
    """A `SelfAttention` that projects queries, keys and values in one product."""

    def __init__(self, layer: SelfAttention, precision: Precision) -> None:
        super().__init__()
        parts = layer.query, layer.key_value
        biases = None if layer.query.bias is None else torch.cat([part.bias for part in parts])
        packed = pack(torch.cat([part.weight for part in parts]), biases, precision)
        out = pack(layer.out.weight, layer.out.bias, precision)
        assert packed is not None, "what can_pack allows"
        assert out is not None, "what can_pack allows"
        self.projections, self.out, self.num_heads = packed, out, layer.num_heads

    def forward(self, x: Tensor, attention: Attention, rows: Rows | None = None) -> Tensor:
        """See `SelfAttention`."""
        vectors = self._project(x)
        asked = select_rows(vectors.flatten(-3), rows)
        queries = asked.view(*asked.shape[:-1], *vectors.shape[-3:])[..., 0, :, :]
        return self.out(attention(queries, vectors[..., 1:, :, :], 0.0).flatten(-2))  # type: ignore[no-any-return]

    def keys_values(self, x: Tensor) -> Tensor:
        """See `SelfAttention`."""
        return self._project(x)[..., 1:, :, :]

    def _project(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.projections(x)
        return vectors.view(*vectors.shape[:-1], 3, self.num_heads, -1)


def check_precision(precision: str, device: torch.device) -> None:
    """Raise ConfigError if products cannot have this precision on this device."""
    if precision not in get_args(Precision):
        raise ConfigError(f"precision: must be float32, bfloat16 or int8, found {precision!r}")
    if precision == "int8" and device.type != "cpu":
        raise ConfigError(f"precision: int8 needs the CPU, found {device.type}; there, bfloat16 and float32 work")
    if precision == "int8" and not input_levels():
        raise ConfigError("precision: int8 needs an x86 processor and a torch with oneDNN; here, float32 works")


def noted_precision(precision: Precision | None) -> dict[str, str]:
    """What the settings of a job say of a precision: nothing if none was chosen, as in former versions."""
    return {} if precision is None else {"precision": precision}


def released_precision(device: torch.device) -> Precision:
    """The precision of released weights, if none is chosen: on GPUs bfloat16, as they are on the disk."""
    return "bfloat16" if device.type == "cuda" else "float32"


def cache_dtype(precision: Precision, weight: Tensor, head_width: int) -> torch.dtype | None:
    """The type in which a model of this precision keeps keys and values; None for the type of its outputs.

    On a CPU, attention waits for them more than it computes, so `compiled.attend` reads them in half as many bytes.
    """
    halved = precision != "float32" and can_pack(weight) and compiled.takes(head_width) and compiled.available()
    return torch.bfloat16 if halved else None


def weights_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type of a model's weights before `Model.prepare`: on a CPU float32, which layers then convert themselves."""
    return torch.bfloat16 if precision == "bfloat16" and device.type != "cpu" else torch.float32


@cache
def input_levels() -> int:
    """The largest number to which `Int8Linear` scales inputs so that its sums are exact; 0 where it cannot work."""
    if not all(hasattr(torch.ops.onednn, name) for name in ("qlinear_prepack", "qlinear_pointwise")):
        return 0
    weight = torch.full((16, 64), 127, dtype=torch.int8)
    ones, zeros = torch.ones(16), torch.zeros(16, dtype=torch.int64)
    for levels in (127, 63):
        try:
            packed = torch.ops.onednn.qlinear_prepack(weight, None)
            largest = torch.full((16, 64), 128 + levels, dtype=torch.uint8)
            if (_byte_product(largest, 1.0, packed, ones, zeros) == 64 * 127 * levels).all():
                return levels
        except RuntimeError:
            return 0
    return 0


def _byte_product(x: Tensor, scale: float, packed: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """Rows of bytes around 128, `(N, in)`, times a weight in 8 bits, as float32 `(N, out)`."""
    return torch.ops.onednn.qlinear_pointwise(  # type: ignore[no-any-return]
        x, scale, 128, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
