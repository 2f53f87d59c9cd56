"""Synthesis into files: one text into one file, or a file of records into a folder.

The folder is that of a `FileJob`; its manifest has the text of each file, as other verbs read it.
Batches do not depend on what is done already, and a batch that lacks a file is spoken again as a whole. So a job that
is continued, by any number of processes, ends with the samples of one that never stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from latent.audio.files import AudioWriter, Samples, checked, write_audio
from latent.audio.growing_wav import pcm_16, wav_header
from latent.audio.watermark import Mark
from latent.data.speech_prompts import SpeechRequest
from latent.file_job import ERRORS, FileJob
from latent.subtitles import write_subtitles
from latent.synthesis.requests import Unusable, Wanted, warn_of_spelling
from latent.synthesis.saying import Saying, warn_of_truncation
from latent.synthesis.voice import Voice, prompt_digest
from s2s.durable import WAY_OUT, claimed
from s2s.errors import InputError
from s2s.progress import Meter, audio
from s2s.ranks import Ranks

JOURNAL = ".synthesis"
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


def synthesize_records(
    voice: Voice,
    records: Sequence[Wanted | Unusable],
    folder: Path,
    ranks: Ranks,
    *,
    suffix: str = ".wav",
    max_rows: int = 16,
    overwrite: bool = False,
    watermark: Mark | None = None,
    subtitles: str | None = None,
) -> Summary:
    """Speak records into the files of a folder; files that this job has made before stay.

    Args:
        voice: The voice, on the device of the rank.
        records: See `latent.synthesis.requests.read_requests`; the same on all ranks.
        folder: Created if missing.
        ranks: They take batches in turn, and must see the same folder.
        suffix: The format of the files.
        max_rows: Maximum batch size.
        overwrite: Start over, whatever is there.
        watermark: Applied to all samples.
        subtitles: The format of those to write beside each file, "srt" or "vtt".

    Returns:
        Counts over all ranks.

    Raises:
        InputError: a file in the folder is not of this job or cannot be written, or another process writes the folder.
    """
    wanted = [record for record in records if isinstance(record, Wanted)]
    job = _Job(voice, wanted, folder, suffix, marked=watermark is not None)
    with contextlib.ExitStack() as claim:
        with ranks.together():
            if ranks.first:
                claim.enter_context(claimed(folder, folder / f"{JOURNAL}.lock"))
                job.prepare(overwrite)
        job.look()
        batches = list(voice.batches([item.request for item in wanted], max_rows))[ranks.rank :: ranks.size]
        batches = [batch for batch in batches if not job.done.issuperset(batch)]
        made: list[dict[str, Any]] = []
        failed: list[Unusable] = []
        begun = time.monotonic()
        expected = sum(voice.expected_seconds(wanted[index].request) for batch in batches for index in batch)
        journal = job.journal(ranks.rank)
        with Meter(expected, ranks.first, "synthesized", audio) as meter:
            for index, spoken in _spoken(voice, wanted, batches, meter):
                if isinstance(spoken, str):
                    failed.append(Unusable(wanted[index].line, wanted[index].request.id, spoken))
                elif index not in job.done:
                    made.append(job.entry(index, spoken))
                    journal.add(made[-1])  # first, so that a file which is there is known to be whole
                    _write(voice, spoken, job.paths[index], watermark)
        kept = len(job.done)
        made, failed = ranks.gather(made), ranks.gather(failed)
        (spoken_seconds,) = ranks.sum([meter.done])
        failed += [item for item in records if isinstance(item, Unusable)]
        if ranks.first:
            job.finish([asdict(item) for item in sorted(failed, key=lambda item: item.line)])
            if subtitles is not None:
                job.write_subtitles(subtitles)
        seconds, cut = sum(entry["seconds"] for entry in made), sum(not entry["ended"] for entry in made)
        factor = (time.monotonic() - begun) / max(spoken_seconds, 1e-9)
        return Summary(len(made), seconds, factor, cut, kept, len(failed))


def _spoken(
    voice: Voice, wanted: Sequence[Wanted], batches: Sequence[Sequence[int]], meter: Meter
) -> Iterator[tuple[int, Spoken | str]]:
    """Each record by its index: its speech, or what went wrong. An error stops one record alone."""
    left = [list(batch) for batch in batches]
    while left:
        batch = left.pop(0)
        missing = set(batch)
        try:
            for row, spoken in speak(voice, [wanted[index].request for index in batch], meter):
                missing.remove(batch[row])
                if np.isfinite(spoken.samples).all() and len(spoken.samples):
                    yield batch[row], spoken
                else:
                    yield batch[row], "diverged: the samples must be finite numbers, at least one"
        except InputError:
            raise
        except Exception as error:  # whatever goes wrong with one record, speak the others
            if len(batch) == 1:
                yield batch[0], f"unexpected {type(error).__name__}: {error}"
            else:
                left[:0] = [[index] for index in batch if index in missing]


class _Job(FileJob):
    """The files of a voice."""

    def __init__(self, voice: Voice, wanted: Sequence[Wanted], folder: Path, suffix: str, marked: bool) -> None:
        self._voice, self._wanted = voice, wanted
        digests, former = (
            [_digest(item.request, {**fingerprint, "watermark": marked}) for item in wanted]
            for fingerprint in (voice.fingerprint(), voice.former_fingerprint())
        )
        super().__init__(folder, JOURNAL, [item.request.id for item in wanted], suffix, digests, former)

    def entry(self, index: int, spoken: Spoken) -> dict[str, Any]:
        """The line of a file in the manifest."""
        request, prompt = self._wanted[index].request, self._wanted[index].prompt
        facts = {
            "seconds": round(len(spoken.samples) / self._voice.sample_rate, 4),
            "text": request.text,
            **({} if request.speaker is None else {"speaker": request.speaker}),
            **({} if prompt is None else {"voice": str(prompt)}),
            "seed": request.seed,
            "temperature": request.temperature,
            **({} if request.speed == 1 else {"speed": request.speed}),
            "ended": spoken.ended,
            "work_seconds": round(spoken.work_seconds, 4),
        }
        return self.described(index, "audio", facts)

    def write_subtitles(self, format: str) -> None:
        """Write those of all files, beside them."""
        for index in sorted(self.done):
            request, seconds = self._wanted[index].request, self.line(index)["seconds"]
            write_subtitles(self.paths[index], format, self._voice.subtitles(request, 0.0, seconds))


def _write(voice: Voice, spoken: Spoken, path: Path, watermark: Mark | None) -> None:
    samples = spoken.samples if watermark is None else watermark(spoken.samples, voice.sample_rate)
    write_audio(path, samples, voice.sample_rate, voice.tags(spoken.request.seed))


def _digest(request: SpeechRequest, settings: dict[str, Any]) -> str:
    """A hash of all that the samples depend on."""
    prompt = None if request.voice is None else prompt_digest(request.voice)
    spoken = [request.text, request.speaker, prompt, request.seed, request.temperature, request.max_frames]
    spoken += [] if request.speed == 1 else [request.speed]
    return hashlib.sha256(json.dumps([spoken, settings], sort_keys=True).encode()).hexdigest()[:16]
