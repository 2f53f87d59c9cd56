"""Generation of latents: at each step a row decides whether a latent follows, draws it, and reads it.

Rows are independent: each has its own noise, its own place in the cache and its own age. A row that ends leaves the
batch, and others may enter it between two steps. So batching does not change what a row generates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor

from latent.data.batch import GenerationPrompts, stacked
from latent.decoding.frame_block import FRAMES, FrameBlock, FrameRule
from latent.diffusion.sampler import RowNoise, SamplerSection
from latent.nn.cache import joined_order
from latent.nn.static_cache import capacity_for
from s2s.decoding.base import Streamer
from s2s.nn.capture import in_bucket
from s2s.registry import register_decoder


@dataclass(frozen=True)
class Frames:
    """The latents of one step.

    Args:
        rows: Rows that drew a latent, in the order of `latents`: keys from `Drawing.add`.
        latents: `(R, L)`, as the audio tokenizer decodes them.
        ended: Rows that ended before this step; True where the model ended them, False where the limit did.
    """

    rows: list[int]
    latents: Tensor
    ended: dict[int, bool]


@register_decoder("next_token_diffusion")
class NextTokenDiffusionDecoder(Streamer):
    """Draws latents until the model ends them."""

    class Config(SamplerSection):
        """Options of generation by next-token diffusion."""

        stop_threshold: float = Field(0.5, gt=0, le=1)
        """Probability of the end token, against the token for "a latent follows", at which generation ends."""
        min_frames: NonNegativeInt = 1
        """Minimum number of latents."""
        speaker_guidance_scale: NonNegativeFloat | None = None
        """Scale of guidance of the speaker, where it is not that of the text: higher is closer to the voice prompt.
        Needs a voice trained with task.nameless_rate, and a third more work unless guidance_scale is 1."""

    config: NextTokenDiffusionDecoder.Config

    def stream(self, model: Any, prompts: GenerationPrompts) -> Iterator[Frames]:
        """The latents that a LatentLM draws, step by step, until all rows have ended; prompts are on its device."""
        drawing = self.start(model)
        drawing.add(prompts)
        while len(drawing):
            yield drawing.step()

    def start(self, model: Any) -> Drawing:
        """A batch without rows, for a LatentLM."""
        kind = BlockDrawing if next(model.parameters()).device.type == "cuda" else Drawing
        return kind(model, self.config)


@dataclass
class _Row:
    """What a row is drawn by; `frame` is the number of its next latent."""

    key: int
    temperature: Tensor
    max_frames: int
    cues: Tensor | None
    frame: int = 0


class Drawing:
    """Rows that draw latents together, each as it would alone; rows enter and leave between two steps.

    A step first reads the latents of the step before it, so that the caller has these as soon as they are drawn.
    """

    def __init__(self, model: Any, config: NextTokenDiffusionDecoder.Config) -> None:
        self._model, self._config = model, config
        self._sampler = config.sampler(model, config.speaker_guidance_scale)
        self._streams = len(self._sampler.streams)
        self._timed = len({"conditional", "textual"}.intersection(self._sampler.streams))  # those with cues, the first
        self._next_key = 0
        self._rows: list[_Row] = []
        self._state: Any = None
        self._unread: Tensor | None = None
        self._noise: RowNoise
        self._rule: FrameRule

    def __len__(self) -> int:
        return len(self._rows)

    @torch.inference_mode()
    def add(self, prompts: GenerationPrompts) -> list[int]:
        """Let rows enter, from prompts on the device of the model; returns the keys that `Frames` name them by.

        Raises:
            InputError: see `LatentLM.prefill`.
        """
        started = stacked(*(getattr(prompts, name) for name in self._sampler.streams))
        state = self._model.prefill(started, started.tokens.shape[1] + max(prompts.max_frames))
        if self._rows:
            self._read()
            here, more = len(self._rows), len(prompts.seeds)
            self._state.add(state, joined_order(here, more, self._streams, state.hidden.device))
            self._noise.add(prompts.seeds)
        else:
            device = state.hidden.device
            self._state, self._noise = state, RowNoise(prompts.seeds, self._model.config.latent_size, device)
            legal = torch.tensor([prompts.latent_token, prompts.end_token], device=device)
            self._rule = FrameRule(self._model, self._sampler, legal, self._config.stop_threshold, self._timed)
        first = self._next_key
        self._next_key += len(prompts.seeds)
        for row, (temperature, most) in enumerate(zip(prompts.temperatures, prompts.max_frames, strict=True)):
            cues = None if prompts.cues is None else prompts.cues[row]
            self._rows.append(_Row(first + row, temperature, most, cues))
        return list(range(first, self._next_key))

    @torch.inference_mode()
    def remove(self, keys: Collection[int]) -> None:
        """Let rows leave before they end."""
        self._read()
        self._leave([index for index, row in enumerate(self._rows) if row.key in keys])

    @torch.inference_mode()
    def step(self) -> Frames:
        """The next latent of each row, or its end; there must be a row."""
        self._read()
        ended = self._ended()
        nothing = self._state.hidden.new_empty(0, self._model.config.latent_size)
        finished = {self._rows[index].key: by_model for index, by_model in ended.items()}
        self._leave(ended)
        if not self._rows:
            return Frames([], nothing, finished)
        self._unread = self._draw()
        for row in self._rows:
            row.frame += 1
        return Frames([row.key for row in self._rows], self._model.denormalize(self._unread), finished)

    def _ended(self) -> dict[int, bool]:
        """Indices of rows that end before this frame: True where the model ends them, False where the limit does."""
        said: list[bool] = [False] * len(self._rows)
        if any(row.frame >= self._config.min_frames for row in self._rows):
            said = self._rule.says_end(self._state.hidden[: len(self._rows)]).tolist()
        return self._over(said)

    def _over(self, said: Sequence[bool]) -> dict[int, bool]:
        """See `_ended`; `said` is what the model says of each row."""
        ended = {}
        for index, row in enumerate(self._rows):
            by_model = said[index] and row.frame >= self._config.min_frames
            if by_model or row.frame >= row.max_frames:
                ended[index] = by_model
        return ended

    def _draw(self) -> Tensor:
        """Normalized latents `(R, L)`, in at least float32."""
        hidden = self._state.hidden.chunk(self._streams)
        precision = torch.promote_types(hidden[0].dtype, torch.float32)
        temperatures = torch.stack([row.temperature for row in self._rows]).unsqueeze(1)
        drawn = self._noise.draw().to(precision) * temperatures
        return self._sampler.sample(hidden, drawn, self._noise)

    def _read(self) -> None:
        """Append the latents of the last step."""
        if self._unread is None:
            return
        cues = [row.cues[min(row.frame, len(row.cues) - 1)] for row in self._rows if row.cues is not None]
        latents = self._unread.to(self._state.hidden.dtype)
        told = torch.stack(cues).repeat(self._timed, 1) if cues else None
        inputs = self._model.next_inputs(latents, self._streams, told)
        self._model.append(self._state, inputs)
        self._unread = None

    def _leave(self, leaving: Collection[int]) -> None:
        """Drop the rows at some indices."""
        if not leaving:
            return
        kept = [index for index in range(len(self._rows)) if index not in leaving]
        if kept:
            everywhere = [index + stream * len(self._rows) for stream in range(self._streams) for index in kept]
            self._state.keep(torch.tensor(everywhere, device=self._state.hidden.device))
            self._noise.select(kept)
        else:
            self._state = None  # with its memory
        self._rows = [self._rows[index] for index in kept]


class BlockDrawing(Drawing):
    """The same on a GPU: rows draw a block of latents without the host, see `latent.decoding.frame_block`.

    The latents of a block are given out step by step; rows that enter begin with the next block.
    """

    def __init__(self, model: Any, config: NextTokenDiffusionDecoder.Config) -> None:
        super().__init__(model, config)
        self._waiting: deque[Frames] = deque()
        self._told: set[int] = set()  # rows whose end was not given out
        self._blocks: dict[tuple[int, int], FrameBlock] = {}
        self._loaded: FrameBlock | None = None

    def __len__(self) -> int:
        return len(self._told)

    @torch.inference_mode()
    def add(self, prompts: GenerationPrompts) -> list[int]:
        """See `Drawing`."""
        self._settle()
        keys = super().add(prompts)
        self._told.update(keys)
        return keys

    @torch.inference_mode()
    def remove(self, keys: Collection[int]) -> None:
        """See `Drawing`; also forgets latents that were not given out."""
        super().remove(keys)
        self._told.difference_update(keys)
        self._waiting = deque(_without(frames, keys) for frames in self._waiting)

    @torch.inference_mode()
    def step(self) -> Frames:
        """See `Drawing`."""
        if not self._waiting:
            self._draw_block()
        frames = self._waiting.popleft()
        self._told.difference_update(frames.ended)
        return frames

    def _draw_block(self) -> None:
        block = self._loaded or self._load()
        cues = None if self._rows[0].cues is None else [_next_cues(row) for row in self._rows]
        latents, said = block.run(self._noise, cues)
        gone: list[int] = []
        for frame in range(FRAMES):
            over = {index: by_model for index, by_model in self._over(said[frame]).items() if index not in gone}
            gone += over
            stay = [index for index in range(len(self._rows)) if index not in gone]
            ended = {self._rows[index].key: by_model for index, by_model in over.items()}
            self._waiting.append(Frames([self._rows[index].key for index in stay], latents[frame, stay], ended))
            for index in stay:
                self._rows[index].frame += 1
            if not stay:
                break
        self._leave(gone)

    def _load(self) -> FrameBlock:
        """A block that holds the state."""
        rows, width = in_bucket(len(self._rows)), 0 if self._rows[0].cues is None else self._rows[0].cues.shape[1]
        sizes = rows, capacity_for(self._state.cache, FRAMES)
        if sizes not in self._blocks:
            self._blocks.clear()  # its tensors are as large as the cache
            self._blocks[sizes] = FrameBlock(self._rule, self._state, rows, width)
        self._loaded = self._blocks[sizes]
        self._loaded.load(self._state, [row.temperature for row in self._rows])
        return self._loaded

    def _settle(self) -> None:
        """Give the state back to where rows enter and leave."""
        if self._loaded is not None:
            self._loaded.give_back(self._state)
            self._loaded = None

    def _leave(self, leaving: Collection[int]) -> None:
        if leaving:
            self._settle()
        super()._leave(leaving)


def _next_cues(row: _Row) -> Tensor:
    """What the model reads after each of the next `FRAMES` latents of a row, `(FRAMES, C)`."""
    assert row.cues is not None, "of a model with cues"
    frames = torch.arange(row.frame + 1, row.frame + FRAMES + 1, device=row.cues.device)
    return row.cues[frames.clamp(max=len(row.cues) - 1)]


def _without(frames: Frames, keys: Collection[int]) -> Frames:
    kept = [index for index, key in enumerate(frames.rows) if key not in keys]
    ended = {key: by_model for key, by_model in frames.ended.items() if key not in keys}
    return Frames([frames.rows[index] for index in kept], frames.latents[kept], ended)
