"""What `benchmarks/drawing.py` draws, and who judges it: digits, or emoji whose names combine parts.

Both are lists of pictures (`train.jsonl`, `valid.jsonl`, `test.jsonl`) whose records say in `parts` what a drawing must
show: `{"digit": "3"}`, or `{"thing": "running", "who": "woman", "tone": "dark"}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latent.data.pictures import Picture, read_pictures
from latent.images.files import Pixels, write_image
from s2s.data.jsonl import read_records
from s2s.packages import load

Floats = NDArray[np.float64]
Parts = Mapping[str, str]

DIGITS = {"train": (0, 1257), "valid": (1257, 1437), "test": (1437, 1797)}
"""The order is that of the writers, so those of the test part are in no other."""
_JUDGED_SIZE = 16
_NOTHING = ""


@dataclass(frozen=True)
class DrawingSet:
    """Pictures to learn, and how.

    Args:
        lists: Folder of the lists.
        size, channels: Of the pictures.
        tokenizer: Options of its training.
        sizes: Options of both models.
        hidden: Units of the networks that judge.
        rounds: How often these read the training pictures, at most.
        columns: Of the contact sheet.
        scale: How much larger its pictures are.
    """

    lists: Path
    size: int
    channels: int
    tokenizer: Sequence[str]
    sizes: Sequence[str]
    hidden: int
    rounds: int
    columns: int
    scale: int

    def read(self, split: str) -> tuple[list[Picture], list[Parts]]:
        """The pictures of a split, and the parts of each."""
        path = self.lists / f"{split}.jsonl"
        return read_pictures(path), [dict(record["parts"]) for _, record in read_records(path)]

    def pixels(self, pictures: Sequence[Picture]) -> list[Pixels]:
        """Their pixels `(C, S, S)`."""
        return [picture.pixels(self.size, self.channels) for picture in pictures]


def digits(folder: Path) -> DrawingSet:
    """scikit-learn's 1,797 digits of 8 x 8 pixels; writes them and their lists."""
    found = load("sklearn.datasets", "").load_digits()
    (folder / "png").mkdir(parents=True, exist_ok=True)
    for split, (start, stop) in DIGITS.items():
        lines = []
        for index in range(start, stop):
            name, digit = f"png/{index}.png", str(found.target[index])
            if not (folder / name).exists():
                write_image(folder / name, (found.images[index] / 8 - 1)[None].astype(np.float32))
            record = {"id": str(index), "image": name, "text": digit, "parts": {"digit": digit}}
            lines.append(json.dumps(record) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    tokenizer = ["model.widths=[32,64]", "model.latent_size=4", "train.max_tokens=2048"]
    sizes = ["model.hidden_size=64", "model.num_layers=3", "model.num_heads=4", "model.intermediate_size=176"]
    more = ["optim.lr=2e-3", "train.max_tokens=1024"]
    return DrawingSet(folder, 8, 1, tokenizer, [*sizes, *more], hidden=64, rounds=400, columns=10, scale=4)


def emoji(lists: Path) -> DrawingSet:
    """What `unilatent prepare emoji --combinations` has written; 16 latents of 24 numbers for 32 x 32 pixels."""
    tokenizer = ["model.widths=[24,48,96,96]", "model.latent_size=24", "train.max_tokens=32768"]
    tokenizer += ["train.max_steps=1200", "optim.lr=2e-3"]
    sizes = ["model.hidden_size=128", "model.num_layers=4", "model.num_heads=4", "model.intermediate_size=352"]
    more = ["optim.lr=2e-3", "train.max_tokens=2048", "train.validate_every=1000"]
    return DrawingSet(lists, 32, 3, tokenizer, [*sizes, *more], hidden=128, rounds=60, columns=12, scale=2)


class Judge:
    """A network with one hidden layer for each of some kinds of parts, which learns from pictures `(C, S, S)`."""

    def __init__(
        self, pictures: Sequence[Pixels], parts: Sequence[Parts], kinds: Iterable[str], hidden: int, rounds: int
    ) -> None:
        network = load("sklearn.neural_network", "").MLPClassifier
        self._networks: dict[str, Any] = {
            kind: network((hidden,), max_iter=rounds, random_state=0).fit(
                rows(pictures), [one.get(kind, _NOTHING) for one in parts]
            )
            for kind in kinds
        }

    def right(self, pictures: Sequence[Pixels], parts: Sequence[Parts]) -> dict[str, float]:
        """Percentage of pictures that it takes for what they should be, in all parts; and in each kind, of those that
        have one, NaN without any.
        """
        all_right, found = np.ones(len(parts), bool), dict[str, float]()
        for kind, network in self._networks.items():
            wanted = np.array([one.get(kind, _NOTHING) for one in parts])
            right = network.predict(rows(pictures)) == wanted
            all_right &= right
            asked = right[wanted != _NOTHING]
            found[kind] = 100 * float(asked.mean()) if len(asked) else math.nan
        return {"right": 100 * float(all_right.mean()), **(found if len(found) > 1 else {})}

    def distance(self, some: Sequence[Pixels], others: Sequence[Pixels]) -> float:
        """Fréchet distance between the Gaussians of hidden units of two sets of pictures, for the first kind."""
        network = next(iter(self._networks.values()))
        hidden = [np.maximum(0, rows(part) @ network.coefs_[0] + network.intercepts_[0]) for part in (some, others)]
        (mean, covariance), (other, another) = ((part.mean(0), np.cov(part.T)) for part in hidden)
        root = np.sqrt(np.clip(np.linalg.eigvals(covariance @ another).real, 0, None)).sum()
        return float(np.square(mean - other).sum() + np.trace(covariance) + np.trace(another) - 2 * root)


def rows(pictures: Sequence[Pixels]) -> Floats:
    """Pictures `(C, S, S)` as rows of pixels from -1 to 1; those of more than 16 a side are halved."""
    stack = np.clip(np.stack(pictures), -1, 1).astype(np.float64)
    while stack.shape[2] > _JUDGED_SIZE:
        stack = (stack[:, :, ::2] + stack[:, :, 1::2]) / 2
        stack = (stack[..., ::2] + stack[..., 1::2]) / 2
    return stack.reshape(len(stack), -1)
