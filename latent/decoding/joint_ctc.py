"""Beam search by attention and CTC together: a text must be likely for the model, and all of it must be heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from latent.data.batch import LatentSources
from latent.decoding.ctc import FrameScorer
from latent.nn.ctc import PrefixScores, by_recording
from s2s.data.batch import SourceBatch
from s2s.decoding.base import State, StepModel
from s2s.decoding.beam import BeamSearch
from s2s.decoding.repetition import penalize_repeated
from s2s.decoding.search_config import start
from s2s.decoding.searching import Beam, Searching
from s2s.errors import ConfigError
from s2s.registry import register_decoder


@register_decoder("joint_ctc")
class JointCTCSearch(BeamSearch):
    """Beam search in which each token is scored by the model's attention and by CTC on the latents.

    Attention alone may stop early, leave words out or repeat them; CTC knows how much was heard. For models trained
    with `hybrid_ctc`. Source: Watanabe et al., Hybrid CTC/attention architecture for end-to-end speech recognition
    (IEEE J-STSP, 2017), one-pass decoding.
    """

    class Config(BeamSearch.Config):
        """Options of the joint search."""

        ctc_weight: float = Field(0.3, gt=0, le=1)
        """Share of CTC in the score of a text, whose log-probability is (1 - share) · attention + share · CTC."""

    config: JointCTCSearch.Config

    @torch.inference_mode()
    def start(self, model: StepModel, sources: SourceBatch, exhaustive: bool = False) -> Searching:
        if not isinstance(model, FrameScorer) or not isinstance(sources, LatentSources):
            raise ConfigError("decoder.name: 'joint_ctc' is for models of the task 'speech_recognition'")
        return super().start(JointScorer(model, self.config), sources, exhaustive)

    def log_probs(self, beam: Beam, logits: Tensor) -> Tensor:
        return penalize_repeated(logits, beam.tokens, self.config.repetition_penalty)


@dataclass
class JointState:
    """What the model remembers, and what CTC knows of each hypothesis."""

    model: State
    ctc: PrefixScores
    end: int

    def select(self, sentences: Tensor | None, parents: Tensor) -> None:
        """See `s2s.decoding.base.State`."""
        self.model.select(sentences, parents)
        self.ctc.select(sentences, parents)


class JointScorer:
    """A `StepModel` whose scores are log-probabilities of attention and CTC together; they do not sum to 1.

    Args:
        model: A `StepModel` that is a `FrameScorer`.
        config: The weight of CTC, and the temperature of the model's attention.
    """

    def __init__(self, model: Any, config: JointCTCSearch.Config) -> None:
        self._model, self._config = model, config

    def check_lengths(self, lengths: Tensor, max_steps: int) -> None:
        """See `s2s.decoding.base.StepModel`."""
        self._model.check_lengths(lengths, max_steps)

    def start(self, sources: SourceBatch, max_steps: int) -> JointState:
        """See `s2s.decoding.base.StepModel`; the sources are `LatentSources`."""
        assert isinstance(sources, LatentSources), "checked by `JointCTCSearch.start`"
        log_probs = self._model.frame_scores(sources).log_softmax(-1, dtype=torch.float32)
        rows, width = sources.tokens.shape
        blank = int(sources.tokens.flatten()[sources.latent_slots[0]])
        ctc = PrefixScores(*by_recording(log_probs, sources.latent_slots, rows, width), blank)
        return JointState(start(self._model, sources, max_steps, self._config), ctc, sources.feeding.end)

    def start_tempered(self, sources: SourceBatch, max_steps: int, temperature: object) -> JointState:
        """See `s2s.decoding.search_config.TemperedModel`; `start` finds the temperature in the configuration."""
        return self.start(sources, max_steps)

    def step(self, state: JointState, tokens: Tensor | None) -> Tensor:
        """See `s2s.decoding.base.StepModel`."""
        if tokens is not None:
            state.ctc.append(tokens)
        attention: Tensor = self._model.step(state.model, tokens).log_softmax(-1, dtype=torch.float32)
        weight = self._config.ctc_weight
        return (1 - weight) * attention + weight * state.ctc.scores(state.end).to(attention)
