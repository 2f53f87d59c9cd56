"""Pack a trained voice for distribution: the files that speaking needs, weights in few bits, no local paths.

    python scripts/pack_voice.py runs/voice OUT --precision int8 --tokenizer runs/adversarial decoder.temperature=0
    unilatent synthesize OUT --text "Please hold." --output hold.wav

Decoder options become those of the packed voice. `--tokenizer` replaces the voice's own by one with the same encoder,
whose decoder was trained longer. `--speaker` keeps the named speakers alone. A MODEL_CARD.md in OUT is kept. Complete
it and add a NOTICE before you publish the folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from latent.data.latent_store import TOKENIZER, StoreFacts
from latent.data.vocabulary import SpeechVocabulary
from latent.synthesis.voices import open_voice
from s2s import checkpoint
from s2s.checkpoint import MODEL_CARD
from s2s.config import apply_overrides, read_tree, write_tree
from s2s.errors import InputError
from s2s.precision import PRECISIONS, stored

REWRITTEN = (checkpoint.CONFIG, checkpoint.WEIGHTS)
BY_TOKEN = ("embeddings.weight", "scores.weight")
"""How names of weights with a row for each token end."""
LEFT_BEHIND = ("log.jsonl", "data.json")
NOT_HERE = "not part of this folder"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a voice")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("overrides", nargs="*", help="decoder options, key.path=value")
    parser.add_argument("--precision", choices=PRECISIONS, default="float16", help="of the weights on the disk")
    parser.add_argument("--tokenizer", type=Path, help="another run of an audio tokenizer, with the same encoder")
    parser.add_argument("--speaker", action="append", default=[], help="speaker to keep; repeat for more; default: all")
    given = parser.parse_intermixed_args()
    tokenizer, out = given.tokenizer or given.run / TOKENIZER, given.out
    check_encoder(tokenizer, given.run / TOKENIZER)
    pack(given.run, out, given.precision, given.overrides)
    pack(tokenizer, out / TOKENIZER, given.precision)
    if given.speaker:
        keep_speakers(given.run, out, given.speaker, given.precision)
    dataclasses.replace(StoreFacts.load(given.run), tokenizer=TOKENIZER).save(out)
    open_voice(out)  # raises an error for an invalid option
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size:,} bytes")
    card = out / MODEL_CARD
    if not card.exists() or "TO BE COMPLETED" in card.read_text(encoding="utf-8"):
        print(f"{card}: complete it before you publish this voice")


def check_encoder(tokenizer: Path, trained_with: Path) -> None:
    """Refuse a tokenizer whose latents mean something else to the voice.

    Raises:
        InputError: its encoder has other weights.
    """
    found, expected = (checkpoint.read_tensors(run / checkpoint.WEIGHTS) for run in (tokenizer, trained_with))
    for name, tensor in expected.items():
        if name.startswith("encoder.") and not tensor.equal(found.get(name, tensor.new_empty(0))):
            raise InputError(f"{tokenizer}: its {name} is not that of {trained_with}, so it makes other latents")


def pack(run: Path, out: Path, precision: str, overrides: Sequence[str] = ()) -> None:
    """Copy a run folder without logs and checkpoints; `overrides` replace options."""
    out.mkdir(parents=True, exist_ok=True)
    for path in run.iterdir():
        kept = path.name == MODEL_CARD and (out / path.name).exists()
        if path.is_file() and not kept and path.name not in (*REWRITTEN, *LEFT_BEHIND):
            shutil.copyfile(path, out / path.name)
    config = apply_overrides(read_tree(run / checkpoint.CONFIG), overrides)
    write_tree(portable(config), out / checkpoint.CONFIG)
    weights = checkpoint.read_tensors(run / checkpoint.WEIGHTS)
    checkpoint.write_weights(stored(weights, precision), out / checkpoint.WEIGHTS)


def keep_speakers(run: Path, out: Path, speakers: Sequence[str], precision: str) -> None:
    """Take the tokens of all other speakers out of a packed voice.

    Raises:
        InputError: there is no speaker of such a name.
    """
    before = SpeechVocabulary.load(run)
    gone = {before.speaker(name) for name in before.speakers} - {before.speaker(name) for name in speakers}
    tokens = torch.tensor([token for token in range(len(before)) if token not in gone])
    weights = {
        name: tensor[tokens] if name.endswith(BY_TOKEN) else tensor
        for name, tensor in checkpoint.read_tensors(run / checkpoint.WEIGHTS).items()
    }
    kept = [name for name in before.speakers if name in speakers]
    dataclasses.replace(before, speakers=kept).save(out)
    checkpoint.write_weights(stored(weights, precision), out / checkpoint.WEIGHTS)
    config = read_tree(out / checkpoint.CONFIG)
    write_tree(apply_overrides(config, [f"model.vocab_size={len(tokens)}"]), out / checkpoint.CONFIG)


def portable(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the local paths of training data, which speaking does not read."""
    task, model = dict(config["task"]), dict(config["model"])
    task |= {split: NOT_HERE for split in ("train", "valid") if task.get(split) is not None}
    if "front_end" in task:
        task["front_end"] = task["front_end"] | {"file": None}
    if "init" in model:
        model["init"] = None
    return config | {"task": task, "model": model}


if __name__ == "__main__":
    main()
