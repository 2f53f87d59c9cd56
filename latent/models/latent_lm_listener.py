"""LatentLM that listens: latents of speech in, text out, by the layers that draw the latents of a voice.

    [CLS] ⟂ ⟂ ⟂ ⟂ [SEP] t e x t

⟂ holds a latent. Every position sees what precedes it alone, and from [SEP] on each predicts the next token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latent.data.batch import NOT_HEARD, HeardBatch, LatentSources, MixedSequences
from latent.models.latent_lm import LatentLM
from latent.nn.writing import TextState
from s2s.data.batch import PADDING, Feeding, SourceBatch, TokenBatch
from s2s.errors import ConfigError
from s2s.nn.linear import remember_kernels
from s2s.nn.packed import Precision, pack_linears
from s2s.registry import register_model


@register_model("latent_lm_listener")
class LatentLMListener(LatentLM):
    """A LatentLM for recognition: it reads latents and writes text, and has no diffusion head.

    Source: LatentLM (arXiv 2412.08635): one causal Transformer reads latents as it reads tokens.
    """

    config: LatentLM.Config

    def __init__(self, config: LatentLM.Config) -> None:
        super().__init__(config)
        del self.head

    def prepare(self, precision: Precision = "float32") -> None:
        remember_kernels()
        pack_linears(self.layers, precision)
        pack_linears(self.connector, precision)

    # Training

    def features(self, batch: TokenBatch) -> Tensor:
        """See `s2s.criteria.base.Scorer`."""
        if not isinstance(batch, HeardBatch):
            raise ConfigError(NOT_HEARD)
        start_token(batch.feeding)
        sequences, moved = _compact(batch)
        return self.hidden(sequences).flatten(0, 1).index_select(0, moved[batch.slots])

    def frame_scores(self, sources: LatentSources) -> Tensor:
        """See `latent.decoding.ctc.FrameScorer`."""
        hidden = self.hidden(sources.sequences)
        return self.logits(hidden.flatten(0, 1).index_select(0, sources.latent_slots))

    # Generation

    def start(self, sources: SourceBatch, max_steps: int) -> TextState:
        """See `s2s.decoding.base.StepModel`."""
        start_token(sources.feeding)
        return super().start(sources, max_steps)


def start_token(feeding: Feeding) -> int:
    """The token after the latents; ConfigError if the text is not written from left to right."""
    if feeding.start is None:
        raise ConfigError("task.method: must be causal for the model 'latent_lm_listener', which reads left to right")
    return feeding.start


def _compact(batch: HeardBatch) -> tuple[MixedSequences, Tensor]:
    """Sources and targets without the padding between them, and where each slot has moved, as flat indices `(B L,)`."""
    real = batch.steps != PADDING
    lengths = real.sum(1)
    width = int(lengths.max())
    order = real.long().sort(dim=1, descending=True, stable=True).indices[:, :width]  # real slots as they come
    rows, columns = (torch.arange(size, device=order.device) for size in order.shape)
    moved = torch.zeros_like(batch.tokens).scatter(1, order, rows.unsqueeze(1) * width + columns).flatten()
    tokens = batch.tokens.gather(1, order)
    return MixedSequences(batch.ids, tokens, lengths, batch.latents, moved[batch.latent_slots]), moved
