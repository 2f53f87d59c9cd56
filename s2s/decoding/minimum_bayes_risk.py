"""Minimum-Bayes-risk decoding: of many samples, the one that is most like all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from s2s.data.batch import SourceBatch
from s2s.data.text_metrics import TEXT_METRICS, likeness
from s2s.decoding.base import Hypothesis, StepModel, TokenIds, no_tokens
from s2s.decoding.sampling import Sampling
from s2s.errors import ConfigError, InputError
from s2s.packages import load
from s2s.registry import register_decoder


@register_decoder("mbr")
class MinimumBayesRisk(Sampling):
    """Draws samples, and gives those of the highest mean score against all samples, by a metric of `evaluate`.

    The samples stand for what the model finds right, so this output loses least if one of them is the reference. A
    score is this mean, in per cent; for `wer` it is negative. Equal ones are ranked by log-probability.
    Source: Eikema and Aziz 2020 (arXiv 2005.10283), with samples as candidates.
    """

    class Config(Sampling.Config):
        """Options of minimum-Bayes-risk decoding."""

        num_hypotheses: int = Field(1, ge=1, le=1000)
        """Maximum outputs of each sentence, all different, best first."""
        num_samples: int = Field(32, ge=2, le=1000)
        """Samples of each sentence. Time for comparing them grows with the square."""
        metric: Literal["rouge_1", "rouge_2", "rouge_l", "bleu", "chrf", "wer"] = "chrf"
        """What compares two samples, as `evaluate --task generic` does; for two texts, BLEU leaves out the lengths of
        n-grams that they do not have."""

    config: MinimumBayesRisk.Config

    def __init__(self, config: MinimumBayesRisk.Config, token_id: TokenIds = no_tokens) -> None:
        super().__init__(config, token_id)
        self._text: Callable[[Sequence[int]], str] | None = None
        try:
            load(*TEXT_METRICS[config.metric].package)
        except InputError as error:
            raise ConfigError(f"decoder.metric: {error}") from error

    @property
    def num_draws(self) -> int:
        return self.config.num_samples

    def write_with(self, text: Callable[[Sequence[int]], str]) -> None:
        self._text = text

    def __call__(self, model: StepModel, sources: SourceBatch) -> list[list[Hypothesis]]:
        """Samples of each sentence, the one of least risk first."""
        return [self._ranked(samples) for samples in super().__call__(model, sources)]

    def _ranked(self, samples: list[Hypothesis]) -> list[Hypothesis]:
        assert self._text is not None, "write_with has been called"
        texts = [self._text(sample.tokens) for sample in samples]
        counts = Counter(texts)
        means = {
            text: sum(count * likeness(self.config.metric, text, other) for other, count in counts.items()) / len(texts)
            for text in counts
        }
        first = dict(zip(reversed(texts), reversed(samples), strict=True))
        scored = [replace(first[text], score=means[text]) for text in counts]
        return sorted(scored, key=lambda one: (-one.score, -one.log_prob))[: self.config.num_hypotheses]
