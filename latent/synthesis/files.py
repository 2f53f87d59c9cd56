"""Synthesis of a text into one file; and speech that becomes files, as `latent.synthesis.records` writes them too."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from latent.audio.files import AudioWriter, Samples, checked
from latent.audio.growing_wav import pcm_16, wav_header
from latent.audio.watermark import Mark
from latent.data.speech_prompts import SpeechRequest
from latent.file_job import ERRORS
from latent.subtitles import write_subtitles
from latent.synthesis.requests import warn_of_spelling
from latent.synthesis.saying import Saying, warn_of_truncation
from latent.synthesis.voice import Voice
from s2s.durable import WAY_OUT, claimed
from s2s.errors import InputError
from s2s.progress import Meter, audio

CHUNK_FRAMES = 16


@dataclass(frozen=True)
class Spoken:
    """The audio of a request: samples `(S,)`, truncated unless `ended`, and its share of the time of its batch."""

    request: SpeechRequest
    samples: Samples
    ended: bool
    work_seconds: float


@dataclass(frozen=True)
class Summary:
    """What a job made.

    Args:
        files: Number of files that this call wrote.
        seconds: Seconds of audio in them.
        real_time_factor: Seconds of work for each.
        cut: Files that were truncated.
        kept: Files that were there already.
        failed: Records that could not be spoken.
        first_audio: Seconds from the beginning of a text to its first samples.
    """

    files: int
    seconds: float
    real_time_factor: float
    cut: int = 0
    kept: int = 0
    failed: int = 0
    first_audio: float | None = None

    def __str__(self) -> str:
        parts = [f"{self.seconds:.1f} s of audio in {self.files} file{'s' * (self.files != 1)}"]
        parts += [f"real-time factor {self.real_time_factor:.2f}"] if self.files else []
        parts += [] if self.first_audio is None else [f"first audio after {self.first_audio:.2f} s"]
        others = {"already there": self.kept, "truncated": self.cut, f"not usable, see {ERRORS} there": self.failed}
        return ", ".join([*parts, *(f"{count} {what}" for what, count in others.items() if count)])


def speak(voice: Voice, requests: Sequence[SpeechRequest], meter: Meter) -> Iterator[tuple[int, Spoken]]:
    """Speak requests together; yields each by its index as soon as it has ended."""
    parts: list[list[Samples]] = [[] for _ in requests]
    work = [0.0] * len(requests)
    begun = time.monotonic()
    for chunk in voice.stream(requests, CHUNK_FRAMES):
        for row, samples in zip(chunk.rows, chunk.audio.float().cpu().numpy(), strict=True):
            parts[row].append(samples)
            work[row] += (time.monotonic() - begun) / len(chunk.rows)
        meter.advance(chunk.audio.numel() / voice.sample_rate)
        for row, ended in chunk.ended.items():
            request, samples = requests[row], np.concatenate([np.empty(0, np.float32), *parts[row]])
            parts[row].clear()
            meter.correct(len(samples) / voice.sample_rate - voice.expected_seconds(request))
            if not ended:
                warn_of_truncation(request, request.max_frames / voice.frame_rate)
            yield row, Spoken(request, samples, ended, work[row])
        begun = time.monotonic()  # what the caller does with the samples is not counted


def synthesize_text(
    voice: Voice,
    saying: Saying,
    output: Path,
    overwrite: bool = False,
    watermark: Mark | None = None,
    subtitles: str | None = None,
) -> Summary:
    """Speak a text into a file, whose suffix is its format; the file grows beside it, see `AudioWriter`.

    `subtitles`: the format of those to write beside it, "srt" or "vtt".

    Raises:
        InputError: the file exists and `overwrite` is False, its suffix is unknown, or it cannot be written.
    """
    with claimed(output):
        writer = AudioWriter(output, voice.sample_rate, voice.tags(saying.seed))
        if output.exists() and not overwrite:
            raise InputError(f"{output}: exists already; {WAY_OUT}")
        with Meter(saying.expected_seconds, True, "synthesized", audio) as meter, writer:
            for samples in _marked(saying, watermark, voice.sample_rate):
                writer.write(samples)
                meter.advance(len(samples) / voice.sample_rate)
        if subtitles is not None:
            write_subtitles(output, subtitles, (one for part in saying.parts for one in voice.subtitles(*part)))
    return _summary(saying)


def stream_text(
    voice: Voice, saying: Saying, pipe: BinaryIO, is_raw: bool = False, watermark: Mark | None = None
) -> Summary:
    """Speak a text into a pipe while it is made: samples of 16 bits, as a WAV file of unknown length or raw."""
    if not is_raw:
        pipe.write(wav_header(voice.sample_rate, voice.tags(saying.seed)))
    for samples in _marked(saying, watermark, voice.sample_rate):
        pipe.write(pcm_16(checked(samples, "the speech")).tobytes())
        pipe.flush()
    return _summary(saying)


def _marked(saying: Saying, watermark: Mark | None, sample_rate: int) -> Iterable[Samples]:
    """The samples, watermarked if asked for; a watermark needs them as a whole."""
    return saying if watermark is None else [watermark(np.concatenate(list(saying)), sample_rate)]


def _summary(saying: Saying) -> Summary:
    warn_of_spelling(saying.requests)
    factor = saying.work_seconds / max(saying.seconds, 1e-9)
    return Summary(1, saying.seconds, factor, cut=int(not saying.ended), first_audio=saying.first_audio)
