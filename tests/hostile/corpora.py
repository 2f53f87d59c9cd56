"""Corpora to prepare: tables that are ragged, quoted or torn; SQuAD and stories with one part of another kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hostile.cases import Case, Command, Ending
from hostile.damage import DEEP, JUNK, WRONG, nodes, with_node
from hostile.home import PAIRS, Home, write_lines

_ROWS = [f"{pair['src']}\t{pair['tgt']}" for pair in PAIRS[:4]]
TABLES: dict[str, tuple[bytes, str]] = {
    "a row too short": ("\n".join([*_ROWS, "alone"]).encode(), r"in\.tsv:5"),
    "a blank row": ("\n".join([_ROWS[0], "", _ROWS[1]]).encode(), r"in\.tsv:2|empty|left out|skipped"),
    "a blank cell": ("\n".join([_ROWS[0], "a\t ", _ROWS[1]]).encode(), r"in\.tsv:2|empty|left out|skipped"),
    "not UTF-8": (b"caf\xe9\ta\n", r"in\.tsv:1.*UTF-8"),
    "CR alone": (b"a\tb\rc\td\r", r"in\.tsv"),
}
CSV: dict[str, tuple[bytes, str]] = {
    "a row too short": (b"src,tgt\na,b\nalone\n", r"in\.csv"),
    "a row too long": (b"src,tgt\na,b\na,b,c\n", r"in\.csv"),
    "an open quote": (b'src,tgt\na,b\n"a,b\nc,d\n', r"in\.csv"),
    "a zero byte": (b"src,tgt\na\0a,b\n", r"in\.csv"),
    "no header": (b"the tool,a tool\nthe text,a text\n", r"in\.csv.*'src'"),
    "one column twice": (b"src,src,tgt\na,b,c\n", r"in\.csv"),
    "a header alone": (b"src,tgt\n", r"in\.csv"),
    "an empty cell": (b"src,tgt\na,b\n,b\n", r"in\.csv.*'src'"),
    "semicolons": (b"src;tgt\na;b\n", r"in\.csv.*src"),
    "CR alone": (b"src,tgt\ra,b\r", r"in\.csv"),
    "a cell of a million letters": (b"src,tgt\n" + b"a" * 1_000_000 + b",b\n", r"in\.csv"),
}
_SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "Tools",
            "paragraphs": [
                {
                    "context": "The tool reads files. It is fast.",
                    "qas": [{"id": "q1", "question": "What reads?", "answers": [{"answer_start": 4, "text": "tool"}]}],
                }
            ],
        }
    ],
}
_IGNORED = {("version",)}


def cases() -> Iterator[Case]:
    """Tables for `prepare tsv` and for training, SQuAD by its nodes, folders of published corpora."""
    for name, (content, names) in TABLES.items():
        ending = Ending.EITHER if name == "CR alone" else Ending.TOLD if "blank" in name else Ending.REFUSED
        yield Case(
            f"tsv/{name}", _write("in.tsv", content, ["prepare", "tsv", "out", "--train", "in.tsv"]), names, ending
        )
    for name, (content, names) in CSV.items():
        ending = Ending.EITHER if name in ("CR alone", "a cell of a million letters", "a zero byte") else Ending.REFUSED
        yield Case(f"csv/{name}", _train("in.csv", content), names, ending)
        if name in ("a row too short", "no header", "an open quote", "CR alone"):
            tabs = content.replace(b",", b"\t")
            again = Ending.EITHER if name in ("CR alone", "an open quote") else Ending.REFUSED
            yield Case(f"train tsv/{name}", _train("in.tsv", tabs), names.replace("csv", "tsv"), again)
    for file in ("in.csv", "in.tsv", "in.parquet", "in.arrow", "in.CSV", "in.JSONL"):
        for name, content in JUNK.items():
            if name in ("empty", "binary", "utf-16") or file == "in.parquet":
                yield Case(f"table/{file} {name}", _train(file, content), file.replace(".", r"\."))
    wrong = list(WRONG.items())[:-1]
    squad = ["prepare", "squad-qg", "out", "--train", "squad.json", "--dev", "squad.json", "--split", "zhou"]
    for number, path in enumerate(path for path in nodes(_SQUAD) if path not in _IGNORED):
        for step in range(2):
            name, value = wrong[(number * 2 + step) % len(wrong)]
            if isinstance(_at(path), str) and isinstance(value, str):
                continue
            tree = with_node(_SQUAD, path, value)
            place = ".".join(map(str, path)) or "all"
            ending = Ending.EITHER if value == [] or isinstance(_at(path), int) else Ending.REFUSED
            yield Case(
                f"squad/{place} is {name}",
                _write("squad.json", json.dumps(tree).encode(), squad),
                r"squad\.json|no pair",
                ending,
            )
    for name, content in {**JUNK, "deep": DEEP}.items():
        yield Case(f"squad/{name}", _write("squad.json", content, squad), r"squad\.json")
    for verb in ("cnndm", "xsum", "gigaword"):
        for name in ("missing", "empty", "a file"):
            yield Case(f"corpus/{verb}: {name}", _corpus(verb, name), r"corpus")
    for verb in ("ljspeech", "libritts", "librispeech", "vctk", "common-voice", "kaldi", "transcripts"):
        for name in ("missing", "empty", "a file"):
            yield Case(f"corpus/{verb}: {name}", _corpus(verb, name), r"corpus")
    for name, (lines, names) in _KALDI.items():
        yield Case(f"kaldi/{name}", _kaldi(lines), names, Ending.EITHER if name.startswith("text ") else Ending.REFUSED)
    for file, ending in ((_FAIRSEQ[0], Ending.REFUSED), (_FAIRSEQ[1], Ending.REFUSED), (_FAIRSEQ[2], Ending.EITHER)):
        for name, content in {**JUNK, **_BAD_DICTIONARIES}.items() if "dict" in file else JUNK.items():
            yield Case(f"fairseq/{file} {name}", _fairseq(file, content), r"dict\.en\.txt|en-de\.en\.(bin|idx)", ending)
    for file in _FAIRSEQ:
        for part in (0.1, 0.5, 0.9):
            ending = Ending.EITHER if "dict" in file and part else Ending.REFUSED
            yield Case(f"fairseq/{part} of {file}", _fairseq(file, part), r"dict\.en\.txt|en-de\.en\.(bin|idx)", ending)
    yield Case("parallel/of other lengths", _parallel("a\nb\n", "a\n"), r"b\.txt|a\.txt")
    yield Case(
        "parallel/a blank line", _parallel("a\n\nc\n", "a\nb\nc\n"), r"a\.txt:2|empty|left out|skipped", Ending.TOLD
    )
    yield Case("parallel/empty", _parallel("", ""), r"a\.txt")
    for split in ("train", "valid", "test"):
        yield Case(f"subset/no {split}", _subset(split, 1), rf"{split}\.jsonl")
        yield Case(f"subset/more {split} than there is", _subset(None, 99, split), rf"{split}")


_KALDI = {
    "a command": ({"wav.scp": "a sox x |\n", "text": "a b\n"}, r"wav\.scp:1"),
    "a command in front": ({"wav.scp": "a |touch attacked\n", "text": "a b\n"}, r"wav\.scp|touch|1 "),
    "a time that is NaN": ({"wav.scp": "r x.wav\n", "text": "a b\n", "segments": "a r nan 1\n"}, r"segments:1"),
    "a time that is infinite": ({"wav.scp": "r x.wav\n", "text": "a b\n", "segments": "a r 0 inf\n"}, r"segments:1"),
    "an end before its start": ({"wav.scp": "r x.wav\n", "text": "a b\n", "segments": "a r 2 1\n"}, r"segments:1"),
    "text that is not UTF-8": ({"wav.scp": "a x.wav\n", "text": "a caf\udce9\n"}, r"text:1"),
}


_FAIRSEQ = ("dict.en.txt", "train.en-de.en.idx", "train.en-de.en.bin")
_BAD_DICTIONARIES = {
    "no count": b"the\n",
    "a count below 0": b"the -1\n",
    "a count of a million digits": b"the " + b"9" * 1_000_000 + b"\n",
    "one item twice": b"the 1\nthe 1\n",
    "an item of fairseq": b"</s> 1\n",
}


def _at(path: tuple[str | int, ...]) -> Any:
    node: Any = _SQUAD
    for key in path:
        node = node[key]
    return node


def _fairseq(file: str, content: bytes | float) -> Command:
    """A folder of fairseq-preprocess with one file replaced, or cut to a share of it."""

    def command(home: Home) -> list[str]:
        shutil.copytree(Path(__file__).parents[1] / "unit/data_prep/data/fairseq", "data")
        path = Path("data", file)
        whole = path.read_bytes()
        path.write_bytes(content if isinstance(content, bytes) else whole[: int(content * len(whole))])
        return ["prepare", "fairseq", "data", "out"]

    return command


def _write(file: str, content: bytes, arguments: list[str]) -> Command:
    def command(home: Home) -> list[str]:
        Path(file).write_bytes(content)
        return arguments

    return command


def _train(file: str, content: bytes) -> Command:
    def command(home: Home) -> list[str]:
        home.take("text.yaml")
        Path(file).write_bytes(content)
        return ["train", "text.yaml", "--output", "out", f"task.train={file}"]

    return command


def _corpus(verb: str, place: str) -> Command:
    def command(home: Home) -> list[str]:
        if place == "empty":
            Path("corpus").mkdir()
        elif place == "a file":
            Path("corpus").write_text("a\tb\n")
        return ["prepare", verb, "./corpus", "out"]

    return command


def _kaldi(files: dict[str, str]) -> Command:
    def command(home: Home) -> list[str]:
        Path("corpus").mkdir()
        soundfile.write("corpus/x.wav", 0.1 * np.sin(np.arange(16000)), 8000)
        for name, content in files.items():
            Path("corpus", name).write_bytes(content.encode("utf-8", "surrogateescape"))
        return ["prepare", "kaldi", "corpus", "out", "--jobs", "1"]

    return command


def _parallel(source: str, target: str) -> Command:
    def command(home: Home) -> list[str]:
        Path("a.txt").write_text(source)
        Path("b.txt").write_text(target)
        return ["prepare", "parallel", "out", "--train", "a.txt", "b.txt"]

    return command


def _subset(lacks: str | None, count: int, split: str = "train") -> Command:
    def command(home: Home) -> list[str]:
        Path("corpus").mkdir()
        for name in ("train", "valid", "test"):
            if name != lacks:
                write_lines(Path("corpus", f"{name}.jsonl"), [{**pair, "id": name + pair["id"]} for pair in PAIRS[:3]])
        counts = {"train": "1", "valid": "1", "test": "1", split: str(count)}
        return [
            "prepare",
            "subset",
            "corpus",
            "out",
            *(part for name in counts for part in (f"--{name}", counts[name])),
        ]

    return command
