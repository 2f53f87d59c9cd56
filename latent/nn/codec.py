"""The two halves of an audio tokenizer: samples to latent frames, latent frames to samples, both causal."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import Tensor, nn

from latent.nn.conv import CausalConv, CausalUpsampling, ConvBlock, History, run_stack
from latent.nn.fixed import fixed_layers
from latent.nn.harmonics import HarmonicWriter
from latent.nn.spectrum import SpectrumReader, SpectrumWriter

Writer = Literal["spectrum", "harmonics"]


@dataclass(frozen=True)
class CodecSizes:
    """Sizes of an encoder, or of the decoder that mirrors it.

    Fields as in `SigmaVAE.Config`: `ratios` and `widths` in the order of the encoder, `depths` in that of the half.
    """

    ratios: tuple[int, ...]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    latent_size: int
    kernel_size: int = 7
    expansion: int = 4
    norm_eps: float = 1e-5
    layer_scale: float = 1e-6
    window: int = 0
    writer: Writer = "spectrum"
    sample_rate: int = 24_000

    def blocks(self, channels: int, depth: int) -> list[nn.Module]:
        """The blocks of one stage."""
        return [
            ConvBlock(channels, self.kernel_size, self.expansion, self.norm_eps, self.layer_scale) for _ in range(depth)
        ]

    def last_layer(self, channels: int, hop: int) -> nn.Module:
        """What makes samples of spectra."""
        if self.writer == "harmonics":
            return HarmonicWriter(channels, self.window, hop, self.sample_rate)
        return SpectrumWriter(channels, self.window, hop)


class AudioEncoder(nn.Module):
    """Mono samples to frames: the mean of a σ-VAE, or the features of a semantic tokenizer."""

    def __init__(self, sizes: CodecSizes) -> None:
        super().__init__()
        widths, kernel = sizes.widths, sizes.kernel_size
        layers: list[nn.Module] = [CausalConv(1, widths[0], kernel), *sizes.blocks(widths[0], sizes.depths[0])]
        stages = list(zip(sizes.ratios, widths, widths[1:], sizes.depths[1:], strict=False))
        if sizes.window:
            hop, _, wide, depth = stages.pop(0)
            layers = [SpectrumReader(sizes.window, hop), CausalConv(sizes.window // 2 + 1, wide, 1)]
            layers += sizes.blocks(wide, depth)
        for ratio, narrow, wide, depth in stages:
            layers += [CausalConv(narrow, wide, 2 * ratio, ratio), *sizes.blocks(wide, depth)]
        self.layers = nn.ModuleList([*layers, CausalConv(widths[-1], sizes.latent_size, kernel)])
        self.hop_length = prod(sizes.ratios)

    def prepare(self) -> None:
        """Replace the layers by those of `latent.nn.fixed`, which only generate."""
        self.layers = fixed_layers(self.layers)

    def forward(self, audio: Tensor, history: History | None = None) -> tuple[Tensor, History]:
        """Encode a chunk of a signal.

        Args:
            audio: `(B, 1, S)`, S a multiple of the hop.
            history: Result of the call before; None at the start of a signal.

        Returns:
            Frames `(B, S / hop, latent_size)`, and the history for the next chunk.
        """
        assert audio.shape[-1] % self.hop_length == 0, "a chunk holds whole frames"
        frames, history = run_stack(self.layers, audio, history)
        return frames.transpose(1, 2), history


class AudioDecoder(nn.Module):
    """Frames to mono samples: the encoder in reverse, without a final activation."""

    def __init__(self, sizes: CodecSizes) -> None:
        super().__init__()
        widths, ratios, kernel = sizes.widths[::-1], sizes.ratios[::-1], sizes.kernel_size
        layers: list[nn.Module] = [CausalConv(sizes.latent_size, widths[0], kernel)]
        layers += sizes.blocks(widths[0], sizes.depths[0])
        stages = list(zip(ratios, widths, widths[1:], sizes.depths[1:], strict=False))
        last: list[nn.Module] = [CausalConv(widths[-1], 1, kernel)]
        if sizes.window:
            hop, wide, _, _ = stages.pop()
            last = [sizes.last_layer(wide, hop)]
        for ratio, wide, narrow, depth in stages:
            layers += [CausalUpsampling(wide, narrow, ratio), *sizes.blocks(narrow, depth)]
        self.layers = nn.ModuleList([*layers, *last])

    def prepare(self) -> None:
        """See `AudioEncoder.prepare`."""
        self.layers = fixed_layers(self.layers)

    def forward(self, latents: Tensor, history: History | None = None) -> tuple[Tensor, History]:
        """Decode a chunk `(B, F, latent_size)` to audio `(B, 1, F · hop)`, not clipped; `history` as in the encoder."""
        return run_stack(self.layers, latents.transpose(1, 2), history)

    def with_pitch(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The audio of whole signals and, of a `HarmonicWriter`, the pitches of its frames `(B, T)`."""
        *body, writer = self.layers
        assert isinstance(writer, HarmonicWriter), "only this layer has pitches"
        features, _ = run_stack(body, latents.transpose(1, 2), None)
        return writer(features, None)[0], writer.pitch(features)
