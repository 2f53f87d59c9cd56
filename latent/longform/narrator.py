"""Lines of a script to audio, one after the other; each goes on from how its speaker sounded before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from latent.audio.files import AudioWriter, Samples
from latent.data.latent_store import Latents
from latent.decoding.next_token_diffusion import Frames
from latent.longform.cast import Role
from latent.longform.report import SpokenLine
from latent.longform.script import Fits, ScriptLine, same_speaker
from latent.synthesis.voice import Voice, warn_of_cut
from latent.tasks.speech_synthesis import SpeechRequest
from s2s.config import Section
from s2s.errors import InputError

Mark = Callable[[Samples, int], Samples]
"""Samples `(S,)` and their rate in Hz to as many samples."""

_UNKNOWN_LONGEST = 200  # characters; about 15 s
_BLOCK = 1 << 16  # samples of silence that are written at a time


class LongFormOptions(Section):
    """Options of speaking a script, beside those of the decoder."""

    seed: NonNegativeInt = 0
    """Of the noise; each line has its own, from this and its place, where the script gives none."""
    temperature: NonNegativeFloat | None = None
    """Factor of the noise that latents are drawn from. None: the voice's."""
    pause_seconds: float = Field(0.4, ge=0, le=600)
    """Silence after a line, where the script does not say how long."""
    max_characters: PositiveInt | None = None
    """Longer lines are split, at the end of a sentence if there is one; so are those with more tokens than the model
    has `fixed_text_length` for. None: as many as the longest text had in training."""
    continuity_frames: NonNegativeInt | None = None
    """Latents of what a speaker said before that are read before his next line. None: as many as voice prompts had in
    training, half of them beside a voice prompt of his own, none where training had no voice prompts."""
    chunk_frames: PositiveInt = 8
    """Latents that are decoded to samples together; more is faster and needs more memory."""


def short_enough(voice: Voice, options: LongFormOptions) -> Fits:
    """Which texts the voice can say at once; see `LongFormOptions.max_characters`."""
    vocabulary = voice.vocabulary
    most = options.max_characters or vocabulary.longest_text or _UNKNOWN_LONGEST

    def fits(text: str) -> bool:
        return len(text) <= most and not 0 < vocabulary.fixed_text_length < len(vocabulary.text(text))

    return fits


class Narrator:
    """Speaks lines, and remembers how each speaker sounded.

    Args:
        voice: Who speaks.
        roles: By `same_speaker` name.
        options: See `LongFormOptions`.
        mark: What the samples of every line go through, a watermark perhaps.
    """

    def __init__(
        self, voice: Voice, roles: Mapping[str, Role], options: LongFormOptions, mark: Mark | None = None
    ) -> None:
        self.voice = voice
        self._roles, self._options, self._mark = roles, options, mark
        self._said: dict[str, Latents] = {}

    def plan(self, lines: Iterable[ScriptLine]) -> list[float]:
        """About how long each line will be, in seconds, with its pause.

        Raises:
            InputError: a line cannot be said, be the voice prompt as long as it may.
        """
        window = self.voice.voice_frames
        longest = np.zeros((window, 1), np.float32) if window else None
        seconds = []
        for index, line in enumerate(lines):
            try:
                request = self._request(index, line, longest)
            except InputError as error:
                raise InputError(f"{line.where}: {error}") from error
            seconds.append(self.voice.expected_seconds(request) + self._pause(line))
        return seconds

    def remember(self, speaker: str, said: Latents | None) -> None:
        """Let a speaker go on from what was said last, `(F, L)`."""
        if said is not None:
            self._said[same_speaker(speaker)] = said

    def speak(self, index: int, line: ScriptLine, writer: AudioWriter) -> tuple[SpokenLine, Latents | None]:
        """Write a line and its pause.

        Returns:
            What was written, and what the speaker's next line goes on from if that has changed.
        """
        name = same_speaker(line.speaker)
        request = self._request(index, line, self._prompt(name))
        tail = _Tail(self._said.get(name), self._continuity(name))
        start = writer.num_samples
        for samples in self._marked(self._samples(tail.watch(self.voice.frames([request])))):
            writer.write(samples)
        stop = writer.num_samples
        _write_silence(writer, round(self._pause(line) * self.voice.sample_rate))
        if tail.cut:
            warn_of_cut(request, self.voice.frame_rate)
        said = None if tail.cut else tail.latents  # what went wrong is nothing to go on from
        self.remember(name, said)
        spoken = SpokenLine(
            where=line.where,
            part=line.part,
            speaker=line.speaker,
            text=line.text,
            seed=request.seed,
            start=start,
            stop=stop,
            end=writer.num_samples,
            cut=tail.cut,
        )
        return spoken, said

    def _samples(self, frames: Iterable[Frames]) -> Iterator[Samples]:
        for chunk in self.voice.audio(frames, self._options.chunk_frames):
            yield from (samples.float().cpu().numpy() for samples in chunk.audio)

    def _marked(self, pieces: Iterator[Samples]) -> Iterator[Samples]:
        """The samples of a line, with the mark if there is one; it wants them together."""
        if self._mark is None:
            return pieces
        return iter([self._mark(np.concatenate(list(pieces)), self.voice.sample_rate)])

    def _request(self, index: int, line: ScriptLine, prompt: Latents | None) -> SpeechRequest:
        if line.seed is None:
            seed = _derived_seed(self._options.seed, index)
        else:
            seed = _derived_seed(line.seed, line.part) if line.part else line.seed
        speaker = self._roles[same_speaker(line.speaker)].speaker
        return self.voice.request(line.where, line.text, speaker, prompt, seed, self._options.temperature)

    def _prompt(self, name: str) -> Latents | None:
        """The beginning of the voice prompt that was given, and the end of what was said; together as in training."""
        said, given = self._said.get(name), self._roles[name].prompt
        if said is None or given is None:
            return given if said is None else said
        return np.concatenate([given[: max(0, self.voice.voice_frames - len(said))], said])

    def _continuity(self, name: str) -> int:
        window, wanted = self.voice.voice_frames, self._options.continuity_frames
        if wanted is None:
            return window if self._roles[name].prompt is None else window // 2
        return min(wanted, window)

    def _pause(self, line: ScriptLine) -> float:
        return self._options.pause_seconds if line.pause is None else line.pause


class _Tail:
    """The last latents of a speaker, and whether the line was cut, from frames that go by.

    Args:
        before: What the speaker said before, `(F, L)`.
        size: How many latents to keep.
    """

    def __init__(self, before: Latents | None, size: int) -> None:
        self._kept: deque[Latents] = deque([] if before is None else before, maxlen=size)
        self.cut = False

    def watch(self, frames: Iterable[Frames]) -> Iterator[Frames]:
        """The frames of one request, unchanged."""
        for step in frames:
            self.cut = self.cut or not step.ended.get(0, True)
            self._kept.extend(step.latents.float().cpu().numpy())
            yield step

    @property
    def latents(self) -> Latents | None:
        """`(F, L)`, or None if none are to be kept."""
        return np.stack(self._kept) if self._kept else None


def _derived_seed(seed: int, index: int) -> int:
    """One seed for each place, unlike those of other seeds."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _write_silence(writer: AudioWriter, num_samples: int) -> None:
    for start in range(0, num_samples, _BLOCK):
        writer.write(np.zeros(min(_BLOCK, num_samples - start), np.float32))
