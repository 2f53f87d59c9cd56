"""Fundamental frequency of speech by YIN, in plain torch, on any device.

Source: de Cheveigné and Kawahara, YIN, a fundamental frequency estimator for speech and music (JASA 111, 2002),
equations 6 to 8 and steps 4 and 5.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LOWEST, HIGHEST = 60.0, 500.0
"""Hz of the voices that are found."""
HOP_SECONDS = 0.01
MIDDLE_SECONDS = 0.02
"""From the start of a frame to the sound that its pitch is that of, about."""
_WINDOW_SECONDS = 0.032  # what is compared with later samples
_APERIODIC = 0.15  # cumulative mean normalized difference above which a frame is unvoiced
_SOFT_DB, _SILENT_DBFS = 35.0, -80.0  # below the loudest frame, and of full scale: unvoiced


@torch.no_grad()
def pitch(audio: Tensor, sample_rate: int) -> Tensor:
    """Hz of audio `(B, S)` every 10 ms, `(B, T)` float32; NaN in unvoiced frames."""
    window, longest = round(_WINDOW_SECONDS * sample_rate), int(sample_rate / LOWEST)
    size = window + longest
    padded = F.pad(audio.double(), (0, max(0, size - audio.shape[1])))
    frames = padded.unfold(1, size, round(HOP_SECONDS * sample_rate))  # (B, T, size)
    level = 10 * torch.log10(frames[..., :window].square().mean(-1) + 1e-12)
    lags, aperiodicity = _best_lags(_normalized_differences(frames, window), int(sample_rate / HIGHEST))
    loud = level > (level.amax(1, keepdim=True) - _SOFT_DB).clamp_min(_SILENT_DBFS)
    return torch.where((aperiodicity < _APERIODIC) & loud, sample_rate / lags, torch.nan).float()


def _normalized_differences(frames: Tensor, window: int) -> Tensor:
    """Cumulative mean normalized difference of frames `(..., window + longest)` at lags 0 to `longest`, equation 8."""
    longest = frames.shape[-1] - window
    size = 1 << (frames.shape[-1] + window).bit_length()
    products = torch.fft.rfft(frames, size) * torch.fft.rfft(frames[..., :window], size).conj()
    correlation = torch.fft.irfft(products, size)[..., : longest + 1]
    power = F.pad(frames.square().cumsum(-1), (1, 0))
    later = power[..., window : window + longest + 1] - power[..., : longest + 1]
    difference = (later[..., :1] + later - 2 * correlation).clamp_min(0)[..., 1:]
    means = difference.cumsum(-1) / torch.arange(1, longest + 1, device=frames.device)
    return F.pad(difference / means.clamp_min(1e-12), (1, 0), value=1.0)


def _best_lags(differences: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """The first dip below the threshold of each row, or else the deepest, as a lag between samples; and its depth."""
    inner = differences[..., least:-1]
    dips = (inner <= differences[..., least - 1 : -2]) & (inner <= differences[..., least + 1 :])
    low = dips & (inner < _APERIODIC)
    deepest = inner.masked_fill(~dips, torch.inf).argmin(-1)
    first = torch.where(low.any(-1), low.to(torch.uint8).argmax(-1), deepest) + least
    before, here, after = (differences.gather(-1, (first + step).unsqueeze(-1)).squeeze(-1) for step in (-1, 0, 1))
    curve = before - 2 * here + after
    shift = torch.where(curve > 0, (before - after) / (2 * curve.clamp_min(1e-30)), 0.0)
    return first + shift.clamp(-0.5, 0.5), here
