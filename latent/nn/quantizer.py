"""Vectors to codes: the nearest of some unit vectors, which follow the means of what they stand for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ROUNDS_OF_START = 10
_LEAST_USE = 0.05
"""A code that stands for less than this share of its fair part, on a running mean, is given a new vector."""


class Quantized(NamedTuple):
    """Codes `(M,)`, their vectors `(M, K)` with the gradient of what they stand for, and the loss that binds both."""

    codes: Tensor
    vectors: Tensor
    commitment: Tensor


class NormEMAQuantizer(nn.Module):
    """A codebook of unit vectors. In training each moves to the running mean of the vectors that are nearest to it.

    The first batch of training gives the codes their vectors, by k-means of directions; codes that are hardly used get
    those of random rows. Several processes of a training share sums, so they have the same codebook.

    Source: BEiT v2 (arXiv 2208.06366); `microsoft/unilm: beit2/norm_ema_quantizer.py`.
    """

    codebook: Tensor
    use: Tensor
    started: Tensor

    def __init__(self, num_codes: int, code_size: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("codebook", F.normalize(torch.randn(num_codes, code_size), dim=-1))
        self.register_buffer("use", torch.ones(num_codes))
        self.register_buffer("started", torch.zeros(1))

    def forward(self, rows: Tensor) -> Quantized:
        """The codes of rows `(M, K)` of any length; in training the codebook follows them."""
        unit = F.normalize(rows.float(), dim=-1)
        if self.training and not self.started:
            self._start(unit.detach())
        codes = self.nearest(unit)
        vectors = self.codebook[codes]
        if self.training:
            self._follow(unit.detach(), codes)
        return Quantized(codes, unit + (vectors - unit).detach(), (unit - vectors).square().mean(-1))

    def nearest(self, unit: Tensor) -> Tensor:
        """The code `(M,)` of each unit vector `(M, K)`."""
        return (unit @ self.codebook.T).argmax(-1)

    def _start(self, unit: Tensor) -> None:
        self.codebook.copy_(_shared_first(unit[torch.randint(len(unit), (len(self.codebook),), device=unit.device)]))
        for _ in range(_ROUNDS_OF_START):
            sums, counts = self._sums(unit, self.nearest(unit))
            self.codebook.copy_(torch.where(counts > 0, F.normalize(sums, dim=-1), self.codebook))
        self.started.fill_(1)

    def _follow(self, unit: Tensor, codes: Tensor) -> None:
        sums, counts = self._sums(unit, codes)
        means = torch.where(counts > 0, F.normalize(sums, dim=-1), self.codebook)
        self.codebook.copy_(F.normalize(self.codebook.lerp(means, 1 - self.decay), dim=-1))
        fair = counts.sum() / len(self.codebook)
        self.use.mul_(self.decay).add_(counts.squeeze(-1) / fair, alpha=1 - self.decay)
        unused = self.use < _LEAST_USE
        fresh = _shared_first(unit[torch.randint(len(unit), (len(self.codebook),), device=unit.device)])
        self.codebook.copy_(torch.where(unused.unsqueeze(-1), fresh, self.codebook))
        self.use.masked_fill_(unused, 1.0)

    def _sums(self, unit: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The sum `(codes, K)` of the vectors of each code, and their number `(codes, 1)`, of all processes."""
        sums = torch.zeros_like(self.codebook).index_add_(0, codes, unit)
        counts = torch.bincount(codes, minlength=len(self.codebook)).to(sums.dtype).unsqueeze(-1)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
            torch.distributed.all_reduce(counts)
        return sums, counts


def _shared_first(rows: Tensor) -> Tensor:
    """The rows of the first process."""
    if torch.distributed.is_initialized():
        torch.distributed.broadcast(rows, 0)
    return rows
