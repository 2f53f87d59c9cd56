"""The networks of pretrained speech encoders: what turns a chunk of samples into frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from latent.audio.files import Samples
from latent.data.latent_shards import Latents
from s2s.errors import InputError, reason_of
from s2s.packages import load

READ_SAMPLES = ("wav2vec2", "hubert", "wavlm")
"""Model types of transformers that read samples; Whisper reads a mel spectrum."""
_EXTRA = "recognition"
_CHUNK_SECONDS = 30
_SILENCE_SECONDS = 1  # after a recording; 30 s whatever its length, as Whisper learned, cost six times as much
_DAMAGED = (OSError, ValueError, RuntimeError, KeyError, TypeError)


class Reader(NamedTuple):
    """A network.

    Args:
        read: From up to `chunk` samples to a frame for each `hop` of them, `(F, size)`, the last one not whole.
        sample_rate: In Hz.
    """

    read: Callable[[Samples], Latents]
    sample_rate: int
    hop: int
    chunk: int
    size: int


def open_ctranslate2(folder: Path, device: torch.device) -> Reader:
    """The encoder of a Whisper in the format of CTranslate2, in float32.

    Raises:
        InputError: the package is not installed, or cannot read the folder.
    """
    package, transformers = load("ctranslate2", _EXTRA), load("transformers", _EXTRA)
    place, threads = ("cuda" if device.type == "cuda" else "cpu"), torch.get_num_threads()
    try:
        model = package.models.Whisper(str(folder), device=place, compute_type="float32", intra_threads=threads)
    except _DAMAGED as error:
        raise InputError(f"{folder}: CTranslate2 cannot read it as a Whisper: {reason_of(error)}") from error
    features = transformers.WhisperFeatureExtractor(feature_size=model.n_mels)

    def encode(mel: Latents) -> Latents:
        view = package.StorageView.from_array(np.ascontiguousarray(mel, np.float32))
        found: Latents = np.array(model.encode(view, to_cpu=True), np.float32)[0]
        return found

    size = encode(np.zeros((1, model.n_mels, 2), np.float32)).shape[1]
    return _of_spectrum(features, encode, size, _SILENCE_SECONDS)


def open_transformers(folder: Path, device: torch.device) -> Reader:
    """The encoder of a folder that transformers reads, in float32.

    Raises:
        InputError: the folder is damaged, or lacks preprocessor_config.json.
    """
    transformers = load("transformers", _EXTRA)
    transformers.logging.disable_progress_bar()
    try:
        features = transformers.AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    except _DAMAGED as error:
        raise InputError(f"{folder}: cannot be read as a speech encoder: {reason_of(error)}") from error
    model = model.float().eval().requires_grad_(False)
    if model.config.model_type in READ_SAMPLES:
        return _of_samples(features, model.to(device))
    network, config = model.get_encoder().to(device), model.config
    made, read = (features.feature_size, features.nb_max_frames), (config.num_mel_bins, 2 * config.max_source_positions)
    if made != read:
        expected, found = ("{} x {}".format(*shape) for shape in (read, made))
        raise InputError(f"{folder / 'preprocessor_config.json'}: must make {expected} numbers, found {found}")

    def encode(mel: Latents) -> Latents:
        return _to_numpy(network(torch.from_numpy(mel).to(device)))

    return _of_spectrum(features, encode, config.d_model)


def _of_spectrum(features: Any, encode: Callable[[Latents], Latents], size: int, silence: int | None = None) -> Reader:
    """Whisper: two steps of the spectrum a frame. After a chunk come some seconds of silence, or as many as fit."""
    rate, hop, longest = int(features.sampling_rate), 2 * int(features.hop_length), int(features.n_samples)

    def read(samples: Samples) -> Latents:
        frames = math.ceil(len(samples) / hop)
        length = longest if silence is None else min(longest, frames * hop + silence * rate)
        padded = np.pad(samples, (0, length - len(samples)))
        mel = features(padded, sampling_rate=rate, padding=False, return_tensors="np").input_features
        return encode(mel)[:frames]

    return Reader(read, rate, hop, longest, size)


def _of_samples(features: Any, model: Any) -> Reader:
    """A network of convolutions over samples; zeros after the last ones make its last frame whole."""
    rate, hop, field = int(features.sampling_rate), 1, 1
    for kernel, stride in zip(model.config.conv_kernel, model.config.conv_stride, strict=True):
        field, hop = field + (kernel - 1) * hop, hop * stride

    def read(samples: Samples) -> Latents:
        values = features(samples, sampling_rate=rate, return_tensors="pt").input_values
        needed = (math.ceil(len(samples) / hop) - 1) * hop + field
        return _to_numpy(model(F.pad(values, (0, max(0, needed - len(samples)))).to(model.device)))

    return Reader(read, rate, hop, _CHUNK_SECONDS * rate // hop * hop, model.config.hidden_size)


def _to_numpy(output: Any) -> Latents:
    found: Latents = output.last_hidden_state[0].cpu().numpy()
    return found
