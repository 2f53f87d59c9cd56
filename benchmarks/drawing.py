"""Drawing: a LatentLM beside a DiT at equal budget, judged by classifiers of our own, by numbers of steps.

    python benchmarks/drawing.py /tmp/digits --sheet docs/digits.png --guidance 1 2
    unilatent prepare emoji data/emoji-combinations --combinations --size 32 --test-percent 40
    python benchmarks/drawing.py runs/emoji --emoji data/emoji-combinations --updates 1500 --count 2 --sheet emoji.png

Without --emoji: scikit-learn's 1,797 digits of 8 x 8 pixels. Trains a tokenizer and both models on the training part,
draws the texts of the test part, and prints a table. The classifiers learn from the same real training pictures;
`right` is the share of pictures that they take for what was asked for, `distance` the Fréchet distance of hidden units
between drawn and test pictures (as FID, with another network: numbers of other papers do not compare).

The test pictures of emoji are combinations that training lacks: both parts of a name are there, but not together.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from drawing_sets import DrawingSet, Judge, Parts, digits, emoji

from latent.drawing.painter import Painter
from latent.image_encoding import encode_pictures
from latent.image_tokenizer import load_image_tokenizer
from latent.images.files import Pixels, contact_sheet, write_image
from s2s.packages import load
from s2s.run import load_config, train_run

STEPS = (1, 2, 3, 5, 10, 20)
MODELS = {"LatentLM": "text_to_image_small", "DiT": "text_to_image_dit"}
LATENT_LM = ["model.num_kv_heads=4", "model.head.num_layers=2"]
_BATCH = 300
_BANDS = 2
"""Rows of real pictures in a contact sheet."""


def train(folder: Path, given: DrawingSet, updates: int) -> None:
    """Train what is not trained yet: the tokenizer, then both models on its latents."""
    lists = [f"task.{split}={given.lists}/{split}.jsonl" for split in ("train", "valid")]
    shape = [f"task.image_size={given.size}", f"task.channels={given.channels}"]
    train_run(load_config("sigma_vae_images", [*lists, *shape, *given.tokenizer]), folder / "tokenizer")
    for split in ("train", "valid"):
        if not (folder / "latents" / split / "store.json").exists():
            encode_pictures([given.lists / f"{split}.jsonl"], folder / "tokenizer", folder / "latents" / split)
    stores = [f"task.{split}={folder}/latents/{split}" for split in ("train", "valid")]
    for name, config in MODELS.items():
        own = LATENT_LM if name == "LatentLM" else []
        options = [*stores, *given.sizes, *own, f"train.max_steps={updates}"]
        train_run(load_config(config, options), folder / name)


def draw(
    run: Path, texts: Sequence[str], seeds: Sequence[int], steps: int, guidance: float
) -> tuple[list[Pixels], float]:
    """A picture of each text, and the seconds of one."""
    options = [f"decoder.num_inference_steps={steps}", f"decoder.guidance_scale={guidance:g}"]
    painter = Painter.open(run, overrides=options)
    requests = [painter.request(str(n), *pair) for n, pair in enumerate(zip(texts, seeds, strict=True))]
    begun, drawn = time.process_time(), list[Pixels]()
    for start in range(0, len(requests), _BATCH):
        drawn += painter.draw(requests[start : start + _BATCH])
    return drawn, (time.process_time() - begun) / len(drawn)


def reconstructed(folder: Path, pictures: Sequence[Pixels]) -> list[Pixels]:
    """Pictures encoded and decoded by the tokenizer alone: the best that the models can reach."""
    torch: Any = load("torch", "")
    tokenizer = load_image_tokenizer(folder / "tokenizer")
    with torch.inference_mode():
        return list(tokenizer.decode(tokenizer.encode(torch.from_numpy(np.stack(pictures)))).numpy())


def line(name: str, how: Sequence[str], right: Mapping[str, float], distance: float, cost: str = "–") -> str:
    """A line of the table; `how` are steps and guidance."""
    judged = ["–" if math.isnan(value) else f"{value:.1f}" for value in [*right.values(), distance]]
    return f"| {' | '.join([name, *how, *judged, cost])} |"


def asked_of(given: DrawingSet, count: int) -> tuple[list[str], list[Parts], list[int]]:
    """Each different text of the test pictures `count` times, with its parts and a seed."""
    found = {picture.text: parts for picture, parts in zip(*given.read("test"), strict=True)}
    asked = [(text, found[text], 1000 * place + n) for place, text in enumerate(sorted(found)) for n in range(count)]
    return [text for text, _, _ in asked], [parts for _, parts, _ in asked], [seed for _, _, seed in asked]


def shown(given: DrawingSet, texts: Sequence[str], drawn: Mapping[str, Sequence[Pixels]]) -> list[Pixels]:
    """What the contact sheet holds: drawings of each digit; or a row of real pictures, and one of each model below."""
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    if given.channels == 1:
        return [-drawn["LatentLM"][place + n] for place in sorted(first.values()) for n in range(given.columns)]
    pictures, _ = given.read("test")
    spread = sorted(first)[:: max(1, len(first) // (_BANDS * given.columns))][: _BANDS * given.columns]
    real = {picture.text: picture for picture in reversed(pictures)}
    rows = [given.pixels([real[text] for text in spread])]
    rows += [[pictures[first[text]] for text in spread] for pictures in drawn.values()]
    starts = range(0, len(spread), given.columns)
    return [picture for start in starts for row in rows for picture in row[start : start + given.columns]]


def write_sheet(path: Path, pictures: Sequence[Pixels], given: DrawingSet) -> None:
    """The contact sheet, as a PNG file."""
    large = [np.kron(picture, np.ones((1, given.scale, given.scale), np.float32)) for picture in pictures]
    write_image(path, contact_sheet(large, given.columns, gap=4))


def main() -> None:
    """Train, draw, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--emoji", type=Path, help="folder of `unilatent prepare emoji --combinations`; else digits")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--count", type=int, default=30, help="pictures of each text; 10 at least for the sheet")
    parser.add_argument("--guidance", type=float, nargs="+", default=[2.0])
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="runs that draw too, trained elsewhere")
    parser.add_argument("--sheet", type=Path, help="PNG of drawings with most steps")
    options = parser.parse_args()
    given = digits(options.folder) if options.emoji is None else emoji(options.emoji)
    train(options.folder, given, options.updates)
    learned, test = (given.read(split) for split in ("train", "test"))
    kinds = dict.fromkeys(kind for parts in test[1] for kind in parts)
    judge, real = Judge(given.pixels(learned[0]), learned[1], kinds, given.hidden, given.rounds), given.pixels(test[0])
    half, again = len(real) // 2, reconstructed(options.folder, real)
    right, none = judge.right(again, test[1]), ["–", "–"]
    print(f"| | steps | guidance | {' | '.join(right)} | distance | ms a picture |\n|{'---|' * (5 + len(right))}")
    distance = judge.distance(real[:half], real[half:])
    print(
        line("half of the test pictures, beside the others", none, judge.right(real[:half], test[1][:half]), distance)
    )
    print(line("all test pictures through the tokenizer", none, right, judge.distance(again, real)))
    texts, parts, seeds = asked_of(given, options.count)
    last: dict[str, list[Pixels]] = {}
    runs = {name: options.folder / name for name in MODELS} | {run.name: run for run in options.also}
    for name, guidance, steps in itertools.product(runs, options.guidance, STEPS):
        last[name], seconds = draw(runs[name], texts, seeds, steps, guidance)
        right, distance = judge.right(last[name], parts), judge.distance(last[name], real)
        print(line(name, [f"{steps}", f"{guidance:g}"], right, distance, f"{1000 * seconds:.1f}"), flush=True)
    if options.sheet:
        write_sheet(options.sheet, shown(given, texts, last), given)


if __name__ == "__main__":
    main()
