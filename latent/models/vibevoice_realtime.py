"""VibeVoice-Realtime: text comes in piece by piece, and speech comes out before the text has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from latent.models.latent_lm import LatentLM, MixedState, make_block
from latent.models.sigma_vae import SigmaVAE
from latent.nn.cache import RowCache, extend, joined_order
from latent.nn.codec import AudioDecoder
from latent.nn.conv import History, take_rows, with_silence
from latent.nn.transformer import CausalBlock
from s2s.config import Section
from s2s.errors import InputError
from s2s.models.base import Model
from s2s.nn.packed import Precision, pack_linears
from s2s.registry import register_model

_SPEECH, _TEXT = 0, 1
_CONDITIONAL, _UNCONDITIONAL = 0, 1
"""Streams of the speech layers: one reads the text, the other does not."""

StoredRow = list[tuple[Tensor, Tensor]]
"""Keys and values `(G, T, D)` of each layer, keys with rotary positions."""


@dataclass(frozen=True)
class VoicePreset:
    """A voice: keys and values of the model after it has read a sample of it.

    Args:
        text: Of the text layers.
        speech: Of the speech layers.
        hidden: The last hidden state of the speech layers, `(H,)`.
        silent_speech: Of the speech layers in the unconditional stream.
        silent_hidden: The last hidden state there, `(H,)`.
    """

    text: StoredRow
    speech: StoredRow
    hidden: Tensor
    silent_speech: StoredRow
    silent_hidden: Tensor

    @classmethod
    def named(cls, tensors: dict[str, Tensor]) -> VoicePreset:
        """From the tensors `PART.k0`, `PART.v0`, … and `PART.last_hidden_state` of lm, tts_lm and neg_tts_lm.

        Raises:
            InputError: one is missing.
        """

        def stored(part: str) -> StoredRow:
            layers = sum(name.startswith(f"{part}.k") for name in tensors)
            return [(tensors[f"{part}.k{layer}"][0], tensors[f"{part}.v{layer}"][0]) for layer in range(layers)]

        try:
            return cls(
                text=stored("lm"),
                speech=stored("tts_lm"),
                hidden=tensors["tts_lm.last_hidden_state"][0, -1],
                silent_speech=stored("neg_tts_lm"),
                silent_hidden=tensors["neg_tts_lm.last_hidden_state"][0, -1],
            )
        except KeyError as error:
            raise InputError(f"a voice preset must hold {error.args[0]!r}, which is missing") from error

    def tensors(self) -> dict[str, Tensor]:
        """What `named` takes."""
        found = {
            "tts_lm.last_hidden_state": self.hidden.view(1, 1, -1),
            "neg_tts_lm.last_hidden_state": self.silent_hidden.view(1, 1, -1),
        }
        for part, layers in (("lm", self.text), ("tts_lm", self.speech), ("neg_tts_lm", self.silent_speech)):
            for number, (keys, values) in enumerate(layers):
                found |= {f"{part}.k{number}": keys.unsqueeze(0), f"{part}.v{number}": values.unsqueeze(0)}
        return {name: tensor.contiguous().clone() for name, tensor in found.items()}


@dataclass
class RealtimeState:
    """What the model remembers of B utterances; the caller holds it.

    Args:
        text: Keys and values of the text layers, of B rows.
        speech: The speech layers, in B rows with the text, and B more without it.
        decoder: History of the acoustic decoder, of B rows; None before the first latent.
    """

    text: RowCache
    speech: MixedState
    decoder: History | None = None

    @property
    def batch(self) -> int:
        """Utterances B."""
        return len(self.text.lengths)

    @property
    def hidden(self) -> tuple[Tensor, Tensor]:
        """Hidden states of the speech layers, with the text and without it, `(B, H)` each."""
        conditional, unconditional = self.speech.hidden.chunk(2)
        return conditional, unconditional

    def keep(self, rows: Tensor) -> None:
        """Keep some utterances `(B',)` int64, in this order."""
        self.speech.keep(torch.cat([rows, rows + self.batch]))
        self.text.select(rows)
        self.decoder = take_rows(self.decoder, rows)

    def add(self, other: RealtimeState) -> None:
        """Take in utterances that have not begun, after those that are here."""
        here, more, device = self.batch, other.batch, self.text.lengths.device
        self.decoder = with_silence(self.decoder, more)
        self.speech.add(other.speech, joined_order(here, more, 2, device))
        self.text.add(other.text, joined_order(here, more, 1, device))


@register_model("vibevoice_realtime")
class VibeVoiceRealtime(Model):
    """VibeVoice-Realtime: lower layers read text alone, upper ones read their outputs and the latents of the speech.

    Source: `microsoft/VibeVoice: vibevoice/modular/modeling_vibevoice_streaming.py`.
    """

    class Config(Section):
        """Options of VibeVoice-Realtime."""

        language: LatentLM.Config
        """The upper layers, with the diffusion head."""
        text_layers: PositiveInt = 4
        """Lower layers, of the same sizes."""
        acoustic: SigmaVAE.Config = SigmaVAE.Config()
        """The tokenizer that makes the audio; only its decoder exists."""

    config: VibeVoiceRealtime.Config

    def __init__(self, config: VibeVoiceRealtime.Config) -> None:
        super().__init__(config)
        hidden = config.language.hidden_size
        self.language = LatentLM(config.language)
        self.text_layers = nn.ModuleList(make_block(config.language) for _ in range(config.text_layers))
        self.kinds = nn.Embedding(2, hidden)
        self.stop = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.decoder = AudioDecoder(config.acoustic.sizes(config.acoustic.all_decoder_depths))

    def prepare(self, precision: Precision = "float32") -> None:
        self.language.prepare(precision)
        self.decoder.prepare()
        pack_linears(self.text_layers, precision)

    def prefill(self, preset: VoicePreset, capacity: int) -> RealtimeState:
        """Start from a voice; at most `capacity` tokens and latents may follow it.

        Raises:
            InputError: the preset is of another model.
        """
        if len(preset.text) != len(self.text_layers) or len(preset.speech) != len(self.language.layers):
            raise InputError(
                f"the voice preset must have {len(self.text_layers)} and {len(self.language.layers)} layers, "
                f"found {len(preset.text)} and {len(preset.speech)}"
            )
        text = self._cache(len(self.text_layers), [preset.text], capacity)
        speech = self._cache(len(self.language.layers), [preset.speech, preset.silent_speech], capacity)
        return RealtimeState(text, MixedState(speech, torch.stack([preset.hidden, preset.silent_hidden])))

    @torch.inference_mode()
    def preset(self, text: Sequence[int], latents: Tensor, silent: int) -> VoicePreset:
        """The voice of a recording.

        Args:
            text: Tokens of what is said in it.
            latents: The recording, normalized, `(F, L)`.
            silent: The token that the unconditional stream begins with.
        """
        state = self._empty(len(text) + len(latents) + 1)
        self.read(state, [text])
        inputs = self.language.embed_latents(latents) + self.kinds.weight[_SPEECH]
        self._append(state, inputs.unsqueeze(0), _CONDITIONAL, torch.tensor([True]))
        without = self._empty(1)
        without.speech = state.speech
        self.read(without, [[silent]], _UNCONDITIONAL)
        caches = state.speech.cache
        hidden, silent_hidden = state.speech.hidden
        return VoicePreset(state.text.stored(0), caches.stored(0), hidden, caches.stored(1), silent_hidden)

    def read(self, state: RealtimeState, windows: Sequence[Sequence[int]], stream: int = _CONDITIONAL) -> None:
        """Read the next tokens of each text, maybe none, into a stream of the speech layers."""
        blocks = cast(list[CausalBlock], list(self.text_layers))
        for length in sorted({len(window) for window in windows} - {0}):  # rows that read less do so by themselves
            reading = torch.tensor([len(window) == length for window in windows])
            tokens = torch.tensor([window if len(window) == length else [0] * length for window in windows])
            embedded = self.language.embeddings(tokens.to(state.speech.hidden.device))
            read = extend(blocks, state.text, embedded, self.config.language.rope_theta)
            state.text.grow(length * reading.long().to(embedded.device), length)
            self._append(state, read + self.kinds.weight[_TEXT], stream, reading)
        state.text.settle()
        state.speech.cache.settle()

    def speak(self, state: RealtimeState, latents: Tensor) -> Tensor:
        """Decode the next normalized latent of each utterance, `(B, L)`, to audio `(B, hop_length)`."""
        frames = self.language.denormalize(latents).unsqueeze(1)
        audio, state.decoder = self.decoder(frames, state.decoder)
        return audio.squeeze(1)  # type: ignore[no-any-return]

    def remember(self, state: RealtimeState, latents: Tensor) -> Tensor:
        """Read the normalized latents `(B, L)`; returns the logits `(B,)` of the end of speech."""
        inputs = self.language.embed_latents(latents) + self.kinds.weight[_SPEECH]
        self.language.append(state.speech, inputs.repeat(2, 1))
        return self.stop(state.hidden[_CONDITIONAL]).squeeze(1)  # type: ignore[no-any-return]

    def _append(self, state: RealtimeState, inputs: Tensor, stream: int, rows: Tensor) -> None:
        """Append T positions `(B, T, H)` to rows `(B,)` bool of a stream of the speech layers."""
        active = torch.stack([rows if index == stream else torch.zeros_like(rows) for index in range(2)]).flatten()
        self.language.append_many(state.speech, inputs.repeat(2, 1, 1), active.to(inputs.device))

    def _empty(self, capacity: int) -> RealtimeState:
        config, weight = self.config.language, self.language.embeddings.weight
        head_dim = cast(CausalBlock, self.language.layers[0]).head_dim

        def cache(layers: int, rows: int) -> RowCache:
            return RowCache(layers, rows, config.num_kv_heads, capacity, head_dim, like=weight)

        speech = MixedState(cache(len(self.language.layers), 2), weight.new_zeros(2, config.hidden_size))
        return RealtimeState(cache(len(self.text_layers), 1), speech)

    def _cache(self, layers: int, rows: Sequence[StoredRow], capacity: int) -> RowCache:
        block = cast(CausalBlock, self.language.layers[0])
        keys = rows[0][0][0]
        longest = max(row[0][0].shape[1] for row in rows)
        cache = RowCache(layers, len(rows), len(keys), longest + capacity, block.head_dim, like=keys)
        for index, row in enumerate(rows):
            cache.fill(index, row)
        return cache
