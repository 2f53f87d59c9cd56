"""Audio from latents while they are generated: memory does not grow with the length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from latent.decoding.next_token_diffusion import Frames
from latent.nn.conv import History


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
        decode_chunk: Of the σ-VAE that made the model's latents.
        frames: From `NextTokenDiffusionDecoder.stream`: rows start together and leave one by one.
        chunk_frames: Frames decoded at a time; 1 has the lowest latency, more is faster.
    """
    history: History | None = None
    known: list[int] = []
    waiting: list[Tensor] = []

    def decode() -> AudioChunk:
        nonlocal history
        latents = torch.stack(waiting, dim=1)
        with torch.inference_mode():
            audio, history = decode_chunk(latents, history)
        waiting.clear()
        return AudioChunk(known, audio.squeeze(1), {}, frames=latents)

    for step in frames:
        if step.ended:
            if waiting:
                yield decode()
            kept = [index for index, row in enumerate(known) if row not in step.ended]
            history = None if history is None else [past[kept] for past in history]
            yield AudioChunk([], step.latents.new_empty(0, 0), step.ended)
        known = step.rows
        if step.rows:
            waiting.append(step.latents)
        if len(waiting) == chunk_frames:
            yield decode()
    if waiting:
        yield decode()
