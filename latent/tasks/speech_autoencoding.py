"""The data of an audio tokenizer: random segments of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from latent.audio.files import load_audio
from latent.data.batch import AudioBatch
from latent.data.manifest import Utterance, read_manifest
from s2s.config import Section
from s2s.registry import register_task
from s2s.shipped import data_path
from s2s.tasks.base import Task


class Segment(NamedTuple):
    """Samples `(S,)` of the recording `id`."""

    id: str
    samples: NDArray[np.float32]


class SegmentDataset:
    """Random segments of `num_samples` at a rate in Hz; each epoch has as many of a recording as fill its length.

    Recordings of other rates are resampled, shorter ones padded with zeros. `fixed`: all epochs have the same segments.
    """

    def __init__(
        self, utterances: Sequence[Utterance], sample_rate: int, num_samples: int, seed: int, fixed: bool
    ) -> None:
        self._utterances, self._sample_rate, self._num_samples = utterances, sample_rate, num_samples
        self._seed, self._fixed = seed, fixed
        seconds = num_samples / sample_rate
        counts = [max(1, round(utterance.seconds / seconds)) for utterance in utterances]
        self._recordings = np.repeat(np.arange(len(utterances)), counts)
        self.lengths = np.full(len(self), num_samples, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._recordings)

    def example(self, index: int, epoch: int) -> Segment:
        """See `s2s.tasks.base.Dataset`."""
        utterance, seconds = self._utterances[self._recordings[index]], self._num_samples / self._sample_rate
        place = np.random.default_rng([self._seed, 0 if self._fixed else epoch, index]).random()
        start = place * max(0.0, utterance.seconds - seconds)
        found = load_audio(utterance.audio, self._sample_rate, start, start + seconds)[: self._num_samples]
        return Segment(utterance.id, np.pad(found, (0, self._num_samples - len(found))))


@register_task("speech_autoencoding")
class SpeechAutoencoding(Task):
    """Segments of recordings, which an audio tokenizer learns to reconstruct."""

    model, criterion = "sigma_vae", "sigma_vae"

    class Config(Section):
        """Options of the task of an audio tokenizer."""

        train: str
        """Manifest of the recordings to learn from."""
        valid: str | None = None
        """Manifest of the recordings to validate with. Without it, the last weights are kept."""
        sample_rate: PositiveInt = 24_000
        """Samples per second (Hz); recordings of other rates are resampled."""
        segment_seconds: PositiveFloat = 0.5
        """Length of a segment. `train.max_tokens` counts its samples."""

    config: SpeechAutoencoding.Config

    @property
    def has_validation(self) -> bool:
        return self.config.valid is not None

    def inputs(self) -> list[Path]:
        """The manifests; recordings are not read again for a comparison."""
        return [Path(data_path(name)) for name in (self.config.train, self.config.valid) if name is not None]

    def dataset(self, split: str, seed: int) -> SegmentDataset:
        utterances = read_manifest(data_path(getattr(self.config, split)))
        num_samples = max(1, round(self.config.segment_seconds * self.config.sample_rate))
        return SegmentDataset(utterances, self.config.sample_rate, num_samples, seed, fixed=split == "valid")

    def collate(self, examples: Sequence[Any]) -> AudioBatch:
        audio = torch.from_numpy(np.stack([example.samples for example in examples])).unsqueeze(1)
        return AudioBatch([example.id for example in examples], audio, self.config.sample_rate)

    def model_defaults(self) -> dict[str, Any]:
        return {"sample_rate": self.config.sample_rate}

    def save(self, folder: Path) -> None:
        """Nothing: the tokenizer's configuration holds everything that its users need."""
