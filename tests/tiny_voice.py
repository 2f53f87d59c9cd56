"""A tiny voice with random weights, as run folders on the disk: what synthesis is tested with. Run it to make one."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latent.audio.files import write_audio
from latent.data.speech_prompts import SpeechRequest, Timing
from latent.data.vocabulary import SpeechVocabulary, prompt_tokens, timed_tokens
from latent.encoding import encode_corpus
from s2s import checkpoint
from s2s.config import write_tree
from s2s.models.base import Model
from s2s.run import RunConfig, build_model, build_task, parse_config, resolve

RATE = 2000
SPEECH = {"ann": ["Good morning.", "Two, three."], "bob": ["Never mind the weather.", "So."]}


def write_recordings(folder: Path, rate: int = RATE) -> Path:
    """Noise that swells, half a second and more of it, and a manifest of it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for speaker, texts in SPEECH.items():
        for text in texts:
            name = f"{speaker}{len(lines)}"
            noise = np.random.default_rng(len(lines)).standard_normal(rate // 2 + 150 * len(text))
            write_audio(folder / f"{name}.wav", (0.1 * noise).astype(np.float32), rate)
            lines.append(json.dumps({"id": name, "audio": f"{name}.wav", "text": text, "speaker": speaker}))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def tokenizer_config(manifest: Path, **model: Any) -> RunConfig:
    sizes = {"ratios": [4, 5], "depths": [1, 1, 1], "widths": [4, 6, 8], "latent_size": 3, "layer_scale": 0.3}
    return parse_config(
        {
            "task": {
                "name": "speech_autoencoding",
                "train": str(manifest),
                "valid": str(manifest),
                "sample_rate": RATE,
                "segment_seconds": 0.2,
            },
            "model": {"name": "sigma_vae", **sizes, "initializer_range": 0.3, **model},
            "criterion": {"name": "sigma_vae"},
            "train": {"max_steps": 1},
        }
    )


def voice_config(store: Path, **task: Any) -> RunConfig:
    return parse_config(
        {
            "task": {
                "name": "speech_synthesis",
                "train": str(store),
                "valid": str(store),
                "voice_prompt_prob": 0.5,
                "voice_frames": 30,
                **task,
            },
            "model": {
                "name": "latent_lm",
                "hidden_size": 16,
                "num_layers": 1,
                "num_heads": 2,
                "num_kv_heads": 1,
                "intermediate_size": 16,
                "max_positions": 800,
                "initializer_range": 0.3,
                "head": {"num_layers": 1, "timestep_size": 8},
            },
            "criterion": {"name": "next_token_diffusion"},
            "train": {"max_steps": 1},
        }
    )


def write_run(config: RunConfig, run: Path, seed: int = 0) -> Path:
    """A run folder with random weights, as training would leave it."""
    task = build_task(config)
    config = resolve(config, task.model_defaults())
    run.mkdir(parents=True)
    write_tree(config.tree(), run / checkpoint.CONFIG)
    task.save(run)
    torch.manual_seed(seed)
    model: Model = build_model(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("head."):
                parameter.normal_(std=0.2)  # the diffusion head begins as zeros
            if name.startswith("durations.out."):
                parameter.fill_(1.8 if name.endswith("bias") else 0)  # 5 latents a token, about as in the recordings
    checkpoint.write_weights(checkpoint.named_tensors(model), run / checkpoint.WEIGHTS)
    return run


def write_voice(folder: Path, **task: Any) -> Path:
    """Recordings, tokenizer, store and the run of a voice in a folder; returns the last."""
    manifest = write_recordings(folder / "recordings")
    write_run(tokenizer_config(manifest), folder / "tokenizer")
    encode_corpus([manifest], folder / "tokenizer", folder / "store")
    return write_run(voice_config(folder / "store", **task), folder / "voice", seed=1)


def write_recognizer(folder: Path, latent_lm: bool = False) -> Path:
    """A folder with recordings, their tokenizer, and a recognizer of random weights, `listener`; the store is gone.

    The recognizer is a UniLM or a LatentLM.
    """
    manifest = write_recordings(folder / "recordings")
    write_run(tokenizer_config(manifest), folder / "tokenizer")
    encode_corpus([manifest], folder / "tokenizer", folder / "store")
    task = {"name": "speech_recognition", "train": str(folder / "store"), "valid": str(folder / "store")}
    task |= {"max_source": 250, "max_target": 12}
    sizes = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "initializer_range": 0.5}
    if latent_lm:
        task["method"] = "causal"
        sizes |= {"name": "latent_lm_listener", "num_kv_heads": 1}
    tree = {"task": task, "model": sizes, "decoder": {"beam_size": 2}, "train": {"max_steps": 1}}
    write_run(parse_config(tree), folder / "listener")
    shutil.rmtree(folder / "store")
    return folder


def write_timed_voice(folder: Path, **task: Any) -> Path:
    """The same with cues: recordings aligned evenly, an alphabet that says every letter as itself, and its model."""
    manifest = write_recordings(folder / "recordings")
    words = {word for texts in SPEECH.values() for text in texts for word in re.findall("[a-z]+", text.lower())}
    dictionary = folder / "words.txt"
    dictionary.write_text("".join(f"{word} {' '.join(word.upper())}\n" for word in sorted(words)))
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        units = [f"/{letter}" for letter in line["text"].upper() if letter.isalpha()]
        each = 0.4 / len(units)
        line["alignment"] = [[unit, 0.05 + each * i, 0.05 + each * (i + 1)] for i, unit in enumerate(units)]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_run(tokenizer_config(manifest), folder / "tokenizer")
    encode_corpus([manifest], folder / "tokenizer", folder / "store")
    front_end = {"name": "phonemes", "file": str(dictionary)}
    cues = {"per_latent": 2, "before": 1, "after": 2}
    plain = voice_config(folder / "store", front_end=front_end, cues=cues, **task).tree()
    plain["model"] |= {"name": "timed_latent_lm", "cue_size": 6}
    plain["criterion"]["name"] = "timed_next_token_diffusion"
    return write_run(parse_config(plain), folder / "voice", seed=1)


def request_of(
    vocabulary: SpeechVocabulary,
    text: str,
    speaker: str | None,
    voice: Any = None,
    durations: Any = None,
    **options: Any,
) -> SpeechRequest:
    """A request for a model without a voice around it."""
    tokens = vocabulary.text(text)
    timing = None if durations is None else Timing(timed_tokens(tokens), durations)
    prompt = prompt_tokens(vocabulary, tokens, speaker, 0 if voice is None else len(voice))
    given = {"id": text, "seed": 1, "temperature": 1.0, "expected_frames": 1, "max_frames": 30, **options}
    return SpeechRequest(text=text, speaker=speaker, tokens=prompt, voice=voice, timing=timing, **given)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a synthesis, without the times that they took."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    return {name: re.sub(rb'"work_seconds": [0-9.e-]+', b"", found) for name, found in files.items()}


if __name__ == "__main__":
    print(write_voice(Path(sys.argv[1])))
