"""Losses of models that generate a word or copy it from the source."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from s2s.config import Fact, Section
from s2s.criteria.base import Criterion
from s2s.data.batch import CopyBatch
from s2s.nn.copying import Copying
from s2s.nn.token_loss import by_rows
from s2s.registry import register_criterion

_IMPOSSIBLE = -1e4
"""Log-probability of what cannot be; finite, for its gradient."""


@runtime_checkable
class Copier(Protocol):
    """A model that also says what it would copy."""

    def copying(self, batch: CopyBatch) -> tuple[Tensor, Copying]:
        """Hidden states at `batch.slots`, `(N, D)`, and what the copy head says there, `(N,)` and `(N, S)`."""

    def logits(self, features: Tensor) -> Tensor:
        """Scores over the vocabulary, `(N, V)`, of rows of features, `(N, D)`."""


class CopyCriterion(Criterion):
    """What both losses share: each label is generated, copied, or may be either."""

    class Config(Section):
        """Options of a loss with copying."""

        chunk_rows: Fact[int] = Field(1024, ge=1)
        """Labels scored at a time; smaller chunks need less memory, larger ones have less overhead."""

    model_type = Copier
    batch_type: ClassVar[type] = CopyBatch
    config: CopyCriterion.Config

    def weights(self, batch: CopyBatch) -> dict[str, float]:
        """The number of labels."""
        count = float(len(batch.labels))
        return {"loss": count, "copied": count}

    def forward(self, model: Any, batch: CopyBatch, phase: str = "model") -> dict[str, Tensor]:
        """Summed loss, and the number of labels that the model would rather copy."""
        features, copying = model.copying(batch)
        sentences = torch.div(batch.slots, batch.steps.shape[1], rounding_mode="floor")
        found = batch.copies[sentences] == batch.extended.unsqueeze(1)  # (N, S)

        def score(features: Tensor, labels: Tensor, extended: Tensor, gate: Tensor, attention: Tensor, found: Tensor):  # type: ignore[no-untyped-def]
            log_probs = model.logits(features).log_softmax(-1, dtype=torch.float32)
            generated = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1) + F.logsigmoid(-gate)
            loss = self.cost(generated, F.logsigmoid(gate), attention, found, extended != labels)
            return loss, gate > 0

        columns = (features, batch.labels, batch.extended, copying.gate, copying.attention, found)
        loss, copied = by_rows(score, self.config.chunk_rows, *columns)
        return {"loss": loss.sum(), "copied": copied.sum()}

    @abstractmethod
    def cost(self, generated: Tensor, gate: Tensor, attention: Tensor, found: Tensor, unknown: Tensor) -> Tensor:
        """The loss of each label, `(n,)`.

        Args:
            generated: Log-probability of generating it, `(n,)`.
            gate: Log-probability of copying, `(n,)`.
            attention: Log-probability of each source slot, `(n, S)`.
            found: The slots that hold the label, `(n, S)` bool.
            unknown: Whether the vocabulary lacks the label and the source has it, `(n,)` bool.
        """


@register_criterion("hard_switch")
class HardSwitch(CopyCriterion):
    """Each label is either generated or copied: copied if the vocabulary lacks it and the source has it.

    A copied label is copied from the first place in the source. Source: Zhou et al. 2017 (arXiv 1704.01792), and its
    program, magic282/NQG.
    """

    def cost(self, generated: Tensor, gate: Tensor, attention: Tensor, found: Tensor, unknown: Tensor) -> Tensor:
        first = found.int().argmax(-1, keepdim=True)
        copied = gate + attention.gather(-1, first).squeeze(-1)
        return -torch.where(unknown, copied, generated)


@register_criterion("pointer_generator")
class PointerGenerator(CopyCriterion):
    """Each label may be generated and copied from every place where the source has it; the probabilities add up.

    Source: See et al. 2017 (arXiv 1704.04368), without coverage.
    """

    def cost(self, generated: Tensor, gate: Tensor, attention: Tensor, found: Tensor, unknown: Tensor) -> Tensor:
        copied = gate + attention.masked_fill(~found, _IMPOSSIBLE).logsumexp(-1)
        return -torch.logaddexp(generated.masked_fill(unknown, _IMPOSSIBLE), copied)
