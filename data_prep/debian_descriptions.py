"""Descriptions of Debian packages as raw text, without those that `debian_synopsis` may test or validate on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from data_prep.corpus_writer import listed
from data_prep.debian_synopsis import Descriptions, parts_of, split_of
from data_prep.package_lists import PackageLists
from s2s.durable import whole_file, writing
from s2s.errors import InputError
from s2s.json_files import dump_json


def write(path: Path, lists: PackageLists, language: str) -> str:
    """Write one JSON line, id and text, for each description; returns a summary.

    Descriptions of source packages whose split is valid or test are left out, whole; of the others the synopsis is
    left out, which is what `debian_synopsis` asks for, and so are descriptions whose first paragraph came before.

    Raises:
        InputError: a list is missing or malformed, or holds no description in the language.
    """
    descriptions = Descriptions(lists)
    texts = descriptions.texts(language)
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            for package in descriptions.packages:
                if split_of(package.source) != "train":
                    counts["of source packages for validation or testing"] += 1
                    continue
                _, first, body = parts_of(texts.get(package.key, ""))
                if not first or first in seen:
                    counts["empty or with a first paragraph that came before"] += 1
                    continue
                seen.add(first)
                counts["written"] += 1
                record = {"id": f"{language}/{package.name}", "text": body, "source_package": package.source}
                file.write(f"{dump_json(record)}\n".encode())
            if not counts["written"]:
                raise InputError(f"--language {language}: the lists hold no description in it to train on")
    written = counts.pop("written")
    return f"{path}: {written:,} descriptions; left out {listed(counts) or 'none'}"
