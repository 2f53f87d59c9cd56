"""Pictures with captions to a corpus: resized files, lists split by what pictures show, and a data card."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.corpus_files import publish_together, split_of_text
from data_prep.corpus_writer import SPLITS, listed
from data_prep.picture_concepts import THUMBNAIL, families
from latent.images.files import read_still
from s2s.durable import writing
from s2s.errors import InputError
from s2s.json_files import dump_json
from s2s.packages import load

logger = logging.getLogger(__name__)

_EXTRA = "pictures"
_PER_FOLDER = 1000
"""Files in a folder: file browsers and some file systems are slow with more."""
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class Depicted:
    """A picture as its source has it.

    Args:
        id: Unique in the corpus; the name of its file.
        image: A file in any format that `latent.images.files` reads.
        captions: The language of each, and its text; the first is the one that tables count.
        concept: What it shows; pictures of one concept are in one split. See `picture_concepts.concept_of`.
        group: A category, for classifiers; empty if there is none.
        license: An SPDX identifier, or a name.
        attribution: Whom to name.
        split: The source's own split, if it has one.
        parts: What its name combines, by kind, if it does; see `emoji_combinations.parts_of`.
    """

    id: str
    image: Path
    captions: Sequence[tuple[str, str]]
    concept: str
    group: str
    license: str
    attribution: str
    split: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PictureOptions:
    """What is done to pictures, and which are kept.

    Args:
        size: Pixels of the shorter side.
        square: Make squares, with white beside what is not one; else the sides keep their ratio.
        valid_percent, test_percent: Share of concepts for these splits, where the source has none of its own.
        most_of_concept: Leave out further pictures of a concept.
        by_concept: Keep pictures of one concept, and those that look alike, in one split. Else pictures bring their
            split, and those in another than training that are also there are left out.
    """

    size: int = 64
    square: bool = True
    valid_percent: int = 10
    test_percent: int = 10
    most_of_concept: int = 20
    by_concept: bool = True

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 2048:
            raise InputError(f"--size: must be 8 to 2048 pixels, found {self.size}")
        if self.valid_percent < 0 or self.test_percent < 0 or self.valid_percent + self.test_percent >= 100:
            shares = f"{self.valid_percent} and {self.test_percent}"
            raise InputError(f"--valid-percent and --test-percent: must leave something to train on, found {shares}")


@dataclass(frozen=True)
class _Written:
    """A picture whose file was written."""

    picture: Depicted
    file: str
    thumbnail: NDArray[np.uint8]

    def lines(self, family: str) -> str:
        """Its records, one for each caption."""
        found: Counter[str] = Counter()
        lines = ""
        for language, caption in self.picture.captions:
            found[language] += 1
            number = str(found[language]) if found[language] > 1 else ""
            record = {"id": f"{self.picture.id}.{language}{number}", "image": self.file, "tgt": caption}
            facts: dict[str, Any] = {"language": language, "concept": family, "group": self.picture.group}
            facts |= {"parts": dict(self.picture.parts)} if self.picture.parts else {}
            rights = {"license": self.picture.license, "attribution": self.picture.attribution}
            lines += dump_json(record | facts | rights) + "\n"
        return lines


def write_picture_corpus(
    pictures: Iterable[Depicted],
    folder: str | Path,
    options: PictureOptions,
    title: str,
    about: Sequence[str],
    skipped: Counter[str],
) -> str:
    """Write OUT/pictures/NUMBER/ID.png, OUT/{train,valid,test}.jsonl and OUT/DATA_CARD.md; the lists come last.

    Args:
        pictures: In the order of the lists.
        folder: OUT; made if missing. An older corpus there is replaced.
        options: What to do to the pictures.
        title: First line of the data card.
        about: Paragraphs of the data card: origin, license.
        skipped: Reasons why pictures were left out before; more are added.

    Returns:
        A summary in one line.

    Raises:
        InputError: the folder cannot be written, two pictures have the same id, or none is left.
    """
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        written = _write_files(_kept(pictures, options, skipped), folder, options, skipped)
        if not written:
            raise InputError(f"{folder}: no picture to write; skipped {listed(skipped) or 'none, there was none'}")
        if not options.by_concept:
            written = _without_copies(written, folder, skipped)
        names = [entry.picture.concept for entry in written]
        if options.by_concept:
            names = families(names, np.stack([entry.thumbnail for entry in written]))
        splits: dict[str, list[tuple[_Written, str]]] = {name: [] for name in SPLITS}
        for entry, family, split in zip(written, names, _splits(written, names, options), strict=True):
            splits[split].append((entry, family))
        documents = {
            f"{name}.jsonl": "".join(entry.lines(family) for entry, family in part) for name, part in splits.items()
        }
        publish_together(folder, {**documents, "DATA_CARD.md": _card(title, about, options, splits, skipped)})
    sizes = " / ".join(f"{len(part):,}" for part in splits.values())
    left_out = f"; skipped {listed(skipped)}" if skipped else ""
    return f"{folder}: {sizes} pictures (train / valid / test) of {len(set(names)):,} concepts{left_out}"


def _kept(pictures: Iterable[Depicted], options: PictureOptions, skipped: Counter[str]) -> list[Depicted]:
    kept: dict[str, Depicted] = {}
    counts: Counter[str] = Counter()
    for picture in pictures:
        if not re.fullmatch(r"[\w.+-]+", picture.id) or picture.id.startswith("."):
            raise InputError(f"{picture.image}: its id must be a name without blanks and slashes, found {picture.id!r}")
        name = picture.id.casefold()  # some file systems ignore case
        if name in kept:
            raise InputError(f"{picture.image}: its id {picture.id!r} is also that of {kept[name].image}")
        captions = [(language, plain) for language, text in picture.captions if (plain := " ".join(text.split()))]
        counts[picture.concept] += 1
        if not captions:
            skipped["without a caption"] += 1
        elif picture.split is None and counts[picture.concept] > options.most_of_concept:
            skipped[f"beyond {options.most_of_concept} of a concept"] += 1
        else:
            kept[name] = Depicted(**{**vars(picture), "captions": captions})
    return list(kept.values())


def _write_files(
    pictures: Sequence[Depicted], folder: Path, options: PictureOptions, skipped: Counter[str]
) -> list[_Written]:
    written: list[_Written] = []
    suffix, kind = (".png", "PNG") if options.square else (".jpg", "JPEG")
    for picture in tqdm(pictures, desc=folder.name, unit=" pictures", disable=None):
        try:
            image = _resized(read_still(picture.image), options)
        except InputError as error:
            logger.warning("left out: %s", error)
            skipped["whose file cannot be read"] += 1
            continue
        if all(darkest == lightest for darkest, lightest in image.getextrema()):
            skipped["of a single color"] += 1
            continue
        file = Path(f"pictures/{len(written) // _PER_FOLDER:03d}/{picture.id}{suffix}")
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / file, kind, quality=_JPEG_QUALITY)
        thumbnail = image.resize((THUMBNAIL, THUMBNAIL), load("PIL.Image", _EXTRA).Resampling.BOX)
        written.append(_Written(picture, file.as_posix(), np.asarray(thumbnail, np.uint8).reshape(-1)))
    return written


def _without_copies(written: Sequence[_Written], folder: Path, skipped: Counter[str]) -> list[_Written]:
    """The pictures without those that another split than training shares with it: sets draw some people alike."""
    learned = {entry.thumbnail.tobytes() for entry in written if entry.picture.split == "train"}
    kept = []
    for entry in written:
        if entry.picture.split != "train" and entry.thumbnail.tobytes() in learned:
            skipped["that are in training under another name"] += 1
            (folder / entry.file).unlink()
        else:
            kept.append(entry)
    return kept


def _resized(image: Any, options: PictureOptions) -> Any:
    best = load("PIL.Image", _EXTRA).Resampling.LANCZOS
    image = image.convert("RGB")
    if options.square:
        return load("PIL.ImageOps", _EXTRA).pad(image, (options.size, options.size), best, color="white")
    ratio = options.size / min(image.size)
    width, height = (max(options.size, round(side * ratio)) for side in image.size)
    return image.resize((width, height), best)


def _splits(written: Sequence[_Written], names: Sequence[str], options: PictureOptions) -> list[str]:
    """The split of each picture; a family that has pictures in two splits of the source is in the smaller one."""
    shares = {"test": options.test_percent, "valid": options.valid_percent}
    owners: dict[str, str] = {}
    for entry, family in zip(written, names, strict=True):
        split = entry.picture.split or split_of_text(family, shares)
        owners[family] = max(owners.get(family, "train"), split, key=SPLITS.index)
    return [owners[family] for family in names]


def _card(
    title: str,
    about: Sequence[str],
    options: PictureOptions,
    splits: Mapping[str, Sequence[tuple[_Written, str]]],
    skipped: Counter[str],
) -> str:
    rows = ["| file | pictures | captions | concepts | words of a caption |", "|---|---|---|---|---|"]
    everything: list[Depicted] = []
    for name, part in splits.items():
        pictures = [entry.picture for entry, _ in part]
        words = [len(text.split()) for picture in pictures for _, text in picture.captions]
        concepts, mean = len({family for _, family in part}), float(np.mean(words or [0]))
        rows.append(f"| {name} | {len(part):,} | {len(words):,} | {concepts:,} | {mean:.1f} |")
        everything += pictures
    rights = Counter(f"{picture.license}: {picture.attribution}" for picture in everything)
    groups = Counter(picture.group for picture in everything if picture.group)
    parts = [f"# {title}", *about, "## Sizes", "\n".join(rows)]
    if options.by_concept:
        parts.append(
            "No concept is in two splits. A concept is the name of a thing in English without its variants (people, "
            "skin tones, directions, styles); pictures that look alike are of one concept. Colors tell concepts apart."
        )
    parts += [
        "## Licenses",
        f"Every record has its own. The {min(20, len(rights))} with most pictures of {len(rights):,}:",
    ]
    parts.append("\n".join(f"- {count:,} {name}" for name, count in rights.most_common(20)))
    if groups:
        parts += ["## Groups", "- " + listed(groups, "\n- ")]
    parts += ["## How it was made", "\n".join(f"- {name}: {value}" for name, value in asdict(options).items())]
    if skipped:
        parts += ["## Left out", "- " + listed(skipped, "\n- ")]
    return "\n\n".join(parts) + "\n"
