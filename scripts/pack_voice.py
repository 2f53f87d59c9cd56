"""A trained voice as a folder to pass on: what speaking needs, weights in half precision, no paths of this machine.

    python scripts/pack_voice.py runs/voice OUT
    unilatent synthesize OUT --text "Please hold." --output hold.wav

Complete OUT/MODEL_CARD.md and add a NOTICE before you pass it on.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from latent.data.latent_store import TOKENIZER, StoreFacts
from s2s import checkpoint
from s2s.config import read_tree, write_tree


def main() -> None:
    run, out = Path(sys.argv[1]), Path(sys.argv[2])
    pack(run, out)
    pack(run / TOKENIZER, out / TOKENIZER)
    dataclasses.replace(StoreFacts.load(run), tokenizer=TOKENIZER).save(out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB")


def pack(run: Path, out: Path) -> None:
    """Copy the files of a run folder; logs and checkpoints stay behind."""
    out.mkdir(parents=True, exist_ok=True)
    for path in run.iterdir():
        if path.is_file() and path.name not in (checkpoint.CONFIG, checkpoint.WEIGHTS, "log.jsonl"):
            shutil.copyfile(path, out / path.name)
    config = read_tree(run / checkpoint.CONFIG)
    config["task"] |= {split: f"{split}: not part of this folder" for split in ("train", "valid")}
    config["model"] |= {"init": None} if "init" in config["model"] else {}
    write_tree(config, out / checkpoint.CONFIG)
    weights = load_file(run / checkpoint.WEIGHTS)
    half = {name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in weights.items()}
    save_file(half, out / checkpoint.WEIGHTS)


if __name__ == "__main__":
    main()
