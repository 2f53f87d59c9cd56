"""The public summarization corpora from their published files, or as `datasets` folder or hub id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.corpus_writer import SPLITS, CorpusWriter, Pair
from data_prep.pair_files import read_parallel
from s2s.data.jsonl import id_field, text_field
from s2s.data.text_lines import read_text, read_text_lines
from s2s.errors import InputError
from s2s.json_files import parse_json

Found = Iterator[tuple[str, Pair | None]]
"""`(split, pair)`; for a pair that is missing `(reason, None)`."""


def write(folder: Path, title: str, about: Sequence[str], found: Found) -> str:
    """Write what one of the readers below found; returns the summary."""
    with CorpusWriter(folder, title, about) as writer:
        for split, pair in found:
            if pair is None:
                writer.skip(split)
            else:
                writer.add(split, pair)
    return writer.summary


def is_dataset(corpus: str) -> bool:
    """Whether this is a hub id or a folder that `datasets` reads, not a folder of published files."""
    folder = Path(corpus)
    return not folder.is_dir() or any(any(folder.rglob(name)) for name in ("*.arrow", "*.parquet", "*.jsonl", "*.csv"))


def read_dataset(name: str, source_field: str, target_field: str, separator: str = " ") -> Found:
    """Pairs of a `datasets` folder or a hub id (`NAME` or `NAME@CONFIG`); `separator` joins the lines of a target.

    Raises:
        InputError: the data set cannot be loaded, or lacks a split (train, validation, test) or a field.
    """
    from s2s.data.records import records

    for split, published in zip(SPLITS, ("train", "validation", "test"), strict=True):
        for number, (where, record) in enumerate(records(f"{name}:{published}"), start=1):
            source, target = (_line_or_blank(record, field, where) for field in (source_field, target_field))
            id = id_field(record, where) or f"{split}-{number}"
            yield split, Pair(id, " ".join(source), separator.join(target))


def _line_or_blank(record: dict[str, object], field: str, where: str) -> list[str]:
    if isinstance(value := record.get(field), str) and not value.strip():
        return []  # some published articles are empty: the writer counts them
    text = text_field(dict(record), field, where)
    lines = text.split("\n") if isinstance(text, str) else text
    return [stripped for line in lines if (stripped := " ".join(line.split()))]


def read_cnndm(folder: Path, separator: str) -> Found:
    """CNN/DailyMail: .story files anywhere below `folder`, and all_{train,val,test}.txt, the lists of URLs.

    The name of a story is the SHA-1 of its URL. `separator` joins the highlights, the sentences of the target.
    Source: See et al. 2017 (arXiv 1704.04368); as there, a line that ends without punctuation gets a full stop.

    Raises:
        InputError: the stories or a list are missing.
    """
    stories = {path.stem: path for path in folder.rglob("*.story")}
    if not stories:
        raise InputError(f"{folder}: expected .story files below it (cnn_stories, dailymail_stories), found none")
    for split, name in zip(SPLITS, ("all_train.txt", "all_val.txt", "all_test.txt"), strict=True):
        for _, address in read_text_lines(_only(folder, name)):
            key = hashlib.sha1(address.strip().encode()).hexdigest()
            if key not in stories:
                yield f"addresses of {name} without a story", None
                continue
            article, highlights = parse_story(read_text(stories[key]))
            yield split, Pair(key, " ".join(article), separator.join(highlights))


def parse_story(text: str) -> tuple[list[str], list[str]]:
    """Lines of the article, and highlights, of a .story file."""
    article, *highlights = re.split(r"^[^\S\n]*@highlight[^\S\n]*$", text, flags=re.MULTILINE)
    return _sentences(article), [" ".join(_sentences(part)) for part in highlights if part.strip()]


def _sentences(text: str) -> list[str]:
    lines = [" ".join(line.split()) for line in text.split("\n") if line.strip()]
    return [line if line.endswith(tuple(".!?'`\"’”)")) else f"{line}." for line in lines]


def read_xsum(folder: Path) -> Found:
    """XSum: ID.summary files anywhere below `folder`, and the JSON file of ids by split.

    Source: Narayan et al. 2018 (arXiv 1808.08745): the first sentence is the target, the rest the source.

    Raises:
        InputError: the files or the list are missing, the list is malformed, or a file lacks a part.
    """
    articles = {path.stem: path for path in folder.rglob("*.summary")}
    if not articles:
        raise InputError(f"{folder}: expected ID.summary files below it (bbc-summary-data), found none")
    path = _only(folder, "*SPLIT*.json")
    for split, published in zip(SPLITS, ("train", "validation", "test"), strict=True):
        for id in _ids(path, published):
            if id not in articles:
                yield f"ids of {published} without a .summary file", None
                continue
            parts = parse_bbc(read_text(articles[id]), articles[id])
            yield split, Pair(id, parts["RESTBODY"], parts["FIRST-SENTENCE"])


def parse_bbc(text: str, path: Path) -> dict[str, str]:
    """Parts of a .summary file by name: `[SN]NAME[SN]`, then the text."""
    marks = re.split(r"\[SN\]([A-Z-]+)\[SN\]", text)
    parts = {name: " ".join(part.split()) for name, part in zip(marks[1::2], marks[2::2], strict=True)}
    for name in ("FIRST-SENTENCE", "RESTBODY"):
        if name not in parts:
            raise InputError(f"{path}: [SN]{name}[SN] is missing; found {', '.join(parts) or 'no such mark'}")
    return parts


def _ids(path: Path, split: str) -> list[str]:
    content = parse_json(read_text(path), path)
    ids = content.get(split) if isinstance(content, dict) else None
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise InputError(f"{path}: expected a JSON object with a list of ids (strings) in {split!r}")
    return ids


_GIGAWORD = {
    "train": (("train.article.txt", "train.title.txt"),),
    "valid": (("valid.article.filter.txt", "valid.title.filter.txt"), ("valid.article.txt", "valid.title.txt")),
    "test": (("input.txt", "task1_ref0.txt"), ("test.article.txt", "test.title.txt")),
}


def read_gigaword(folder: Path) -> Found:
    """Gigaword: the pairs of article and title files as published, plain or .gz, anywhere below `folder`.

    Source: Rush et al. 2015 (arXiv 1509.00685): digits are #, rare words UNK; the 1,951 test pairs are in Giga/.

    Raises:
        InputError: a file is missing, or two that belong together differ in length.
    """
    for split, choices in _GIGAWORD.items():
        for names in choices:
            if all(_all(folder, name) for name in names):
                articles, titles = (_only(folder, name) for name in names)
                yield from ((split, pair) for pair in read_parallel(articles, titles, split))
                break
        else:
            expected = " or ".join(" and ".join(names) for names in choices)
            raise InputError(f"{folder}: expected {expected} below it for {split}, found none")


def _all(folder: Path, name: str) -> list[Path]:
    return sorted([*folder.rglob(name), *folder.rglob(f"{name}.gz")])


def _only(folder: Path, name: str) -> Path:
    found = _all(folder, name)
    if not found:
        raise InputError(f"{folder}: expected a file {name} below it, found none")
    if len(found) > 1:
        raise InputError(f"{folder}: expected one file {name} below it, found {', '.join(map(str, found[:3]))}")
    return found[0]
