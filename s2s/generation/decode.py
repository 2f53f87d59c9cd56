"""Decoding a file of records: windows of lines, batches of similar length, outputs in the input's order."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from s2s.config import Section
from s2s.data.files import STANDARD, shown_name
from s2s.data.ids import IdLines
from s2s.data.records import Records, open_records
from s2s.data.row import Row
from s2s.decoding.beam import BeamSearch
from s2s.durable import check_target, claimed, refuse_inputs
from s2s.errors import ConfigError, InputError
from s2s.generation.generator import Generator
from s2s.generation.job_array import Shard
from s2s.generation.output import FileOutput, PipeOutput, discard, open_output, refuse_existing
from s2s.generation.output_formats import OutputFormat, output_format, rows_file
from s2s.generation.parts_folder import PartsFolder, claimed_folder, is_parts_folder, open_parts, parts_format
from s2s.generation.window_work import Batching, Join, WindowWork
from s2s.progress import Meter, sentences
from s2s.ranks import Ranks

logger = logging.getLogger(__name__)

Output = PipeOutput | FileOutput | PartsFolder


class DecodeOptions(Section):
    """Options of decoding a file, beside those of the decoder."""

    max_tokens: int = Field(4096, ge=1)
    """Maximum source tokens per batch, padding included. A longer source is a batch of its own."""
    max_sentences: int = Field(64, ge=1)
    """Maximum sentences per batch."""
    window: int = Field(4096, ge=1)
    """Lines that are read, sorted by length and decoded together. More lines need more memory and less padding."""
    strict: bool = False
    """Stop at the first line that cannot be used, instead of recording its error and continuing."""
    overwrite: bool = False
    """Start again, whatever is in the output."""
    format: str | None = None
    """Format of the input, if neither its name nor its first line tells: jsonl, text, csv or tsv."""
    shard: Shard | None = None
    """Decode a part of the input alone, into an output of its own; see `s2s.generation.job_array`."""


@dataclass(frozen=True)
class Summary:
    """How many lines a file had, how many failed, how many had their source cut, and why the last one failed."""

    lines: int
    failed: int
    cut: int
    reason: str = field(default="", compare=False)

    def refuse_failure(self, source: str | Path) -> None:
        """Raise InputError if no line at all could be used."""
        if self.failed == self.lines > 0:
            expected = 'expected one JSON object a line, such as {"src": "some text"}; --format text reads plain lines'
            reason = f"the last: {self.reason}" if self.reason and "JSON" not in self.reason else expected
            raise InputError(f"{shown_name(source)}: none of its {self.lines} lines could be used; {reason}")


def decode_file(
    generator: Generator,
    source: str | Path,
    output: str | Path,
    options: DecodeOptions,
    ranks: Ranks,
    trace: str | Path | None = None,
    join: Join | None = None,
) -> Summary:
    """Decode the records of an input; each gives one record, in the same order.

    An output record is `{"id", "tgt", "score"}`, and `"nbest"` if the decoder gives more than one hypothesis. What
    cannot be used, whatever the reason, gives `{"id", "tgt": null, "error"}` and a line in OUTPUT.errors.jsonl. The id
    is that of the record (`task.id_field`), else the number of its line or row. The same call continues a job that was
    killed, and the output is the same, byte by byte.

    Args:
        generator: A job only continues with the same `settings`, and the same content of files in them.
        source: Whatever `open_records` reads; `-` is standard input.
        output: A file, in the format of its suffix (`output_formats`), or `-`; or a folder of parts, whose name is a
            URL or ends in a slash (`parts_folder`). Only from files to files can a job be continued.
        ranks: All must see the same files. They take windows in turn; the first one puts the results together.
        trace: A file for the traces of a beam search, which `s2s.generation.rerank` reads.
        join: Makes other output records, of JSON lines alone; what cannot be used is then left out of the output.

    Raises:
        InputError: a file cannot be read or written; the output belongs to another job, or another process is writing
            it; with `strict`, a bad line.
        ConfigError: the decoder does not write traces.
    """
    with opened_job(generator, source, output, options, ranks, trace) as job:
        records, target, id_field = job.records, job.target, generator.task.id_field
        before, ids, count = target.windows, IdLines(), 0
        with _reporting(ranks), Meter(_share(job, ranks), ranks.first, "decoded", sentences) as meter:
            work = job.work(generator, options, join, meter.advance)
            for number, rows in windows_of(records, job.window, job.windows):
                _note_ids(ids, rows, id_field)
                place, count = number - job.windows.start, count + 1
                if number % ranks.size == ranks.rank and not target.is_done(place):
                    target.write(place, work.decode(rows, target.batches(place), is_first=not number))
        job.close(count)
    if ranks.first:
        _warn_of_repeated(ids, records, id_field)
    if meter.done:
        meter.report()
    if before >= count and ranks.first:
        logger.info("%s: already finished, %d lines; nothing to do", job.output, target.counts.get("lines", 0))
    return job.summary(next(iter(work.reasons), ""))


@dataclass(frozen=True)
class Job:
    """What a decoding job reads, and where it writes.

    Args:
        records: The input.
        output: The name of the output, of a shard that of its own.
        format: That of the output.
        window: Lines of a window.
        windows: Numbers of the windows to decode; the input may end before the last. Their places in `target` count
            from 0.
        target: Where windows go.
        traced: Whether traces are written.
    """

    records: Records
    output: str
    format: OutputFormat
    window: int
    windows: range
    target: Output
    traced: bool

    def work(
        self,
        generator: Generator,
        options: DecodeOptions,
        join: Join | None = None,
        advance: Callable[[float], None] = lambda lines: None,
    ) -> WindowWork:
        """What turns the rows of a window into its outputs."""
        batching = Batching(options.max_tokens, options.max_sentences)
        unit = self.records.unit
        return WindowWork(generator, batching, self.format, unit, options.strict, self.traced, join, advance)

    def close(self, count: int) -> None:
        """Finish the output, of `count` windows; InputError if the input holds nothing."""
        if not count and 0 in self.windows:
            raise self.records.nothing()
        self.target.close(count)

    def summary(self, reason: str) -> Summary:
        """The counts of all windows; what is unusual about them is logged."""
        return _report(self.target, self.output, reason)


@contextlib.contextmanager
def opened_job(
    generator: Generator,
    source: str | Path,
    output: str | Path,
    options: DecodeOptions,
    ranks: Ranks,
    trace: str | Path | None = None,
) -> Iterator[Job]:
    """A job to start or to continue, whose output no other process can write; arguments and errors: `decode_file`."""
    if trace is not None and not isinstance(generator.search, BeamSearch):
        raise ConfigError("decoder.name: only beam searches write traces; drop --trace or use decoder.name=beam")
    with contextlib.ExitStack() as claim:
        with ranks.together():
            output = str(output if options.shard is None else _shard_path(options.shard, source, output, trace))
            if ranks.first and output != STANDARD:
                claim.enter_context(claimed_folder(output) if is_parts_folder(output) else claimed(Path(output)))
        records = open_records(source, "test", options.format, generator.task.record)
        in_parts = is_parts_folder(output)
        format = parts_format(output) if in_parts else output_format(output, records.format == "text")
        total = _total(records, options.shard)
        settings = generator.settings
        window, target = (
            _open_folder(records, output, format, options, ranks, settings, trace)
            if in_parts
            else _open(records, output, format, options, ranks, settings, trace, total)
        )
        windows = _windows(options.shard, math.ceil((total or 0) / window))
        yield Job(records, output, format, window, windows, target, trace is not None)


def _windows(shard: Shard | None, count: int) -> range:
    """The windows to decode, of about `count`: the last shard takes all that follow, should there be more."""
    mine = range(0) if shard is None else shard.of(count)
    return mine if shard is not None and shard.number < shard.count else range(mine.start, sys.maxsize)


def _shard_path(shard: Shard, source: str | Path, output: str | Path, trace: str | Path | None) -> Path:
    """Where a shard writes; InputError for what cannot be divided."""
    if STANDARD in (str(source), str(output)):
        raise InputError(f"--shard {shard}: standard input and output cannot be divided; name files")
    if is_parts_folder(str(output)):
        raise InputError(f"--shard {shard}: a folder of parts is not divided; name a file, or give --ray")
    if trace is not None:
        raise InputError(f"--shard {shard}: traces are not joined; leave --trace out")
    return shard.path(Path(output))


def _total(records: Records, shard: Shard | None) -> int | None:
    """How many rows there are, at most; None if only reading would tell, which is done for a shard."""
    total = records.count()
    if shard is None:
        return total
    total = sum(1 for _ in records.rows()) if total is None else total
    if not total:
        raise records.nothing()
    return total


def windows_of(records: Records, window: int, wanted: range) -> Iterator[tuple[int, list[Row]]]:
    """The rows of the windows of some numbers, as far as the input has them."""
    rows = records.rows()
    for number in range(wanted.stop):
        read = list(itertools.islice(rows, window))
        if not read:
            return
        if number >= wanted.start:
            yield number, read


@contextlib.contextmanager
def _reporting(ranks: Ranks) -> Iterator[None]:
    """Log the errors of a rank other than the first; the command line reports those of the first."""
    try:
        yield
    except InputError as error:
        if not ranks.first:
            logger.error("error: %s", error)
        raise


def _report(target: Output, output: str, reason: str) -> Summary:
    counts = target.counts
    summary = Summary(counts.get("lines", 0), counts.get("failed", 0), counts.get("cut", 0), reason)
    if summary.failed:
        errors = f"{output.rstrip('/')}/_errors.jsonl" if is_parts_folder(output) else f"{output}.errors.jsonl"
        where = "" if output == STANDARD else f"; see {errors}"
        logger.warning("%d of %d lines could not be used%s", summary.failed, summary.lines, where)
    if summary.cut:
        logger.warning(
            "%d of %d sources were longer than task.max_source and lost their end", summary.cut, summary.lines
        )
    return summary


def _open(
    records: Records,
    output: str,
    format: OutputFormat,
    options: DecodeOptions,
    ranks: Ranks,
    settings: Mapping[str, Any],
    trace: str | Path | None,
    total: int | None,
) -> tuple[int, Output]:
    """The size of a window, and where windows go."""
    if trace is not None and output_format(str(trace), is_text=False) != "jsonl":
        raise InputError(f"{trace}: traces are JSON lines; give --trace a name in .jsonl")
    to_file = output != STANDARD
    errors = f"{output}.errors.jsonl" if to_file else None
    rows = str(rows_file(Path(output))) if format == "parquet" else None
    paths = {"output": output, "rows": rows, "errors": errors, "trace": None if trace is None else str(trace)}
    files = {name: Path(path) for name, path in paths.items() if path not in (None, STANDARD)}
    for path in files.values():  # before --overwrite removes them
        check_target(path)
        refuse_inputs(path, records.files)
    if len({path.absolute() for path in files.values()}) < len(files):
        raise InputError(f"{trace}: outputs and traces cannot share a file; name another --trace")
    if records.identity is not None and to_file:
        return _open_files(records, files, options, ranks, settings, total)
    if ranks.size > 1:
        raise InputError("standard input and output cannot be shared by several processes; name files, or start one")
    if options.overwrite and to_file:
        discard(files)
    refuse_existing(files)
    return options.window, PipeOutput(paths)


def _open_files(
    records: Records,
    files: dict[str, Path],
    options: DecodeOptions,
    ranks: Ranks,
    settings: Mapping[str, Any],
    total: int | None,
) -> tuple[int, Output]:
    shards = 1 if options.shard is None else options.shard.count
    window = options.window
    if total is not None and (shards > 1 or ranks.size > 1):  # small enough for all to have work
        parts = shards * (4 * ranks.size if ranks.size > 1 else 1)
        window = min(window, max(1, math.ceil(total / parts)))
    job = _identity(records, options, settings, window)
    for turn in (True, False):  # the first rank makes the state that the others read
        with ranks.together():
            if ranks.first == turn:
                known, target = open_output(files, ranks.first, job, options.overwrite)
    return int(known["window"]), target


def _open_folder(
    records: Records,
    output: str,
    format: OutputFormat,
    options: DecodeOptions,
    ranks: Ranks,
    settings: Mapping[str, Any],
    trace: str | Path | None,
) -> tuple[int, Output]:
    """`_open` for a folder of parts."""
    if trace is not None:
        raise InputError(f"{output}: a folder of parts has no traces; leave --trace out")
    if ranks.size > 1:
        raise InputError(f"{output}: one process writes a folder of parts; start one, or give --ray")
    if records.identity is None:
        raise InputError(f"{output}: standard input does not go into a folder of parts; name files")
    job = _identity(records, options, settings, options.window)
    known, target = open_parts(output, format, job, options.overwrite)
    return int(known["window"]), target


def _identity(records: Records, options: DecodeOptions, settings: Mapping[str, Any], window: int) -> dict[str, Any]:
    """What identifies a job."""
    read_as = {} if options.format is None else {"format": options.format}
    batching = {"max_tokens": options.max_tokens, "max_sentences": options.max_sentences}
    return {
        "input": records.identity,
        "settings": {**settings, **read_as, **batching},
        "window": window,
        **({} if options.shard is None else {"shard": str(options.shard)}),
    }


def _note_ids(ids: IdLines, rows: Sequence[Row], field: str) -> None:
    for row in rows:
        with contextlib.suppress(InputError):  # reported where it is decoded
            if (id := row.record().get(field)) not in (None, ""):
                ids.add(str(id), row.number)


def _warn_of_repeated(ids: IdLines, records: Records, field: str) -> None:
    if repeated := ids.repeated():
        count, first, second = repeated
        more = f", and {count - 1:,} more repeat an id" if count > 1 else ""
        logger.warning(
            "%s: %ss %d and %d have the same %r%s; their outputs can only be told apart by their order",
            *(records.name, records.unit, first, second, field, more),
        )


def _share(job: Job, ranks: Ranks) -> int | None:
    """Lines that this rank has still to decode; None if the total is unknown."""
    total = job.records.count()
    if total is None:
        return None
    start = job.windows.start
    numbers = range(start, min(job.windows.stop, math.ceil(total / job.window)))
    mine = (number for number in numbers if number % ranks.size == ranks.rank)
    left = (number for number in mine if not job.target.is_done(number - start))
    return sum(min(job.window, total - number * job.window) for number in left)
