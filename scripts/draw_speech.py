"""Draw mel spectrograms of short audio files below one another, on shared time and frequency axes.

python scripts/draw_speech.py OUT.png recording=a.flac reconstruction=b.flac synthesis=c.wav
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from latent.audio.features import LogMel
from latent.audio.files import audio_info, load_audio

HOP_SECONDS, WINDOW_HOPS, MELS = 0.008, 4, 80
DECADES = 2.5  # of magnitude, the range of the colors


def main() -> None:
    picture, *named = sys.argv[1:]
    files = dict(argument.split("=", 1) for argument in named)
    rate = min(audio_info(path).sample_rate for path in files.values())
    hop = round(HOP_SECONDS * rate)
    mel = LogMel(rate, MELS, WINDOW_HOPS * hop, hop)
    figure = Figure(figsize=(11, 2.1 * len(files)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = np.atleast_1d(figure.subplots(len(files), 1, sharex=True))
    longest = 0.0
    for axes, (name, path) in zip(rows, files.items(), strict=True):
        spectra = mel(torch.from_numpy(load_audio(path, rate))[None])[0].numpy()
        seconds, loudest = spectra.shape[1] * hop / rate, float(spectra.max())
        longest = max(longest, seconds)
        axes.imshow(
            spectra,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, MELS),
            cmap="magma",
            vmin=loudest - DECADES,
            vmax=loudest,
        )
        axes.set(title=name, ylabel="mel band", facecolor="black")
    rows[-1].set(xlabel="s", xlim=(0, longest))
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main()
