"""Synthesis of the records of a file into a folder.

The folder is that of a `FileJob`; its manifest has the text of each file, as other verbs read it.
Batches do not depend on what is done already, and a batch that lacks a file is spoken again as a whole. So a job that
is continued, by any number of processes, ends with the samples of one that never stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latent.audio.files import write_audio
from latent.audio.watermark import Mark
from latent.data.speech_prompts import SpeechRequest
from latent.file_job import FileJob
from latent.subtitles import write_subtitles
from latent.synthesis.files import Spoken, Summary, speak
from latent.synthesis.requests import Unusable, Wanted
from latent.synthesis.voice import Voice, prompt_digest
from s2s.durable import claimed
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from s2s.progress import Meter, audio
from s2s.ranks import Ranks

JOURNAL = ".synthesis"


@dataclass(frozen=True)
class RecordOptions:
    """Options of a job.

    Args:
        suffix: The format of the files.
        max_rows: Maximum batch size.
        overwrite: Start over, whatever is there.
        watermark: Applied to all samples.
        subtitles: The format of those to write beside each file, "srt" or "vtt".
        shard: Speak a part of the records alone, into a folder of its own; see `s2s.generation.shard_folders`.
    """

    suffix: str = ".wav"
    max_rows: int = 16
    overwrite: bool = False
    watermark: Mark | None = None
    subtitles: str | None = None
    shard: Shard | None = None


def synthesize_records(
    voice: Voice, records: Sequence[Wanted | Unusable], folder: Path, ranks: Ranks, **options: Any
) -> Summary:
    """Speak records into the files of a folder; files that this job has made before stay.

    Args:
        voice: The voice, on the device of the rank.
        records: See `latent.synthesis.requests.read_requests`; the same on all ranks.
        folder: Created if missing.
        ranks: They take batches in turn, and must see the same folder.
        options: See `RecordOptions`.

    Returns:
        Counts over all ranks.

    Raises:
        InputError: a file in the folder is not of this job or cannot be written, or another process writes the folder.
    """
    job = RecordJob(voice, records, folder, RecordOptions(**options))
    with job.opened(ranks):
        batches = job.left(ranks.rank, ranks.size)
        with Meter(job.expected_seconds(batches), ranks.first, "synthesized", audio) as meter:
            for index, spoken in spoken_of(voice, job.wanted, batches, meter):
                job.take(index, spoken)
        return job.close(meter)


def spoken_of(
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


class RecordJob(FileJob):
    """The files of a voice: what is left to speak, and what to do with what was spoken.

    Args:
        voice: The voice.
        records: All of the input, also for a shard.
        folder: The output as it is given to each shard.
        options: Of the job.
    """

    def __init__(
        self, voice: Voice, records: Sequence[Wanted | Unusable], folder: Path, options: RecordOptions
    ) -> None:
        self.wanted = [record for record in records if isinstance(record, Wanted)]
        self._voice, self._options, self._begun = voice, options, time.monotonic()
        shard, marked = options.shard, options.watermark is not None
        self._made: list[dict[str, Any]] = []
        self._failed: list[Unusable] = []
        self._unusable = [record for record in records if isinstance(record, Unusable)]
        if shard is not None and shard.number > 1:
            self._unusable = []  # the first shard reports them
        digests, former = (
            [_digest(item.request, {**fingerprint, "watermark": marked}) for item in self.wanted]
            for fingerprint in (voice.fingerprint(), voice.former_fingerprint())
        )
        ids = [item.request.id for item in self.wanted]
        folder = folder if shard is None else shard.path(folder)
        super().__init__(folder, JOURNAL, ids, options.suffix, digests, former)

    @contextlib.contextmanager
    def opened(self, ranks: Ranks) -> Iterator[None]:
        """Lock the folder for a block, against other jobs, and look what is done."""
        self._ranks = ranks
        with contextlib.ExitStack() as claim:
            with ranks.together():
                if ranks.first:
                    claim.enter_context(claimed(self.folder, self.folder / f"{JOURNAL}.lock"))
                    self.prepare(self._options.overwrite)
            self.look()
            self._kept, self._journal = len(self.done), self.journal(ranks.rank)
            yield

    def left(self, rank: int = 0, ranks: int = 1) -> list[list[int]]:
        """Indices of the records of each batch of a rank that lacks a file."""
        return [batch for batch in self._batches()[rank::ranks] if not self.done.issuperset(batch)]

    def _batches(self) -> list[list[int]]:
        batches = list(self._voice.batches([item.request for item in self.wanted], self._options.max_rows))
        shard = self._options.shard
        return batches if shard is None else batches[shard.number - 1 :: shard.count]

    def expected_seconds(self, batches: Sequence[Sequence[int]]) -> float:
        """Seconds of speech in some batches, as the voice expects."""
        return sum(self._voice.expected_seconds(self.wanted[index].request) for batch in batches for index in batch)

    def take(self, index: int, spoken: Spoken | str) -> None:
        """Write the speech of a record, unless it is there, or note why there is none."""
        if isinstance(spoken, str):
            self._failed.append(Unusable(self.wanted[index].line, self.wanted[index].request.id, spoken))
        elif index not in self.done:
            self._made.append(self._entry(index, spoken))
            self._journal.add(self._made[-1])  # first, so that a file which is there is known to be whole
            self._write(spoken, self.paths[index])

    def close(self, meter: Meter) -> Summary:
        """Write the lists of all files, once all ranks are here; counts of all of them."""
        ranks, options = self._ranks, self._options
        made, failed = ranks.gather(self._made), [*ranks.gather(self._failed), *self._unusable]
        (spoken_seconds,) = ranks.sum([meter.done])
        if ranks.first:
            errors = [asdict(item) for item in sorted(failed, key=lambda item: item.line)]
            if options.subtitles is not None:
                self._write_subtitles(options.subtitles)
            self.finish(errors, is_shard=options.shard is not None)
        seconds, cut = sum(entry["seconds"] for entry in made), sum(not entry["ended"] for entry in made)
        factor = (time.monotonic() - self._begun) / max(spoken_seconds, 1e-9)
        return Summary(len(made), seconds, factor, cut, self._kept, len(failed))

    def _entry(self, index: int, spoken: Spoken) -> dict[str, Any]:
        """The line of a file in the manifest."""
        request, prompt = self.wanted[index].request, self.wanted[index].prompt
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

    def _write(self, spoken: Spoken, path: Path) -> None:
        mark, rate = self._options.watermark, self._voice.sample_rate
        samples = spoken.samples if mark is None else mark(spoken.samples, rate)
        write_audio(path, samples, rate, self._voice.tags(spoken.request.seed))

    def _write_subtitles(self, format: str) -> None:
        """Write those of all files, beside them."""
        self.look()
        for index in sorted(self.done):
            request, seconds = self.wanted[index].request, self.line(index)["seconds"]
            write_subtitles(self.paths[index], format, self._voice.subtitles(request, 0.0, seconds))


def _digest(request: SpeechRequest, settings: dict[str, Any]) -> str:
    """A hash of all that the samples depend on."""
    prompt = None if request.voice is None else prompt_digest(request.voice)
    spoken = [request.text, request.speaker, prompt, request.seed, request.temperature, request.max_frames]
    spoken += [] if request.speed == 1 else [request.speed]
    return hashlib.sha256(json.dumps([spoken, settings], sort_keys=True).encode()).hexdigest()[:16]
