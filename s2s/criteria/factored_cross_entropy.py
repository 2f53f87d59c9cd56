"""Cross entropy of outputs of several parts, a loss for each."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor
from torch.nn import functional as F

from s2s.criteria.base import Criterion
from s2s.data.melody_batch import MelodyBatch
from s2s.data.melody_vocabulary import STREAMS
from s2s.registry import register_criterion


@runtime_checkable
class StreamScorer(Protocol):
    """A model that scores each stream of a note."""

    def note_features(self, batch: MelodyBatch) -> Tensor:
        """Hidden states from which each note is predicted, `(B, N, D)`."""

    def stream_logits(self, stream: int, features: Tensor, values: Tensor) -> Tensor:
        """Scores of one stream, `(M, size)`, of features `(M, D)`, given the streams before it in `values` `(M, 3)`."""


@register_criterion("factored_cross_entropy")
class FactoredCrossEntropy(Criterion):
    """Cross entropy of pitch, of length given the pitch, and of the end of the syllable given both, per note."""

    losses: ClassVar[tuple[str, ...]] = STREAMS

    model_type = StreamScorer
    batch_type: ClassVar[type] = MelodyBatch

    def weights(self, batch: MelodyBatch) -> dict[str, float]:
        """The number of notes."""
        count = float(batch.num_tokens)
        return dict.fromkeys(STREAMS, count) | {f"{name}_accuracy": count for name in STREAMS}

    def forward(self, model: StreamScorer, batch: MelodyBatch, phase: str = "model") -> dict[str, Tensor]:
        """Summed losses of the streams, and how many of their values are the most probable ones."""
        real = batch.real
        features, values = model.note_features(batch)[real], batch.notes[real]
        sums = {}
        for stream, name in enumerate(STREAMS):
            logits, labels = model.stream_logits(stream, features, values), values[:, stream]
            sums[name] = F.cross_entropy(logits.float(), labels, reduction="sum")
            sums[f"{name}_accuracy"] = (logits.argmax(-1) == labels).sum()
        return sums
