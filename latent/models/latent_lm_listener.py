"""LatentLM that listens: latents of speech in, text out, by the layers that draw the latents of a voice.

    [CLS] ⟂ ⟂ ⟂ ⟂ [SEP] t e x t

⟂ holds a latent. Every position sees what precedes it alone, and from [SEP] on each predicts the next token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latent.data.batch import NOT_HEARD, HeardBatch, HeardSources, MixedSequences
from latent.models.latent_lm import LatentLM
from latent.nn.writing import TextState, Writing, joined
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

    def frame_scores(self, sources: HeardSources) -> Tensor:
        """See `latent.decoding.ctc.FrameScorer`."""
        hidden = self.hidden(_sequences(sources))
        return self.logits(hidden.flatten(0, 1).index_select(0, sources.latent_slots))

    # Generation

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """See `s2s.decoding.base.StepModel`."""
        Writing(self).check_lengths(lengths + 1, max_steps)

    def start(self, sources: SourceBatch, max_steps: int) -> TextState:
        """See `s2s.decoding.base.StepModel`; each recording is read alone."""
        assert isinstance(sources, HeardSources), "the task of this model has no others"
        self.check_lengths(sources.lengths, max_steps)
        writing, told = Writing(self), self.embeddings.weight[start_token(sources.feeding)]
        states = []
        for row, length in zip(self.embed(_sequences(sources)), sources.lengths.tolist(), strict=True):
            states.append(writing.empty(length + 1 + max_steps))
            writing.read(states[-1], torch.cat([row[:length], told.unsqueeze(0)]).unsqueeze(0))
        return joined(states)

    def step(self, state: TextState, tokens: Tensor | None) -> Tensor:
        """See `s2s.decoding.base.StepModel`."""
        hidden = state.hidden.unsqueeze(1) if tokens is None else Writing(self).write(state, tokens)
        return self.logits(hidden)


def start_token(feeding: Feeding) -> int:
    """The token after the latents; ConfigError if the text is not written from left to right."""
    if feeding.start is None:
        raise ConfigError("task.method: must be causal for the model 'latent_lm_listener', which reads left to right")
    return feeding.start


def _sequences(sources: HeardSources) -> MixedSequences:
    return MixedSequences(sources.ids, sources.tokens, sources.lengths, sources.latents, sources.latent_slots)


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
