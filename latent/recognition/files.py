"""Transcribing many recordings into one file, in the order of the input, by jobs that survive a kill.

The files are those of decoding (`s2s.generation.output`): the output, OUTPUT.errors.jsonl for recordings that could not
be transcribed, and what a job that continues needs. A window is a group of recordings in the order of the input; inside
it, recordings of similar length are heard together.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from latent.audio.recording import Recording
from latent.recognition.formats import TranscriptFormat, check_words, failure_lines, transcript_format, transcript_lines
from latent.recognition.inputs import Listed
from latent.recognition.recognizer import RecognitionRequest, Recognizer
from latent.recognition.transcript import Transcript
from latent.recognition.words import WordAligner, with_words
from s2s.durable import check_target, claimed, refuse_inputs
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from s2s.generation.output import Batches, FileOutput, Window, open_output
from s2s.json_files import dump_json
from s2s.progress import Meter, audio
from s2s.ranks import Ranks

logger = logging.getLogger(__name__)

_WINDOW = 64
"""Recordings of a window; fewer if several processes share them."""


@dataclass(frozen=True)
class Summary:
    """What a job made: recordings and seconds of all of it, how many failed or have warnings, and its real-time factor.

    `real_time_factor` is that of this call, None if there was nothing left to do.
    """

    recordings: int
    failed: int
    doubtful: int
    seconds: float
    real_time_factor: float | None

    def __str__(self) -> str:
        parts = [f"{self.recordings} recording{'s' * (self.recordings != 1)}, {self.seconds:.1f} s of audio"]
        parts += [] if self.real_time_factor is None else [f"real-time factor {self.real_time_factor:.2f}"]
        parts += [f"{self.doubtful} with warnings"] if self.doubtful else []
        return ", ".join([*parts, *([f"{self.failed} failed, see the file of errors"] if self.failed else [])])


@dataclass(frozen=True)
class TranscribeOptions:
    """Options of a job: maximum rows of a batch, the context and the language of all recordings, and how to go on.

    `words` finds when each word is said. With a `shard`, a part of the recordings goes to an output of its own.
    """

    max_rows: int = 8
    context: str = ""
    language: str | None = None
    overwrite: bool = False
    strict: bool = False
    words: WordAligner | None = None
    shard: Shard | None = None


def transcribe_files(
    recognizer: Recognizer, recordings: Sequence[Listed], output: Path, ranks: Ranks, options: TranscribeOptions
) -> Summary:
    """Transcribe recordings into a file, in their order. The same call continues a job that was killed.

    Args:
        recognizer: On the device of the rank.
        recordings: See `find_recordings`; the same on all ranks.
        output: Its suffix is its format, see `transcript_format`.
        ranks: They take windows in turn, and must see the same files.

    Raises:
        InputError: the output cannot be written, or belongs to another job; with `strict`, a recording that fails.
    """
    format, output, recordings = planned(recognizer, recordings, output, options)
    with contextlib.ExitStack() as claim:
        with ranks.together():
            if ranks.first:
                claim.enter_context(claimed(output))
        window, target = opened_output(recognizer, recordings, output, ranks, options)
        numbers = range(math.ceil(len(recordings) / window))[ranks.rank :: ranks.size]
        left = {
            number: recordings[number * window : (number + 1) * window]
            for number in numbers
            if not target.is_done(number)
        }
        begun = time.monotonic()
        with Meter(expected_seconds(left.values()), ranks.first, "transcribed", audio) as meter:
            work = WindowWork(recognizer, options, format, meter.advance)
            for number, items in left.items():
                target.write(number, work.window(items, target.batches(number)))
        (heard,) = ranks.sum([meter.done])
        target.close(math.ceil(len(recordings) / window))
    return summary_of(target, len(recordings), (time.monotonic() - begun) / heard if heard else None)


def summary_of(target: FileOutput, recordings: int, factor: float | None) -> Summary:
    """The counts of a finished output, with the real-time factor of this call."""
    counts = target.counts
    seconds = counts.get("milliseconds", 0) / 1000
    return Summary(recordings, counts.get("failed", 0), counts.get("doubtful", 0), seconds, factor)


def planned(
    recognizer: Recognizer, recordings: Sequence[Listed], output: Path, options: TranscribeOptions
) -> tuple[TranscriptFormat, Path, Sequence[Listed]]:
    """Format, output and recordings of a job, of a shard its own; InputError for options that do not fit."""
    format = transcript_format(output, len(recordings))
    recognizer.check_context(options.context)
    if options.words is not None:
        check_words(format)
    if options.shard is not None:
        output, recordings = options.shard.path(output), options.shard.part(recordings, _WINDOW)
    return format, output, recordings


def opened_output(
    recognizer: Recognizer, recordings: Sequence[Listed], output: Path, ranks: Ranks, options: TranscribeOptions
) -> tuple[int, FileOutput]:
    """The size of a window, and where windows go; the first rank makes the state that the others read."""
    files = {"output": output, "errors": output.with_name(f"{output.name}.errors.jsonl")}
    for path in files.values():
        check_target(path)
        refuse_inputs(path, [item.audio for item in recordings])
    window = _WINDOW if ranks.size == 1 else min(_WINDOW, max(1, math.ceil(len(recordings) / (4 * ranks.size))))
    inputs = {item.id: item.audio if item.error is None and item.audio.is_file() else item.error for item in recordings}
    settings = {**recognizer.fingerprint(), "max_rows": options.max_rows, "language": options.language}
    settings |= {"context": options.context, "format": output.suffix.lower()}
    settings |= {} if options.words is None else {"words": options.words.fingerprint()}
    job = {"input": inputs, "settings": settings, "window": window}
    job |= {} if options.shard is None else {"shard": str(options.shard)}
    for turn in (True, False):
        with ranks.together():
            if ranks.first == turn:
                known, target = open_output(files, ranks.first, job, options.overwrite)
    return int(known["window"]), target


def expected_seconds(windows: Iterable[Sequence[Listed]]) -> float:
    """Seconds of audio, as the headers say, of the recordings that can be read."""
    total = 0.0
    for item in (item for window in windows for item in window):
        with contextlib.suppress(InputError):
            total += Recording(item.audio).seconds if item.error is None else 0.0
    return total


class _Made(NamedTuple):
    """What became of a recording: its lines, the reason why it failed, whether it has warnings, its milliseconds."""

    lines: list[str]
    error: str | None
    doubtful: bool
    milliseconds: int


@dataclass(frozen=True)
class WindowWork:
    """Turns recordings into lines."""

    recognizer: Recognizer
    options: TranscribeOptions
    format: TranscriptFormat
    advance: Callable[[float], None] = lambda seconds: None

    def window(self, items: Sequence[Listed], batches: Batches) -> Window:
        """Transcribe a window; `batches` holds what is already done, and receives what is done now."""
        made: dict[int, _Made] = {}
        requests: dict[int, RecognitionRequest] = {}
        for place, item in enumerate(items):
            try:
                requests[place] = self._request(item)
            except InputError as error:
                made[place] = self._failure(item.id, error)
        places = list(requests)
        groups = self.recognizer.batches(list(requests.values()), self.options.max_rows)
        for number, group in enumerate(groups):
            batch = [places[index] for index in group]
            if number not in batches.done:
                batches.add(number, [found._asdict() for found in self._all([requests[place] for place in batch])])
            made |= {place: _Made(**found) for place, found in zip(batch, batches.done[number], strict=True)}
        return self._joined([(item, made[place]) for place, item in enumerate(items)])

    def _request(self, item: Listed) -> RecognitionRequest:
        if item.error is not None:
            raise InputError(item.error)
        language = item.language or self.options.language
        return self.recognizer.request(item.id, Recording(item.audio), self.options.context, language)

    def _all(self, requests: Sequence[RecognitionRequest]) -> list[_Made]:
        """Transcribe a batch; if that fails, each recording alone, so that one cannot spoil the others."""
        try:
            found = dict(self.recognizer.recognize(requests))
        except Exception as error:
            if len(requests) == 1:
                return [self._failure(requests[0].id, error)]
            return [made for request in requests for made in self._all([request])]
        self.advance(sum(transcript.seconds for transcript in found.values()))
        return [self._made(request, found[index]) for index, request in enumerate(requests)]

    def _made(self, request: RecognitionRequest, transcript: Transcript) -> _Made:
        if self.options.words is not None:
            transcript = with_words(transcript, request.recording, self.options.words)
        lines = transcript_lines(request.id, transcript, self.format)
        return _Made(lines, None, bool(transcript.warnings), round(1000 * transcript.seconds))

    def _failure(self, id: str, error: Exception) -> _Made:
        if self.options.strict and isinstance(error, InputError):
            raise error
        message = str(error) if isinstance(error, InputError) else f"unexpected {type(error).__name__}: {error}"
        logger.error("%s: %s", id, InputError(message))
        return _Made(failure_lines(id, message, self.format), message, False, 0)

    def _joined(self, made: Sequence[tuple[Listed, _Made]]) -> Window:
        errors = [dump_json({"id": item.id, "error": one.error}) for item, one in made if one.error is not None]
        streams = {"output": [line for _, one in made for line in one.lines], "errors": errors}
        counts = {
            "lines": len(made),
            "failed": len(errors),
            "doubtful": sum(one.doubtful for _, one in made),
            "milliseconds": sum(one.milliseconds for _, one in made),
        }
        return Window(streams, counts)
