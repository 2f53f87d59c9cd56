"""Reading records from whatever people have: JSON lines, CSV, TSV, Parquet, Arrow, text, folders, names on the hub."""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from s2s.data.files import FORMATS, STANDARD, Line, all_lines, count_lines, shown_name, suffix_of
from s2s.data.json_list import list_items
from s2s.data.jsonl import parse_record
from s2s.data.remote import files_below, is_url, version_of
from s2s.data.row import Row
from s2s.data.splits import Role, choose_split, files_by_split, one_format
from s2s.data.tables import TEXT_FORMATS, binary_rows, count_binary_rows, text_rows
from s2s.data.text_lines import plain_text
from s2s.errors import InputError, reason_of
from s2s.hub import unreachable
from s2s.json_files import parse_object
from s2s.shipped import data_path

logger = logging.getLogger(__name__)

LINES = ("jsonl", "text", "csv", "tsv")
"""Formats that can come through a pipe."""
_EXPECTED = {
    "jsonl": "the file is empty; expected one JSON object a line",
    "text": "the file is empty; expected one text a line",
    **dict.fromkeys(TEXT_FORMATS, "the table is empty; expected a line of column names, then at least one row"),
}


_BEGINS_LIST = re.compile(rb"\[\s*(?:\{|$)")

TextRecord = Callable[[str], dict[str, Any]]


def _as_source(text: str) -> dict[str, Any]:
    return {"src": text}


@dataclass(frozen=True)
class Records:
    """The records of one input, in order. Iterating gives `(where, record)`, and refuses the first bad one.

    Args:
        name: What the user called it.
        format: "jsonl", "text", "csv", "tsv", "parquet", "arrow", or "dataset".
        rows: Gives all rows, bad ones too; standard input only once.
        files: The files that hold them; none for standard input and names on the hub.
        split: Which split of a folder or data set they are; "" if it has none.
        version: What identifies the content of a name on the hub.
    """

    name: str
    format: str
    rows: Callable[[], Iterator[Row]]
    files: tuple[Path, ...] = ()
    split: str = ""
    version: str = ""

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        empty = True
        for row in self.rows():
            empty = False
            yield row.where, row.record()
        if empty:
            raise self.nothing()

    @property
    def identity(self) -> Any:
        """What identifies these records: files, which stand for their content, or a version; None for a pipe."""
        if len(self.files) == 1:
            return self.files[0]
        return {str(number): path for number, path in enumerate(self.files)} or self.version or None

    @property
    def unit(self) -> str:
        """What the number of a row counts: "line" or "row"."""
        return "line" if self.format in ("jsonl", "text") else "row"

    def nothing(self) -> InputError:
        """The error of an input without records."""
        expected = _EXPECTED.get(self.format, "the data set is empty; expected at least one row")
        return InputError(f"{shown_name(self.name)}: {expected}")

    def count(self) -> int | None:
        """About how many rows there are, at most; None if only reading them would tell."""
        if not self.files:
            return None
        if self.format in LINES:
            names = 1 if self.format in TEXT_FORMATS else 0
            return sum(count_lines(path) - names for path in self.files)
        counts = [count_binary_rows(path, self.format) for path in self.files if self.format == "parquet"]
        return sum(count or 0 for count in counts) if counts else None


def open_records(
    name: str | Path, role: Role = "test", format: str | None = None, text_record: TextRecord = _as_source
) -> Records:
    """The records of an input.

    Args:
        name: A file, also as .gz, .bz2, .xz or .zst: JSON lines or a JSON list, .csv or .tsv with a line of column
            names, .parquet, .arrow, .txt (one text a line; blank ones count). `-`, standard input. A folder of such
            files, or that `datasets` wrote. A URL of a file or a folder (fsspec). A hub id, which may hold `@CONFIG`. A
            folder and a hub id may end in `:SPLIT`. A name of shipped data, `sample:en`.
        role: Which split is taken of a folder or hub id that names none.
        format: A name of `LINES`; by default the suffix tells, else the first line that holds something.
        text_record: Makes the record of a line of plain text.

    Raises:
        InputError: it is missing, cannot be read, or has no split for the role.
    """
    name = data_path(str(name))
    if is_url(name):
        return _open_url(name, format, text_record)
    path, (folder, _, split) = Path(name), name.rpartition(":")
    if name == STANDARD or (path.exists() and not path.is_dir()):
        return _open_file(name, format, text_record)
    if path.is_dir():
        return _open_folder(name, path, "", role, text_record)
    if folder and Path(folder).is_dir():
        return _open_folder(name, Path(folder), split, role, text_record)
    if path.suffix or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"{name}: cannot be read: No such file or directory")
    return _open_hub_id(name, role)


