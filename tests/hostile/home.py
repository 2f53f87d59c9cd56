"""Tiny valid things of every kind, made once: what a case damages a copy of."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hostile.command_line import call

WORDS = ["the", "a", "tool", "library", "for", "files", "images", "sound", "text", "reads", "writes", "shows"]
WORDS += ["plays", "fast", "small", "free", ".", ","]
PAIRS = [
    {"id": str(i), "src": f"the {w} reads files and shows text .", "tgt": f"a {w} tool"} for i, w in enumerate(WORDS)
]
SIZES = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32, "max_positions": 32}
SPEAK = ["decoder.num_inference_steps=1", "decoder.stop_threshold=0.9", "--device", "cpu", "--speaker", "ann"]
"""What makes speech short, and gives it a speaker."""


def write_lines(path: Path | str, records: list[Any]) -> str:
    """Write JSON lines; returns the path."""
    Path(path).write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


class Home:
    """A folder of valid things; each is made when it is first asked for.

    text.yaml, train.jsonl, tokenizer/, run/, trace.jsonl; song.jsonl; recordings/, audio_tokenizer/, store/,
    voice.yaml, voice/; raw.txt, shards/.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, name: str, to: str | None = None) -> Path:
        """A copy of one of them in the working directory."""
        source, target = self._made(name) / name, Path(to or name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
        return target

    def _made(self, name: str) -> Path:
        if name in ("recordings", "audio_tokenizer", "store", "voice", "voice.yaml"):
            return self.speech
        return self.pretraining if name in ("raw.txt", "shards") else self.text

    @cached_property
    def text(self) -> Path:
        """A run of two updates out of four, so that the same command resumes it, with what it was made from."""
        folder = self.folder / "text"
        (folder / "tokenizer").mkdir(parents=True)
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
        (folder / "tokenizer/vocab.txt").write_text("\n".join(vocabulary) + "\n")
        write_lines(folder / "train.jsonl", PAIRS)
        write_lines(folder / "song.jsonl", [{"src": "la la", "tgt": "C4:1 D4:1"}])
        data = str(folder / "train.jsonl")
        task = {"train": data, "valid": data, "tokenizer": str(folder / "tokenizer")}
        train = {"max_steps": 4, "validate_every": 2, "keep_last": 2, "max_tokens": 512, "device": "cpu", "workers": 0}
        config = {"task": {**task, "max_source": 16, "max_target": 8}, "model": SIZES, "train": train}
        (folder / "text.yaml").write_text(yaml.safe_dump(config))
        self._call("train", folder / "text.yaml", "--output", folder / "run")
        arguments = ("--input", folder / "train.jsonl", "--output", folder / "out.jsonl", "--trace")
        self._call("decode", folder / "run", *arguments, folder / "trace.jsonl")
        shutil.rmtree(folder / "run/checkpoints/step-000004")
        return folder

    @cached_property
    def speech(self) -> Path:
        """Recordings, an audio tokenizer, a store of latents and a voice, with random weights."""
        import tiny_voice

        folder = self.folder / "speech"
        tiny_voice.write_voice(folder)
        (folder / "tokenizer").rename(folder / "audio_tokenizer")
        tree = tiny_voice.voice_config(folder / "store").tree()
        tree["train"] |= {"device": "cpu", "workers": 0}
        (folder / "voice.yaml").write_text(yaml.safe_dump(tree))
        return folder

    @cached_property
    def pretraining(self) -> Path:
        """Shards of a little text."""
        folder = self.folder / "pretraining"
        folder.mkdir()
        generator = np.random.default_rng(0)
        lines = [" ".join(generator.choice(WORDS[:16], 30)) + " ." for _ in range(60)]
        (folder / "raw.txt").write_text("\n".join(lines) + "\n")
        options = ("--document", "line", "--valid-share", 0.2, "--max-length", 32, "--processes", 1)
        tokenizer = self.text / "tokenizer"
        self._call(
            "prepare",
            "pretrain-text",
            folder / "shards",
            "--input",
            folder / "raw.txt",
            "--tokenizer",
            tokenizer,
            *options,
        )
        return folder

    def _call(self, *arguments: object) -> None:
        outcome = call([str(argument) for argument in arguments], seconds=300)
        assert outcome.status == 0, outcome
