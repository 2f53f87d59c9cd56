"""The voice of released VibeVoice weights: a script of several speakers in one go, each by a sample of a voice."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from latent.audio.files import AudioBytes
from latent.data.batch import GenerationPrompts
from latent.data.latent_store import Latents
from latent.data.speech_prompts import SpeechRequest, padded_sequences
from latent.data.vibevoice_prompt import (
    TAIL,
    SwitchName,
    head_pieces,
    plain_text,
    speaker_numbers,
    tokenized,
    turn_piece,
)
from latent.decoding.audio import AudioChunk
from latent.decoding.vibevoice import VibeVoiceDecoder
from latent.models.checkpoints import load_vibevoice
from latent.models.vibevoice import VibeVoice
from latent.synthesis.released import ReleasedVoice, speakable, voice_sample
from latent.synthesis.session import Sharing, SpeechSession
from latent.synthesis.takes import Take, TooLong, Turn, said_parts
from latent.text.text_encoder import TextEncoder
from s2s.errors import InputError

logger = logging.getLogger(__name__)

_SLOWER = 1.1  # room for speech that takes so many times its expected length


class VibeVoiceVoice(ReleasedVoice):
    """Speaks as many turns of a script in one context as the model has room for, as the released code does."""

    names_speakers = True
    decoder_class, load_weights = VibeVoiceDecoder, staticmethod(load_vibevoice)

    def __init__(self, folder: Path, model: VibeVoice, decoder: VibeVoiceDecoder, encode: TextEncoder) -> None:
        super().__init__(folder, model, decoder, encode)
        self.sample_rate, self.frame_rate = model.sample_rate, model.acoustic.frame_rate
        tokens = model.config.tokens
        self._size = int(model.language.config.latent_size)
        self._switches: Mapping[SwitchName, int] = {"latent": tokens.latent, "end": tokens.end, "start": tokens.start}
        self._device = model.language.embeddings.weight.device

    def _tokenized(self, request: SpeechRequest) -> SpeechRequest:
        turn = Turn(request.id, 0, "Speaker 1", request.text, None, request.voice, request.seed, None)
        context = _Context({turn.name: 0}, [] if turn.prompt is None else [turn.prompt], request.temperature)
        return self._together([(turn, self._line(turn, context))], context)

    def takes(
        self,
        turns: Sequence[Turn],
        pause_seconds: float,
        temperature: float | None,
        context_seconds: float | None = None,
    ) -> Iterator[Take]:
        """As many turns in each as fit into the context, up to one with a pause after it."""
        context = _cast(turns, self._temperature(temperature))
        longest = math.inf if context_seconds is None else context_seconds * self.frame_rate
        group: list[tuple[Turn, _Line]] = []
        for turn in turns:
            for part, line in said_parts(turn, lambda turn: self._line(turn, context)):
                pause = group[-1][0].pause if group else None
                if group and (pause is not None or not self._fit(context, [*(one for _, one in group), line], longest)):
                    taken = [one for one, _ in group]
                    yield Take(self._together(group, context), taken, pause_seconds if pause is None else pause)
                    group = []
                    context.divide()
                group.append((part, line))
        if group:
            yield Take(self._together(group, context), [turn for turn, _ in group], group[-1][0].pause or 0.0)

    def _fit(self, context: _Context, lines: Sequence[_Line], longest: float) -> bool:
        """Whether lines fit into one context, of at most so many latents."""
        return self._room(context, lines) >= 0 and sum(line.frames for line in lines) <= longest

    def _prompt(self, recording: AudioBytes) -> Latents:
        return voice_sample(self._model.acoustic, recording, self._model.language.embeddings.weight)

    def generate(self, requests: Sequence[SpeechRequest], chunk_frames: int) -> Iterator[AudioChunk]:
        yield from self._decoder.stream(self._model, self._prompts(requests))

    def session(self, max_rows: int) -> SpeechSession:
        """A session in which requests join a running batch, with as many positions together as one of them may have."""
        return Sharing(self._decoder.start(self._model), self._prompts, max_rows, self.max_positions)

    def _prompts(self, requests: Sequence[SpeechRequest]) -> GenerationPrompts:
        ids, start, latent = [request.id for request in requests], self._switches["start"], self._switches["latent"]
        voices = [request.voice for request in requests if request.voice is not None]
        prompts = GenerationPrompts(
            conditional=padded_sequences(ids, [request.tokens for request in requests], voices, self._size, latent),
            unconditional=padded_sequences(ids, [[start]] * len(ids), [], self._size, latent),
            latent_token=latent,
            end_token=self._switches["end"],
            seeds=[request.seed for request in requests],
            temperatures=torch.tensor([request.temperature for request in requests]),
            max_frames=[request.max_frames for request in requests],
        )
        return prompts.to(self._device)

    def _line(self, turn: Turn, context: _Context) -> _Line:
        text = plain_text(speakable(turn.text))
        line = _Line(self._encode(turn_piece(context.numbers[turn.name], text)), self.expected_frames(text))
        if self._room(context, [line]) < 0:
            needed = f"{len(line.tokens)} tokens and about {line.frames} latents"
            raise TooLong(f"'text' is too long: {needed}, the model has {self.max_positions} positions; split it")
        return line

    def _room(self, context: _Context, lines: Sequence[_Line]) -> float:
        """Positions that lines leave free if they are spoken a little slower than expected."""
        tokens = len(self._head(context)) + sum(len(line.tokens) for line in lines) + len(TAIL)
        return self.max_positions - tokens - _SLOWER * sum(line.frames for line in lines)

    def _head(self, context: _Context) -> list[int]:
        if not context.head:
            frames = [len(voice) for voice in context.voices]
            context.head.extend(tokenized(head_pieces(frames), self._encode, self._switches))
        return context.head

    def _together(self, group: Sequence[tuple[Turn, _Line]], context: _Context) -> SpeechRequest:
        """Turns as one request."""
        turns = [turn for turn, _ in group]
        tokens = [*self._head(context), *(token for _, line in group for token in line.tokens)]
        tokens += tokenized(TAIL, self._encode, self._switches)
        expected = sum(line.frames for _, line in group)
        label = "{0.text}" if len(turns) == 1 else "{0.name}: {0.text}"
        request = SpeechRequest(
            id=turns[0].where,
            text="\n".join(map(label.format, turns)),
            speaker=None,
            tokens=tokens,
            voice=np.concatenate(context.voices) if context.voices else None,
            seed=turns[0].seed,
            temperature=context.temperature,
            expected_frames=expected,
            max_frames=self.most_frames(expected, self.max_positions - len(tokens)),
        )
        return self.paced(request, turns[0].speed)


class _Line(NamedTuple):
    """The tokens of a turn, and the latents that it will take."""

    tokens: Sequence[int]
    frames: int


@dataclass
class _Context:
    """What the requests of a script have in common.

    Args:
        numbers: Of its speakers.
        voices: Latents of their voices, in the order of the numbers; may be empty.
        head: Tokens before the first turn, once they are known.
    """

    numbers: Mapping[str, int]
    voices: Sequence[Latents]
    temperature: float
    head: list[int] = field(default_factory=list)
    _divided: bool = False

    def divide(self) -> None:
        """Note that the script takes several contexts; warn if the voices of its speakers are left to chance."""
        if not self._divided and not self.voices:
            logger.warning(
                "the script takes several contexts, and speakers without a recording change their voices between "
                "them; give --cast"
            )
        self._divided = True


def _cast(turns: Sequence[Turn], temperature: float) -> _Context:
    """Numbers and voices of speakers: all of them have a voice, or none."""
    numbers = speaker_numbers([turn.name for turn in turns])
    prompts = {numbers[turn.name]: turn.prompt for turn in turns}
    if all(prompt is None for prompt in prompts.values()):
        return _Context(numbers, [], temperature)
    for turn in turns:
        if turn.prompt is None:
            way_out = f'give --cast "{turn.name}=recording", or no voices at all'
            raise InputError(f"{turn.where}: {turn.name!r} has no voice, but others have; {way_out}")
    places = {number: place for place, number in enumerate(sorted(prompts))}
    numbers = {name: places[number] for name, number in numbers.items()}
    return _Context(numbers, [prompts[number] for number in places], temperature)
