"""JSON lines, whoever reads them: fields of other types, broken lines, ids that are paths, files of other formats."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile.cases import Case, Command, Ending
from hostile.damage import DEEP, JUNK, WRONG, broken_gzip
from hostile.home import PAIRS, SPEAK, Home, write_lines

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Reader:
    """A command that reads JSON lines from `file`.

    Args:
        name: For the names of cases.
        file: What it reads, in the working directory.
        arguments: The command.
        records: Two that are right.
        fields: The fields of the second one that are replaced, each with the values (of `WRONG`) that are right for it.
        skips: Whether it counts a bad line and does the others.
        needs: Valid things that it takes besides.
    """

    name: str
    file: str
    arguments: list[str]
    records: Records
    fields: dict[str, tuple[str, ...]]
    skips: bool = False
    needs: tuple[str, ...] = ()


_LONG = ("very long",)
_TEXT = ("a zero byte", *_LONG)
_ID = (*_TEXT, "blanks", "an empty string", "a negative number", "a huge number", "null")
_ANY = tuple(name for name in WRONG if name not in ("nan", "infinity"))
"""For ids that are only handed on: what JSON can hold."""
_SPEECH = [{"id": "a", "audio": "recordings/ann0.wav", "text": "Good."}]
_SPEECH += [{"id": "b", "audio": "recordings/ann1.wav", "text": "Two."}]
_SCRIPT = [{"speaker": "ann", "text": "Good."}, {"speaker": "bob", "text": "Two.", "pause": 0.1, "seed": 3}]

READERS = [
    Reader(
        "train",
        "data.jsonl",
        ["train", "text.yaml", "--output", "out", "task.train=data.jsonl"],
        PAIRS[:2],
        {"src": _TEXT, "tgt": _TEXT, "id": tuple(WRONG)},
        needs=("text.yaml",),
    ),
    Reader(
        "decode",
        "data.jsonl",
        ["decode", "run", "--input", "data.jsonl", "--output", "out.jsonl"],
        PAIRS[:2],
        {"src": _TEXT, "id": _ANY},
        skips=True,
        needs=("run",),
    ),
    Reader(
        "pseudo-labels",
        "data.jsonl",
        ["prepare", "pseudo-labels", "run", "data.jsonl", "decoder.prefix_tokens=[the]", "--output", "out.jsonl"],
        PAIRS[:2],
        {"src": _TEXT, "id": _ANY},
        skips=True,
        needs=("run",),
    ),
    Reader(
        "encode",
        "data.jsonl",
        ["encode", "data.jsonl", "--tokenizer", "audio_tokenizer", "--output", "out", "--device", "cpu"],
        _SPEECH,
        {
            "id": _TEXT,
            "audio": (),
            "text": _TEXT,
            "speaker": _TEXT,
            "language": _TEXT,
            "alignment": ("null", "a list"),
            "seconds": ("a number",),
        },
        needs=("audio_tokenizer", "recordings"),
    ),
    Reader(
        "synthesize",
        "data.jsonl",
        ["synthesize", "voice", "--input", "data.jsonl", "--output", "out", *SPEAK],
        [{"id": "a", "text": "Good."}, {"id": "b", "text": "Two."}],
        {
            "text": (),
            "id": ("a negative number", "null"),
            "speaker": ("null",),
            "voice": ("null",),
            "seed": ("null", "a negative number"),
            "temperature": ("null", "a number"),
        },
        skips=True,
        needs=("voice",),
    ),
    Reader(
        "script",
        "data.jsonl",
        [
            "synthesize",
            "voice",
            "--script",
            "data.jsonl",
            "--output",
            "out.wav",
            *SPEAK[:-2],
            "--no-picture",
            "--cast",
            "ann=ann",
            "--cast",
            "bob=bob",
        ],
        _SCRIPT,
        {"speaker": _TEXT, "text": _TEXT, "pause": ("null", "a number"), "seed": ("null",)},
        needs=("voice",),
    ),
    Reader(
        "hypotheses",
        "data.jsonl",
        ["evaluate", "text", "--task", "generic", "--hyp", "data.jsonl", "--ref", "ref.jsonl"],
        [{"id": "0", "tgt": "a tool"}, {"id": "1", "tgt": "a library"}],
        {"tgt": ("null", "an empty string", "blanks", "a list", "a zero byte", *_LONG), "id": ()},
        needs=("ref.jsonl",),
    ),
    Reader(
        "references",
        "data.jsonl",
        ["evaluate", "text", "--task", "generic", "--hyp", "hyp.jsonl", "--ref", "data.jsonl"],
        PAIRS[:2],
        {"tgt": _TEXT, "src": _TEXT, "id": ()},
        needs=("hyp.jsonl",),
    ),
    Reader(
        "prepare s2s-ft",
        "data.jsonl",
        ["prepare", "s2s-ft", "out", "--train", "data.jsonl"],
        PAIRS[:2],
        {"src": _TEXT, "tgt": _TEXT, "id": _ID},
    ),
    Reader(
        "prepare pretrain-text",
        "data.jsonl",
        [
            "prepare",
            "pretrain-text",
            "out",
            "--input",
            "data.jsonl",
            "--tokenizer",
            "tokenizer",
            "--processes",
            "1",
            "--max-length",
            "32",
        ],
        [{"text": "the tool reads files . " * 8}, {"text": "a library shows sound . " * 8}],
        {"text": ("an empty string", "blanks", "null", "a zero byte", "half a surrogate pair", *_LONG)},
        needs=("tokenizer",),
    ),
    Reader(
        "align-speech",
        "data.jsonl",
        ["prepare", "align-speech", "data.jsonl", "--output", "out.jsonl"],
        _SPEECH,
        {"id": _LONG, "audio": (), "text": _LONG},
        needs=("recordings",),
    ),
]


def cases() -> Iterator[Case]:
    """Fields, lines, ids and whole files, for each reader."""
    for number, reader in enumerate(READERS):
        yield from _of_fields(reader)
        for name, line in _LINES.items():
            counted = reader.name == "prepare pretrain-text" and name == "not UTF-8"
            where = r"UTF-8" if counted else r"data\.jsonl(:2|.* 2\b)|\b(line|1 of 2|1 not usable)\b"
            yield _case(reader, f"a line that is {name}", _line(line), where, Ending.TOLD if counted else None)
        for place, (name, content) in enumerate({**JUNK, **_FILES}.items()):
            if (place + number) % 2 == 0 or name == "empty":
                names, leaves = r"data\.jsonl|no text", r"out\.jsonl.*|out/errors\.jsonl" if reader.skips else "nothing"
                yield Case(f"file/{reader.name}: {name}", _file(reader, content), names, leaves=leaves)
        yield Case(f"file/{reader.name}: missing", _file(reader, None), r"data\.jsonl")
        yield Case(f"file/{reader.name}: a folder", _folder(reader), r"data\.jsonl")
        if reader.name in ("synthesize", "hypotheses", "prepare s2s-ft", "encode"):
            twice = [reader.records[0], {**reader.records[1], "id": reader.records[0]["id"]}]
            skips = Ending.COUNTED if reader.skips else Ending.REFUSED
            ending = Ending.TOLD if reader.name == "prepare s2s-ft" else skips
            yield Case(f"id/{reader.name}: one id twice", _records(reader, twice), r"id|twice|once", ending)
    for id in _PATHS:
        records = [{"id": "a", "text": "Good."}, {"id": id, "text": "Two."}]
        synthesize = next(reader for reader in READERS if reader.name == "synthesize")
        yield Case(f"id/synthesize: {id[:20]!r}", _records(synthesize, records), r"'id'", Ending.COUNTED)
    yield from _of_tables()
    for name, content in broken_gzip(b"one\ttwo\nthree\tfour\n").items():
        ending = Ending.EITHER if name == "with a tail" else Ending.REFUSED
        yield Case(f"gzip/prepare tsv: {name}", _gzip(content, "tsv"), r"data\.gz", ending)
        yield Case(f"gzip/pretrain-text: {name}", _gzip(content, "pretrain-text"), r"data\.gz", ending)


_LINES: dict[str, bytes] = {
    "broken": b'{"id": "1", ',
    "a list": b"[1, 2]",
    "text": b"the tool reads files",
    "null": b"null",
    "deep": DEEP,
    "not UTF-8": b'{"id": "1", "src": "caf\xe9", "tgt": "caf\xe9", "text": "caf\xe9", "audio": "caf\xe9"}',
    "a number of 5,000 digits": b'{"id": ' + b"7" * 5000 + b"}",
    "an empty object": b"{}",
    "two objects": b"{} {}",
}
_FILES: dict[str, bytes] = {
    "blank lines": b"\n\n \n",
    "CR alone": b'{"id": "0", "src": "a"}\r{"id": "1", "src": "a"}\r',
    "a list of objects": b'[\n {"id": "0"},\n {"id": "1"}\n]\n',
    "gzip without the name": gzip.compress(b'{"id": "0", "src": "a", "tgt": "a"}\n'),
    "one deep value": b'{"src": ' + DEEP + b"}\n",
}
_PATHS = (
    "../up",
    "/abs",
    ".hidden",
    "a/../../b",
    "a\0b",
    "a\\b",
    "a\nb",
    "x" * 300,
    "CON",
    "a/",
    "/",
    ".",
    "",
    " ",
    "a.wav/b",
    "A",
)


_TABLES: dict[str, tuple[str, bytes, str]] = {
    "ragged": ("data.csv", b"src,tgt\na,b\nthe tool\nc,d\n", r"data\.csv:3"),
    "an open quote": ("data.csv", b'src,tgt\na,b\n"the tool,reads\nc,d\n', r"data\.csv:3"),
    "not UTF-8": ("data.csv", b"src,tgt\na,b\ncaf\xe9,b\nc,d\n", r"data\.csv:3"),
    "an empty cell": ("data.tsv", b"src\ttgt\na\tb\n\tb\nc\td\n", r"data\.tsv:3.*'src' is empty"),
}
"""Tables of which one row is bad: training refuses them, decoding counts it."""
_NO_TABLES: dict[str, tuple[str, bytes, str]] = {
    "one name twice": ("data.csv", b"src,src\na,b\n", r"data\.csv:1.*'src'"),
    "without the column": ("data.csv", b"id,text2\n1,b\n", r"--source-field"),
    "a spreadsheet": ("data.csv", b"PK\x03\x04" + b"\0" * 60, r"data\.csv: is a ZIP archive or a spreadsheet"),
    "Parquet cut off": ("data.parquet", b"PAR1" + b"\0" * 60, r"data\.parquet"),
    "not xz": ("data.jsonl.xz", b'{"src": "a", "tgt": "b"}\n', r"data\.jsonl\.xz"),
    "not zstd": ("data.jsonl.zst", b'{"src": "a", "tgt": "b"}\n', r"data\.jsonl\.zst"),
}


def _of_tables() -> Iterator[Case]:
    for name, (file, content, where) in {**_TABLES, **_NO_TABLES}.items():
        told = r"1 of \d" if name in _TABLES else where
        skipped = Ending.COUNTED if name in _TABLES else None
        train = ["train", "text.yaml", "--output", "out", f"task.train={file}"]
        decode = ["decode", "run", "--input", file, "--output", "out.csv"]
        yield Case(f"table/train: {name}", _written(file, content, train), where)
        leaves = "nothing" if name in _TABLES else r"out\.csv.*"
        yield Case(
            f"table/decode: {name}", _written(file, content, decode), told, skipped or Ending.REFUSED, leaves=leaves
        )


def _written(file: str, content: bytes, arguments: list[str]) -> Command:
    def command(home: Home) -> list[str]:
        home.take("text.yaml")
        home.take("run")
        Path(file).write_bytes(content)
        return arguments

    return command


def _of_fields(reader: Reader) -> Iterator[Case]:
    for index, (field, right) in enumerate(reader.fields.items()):
        for place, (name, value) in enumerate(WRONG.items()):
            if name in right and name not in ("very long", "null"):
                continue
            if (place + index) % 2 and name not in ("half a surrogate pair", "nan"):
                continue
            record = {**reader.records[1], field: value}
            ending = Ending.EITHER if name in right else None
            where = rf"--cast|data\.jsonl(:2|: row 2)\b.*({field}|JSON)|'{field}'|1 of 2|\b1 not usable"
            yield _case(reader, f"{field} is {name}", [reader.records[0], record], where, ending)
        if field not in ("speaker", "language", "seconds", "voice", "seed", "temperature", "alignment", "pause", "id"):
            record = {key: value for key, value in reader.records[1].items() if key != field}
            if not (reader.name == "references" and field == "src"):
                yield _case(reader, f"{field} is missing", [reader.records[0], record], rf"{field}")


def _case(reader: Reader, name: str, content: Any, names: str, ending: Ending | None = None) -> Case:
    bad = Ending.COUNTED if reader.skips else Ending.REFUSED
    command = _file(reader, content) if isinstance(content, bytes) else _records(reader, content)
    if callable(content):
        command = _file(reader, content(reader))
    return Case(f"record/{reader.name}: {name}", command, names, ending or bad)


def _line(line: bytes) -> Callable[[Reader], bytes]:
    return lambda reader: json.dumps(reader.records[0]).encode() + b"\n" + line + b"\n"


def _records(reader: Reader, records: Records) -> Command:
    return _file(
        reader, "".join(json.dumps(record) + "\n" for record in records).encode() if not callable(records) else b""
    )


def _file(reader: Reader, content: bytes | None) -> Command:
    def command(home: Home) -> list[str]:
        _with_needs(reader, home)
        if content is not None:
            Path(reader.file).write_bytes(content)
        return reader.arguments

    return command


def _folder(reader: Reader) -> Command:
    def command(home: Home) -> list[str]:
        _with_needs(reader, home)
        Path(reader.file).mkdir()
        return reader.arguments

    return command


def _with_needs(reader: Reader, home: Home) -> None:
    for name in reader.needs:
        if name == "hyp.jsonl":
            write_lines(name, [{"id": pair["id"], "tgt": pair["tgt"]} for pair in PAIRS[:2]])
        elif name == "ref.jsonl":
            write_lines(name, PAIRS[:2])
        else:
            home.take(name)


def _gzip(content: bytes, verb: str) -> Command:
    def command(home: Home) -> list[str]:
        Path("data.gz").write_bytes(content)
        if verb == "tsv":
            return ["prepare", "tsv", "out", "--train", "data.gz"]
        home.take("tokenizer")
        return ["prepare", "pretrain-text", "out", "--input", "data.gz", "--tokenizer", "tokenizer", "--processes", "1"]

    return command
