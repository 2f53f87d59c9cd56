"""VibeVoice-ASR: a language model that reads audio, as latents and as semantic features, and writes what was said."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import NonNegativeInt
from torch import Tensor, nn

from latent.models.latent_lm import Connector, LatentLM
from latent.models.sigma_vae import SigmaVAE, perturb
from latent.nn.codec import AudioEncoder
from latent.nn.conv import History
from s2s.config import Fact, Section
from s2s.models.base import Model
from s2s.nn.linear import remember_kernels
from s2s.nn.packed import Precision, pack_linears
from s2s.registry import register_model


class ListeningTokens(Section):
    """Tokens that are not text. The defaults are VibeVoice-ASR's, which reuses some of Qwen2.5's."""

    start: Fact[NonNegativeInt] = 151_646
    """Audio begins."""
    audio: Fact[NonNegativeInt] = 151_648
    """Placeholder of a frame of audio."""
    end: Fact[NonNegativeInt] = 151_647
    """Audio ends."""


class EncodedAudio(NamedTuple):
    """F frames of B recordings: means of latents `(B, F, L)`, and semantic features `(B, F, S)`."""

    means: Tensor
    semantic: Tensor


AudioHistory = tuple[History, History]
"""The histories of both encoders."""


@register_model("vibevoice_asr")
class VibeVoiceASR(Model):
    """VibeVoice-ASR: text with speakers and times from an hour of audio, or from a stream; the layers are the same.

    Source: `microsoft/VibeVoice: vibevoice/modular/modeling_vibevoice_asr.py`.
    """

    class Config(Section):
        """Options of VibeVoice-ASR."""

        language: LatentLM.Config
        """The language model; its connector reads latents of the acoustic tokenizer. It has no diffusion head."""
        acoustic: SigmaVAE.Config = SigmaVAE.Config()
        """The tokenizer of latents; only its encoder exists."""
        semantic: SigmaVAE.Config = SigmaVAE.Config(latent_size=128, sigma_rule="none")
        """The tokenizer of semantic features; only its encoder exists."""
        tokens: ListeningTokens = ListeningTokens()
        """Tokens that are not text."""

    config: VibeVoiceASR.Config

    def __init__(self, config: VibeVoiceASR.Config) -> None:
        super().__init__(config)
        self.language = LatentLM(config.language)
        del self.language.head  # it reads latents and draws none
        self.acoustic = AudioEncoder(config.acoustic.sizes(config.acoustic.depths))
        self.semantic = AudioEncoder(config.semantic.sizes(config.semantic.depths))
        self.semantic_connector = Connector(config.semantic.latent_size, config.language.hidden_size)

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio (Hz)."""
        return int(self.config.acoustic.sample_rate)

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.acoustic.hop_length

    def encode(self, audio: Tensor, history: AudioHistory | None = None) -> tuple[EncodedAudio, AudioHistory]:
        """Encode the next chunk of recordings `(B, 1, S)`, S a multiple of the hop; see `AudioEncoder`."""
        means, heard = self.acoustic(audio, None if history is None else history[0])
        semantic, understood = self.semantic(audio, None if history is None else history[1])
        return EncodedAudio(means, semantic), (heard, understood)

    def draw(self, means: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        """Latents around their means, from given unit-normal draws; see `latent.models.sigma_vae.perturb`."""
        return perturb(self.config.acoustic, means, scale, noise)

    def embed(self, latents: Tensor, semantic: Tensor) -> Tensor:
        """Inputs of the language model, `(B, F, hidden_size)`, from latents, not scaled, or their means."""
        return self.language.embed_latents(latents) + self.semantic_connector(semantic)  # type: ignore[no-any-return]

    def prepare(self, precision: Precision = "float32") -> None:
        remember_kernels()
        for part in (self.language.layers, self.language.connector, self.semantic_connector):
            pack_linears(part, precision)
        self.acoustic.prepare()
        self.semantic.prepare()

    def blocks(self) -> list[nn.Module]:
        return self.language.blocks()
