"""The losses of the audio tokenizer: mel spectra at several scales, discriminators, and the size of the means."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from latent.audio.features import LogMel
from latent.audio.pitch import HOP_SECONDS, MIDDLE_SECONDS
from latent.audio.pitch import pitch as pitch_of
from latent.data.batch import AudioBatch
from latent.nn.discriminators import (
    Features,
    PeriodDiscriminator,
    SpectrumDiscriminator,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from latent.nn.harmonics import AHEAD, REFERENCE
from s2s.config import Fact, Section
from s2s.criteria.base import Criterion
from s2s.data.batch import Batch
from s2s.errors import ConfigError
from s2s.registry import register_criterion


@runtime_checkable
class Autoencoder(Protocol):
    """A model that turns audio into latents and back."""

    def encode(self, audio: Tensor) -> Tensor:
        """Means `(B, F, L)` of audio `(B, 1, S)`."""

    def sample(self, mean: Tensor) -> Tensor:
        """Latents around means."""

    def decode(self, latents: Tensor) -> Tensor:
        """Audio `(B, 1, S)` of latents `(B, F, L)`."""

    @property
    def has_pitch(self) -> bool:
        """Whether it has `decode_with_pitch`."""

    def decode_with_pitch(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Audio as above, and the pitches of its frames; see `latent.nn.harmonics`."""


class Reconstruction(NamedTuple):
    """Means of the latents `(B, F, L)`, audio `(B, 1, S)` and, where the decoder finds one, the pitch `(B, T)`."""

    mean: Tensor
    audio: Tensor
    pitch: Tensor | None


@register_criterion("sigma_vae_spectra")
class SpectraCriterion(Criterion):
    """Reconstruction of audio, compared by spectra alone: for tokenizers smaller than a discriminator.

    The variance does not depend on the input, so the KL term is the mean square of the means.

    Source: LatentLM (arXiv 2412.08635), section 2.3.
    """

    losses: ClassVar[tuple[str, ...]] = ("mel_loss", "kl_loss", "pitch_loss")
    phases: ClassVar[tuple[str, ...]] = ("generator",)
    model_type = Autoencoder
    batch_type = AudioBatch

    class Config(Section):
        """Options of the criterion of spectra."""

        mel_weight: NonNegativeFloat = 15.0
        """Factor of the difference of log-mel spectra."""
        kl_weight: NonNegativeFloat = 0.01
        """Factor of the mean square of the means."""
        pitch_weight: NonNegativeFloat = 0.0
        """Factor of the difference of pitches in octaves, for a tokenizer with `model.writer=harmonics` alone."""
        mel_windows: tuple[PositiveInt, ...] = (32, 64, 128, 256, 512, 1024, 2048)
        """Window lengths of the mel spectra, in samples; hops are a quarter of them."""
        mel_bins: Fact[tuple[PositiveInt, ...]] = (5, 10, 20, 40, 80, 160, 320)
        """Mel filters at each window length."""
        mel_floor: PositiveFloat = 1e-5
        """Smallest value under the logarithm; softer sounds do not count."""

        @model_validator(mode="after")
        def _as_many_bins_as_windows(self) -> SpectraCriterion.Config:
            if len(self.mel_windows) != len(self.mel_bins):
                raise ValueError("mel_windows and mel_bins must have as many entries as each other")
            return self

    config: SpectraCriterion.Config

    def check(self, model: nn.Module, batch: Batch) -> None:
        super().check(model, batch)
        assert isinstance(model, Autoencoder)
        if model.has_pitch != bool(self.config.pitch_weight):
            wanted = "above 0 (5, say)" if model.has_pitch else "0"
            raise ConfigError(
                f"criterion.pitch_weight: must be {wanted} for this tokenizer, found {self.config.pitch_weight:g}"
            )

    def weights(self, batch: AudioBatch) -> dict[str, float]:
        """The number of segments."""
        names = [name for name in self.losses if name != "pitch_loss" or self.config.pitch_weight]
        return dict.fromkeys(names, float(len(batch.audio)))

    def forward(self, model: Autoencoder, batch: AudioBatch, phase: str = "generator") -> dict[str, Tensor]:
        """The losses, summed over segments."""
        return self._reconstruction_losses(batch, self._reconstruct(model, batch.audio))

    def mel_difference(self, real: Tensor, fake: Tensor, sample_rate: int) -> Tensor:
        """Mean absolute difference of log-mel spectra of audio `(B, 1, S)`, summed over scales."""
        config = self.config
        scales = _mel_scales(sample_rate, config.mel_windows, config.mel_bins, config.mel_floor, real.device)
        real, fake = real.squeeze(1).float(), fake.squeeze(1).float()
        return torch.stack([(scale(real) - scale(fake)).abs().mean() for scale in scales]).sum()

    def _reconstruct(self, model: Autoencoder, audio: Tensor) -> Reconstruction:
        mean = model.encode(audio)
        latents = model.sample(mean)
        found, pitch = model.decode_with_pitch(latents) if model.has_pitch else (model.decode(latents), None)
        return Reconstruction(mean, found[..., : audio.shape[-1]], pitch)

    def _reconstruction_losses(self, batch: AudioBatch, found: Reconstruction) -> dict[str, Tensor]:
        config, count = self.config, len(batch.audio)
        difference = self.mel_difference(batch.audio, found.audio, batch.sample_rate)
        losses = {
            "mel_loss": count * config.mel_weight * difference,
            "kl_loss": count * config.kl_weight * found.mean.square().mean(),
        }
        if found.pitch is not None:
            losses["pitch_loss"] = count * config.pitch_weight * pitch_difference(batch, found.pitch)
        return losses


