"""VibeVoice: a LatentLM that hears itself. What it has just said comes back as latents and as semantic features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import NonNegativeInt
from torch import Generator, Tensor, nn

from latent.data.batch import MixedSequences
from latent.models.latent_lm import Connector, LatentLM, MixedState
from latent.models.sigma_vae import SigmaVAE
from latent.nn.codec import AudioEncoder
from latent.nn.conv import History, cleared, put_rows, take_rows
from s2s.config import Fact, Section
from s2s.errors import InputError
from s2s.models.base import Model
from s2s.nn.linear import pack_linears
from s2s.registry import register_model


class SwitchTokens(Section):
    """Tokens that decide what comes next. The defaults are VibeVoice's, which re-uses some of Qwen2.5's."""

    latent: Fact[NonNegativeInt] = 151_654
    """A latent follows; it stands for the latents of a voice prompt too."""
    end: Fact[NonNegativeInt] = 151_653
    """Speech ends; another speaker may begin."""
    start: Fact[NonNegativeInt] = 151_652
    """Speech begins."""
    stop: Fact[NonNegativeInt] = 151_643
    """Everything has been said."""

    def legal(self) -> list[int]:
        """The tokens that may be chosen, in the order of the fields above."""
        return [self.latent, self.end, self.start, self.stop]


@dataclass
class SpeechState:
    """What the model remembers of B sequences; the caller holds it.

    Args:
        language: The sequences and, with guidance, their unconditional streams in B more rows.
        streams: 2 with guidance, else 1.
        voice: History of the acoustic decoder, of B rows; None before the first latent.
        ear: History of the semantic encoder, likewise.
    """

    language: MixedState
    streams: int
    voice: History | None = None
    ear: History | None = None

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
        self.voice, self.ear = take_rows(self.voice, rows), take_rows(self.ear, rows)

    def silence(self, rows: Tensor) -> None:
        """Bring decoder and encoder of rows `(B,)` bool back to the start of a signal."""
        if self.voice is not None and self.ear is not None:
            self.voice, self.ear = cleared(self.voice, rows), cleared(self.ear, rows)

    def turn_back(self, paused: Tensor, restarted: Tensor) -> None:
        """Correct the unconditional streams, which see latents alone, and only those of the present speaker.

        Args:
            paused: Rows `(B,)` bool that take back their last position, because no latent followed it.
            restarted: Rows `(B,)` bool that forget all.
        """
        if self.streams == 2:
            kept = torch.zeros_like(paused)
            self.language.cache.forget(torch.cat([kept, paused]))
            self.language.cache.clear(torch.cat([kept, restarted]))


@register_model("vibevoice")
class VibeVoice(Model):
    """Generates speech of several speakers from a script and samples of their voices.

    Source: VibeVoice (arXiv 2508.19205), section 2; generation as in `vibevoice-community/VibeVoice:
    vibevoice/modular/modeling_vibevoice_inference.py`.
    """

    class Config(Section):
        """Options of VibeVoice."""

        language: LatentLM.Config
        """The language model with its diffusion head, for latents of the acoustic tokenizer."""
        acoustic: SigmaVAE.Config = SigmaVAE.Config()
        """The tokenizer that makes the latents and the audio."""
        semantic: SigmaVAE.Config = SigmaVAE.Config(latent_size=128, sigma_rule="none")
        """The tokenizer that listens; only its encoder is there."""
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

    def voice_latents(self, recording: Tensor, generator: Generator | None = None) -> Tensor:
        """Latents `(F, L)` of a voice sample `(S,)`, as a prompt holds them: drawn around the means, not normalized.

        Raises:
            InputError: the recording holds no sample.
        """
        if not len(recording):
            raise InputError("a voice prompt must hold at least one sample, found none")
        return self.acoustic.sample(self.acoustic.encode(recording[None, None]), generator)[0]

    def prefill(self, prompts: MixedSequences, capacity: int, streams: int) -> SpeechState:
        """Read the prompts of all streams, first those of the sequences; see `LatentLM.prefill`."""
        return SpeechState(self.language.prefill(prompts, capacity), streams)

    def speak(self, state: SpeechState, latents: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Make the next latents heard.

        Args:
            state: Changed in place.
            latents: Normalized, `(R, L)`.
            rows: The sequences they belong to, `(R,)` int64; None where that is all of them.

        Returns:
            Audio `(R, hop_length)`, and inputs of the language model `(R, hidden_size)` that tell it what it said.
        """
        frames = self.language.denormalize(latents).unsqueeze(1)
        audio, voice = self.acoustic.decode_chunk(frames, take_rows(state.voice, rows))
        heard, ear = self.semantic(audio, take_rows(state.ear, rows))
        state.voice = put_rows(state.voice, voice, rows, state.batch)
        state.ear = put_rows(state.ear, ear, rows, state.batch)
        inputs = self.language.embed_latents(latents) + self.semantic_connector(heard.squeeze(1))
        return audio.squeeze(1), inputs

    def prepare(self) -> None:
        for part in (self.language, self.acoustic, self.semantic):
            part.prepare()
        pack_linears(self.semantic_connector)

    def blocks(self) -> list[nn.Module]:
        return self.language.blocks()
