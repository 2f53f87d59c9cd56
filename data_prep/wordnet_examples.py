"""Sentences of everyday English from WordNet, whose entries show how words are used ("she sang in the choir")."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data_prep.debian_archives import unpack_archive
from s2s.data.text_lines import read_text_lines
from s2s.errors import InputError

_FILES = ("data.noun", "data.verb", "data.adj", "data.adv")
_FOLDERS = (".", "dict", "wordnet", "usr/share/wordnet")
_EXAMPLE = re.compile(r'"([^"]+)"')
_PERSON = r"(?:i|you|he|she|we|they|anyone|everyone|there)"
_QUESTION = re.compile(
    rf"(?:do|did|have|has|can|could|will|would|shall|should|may|was|were) {_PERSON}\b"
    rf"|(?:is|are|am|does) (?:{_PERSON}|it|this|that|these|those|the|your|my|his|her)\b"
    r"|(?:who|what|where|when|why|how(?: \w+)?) (?!is more\b)"
    r"(?:is|are|was|were|do|does|did|can|could|will|would|shall|should|has)\b",
    re.IGNORECASE,
)
"""The order of words of a question; examples have no mark at their end."""


def read_wordnet(path: Path) -> Iterator[str]:
    """The examples in the glosses of WordNet 3, as sentences, in the order of its files.

    Args:
        path: The Debian package wordnet-base (.deb), or a folder with data.noun and the other three, or one above it.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = path
        if path.is_file():
            root = Path(temporary)
            unpack_archive(path, root)
        folder = next((root / name for name in _FOLDERS if (root / name / _FILES[0]).is_file()), None)
        if folder is None:
            expected = f"the Debian package wordnet-base (apt-get download wordnet-base), or {', '.join(_FILES)}"
            raise InputError(f"--wordnet {path}: expected {expected}")
        for name in _FILES:
            for _, line in read_text_lines(folder / name):
                for example in _EXAMPLE.findall(line.partition(" | ")[2]):
                    if sentence := as_sentence(example):
                        yield sentence


def as_sentence(example: str) -> str | None:
    """An example with a capital at its beginning and a mark at its end; None if it is less than three words."""
    text = example.strip(" ;,-")
    if text.count(" ") < 2:
        return None
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else text + ("?" if _QUESTION.match(text) else ".")
