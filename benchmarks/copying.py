"""Copying words that the vocabulary lacks: exact matches with each copy head and without one.

    python benchmarks/copying.py /tmp/copying --unknown 0.3 --steps 600

Makes sentences of 4 to 8 words, of which a share, and at least one, are random letters that no other sentence has. The
target is the source with its first word replaced. A tiny encoder-decoder is trained for each head; a line has the exact
matches on 200 new sentences, by beam search, and how many of their known words are right, place by place.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import string
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from s2s.generation.generator import Generator
from s2s.run import parse_config, train_run

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
KNOWN = [f"k{number}" for number in range(40)]
VOCABULARY = [*SPECIAL, "who", *KNOWN]
NETWORKS: dict[str, dict[str, Any]] = {
    "transformer": {"encoder_layers": 1, "decoder_layers": 1, "num_heads": 4, "intermediate_size": 128},
    "gru": {"name": "recurrent_encoder_decoder", "embedding_size": 64},
}
"""Options of the model by name of the network."""


def sentences(count: int, unknown: float, generator: random.Random) -> list[dict[str, str]]:
    """Pairs with a share of unknown words, at least one of them in each target."""
    made: list[dict[str, str]] = []
    while len(made) < count:
        words = [
            "".join(generator.choices(string.ascii_lowercase, k=6))
            if generator.random() < unknown
            else generator.choice(KNOWN)
            for _ in range(generator.randint(4, 8))
        ]
        if not set(words[1:]) <= set(KNOWN):
            made.append({"id": str(len(made)), "src": " ".join(words), "tgt": " ".join(["who", *words[1:]])})
    return made


def prepare(folder: Path, unknown: float) -> list[dict[str, str]]:
    """Write a tokenizer of whole words and the training data; returns the pairs of the test."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: id for id, word in enumerate(VOCABULARY)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(SPECIAL)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    generator = random.Random(0)
    lines = [json.dumps(pair) + "\n" for pair in sentences(4000, unknown, generator)]
    (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    return sentences(200, unknown, generator)


def outputs(folder: Path, network: str, head: str | None, steps: int, pairs: list[dict[str, str]]) -> list[str]:
    """What a model that was trained with a head writes."""
    task = {"train": str(folder / "train.jsonl"), "tokenizer": str(folder), "method": "encoder_decoder"}
    tree: dict[str, Any] = {
        "task": task | {"max_source": 16, "max_target": 16, "copying": head},
        "model": {"hidden_size": 64, "hidden_dropout": 0.0, **NETWORKS[network]},
        "optim": {"lr": 3e-3, "warmup_steps": 50},
        "train": {"max_steps": steps, "max_sentences": 48, "device": "cpu", "workers": 0},
    }
    run = folder / (head or "none")
    train_run(parse_config(tree), run)
    made = Generator.load(run, device="cpu", beam_size=3).generate([pair["src"] for pair in pairs])
    return [one.text for one in made]


def exact_match(texts: list[str], pairs: list[dict[str, str]]) -> float:
    """The share of texts that are the target."""
    return sum(text == pair["tgt"] for text, pair in zip(texts, pairs, strict=True)) / len(pairs)


def known_words(texts: list[str], pairs: list[dict[str, str]]) -> float:
    """The share of the targets' known words that a text has at the same place."""
    right: list[bool] = []
    for text, pair in zip(texts, pairs, strict=True):
        places = itertools.zip_longest(pair["tgt"].split(), text.split())
        right += [word == found for word, found in places if word in VOCABULARY]
    return sum(right) / len(right)


def main() -> None:
    """Train, decode and print a line for each head."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder for data and runs")
    parser.add_argument("--network", choices=NETWORKS, default="transformer", help="what is trained")
    parser.add_argument("--unknown", type=float, default=0.3, help="share of unknown words")
    parser.add_argument("--steps", type=int, default=600, help="updates of each model")
    arguments = parser.parse_args()
    pairs = prepare(arguments.folder, arguments.unknown)
    for head in ("pointer_generator", "hard_switch", None):
        texts = outputs(arguments.folder, arguments.network, head, arguments.steps, pairs)
        exact, known = exact_match(texts, pairs), known_words(texts, pairs)
        print(f"{head or 'none'}: {exact:.1%} exact, {known:.1%} of the known words", flush=True)


if __name__ == "__main__":
    main()
