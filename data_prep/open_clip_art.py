"""Open Clip Art: titled pictures in the public domain, from Debian packages: pixels of one, titles of the other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from data_prep.debian_archives import unpack_archives
from data_prep.picture_concepts import concept_of
from data_prep.picture_corpus import Depicted
from s2s.errors import InputError

PACKAGES = ("openclipart-png", "openclipart-svg")

ABOUT = """Pictures of Open Clip Art 0.18, from the Debian packages openclipart-png (pixels) and openclipart-svg
(titles, authors, licenses). A title that more than three pictures share is that of a collection: their captions are
made of the names of their files. `group` is the folder of a picture. Left out: pictures under other licenses, and names
without a word."""

LICENSE = """License: public domain, as each picture says in its metadata; pictures that say nothing are under the
dedication of the whole collection (the file copyright in the packages)."""

_FOLDER = "usr/share/openclipart"
_TITLE = re.compile(r"<dc:title[^>]*>([^<]*)<")
_CREATOR = re.compile(r"<dc:creator>.*?<dc:title[^>]*>([^<]*)<", re.DOTALL)
_LICENSE = re.compile(r"<cc:license[^>]*resource=\"([^\"]+)\"")
_MOST_OF_TITLE = 3
_HEAD = 1 << 16
"""Characters of an SVG file that are searched for metadata, which are before or after the drawing."""


@dataclass(frozen=True)
class _Metadata:
    """What an SVG file says of its picture; empty where it says nothing."""

    title: str = ""
    creator: str = ""
    license: str = ""


def unpack(packages: Sequence[Path], folder: Path) -> list[Path]:
    """The unpacked packages; see `unpack_archives`."""
    return unpack_archives(packages, folder, "openclipart-*.deb", _FOLDER)


def read_clip_art(roots: Sequence[Path], skip: Callable[[str], None]) -> Iterator[Depicted]:
    """The pictures of unpacked packages; InputError if the pixels or the titles are missing."""
    metadata = {
        path.relative_to(root / _FOLDER / "svg").with_suffix("").as_posix(): _metadata(path)
        for root in roots
        for path in sorted((root / _FOLDER / "svg").rglob("*.svg"))
    }
    pictures = [
        (root / _FOLDER / "png", path) for root in roots for path in sorted(root.glob(f"{_FOLDER}/png/**/*.png"))
    ]
    for name, found in zip(PACKAGES, (pictures, metadata), strict=True):
        if not found:
            raise InputError(f"--packages: the files of {name} are missing; both are needed: {' and '.join(PACKAGES)}")
    titles = Counter(entry.title for entry in metadata.values())
    for folder, path in pictures:
        inner = path.relative_to(folder).with_suffix("")
        said = metadata.get(inner.as_posix(), _Metadata())
        caption = said.title if 0 < titles[said.title] <= _MOST_OF_TITLE else ""
        caption = _words(caption) or _words(_without_author(inner.name, said.creator))
        if said.license and "publicdomain" not in said.license.lower():
            skip("under other licenses")
        elif not caption:
            skip("without a word in their names")
        else:
            yield _depicted(path, inner, caption, said)


def _depicted(path: Path, inner: Path, caption: str, said: _Metadata) -> Depicted:
    return Depicted(
        id=re.sub(r"[^\w.+-]+", "_", "-".join(inner.parts)),
        image=path,
        captions=[("en", caption)],
        concept=concept_of(caption),
        group=inner.parts[0] if len(inner.parts) > 1 else "",
        license="public domain",
        attribution=said.creator or "Open Clip Art",
    )


def _metadata(path: Path) -> _Metadata:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    text = text if len(text) <= 2 * _HEAD else text[:_HEAD] + text[-_HEAD:]
    found = [pattern.search(text) for pattern in (_TITLE, _CREATOR, _LICENSE)]
    return _Metadata(*(" ".join(unescape(match[1]).split()) if match else "" for match in found))


def _without_author(name: str, creator: str) -> str:
    """The name of a file without its number and without its author, who may be cut ("ant_architetto_frances_01")."""
    first = re.split(r"[^\w]+", creator.casefold())[0]
    if first and (place := name.casefold().find(f"_{first[:8]}")) > 0:
        return name[:place]
    return name


def _words(name: str) -> str:
    """A title or the name of a file as words: without underscores, numbers and marks of size and origin."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " ").replace("-", " "))
    name = re.sub(r"\(.*?\)|\b[\w.]*\d[\w.]*\b|\b(md|ch|bw)\b", " ", name)
    return " ".join(re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", name))
