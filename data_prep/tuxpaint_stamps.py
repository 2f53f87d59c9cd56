"""Tux Paint's stamps: pictures of things with descriptions in many languages, from a Debian package."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data_prep.debian_archives import unpack_archives
from data_prep.picture_concepts import concept_of
from data_prep.picture_corpus import Depicted
from s2s.data.text_lines import read_text_lines
from s2s.errors import InputError

PACKAGE = "tuxpaint-stamps-default"

ABOUT = """Stamps of the drawing program Tux Paint, from the Debian package tuxpaint-stamps-default, with the
descriptions that the program reads out. `group` is the folder that holds them. Stamps that are mirrored or flipped
copies have no description, and stamps in SVG alone no pixels: both are left out."""

LICENSE = """License: (c) 2002-2022 Bill Kendrick and others, GPL-2.0-or-later: see the file copyright in the package,
/usr/share/doc/tuxpaint-stamps-default/copyright. It names no authors of single stamps."""

_FOLDER = "usr/share/tuxpaint/stamps"
_TRANSLATION = re.compile(r"(?P<language>[\w@-]+)\.utf8=(?P<text>.*)")


def unpack(packages: Sequence[Path], folder: Path) -> list[Path]:
    """The unpacked packages; see `unpack_archives`."""
    return unpack_archives(packages, folder, f"{PACKAGE}_*.deb", _FOLDER)


def read_stamps(roots: Sequence[Path], languages: Sequence[str], skip: Callable[[str], None]) -> Iterator[Depicted]:
    """The stamps of unpacked packages.

    Raises:
        InputError: there are none, or no stamp has a description in one of the languages.
    """
    stamps = [root / _FOLDER for root in roots if (root / _FOLDER).is_dir()]
    paths = [(folder, path) for folder in stamps for path in sorted(folder.rglob("*.png"))]
    if not paths:
        raise InputError(f"--packages: no stamps in {_FOLDER}; add {PACKAGE}")
    known: set[str] = set()
    for folder, path in paths:
        described = path.with_suffix(".txt")
        texts = _texts(described) if described.is_file() else {}
        known |= set(texts)
        if not texts.get("en"):
            skip("without a description")
            continue
        inner = path.relative_to(folder)
        yield Depicted(
            id=re.sub(r"[^\w.+-]+", "_", "-".join(inner.with_suffix("").parts)),
            image=path,
            captions=[(language, texts[language]) for language in languages if texts.get(language)],
            concept=concept_of(texts["en"]),
            group=inner.parts[0],
            license="GPL-2.0-or-later",
            attribution="Tux Paint stamps, Bill Kendrick and others",
        )
    if unknown := [language for language in languages if language not in known]:
        raise InputError(f"--language: no stamp has {unknown[0]!r}; they have {', '.join(sorted(known))}")


def _texts(path: Path) -> dict[str, str]:
    """The descriptions in a file by language: English in its first line, then `LANGUAGE.utf8=TEXT`."""
    lines = [line for _, line in read_text_lines(path)]
    found = [match for line in lines[1:] if (match := _TRANSLATION.fullmatch(line))]
    return {"en": "".join(lines[:1])} | {match["language"]: match["text"] for match in found if match["text"].strip()}