def pitch_difference(batch: AudioBatch, found: Tensor) -> Tensor:
    """Mean absolute difference in octaves of the pitches `(B, T)` of frames from those of the recordings, where voiced.

    Each is the pitch of `AHEAD` frames later; the last ones have no sound to be compared with.
    """
    hop = batch.audio.shape[-1] / batch.sample_rate / found.shape[1]  # seconds
    times = (torch.arange(found.shape[1], device=found.device) + AHEAD) * hop
    places = ((times - MIDDLE_SECONDS) / HOP_SECONDS).round().long()
    recorded = pitch_of(batch.audio.squeeze(1), batch.sample_rate)
    known = places < recorded.shape[1]
    wanted = torch.log2(recorded[:, places[known]] / REFERENCE)
    voiced = ~wanted.isnan()
    differences = (found[:, known] - wanted.nan_to_num()).abs() * voiced
    return differences.sum() / voiced.sum().clamp_min(1)


@register_criterion("sigma_vae")
class SigmaVAECriterion(SpectraCriterion):
    """Reconstruction of audio, compared by spectra and by discriminators, which train in their own phase.

    Source: Descript Audio Codec (arXiv 2306.06546), section 3.5, whose weights are the defaults.
    """

    losses: ClassVar[tuple[str, ...]] = (
        "discriminator_loss",
        "mel_loss",
        "adversarial_loss",
        "feature_loss",
        "kl_loss",
        "pitch_loss",
    )
    adversarial_losses: ClassVar[tuple[str, ...]] = ("discriminator_loss", "adversarial_loss", "feature_loss")
    phases: ClassVar[tuple[str, ...]] = ("discriminator", "generator")

    class Config(SpectraCriterion.Config):
        """Options of the σ-VAE criterion."""

        adversarial_weight: NonNegativeFloat = 1.0
        """Factor of the adversarial loss."""
        feature_weight: NonNegativeFloat = 2.0
        """Factor of the difference of the discriminators' feature maps."""
        periods: Fact[tuple[PositiveInt, ...]] = (2, 3, 5, 7, 11)
        """Periods of the waveform discriminators, in samples."""
        period_widths: Fact[tuple[PositiveInt, ...]] = (32, 128, 512, 1024, 1024)
        """Channels of their layers."""
        spectrum_windows: Fact[tuple[PositiveInt, ...]] = (2048, 1024, 512)
        """Window lengths of the spectrum discriminators, in samples."""
        spectrum_width: Fact[PositiveInt] = 32
        """Channels of their layers."""

        @model_validator(mode="after")
        def _two_layers_or_more(self) -> SigmaVAECriterion.Config:
            if len(self.period_widths) < 2:
                raise ValueError("period_widths must have at least two entries")
            return self

    config: SigmaVAECriterion.Config

    def __init__(self, config: SigmaVAECriterion.Config) -> None:
        super().__init__(config)
        periods = [PeriodDiscriminator(period, config.period_widths) for period in config.periods]
        spectra = [SpectrumDiscriminator(window, config.spectrum_width) for window in config.spectrum_windows]
        self.discriminators = nn.ModuleList([*periods, *spectra])

    def parameters_of(self, phase: str, model: nn.Module) -> Iterable[nn.Parameter]:
        return self.discriminators.parameters() if phase == "discriminator" else model.parameters()

    def forward(self, model: Autoencoder, batch: AudioBatch, phase: str = "generator") -> dict[str, Tensor]:
        """The losses of a phase, summed over segments."""
        count = len(batch.audio)
        self.discriminators.requires_grad_(phase == "discriminator")  # no gradients that nobody uses
        if phase == "discriminator":
            with torch.no_grad():
                audio = self._reconstruct(model, batch.audio).audio
            loss = discriminator_loss(self._features(batch.audio), self._features(audio))
            return {"discriminator_loss": count * loss}
        found = self._reconstruct(model, batch.audio)
        with torch.no_grad():
            real = self._features(batch.audio)
        fake, config = self._features(found.audio), self.config
        return {
            **self._reconstruction_losses(batch, found),
            "adversarial_loss": count * config.adversarial_weight * adversarial_loss(fake),
            "feature_loss": count * config.feature_weight * feature_loss(real, fake),
        }

    def _features(self, audio: Tensor) -> list[Features]:
        return [discriminator(audio) for discriminator in self.discriminators]


@lru_cache
def _mel_scales(
    sample_rate: int, windows: tuple[int, ...], bins: tuple[int, ...], floor: float, device: torch.device
) -> list[LogMel]:
    sizes = zip(windows, bins, strict=True)
    return [LogMel(sample_rate, count, window, floor=floor).to(device) for window, count in sizes]
