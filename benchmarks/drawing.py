"""Drawing digits: a LatentLM beside a DiT at equal budget, judged by a classifier of our own, by numbers of steps.

    python benchmarks/drawing.py /tmp/digits --sheet docs/digits.png --guidance 1 2

Writes scikit-learn's 1,797 digits of 8 x 8 pixels as lists of pictures, trains a tokenizer and both models on the
training part, draws digits of each class and prints a table. The classifier, a network of 64 hidden units, learns from
the same training pictures; `right` is the share of pictures that it takes for what was asked for, `distance` the
Fréchet distance of its hidden units between drawn and test pictures (as FID, with another network: numbers of other
papers do not compare).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latent.drawing.painter import Painter
from latent.image_encoding import encode_pictures
from latent.image_tokenizer import load_image_tokenizer
from latent.images.files import Pixels, contact_sheet, write_image
from s2s.packages import load
from s2s.run import load_config, train_run

SPLITS = {"train": (0, 1257), "valid": (1257, 1437), "test": (1437, 1797)}
"""The order is that of the writers, so those of the test part are in no other."""
STEPS = (1, 2, 3, 5, 10, 20)
MODELS = {"LatentLM": "text_to_image_small", "DiT": "text_to_image_dit"}
SIZES = ["model.hidden_size=64", "model.num_layers=3", "model.num_heads=4", "model.intermediate_size=176"]
LATENT_LM = ["model.num_kv_heads=4", "model.head.num_layers=2"]
TOKENIZER = [
    "task.image_size=8",
    "task.channels=1",
    "model.widths=[32,64]",
    "model.latent_size=4",
    "train.max_tokens=2048",
]

Floats = NDArray[np.float64]


def write_lists(folder: Path) -> tuple[Floats, NDArray[np.int64]]:
    """Write the digits and their lists; returns all pixels, from -1 to 1, and labels."""
    digits = load("sklearn.datasets", "").load_digits()
    pixels, labels = digits.images / 8 - 1, digits.target
    for split, (start, stop) in SPLITS.items():
        lines = []
        for index in range(start, stop):
            name = f"png/{index}.png"
            if not (folder / name).exists():
                (folder / "png").mkdir(parents=True, exist_ok=True)
                write_image(folder / name, pixels[index][None].astype(np.float32))
            lines.append(json.dumps({"id": str(index), "image": name, "text": str(labels[index])}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return pixels.reshape(len(pixels), -1), labels


class Classifier:
    """A network with one hidden layer, of pixels from -1 to 1 as rows of 64."""

    def __init__(self, pixels: Floats, labels: NDArray[np.int64]) -> None:
        network = load("sklearn.neural_network", "").MLPClassifier((64,), max_iter=400, random_state=0)
        self._network: Any = network.fit(pixels, labels)

    def right(self, pixels: Floats, labels: NDArray[np.int64]) -> float:
        """Percentage of pictures that it takes for what they should be."""
        return 100 * float((self._network.predict(pixels) == labels).mean())

    def distance(self, some: Floats, others: Floats) -> float:
        """Fréchet distance between the Gaussians of hidden units of two sets of pictures."""
        hidden = [
            np.maximum(0, part @ self._network.coefs_[0] + self._network.intercepts_[0]) for part in (some, others)
        ]
        (mean, covariance), (other, another) = ((part.mean(0), np.cov(part.T)) for part in hidden)
        root = np.sqrt(np.clip(np.linalg.eigvals(covariance @ another).real, 0, None)).sum()
        return float(np.square(mean - other).sum() + np.trace(covariance) + np.trace(another) - 2 * root)


def train(folder: Path, updates: int) -> None:
    """Train what is not trained yet: the tokenizer, then both models on its latents."""
    lists = [f"task.{split}={folder}/{split}.jsonl" for split in ("train", "valid")]
    train_run(load_config("sigma_vae_images", [*lists, *TOKENIZER]), folder / "tokenizer")
    for split in ("train", "valid"):
        if not (folder / "latents" / split / "store.json").exists():
            encode_pictures([folder / f"{split}.jsonl"], folder / "tokenizer", folder / "latents" / split)
    stores = [f"task.{split}={folder}/latents/{split}" for split in ("train", "valid")]
    for name, config in MODELS.items():
        own = LATENT_LM if name == "LatentLM" else []
        given = [*stores, *SIZES, *own, f"train.max_steps={updates}", "optim.lr=2e-3", "train.max_tokens=1024"]
        train_run(load_config(config, given), folder / name)


def draw(run: Path, steps: int, guidance: float, count: int) -> tuple[list[Pixels], float]:
    """`count` pictures of each digit, one digit after the other, and the seconds of one."""
    options = [f"decoder.num_inference_steps={steps}", f"decoder.guidance_scale={guidance:g}"]
    painter = Painter.open(run, overrides=options)
    requests = [
        painter.request(f"{digit}-{n}", str(digit), 1000 * digit + n) for digit in range(10) for n in range(count)
    ]
    begun = time.process_time()
    drawn = painter.draw(requests)
    return drawn, (time.process_time() - begun) / len(drawn)


def rows(pictures: list[Pixels]) -> Floats:
    """Pictures as rows of pixels from -1 to 1."""
    return np.clip(np.stack(pictures).reshape(len(pictures), -1), -1, 1).astype(np.float64)


def reconstructed(folder: Path, pixels: Floats) -> Floats:
    """Pictures encoded and decoded by the tokenizer alone: the best that the models can reach."""
    torch: Any = load("torch", "")
    tokenizer = load_image_tokenizer(folder / "tokenizer")
    with torch.inference_mode():
        images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8)
        return rows(list(tokenizer.decode(tokenizer.encode(images)).numpy()))


def main() -> None:
    """Train, draw, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--count", type=int, default=30, help="pictures of each digit")
    parser.add_argument("--guidance", type=float, nargs="+", default=[2.0])
    parser.add_argument("--sheet", type=Path, help="PNG of ten pictures of each digit by the LatentLM with most steps")
    given = parser.parse_args()
    pixels, labels = write_lists(given.folder)
    train(given.folder, given.updates)
    (start, stop), (first, last) = SPLITS["train"], SPLITS["test"]
    judge = Classifier(pixels[start:stop], labels[start:stop])
    real, classes = pixels[first:last], labels[first:last]
    asked = np.repeat(np.arange(10), given.count)
    print("| | steps | guidance | right | distance | ms a picture |\n|---|---|---|---|---|---|")
    half, again = len(real) // 2, reconstructed(given.folder, real)
    for name, some, others in (
        ("half of the test pictures, beside the others", real[:half], real[half:]),
        ("all test pictures through the tokenizer", again, real),
    ):
        right = judge.right(some, classes[: len(some)])
        print(f"| {name} | – | – | {right:.1f} | {judge.distance(some, others):.1f} | – |")
    for name in MODELS:
        for guidance in given.guidance:
            for steps in STEPS:
                drawn, seconds = draw(given.folder / name, steps, guidance, given.count)
                found = judge.right(rows(drawn), asked), judge.distance(rows(drawn), real)
                print(
                    f"| {name} | {steps} | {guidance:g} | {found[0]:.1f} | {found[1]:.1f} | {1000 * seconds:.1f} |",
                    flush=True,
                )
        if given.sheet and name == "LatentLM":
            shown = [drawn[digit * given.count + n] for digit in range(10) for n in range(10)]
            large = [np.kron(-picture, np.ones((1, 4, 4), np.float32)) for picture in shown]
            write_image(given.sheet, contact_sheet(large, 10, gap=4))


if __name__ == "__main__":
    main()
