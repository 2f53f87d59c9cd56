"""Every reader of `prepare` takes a broken corpus, or refuses it in one line that names a place; made by kind.

A valid corpus of each format is changed in one place: a node of its JSON becomes another value, or bytes of a text file
are lost, doubled or replaced.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from s2s.errors import InputError
from unilatent.commands.prepare import app

Files = dict[str, bytes]

BODY = " ".join(f"word{number}" for number in range(30))
STORY = b"A first line\n\nA second line.\n\n@highlight\n\nThe summary\n"
SUMMARY = b"[SN]URL[SN]x[SN]TITLE[SN]t[SN]FIRST-SENTENCE[SN]One sentence.[SN]RESTBODY[SN]The rest of it.\n"
SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "Towers",
            "paragraphs": [
                {
                    "context": "The tower is in Paris. It is high.",
                    "qas": [
                        {"id": "1", "question": "Where?", "answers": [{"text": "Paris", "answer_start": 16}]},
                        {"id": "2", "question": "How is it?", "answers": [{"text": "high", "answer_start": 29}]},
                    ],
                }
            ],
        }
    ],
}


def audio() -> bytes:
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.2 * np.sin(np.arange(16000) / 9), 16000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def squad() -> Files:
    return {"train.json": json.dumps(SQUAD).encode(), "dev.json": json.dumps(SQUAD).encode()}


def with_article_lists() -> Files:
    return {**squad(), "a.txt": b"Towers\n", "b.txt": b"\n"}


def cnndm() -> Files:
    urls = {f"all_{name}.txt": f"http://a/{name}\n".encode() for name in ("train", "val", "test")}
    stories = {f"cnn/{hashlib.sha1(url.strip()).hexdigest()}.story": STORY for url in urls.values()}
    return {**urls, **stories}


def xsum() -> Files:
    splits = {"train": ["1"], "validation": ["2"], "test": ["3"]}
    return {"S-SPLIT-1.json": json.dumps(splits).encode(), **{f"b/{number}.summary": SUMMARY for number in "123"}}


def gigaword() -> Files:
    names = ("train.article.txt", "train.title.txt", "valid.article.filter.txt", "valid.title.filter.txt")
    return dict.fromkeys((*names, "input.txt", "task1_ref0.txt"), b"some words of text\nmore words\n")


def debian() -> Files:
    packages = translation = ""
    for name in ("abx", "bcx", "cdx"):
        key = hashlib.md5(name.encode()).hexdigest()
        packages += f"Package: {name}\nSource: {name} (1.0)\nDescription: a {name} tool\nDescription-md5: {key}\n\n"
        text = f"a {name} tool\n {name} {BODY}\n .\n end"
        translation += f"Package: {name}\nDescription-md5: {key}\nDescription-en: {text}\n\n"
    return {"Packages": packages.encode(), "Translation-en": translation.encode()}


def speech(**texts: bytes) -> Callable[[], Files]:
    return lambda: {name.replace("__", "/"): audio() if content == b"" else content for name, content in texts.items()}


def asterisk() -> Files:
    pytest.importorskip("G722")
    sounds = np.random.default_rng(0).bytes(8000)  # a second of noise
    texts = b"; a comment\nhello: " + SPOKEN + b"\nbeep: [a tone]\n"
    folder = "usr/share/asterisk/sounds/en_US_f_Allison"
    return {f"{folder}/hello.g722": sounds, "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt": texts}


def faqs() -> Files:
    answer = b"a word of the answer " * 4
    numbered = b"1.1. What is it?\n\n    " + answer + b"\n\n"
    return {
        "usr/share/perl/5.36.0/pod/perlfaq1.pod": b"=head2 What is C<Perl>?\n\n" + answer + b"\n",
        "usr/share/doc/python3.11/html/_sources/faq/gui.rst.txt": b"What is a GUI?\n==============\n\n"
        + answer
        + b"\n",
        "usr/share/doc/debian/FAQ/debian-faq.en.txt.gz": gzip.compress(numbered),
    }


SPOKEN = b"four words are spoken"
FORMATS: dict[str, tuple[Callable[[], Files], list[str]]] = {
    "squad-qg zhou": (squad, ["OUT", "--split", "zhou", "--train", "train.json", "--dev", "dev.json"]),
    "squad-qg du": (
        with_article_lists,
        [
            "OUT",
            "--split",
            "du",
            "--train",
            "train.json",
            "--dev",
            "dev.json",
            "--train-articles",
            "a.txt",
            "--test-articles",
            "b.txt",
        ],
    ),
    "cnndm": (cnndm, [".", "OUT"]),
    "xsum": (xsum, [".", "OUT"]),
    "gigaword": (gigaword, [".", "OUT"]),
    "debian-synopsis": (debian, ["OUT", "--packages", "Packages", "--translation", "Translation-en"]),
    "debian-descriptions": (debian, ["OUT.jsonl", "--packages", "Packages", "--translation", "Translation-en"]),
    "tsv": (lambda: {"a.tsv": b'a\t"b\nNA\t007\nx y\tz\n'}, ["OUT", "--train", "a.tsv"]),
    "tsv by-name": (
        lambda: {"a.tsv": b"src\ttgt\nx\ty\n"},
        ["OUT", "--train", "a.tsv", "--source-column", "src", "--target-column", "tgt"],
    ),
    "parallel": (lambda: {"a": b"one\ntwo\n", "b": b"1\n2\n"}, ["OUT", "--train", "a", "b"]),
    "s2s-ft": (
        lambda: {"a.json": lines({"src": "a b", "tgt": "c", "id": 1}, {"src": ["a"], "tgt": ["b"]})},
        ["OUT", "--train", "a.json"],
    ),
    "subset": (
        lambda: (
            {f"{name}.jsonl": lines({"id": name, "src": f"{name} x", "tgt": name}) for name in ("train", "valid")}
            | {"test.jsonl": lines({"id": "t", "src": "t u", "tgt": "v"}), "DATA_CARD.md": b"# T\n"}
        ),
        [".", "OUT", "--train", "1", "--valid", "1", "--test", "1"],
    ),
    "ljspeech": (speech(**{"metadata.csv": b"a|1|" + SPOKEN + b"\n", "wavs__a.wav": b""}), [".", "OUT"]),
    "libritts": (
        speech(**{"dev-x__1__2__a.normalized.txt": SPOKEN, "dev-x__1__2__a.wav": b""}),
        [".", "OUT"],
    ),
    "librispeech": (
        speech(**{"dev-x__1__2__1-2.trans.txt": b"a " + SPOKEN.upper() + b"\n", "dev-x__1__2__a.flac": b""}),
        [".", "OUT"],
    ),
    "vctk": (speech(**{"txt__p1__a.txt": SPOKEN, "wav48__p1__a.wav": b""}), [".", "OUT"]),
    "common-voice": (
        speech(**{"train.tsv": b"client_id\tpath\tsentence\nme\ta.wav\t" + SPOKEN + b"\n", "clips__a.wav": b""}),
        [".", "OUT"],
    ),
    "kaldi": (
        speech(**{"wav.scp": b"f a.wav\n", "text": b"u " + SPOKEN + b"\n", "segments": b"u f 0.1 0.9\n", "a.wav": b""}),
        [".", "OUT"],
    ),
    "transcripts": (speech(**{"transcripts.tsv": b"a.wav\t" + SPOKEN + b"\tme\n", "a.wav": b""}), [".", "OUT"]),
    "asterisk-prompts": (asterisk, ["OUT", "--packages", "."]),
    "package-faqs": (faqs, ["OUT", "--packages", "."]),
    "pretrain-text": (
        lambda: {"a.txt": (BODY + "\n").encode() * 3, "b.jsonl": lines({"text": BODY})},
        [
            *("OUT", "--input", "a.txt", "--input", "b.jsonl", "--tokenizer", "TOKENIZER"),
            *("--max-length", "16", "--min-tokens", "2", "--processes", "1"),
        ],
    ),
    "vocabulary": (
        lambda: {"a.txt": (BODY + "\n").encode() * 3, "b.jsonl": lines({"text": BODY})},
        ["OUT", "--input", "a.txt", "--input", "b.jsonl", "--size", "90"],
    ),
}

VALUES = [None, True, 0, -1, 7, 1.5, 10**30, "", "x", "\ud800", "a\0b", "\n", [], [[]], ["a", 1], {}, {"a": {}}]
EDITS: list[Callable[[bytes], bytes]] = [
    lambda content: b"",
    lambda content: b"\n",
    lambda content: b"\xef\xbb\xbf" + content,
    lambda content: content.replace(b"\n", b"\r\n"),
    lambda content: content.replace(b"\n", b"\r"),
    lambda content: content.decode("utf-8", "replace").encode("utf-16"),
    lambda content: content + content,
    lambda content: content.rstrip(b"\n"),
    lambda content: b"\0" * 40,
    lambda content: b"[" * 100_000,
    lambda content: b'{"a": ' * 100_000,
    lambda content: b"\x1f\x8b" + content,
    lambda content: content.replace(b"\t", b" "),
    lambda content: content.replace(b" ", b"\t"),
]


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every node of a JSON tree."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from nodes(item, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a JSON tree with another value at one place; `...` removes what is there."""
    if not path:
        return None if new is ... else new
    copy = value.copy()
    if new is ... and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def broken(draw: st.DrawFn, files: Files) -> Files:
    name = draw(st.sampled_from(sorted(files)))
    content = files[name]
    if name.endswith((".json", ".jsonl")) and draw(st.booleans()):
        rows = [json.loads(line) for line in content.splitlines()]
        row = draw(st.integers(0, len(rows) - 1))
        path = draw(st.sampled_from(list(nodes(rows[row]))))
        rows[row] = replaced(rows[row], path, draw(st.sampled_from([*VALUES, ...])))
        return {**files, name: lines(*rows)}
    kind = draw(st.sampled_from(["edit", "cut", "insert", "rename"]))
    place = draw(st.integers(0, len(content)))
    if kind == "edit":
        return {**files, name: draw(st.sampled_from(EDITS))(content)}
    if kind == "cut":
        return {**files, name: content[:place]}
    if kind == "rename":
        return {other: text for other, text in files.items() if other != name}
    inserted = draw(
        st.sampled_from([b"\xff", b"\0", b"\r", b"\t", b"\n", b'"', b"|", b" ", "é\u0301".encode(), b"9" * 400])
    )
    return {**files, name: content[:place] + inserted + content[place:]}


