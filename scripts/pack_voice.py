"""Pack a trained voice for distribution: the files that speaking needs, weights in half precision, no local paths.

    python scripts/pack_voice.py runs/voice OUT [decoder.temperature=0 ...]
    unilatent synthesize OUT --text "Please hold." --output hold.wav

Decoder options become those of the packed voice. A MODEL_CARD.md in OUT is kept. Complete it and add a NOTICE before
you publish the folder.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from latent.data.latent_store import TOKENIZER, StoreFacts
from latent.synthesis.voices import open_voice
from s2s import checkpoint
from s2s.checkpoint import MODEL_CARD
from s2s.config import apply_overrides, read_tree, write_tree

REWRITTEN = (checkpoint.CONFIG, checkpoint.WEIGHTS)
LEFT_BEHIND = ("log.jsonl",)
NOT_HERE = "not part of this folder"


def main() -> None:
    run, out = Path(sys.argv[1]), Path(sys.argv[2])
    pack(run, out, sys.argv[3:])
    pack(run / TOKENIZER, out / TOKENIZER)
    dataclasses.replace(StoreFacts.load(run), tokenizer=TOKENIZER).save(out)
    open_voice(out)  # raises an error for an invalid option
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size:,} bytes")
    card = out / MODEL_CARD
    if "TO BE COMPLETED" in card.read_text(encoding="utf-8"):
        print(f"{card}: complete it before you publish this voice")


def pack(run: Path, out: Path, overrides: Sequence[str] = ()) -> None:
    """Copy a run folder without logs and checkpoints; `overrides` replace options."""
    out.mkdir(parents=True, exist_ok=True)
    for path in run.iterdir():
        kept = path.name == MODEL_CARD and (out / path.name).exists()
        if path.is_file() and not kept and path.name not in (*REWRITTEN, *LEFT_BEHIND):
            shutil.copyfile(path, out / path.name)
    config = apply_overrides(read_tree(run / checkpoint.CONFIG), overrides)
    write_tree(portable(config), out / checkpoint.CONFIG)
    checkpoint.write_weights(halved(run / checkpoint.WEIGHTS), out / checkpoint.WEIGHTS)


def portable(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the local paths of training data, which speaking does not read."""
    task, model = dict(config["task"]), dict(config["model"])
    task |= {split: NOT_HERE for split in ("train", "valid") if task.get(split) is not None}
    if "front_end" in task:
        task["front_end"] = task["front_end"] | {"file": None}
    if "init" in model:
        model["init"] = None
    return config | {"task": task, "model": model}


def halved(weights: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file; float32 becomes float16.

    Raises:
        ValueError: a weight is beyond the range of float16.
    """
    tensors = checkpoint.read_tensors(weights)
    half = {name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in tensors.items()}
    if broken := [name for name, tensor in half.items() if not tensor.isfinite().all()]:
        raise ValueError(f"{weights}: {broken[0]} has weights beyond the range of half precision")
    return half


if __name__ == "__main__":
    main()