def records(name: str, role: Role = "train") -> Iterator[tuple[str, dict[str, Any]]]:
    """`(where, record)` for every record of an input; see `open_records`. InputError also if there is none."""
    return iter(open_records(name, role))


def _open_file(name: str, format: str | None, text_record: TextRecord) -> Records:
    """A file can be read again and again, a pipe only once."""
    known = FORMATS.get(suffix_of(name)) if name != STANDARD else None
    is_file = name != STANDARD and Path(name).is_file()
    if is_file and (format or known not in (None, "text")):
        format = format or str(known)
        return Records(name, format, partial(_rows, name, format, text_record), (Path(name),))
    with contextlib.ExitStack() as stack:
        lines = all_lines(name)
        stack.callback(lines.close)
        head = list(_until_first(lines))
        format = format or _checked(name, known, head)
        if is_file:
            return Records(name, format, partial(_rows, name, format, text_record), (Path(name),))
        stack.pop_all()
        return Records(name, format, partial(_rows, name, format, text_record, itertools.chain(head, lines)))


def _until_first(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        yield line
        if line.content.strip():
            return


def _checked(name: str, known: str | None, head: list[Line]) -> str:
    """The format that the first lines show; InputError for JSON in a file of plain lines by its name."""
    is_json = bool(head) and head[-1].content.lstrip().startswith(b"{")
    if known == "text" and is_json and _is_record(head[-1]):
        raise InputError(
            f"{head[-1].where}: is a JSON record in a file of plain lines; give JSON lines a name in .jsonl"
        )
    if known is None and head and not is_json:
        logger.info("%s: read as plain text, one text a line", shown_name(name))
    return known or ("jsonl" if is_json or not head else "text")


def _is_record(line: Line) -> bool:
    try:
        return bool(parse_record(line))
    except InputError:
        return False


def _rows(name: str, format: str, text_record: TextRecord, lines: Iterable[Line] | None = None) -> Iterator[Row]:
    if format in TEXT_FORMATS:
        return text_rows(name, format, lines)
    if format in ("parquet", "arrow"):
        return binary_rows(name, format)
    given = all_lines(name) if lines is None else lines
    return _text_rows(given, text_record) if format == "text" else _json_rows(name, given)


def _json_rows(name: str, lines: Iterable[Line]) -> Iterator[Row]:
    """The rows of JSON lines, or of one JSON list, which is held in memory."""
    left = iter(lines)
    head = list(_until_first(left))
    given = itertools.chain(head, left)
    if head and _BEGINS_LIST.match(head[-1].content.strip()):
        yield from _rows_of_list(name, given)
        return
    for line in given:
        if content := line.content.strip():
            yield Row(line.number, line.where, partial(parse_record, line._replace(content=content)))


def _rows_of_list(name: str, lines: Iterable[Line]) -> Iterator[Row]:
    text = "".join(line.text() for line in lines)
    for number, (line, item) in enumerate(list_items(text, shown_name(name)), start=1):
        where = f"{shown_name(name)}:{line}"
        yield Row(number, where, partial(parse_object, item, where))


def _text_rows(lines: Iterable[Line], text_record: TextRecord) -> Iterator[Row]:
    for line in lines:
        yield Row(line.number, line.where, partial(_record_of_text, line, text_record))


def _record_of_text(line: Line, text_record: TextRecord) -> dict[str, Any]:
    return text_record(plain_text(line))


def _open_folder(name: str, folder: Path, wanted: str, role: Role, text_record: TextRecord) -> Records:
    if any((folder / mark).is_file() for mark in ("state.json", "dataset_dict.json")):
        return _open_saved(name, folder, wanted, role)
    splits = files_by_split(folder)
    if not splits:
        raise InputError(f"{name}: the folder holds no records; expected {', '.join(FORMATS)} files")
    split, files = choose_split(str(folder), splits, wanted, role)
    format = one_format(files, name)
    _log_split(name, split)
    every = partial(_chained, [partial(_rows, str(path), format, text_record) for path in files])
    return Records(name, format, every, tuple(files), split)


def _chained(parts: Iterable[Callable[[], Iterator[Row]]]) -> Iterator[Row]:
    """The rows of several files, numbered through."""
    rows = itertools.chain.from_iterable(part() for part in parts)
    return (row._replace(number=number) for number, row in enumerate(rows, start=1))


def _open_url(name: str, format: str | None, text_record: TextRecord) -> Records:
    """All files of one format at a URL."""
    files = [file for file in files_below(name) if format or suffix_of(file) in FORMATS]
    if not files:
        raise InputError(f"{name}: holds no records; expected {', '.join(FORMATS)} files")
    format = format or one_format([Path(file) for file in files], name)
    every = partial(_chained, [partial(_rows, file, format, text_record) for file in files])
    rows = partial(_rows, files[0], format, text_record) if len(files) == 1 else every
    return Records(name, format, rows, version=version_of(files))


def _open_saved(name: str, folder: Path, wanted: str, role: Role) -> Records:
    import datasets

    with _loading(name):
        loaded = datasets.load_from_disk(str(folder))
    files = tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
    return _of_dataset(name, str(folder), loaded, wanted, role, files)


def _open_hub_id(name: str, role: Role) -> Records:
    import datasets

    repository, _, wanted = name.partition(":")
    hub_id, _, config = repository.partition("@")
    reason = unreachable()
    asking = _offline(datasets.config) if reason else contextlib.nullcontext()  # or it would try for half a minute
    with _loading(name, reason and f"not downloaded before, and the hub cannot be reached: {reason}"), asking:
        loaded = datasets.load_dataset(hub_id, name=config or None)
    return _of_dataset(name, repository, loaded, wanted, role)


@contextlib.contextmanager
def _offline(config: Any) -> Iterator[None]:
    """Let `datasets`, whose module of settings is `config`, use what was downloaded before, and nothing else."""
    from huggingface_hub import constants

    modules: tuple[Any, ...] = (constants, config)
    before = [(module, module.HF_HUB_OFFLINE) for module in modules]
    try:
        for module, _ in before:
            module.HF_HUB_OFFLINE = True
        yield
    finally:
        for module, value in before:
            module.HF_HUB_OFFLINE = value


def _of_dataset(name: str, whole: str, loaded: Any, wanted: str, role: Role, files: tuple[Path, ...] = ()) -> Records:
    splits = loaded if isinstance(loaded, dict) else {wanted: loaded}
    split, table = choose_split(whole, splits, wanted, role) if isinstance(loaded, dict) else ("", splits[wanted])
    _log_split(name, split)
    version = "" if files else str(getattr(table, "_fingerprint", name))
    return Records(name, "dataset", partial(_dataset_rows, name, table), files, split, version)


def _dataset_rows(name: str, table: Iterable[dict[str, Any]]) -> Iterator[Row]:
    for number, record in enumerate(table, start=1):
        yield Row(number, f"{name}: row {number}", partial(dict, record))


def _log_split(name: str, split: str) -> None:
    if split:
        logger.info("%s: reading the split %r", name, split)


@contextlib.contextmanager
def _loading(name: str, reason: str = "") -> Iterator[None]:
    try:
        yield
    except Exception as error:  # datasets raises a class of its own for each of its readers
        raise InputError(
            f"{name}: neither a file nor a data set that can be read: {reason or reason_of(error)}"
        ) from error
