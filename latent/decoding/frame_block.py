"""Some latents of each row, one after the other, without the host: what a GPU draws between two looks at the ends.

A frame (does a latent follow, its denoising, its way into the cache) works on tensors that keep their places, so that
a GPU runs it as a CUDA graph. Rows that end within a block go on to its end, for nothing. Noise is drawn before, on the
CPU as ever, so latents are those of the plain way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from latent.diffusion.sampler import GuidedSampler, RowNoise
from latent.nn.static_cache import StaticRowCache
from s2s.devices import sent
from s2s.nn.capture import Captured

FRAMES = 8
"""Latents of a row between two looks at the ends."""


@dataclass(frozen=True)
class FrameRule:
    """What frames are drawn by.

    Args:
        model: A LatentLM.
        sampler: Of its latents.
        legal: The tokens "a latent follows" and end, `(2,)`.
        stop_threshold: Probability at which a row ends.
        timed: Streams with cues, the first ones.
    """

    model: Any
    sampler: GuidedSampler
    legal: Tensor
    stop_threshold: float
    timed: int

    def says_end(self, hidden: Tensor) -> Tensor:
        """Whether the model ends rows with the hidden states `(R, H)`, `(R,)` bool."""
        logits: Tensor = self.model.logits(hidden, self.legal)
        return logits.float().softmax(-1)[:, 1] >= self.stop_threshold


class FrameBlock:
    """Tensors for `FRAMES` frames of at most `rows` rows.

    Args:
        rule: What they are drawn by.
        like: A state of the model (`MixedState`) as they will be loaded.
        rows: Most rows.
        cues: Tokens in a cue; 0 for a model without them.
    """

    def __init__(self, rule: FrameRule, like: Any, rows: int, cues: int) -> None:
        self._rule, self._rows, self._streams = rule, rows, len(rule.sampler.streams)
        hidden, size = like.hidden, rule.model.config.latent_size
        precision = torch.promote_types(hidden.dtype, torch.float32)
        self.cache = StaticRowCache(like.cache, self._streams, rows, FRAMES)
        self._hidden = hidden.new_zeros(self._streams * rows, hidden.shape[1])
        self._state = replace(like, cache=self.cache, hidden=self._hidden)
        self.draws = 1 + sum(step.d != 0 for step in rule.sampler.solver)
        self._noise = torch.zeros(FRAMES, self.draws, rows, size, device=hidden.device)
        self._temperatures = hidden.new_zeros(rows, 1, dtype=precision)
        self._cues = torch.zeros(FRAMES, rows, cues, dtype=torch.int64, device=hidden.device)
        self._said = torch.zeros(FRAMES, rows, dtype=torch.bool, device=hidden.device)
        self._latents = hidden.new_zeros(FRAMES, rows, size, dtype=precision)
        self._frame = torch.zeros(1, dtype=torch.int64, device=hidden.device)
        self._captured, self._appended = Captured(hidden.device), 0

    def load(self, state: Any, temperatures: Sequence[Tensor]) -> None:
        """Take in a state of R rows in each stream, and their temperatures, `()` each."""
        self.cache.load(state.cache)
        self._hidden.zero_()
        self._hidden.index_copy_(0, self.cache.places(len(temperatures)), state.hidden)
        self._temperatures[: len(temperatures), 0] = torch.stack(list(temperatures))
        self._appended = 0

    def give_back(self, state: Any) -> None:
        """Let a state that was loaded have read the latents drawn since."""
        self.cache.give_back(state.cache, self._appended)
        state.hidden = self._hidden.index_select(0, self.cache.places(len(state.hidden) // self._streams))

    def run(self, noise: RowNoise, cues: Sequence[Tensor] | None) -> tuple[Tensor, list[list[bool]]]:
        """Draw `FRAMES` latents of each of R rows; waits for the device once, at the end.

        Args:
            noise: Of the rows.
            cues: For each row, what the model reads after each of the latents, `(FRAMES, C)`.

        Returns:
            Latents as the audio tokenizer decodes them, `(FRAMES, R, L)`; whether the model ends each row before each.
        """
        drawn = noise.draw_many(FRAMES * self.draws)  # (FRAMES · draws, R, L)
        rows = drawn.shape[1]
        self._noise[:, :, :rows] = sent(drawn, self._noise.device).view(FRAMES, self.draws, rows, -1)
        if cues is not None:
            self._cues[:, :rows] = torch.stack(list(cues), 1)
        self._frame.zero_()
        for _ in range(FRAMES):
            self._captured(self._advance)
        self._appended += FRAMES
        return self._latents[:, :rows].clone(), self._said[:, :rows].tolist()

    def _advance(self) -> None:
        """One frame on the tensors."""
        rule, state, rows = self._rule, self._state, self._rows
        self._said.index_copy_(0, self._frame, rule.says_end(state.hidden[:rows]).unsqueeze(0))
        noise = FrameNoise(self._noise.index_select(0, self._frame)[0])
        first = noise.draw().to(self._temperatures.dtype) * self._temperatures
        latents = rule.sampler.sample(state.hidden.chunk(self._streams), first, noise)
        self._latents.index_copy_(0, self._frame, rule.model.denormalize(latents).unsqueeze(0))
        cues = self._cues.index_select(0, self._frame)[0].repeat(rule.timed, 1) if self._cues.shape[2] else None
        rule.model.append(state, rule.model.next_inputs(latents.to(state.hidden.dtype), self._streams, cues))
        self._hidden.copy_(state.hidden)
        state.hidden = self._hidden
        self._frame.add_(1)


class FrameNoise:
    """The noise of a frame, `(draws, R, L)`, one draw after the other."""

    def __init__(self, table: Tensor) -> None:
        self._draws = iter(table.unbind(0))

    def draw(self) -> Tensor:
        """Unit noise, `(R, L)`."""
        return next(self._draws)
