"""Extract prose from unpacked documentation packages as JSON lines, one record per document, for pretraining.

    python scripts/prose_of_packages.py FILE_OR_FOLDER... > docs.jsonl

Reads text, reStructuredText and HTML, plain or .gz, and the entries of dictionaries (.dict.dz); skips other files.
Keeps paragraphs that look like prose: at least 12 words, and at least three quarters letters or blanks.
"""

from __future__ import annotations

import gzip
import html
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MIN_WORDS = 12
MIN_LETTERS = 0.75

_PAGE_BREAK = re.compile(r"\n+[^\n]*\[Page \d+\]\s*\n\f?\s*(RFC [^\n]*\n)?\n*")
_MARKUP = re.compile(r":[\w:.+-]+:`|``?|\*\*?|[{}]")


def main(places: list[str]) -> None:
    for path in (path for place in places for path in files_below(Path(place))):
        for number, text in enumerate(documents(path)):
            prose = "\n\n".join(filter(is_prose, paragraphs(text)))
            if prose:
                print(json.dumps({"id": f"{path.name}#{number}", "text": prose}, ensure_ascii=False))


def files_below(place: Path) -> list[Path]:
    """The place itself if it is a file; otherwise the files below it, sorted by name, without links."""
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())


def documents(path: Path) -> Iterator[str]:
    """The text of a file, or one text per entry of a dictionary; nothing if the file is not text."""
    name = path.name.removesuffix(".gz")
    content = gzip.decompress(path.read_bytes()) if path.suffix in (".gz", ".dz") else path.read_bytes()
    text = content.decode("utf-8", "replace")
    if name.endswith(".dict.dz"):
        yield from re.split(r"\n(?=\S)", text)
    elif name.endswith((".html", ".htm")):
        body = re.sub(r"(?is)<(script|style|pre|head|nav)\b.*?</\1>", " ", text)
        body = re.sub(r"(?i)</?(p|div|h\d|li|dd|dt|td|table|br|ul|dl|section)\b[^>]*>", "\n\n", body)
        yield html.unescape(re.sub(r"<[^>]*>", "", body))
    elif name.endswith((".txt", ".rst")):
        yield re.sub(r"(?m)^\.\. .*$", "\n", _PAGE_BREAK.sub("\n", text))


def paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n[^\S\n]*\n", text):
        yield " ".join(_MARKUP.sub("", paragraph).split())


def is_prose(paragraph: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in paragraph)
    return (
        len(paragraph.split()) >= MIN_WORDS
        and letters >= MIN_LETTERS * len(paragraph)
        and ". . ." not in paragraph
        and " " * 4 not in paragraph
    )


if __name__ == "__main__":
    main(sys.argv[1:])
