"""Make the stored results of this folder with the code of commit 28840f1; README.md says how. It needs that code.

PYTHONPATH=BEFORE:BEFORE/tests python tests/regression/make.py FOLDER
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from safetensors.torch import load_file, save_file

SAMPLE = Path(__file__).parents[2] / "data_prep/sample/en"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 32, "max_positions": 64}
SMALL = ["--max-sentences", 4, "--window", 16]
DECODERS = {
    "beam": ["decoder.beam_size=4", "decoder.num_hypotheses=3", "decoder.no_repeat_ngram_size=3"],
    "sampling": ["decoder.name=sampling", "decoder.seed=5", "decoder.top_k=20"],
    "wide_beam": ["decoder.name=wide_beam", "decoder.beam_size=3"],
    "diverse_beam": ["decoder.name=diverse_beam", "decoder.beam_size=4", "decoder.num_groups=2"],
}
SPEAK = ["decoder.min_frames=12", "--device", "cpu", "--max-rows", 2]
TEXTS = {
    "greeting": "Good morning, and welcome.",
    "pound": "Please enter your number, followed by the pound key.",
    "weather": "Never mind the weather, we are going for a walk.",
}
RECORDS = [("Good morning.", "ann"), ("Never mind.", "bob"), ("Two, three.", "ann"), ("So.", "bob"), ("Well.", "ann")]
SCRIPT = "ann: Good morning.\nbob: Never mind the weather.\n[pause 0.5]\nann: Two, three.\nbob: So.\n"


def unilatent(*arguments: object) -> None:
    from unilatent.cli import build_app

    build_app()([str(argument) for argument in arguments], standalone_mode=False)


def interrupted(module: Any, name: str, calls: int, *arguments: object) -> None:
    """Run a verb in a child process that ends without a word when `module.name` returns for the n-th time."""
    child = os.fork()
    if child == 0:
        original: Callable[..., Any] = getattr(module, name)
        count = 0

        def counted(*args: Any, **options: Any) -> Any:
            nonlocal count
            result = original(*args, **options)
            count += 1
            if count == calls:
                os._exit(9)
            return result

        setattr(module, name, counted)
        unilatent(*arguments)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == 9, "it was to be interrupted"


def write_lines(path: Path, records: list[Any]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_text_run() -> None:
    """Forty records, a vocabulary of their commonest pieces, and a run with random weights (`run`)."""
    from tokenizers import BertWordPieceTokenizer

    lines = [json.loads(line) for line in (SAMPLE / "test.jsonl").read_text().splitlines()[:40]]
    kept = [{key: line[key] for key in ("id", "src", "tgt")} for line in lines]
    write_lines(Path("input.jsonl"), kept)
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator([line["src"] for line in kept], vocab_size=400, limit_alphabet=60)
    pieces = [piece for piece, _ in sorted(trained.get_vocab().items(), key=lambda item: item[1])]
    Path("tokenizer").mkdir()
    Path("tokenizer/vocab.txt").write_text("\n".join([*WORDS, *(p for p in pieces if p not in WORDS)]) + "\n")
    config = {
        "task": {
            "train": "input.jsonl",
            "valid": "input.jsonl",
            "tokenizer": "tokenizer",
            "max_source": 40,
            "max_target": 12,
        },
        "model": {**SIZES, "initializer_range": 0.3, "hidden_dropout": 0.0, "attention_dropout": 0.0},
        "optim": {"lr": 0.01, "warmup_steps": 2},
        "train": {
            "max_steps": 6,
            "max_sentences": 16,
            "device": "cpu",
            "log_every": 1,
            "save_every": 3,
            "keep_last": 9,
        },
    }
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    unilatent(
        "train", "config.yaml", "--output", "run", "model.initializer_range=0.8", "train.max_steps=1", "optim.lr=1e-9"
    )
    shutil.rmtree("run/checkpoints")
    shutil.rmtree("run/tensorboard", ignore_errors=True)
    Path("run/log.jsonl").unlink()
    weights = load_file("run/model.safetensors")
    weights["head.bias"][3] = 4.0  # [SEP]: some end before the greatest length
    save_file(weights, "run/model.safetensors")


def decode() -> None:
    for name, options in DECODERS.items():
        trace = ["--trace", f"decoded/{name}.trace.jsonl"] if name == "beam" else []
        common = ["--input", "input.jsonl", "task.output=s2s_ft", *SMALL]
        unilatent("decode", "run", "--output", f"decoded/{name}.jsonl", *common, *trace, *options)
        Path(f"decoded/{name}.jsonl.state.json").unlink()


def train() -> None:
    unilatent("train", "config.yaml", "--output", "trained")
    shutil.copy("trained/log.jsonl", "training.log.jsonl")
    shutil.rmtree("trained")


def voice() -> None:
    import tiny_voice

    tiny_voice.write_voice(Path("speech"))
    for recordings in ("speech/recordings", "speech/tokenizer"):
        shutil.rmtree(recordings)
    Path("speech/config.yaml").write_text(
        yaml.safe_dump({**tiny_voice.voice_config(Path("speech/store")).tree(), **TRAIN_VOICE}, sort_keys=False)
    )
    unilatent("train", "speech/config.yaml", "--output", "trained")
    shutil.copy("trained/log.jsonl", "speech/training.log.jsonl")
    shutil.rmtree("trained")
    write_lines(
        Path("speech/lines.jsonl"), [{"id": f"line{i}", "text": t, "speaker": s} for i, (t, s) in enumerate(RECORDS)]
    )
    Path("speech/script.txt").write_text(SCRIPT)
    run = ["synthesize", "speech/voice", *SPEAK]
    unilatent(*run, "--input", "speech/lines.jsonl", "--output", "speech/spoken")
    unilatent(*run, "--script", "speech/script.txt", "--output", "speech/script.wav", "--no-picture")


TRAIN_VOICE = {
    "optim": {"lr": 0.01, "warmup_steps": 2},
    "train": {"max_steps": 3, "max_tokens": 400, "device": "cpu", "log_every": 1},
}


def interrupt() -> None:
    """Jobs that ended in the middle, one folder each."""
    from latent.longform.journal import Journal

    from latent.synthesis import files
    from s2s import checkpoint
    from s2s.generation.output import _Journal

    common = ["--input", "input.jsonl", "task.output=s2s_ft", *SMALL, *DECODERS["beam"]]
    Path("interrupted").mkdir()
    interrupted(_Journal, "add", 6, "decode", "run", "--output", "interrupted/decode/out.jsonl", *common)
    interrupted(checkpoint, "write_checkpoint", 1, "train", "config.yaml", "--output", "interrupted/training")
    shutil.rmtree("interrupted/training/tensorboard", ignore_errors=True)
    run = ["synthesize", "speech/voice", *SPEAK]
    interrupted(files, "_write", 3, *run, "--input", "speech/lines.jsonl", "--output", "interrupted/spoken")
    script = ["--script", "speech/script.txt", "--output", "interrupted/script/script.wav", "--no-picture"]
    Path("interrupted/script").mkdir()
    interrupted(Journal, "add", 2, *run, *script)


def pretraining_text() -> None:
    """Raw text to shards, whole and ended before the shards were written."""
    from data_prep.pretrain_text import preparation

    lines = [json.loads(line) for line in (SAMPLE / "valid.jsonl").read_text().splitlines()]
    write_lines(Path("raw.jsonl"), [{"text": line["src"]} for line in lines[:60]])
    os.utime("raw.jsonl", (0, 0))  # the plan of a preparation holds the time, which git does not keep
    options = [
        "--input",
        "raw.jsonl",
        "--tokenizer",
        "tokenizer",
        "--max-length",
        64,
        "--valid-share",
        0.2,
        "--processes",
        1,
    ]
    unilatent("prepare", "pretrain-text", "shards", *options)
    interrupted(preparation, "_write_json", 2, "prepare", "pretrain-text", "interrupted/shards", *options)


def demo_voice() -> None:
    import latent
    from latent.synthesis.voice import Voice

    spoken = Voice.load(Path(latent.__file__).parent / "demo_voice")
    Path("demo_voice").mkdir()
    for id, text in TEXTS.items():
        chunks = list(spoken.stream([spoken.request(id, text, "af_heart", seed=3)]))
        samples = np.concatenate([samples for chunk in chunks for samples in chunk.audio.numpy()])
        soundfile.write(f"demo_voice/{id}.flac", samples, spoken.sample_rate)


def main() -> None:
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    os.chdir(folder)
    Path("decoded").mkdir()
    write_text_run()
    decode()
    train()
    voice()
    interrupt()
    pretraining_text()
    demo_voice()


if __name__ == "__main__":
    main()
