"""A picture of audio of any length: its waveform and mel spectrogram, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from latent.audio.features import LogMel
from latent.audio.files import audio_blocks, audio_info
from s2s.durable import whole_file
from s2s.packages import load

_COLUMNS, _MELS = 1200, 80
_WINDOW_SECONDS = 0.04
_BLOCK_HOPS = 512


class Overview(NamedTuple):
    """Audio in C columns of equal length: their extreme samples `(C,)` and mean log10 mel spectra `(M, C)`."""

    seconds: float
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    log_mel: NDArray[np.float32]


class Span(NamedTuple):
    """Somebody speaks from second `start` to `stop`."""

    speaker: str
    start: float
    stop: float


def overview(path: str | Path, columns: int = _COLUMNS) -> Overview:
    """A mono audio file in at most so many columns, read block by block.

    Raises:
        InputError: the file cannot be read as audio.
    """
    info = audio_info(path)
    window = 1 << round(np.log2(_WINDOW_SECONDS * info.sample_rate))
    mel = LogMel(info.sample_rate, _MELS, window)
    hop, hops = mel.hop_length, max(1, -(-info.num_samples // mel.hop_length))
    columns = min(columns, hops)
    low, high = np.full(columns, np.inf, np.float32), np.full(columns, -np.inf, np.float32)
    sums, counts = np.zeros((_MELS, columns), np.float64), np.zeros(columns, np.int64)
    first = 0
    for block in audio_blocks(path, hop * _BLOCK_HOPS):
        of_hop = np.pad(block, (0, -len(block) % hop), mode="edge").reshape(-1, hop)
        place = np.minimum(np.arange(first, first + len(of_hop)) * columns // hops, columns - 1)
        spectra = mel(torch.from_numpy(block)[None])[0, :, : len(of_hop)].numpy()
        np.minimum.at(low, place, of_hop.min(axis=1))
        np.maximum.at(high, place, of_hop.max(axis=1))
        np.add.at(sums.T, place, spectra.T)
        np.add.at(counts, place, 1)
        first += len(of_hop)
    return Overview(info.seconds, low, high, (sums / np.maximum(counts, 1)).astype(np.float32))


def draw_audio(path: str | Path, picture: str | Path, title: str, spans: Sequence[Span] = ()) -> None:
    """Draw the waveform of a file, colored by who speaks when, above its mel spectrogram.

    Args:
        path: An audio file, mono.
        picture: The PNG file to write.
        title: Printed at the top.
        spans: Who speaks when.

    Raises:
        InputError: the file cannot be read, the picture cannot be written, or matplotlib is not installed.
    """
    load("matplotlib", "speak")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    seen = overview(path)
    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    wave, mel = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.6))
    scale, unit = (1 / 60, "min") if seen.seconds > 180 else (1.0, "s")
    end = seen.seconds * scale
    edges = np.linspace(0, end, len(seen.low) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    wave.fill_between(middles, seen.low, seen.high, color="0.25", linewidth=0.3)
    for index, speaker in enumerate(dict.fromkeys(span.speaker for span in spans)):
        bars = [(span.start * scale, (span.stop - span.start) * scale) for span in spans if span.speaker == speaker]
        wave.broken_barh(bars, (-1, 2), color=f"C{index % 10}", alpha=0.3, linewidth=0, label=speaker)
    if spans:
        wave.legend(loc="upper right", fontsize="small", ncols=4)
    peak = max(0.05, float(np.abs([seen.low, seen.high]).max()))
    wave.set(xlim=(0, end), ylim=(-peak, peak), ylabel="sample", title=title)
    mel.imshow(seen.log_mel, origin="lower", aspect="auto", extent=(0, end, 0, len(seen.log_mel)), cmap="magma")
    mel.set(ylabel="mel band", xlabel=unit)
    with whole_file(Path(picture)) as file:
        figure.savefig(file, dpi=100, format="png")
