"""Tiny pictures with names, and models of them with random weights, as files on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from latent.image_encoding import encode_pictures
from latent.images.files import write_image
from s2s.run import RunConfig, parse_config, train_run

NAMES = ("square", "cross", "frame", "stripe")


def shape(name: str, size: int = 8) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Pixels `(1, size, size)` of one of `NAMES`, white on black."""
    places = np.arange(size)
    row, column = np.meshgrid(places, places, indexing="ij")
    middle = (places >= 2) & (places < size - 2)
    drawn = {
        "square": np.outer(middle, middle),
        "cross": (row == column) | (row + column == size - 1),
        "frame": (row % (size - 1) == 0) | (column % (size - 1) == 0),
        "stripe": row % 4 < 2,
    }[name]
    return np.where(drawn, 1, -1).astype(np.float32)[None]


def write_pictures(folder: Path, copies: int = 1) -> Path:
    """Each of the shapes some times, and a list of them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in NAMES:
        for copy in range(copies):
            write_image(folder / f"{name}{copy}.png", shape(name))
            lines.append({"id": f"{name}{copy}", "image": f"{name}{copy}.png", "text": name})
    (folder / "pictures.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "pictures.jsonl"


def tokenizer_config(pictures: Path, **model: Any) -> RunConfig:
    """`model` replaces options of a convolutional tokenizer; None leaves one out."""
    sizes = {"name": "image_sigma_vae", "widths": [8, 12], "latent_size": 4, **model}
    return parse_config(
        {
            "task": {
                "name": "image_autoencoding",
                "train": str(pictures),
                "valid": str(pictures),
                "image_size": 8,
                "channels": 1,
            },
            "model": {name: value for name, value in sizes.items() if value is not None},
            "train": {"max_steps": 2, "max_tokens": 128, "device": "cpu"},
        }
    )


def drawing_config(store: Path, **parts: Any) -> RunConfig:
    """A LatentLM, or with `dit=True` a DiT, that learns from a store; other `parts` are options of the task."""
    dit = parts.pop("dit", False)
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24}
    small = {"num_kv_heads": 2, "head": {"num_layers": 1}, "max_positions": 40}
    return parse_config(
        {
            "task": {"name": "image_generation", "train": str(store), "valid": str(store), **parts},
            "model": {"name": "dit", **sizes} if dit else {"name": "latent_lm", **sizes, **small},
            **({"criterion": {"name": "diffusion"}, "decoder": {"name": "diffusion"}} if dit else {}),
            "train": {"max_steps": 2, "max_tokens": 80, "device": "cpu"},
        }
    )


def write_store(folder: Path, copies: int = 1) -> Path:
    """The latents of the shapes by a tokenizer that has hardly learned, as a store."""
    train_run(tokenizer_config(write_pictures(folder / "pictures", copies)), folder / "tokenizer")
    encode_pictures([folder / "pictures/pictures.jsonl"], folder / "tokenizer", folder / "store")
    return folder / "store"


def write_painter(folder: Path, dit: bool = False) -> Path:
    """A run folder that draws, after two updates."""
    store = folder / "store" if (folder / "store").exists() else write_store(folder)
    run = folder / ("dit" if dit else "painter")
    train_run(drawing_config(store, dit=dit), run)
    return run
