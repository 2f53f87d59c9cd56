"""Decoding a file of records: windows of lines, batches of similar length, outputs in the input's order."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import Field

from s2s.config import Section
from s2s.data.files import STANDARD, shown_name
from s2s.data.ids import IdLines
from s2s.data.records import Records, open_records
from s2s.data.row import Row
from s2s.decoding.base import Hypothesis
from s2s.decoding.beam import BeamSearch
from s2s.durable import check_target, claimed, refuse_inputs
from s2s.errors import ConfigError, InputError
from s2s.generation.generator import Generator, batch_rows, generation
from s2s.generation.output import Batches, Output, PipeOutput, Window, discard, open_output, refuse_existing
from s2s.generation.output_formats import OutputFormat, output_format, rows_file, to_lines
from s2s.progress import Meter, sentences
from s2s.ranks import Ranks
from s2s.tasks.base import GenerationTask

logger = logging.getLogger(__name__)

_FAILURE = ("id", "tgt", "error")
"""Fields of the output record of what cannot be used."""
Join = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""Makes an output record of an input record and of what decoding gives for it; InputError if it cannot be used."""


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


class Source(Protocol):
    """What decoding needs of a task's source examples."""

    id: str
    tokens: list[int]
    num_cut: int


@dataclass(frozen=True)
class Summary:
    """How many lines a file had, how many failed, how many had their source cut, and why the last one failed."""

    lines: int
    failed: int
    cut: int
    reason: str = field(default="", compare=False)

    def refuse_failure(self, source: str | Path) -> None:
        """Raise InputError if no line at all could be used."""
        if self.failed == self.lines:
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
        output: A file, in the format of its suffix (`output_formats`), or `-`. Only from a file to a file can a job be
            continued.
        ranks: All must see the same files. They take windows in turn; the first one puts the results together.
        trace: A file for the traces of a beam search, which `s2s.generation.rerank` reads.
        join: Makes other output records, of JSON lines alone; what cannot be used is then left out of the output.

    Raises:
        InputError: a file cannot be read or written; the output belongs to another job, or another process is writing
            it; with `strict`, a bad line.
        ConfigError: the decoder does not write traces.
    """
    if trace is not None and not isinstance(generator.search, BeamSearch):
        raise ConfigError("decoder.name: only beam searches write traces; drop --trace or use decoder.name=beam")
    with contextlib.ExitStack() as claim:
        with ranks.together():
            if ranks.first and str(output) != STANDARD:
                claim.enter_context(claimed(Path(output)))
        records = open_records(source, "test", options.format, generator.task.record)
        format = output_format(str(output), records.format == "text")
        window, target = _open(records, str(output), format, options, ranks, generator.settings, trace)
        before, number = target.windows, -1
        remaining = _share(records.count(), window, target, ranks)
        with _reporting(ranks), Meter(remaining, ranks.first, "decoded", sentences) as meter:
            work = _Work(generator, options, trace is not None, meter, format, records.unit, join)
            ids, rows_left = IdLines(), records.rows()
            for number, rows in enumerate(iter(lambda: list(itertools.islice(rows_left, window)), [])):
                _note_ids(ids, rows, generator.task.id_field)
                if number % ranks.size == ranks.rank and not target.is_done(number):
                    target.write(number, work.decode(rows, target.batches(number), is_first=not number))
        if number < 0:
            raise records.nothing()
        target.close(number + 1)
    if ranks.first:
        _warn_of_repeated(ids, records, generator.task.id_field)
    if meter.done:
        meter.report()
    if before > number and ranks.first:
        logger.info("%s: already finished, %d lines; nothing to do", output, target.counts["lines"])
    return _report(target, str(output), next(iter(work.reasons), ""))


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
        where = "" if output == STANDARD else f"; see {output}.errors.jsonl"
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
        return _open_files(records, files, options, ranks, settings)
    if ranks.size > 1:
        raise InputError("standard input and output cannot be shared by several processes; name files, or start one")
    if options.overwrite and to_file:
        discard(files)
    refuse_existing(files)
    return options.window, PipeOutput(paths)


def _open_files(
    records: Records, files: dict[str, Path], options: DecodeOptions, ranks: Ranks, settings: Mapping[str, Any]
) -> tuple[int, Output]:
    window, total = options.window, records.count()
    if ranks.size > 1 and total is not None:  # small enough for all ranks to have work
        window = min(window, max(1, math.ceil(total / (4 * ranks.size))))
    read_as = {} if options.format is None else {"format": options.format}
    job = {
        "input": records.identity,
        "settings": {
            **settings,
            **read_as,
            "max_tokens": options.max_tokens,
            "max_sentences": options.max_sentences,
        },
        "window": window,
    }
    for turn in (True, False):  # the first rank makes the state that the others read
        with ranks.together():
            if ranks.first == turn:
                known, target = open_output(files, ranks.first, job, options.overwrite)
    return int(known["window"]), target


@dataclass(frozen=True)
class _Work:
    """Turns windows of rows into outputs."""

    generator: Generator
    options: DecodeOptions
    traced: bool
    meter: Meter
    format: OutputFormat
    unit: str
    join: Join | None
    reasons: list[str] = field(default_factory=list)

    def decode(self, rows: Sequence[Row], batches: Batches, is_first: bool) -> Window:
        """Decode the rows of a window; `batches` holds what is already done, and receives what is done now."""
        read = [self._read(row) for row in rows]
        sources = {place: item for place, item in enumerate(read) if isinstance(item, _Item)}
        outputs: list[dict[str, Any]] = [{} if isinstance(item, _Item) else item for item in read]
        traces = list(outputs)
        self.meter.advance(len(rows) - len(sources))
        lengths = {place: len(item.source.tokens) for place, item in sources.items()}
        for number, batch in enumerate(batch_rows(lengths, self.options.max_tokens, self.options.max_sentences)):
            if number not in batches.done:
                batches.add(number, self._decode_all([sources[place] for place in batch]))
            for place, (made, frames) in zip(batch, batches.done[number], strict=True):
                outputs[place], traces[place] = made, frames
            self.meter.advance(len(batch))
        cut = sum(item.source.num_cut > 0 for item in sources.values())
        return self._window(rows, outputs, traces, cut, is_first)

    def _window(
        self, rows: Sequence[Row], outputs: list[dict[str, Any]], traces: list[dict[str, Any]], cut: int, is_first: bool
    ) -> Window:
        failures = [
            {self.unit: row.number, "id": record["id"], "error": record["error"]}
            for row, record in zip(rows, outputs, strict=True)
            if _has_failed(record)
        ]
        if self.join is not None:
            outputs = [record for record in outputs if not _has_failed(record)]
        with_nbest = getattr(self.generator.search.config, "num_hypotheses", 1) > 1
        streams = {
            "rows" if self.format == "parquet" else "output": to_lines(outputs, self.format, with_nbest, is_first),
            "errors": to_lines(failures),
            "trace": to_lines(traces) if self.traced else [],
        }
        return Window(streams, {"lines": len(rows), "failed": len(failures), "cut": cut})

    def _read(self, row: Row) -> _Item | dict[str, Any]:
        """What to decode, or the output record with the reason why it cannot be decoded."""
        task = self.generator.task
        id: Any = row.number
        try:
            record = row.record()
            if (given := record.get(task.id_field)) not in (None, ""):
                id = given if isinstance(given, (str, int, float, list, dict)) else str(given)
            source = task.source(record, row.where, str(id))
            self.generator.search.check(source, row.where)
        except Exception as error:
            return self._failure(id, row.where, error)
        given = record if self.join is not None else {}
        return _Item(id if str(id) == source.id else source.id, row.where, source, task.source_text(record), given)

    def _failure(self, id: Any, where: str, error: Exception) -> dict[str, Any]:
        """The output line of a record that cannot be used; unexpected errors are logged with their type."""
        if self.options.strict or isinstance(error, ConfigError):
            raise error
        message = str(error).removeprefix(f"{where}: ")
        if not isinstance(error, InputError):
            message = str(InputError(f"unexpected {type(error).__name__}: {message}"))
            logger.error("%s: %s", where, message, exc_info=logger.isEnabledFor(logging.DEBUG))
        self.reasons[:] = [message]
        return dict(zip(_FAILURE, (id, None, message), strict=True))

    def _decode_all(self, items: Sequence[_Item]) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Decode a batch; if that fails, each sentence alone, so that one cannot spoil the others."""
        try:
            return self._decode_batch(items)
        except Exception as error:
            if len(items) == 1:
                failed = self._failure(items[0].id, items[0].where, error)
                return [(failed, failed)]
        return [made for item in items for made in self._decode_all([item])]

    def _decode_batch(self, items: Sequence[_Item]) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        task, model, search = self.generator.task, self.generator.model, self.generator.search
        sources = task.collate_sources([item.source for item in items]).to(self.generator.device)
        traces: list[dict[str, Any] | None] = [None] * len(items)
        if self.traced and isinstance(search, BeamSearch):
            trace = search.trace(model, sources)
            rows = search.best(trace)
            texts = [{"source": item.text} if item.text else {} for item in items]
            found = zip(items, texts, trace.records(), strict=True)
            traces = [{"id": item.id, **text, **frames} for item, text, frames in found]
        else:
            rows = search(model, sources)
        outputs = [output_record(task, item.id, row, item.text) for item, row in zip(items, rows, strict=True)]
        if self.join is not None:
            outputs = [self._joined(self.join, *pair) for pair in zip(items, outputs, strict=True)]
        return list(zip(outputs, traces, strict=True))

    def _joined(self, join: Join, item: _Item, made: dict[str, Any]) -> dict[str, Any]:
        try:
            return join(item.record, made)
        except InputError as error:
            return self._failure(item.id, item.where, error)


class _Item(NamedTuple):
    id: Any
    where: str
    source: Any
    text: str
    record: dict[str, Any]


def _has_failed(record: dict[str, Any]) -> bool:
    return record.keys() == set(_FAILURE)


def output_record(task: GenerationTask, id: Any, hypotheses: Sequence[Hypothesis], source: str) -> dict[str, Any]:
    """The output line of a sentence: its best text, spelled as in `source`, and all different ones if it has more."""
    made = generation(task, hypotheses, source)
    texts = [{"tgt": text, "score": round(score, 4)} for text, score in made.nbest]
    return {"id": id, **texts[0], **({"nbest": texts} if len(hypotheses) > 1 else {})}


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


def _share(total: int | None, window: int, target: Output, ranks: Ranks) -> int | None:
    """Lines that this rank has still to decode; None if the total is unknown."""
    if total is None:
        return None
    numbers = range(ranks.rank, math.ceil(total / window), ranks.size)
    return sum(min(window, total - number * window) for number in numbers if not target.is_done(number))
