"""σ-VAEs of pictures: encoders whose variance is imposed, and decoders; convolutions, or Transformers over patches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Generator, Tensor, nn

from latent.models.facts import check_divisors, facts_of_task
from latent.models.sigma_vae import SigmaRule, draw_around, perturb
from latent.nn.image_codec import ConvDecoder, ConvEncoder, PatchDecoder, PatchEncoder
from s2s import checkpoint
from s2s.config import Fact, Section
from s2s.errors import ConfigError
from s2s.models.base import Model
from s2s.registry import register_model


class ImageTokenizer(Model):
    """A σ-VAE of square pictures: channels of numbers from -1 to 1 to a grid of latents in raster order, and back.

    Latents are `mean + sigma · noise`. Sigma is never predicted; see `SigmaVAE`.

    Source: LatentLM (arXiv 2412.08635), section 2.3.
    """

    class Config(Section):
        """Options of all σ-VAEs of pictures."""

        init: str | None = None
        """Run folder of a tokenizer of the same sizes, whose weights training starts from."""
        image_size: Fact[NonNegativeInt] = 0
        """Pixels of a picture, a side; 0 takes the task's."""
        channels: Fact[NonNegativeInt] = 0
        """1 for gray pictures, 3 for color; 0 takes the task's."""
        latent_size: PositiveInt = 16
        """Numbers per latent."""
        sigma_rule: SigmaRule = "gaussian"
        """gaussian: one draw of N(0, std / 0.8) per picture; fixed: `std`; none: latents are the means."""
        std: float = Field(default=0.75, ge=0)
        """How noisy latents are (see `sigma_rule`)."""

        @property
        def latent_pixels(self) -> int:
            """Pixels of a latent, a side; it divides `image_size`."""
            raise NotImplementedError

    config: ImageTokenizer.Config
    encoder: nn.Module
    decoder: nn.Module

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        resolved = config.model_copy(update=facts_of_task(config, defaults, ("image_size", "channels")))
        if resolved.image_size % config.latent_pixels:
            sides = f"{config.latent_pixels} pixels in pictures of {resolved.image_size}"
            raise ConfigError(
                f"task.image_size: must be a multiple of the side of a latent of this model, found {sides}"
            )
        return resolved

    def initialize(self) -> None:
        if self.config.init is not None:
            checkpoint.load_weights(self, checkpoint.weights_path(Path(self.config.init)))

    @property
    def grid_size(self) -> int:
        """Latents of a picture, a side: n."""
        return self.config.image_size // self.config.latent_pixels

    def encode(self, images: Tensor) -> Tensor:
        """Means `(B, n², L)` of pictures `(B, C, S, S)`."""
        return self.encoder(images)  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `(B, C, S, S)` of latents `(B, n², L)`; numbers may lie beyond -1 and 1."""
        return self.decoder(latents)  # type: ignore[no-any-return]

    def sample(self, mean: Tensor, generator: Generator | None = None) -> Tensor:
        """Latents around means `(B, n², L)`; draws the scales of the B pictures, then the noise."""
        return draw_around(self.config, mean, generator)

    def perturb(self, mean: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        """See `latent.models.sigma_vae.perturb`."""
        return perturb(self.config, mean, scale, noise)


@register_model("image_sigma_vae")
class ConvImageTokenizer(ImageTokenizer):
    """The small one, of convolutions: quickly trained on small pictures."""

    class Config(ImageTokenizer.Config):
        """Options of a convolutional σ-VAE of pictures."""

        widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (32, 64, 128)
        """Channels of each stage, finest first. A latent is 2^(stages - 1) pixels a side."""
        num_blocks: PositiveInt = 1
        """Blocks of each stage, of two convolutions each."""

        @property
        def latent_pixels(self) -> int:
            """Pixels of a latent, a side."""
            return 1 << len(self.widths) - 1

    config: ConvImageTokenizer.Config

    def __init__(self, config: ConvImageTokenizer.Config) -> None:
        super().__init__(config)
        sizes = config.channels, config.widths, config.num_blocks, config.latent_size
        self.encoder, self.decoder = ConvEncoder(*sizes), ConvDecoder(*sizes)


@register_model("image_sigma_vae_vit")
class PatchImageTokenizer(ImageTokenizer):
    """Transformers over patches, with the ends that LatentLM's has. The weights of the latter are not published."""

    class Config(ImageTokenizer.Config):
        """Options of a σ-VAE of Transformers over patches."""

        patch_size: PositiveInt = 16
        """Pixels of a latent, a side."""
        hidden_size: PositiveInt = 256
        """Width of the layers, a multiple of 4."""
        num_layers: int = Field(default=4, ge=1, le=1000)
        """Layers of each half."""
        num_heads: PositiveInt = 4
        """Attention heads, a divisor of `hidden_size`."""

        @property
        def latent_pixels(self) -> int:
            """Pixels of a latent, a side."""
            return self.patch_size

    config: PatchImageTokenizer.Config
    encoder: PatchEncoder
    decoder: PatchDecoder

    def __init__(self, config: PatchImageTokenizer.Config) -> None:
        super().__init__(config)
        sizes = config.channels, config.patch_size, config.latent_size, self.grid_size
        layers = config.hidden_size, config.num_layers, config.num_heads
        self.encoder, self.decoder = PatchEncoder(*sizes, *layers), PatchDecoder(*sizes, *layers)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        check_divisors(config, hidden_size="num_heads")
        if config.hidden_size % 4:
            raise ConfigError(f"model.hidden_size: must be a multiple of 4, found {config.hidden_size}")
        return super().resolve(config, defaults)

    def blocks(self) -> list[nn.Module]:
        return [*self.encoder.transformer.layers, *self.decoder.transformer.layers]
