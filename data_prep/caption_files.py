"""Captions of photographs in the published formats: COCO, Karpathy's splits, Flickr8k and Flickr30k."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.picture_corpus import Depicted
from s2s.data.text_lines import read_text_lines
from s2s.errors import InputError
from s2s.json_files import inside, read_object

_FLICKR8K = re.compile(r"(?P<file>.+)#\d+\t(?P<caption>.*)")
_FLICKR30K = re.compile(r"(?P<file>[^|]+)\| *\d+ *\|(?P<caption>.*)")
_SPLITS = {"train": "train", "restval": "train", "val": "valid", "valid": "valid", "test": "test"}
"""Karpathy's names of splits; restval are pictures of COCO's validation that he trains with."""


def read_captions(captions: Path, images: Path, language: str, split: str | None) -> Iterator[Depicted]:
    """The pictures of a file of captions.

    Args:
        captions: COCO's captions_*.json; Karpathy's dataset_*.json; or lines of Flickr: `FILE#N<tab>CAPTION`,
            `FILE| N| CAPTION`, or a table of two columns whose first line is `image,caption`.
        images: Folder of the pictures.
        language: Of all captions.
        split: Of all pictures; None: what the file says, or by concept.

    Raises:
        InputError: the file is of no such format, or a picture is missing.
    """
    if captions.suffix.lower() == ".json":
        found = read_object(captions)
        read = _coco if "annotations" in found else _karpathy
        try:
            entries = list(read(found, captions))
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{captions}: must be captions of COCO or splits of Karpathy; missing: {error}") from error
    else:
        entries = list(_flickr(captions))
    for name, texts, license_name, attribution, own in entries:
        image = inside(images, name, captions)
        if not image.is_file():
            raise InputError(f"{captions}: names a picture that is missing: {image}")
        identity = re.sub(r"[^\w.+-]+", "_", Path(name).with_suffix("").as_posix())
        pairs = [(language, text) for text in texts]
        yield Depicted(identity, image, pairs, f"photo {identity}", "", license_name, attribution, split or own)


_Entry = tuple[str, list[str], str, str, str | None]
"""File, captions, license, attribution and split of a picture."""


def _coco(found: dict[str, Any], path: Path) -> Iterator[_Entry]:
    licenses = {entry["id"]: str(entry.get("name") or entry.get("url")) for entry in found.get("licenses", [])}
    texts: dict[Any, list[str]] = {entry["id"]: [] for entry in found["images"]}
    for entry in found["annotations"]:
        if entry["image_id"] not in texts:
            raise InputError(f"{path}: has a caption of a picture that it does not list: {entry['image_id']}")
        texts[entry["image_id"]].append(str(entry["caption"]))
    for entry in found["images"]:
        origin = str(entry.get("flickr_url") or entry.get("coco_url") or "")
        yield str(entry["file_name"]), texts[entry["id"]], licenses.get(entry.get("license"), "unknown"), origin, None


def _karpathy(found: dict[str, Any], path: Path) -> Iterator[_Entry]:
    for entry in found["images"]:
        if entry["split"] not in _SPLITS:
            raise InputError(f"{path}: 'split' must be {', '.join(_SPLITS)}, found {entry['split']!r}")
        name = str(Path(entry.get("filepath", "")) / entry["filename"])
        texts = [str(sentence["raw"]) for sentence in entry["sentences"]]
        yield name, texts, "unknown", "", _SPLITS[entry["split"]]


def _flickr(path: Path) -> Iterator[_Entry]:
    texts: dict[str, list[str]] = {}
    lines = iter(read_text_lines(path))
    first = next(lines, ("", ""))[1]
    table = [cell.strip() for cell in first.split(",")] == ["image", "caption"]
    if not table and not first.startswith("image_name|"):
        lines = iter(read_text_lines(path))
    for where, line in lines:
        if table:
            cells = next(csv.reader([line]), [])
            file, caption = (cells[0], ",".join(cells[1:])) if len(cells) > 1 else ("", "")
        else:
            match = _FLICKR8K.fullmatch(line) or _FLICKR30K.fullmatch(line)
            file, caption = (match["file"], match["caption"]) if match else ("", "")
        if not file:
            raise InputError(f"{where}: expected FILE#N, a tab and a caption, or FILE| N| CAPTION, found {line[:80]!r}")
        texts.setdefault(file.strip(), []).append(caption.strip())
    for file, captions in texts.items():
        yield file, captions, "unknown", "", None
