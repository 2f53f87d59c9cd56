"""Drawing into files: one picture of one text, or a folder with one for each record.

The folder is that of a `FileJob`; its manifest is a list of pictures, as other verbs read it. Batches do not depend on
what is done already, and a batch that lacks a file is drawn again as a whole. So a job that is continued, by any number
of processes, ends with the pixels of one that never stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latent.data.image_prompts import DrawingRequest
from latent.data.speech_prompts import derived_seed
from latent.drawing.painter import Painter
from latent.file_job import ERRORS, FileJob
from latent.images.files import Pixels, contact_sheet, read_image, write_image
from latent.synthesis.requests import file_name, value_of
from s2s.data.files import shown_name
from s2s.data.records import open_records
from s2s.data.tables import TEXT_FORMATS
from s2s.durable import WAY_OUT, claimed, writing
from s2s.errors import InputError
from s2s.progress import Meter, pictures
from s2s.ranks import Ranks

JOURNAL, SHEET = ".drawing", "sheet.png"
_LARGEST_SHEET = 400


class Unusable(NamedTuple):
    """A record that cannot be drawn, and why."""

    line: int
    id: Any
    error: str


class Wanted(NamedTuple):
    """A record that can be drawn."""

    line: int
    request: DrawingRequest


@dataclass(frozen=True)
class Summary:
    """Files that a call wrote, that were there already, and records without one."""

    files: int
    kept: int
    failed: int

    def __str__(self) -> str:
        parts = [f"{self.files} picture{'s' * (self.files != 1)}"]
        parts += [f"{self.kept} already there"] if self.kept else []
        return ", ".join([*parts, *([f"{self.failed} not usable, see {ERRORS} there"] if self.failed else [])])


def draw_text(painter: Painter, text: str, output: Path, seed: int, temperature: float | None, overwrite: bool) -> None:
    """Draw a text into a .png file.

    Raises:
        InputError: the file exists and `overwrite` is False, it has another suffix or cannot be written, or the model
            cannot read the text.
    """
    if output.suffix.lower() != ".png":
        raise InputError(f"--output {output}: must end in .png")
    with claimed(output):
        if output.exists() and not overwrite:
            raise InputError(f"{output}: exists already; {WAY_OUT}")
        (pixels,) = painter.draw([painter.request("text", text, seed, temperature)])
        write_image(output, pixels, painter.tags(seed))


def read_drawing_requests(
    painter: Painter, source: str, seed: int, temperature: float | None
) -> list[Wanted | Unusable]:
    """The records of a file, in its order: `text`, and optionally `id`, `seed`, `temperature`.

    Raises:
        InputError: the file cannot be read or has no usable record.
    """
    given, read, lines = open_records(source, text_record=_text_record), list[Wanted | Unusable](), dict[str, int]()
    for row in given.rows():
        record: dict[str, Any] = {}
        try:
            record = row.record()
            if given.format == "text" and not record["text"].strip():
                continue
            if given.format in TEXT_FORMATS:
                record = {name: _number(name, value) for name, value in record.items() if value or name == "text"}
            id = file_name(record.get("id", row.number))
            if (name := id.casefold()) in lines:  # as some file systems compare names
                raise InputError(f"'id' {id!r} is that of {given.unit} {lines[name]}; ids must differ")
            lines[name] = row.number
            read.append(Wanted(row.number, _request(painter, id, record, seed, temperature)))
        except InputError as error:
            message = str(error).removeprefix(f"{row.where}: ")
            read.append(Unusable(row.number, record.get("id", row.number), message))
    if not read:
        raise given.nothing()
    unusable = [item for item in read if isinstance(item, Unusable)]
    if len(unusable) == len(read):
        problem = f"{given.unit} {unusable[0].line}: {unusable[0].error}"
        raise InputError(f"{shown_name(source)}: none of its {len(read)} {given.unit}s can be drawn; {problem}")
    return read


def _text_record(text: str) -> dict[str, Any]:
    return {"text": text}


def _number(name: str, value: Any) -> Any:
    kind = {"seed": int, "temperature": float}.get(name)
    with contextlib.suppress(ValueError):  # what is no number is reported as in every record
        return value if kind is None else kind(value)
    return value


def _request(painter: Painter, id: str, record: dict[str, Any], seed: int, temperature: float | None) -> DrawingRequest:
    text = value_of(record, "text", str, "a string")
    if text is None:
        raise InputError(f"'text' is missing; found {', '.join(map(repr, record))}")
    own = value_of(record, "seed", int, "a whole number")
    factor = value_of(record, "temperature", (int, float), "a number", temperature)
    if own is not None and not 0 <= own < 2**63:
        raise InputError(f"'seed' must be from 0 to 2^63 - 1, found {own}")
    if factor is not None and not 0 <= factor < math.inf:
        raise InputError(f"'temperature' must be 0 or more, found {factor}")
    return painter.request(id, text, derived_seed(seed, id) if own is None else own, factor)


def draw_records(
    painter: Painter,
    records: Sequence[Wanted | Unusable],
    folder: Path,
    ranks: Ranks,
    *,
    max_rows: int = 16,
    overwrite: bool = False,
    sheet: bool = False,
) -> Summary:
    """Draw records into the .png files of a folder; files that this job has made before stay.

    Args:
        painter: The model, on the device of the rank.
        records: See `read_drawing_requests`; the same on all ranks.
        folder: Created if missing.
        ranks: They take batches in turn, and must see the same folder.
        max_rows: Maximum batch size.
        overwrite: Start over, whatever is there.
        sheet: Write a contact sheet too.

    Raises:
        InputError: a file in the folder is not of this job or cannot be written, or another process writes the folder.
    """
    wanted = [record for record in records if isinstance(record, Wanted)]
    requests = [item.request for item in wanted]
    if sheet and any(request.id.casefold() == Path(SHEET).stem for request in requests):
        raise InputError(f"--sheet: a record has the id of the sheet, {Path(SHEET).stem!r}; expected another")
    digests = [_digest(request, painter.fingerprint()) for request in requests]
    job = FileJob(folder, JOURNAL, [request.id for request in requests], ".png", digests)
    with contextlib.ExitStack() as claim:
        with ranks.together():
            if ranks.first:
                claim.enter_context(claimed(folder, folder / f"{JOURNAL}.lock"))
                job.prepare(overwrite)
        job.look()
        starts = range(0, len(requests), max_rows)
        batches = [list(range(start, min(start + max_rows, len(requests)))) for start in starts]
        batches = [batch for batch in batches[ranks.rank :: ranks.size] if not job.done.issuperset(batch)]
        made, failed = 0, [record for record in records if isinstance(record, Unusable)]
        kept, journal = len(job.done), job.journal(ranks.rank)
        with Meter(sum(map(len, batches)), ranks.first, "drawn", pictures) as meter:
            for index, pixels in _drawn(painter, requests, batches):
                meter.advance(1)
                if not np.isfinite(pixels).all():
                    failed.append(Unusable(wanted[index].line, requests[index].id, "diverged: pixels must be finite"))
                elif index not in job.done:
                    journal.add(job.described(index, "image", _facts(requests[index])))  # before the file
                    with writing(job.paths[index]):
                        job.paths[index].parent.mkdir(parents=True, exist_ok=True)
                    write_image(job.paths[index], pixels, painter.tags(requests[index].seed))
                    made += 1
        made, failed = sum(ranks.gather([made])), _distinct(ranks.gather(failed))
        if ranks.first:
            job.finish([item._asdict() for item in failed])
            if sheet:
                _write_sheet(painter, [job.paths[index] for index in sorted(job.done)], folder / SHEET)
        return Summary(made, kept, len(failed))


def _drawn(
    painter: Painter, requests: Sequence[DrawingRequest], batches: Sequence[Sequence[int]]
) -> Iterator[tuple[int, Pixels]]:
    for batch in batches:
        yield from zip(batch, painter.draw([requests[index] for index in batch]), strict=True)


def _distinct(failed: Sequence[Unusable]) -> list[Unusable]:
    """Those of all ranks, each once: all ranks have read all records."""
    return sorted({item.line: item for item in failed}.values(), key=lambda item: item.line)


def _facts(request: DrawingRequest) -> dict[str, Any]:
    return {"text": request.text, "seed": request.seed, "temperature": request.temperature}


def _digest(request: DrawingRequest, settings: dict[str, Any]) -> str:
    """A hash of all that the pixels depend on."""
    drawn = [*_facts(request).values(), settings]
    return hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()[:16]


def _write_sheet(painter: Painter, paths: Sequence[Path], output: Path) -> None:
    """A contact sheet of the first pictures, in their order."""
    size, channels = painter.facts.image_size, painter.facts.channels
    shown = [read_image(path, size, channels) for path in paths[:_LARGEST_SHEET]]
    if shown:
        write_image(output, contact_sheet(shown, columns=math.ceil(math.sqrt(len(shown)))))
