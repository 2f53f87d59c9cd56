"""What recognizers of released VibeVoice weights share: loading, the text tokenizer, prompts."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from latent.data.recognition_prompt import END, FRAME, START, Piece, check_room, tokenized
from latent.decoding.text_writer import TextWriter
from latent.models.checkpoints import load_asr
from latent.models.vibevoice_asr import VibeVoiceASR
from latent.recognition.recognizer import Recognizer
from latent.text.text_encoder import TextEncoder, load_text_encoder
from s2s.checkpoint import weight_files
from s2s.config import Section, apply_overrides, parse_section
from s2s.durable import fingerprint
from s2s.errors import ConfigError, InputError
from s2s.nn.packed import Precision, noted_precision, released_precision, weights_dtype

logger = logging.getLogger(__name__)

R = TypeVar("R", bound="ReleasedRecognizer")

TEXT_END = "<|endoftext|>"
CHUNK_SECONDS = 30.0
"""Audio that is encoded, and read by the language model, at a time."""


class ReleasedRecognizer(Recognizer):
    """Listens with released weights.

    Args:
        folder: The checkpoint.
        model: In evaluation mode.
        decoder: An instance of `decoder_class`.
        encoder: The text tokenizer.

    Raises:
        InputError: the tokenizer is not that of the model.
    """

    weights: str
    """A hash of the weights."""
    decoder_class: ClassVar[Any]
    decoder_name: ClassVar[str]
    needed: ClassVar[tuple[str, ...]]
    """Special tokens that the tokenizer must have, besides those around audio."""

    def __init__(self, folder: Path, model: VibeVoiceASR, decoder: Any, encoder: TextEncoder) -> None:
        self.name, self.sample_rate = folder.resolve().name, model.sample_rate
        self.weights, self._encoder = _digest(folder), encoder
        self._model, self._decoder = model, decoder
        language = model.language.config
        self.max_positions = int(language.max_positions)
        tokens = model.config.tokens
        known = {START: tokens.start, FRAME: tokens.audio, END: tokens.end} if tokens.model_fields_set else {}
        _check_tokenizer(folder, encoder, known, (START, END, *self.needed), int(language.vocab_size))

    @classmethod
    def open(
        cls: type[R],
        folder: Path,
        tokenizer: str | None,
        device: torch.device,
        overrides: Iterable[str],
        precision: Precision | None = None,
    ) -> R:
        """The recognizer of a checkpoint, on GPUs by default in bfloat16, as the weights are released.

        Raises:
            InputError: the folder is not such a checkpoint.
            ConfigError: an override does not fit.
        """
        decoder = cls.decoder_class(_options(cls.decoder_class.Config, overrides))
        encoder = load_text_encoder(folder, tokenizer)
        own = precision or released_precision(device)
        model = load_asr(str(folder), weights_dtype(own, device))
        model.to(device).prepare(own)
        recognizer = cls(folder, model, decoder, encoder)
        recognizer.precision = precision
        return recognizer

    def fingerprint(self) -> dict[str, Any]:
        decoder = self._decoder.config.model_dump(mode="json")
        return {"model": self.weights, "decoder": decoder, **noted_precision(self.precision)}

    def check_context(self, context: str) -> None:
        check_room(len(self._encoder(context)), self.max_positions)

    def _tokens(self, pieces: Iterable[Piece]) -> list[int]:
        return tokenized(pieces, self._encoder, self._id)

    def _id(self, token: str) -> int:
        found = self._encoder.special(token)
        assert found is not None, "checked when the recognizer was opened"
        return found

    def _writer(self, *stops: str) -> TextWriter:
        """A writer that stops at those of the tokens that the tokenizer has."""
        found = [self._encoder.special(token) for token in stops]
        return TextWriter(self._model.language, [token for token in found if token is not None])

    def _embed(self, tokens: list[int]) -> Tensor:
        table = self._model.language.embeddings
        return table(torch.tensor([tokens], device=table.weight.device))  # type: ignore[no-any-return]


def _options(config: type[Section], overrides: Iterable[str]) -> Any:
    tree = apply_overrides({"decoder": {}}, list(overrides))
    if others := tree.keys() - {"decoder"}:
        raise ConfigError(f"{min(others)}: only options of the decoder can be given here")
    return parse_section(config, tree["decoder"], "decoder")


def _digest(folder: Path) -> str:
    """A hash of the weights."""
    hashes = [str(fingerprint(path)["sha256"]) for path in weight_files(folder)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def _check_tokenizer(
    folder: Path, encoder: TextEncoder, known: dict[str, int], needed: tuple[str, ...], vocabulary: int
) -> None:
    missing = [token for token in needed if encoder.special(token) is None]
    if missing:
        raise InputError(
            f"{folder}: the text tokenizer lacks {', '.join(missing)}, which this model needs; give its own --tokenizer"
        )
    for token, wanted in known.items():
        found = encoder.special(token)
        if found != wanted:
            raise InputError(f"{folder}: the text tokenizer has {token} as {found}, the model as {wanted}")
    if len(encoder) > vocabulary:
        raise InputError(f"{folder}: the text tokenizer has {len(encoder)} tokens, the model {vocabulary}")
