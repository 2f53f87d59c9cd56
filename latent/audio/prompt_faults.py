"""What is wrong with a recording as a voice prompt: noise or music, a telephone's bandwidth, clipping."""

from __future__ import annotations

import numpy as np

from latent.audio.files import Samples
from latent.audio.levels import frame_levels

LEAST_RANGE_DB = 18.0
"""Between loud and soft frames; in a quiet room the pauses of speech are 30 dB softer and more."""
LEAST_BANDWIDTH = 5000.0
"""Hz; a telephone ends at 3,400 to 4,000."""
MOST_CLIPPED = 0.001
"""Share of samples in flat tops."""
_FLAT = 3  # samples at the peak, one after the other
_BELOW_DB = 60.0  # the loudest band: nothing is heard there
_WINDOW = 1024


def prompt_faults(samples: Samples, sample_rate: int) -> list[str]:
    """Each fault in words, with what was measured, of samples `(L,)` without silent ends."""
    faults = []
    if (span := dynamic_range(samples, sample_rate)) < LEAST_RANGE_DB:
        faults.append(f"noise or music (its soft parts are only {span:.0f} dB below its loud ones)")
    if (width := bandwidth(samples, sample_rate)) < min(LEAST_BANDWIDTH, 0.9 * sample_rate / 2):
        faults.append(f"a narrow band, as of a telephone (nothing above {width / 1000:.1f} kHz)")
    if (share := clipped(samples)) > MOST_CLIPPED:
        faults.append(f"clipping ({share:.1%} of its samples)")
    return faults


def dynamic_range(samples: Samples, sample_rate: int) -> float:
    """dB between the 95th and the 5th percentile of the levels of its frames."""
    soft, loud = np.percentile(np.maximum(frame_levels(samples, sample_rate), -100.0), [5, 95])
    return float(loud - soft)


def bandwidth(samples: Samples, sample_rate: int) -> float:
    """The highest frequency, in Hz, whose mean power is at most 60 dB below that of the strongest."""
    padded = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[:: _WINDOW // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW)))).mean(0)
    heard = np.flatnonzero(power > power.max() * 10 ** (-_BELOW_DB / 10))
    return float(heard[-1]) * sample_rate / _WINDOW if len(heard) else 0.0


def clipped(samples: Samples) -> float:
    """Share of samples in runs of three and more at the highest or at the lowest value."""
    runs = 0
    for extreme in (samples.max(initial=0.0), samples.min(initial=0.0)):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], np.isclose(samples, extreme, atol=1e-4), [False]])))
        lengths = edges[1::2] - edges[::2]
        runs += int(lengths[lengths >= _FLAT].sum()) if extreme else 0
    return runs / max(1, len(samples))
