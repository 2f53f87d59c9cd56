"""A discrete tokenizer of pictures: one code for each patch, from which pixels or a teacher's features are restored."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from latent.models.image_encoder import PictureEncoder
from latent.nn.patches import from_patches, places
from latent.nn.quantizer import NormEMAQuantizer
from latent.nn.vision import PatchLayers, VisionEncoder
from s2s.registry import register_model


@register_model("image_quantizer")
class ImageQuantizer(PictureEncoder):
    """Encoder, codebook and decoder: of features it is the tokenizer of BEiT v2 (VQ-KD), of pixels one as BEiT's.

    Source: BEiT v2 (arXiv 2208.06366), section 2.1. BEiT's own tokenizer is a published dVAE with relaxed codes.
    """

    class Config(PictureEncoder.Config):
        """Options of a discrete tokenizer."""

        output_size: NonNegativeInt = 0
        """Numbers that are restored for a patch: features of a teacher; 0: its pixels."""
        num_codes: int = Field(default=512, ge=2)
        """Codes."""
        code_size: PositiveInt = 32
        """Numbers of the vector of a code."""
        decay: float = Field(default=0.99, gt=0, lt=1)
        """How slowly codes follow what they stand for."""
        decoder_layers: int = Field(default=2, ge=1, le=1000)
        """Layers of the decoder."""

    config: ImageQuantizer.Config
    places: Tensor

    def __init__(self, config: ImageQuantizer.Config) -> None:
        super().__init__(config)
        sizes = config.sizes()
        self.encoder = VisionEncoder(sizes)
        self.register_buffer("places", places(sizes.grid_size, config.hidden_size), persistent=False)
        self.narrow = nn.Linear(config.hidden_size, config.code_size)
        self.quantizer = NormEMAQuantizer(config.num_codes, config.code_size, config.decay)
        self.widen = nn.Linear(config.code_size, config.hidden_size)
        self.decoder = PatchLayers(config.hidden_size, config.decoder_layers, config.num_heads)
        self.head = nn.Linear(config.hidden_size, self.output_size)

    @property
    def output_size(self) -> int:
        """Numbers that are restored for a patch."""
        return self.config.output_size or self.sizes.patch_pixels

    @property
    def num_codes(self) -> int:
        """Codes."""
        return self.config.num_codes

    def restore(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What codes say of each patch, `(B, N, output_size)`; their distance and the codes, both `(B, N)`."""
        found = self.quantizer(self.narrow(self.encoder(images)).flatten(0, 1))
        shape = (len(images), -1)
        return self._decode(found.vectors.unflatten(0, shape)), *(
            part.view(shape) for part in (found.commitment, found.codes)
        )

    def tokens(self, images: Tensor) -> Tensor:
        """The codes `(B, N)` of pictures `(B, C, S, S)`, in raster order."""
        return self.quantizer(self.narrow(self.encoder(images)).flatten(0, 1)).codes.view(len(images), -1)  # type: ignore[no-any-return]

    def pictures(self, tokens: Tensor) -> Tensor:
        """The pictures `(B, C, S, S)` of codes `(B, N)`, of a tokenizer that restores pixels."""
        return from_patches(self._decode(self.quantizer.codebook[tokens]), self.sizes.patch_size)

    def _decode(self, vectors: Tensor) -> Tensor:
        return self.head(self.decoder(self.widen(vectors) + self.places))  # type: ignore[no-any-return]
