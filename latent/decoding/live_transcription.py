"""Transcription while audio arrives: window by window, into one sequence that grows.

    prompt | start, window, end, text, chunk end | start, window, end, text, chunk end | ...

A window holds the new frames of a chunk and a few more, which are heard again in the next one. Each window is encoded
alone: from chunk to chunk only the keys and values of the language model are kept. The chunk end is always fed, also
where the model did not write it.

Source: `streaming_generate_step` of `microsoft/VibeVoice: vibevoice/modular/modeling_vibevoice_asr.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from latent.decoding.repetition import loop_length
from latent.decoding.text_writer import TextWriter
from latent.nn.writing import TextState
from s2s.config import Section
from s2s.decoding.base import Streamer
from s2s.errors import InputError
from s2s.registry import register_decoder

ChunkEnding = Literal["chunk", "text", "limit", "repetition"]
"""What ended the text of a chunk: its end token, the end of all text, the maximum number of tokens, or repetition."""

_IN_A_CHUNK = (8, 48)
"""How often, and in how many tokens, the same is said in a chunk that goes in circles."""


@dataclass(frozen=True)
class WindowSizes:
    """Frames of audio that a window adds, and frames after them that it hears in advance."""

    new: int
    ahead: int

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return self.new + self.ahead


class Windows:
    """Cuts a signal that comes in pieces into windows; the last ones are filled with zeros.

    Args:
        hop_length: Samples of a frame.
        sizes: Of the windows.
    """

    def __init__(self, hop_length: int, sizes: WindowSizes) -> None:
        self._new, self._whole = hop_length * sizes.new, hop_length * sizes.frames
        self._waiting = np.empty(0, np.float32)

    def push(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """The windows that are whole after the next samples `(L,)`."""
        self._waiting = np.concatenate([self._waiting, samples])
        while len(self._waiting) >= self._whole:
            yield self._waiting[: self._whole].copy()
            self._waiting = self._waiting[self._new :]

    def close(self) -> Iterator[NDArray[np.float32]]:
        """The windows after the last samples: one for every chunk that has begun."""
        while len(self._waiting):
            window = self._waiting[: self._whole]
            yield np.pad(window, (0, self._whole - len(window)))
            self._waiting = self._waiting[self._new :]


@dataclass(frozen=True)
class ChunkText:
    """What was written for a chunk.

    Args:
        tokens: Without the one that ended them.
        ending: What ended them.
        repeated: Tokens after them that only repeat others; the model does not remember them.
    """

    tokens: list[int]
    ending: ChunkEnding
    repeated: list[int]


@register_decoder("live_transcription")
class LiveDecoder(Streamer):
    """Writes text for each window of a stream, greedily, as the released code does."""

    class Config(Section):
        """Options of transcription while audio arrives."""

        max_tokens: int = Field(256, ge=1, le=2048)
        """Maximum tokens of a chunk, as in the released code."""
        max_repeats: int = Field(2, ge=0)
        """So many chunks in a row may say the same; what further ones say is left out and not remembered, as is what is
        said over and over within a chunk, 8 times or more and in 48 tokens or more. 0: no such check."""
        noise: bool = False
        """Draw latents around their means, as the released code does, instead of reading the means. Then a
        transcription depends on `seed`."""
        seed: int = Field(0, ge=0, lt=2**63)
        """Of the noise."""

    config: LiveDecoder.Config

    def stream(self, model: LiveText, prompts: Iterable[Tensor]) -> Iterator[ChunkText]:
        """The texts of windows of samples `(S,)`, each as soon as it is there; the model is a stream from `follow`."""
        return map(model.hear, prompts)

    def follow(
        self,
        model: Any,
        prompt: Sequence[int],
        marks: tuple[int, int],
        stops: Sequence[int],
        sizes: WindowSizes,
        is_sentence: Callable[[Sequence[int]], bool] = lambda tokens: True,
    ) -> LiveText:
        """The text of a stream that begins.

        Args:
            model: A `VibeVoiceASR`, in evaluation mode.
            prompt: Tokens before the first window.
            marks: The tokens before and after the frames of a window.
            stops: The chunk end, then other tokens that end the text of a chunk.
            sizes: Of the windows.
            is_sentence: Whether tokens say so much that nobody says it again and again, unlike "yes" or "[Silence]".
        """
        return LiveText(self.config, model, prompt, marks, stops, sizes, is_sentence)


class LiveText:
    """The text of one stream under way; see `LiveDecoder.follow`."""

    def __init__(
        self,
        config: LiveDecoder.Config,
        model: Any,
        prompt: Sequence[int],
        marks: tuple[int, int],
        stops: Sequence[int],
        sizes: WindowSizes,
        is_sentence: Callable[[Sequence[int]], bool],
    ) -> None:
        self._config, self._model, self._stops, self.sizes, self._is_sentence = config, model, stops, sizes, is_sentence
        self._writer = TextWriter(model.language, stops[:1])
        self._generator = torch.Generator().manual_seed(config.seed)
        self._recent: list[list[int]] = []
        self._weights: Tensor = model.language.embeddings.weight
        self._prompt, self._marks = prompt, marks
        self._begin()

    @property
    def num_positions(self) -> int:
        """Positions of the sequence so far."""
        return int(self._state.following)

    @property
    def num_bytes(self) -> int:
        """Bytes of its keys and values."""
        return self._state.num_bytes

    @torch.inference_mode()
    def hear(self, window: Tensor, draws: tuple[Tensor, Tensor] | None = None) -> ChunkText:
        """The text of the next window of samples `(S,)`, S being its frames times the hop.

        `draws`: unit-normal numbers for the scale `(1,)` and the noise `(1, F, L)` of its latents, not drawn here.

        Raises:
            InputError: the sequence has no room for another window; `restart` makes room.
        """
        if self.is_full:
            raise InputError(f"the stream has reached {self.num_positions} positions, which are all that the model has")
        encoded, _ = self._model.encode(window.view(1, 1, -1).to(self._weights))
        return self.read(self._model.embed(self._latents(encoded.means, draws), encoded.semantic))

    @torch.inference_mode()
    def read(self, features: Tensor) -> ChunkText:
        """The text of the next window, from its features `(1, F, D)`; see `hear`."""
        start, end = (self._embed([mark]) for mark in self._marks)
        hidden = self._feed(torch.cat([start, features, end], dim=1))
        written: list[int] = []
        ending = self._next(hidden, written)
        while ending is None:
            ending = self._next(self._feed(self._embed(written[-1:])), written)
        loop = self._loop(written)
        kept = len(written) - loop
        self._state.forget(max(0, self.num_positions - self._before - kept))
        self._feed(self._embed([self._stops[0]]))
        return ChunkText(written[:kept], "repetition" if loop else ending, written[kept:])

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another window and the longest text."""
        needed = self.sizes.frames + 3 + self._config.max_tokens
        return self.num_positions + needed > int(self._model.language.config.max_positions)

    @torch.inference_mode()
    def restart(self) -> None:
        """Begin the sequence again after its prompt; the model then counts speakers anew."""
        self._begin()

    def _begin(self) -> None:
        self._state: TextState = self._writer.empty(0)
        self._feed(self._embed(self._prompt))

    def _embed(self, tokens: Sequence[int]) -> Tensor:
        return self._model.language.embeddings(torch.tensor([tokens], device=self._weights.device))  # type: ignore[no-any-return]

    def _feed(self, embedded: Tensor) -> Tensor:
        """The hidden state `(1, D)` after more positions."""
        return self._writer.read(self._state, embedded)[:, -1]

    def _latents(self, means: Tensor, draws: tuple[Tensor, Tensor] | None) -> Tensor:
        if draws is None and not self._config.noise:
            return means
        scale, noise = draws or (
            torch.randn(1, generator=self._generator),
            torch.randn(means.shape, generator=self._generator),
        )
        return self._model.draw(means, scale.to(means), noise.to(means))  # type: ignore[no-any-return]

    def _next(self, hidden: Tensor, written: list[int]) -> ChunkEnding | None:
        """Choose the next token: adds it to those written, or returns what ends the text."""
        if not written:
            self._before = self.num_positions
        if len(written) == self._config.max_tokens:
            return "limit"
        token = int(self._writer.logits(hidden).argmax())
        if token in self._stops:
            return "chunk" if token == self._stops[0] else "text"
        written.append(token)
        return "repetition" if self._config.max_repeats and loop_length(written, *_IN_A_CHUNK) else None

    def _loop(self, written: list[int]) -> int:
        """How many tokens at the end of a chunk only repeat others: all of them if the last chunks said the same."""
        most = self._config.max_repeats
        if not most or not written or not self._is_sentence(written):
            self._recent = []
            return 0
        if len(self._recent) == most and all(text == written for text in self._recent):
            return len(written)
        self._recent = [*self._recent, written][-most:]
        return loop_length(written, *_IN_A_CHUNK)
