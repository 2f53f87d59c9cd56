"""Memory and speed of speaking a script of 1, 5 and 30 minutes: memory must not grow with the length.

    python benchmarks/longform.py
    python benchmarks/longform.py --minutes 1 2 --output talk.ogg

A tiny voice with random weights (24 kHz, 7.5 latents a second, two speakers) speaks lines of 3.6 s with pauses of 0.4
s; each line continues from the last 3.2 s of its speaker. Each length runs in its own process, which reports its peak
memory (maximum resident set) before the first line, after the last line, and after the picture.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LINE_FRAMES, PAUSE_SECONDS, LINES_A_MINUTE = 27, 0.4, 15


def tiny_voice(folder: Path) -> Any:
    """A voice with random weights in a folder; each of its lines has LINE_FRAMES latents."""
    import torch

    from latent.data.vocabulary import SpeechVocabulary
    from latent.decoding.next_token_diffusion import NextTokenDiffusionDecoder
    from latent.models.latent_lm import HeadSection, LatentLM
    from latent.models.sigma_vae import SigmaVAE
    from latent.synthesis.latent_voice import LatentVoice
    from latent.text.byte_text import ByteFrontEnd
    from s2s import checkpoint
    from s2s.run_config import parse_config

    torch.manual_seed(0)
    vocabulary = SpeechVocabulary(["ann", "bob"], LINE_FRAMES / 40, ByteFrontEnd())
    codec = SigmaVAE(SigmaVAE.Config(widths=(4, 8, 16, 32, 64, 64, 64), depths=(1,) * 7, layer_scale=0.3))
    sizes = {"vocab_size": len(vocabulary), "latent_size": 64, "latent_mean": 0.0, "latent_std": 1.0}
    head = HeadSection(num_layers=2)
    model = LatentLM(
        LatentLM.Config(**sizes, hidden_size=64, num_layers=2, num_heads=4, intermediate_size=128, head=head)
    )
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # initialized to zeros
    decoder = NextTokenDiffusionDecoder(
        NextTokenDiffusionDecoder.Config(min_frames=LINE_FRAMES, stop_threshold=1e-9, num_inference_steps=5)
    )
    config = parse_config(
        {
            "task": {
                "name": "speech_synthesis",
                "train": "-",
                "valid": "-",
                "voice_prompt_prob": 0.5,
                "voice_frames": 24,
            },
            "model": {"name": "latent_lm"},
            "criterion": {"name": "next_token_diffusion"},
            "train": {"max_steps": 1},
        }
    )
    weights = {"model": folder / "model.safetensors", "tokenizer": folder / "tokenizer.safetensors"}
    for part, path in zip((model, codec), weights.values(), strict=True):
        checkpoint.write_weights(checkpoint.named_tensors(part), path)
    for part in (model, codec):
        part.eval().requires_grad_(False).prepare()
    return LatentVoice("tiny", config, model, codec, vocabulary, decoder, weights, "cpu")


def speak(minutes: float, folder: Path, name: str) -> dict[str, float]:
    """Speak a script of `minutes` in this process; returns seconds of audio, lines, peak MiB and seconds of work."""
    from latent.longform.long_form import synthesize_script
    from latent.longform.narrator import LongFormOptions
    from latent.longform.picture import draw_audio

    script = folder / "talk.txt"
    lines = (
        f"{('ann', 'bob')[n % 2]}: This is line number {n + 1} of the script." for n in range(count_lines(minutes))
    )
    script.write_text("\n".join(lines), encoding="utf-8")
    voice = tiny_voice(folder)
    options = LongFormOptions.model_validate({"pause_seconds": PAUSE_SECONDS})
    before, started = peak_mib(), time.perf_counter()
    summary = synthesize_script(voice, script, folder / name, options=options, picture=False, show_progress=False)
    seconds, spoken = time.perf_counter() - started, peak_mib()
    draw_audio(folder / name, folder / "talk.png", name)
    return {
        "audio": summary.seconds,
        "lines": summary.lines,
        "before": before,
        "spoken": spoken,
        "drawn": peak_mib(),
        "seconds": seconds,
    }


def count_lines(minutes: float) -> int:
    """Number of lines of a script that lasts `minutes`."""
    return max(1, round(minutes * LINES_A_MINUTE))


def peak_mib() -> float:
    """Peak memory of this process in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 30])
    parser.add_argument("--output", default="talk.wav", help="name of the audio file; its suffix is the format")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)  # speak in this process, into that folder
    args = parser.parse_args(given)
    if args.alone:
        print(json.dumps(speak(args.minutes[0], args.alone, args.output)))
        return
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {args.output}")
    print("audio min  lines  peak MiB: before  spoken  with picture   work s  real-time factor")
    for minutes in args.minutes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--minutes", str(minutes), "--output", args.output, "--alone", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        result = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{result['audio'] / 60:9.1f}  {result['lines']:5.0f}  {result['before']:16.1f}  {result['spoken']:6.1f}  "
            f"{result['drawn']:12.1f}  {result['seconds']:7.1f}  {result['seconds'] / result['audio']:16.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
