"""What voices of released VibeVoice weights share: loading, the text tokenizer, lengths."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from latent.audio.files import AudioBytes, audio_info, load_audio
from latent.audio.levels import normalize_loudness
from latent.audio_tokenizer import encode_samples
from latent.data.latent_store import Latents
from latent.models.sigma_vae import SigmaVAE
from latent.synthesis.voice import Voice, readable
from latent.text.front_end import NothingToSay
from latent.text.text_encoder import TextEncoder, load_text_encoder
from s2s.checkpoint import weight_files
from s2s.config import Section, apply_overrides, parse_section
from s2s.durable import fingerprint
from s2s.errors import ConfigError, InputError
from s2s.json_files import describe
from s2s.nn.packed import Precision, noted_precision, released_precision, weights_dtype

V = TypeVar("V", bound="ReleasedVoice")

VOICE_SECONDS = (0.5, 120.0)
"""Shortest and longest sample of a voice."""
_CHARACTERS_PER_SECOND = 15
_LENGTH_FACTOR, _LENGTH_SECONDS = 2.0, 10.0


class ReleasedVoice(Voice):
    """A voice of released weights: no speakers of its own, lengths guessed from characters.

    Args:
        folder: The checkpoint.
        model: In evaluation mode, with its language model as `language`.

    Raises:
        InputError: the tokenizer is not that of the model.
    """

    decoder_class: ClassVar[Any]
    load_weights: ClassVar[Any]

    def __init__(self, folder: Path, model: Any, decoder: Any, encode: TextEncoder) -> None:
        language = model.language.config
        if len(encode) > language.vocab_size:
            sizes = f"{len(encode)} tokens, the model {language.vocab_size}"
            raise InputError(f"{folder}: the text tokenizer has {sizes}; give --tokenizer")
        self.name = folder.resolve().name
        hashes = [fingerprint(path)["sha256"] for path in weight_files(folder)]
        whole = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        self.weights, self.max_positions = whole[:16], int(language.max_positions)
        self._model, self._decoder, self._encode = model, decoder, encode

    @classmethod
    def open(
        cls: type[V],
        folder: Path,
        tokenizer: str | None,
        device: torch.device,
        overrides: Iterable[str],
        precision: Precision | None = None,
    ) -> V:
        """The voice of a checkpoint, on GPUs by default in bfloat16, as the weights are released.

        Args:
            tokenizer: See `load_text_encoder`.

        Raises:
            InputError: the folder is not such a checkpoint.
            ConfigError: an override does not fit.
        """
        decoder = cls.decoder_class(decoder_options(cls.decoder_class.Config, overrides))
        encode = load_text_encoder(folder, tokenizer)
        own = precision or released_precision(device)
        model = cls.load_weights(str(folder), weights_dtype(own, device))
        model.to(device).prepare(own)
        voice = cls(folder, model, decoder, encode)
        voice.precision = precision
        return voice

    def fingerprint(self) -> dict[str, Any]:
        decoder = self._decoder.config.model_dump(mode="json")
        return {"model": self.weights, "decoder": decoder, **noted_precision(self.precision)}

    def expected_frames(self, text: str) -> int:
        """About how many latents a text will take."""
        return self.frames_of(len(text))

    def frames_of(self, characters: int) -> int:
        """About how many latents a text of so many characters will take."""
        return max(1, math.ceil(characters / _CHARACTERS_PER_SECOND * self.frame_rate))

    def most_frames(self, expected: int, room: int) -> int:
        """Latents after which speech is truncated.

        Raises:
            InputError: `decoder.max_seconds` is more than there is room for.
        """
        if self._decoder.config.max_seconds is None:
            return min(room, math.ceil(_LENGTH_FACTOR * expected + _LENGTH_SECONDS * self.frame_rate))
        most: int = math.ceil(self._decoder.config.max_seconds * self.frame_rate)
        if most > room:
            left = f"the model has room for {room / self.frame_rate:.1f} s after this text"
            raise InputError(f"decoder.max_seconds: {left}, found {self._decoder.config.max_seconds:g}")
        return most


def speakable(text: str) -> str:
    """A text as `readable` gives it; raises NothingToSay if it holds only punctuation."""
    text = readable(text)
    if not says_something(text):
        raise NothingToSay(f"'text' must hold more than punctuation, found {describe(text)}")
    return text


def says_something(text: str) -> bool:
    """Whether a text holds more than punctuation."""
    return any(unicodedata.category(sign)[0] not in "PZCM" for sign in text)


def voice_sample(codec: SigmaVAE, recording: AudioBytes, like: Tensor) -> Latents:
    """Latents `(F, L)` of a sample of a voice, at the loudness of the released code.

    Args:
        codec: On the device of the tensor `like`, and of its type.

    Raises:
        InputError: it cannot be read, is too short or too long, or silent.
    """
    seconds, (least, most) = audio_info(recording).seconds, VOICE_SECONDS
    if not least <= seconds <= most:
        raise InputError(f"{recording}: a voice sample must last {least:g} to {most:g} s, found {seconds:.1f}")
    samples = load_audio(recording, codec.config.sample_rate)
    if not samples.any():
        raise InputError(f"{recording}: a voice sample must not be silent")
    mean = encode_samples(codec, normalize_loudness(samples), like.device, dtype=like.dtype)
    latents: Latents = codec.sample(mean.float().unsqueeze(0), torch.Generator().manual_seed(0))[0].numpy()
    return latents


def decoder_options(config: type[Section], overrides: Iterable[str]) -> Any:
    """Options of a decoder from overrides; raises ConfigError for one that is not."""
    tree = apply_overrides({"decoder": {}}, list(overrides))
    if others := tree.keys() - {"decoder"}:
        raise ConfigError(f"{min(others)}: only options of the decoder and the script can be given here")
    return parse_section(config, tree["decoder"], "decoder")
