"""Guided sampling of latents: each row has its own noise, so that it comes out alike in any batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, Literal, Protocol

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from latent.diffusion.solver import Solver, SolverName, make_solver
from latent.nn.diffusion_head import DiffusionHead
from s2s.config import Section

StreamName = Literal["conditional", "textual", "unconditional"]
"""A stream of guidance: with all conditions, with the text alone, with none; as in `GenerationPrompts`."""


class Noise(Protocol):
    """A source of noise for the rows of a batch."""

    def draw(self) -> Tensor:
        """Unit noise, `(N, size)`."""


class RowNoise:
    """A source of noise for each row of a batch, `size` numbers a draw, independent of the other rows.

    Noise is drawn on the CPU and moved to `device`, so it is the same everywhere.
    """

    def __init__(self, seeds: Sequence[int], size: int, device: torch.device | str = "cpu") -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._size, self._device = size, device

    def draw(self) -> Tensor:
        """Unit noise, `(N, size)`."""
        rows = [torch.randn(self._size, generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self._device, non_blocking=True)

    def draw_many(self, count: int) -> Tensor:
        """The next `count` draws `(count, N, size)`, on the CPU."""
        return torch.stack(
            [
                torch.stack([torch.randn(self._size, generator=generator) for _ in range(count)])
                for generator in self._generators
            ],
            dim=1,
        )

    def add(self, seeds: Sequence[int]) -> None:
        """Sources for more rows, after the others."""
        self._generators += [torch.Generator().manual_seed(seed) for seed in seeds]

    def select(self, rows: Sequence[int]) -> None:
        """Keep some rows, in this order."""
        self._generators = [self._generators[row] for row in rows]

    def of(self, rows: Sequence[int]) -> RowNoise:
        """The source of some rows, in this order; the two share their generators."""
        part = copy(self)
        part.select(rows)
        return part


class GuidedSampler:
    """Draws latents with a diffusion head, by classifier-free guidance of text and speaker.

    output = unconditional + guidance · (textual - unconditional) + speaker guidance · (conditional - textual), where
    the textual stream knows the text but not the speaker. With equal scales it cancels out: output = unconditional +
    guidance · (conditional - unconditional). Source: MegaTTS 3 (arXiv 2502.18924), multi-condition guidance, after
    InstructPix2Pix (arXiv 2211.09800), equation 3.

    Args:
        head: The network. The embeddings of the steps are computed here: make a new sampler when its weights change.
        solver: The steps.
        guidance_scale: 1 is no guidance.
        speaker_guidance_scale: None: the same.
    """

    def __init__(
        self,
        head: DiffusionHead,
        solver: Solver,
        guidance_scale: float = 1.0,
        speaker_guidance_scale: float | None = None,
    ) -> None:
        device = head.noisy.weight.device
        self._steps = head.embed_steps(torch.tensor([step.timestep for step in solver], device=device)).unsqueeze(1)
        self.head, self.solver, self.guidance_scale = head, solver, guidance_scale
        self.speaker_guidance_scale = guidance_scale if speaker_guidance_scale is None else speaker_guidance_scale

    @property
    def streams(self) -> list[StreamName]:
        """The streams whose weight is not 0, which `sample` needs."""
        streams: list[StreamName] = ["conditional"]
        if self.speaker_guidance_scale != self.guidance_scale:
            streams.append("textual")
        if self.guidance_scale != 1:
            streams.append("unconditional")
        return streams

    def sample(self, conditions: Sequence[Tensor], noise: Tensor, step_noise: Noise | None = None) -> Tensor:
        """The latents `(N, L)` after the last step of `trajectory`."""
        return list(self.trajectory(conditions, noise, step_noise))[-1]

    def trajectory(
        self, conditions: Sequence[Tensor], noise: Tensor, step_noise: Noise | None = None
    ) -> Iterator[Tensor]:
        """The noisy latents after each step.

        Args:
            conditions: Hidden states of each of the `streams`, `(N, condition_size)`.
            noise: The noisy latents to start from, `(N, L)`. All streams denoise the same latent, in this type.
            step_noise: Noise of N rows for the steps of a stochastic solver.
        """
        assert len(conditions) == len(self.streams), f"this guidance needs the streams {self.streams}"
        modulations = self.head.modulations(self._steps, torch.cat(list(conditions))).unbind(0)  # (streams · N, M · H)
        x, previous = noise, None
        for step, modulation in zip(self.solver, modulations, strict=True):
            clean = step.clean(x, self._output(x, modulation))
            drawn = step_noise.draw() if step.d and step_noise is not None else None
            x, previous = step.next(x, clean, previous, drawn), clean
            yield x

    def _output(self, x: Tensor, modulation: Tensor) -> Tensor:
        """The guided output, in the type of `x`, which may be wider than that of the weights."""
        count = len(self.streams)
        noisy = x.to(self._steps.dtype).repeat(count, 1)
        conditional, *others = self.head.denoise(noisy, modulation).to(x.dtype).chunk(count)
        if not others:
            return conditional
        if len(others) == 1:  # of two scales, either both are equal or that of the text is 1
            return torch.lerp(others[0], conditional, self.speaker_guidance_scale)
        textual, unconditional = others
        of_text = torch.lerp(unconditional, textual, self.guidance_scale)
        return of_text + self.speaker_guidance_scale * (conditional - textual)


class SamplerSection(Section):
    """Options of drawing latents by diffusion."""

    solver: SolverName = "dpm"
    """dpm: DPM-Solver++ 2M; dpm_heun and dpm_sde: its variants; ddim: its first order; ddpm: DDPM."""
    num_inference_steps: int = Field(10, ge=1, le=1000)
    """Calls of the diffusion head for each latent."""
    guidance_scale: NonNegativeFloat = 1.3
    """Scale of classifier-free guidance; 1 is no guidance, and half the work."""
    temperature: NonNegativeFloat = 1.0
    """Factor of the noise that latents are drawn from, where a request names none. Below 1: less variation; small
    voices are clearest with 0."""

    def sampler(self, model: Any, speaker_guidance_scale: float | None = None) -> GuidedSampler:
        """The sampler for a LatentLM."""
        solver = make_solver(self.solver, model.schedule, self.num_inference_steps, model.config.prediction)
        return GuidedSampler(model.head, solver, self.guidance_scale, speaker_guidance_scale)
