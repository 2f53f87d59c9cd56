"""The last layer of a decoder that knows what a voice is: pulses at a pitch and noise, each shaped by a filter.

A network that writes phases itself (`latent.nn.spectrum`) must learn that the harmonics of a voice stand in line, which
takes a small one long. Here they do so by construction, and the network gives what varies slowly: the pitch and, for
each filter, its gain in `_BANDS` bands. The phases of a filter follow from its gains (minimum phase), as in a vocal
tract. So few numbers suffice: with gains fitted to recordings of speech, listeners' models hear hardly a difference.

Source: the source-filter model as in DDSP (arXiv 2001.04643) and neural source-filter models (arXiv 1904.12088);
minimum phase by the folded cepstrum, A. Oppenheim and R. Schafer, Discrete-Time Signal Processing, section 13.5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent.nn.spectrum import overlap_add

REFERENCE = 150.0
"""Hz of pitch 0; pitches are octaves above it."""
AHEAD = 4
"""Frames from the one whose features give a pitch to the one that begins with it: a window's length of known pitch."""
_LOWEST, _HIGHEST = -1.5, 1.9  # octaves: 53 to 560 Hz
_NOISE_FRAMES = 256  # after which the noise repeats: 2.6 s at hops of 10 ms
_BANDS = 80
_PHASES = 2**20  # phases that are told apart in a cycle
_MEL_KNEE = 700.0  # Hz; bands are about linear below it and logarithmic above
_PULSE_OFFSET, _NOISE_OFFSET = 4.0, 5.0  # log gains of speech at levels as trained, from 0
_SOFTEST, _LOUDEST = -20.0, 7.0  # far softer than can be heard, but polar() has gradients there; and louder than 1


