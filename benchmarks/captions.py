"""Baselines of captions, and a picture of what a model writes.

    python benchmarks/captions.py TRAIN.jsonl... --test TEST.jsonl --output FOLDER
    python benchmarks/captions.py TRAIN.jsonl... --test TEST.jsonl --output FOLDER --captions OURS.jsonl --sheet X.png

Writes two files of captions for the records of TEST, which `unilatent evaluate --task captions` compares:
`nearest.jsonl` has the caption of the training picture in the same language whose pixels, 32 x 32, differ least;
`unigram.jsonl` the most frequent words of the language, as many as its captions have in the middle. The sheet shows
test pictures with what OURS says, and their true captions.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latent.data.captions import Pictured
from s2s.data.records import open_records
from s2s.data.words import words

SIZE = 32
COLUMNS, SHOWN = 6, 24
Rows = list[tuple[str, dict[str, Any]]]


def pixels_of(rows: Rows, known: dict[Path, NDArray[np.float32]]) -> NDArray[np.float32]:
    """The pixels of the pictures of records, `(N, 3 * SIZE * SIZE)`; each file is read once."""
    pictures = [Pictured.of(record, where) for where, record in rows]
    for picture in pictures:
        if picture.image not in known:
            known[picture.image] = picture.pixels(SIZE, 3).ravel()
    return np.stack([known[picture.image] for picture in pictures])


def nearest(train: Rows, test: Rows) -> list[str]:
    """The caption of the nearest training picture in the same language, for each record."""
    known: dict[Path, NDArray[np.float32]] = {}
    ours, theirs = pixels_of(test, known), pixels_of(train, known)
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
    lines = [{"id": record["id"], "tgt": text} for (_, record), text in zip(test, texts, strict=True)]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def draw(path: Path, test: Rows, said: dict[str, str]) -> None:
    """Some test pictures in English, each with what was said and with its caption."""
    from matplotlib import pyplot

    chosen = [row for row in test if row[1].get("language", "en") == "en"]
    chosen = random.Random(0).sample(chosen, min(SHOWN, len(chosen)))
    figure, axes = pyplot.subplots(-(-len(chosen) // COLUMNS), COLUMNS, figsize=(2 * COLUMNS, 2.3 * SHOWN / COLUMNS))
    for axis in axes.flat:
        axis.axis("off")
    for axis, (where, record) in zip(axes.flat, chosen, strict=False):
        axis.imshow((Pictured.of(record, where).pixels(64, 3).transpose(1, 2, 0) + 1) / 2)
        axis.set_title(f"{said[record['id']]}\n({record['tgt']})", fontsize=7, wrap=True)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="+")
    parser.add_argument("--test", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    train: Rows = [row for name in given.train for row in open_records(name, "train")]
    test: Rows = list(open_records(given.test, "test"))
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "nearest.jsonl", test, nearest(train, test))
    write(given.output / "unigram.jsonl", test, unigrams(train, test))
    if given.captions and given.sheet:
        said = {record["id"]: record["tgt"] for _, record in open_records(given.captions, "test")}
        draw(given.sheet, test, said)


if __name__ == "__main__":
    main()
