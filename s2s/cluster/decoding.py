"""Decoding on a Ray cluster: the job, the files and the windows are those of `s2s.generation.decode`."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from s2s.cluster.pool import ClusterOptions, Do, run_windows
from s2s.data.files import STANDARD
from s2s.data.records import Records, open_records
from s2s.data.row import Row
from s2s.errors import InputError
from s2s.generation.decode import DecodeOptions, Job, Summary, opened_job
from s2s.generation.generator import Generator
from s2s.generation.output import Batches, Window
from s2s.generation.output_formats import OutputFormat
from s2s.generation.window_work import Batching, Join, WindowWork
from s2s.progress import Meter, sentences
from s2s.ranks import Ranks

logger = logging.getLogger(__name__)


class Load(Protocol):
    """Opens the run on a device; pickled. As `functools.partial(Generator.load, "runs/mine")`."""

    def __call__(self, *, device: str) -> Generator: ...


Adapt = Callable[[Generator], tuple[Generator, Join | None]]
"""A generator with the settings of a job, and what makes its output records."""


def as_it_is(generator: Generator) -> tuple[Generator, None]:
    """Output records as `decode_file` writes them."""
    return generator, None


def decode_on_cluster(
    load: Load,
    source: str | Path,
    output: str | Path,
    options: DecodeOptions,
    cluster: ClusterOptions,
    adapt: Adapt = as_it_is,
) -> Summary:
    """Decode the records of an input by the workers of a Ray cluster; the result is that of `decode_file`.

    Workers read the input themselves, so that all machines must see the same files, and open the run once. Windows come
    back to this process, which writes them in order. A worker that is lost costs the windows it had. If this process is
    killed, the same call continues the job, also by `decode_file`.

    Args:
        load: Called here, for the settings of the job, and in each worker.
        source: A file or a folder, not standard input.
        output: A file or a folder of parts.
        options: As for `decode_file`.
        cluster: Where, and how many workers.
        adapt: What the job does with its outputs, such as `s2s.generation.pseudo_labels.labeling`; pickled.

    Raises:
        InputError: as for `decode_file` and `run_windows`; a worker does not see the input.
    """
    if STANDARD in (str(source), str(output)):
        raise InputError("--ray: standard input and output cannot be shared by a cluster; name files")
    generator, _ = adapt(load(device="cpu"))
    with opened_job(generator, source, output, options, Ranks(0, 1, torch.device("cpu"))) as job:
        run = _Run(job)
        if not run.is_finished():
            node = _Node(load, str(source), options, cluster.device, job.format, job.window, _seen(job.records), adapt)
            with Meter(run.left(), True, "decoded", sentences) as meter:
                for number, found in run_windows(node, run.numbers(), cluster):
                    run.take(number, found)
                    meter.advance(0 if found is None else found[0].counts["lines"])
            if meter.done:
                meter.report()
        job.close(run.count)
    return job.summary(run.reason)


class _Run:
    """Which windows are left, and where the input ends, which only a worker that looks beyond it can tell."""

    def __init__(self, job: Job) -> None:
        self._job, self._start, self._end = job, job.windows.start, job.windows.stop
        self.reason = ""

    @property
    def count(self) -> int:
        """Windows of the job, once all are done."""
        return self._end - self._start

    def numbers(self) -> Iterator[int]:
        """Numbers of the windows to do, until one is known not to be there."""
        for number in itertools.count(self._start):
            if number >= self._end:
                return
            if not self._job.target.is_done(number - self._start):
                yield number

    def take(self, number: int, found: tuple[Window, str] | None) -> None:
        """Take the result of a window; None if the input ends before it."""
        if found is None:
            self._end = min(self._end, number)
            return
        window, reason = found
        self.reason = reason or self.reason
        self._job.target.write(number - self._start, window)

    def left(self) -> int | None:
        """About how many lines are left."""
        total = self._job.records.count()
        if total is None:
            return None
        numbers = range(self._start, min(self._end, math.ceil(total / self._job.window)))
        left = (number for number in numbers if not self._job.target.is_done(number - self._start))
        return sum(min(self._job.window, total - number * self._job.window) for number in left)

    def is_finished(self) -> bool:
        """Whether nothing is left, as far as can be told without a worker; sets the end of the input then."""
        first = next(self.numbers(), None)
        if first is None or (self.left() == 0 and not _Windows(self._job.records, self._job.window).rows(first)):
            self._end = self._end if first is None else first
            return True
        return False


class _Windows:
    """Windows of an input in any order, cheaply in rising order."""

    def __init__(self, records: Records, window: int) -> None:
        self._records, self._window = records, window
        self._rows: Iterator[Row] = iter(())
        self._next: int | None = None

    def rows(self, number: int) -> list[Row]:
        """The rows of a window; none after the end of the input."""
        if self._next is None or number < self._next:
            self._rows, self._next = self._records.rows(), 0
        skipped = (number - self._next) * self._window
        self._next = number + 1
        return list(itertools.islice(self._rows, skipped, skipped + self._window))


def _seen(records: Records) -> tuple[Any, ...]:
    """What differs between inputs that are not the same, as far as it costs nothing."""
    return records.version, *(path.stat().st_size for path in records.files)


@dataclass(frozen=True)
class _Node:
    """Makes the work of a worker, there."""

    load: Load
    source: str
    options: DecodeOptions
    device: str
    format: OutputFormat
    window: int
    seen: tuple[Any, ...]
    adapt: Adapt

    def __call__(self) -> Do:
        generator, join = self.adapt(self.load(device=self.device))
        records = open_records(self.source, "test", self.options.format, generator.task.record)
        if _seen(records) != self.seen:
            raise InputError(f"{self.source}: differs between machines of the cluster; all must see the same input")
        batching = Batching(self.options.max_tokens, self.options.max_sentences)
        work = WindowWork(generator, batching, self.format, records.unit, self.options.strict, join=join)
        windows = _Windows(records, self.window)

        def do(number: int) -> Any:
            rows = windows.rows(number)
            if not rows:
                return None
            return work.decode(rows, Batches(), is_first=not number), next(iter(work.reasons), "")

        return do
