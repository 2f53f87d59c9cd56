"""The work of a decoding job on one window of its lines: rows in, lines of every stream out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from s2s.data.row import Row
from s2s.decoding.base import Hypothesis
from s2s.decoding.beam import BeamSearch
from s2s.errors import ConfigError, InputError, is_out_of_memory
from s2s.generation.freed_memory import keep_freed_memory
from s2s.generation.generator import Generator, batch_rows, generation
from s2s.generation.output import Batches, Window
from s2s.generation.output_formats import OutputFormat, to_lines
from s2s.tasks.base import GenerationTask

logger = logging.getLogger(__name__)

_FAILURE = ("id", "tgt", "error")
"""Fields of the output record of what cannot be used."""
_TOO_LONG = "out of memory with this text alone; try a smaller beam, shorter sources or a smaller model"
Join = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""Makes an output record of an input record and of what decoding gives for it; InputError if it cannot be used."""


class Source(Protocol):
    """What decoding needs of a task's source examples."""

    id: str
    tokens: list[int]
    num_cut: int


class Batching(NamedTuple):
    """Limits of a batch: source tokens, padding included, and sentences. A longer source is a batch of its own."""

    max_tokens: int
    max_sentences: int


@dataclass(frozen=True)
class WindowWork:
    """Turns windows of rows into outputs."""

    generator: Generator
    batching: Batching
    format: OutputFormat
    unit: str
    strict: bool = False
    traced: bool = False
    join: Join | None = None
    advance: Callable[[float], None] = lambda lines: None
    reasons: list[str] = field(default_factory=list)
    too_large: list[int] = field(default_factory=list)
    """Sizes of the batches for which memory was not enough."""

    def __post_init__(self) -> None:
        if self.generator.device.type == "cpu":
            keep_freed_memory()

    def decode(self, rows: Sequence[Row], batches: Batches, is_first: bool) -> Window:
        """Decode the rows of a window; `batches` holds what is already done, and receives what is done now."""
        read = [self._read(row) for row in rows]
        sources = {place: item for place, item in enumerate(read) if isinstance(item, _Item)}
        outputs: list[dict[str, Any]] = [{} if isinstance(item, _Item) else item for item in read]
        traces = list(outputs)
        self.advance(len(rows) - len(sources))
        lengths = {place: len(item.source.tokens) for place, item in sources.items()}
        for number, batch in enumerate(batch_rows(lengths, *self.batching)):
            if number not in batches.done:
                batches.add(number, self._decode_all([sources[place] for place in batch]))
            for place, (made, frames) in zip(batch, batches.done[number], strict=True):
                outputs[place], traces[place] = made, frames
            self.advance(len(batch))
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
        if self.strict or isinstance(error, ConfigError):
            raise error
        message = str(error).removeprefix(f"{where}: ")
        if not isinstance(error, InputError):
            message = str(InputError(f"unexpected {type(error).__name__}: {message}"))
            logger.error("%s: %s", where, message, exc_info=logger.isEnabledFor(logging.DEBUG))
        self.reasons[:] = [message]
        return dict(zip(_FAILURE, (id, None, message), strict=True))

    def _decode_all(self, items: Sequence[_Item]) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Decode a batch; if that fails, each sentence alone, so that one cannot spoil the others.

        What needs too much memory is halved.
        """
        try:
            return self._decode_batch(items)
        except Exception as error:
            too_large = is_out_of_memory(error)
            if len(items) == 1:
                where = items[0].where
                failed = self._failure(items[0].id, where, InputError(f"{where}: {_TOO_LONG}") if too_large else error)
                return [(failed, failed)]
        size = len(items) // 2 if too_large else 1
        if too_large and not self.too_large:
            advice = "batches are halved where needed; a smaller --max-tokens saves the attempts"
            logger.warning("out of memory with %d sentences in a batch: %s", len(items), advice)
        self.too_large.extend([len(items)] * too_large)
        parts = (items[first : first + size] for first in range(0, len(items), size))
        return [made for part in parts for made in self._decode_all(part)]

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
