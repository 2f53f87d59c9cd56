"""VibeVoice: a LatentLM that reads its own speech, as latents and as semantic features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from latent.data.batch import MixedSequences
from latent.models.latent_lm import Connector, LatentLM, MixedState
from latent.models.sigma_vae import SigmaVAE
from latent.nn.cache import joined_order
from latent.nn.codec import AudioEncoder
from latent.nn.conv import History, cleared, put_rows, take_rows, with_silence
from s2s.config import Fact, Section
from s2s.models.base import Model
from s2s.nn.packed import Precision, pack_linears
from s2s.registry import register_model


class SwitchTokens(Section):
    """Tokens that decide what comes next. The defaults are VibeVoice's, which reuses some of Qwen2.5's."""

    latent: Fact[NonNegativeInt] = 151_654
    """A latent follows; also the placeholder of the latents of a voice prompt."""
    end: Fact[NonNegativeInt] = 151_653
    """Speech ends; another speaker may begin."""
    start: Fact[NonNegativeInt] = 151_652
    """Speech begins."""
    stop: Fact[NonNegativeInt] = 151_643
    """All speech ends."""

    def legal(self) -> list[int]:
        """The tokens that the model may choose, in the order of the fields above."""
        return [self.latent, self.end, self.start, self.stop]


@dataclass
class SpeechState:
    """What the model remembers of B sequences; the caller holds it.

    Args:
        language: The sequences and, with guidance, their unconditional streams in B more rows.
        streams: 2 with guidance, else 1.
        decoder: History of the acoustic decoder, of B rows; None before the first latent.
        encoder: History of the semantic encoder, in the same form.
    """

    language: MixedState
    streams: int
    decoder: History | None = None
    encoder: History | None = None

    @property
    def batch(self) -> int:
        """Sequences B."""
        return len(self.language.hidden) // self.streams

    @property
    def hidden(self) -> tuple[Tensor, ...]:
        """Hidden state of the last position in each stream, `(B, H)`."""
        return self.language.hidden.chunk(self.streams)

    def keep(self, rows: Tensor) -> None:
        """Keep some sequences `(B',)` int64, in this order."""
        self.language.keep(torch.cat([rows + stream * self.batch for stream in range(self.streams)]))
        self.decoder, self.encoder = take_rows(self.decoder, rows), take_rows(self.encoder, rows)

    def add(self, other: SpeechState) -> None:
        """Take in the sequences of another state with as many streams, after those that are here."""
        order = joined_order(self.batch, other.batch, self.streams, self.language.hidden.device)
        self.decoder, self.encoder = with_silence(self.decoder, other.batch), with_silence(self.encoder, other.batch)
        self.language.add(other.language, order)

    def silence(self, rows: Tensor) -> None:
        """Bring decoder and encoder of rows `(B,)` bool back to the start of a signal."""
        if self.decoder is not None and self.encoder is not None:
            self.decoder, self.encoder = cleared(self.decoder, rows), cleared(self.encoder, rows)

    def turn_back(self, paused: Tensor, restarted: Tensor) -> None:
        """Correct the unconditional streams, which read only the latents of the present speaker.

        Rows `paused` `(B,)` bool drop their last position, because no latent followed it; rows `restarted` drop all.
        """
        if self.streams == 2:
            kept = torch.zeros_like(paused)
            self.language.cache.forget(torch.cat([kept, paused]))
            self.language.cache.clear(torch.cat([kept, restarted]))


@register_model("vibevoice")
class VibeVoice(Model):
    """VibeVoice: speech of several speakers from a script and samples of their voices.

    Source: VibeVoice (arXiv 2508.19205), section 2; generation as in
    `vibevoice-community/VibeVoice: vibevoice/modular/modeling_vibevoice_inference.py`.
    """

    class Config(Section):
        """Options of VibeVoice."""

        language: LatentLM.Config
        """The language model with its diffusion head, for latents of the acoustic tokenizer."""
        acoustic: SigmaVAE.Config = SigmaVAE.Config()
        """The tokenizer that makes the latents and the audio."""
        semantic: SigmaVAE.Config = SigmaVAE.Config(latent_size=128, sigma_rule="none")
        """The tokenizer of generated audio; only its encoder exists."""
        tokens: SwitchTokens = SwitchTokens()
        """Tokens that decide what comes next."""

    config: VibeVoice.Config

    def __init__(self, config: VibeVoice.Config) -> None:
        super().__init__(config)
        self.language = LatentLM(config.language)
        self.acoustic = SigmaVAE(config.acoustic)
        self.semantic = AudioEncoder(config.semantic.sizes(config.semantic.depths))
        self.semantic_connector = Connector(config.semantic.latent_size, config.language.hidden_size)

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio (Hz)."""
        return int(self.config.acoustic.sample_rate)

    def prefill(self, prompts: MixedSequences, capacity: int, streams: int) -> SpeechState:
        """Read the prompts of all streams, the conditional ones first; see `LatentLM.prefill`."""
        return SpeechState(self.language.prefill(prompts, capacity), streams)

    def speak(self, state: SpeechState, latents: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Decode the next latents, and encode their audio.

        Args:
            state: Changed in place.
            latents: Normalized, `(R, L)`.
            rows: Their sequences, `(R,)` int64; None for all.

        Returns:
            Audio `(R, hop_length)`, and the inputs of the language model `(R, hidden_size)` after these latents.
        """
        frames = self.language.denormalize(latents).unsqueeze(1)
        audio, decoder = self.acoustic.decode_chunk(frames, take_rows(state.decoder, rows))
        features, encoder = self.semantic(audio, take_rows(state.encoder, rows))
        state.decoder = put_rows(state.decoder, decoder, rows, state.batch)
        state.encoder = put_rows(state.encoder, encoder, rows, state.batch)
        inputs = self.language.embed_latents(latents) + self.semantic_connector(features.squeeze(1))
        return audio.squeeze(1), inputs

    def prepare(self, precision: Precision = "float32") -> None:
        self.language.prepare(precision)
        self.acoustic.prepare()
        self.semantic.prepare()
        pack_linears(self.semantic_connector, precision)

    def blocks(self) -> list[nn.Module]:
        return self.language.blocks()
