"""CIM: a small generator fills masked patches; an enhancer, which sees no mask, learns from the corrupted picture."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from latent.models.facts import check_divisors
from latent.models.image_encoder import PictureEncoder
from latent.nn.vision import VisionEncoder
from s2s.errors import ConfigError
from s2s.registry import register_model


@register_model("corrupted_image")
class CorruptedImage(PictureEncoder):
    """A generator, a BEiT over codes of a tokenizer, and the enhancer, whose features are what pretraining is for.

    Source: CIM (arXiv 2202.03382), figure 1; ELECTRA's pair, with pixels in place of words.
    """

    class Config(PictureEncoder.Config):
        """Options of the enhancer and the generator."""

        num_codes: int = Field(default=512, ge=2)
        """Codes of the tokenizer."""
        generator_size: PositiveInt = 96
        """Width of the generator, a multiple of 4 and of `num_heads`."""
        generator_layers: int = Field(default=2, ge=1, le=1000)
        """Its layers."""
        learns: Literal["pixels", "replaced"] = "pixels"
        """What the enhancer says of each patch: its original pixels (ResPix), or whether it was replaced (RevDet)."""

    config: CorruptedImage.Config

    def __init__(self, config: CorruptedImage.Config) -> None:
        super().__init__(config)
        sizes = config.sizes()
        small = sizes._replace(hidden_size=config.generator_size, num_layers=config.generator_layers)
        self.generator = VisionEncoder(small, reads_masks=True)
        self.code_head = nn.Linear(config.generator_size, config.num_codes)
        self.encoder = VisionEncoder(sizes)
        self.head = nn.Linear(config.hidden_size, sizes.patch_pixels if config.learns == "pixels" else 1)

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        check_divisors(config, generator_size="num_heads")
        if config.generator_size % 4:
            raise ConfigError(f"model.generator_size: must be a multiple of 4, found {config.generator_size}")
        return super().resolve(config, defaults)

    @property
    def num_codes(self) -> int:
        """Codes that the generator chooses from."""
        return self.config.num_codes

    @property
    def learns(self) -> str:
        """What the enhancer says of each patch, "pixels" or "replaced"."""
        return self.config.learns

    def code_logits(self, images: Tensor, mask: Tensor) -> Tensor:
        """The generator's scores of codes, `(M, num_codes)`, for the patches in `mask` `(B, N)`."""
        return self.code_head(self.generator(images, mask)[mask])  # type: ignore[no-any-return]

    def enhance(self, images: Tensor) -> Tensor:
        """What the enhancer says of each patch of corrupted pictures, `(B, N, P)` or `(B, N, 1)`."""
        return self.head(self.encoder(images))  # type: ignore[no-any-return]

    def blocks(self) -> list[nn.Module]:
        return [*super().blocks(), *self.generator.layers.layers]
