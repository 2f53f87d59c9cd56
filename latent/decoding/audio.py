"""Audio from latents while they are generated: memory does not grow with the length."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from latent.decoding.next_token_diffusion import Frames
from latent.nn.conv import History, put_rows, take_rows


@dataclass(frozen=True)
class AudioChunk:
    """The next samples of some rows.

    Args:
        rows: The rows, in the order of `audio`.
        audio: `(R, S)`, not clipped.
        ended: Rows that ended before this chunk, see `Frames`.
        frames: The latents that the audio was decoded from, `(R, F, L)`; None from decoders that keep them.
    """

    rows: list[int]
    audio: Tensor
    ended: dict[int, bool]
    frames: Tensor | None = field(default=None, kw_only=True)


DecodeChunk = Callable[[Tensor, History | None], tuple[Tensor, History]]
"""Frames `(R, F, L)` and the history to samples `(R, 1, S)` and the next history: `SigmaVAE.decode_chunk`."""


def audio_chunks(decode_chunk: DecodeChunk, frames: Iterable[Frames], chunk_frames: int = 1) -> Iterator[AudioChunk]:
    """Decode latents as they come.

    Args:
        decode_chunk: Decodes latents, a method of the σ-VAE that made the model's latents.
        frames: From `NextTokenDiffusionDecoder.stream`.
        chunk_frames: Frames decoded at a time; 1 has the lowest latency, more is faster.
    """
    audio = AudioRows(decode_chunk, chunk_frames, chunk_frames)
    for step in frames:
        yield from audio.take(step)
    yield from audio.flush()


@dataclass
class _Row:
    key: int
    waiting: list[Tensor] = field(default_factory=list)
    heard: int = 0


class AudioRows:
    """The audio of rows that come and go. Each has its own history; whatever waits is decoded together.

    Args:
        decode_chunk: Decodes latents, a method of the σ-VAE that made the model's latents.
        chunk_frames: Maximum number of frames of a row that wait.
        first_frames: Frames that wait before a row is heard. Later as many wait as were heard, up to `chunk_frames`: so
            audio begins soon, and does not break off while the rest is made.
    """

    def __init__(self, decode_chunk: DecodeChunk, chunk_frames: int, first_frames: int) -> None:
        self._decode_chunk, self._chunk_frames, self._first_frames = decode_chunk, chunk_frames, first_frames
        self._rows: list[_Row] = []
        self._history: History | None = None  # of the rows, in their order

    def take(self, frames: Frames) -> list[AudioChunk]:
        """What is heard after a step: audio that is due, and ends. A row that was not seen before starts."""
        chunks = []
        if frames.ended:
            chunks += self.flush()
            self.remove(frames.ended)
            chunks.append(AudioChunk([], frames.latents.new_empty(0, 0), frames.ended))
        known = {row.key: row for row in self._rows}
        for key, latent in zip(frames.rows, frames.latents, strict=True):
            if key not in known:
                self._start(key)
            (known.get(key) or self._rows[-1]).waiting.append(latent)
        if any(len(row.waiting) >= self._patience(row) for row in self._rows):
            chunks += self.flush()
        return chunks

    @torch.inference_mode()
    def flush(self) -> list[AudioChunk]:
        """All that waits, one chunk for the rows that have waited equally long."""
        lengths = sorted({len(row.waiting) for row in self._rows} - {0})
        return [
            self._decode([index for index, row in enumerate(self._rows) if len(row.waiting) == length])
            for length in lengths
        ]

    def remove(self, keys: Collection[int]) -> None:
        """Forget rows, and what of them was not heard yet."""
        kept = [index for index, row in enumerate(self._rows) if row.key not in keys]
        if len(kept) < len(self._rows) and self._history is not None:
            self._history = [past[kept] for past in self._history] if kept else None
        self._rows = [self._rows[index] for index in kept]

    def _start(self, key: int) -> None:
        self._rows.append(_Row(key))
        if self._history is not None:
            self._history = [torch.cat([past, torch.zeros_like(past[:1])]) for past in self._history]

    def _patience(self, row: _Row) -> int:
        return min(self._chunk_frames, max(self._first_frames, row.heard))

    def _decode(self, indices: list[int]) -> AudioChunk:
        rows = [self._rows[index] for index in indices]
        latents = torch.stack([torch.stack(row.waiting) for row in rows])
        some = None if len(rows) == len(self._rows) else torch.tensor(indices, device=latents.device)
        audio, history = self._decode_chunk(latents, take_rows(self._history, some))
        self._history = put_rows(self._history, history, some, len(self._rows))
        for row in rows:
            row.heard += len(row.waiting)
            row.waiting.clear()
        return AudioChunk([row.key for row in rows], audio.squeeze(1), {}, frames=latents)