def outcome(arguments: list[str], files: Files) -> BaseException | None:
    """Run `prepare` on files in a folder of their own; what it raised, None if it succeeded."""
    command, *options = arguments
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, "in", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (Path(folder) / "in").mkdir(exist_ok=True)
        vocabulary = Path(folder, "tokenizer", "vocab.txt")
        vocabulary.parent.mkdir()
        vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *BODY.split()]))
        here = {
            "TOKENIZER": str(vocabulary.parent),
            "OUT": f"{folder}/out",
            "OUT.jsonl": f"{folder}/out.jsonl",
            ".": f"{folder}/in",
        }
        placed = [here.get(option, f"{folder}/in/{option}" if option in files else option) for option in options]
        result = CliRunner().invoke(app, [command.split()[0], *placed])
        if result.exit_code and isinstance(result.exception, SystemExit):
            return InputError(result.output)  # an option: the command line says it
        return result.exception


@pytest.mark.parametrize("command", FORMATS)
def test_the_corpora_are_valid_as_they_are(command: str) -> None:
    make, options = FORMATS[command]
    assert outcome([command, *options], make()) is None


@pytest.mark.parametrize("command", FORMATS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_broken_corpus_is_taken_or_refused_in_one_line(command: str, data: st.DataObject) -> None:
    make, options = FORMATS[command]
    failure = outcome([command, *options], data.draw(broken(make())))
    if failure is not None:
        assert isinstance(failure, InputError), repr(failure)
        assert "\n" not in str(failure).strip()
        assert len(str(failure)) < 500