class HarmonicWriter(nn.Module):
    """A matrix gives the gains of pulses and of noise for each frame; the filtered sums are transformed back and added.

    The window is `AHEAD` times the hop, both in samples. The past is a row of numbers: what earlier frames add to later
    samples, the pitches that are known ahead, the phase in cycles, and the place in the noise.
    """

    shape: Tensor
    noise: Tensor
    spread: Tensor
    fold: Tensor

    def __init__(self, channels: int, window: int, hop: int, sample_rate: int) -> None:
        super().__init__()
        assert window == AHEAD * hop, "pitches are known for one window ahead"
        self.window, self.hop, self.sample_rate = window, hop, sample_rate
        self.project = nn.Linear(channels, 2 * _BANDS)
        self.pitch_up, self.pitch_down = nn.Linear(channels, 64), nn.Linear(64, 1)
        self.register_buffer("shape", torch.hann_window(window), persistent=False)
        self.register_buffer("noise", self._noise_spectra(), persistent=False)
        self.register_buffer("spread", _spread(window, sample_rate), persistent=False)
        fold = torch.ones(window)
        fold[1 : window // 2], fold[window // 2 + 1 :] = 2, 0
        self.register_buffer("fold", fold, persistent=False)

    def pitch(self, x: Tensor) -> Tensor:
        """Octaves above `REFERENCE`, `(B, T)`, of features `(B, channels, T)`: of the frame `AHEAD` later."""
        return self.pitch_down(F.silu(self.pitch_up(x.transpose(1, 2)))).squeeze(-1).float()  # type: ignore[no-any-return]

    def forward(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(B, channels, T)` to samples `(B, 1, T · hop)`. No gradient reaches the pitch; a loss must teach it."""
        frames, later = x.shape[2], self.window - self.hop
        if past is None:
            past = torch.zeros(len(x), 1, later + AHEAD + 2, device=x.device)
            if self.training:  # a network shall not learn the noise by heart
                past[..., -1] = torch.randint(_NOISE_FRAMES, (len(x), 1), device=x.device).float()
        added, known, phase, place = torch.split(past[:, 0], [later, AHEAD, 1, 1], dim=1)
        pitches = torch.cat([known, self.pitch(x).detach()], dim=1)  # (B, AHEAD + T), of the frames from here on
        pulses, phases = self._pulses(pitches, phase)
        voiced, unvoiced = self.project(x.transpose(1, 2)).float().chunk(2, dim=-1)
        places = (place.long() + torch.arange(frames, device=x.device)) % _NOISE_FRAMES  # (B, T)
        spectrum = (
            self._filter(voiced - _PULSE_OFFSET) * torch.fft.rfft(pulses.unfold(1, self.window, self.hop) * self.shape)
            + self._filter(unvoiced - _NOISE_OFFSET) * self.noise[places]
        )
        samples = overlap_add(torch.fft.irfft(spectrum, self.window) * self.shape, self.hop, added)
        size = frames * self.hop
        after = (place + frames) % _NOISE_FRAMES
        state = torch.cat([samples[:, size:], pitches[:, frames:], phases[:, frames, None], after], dim=1)
        return samples[:, None, :size].to(x.dtype), state[:, None].clone()

    def _filter(self, gains: Tensor) -> Tensor:
        """The complex spectrum `(B, T, window / 2 + 1)` of minimum phase with log gains `(B, T, _BANDS)`."""
        cepstrum = torch.fft.irfft(gains.clamp(_SOFTEST, _LOUDEST) @ self.spread, self.window)
        spectrum = torch.fft.rfft(cepstrum * self.fold)
        return torch.polar(spectrum.real.exp(), spectrum.imag)  # five times as fast as the complex exp()

    def _pulses(self, pitches: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Pulses of power 1 over the N - 1 hops between N pitches, `(B, (N - 1) · hop)`; the phase of each frame.

        The frequency moves in a line from frame to frame. All harmonics below half of the sample rate are in phase:
        cos φ + ... + cos Kφ = sin((K + 1/2) φ) / (2 sin(φ / 2)) - 1/2.
        """
        cycles = REFERENCE * torch.exp2(pitches.clamp(_LOWEST, _HIGHEST)) / self.sample_rate  # per sample
        before, after = cycles[:, :-1, None], cycles[:, 1:, None]
        advance = self.hop * (before + after).squeeze(-1) / 2
        advance = (advance * _PHASES).round() / _PHASES  # sums are exact then, however a stream is cut
        phases = (phase + F.pad(advance.double().cumsum(1), (1, 0))).frac().float()  # (B, N)
        time = torch.arange(self.hop, device=pitches.device)
        angle = 2 * torch.pi * (phases[:, :-1, None] + before * time + (after - before) * time**2 / (2 * self.hop))
        count = (0.5 / (before + (after - before) * time / self.hop)).floor()
        half = torch.sin(angle / 2)
        peak = half.abs() < 1e-4
        pulses = torch.sin((count + 0.5) * angle) / (2 * half.masked_fill(peak, 1.0))
        pulses = (torch.where(peak, count + 0.5, pulses) - 0.5) * (2 / count).sqrt()
        return pulses.flatten(1), phases

    def _noise_spectra(self) -> Tensor:
        """Spectra of windows of noise that repeats, `(_NOISE_FRAMES, window / 2 + 1)`; the same in every process."""
        samples = torch.randn(_NOISE_FRAMES * self.hop, generator=torch.Generator().manual_seed(0))
        longer = torch.cat([samples, samples[: self.window - self.hop]])
        spectra: Tensor = torch.fft.rfft(longer.unfold(0, self.window, self.hop) * torch.hann_window(self.window))
        return spectra


def _spread(window: int, sample_rate: int) -> Tensor:
    """Weights `(_BANDS, window / 2 + 1)` that interpolate in a line, on the mel scale, between gains of bands."""
    mel = torch.log1p(torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64) / _MEL_KNEE)
    places = mel / mel[-1] * (_BANDS - 1)
    return (1 - (places - torch.arange(_BANDS)[:, None]).abs()).clamp_min(0).float()
