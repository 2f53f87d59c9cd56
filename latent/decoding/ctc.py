"""Greedy CTC decoding: the most probable token of each latent, without the model's own text."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from latent.data.batch import LatentSources
from s2s.config import Section
from s2s.data.batch import SourceBatch
from s2s.decoding.base import Hypothesis, Search
from s2s.errors import ConfigError
from s2s.registry import register_decoder


@runtime_checkable
class FrameScorer(Protocol):
    """A model that scores what sounds at each latent."""

    def frame_scores(self, sources: LatentSources) -> Tensor:
        """Scores over the vocabulary at each latent, `(M, V)`."""


@register_decoder("ctc")
class CTCSearch(Search):
    """Equal tokens in a row are one, and blanks are left out; for models trained with `hybrid_ctc`.

    The model does not read what it has written. That is better after little training data, from which it learns what
    sounds earlier than how texts go on, and many times faster. Source: Graves et al., ICML 2006, best-path decoding.
    """

    class Config(Section):
        """Best-path decoding has no options."""

    @torch.inference_mode()
    def __call__(self, model: Any, sources: SourceBatch) -> list[list[Hypothesis]]:
        if not isinstance(model, FrameScorer) or not isinstance(sources, LatentSources):
            raise ConfigError("decoder.name: 'ctc' is for the task 'speech_recognition' with the model 'latent_unilm'")
        scores, best = model.frame_scores(sources).log_softmax(-1, dtype=torch.float32).max(-1)
        rows = torch.div(sources.latent_slots, sources.tokens.shape[1], rounding_mode="floor")
        blank = int(sources.tokens.flatten()[sources.latent_slots[0]])
        return [
            [_hypothesis(best[rows == row].tolist(), float(scores[rows == row].sum()), blank)]
            for row in range(len(sources.ids))
        ]


def _hypothesis(path: list[int], log_prob: float, blank: int) -> Hypothesis:
    """The text of a path, one token for each latent."""
    changes = [token for token, before in zip(path, [blank, *path], strict=False) if token not in (blank, before)]
    return Hypothesis(changes, log_prob, log_prob, finished=True)
