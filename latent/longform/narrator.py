"""Speaks the lines of a script one after the other; each continues from how its speaker sounded before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from latent.audio.files import AudioWriter, Samples
from latent.audio.watermark import Mark
from latent.data.latent_store import Latents
from latent.data.speech_prompts import SpeechRequest, derived_seed
from latent.decoding.audio import AudioChunk
from latent.longform.cast import Role
from latent.longform.report import SpokenLine
from latent.longform.script import ScriptLine
from latent.synthesis.saying import warn_of_truncation
from latent.synthesis.takes import Take, Turn
from latent.synthesis.voice import Voice
from latent.text.labels import same_speaker
from s2s.config import Section
from s2s.errors import InputError

_BLOCK = 1 << 16  # samples of silence that are written at a time


class LongFormOptions(Section):
    """Options of speaking a script, besides those of the decoder."""

    seed: NonNegativeInt = 0
    """Seed of the noise. Each line has its own, derived from this one and its place, unless the script gives one."""
    temperature: NonNegativeFloat | None = None
    """Factor of the noise that latents are drawn from. None: the voice's."""
    speed: PositiveFloat = 1.0
    """Speed of voices with cues, from 0.5 to 2; 1 is their own."""
    pause_seconds: float = Field(0.4, ge=0, le=600)
    """Silence after a line, in seconds, where the script gives no pause. VibeVoice times its turns itself."""
    max_characters: PositiveInt | None = None
    """Split longer lines, at the end of a sentence if possible; also those with more tokens than the model's
    `fixed_text_length`. None: the length of the longest training text."""
    continuity_frames: NonNegativeInt | None = None
    """Latents of the speaker's previous line that are used as a voice prompt for the next one. None: as many as voice
    prompts had in training, half of them beside a given voice prompt, none if training had no voice prompts."""
    context_seconds: PositiveFloat | None = None
    """Seconds of speech after which a speaker begins again from the voice prompt alone, at the end of a line, so that
    a voice does not drift away from it. None: LatentLM never; VibeVoice where its context is full."""
    chunk_frames: PositiveInt = 8
    """Latents that are decoded to audio together. More is faster and needs more memory."""


class Narrator:
    """Speaks the takes of a script, and remembers how each speaker sounded.

    Args:
        voice: The voice of all speakers.
        roles: By `same_speaker` name.
        options: See `LongFormOptions`.
        watermark: Applied to the samples of every take.
    """

    def __init__(
        self, voice: Voice, roles: Mapping[str, Role], options: LongFormOptions, watermark: Mark | None = None
    ) -> None:
        self.voice = voice
        self._roles, self._options, self._watermark = roles, options, watermark
        self._said: dict[str, Latents] = {}

    def plan(self, lines: Sequence[ScriptLine]) -> list[Take]:
        """The takes in which the voice speaks the lines; raises InputError if it cannot, or has nothing to say."""
        turns = [self._turn(index, line) for index, line in enumerate(lines)]
        options = self._options
        takes = list(self.voice.takes(turns, options.pause_seconds, options.temperature, options.context_seconds))
        if not takes:
            raise InputError(f"{lines[0].where}: no line of the script has anything to say")
        return takes

    def remember(self, speaker: str, said: Latents | None) -> None:
        """Let a speaker continue from the last latents `(F, L)`."""
        if said is not None:
            self._said[same_speaker(speaker)] = said

    def begin(self, take: Take) -> tuple[SpeechRequest, Tail]:
        """What to generate for a take, as a continuation of what its speaker said, and where its latents are kept."""
        name = same_speaker(take.turns[0].name)
        said = None if take.fresh else self._said.get(name)
        return self.voice.continued(take.request, said), Tail(said, self._continuity(name))

    def end(self, take: Take, tail: Tail) -> Latents | None:
        """Remember how a take ended; returns the latents that the speaker continues from."""
        said = None if tail.cut else tail.latents  # speech that went wrong is not continued
        self.remember(take.turns[0].name, said)
        return said

    def speak(self, take: Take, writer: AudioWriter) -> tuple[SpokenLine, Latents | None]:
        """Write a take and its pause; returns what was written, and the latents that the speaker continues from."""
        first, (request, tail) = take.turns[0], self.begin(take)
        start = writer.num_samples
        for samples in self._marked(tail.watch(self.voice.stream([request], self._options.chunk_frames))):
            writer.write(samples)
        stop = writer.num_samples
        _write_silence(writer, round(take.pause * self.voice.sample_rate))
        if tail.cut:
            warn_of_truncation(request, request.max_frames / self.voice.frame_rate)
        said = self.end(take, tail)
        spoken = SpokenLine(
            where=first.where,
            part=first.part,
            speaker=", ".join(dict.fromkeys(turn.name for turn in take.turns)),
            text=request.text,
            seed=request.seed,
            start=start,
            stop=stop,
            end=writer.num_samples,
            cut=tail.cut,
        )
        return spoken, said

    def _marked(self, chunks: Iterator[AudioChunk]) -> Iterator[Samples]:
        """The samples of a take, watermarked if asked for; a watermark needs them as a whole."""
        pieces = (samples.float().cpu().numpy() for chunk in chunks for samples in chunk.audio)
        if self._watermark is None:
            return pieces
        return iter([self._watermark(np.concatenate(list(pieces)), self.voice.sample_rate)])

    def _turn(self, index: int, line: ScriptLine) -> Turn:
        seed = derived_seed(self._options.seed, index) if line.seed is None else line.seed
        if line.seed is not None and line.part:
            seed = derived_seed(line.seed, line.part)
        role = self._roles[same_speaker(line.speaker)]
        said = line.where, line.part, line.speaker, line.text, role.speaker, role.prompt, seed, line.pause
        return Turn(*said, self._options.speed)

    def _continuity(self, name: str) -> int:
        window, wanted = self.voice.voice_frames, self._options.continuity_frames
        if wanted is None:
            return window if self._roles[name].prompt is None else window // 2
        return min(wanted, window)


class Tail:
    """The last `size` latents of a speaker, who said `before` `(F, L)`, and whether the take was truncated."""

    def __init__(self, before: Latents | None, size: int) -> None:
        self._kept: deque[Latents] = deque([] if before is None else before, maxlen=size)
        self.cut = False

    def watch(self, chunks: Iterable[AudioChunk]) -> Iterator[AudioChunk]:
        """The chunks of one request, unchanged."""
        for chunk in chunks:
            self.cut = self.cut or not chunk.ended.get(0, True)
            if chunk.frames is not None:
                self.add(chunk.frames[0].float().cpu().numpy())
            yield chunk

    def add(self, frames: Latents) -> None:
        """Note the next latents, `(F, L)`."""
        if self._kept.maxlen:
            self._kept.extend(frames)

    @property
    def latents(self) -> Latents | None:
        """`(F, L)`, or None if none are to be kept."""
        return np.stack(self._kept) if self._kept else None


def _write_silence(writer: AudioWriter, num_samples: int) -> None:
    for start in range(0, num_samples, _BLOCK):
        writer.write(np.zeros(min(_BLOCK, num_samples - start), np.float32))
