"""The σ-VAE audio tokenizer: a causal encoder whose variance is imposed, and a causal decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from latent.nn.codec import AudioDecoder, AudioEncoder, CodecSizes, Writer
from latent.nn.conv import History
from latent.nn.harmonics import AHEAD
from s2s import checkpoint
from s2s.config import Fact, Section
from s2s.errors import ConfigError
from s2s.models.base import Model
from s2s.nn.packed import Precision
from s2s.registry import register_model

SigmaRule = Literal["gaussian", "fixed", "none"]


class Sampling(Protocol):
    """How latents are drawn around their means; see `SigmaVAE.Config`."""

    @property
    def sigma_rule(self) -> SigmaRule: ...

    @property
    def std(self) -> float: ...


@register_model("sigma_vae")
class SigmaVAE(Model):
    """σ-VAE: turns samples into latent frames and back, as a whole or chunk by chunk.

    Latents are `mean + sigma · noise`. Sigma is never predicted, so latents keep the same spread in every channel, and
    the decoder becomes robust to errors of a model that generates them.

    Source: LatentLM (arXiv 2412.08635), section 2.3; sizes and layers of VibeVoice (arXiv 2508.19205).
    """

    class Config(Section):
        """Options of the σ-VAE. The defaults are VibeVoice's acoustic tokenizer."""

        init: str | None = None
        """Run folder of a σ-VAE of the same sizes, whose weights training starts from."""
        freeze_encoder: bool = False
        """Train only the decoder, so that encoded latents and models trained on them stay valid."""
        sample_rate: PositiveInt = 24_000
        """Samples per second of the audio (Hz)."""
        ratios: tuple[PositiveInt, ...] = (2, 2, 4, 5, 5, 8)
        """Down-sampling of each stage after the first, encoder order. Their product is the hop length in samples."""
        depths: tuple[Annotated[int, Field(ge=0, le=1000)], ...] = (3, 3, 3, 3, 3, 3, 8)
        """Blocks of each encoder stage, one more entry than `ratios`. 0 blocks in the first stage are far faster."""
        decoder_depths: tuple[Annotated[int, Field(ge=0, le=1000)], ...] | None = None
        """Blocks of each decoder stage, decoder order. Default: `depths` reversed."""
        widths: tuple[PositiveInt, ...] = (32, 64, 128, 256, 512, 1024, 2048)
        """Channels of each stage, encoder order, one more entry than `ratios`."""
        latent_size: PositiveInt = 64
        """Numbers per latent frame."""
        kernel_size: PositiveInt = 7
        """Width of the first, the last and the depthwise convolutions."""
        window: NonNegativeInt = 0
        """Window in samples of the spectra that replace the first stage of both halves; their hop is the first ratio,
        and the window an even multiple of it. The encoder reads log magnitudes; the decoder writes magnitudes and
        phases. A small model speaks clearly far sooner that way. 0: convolutions on samples, as in VibeVoice."""
        writer: Writer = "spectrum"
        """What makes samples in the decoder, if `window` is set. spectrum: magnitudes and phases, for any sound.
        harmonics: pulses at a pitch and noise, both filtered, for one voice at a time (`latent.nn.harmonics`);
        `criterion.pitch_weight` teaches the pitch."""
        lookahead: NonNegativeInt = 0
        """Samples after a frame that the encoder hears too. The windows of the decoder reach beyond the last frame by
        `window` minus the first ratio; an encoder that hears as much tells what sounds there, which the decoder must
        guess otherwise. Encoding of a stream waits for them, decoding for nothing."""
        expansion: Fact[PositiveInt] = 4
        """Width inside the blocks' feed-forward networks, as a multiple of the channels."""
        norm_eps: Fact[PositiveFloat] = 1e-5
        """Added to the mean square in the norms."""
        layer_scale: Fact[float] = 1e-6
        """Initial scale of each block's two branches. Small models learn faster from 0.1 or more."""
        initializer_range: Fact[PositiveFloat | None] = 0.01
        """Standard deviation of initial weights; none: the inverse root of the number of inputs, as wide ratios need,
        since a constant one then weakens the signal at every stage."""
        sigma_rule: SigmaRule = "gaussian"
        """gaussian: one draw of N(0, std / 0.8) per recording; fixed: `std`; none: latents are the means."""
        std: float = Field(default=0.5, ge=0)
        """How noisy latents are (see `sigma_rule`)."""

        @model_validator(mode="after")
        def _same_stages(self) -> SigmaVAE.Config:
            stages = len(self.ratios) + 1
            for name in ("depths", "widths", "decoder_depths"):
                entries = getattr(self, name)
                if entries is not None and len(entries) != stages:
                    raise ValueError(f"{name} must have one more entry than ratios ({stages}), found {len(entries)}")
            if self.window and (len(self.ratios) < 2 or self.window % (2 * self.ratios[0])):
                raise ValueError(
                    f"window must be an even multiple of the first of two ratios or more, found {self.window}"
                )
            if self.writer == "harmonics" and self.window != AHEAD * self.ratios[0]:
                raise ValueError(
                    f"window must be {AHEAD} times the first ratio for the writer 'harmonics', found {self.window}"
                )
            return self

        @property
        def all_decoder_depths(self) -> tuple[int, ...]:
            """Blocks of each decoder stage, decoder order."""
            return self.decoder_depths or self.depths[::-1]

        def sizes(self, depths: tuple[int, ...]) -> CodecSizes:
            """Sizes of the half that has these depths."""
            return CodecSizes(
                ratios=self.ratios,
                depths=depths,
                widths=self.widths,
                latent_size=self.latent_size,
                kernel_size=self.kernel_size,
                expansion=self.expansion,
                norm_eps=self.norm_eps,
                layer_scale=self.layer_scale,
                window=self.window,
                writer=self.writer,
                sample_rate=self.sample_rate,
            )

    config: SigmaVAE.Config

    def __init__(self, config: SigmaVAE.Config) -> None:
        super().__init__(config)
        self.encoder = AudioEncoder(config.sizes(config.depths))
        self.decoder = AudioDecoder(config.sizes(config.all_decoder_depths))
        self.apply(self._initialize_module)
        if config.freeze_encoder:
            self.encoder.requires_grad_(False)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        wanted = defaults.get("sample_rate", config.sample_rate)
        if "sample_rate" in config.model_fields_set and config.sample_rate != wanted:
            raise ConfigError(f"model.sample_rate: must be {wanted} as in the task's data, found {config.sample_rate}")
        return config.model_copy(update={"sample_rate": wanted})

    def prepare(self, precision: Precision = "float32") -> None:  # always float32, for the sound
        self.encoder.prepare()
        self.decoder.prepare()

    def initialize(self) -> None:
        if self.config.init is not None:
            checkpoint.load_weights(self, checkpoint.weights_path(Path(self.config.init)))

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.encoder.hop_length

    @property
    def frame_rate(self) -> float:
        """Frames per second (Hz)."""
        return float(self.config.sample_rate / self.hop_length)

    def encode(self, audio: Tensor) -> Tensor:
        """Means `(B, F, latent_size)` of whole signals `(B, 1, S)`; a last partial frame is filled with zeros."""
        later = self.config.lookahead
        mean, _ = self.encode_chunk(F.pad(audio, (0, later + -audio.shape[-1] % self.hop_length))[..., later:], None)
        return mean

    def encode_chunk(self, audio: Tensor, history: History | None) -> tuple[Tensor, History]:
        """The next means of a stream without its first `lookahead` samples; see `AudioEncoder`.

        The chunk must hold whole frames.
        """
        return self.encoder(audio, history)  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Audio `(B, 1, F · hop_length)` of whole signals `(B, F, latent_size)`."""
        audio, _ = self.decode_chunk(latents, None)
        return audio

    @property
    def has_pitch(self) -> bool:
        """Whether the decoder finds a pitch, which `decode_with_pitch` gives."""
        return self.config.writer == "harmonics"

    def decode_with_pitch(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """See `AudioDecoder.with_pitch`."""
        return self.decoder.with_pitch(latents)

    def decode_chunk(self, latents: Tensor, history: History | None) -> tuple[Tensor, History]:
        """The next samples of a stream; see `AudioDecoder`."""
        return self.decoder(latents, history)  # type: ignore[no-any-return]

    def sample(self, mean: Tensor, generator: Generator | None = None) -> Tensor:
        """Latents around means `(B, F, latent_size)`; draws the scales of the B recordings, then the noise."""
        return draw_around(self.config, mean, generator)

    def perturb(self, mean: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        """See `perturb`."""
        return perturb(self.config, mean, scale, noise)

    def _initialize_module(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
            nn.init.normal_(module.weight, std=self.config.initializer_range or _num_inputs(module) ** -0.5)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


def draw_around(config: Sampling, mean: Tensor, generator: Generator | None = None) -> Tensor:
    """Latents around means `(B, ...)`; draws the scales of the B items, then the noise."""
    kwargs: dict[str, Any] = {"generator": generator, "device": mean.device, "dtype": mean.dtype}
    scale = torch.randn(len(mean), **kwargs) if config.sigma_rule == "gaussian" else mean.new_ones(len(mean))
    return perturb(config, mean, scale, torch.randn(mean.shape, **kwargs))


def perturb(config: Sampling, mean: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
    """Latents around means `(B, ...)` with given unit-normal draws.

    `scale` `(B,)` is that of each item, for the rule "gaussian"; `noise` has the shape of the means.
    """
    if config.sigma_rule == "none":
        return mean
    if config.sigma_rule == "fixed":
        return mean + config.std * noise
    return mean + (config.std / 0.8 * scale).view(-1, *[1] * (mean.dim() - 1)) * noise


def _num_inputs(module: nn.Linear | nn.Conv1d | nn.ConvTranspose1d) -> int:
    """Inputs of each output of a layer."""
    if isinstance(module, nn.ConvTranspose1d):  # each output sample is reached by kernel / stride inputs
        return module.in_channels * module.kernel_size[0] // module.stride[0]
    return module.weight[0].numel()
