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


def write_captions(folder: Path, copies: int = 1) -> Path:
    """The same pictures as records with captions, in two languages each."""
    write_pictures(folder, copies)
    shown = [(f"{name}{copy}", name) for name in NAMES for copy in range(copies)]
    lines = [
        {"id": f"{id}-{lang}", "image": f"{id}.png", "tgt": text.format(name), "language": lang}
        for id, name in shown
        for lang, text in (("en", "a white {}"), ("de", "das helle {}"))
    ]
    (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "captions.jsonl"


def write_vision_encoder(folder: Path, size: int) -> Path:
    """A ViT with random weights that sees pictures of `size` pixels a side, as a folder of transformers."""
    import torch
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.ViTConfig(**sizes, image_size=size, patch_size=size // 2, initializer_range=0.3)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def caption_config(records: Path, **parts: Any) -> RunConfig:
    """A model that learns captions of the shapes; `parts` replace options of the task, `model` those of the model."""
    model = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64} | parts.pop("model", {})
    plain = {"hidden_dropout": 0.0, "attention_dropout": 0.0}
    train = {"max_steps": 2, "max_tokens": 1000, "device": "cpu", "workers": 0} | parts.pop("train", {})
    task = {"name": "captioning", "train": str(records), "image_size": 8, "patch_size": 4, "channels": 1}
    variation = {"crop": 1.0, "erase": 0.0}
    rest = {"max_target": 10, "pieces": 100, "variation": variation, **parts}
    optim = {"lr": 3e-3, "warmup_steps": 5}
    return parse_config({"task": task | rest, "model": plain | model, "optim": optim, "train": train})


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
