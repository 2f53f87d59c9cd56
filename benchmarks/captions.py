"""Baselines of captions, and a picture of what a model writes.

    python benchmarks/captions.py TRAIN.jsonl... --test TEST.jsonl --output FOLDER
    python benchmarks/captions.py TRAIN.jsonl... --test TEST.jsonl --output FOLDER --captions OURS.jsonl --sheet X.png

Writes files of captions for the records of TEST, which `unilatent evaluate --task captions` compares: `nearest.jsonl`
has the caption of the training picture in the same language whose pixels, 32 x 32, differ least; `unigram.jsonl` the
most frequent words of the language, as many as its captions have in the middle. With --vision-encoder FOLDER,
`nearest_features.jsonl` is the first by the angle between features (means over places, less their mean in training).
The sheet shows test pictures with what OURS says, and their true captions. Printed is how many captions are true in
every word, upper and lower case aside.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latent.data.captions import Pictured
from latent.images.vision_encoder import VisionEncoder
from s2s.data.records import open_records
from s2s.data.words import words

SIZE = 32
COLUMNS, SHOWN, WIDTH = 6, 24, 30
Rows = list[tuple[str, dict[str, Any]]]
Vectors = NDArray[np.float32]


def vectors_of(train: Rows, test: Rows, read: Callable[[Pictured], Vectors]) -> tuple[Vectors, Vectors]:
    """What is read of test and training pictures, `(N, D)` each; each file is read once."""
    known: dict[Path, Vectors] = {}

    def stacked(rows: Rows) -> Vectors:
        pictures = [Pictured.of(record, where) for where, record in rows]
        for picture in pictures:
            if picture.image not in known:
                known[picture.image] = read(picture)
        return np.stack([known[picture.image] for picture in pictures])

    return stacked(test), stacked(train)


def pixels_of(train: Rows, test: Rows) -> tuple[Vectors, Vectors]:
    """The pixels of test and training pictures, `(N, 3 * SIZE * SIZE)`."""
    return vectors_of(train, test, lambda picture: picture.pixels(SIZE, 3).ravel())


def features_of(train: Rows, test: Rows, encoder: VisionEncoder, size: int) -> tuple[Vectors, Vectors]:
    """The features of test and training pictures of `size` pixels a side, as vectors of length 1."""
    ours, theirs = vectors_of(train, test, lambda picture: encoder(picture.pixels(size, 3)).mean((1, 2)))
    middle = theirs.mean(0)
    ours, theirs = ((rows - middle) / np.linalg.norm(rows - middle, axis=1, keepdims=True) for rows in (ours, theirs))
    return ours, theirs


def nearest(train: Rows, test: Rows, vectors: tuple[Vectors, Vectors]) -> list[str]:
    """The caption of the nearest training picture in the same language, for each record."""
    ours, theirs = vectors
    distances = (theirs**2).sum(1) - 2 * ours @ theirs.T  # without what all have in common
    languages = [np.array([record.get("language", "") for _, record in rows]) for rows in (test, train)]
    distances[languages[0][:, None] != languages[1]] = np.inf
    return [str(train[index][1]["tgt"]) for index in distances.argmin(1)]


def unigrams(train: Rows, test: Rows) -> list[str]:
    """The most frequent words of a language, for each record."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    lengths: dict[str, list[int]] = defaultdict(list)
    for _, record in train:
        found = words(record["tgt"])
        counts[record.get("language", "")].update(found)
        lengths[record.get("language", "")].append(len(found))
    texts = {
        language: " ".join(word for word, _ in found.most_common(round(statistics.median(lengths[language]))))
        for language, found in counts.items()
    }
    return [texts[record.get("language", "")] for _, record in test]


def write(path: Path, test: Rows, texts: list[str]) -> None:
    print(f"{path}: {share_true(test, texts):.1%} true")
    lines = [{"id": record["id"], "tgt": text} for (_, record), text in zip(test, texts, strict=True)]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def share_true(test: Rows, texts: Iterable[str]) -> float:
    """The share of captions that are those of the records, upper and lower case aside."""
    pairs = zip(test, texts, strict=True)
    return statistics.mean(text.casefold() == str(record["tgt"]).casefold() for (_, record), text in pairs)


def draw(path: Path, test: Rows, said: dict[str, str]) -> None:
    """Some test pictures in English, each with what was said and with its caption."""
    from matplotlib import pyplot

    chosen = [row for row in test if row[1].get("language", "en") == "en"]
    chosen = random.Random(0).sample(chosen, min(SHOWN, len(chosen)))
    figure, axes = pyplot.subplots(-(-len(chosen) // COLUMNS), COLUMNS, figsize=(2 * COLUMNS, 2.5 * SHOWN / COLUMNS))
    for axis in axes.flat:
        axis.axis("off")
    for axis, (where, record) in zip(axes.flat, chosen, strict=False):
        axis.imshow((Pictured.of(record, where).pixels(64, 3).transpose(1, 2, 0) + 1) / 2)
        lines = (textwrap.fill(text, WIDTH) for text in (said[record["id"]], f"({record['tgt']})"))
        axis.set_title("\n".join(lines), fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="+")
    parser.add_argument("--test", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--vision-encoder", help="folder or hub id of a network that transformers reads")
    parser.add_argument("--image-size", type=int, default=128, help="pixels a side that it sees")
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    train: Rows = [row for name in given.train for row in open_records(name, "train")]
    test: Rows = list(open_records(given.test, "test"))
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "nearest.jsonl", test, nearest(train, test, pixels_of(train, test)))
    if given.vision_encoder:
        encoder = VisionEncoder(given.vision_encoder, given.image_size)
        vectors = features_of(train, test, encoder, given.image_size)
        write(given.output / "nearest_features.jsonl", test, nearest(train, test, vectors))
    write(given.output / "unigram.jsonl", test, unigrams(train, test))
    if given.captions and given.sheet:
        said = {record["id"]: record["tgt"] for _, record in open_records(given.captions, "test")}
        print(f"{given.captions}: {share_true(test, (said[record['id']] for _, record in test)):.1%} true")
        draw(given.sheet, test, said)


if __name__ == "__main__":
    main()
