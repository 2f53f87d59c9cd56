"""The voice of released VibeVoice weights: a script of several speakers in one go, each by a sample of a voice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from latent.audio.files import Source, audio_info, load_audio
from latent.audio.levels import normalize_loudness
from latent.audio_tokenizer import encode_samples
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
from latent.synthesis.released import ReleasedVoice, TextEncoder, decoder_options, load_text_encoder, speakable
from latent.synthesis.voice import Take, TooLong, Turn, checked_noise, readable, said_parts
from s2s.errors import InputError

VOICE_SECONDS = (0.5, 120.0)
"""Shortest and longest sample of a voice."""
_SLOWER = 1.1  # room for speech that takes so many times its expected length


class VibeVoiceVoice(ReleasedVoice):
    """Speaks as many turns of a script in one context as the model has room for, as the released code does.

    Args:
        folder: The checkpoint.
        model: In evaluation mode.
        decoder: How latents are drawn.
        encode: The text tokenizer.
    """

    names_speakers = True

    def __init__(self, folder: Path, model: VibeVoice, decoder: VibeVoiceDecoder, encode: TextEncoder) -> None:
        super().__init__(folder, decoder, encode, model.language.config)
        self.sample_rate, self.frame_rate = model.sample_rate, model.acoustic.frame_rate
        tokens = model.config.tokens
        self._model, self._size = model, int(model.language.config.latent_size)
        self._switches: Mapping[SwitchName, int] = {"latent": tokens.latent, "end": tokens.end, "start": tokens.start}
        self._device = model.language.embeddings.weight.device

    @classmethod
    def load(
        cls, folder: Path, tokenizer: str | None, device: torch.device, overrides: Iterable[str]
    ) -> VibeVoiceVoice:
        """The voice of a checkpoint.

        Args:
            folder: With config.json and weights.
            tokenizer: See `load_text_encoder`.
            device: Where to compute; in bfloat16, as the weights are released, on GPUs.
            overrides: Options of the decoder.

        Raises:
            InputError: the folder is not such a checkpoint.
            ConfigError: an override does not fit.
        """
        decoder = VibeVoiceDecoder(decoder_options(VibeVoiceDecoder.Config, overrides))
        encode = load_text_encoder(folder, tokenizer)
        model = load_vibevoice(str(folder), torch.bfloat16 if device.type == "cuda" else torch.float32)
        model.to(device).prepare()
        return cls(folder, model, decoder, encode)

    def request(
        self,
        id: str,
        text: str,
        speaker: str | None = None,
        prompt: Latents | None = None,
        seed: int = 0,
        temperature: float | None = None,
    ) -> SpeechRequest:
        if speaker is not None:
            self.check_speaker(speaker)
        turn = Turn(id, 0, "Speaker 1", readable(text), None, prompt, seed, None)
        context = _Context({turn.name: 0}, [] if prompt is None else [prompt], temperature)
        return self._together([(turn, self._line(turn, context))], context)

    def takes(self, turns: Sequence[Turn], pause_seconds: float, temperature: float | None) -> Iterator[Take]:
        context = _cast(turns, temperature)
        group: list[tuple[Turn, _Line]] = []
        for turn in turns:
            for part, line in said_parts(turn, lambda turn: self._line(turn, context)):
                pause = group[-1][0].pause if group else None
                if group and (pause is not None or self._room(context, [*(one for _, one in group), line]) < 0):
                    taken = [one for one, _ in group]
                    yield Take(self._together(group, context), taken, pause_seconds if pause is None else pause)
                    group = []
                group.append((part, line))
        if group:
            yield Take(self._together(group, context), [turn for turn, _ in group], group[-1][0].pause or 0.0)

    def prompt(self, recording: Source) -> Latents:
        """Latents `(F, L)` of a sample of a voice, at the loudness of the released code."""
        seconds, (least, most) = audio_info(recording).seconds, VOICE_SECONDS
        if not least <= seconds <= most:
            raise InputError(f"{recording}: a voice sample must last {least:g} to {most:g} s, found {seconds:.1f}")
        samples = load_audio(recording, self.sample_rate)
        if not samples.any():
            raise InputError(f"{recording}: a voice sample must not be silent")
        dtype = self._model.language.embeddings.weight.dtype
        with torch.inference_mode():
            loud = normalize_loudness(samples).astype(np.float32)
            mean = encode_samples(self._model.acoustic, loud, self._device, dtype=dtype)
            generator = torch.Generator().manual_seed(0)
            latents: Latents = self._model.acoustic.sample(mean.float().unsqueeze(0), generator)[0].numpy()
        return latents

    def generate(self, requests: Sequence[SpeechRequest], chunk_frames: int) -> Iterator[AudioChunk]:
        ids, start = [request.id for request in requests], self._switches["start"]
        voices = [request.voice for request in requests if request.voice is not None]
        latent = self._switches["latent"]
        prompts = GenerationPrompts(
            conditional=padded_sequences(ids, [request.tokens for request in requests], voices, self._size, latent),
            unconditional=padded_sequences(ids, [[start]] * len(ids), [], self._size, latent),
            latent_token=latent,
            end_token=self._switches["end"],
            seeds=[request.seed for request in requests],
            temperatures=torch.tensor([request.temperature for request in requests]),
            max_frames=[request.max_frames for request in requests],
        )
        yield from self._decoder.stream(self._model, prompts.to(self._device))

    def _line(self, turn: Turn, context: _Context) -> _Line:
        text = plain_text(speakable(turn.text))
        line = _Line(self._encode(turn_piece(context.numbers[turn.name], text)), self.expected_frames(text))
        if self._room(context, [line]) < 0:
            raise TooLong(
                f"'text' is too long: {len(line.tokens)} tokens and about {line.frames} latents, the model has "
                f"{self.max_positions} positions; split it"
            )
        return line

    def _room(self, context: _Context, lines: Sequence[_Line]) -> float:
        """Positions that lines leave free, once they are said a little slower than expected."""
        tokens = len(self._head(context)) + sum(len(line.tokens) for line in lines) + len(TAIL)
        return self.max_positions - tokens - _SLOWER * sum(line.frames for line in lines)

    def _head(self, context: _Context) -> list[int]:
        if not context.head:
            frames = [len(voice) for voice in context.voices]
            context.head.extend(tokenized(head_pieces(frames), self._encode, self._switches))
        return context.head

    def _together(self, group: Sequence[tuple[Turn, _Line]], context: _Context) -> SpeechRequest:
        """Turns as one request."""
        turns, given = [turn for turn, _ in group], context.temperature
        seed, temperature = checked_noise(turns[0].seed, self._decoder.config.temperature if given is None else given)
        tokens = [*self._head(context), *(token for _, line in group for token in line.tokens)]
        tokens += tokenized(TAIL, self._encode, self._switches)
        expected = sum(line.frames for _, line in group)
        label = "{0.text}" if len(turns) == 1 else "{0.name}: {0.text}"
        return SpeechRequest(
            id=turns[0].where,
            text="\n".join(map(label.format, turns)),
            speaker=None,
            tokens=tokens,
            voice=np.concatenate(context.voices) if context.voices else None,
            seed=seed,
            temperature=temperature,
            expected_frames=expected,
            max_frames=self.most_frames(expected, self.max_positions - len(tokens)),
        )


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
        temperature: Of all requests; None: the decoder's.
        head: Tokens before the first turn, once they are known.
    """

    numbers: Mapping[str, int]
    voices: Sequence[Latents]
    temperature: float | None
    head: list[int] = field(default_factory=list)


def _cast(turns: Sequence[Turn], temperature: float | None) -> _Context:
    """Numbers and voices of speakers: all of them have a voice, or none."""
    numbers = speaker_numbers([turn.name for turn in turns])
    prompts = {numbers[turn.name]: turn.prompt for turn in turns}
    if all(prompt is None for prompt in prompts.values()):
        return _Context(numbers, [], temperature)
    for turn in turns:
        if turn.prompt is None:
            raise InputError(
                f'{turn.where}: {turn.name!r} has no voice, but others have; give --cast "{turn.name}=recording", '
                "or no voices at all"
            )
    places = {number: place for place, number in enumerate(sorted(prompts))}
    numbers = {name: places[number] for name, number in numbers.items()}
    return _Context(numbers, [prompts[number] for number in places], temperature)
