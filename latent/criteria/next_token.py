"""Cross entropy of the tokens that a model of tokens and latents writes: it listens, and draws no latents."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional as F

from latent.data.batch import MixedBatch, MixedSequences
from s2s.criteria.base import Criterion
from s2s.data.batch import Batch
from s2s.errors import ConfigError
from s2s.registry import register_criterion


@runtime_checkable
class Writer(Protocol):
    """A model of tokens and latents that writes tokens."""

    def hidden(self, batch: MixedSequences) -> Tensor:
        """Hidden states, `(B, T, H)`."""

    def logits(self, features: Tensor) -> Tensor:
        """Scores of the tokens, `(N, V)`, from hidden states `(N, H)`."""


@register_criterion("next_token")
class NextToken(Criterion):
    """Cross entropy of each token that follows a slot of the batch."""

    losses: ClassVar[tuple[str, ...]] = ("loss",)
    model_type = Writer
    batch_type = MixedBatch

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        if isinstance(batch, MixedBatch) and len(batch.predicted):
            raise ConfigError("NextToken does not train the latents that this task predicts")

    def weights(self, batch: MixedBatch) -> dict[str, float]:
        """Counts of predicted tokens."""
        count = float(len(batch.labels))
        return {"loss": count, "accuracy": count}

    def forward(self, model: Writer, batch: MixedBatch, phase: str = "model") -> dict[str, Tensor]:
        """Summed loss, and the number of tokens that the model ranks first."""
        hidden = model.hidden(batch).flatten(0, 1)
        logits = model.logits(hidden.index_select(0, batch.slots)).float()
        return {
            "loss": F.cross_entropy(logits, batch.labels, reduction="sum"),
            "accuracy": (logits.detach().argmax(-1) == batch.labels).sum(),
        }
