"""What turns a recording into the latents that a recognizer of one's own learned from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from latent.audio.files import Samples
from latent.audio_tokenizer import encode_samples, matching_tokenizer
from latent.data.latent_shards import Latents
from latent.data.latent_store import TOKENIZER, StoreFacts
from latent.speech_encoder import matching_encoder
from s2s import checkpoint
from s2s.durable import fingerprint


class Hearing(NamedTuple):
    """The audio tokenizer of a run, or its pretrained speech encoder.

    Args:
        encode: From samples `(S,)` to latents `(F, L)`.
        sample_rate: In Hz.
        frame_rate: Latents a second.
        sha256: Of its weights.
    """

    encode: Callable[[Samples], Latents]
    sample_rate: int
    frame_rate: float
    sha256: str


def open_hearing(run: Path, name: str | Path | None, device: torch.device) -> Hearing:
    """What makes the latents of a run: the copy in it, or the encoder that it names; `name` says where else.

    Raises:
        InputError: it is not there, or is another one.
    """
    facts = StoreFacts.load(run)
    if facts.encoder_sha256:
        encoder = matching_encoder(run, facts, None if name is None else str(name), device)
        return Hearing(encoder.encode, encoder.sample_rate, encoder.frame_rate, encoder.sha256)
    tokenizer = matching_tokenizer(run, name).to(device)
    weights = checkpoint.weights_path(run / TOKENIZER if name is None else Path(name), None)

    def encode(samples: Samples) -> Latents:
        found: Latents = encode_samples(tokenizer, samples, device).numpy()
        return found

    rate = int(tokenizer.config.sample_rate)
    return Hearing(encode, rate, tokenizer.frame_rate, str(fingerprint(weights)["sha256"]))
