#!/usr/bin/env python
"""Memory of transcription: measured from one minute to an hour on tiny weights, reckoned for the released sizes.

    python benchmarks/recognition_memory.py [--minutes 1 10 60]

Each length runs in a process of its own, on noise in a WAV file of 16 kHz, so that reading, resampling, loudness,
encoders, prompt and text are all included. The weights are random; the text is cut at 400 tokens. What is left of the
peak without the cache must not grow. The cache of a released model is layers * 2 * heads of keys * width * bytes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
RATE = 16_000
RELEASED = {"1.5B": (28, 2, 128, 2.81 - 0.34), "7B": (28, 4, 128, 8.67 - 0.34)}
"""Layers, heads of keys, width of a head, and billions of parameters; the decoder of audio is not read."""
_FRAMES, _TOKENS = 7.5, 6.0
"""Positions a second: frames of audio, and tokens of text, times and speakers as a rule."""


def write_noise(path: Path, minutes: float) -> None:
    """Noise in a WAV file, written piece by piece."""
    from latent.audio.files import AudioWriter

    noise = np.random.default_rng(0)
    with AudioWriter(path, RATE) as writer:
        for _ in range(round(minutes * 6)):
            writer.write((0.1 * noise.standard_normal(10 * RATE)).astype(np.float32))


def measure(folder: Path, audio: Path) -> None:
    """Transcribe one recording in this process, and print what it took."""
    import torch

    from latent.nn.writing import TextState
    from latent.recognition.recognizer import Recognizer

    torch.set_num_threads(1)
    recognizer = Recognizer.load(folder, device="cpu", extra_tokens=400, tokens_per_second=1e-9, max_repeats=0)
    largest: list[tuple[int, int]] = []
    select = TextState.select

    def noted(state: TextState, *arguments: object) -> None:
        largest.append((state.num_bytes, int(state.following.max())))
        select(state, *arguments)  # type: ignore[arg-type]

    TextState.select = noted  # type: ignore[method-assign]
    begun = time.monotonic()
    transcript = recognizer.transcribe(audio)
    seconds = time.monotonic() - begun
    cache, positions = max(largest)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(transcript.seconds / 60, positions, cache, peak, seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60])
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(*options.child)
        return
    sys.path.insert(0, str(HERE.parent / "tests"))
    from tiny_listener import write_listener

    with tempfile.TemporaryDirectory() as temporary:
        folder = write_listener(Path(temporary) / "listener", max_positions=65_536)
        print("minutes  positions  cache MB  bytes a position  peak MB  peak without cache MB  real-time factor")
        for minutes in options.minutes:
            audio = Path(temporary) / "noise.wav"
            write_noise(audio, minutes)
            command = [sys.executable, __file__, "--child", str(folder), str(audio)]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            length, positions, cache, peak, seconds = map(float, line)
            sizes = (
                f"{cache / 2**20:8.2f}  {cache / positions:16.0f}  {peak / 2**20:7.0f}  {(peak - cache) / 2**20:21.0f}"
            )
            print(f"{length:7.1f}  {positions:9.0f}  {sizes}  {seconds / (60 * length):16.3f}", flush=True)
    print_released()


def print_released() -> None:
    """What the released sizes need, reckoned, in bfloat16."""
    print("\nreckoned, bfloat16: GB of weights, bytes a position, GB of cache after 10, 30 and 60 minutes")
    for name, (layers, heads, width, parameters) in RELEASED.items():
        each = layers * 2 * heads * width * 2
        caches = [each * 60 * minutes * (_FRAMES + _TOKENS) / 1e9 for minutes in (10, 30, 60)]
        print(f"{name:>5}  {2 * parameters:5.1f}  {each:6d}  " + "  ".join(f"{cache:5.2f}" for cache in caches))


if __name__ == "__main__":
    main()
