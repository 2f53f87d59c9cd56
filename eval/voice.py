"""How much a voice sounds like its speaker: cosine of voice embeddings, by the GE2E encoder of Resemblyzer.

Only the weights of that package are used; its own code needs webrtcvad and librosa, which many machines cannot build.

Source: Wan et al., Generalized end-to-end loss for speaker verification, ICASSP 2018; Resemblyzer 0.1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.metric import Array
from latent.audio.features import mel_filters, stft_magnitude
from latent.audio.files import Samples
from latent.audio.levels import normalize_loudness
from s2s.errors import InputError
from s2s.packages import version_of

SAMPLE_RATE = 16000
_HOP, _WINDOW, _MELS = 160, 400, 40
_PART_FRAMES = 160  # 1.6 s
_PART_STEP = 77  # frames between parts: 1.3 parts a second
_MIN_COVERAGE = 0.75  # of the last part, unless it is the only one
_LEVEL_DBFS = -30.0  # Resemblyzer raises soft clips to this; we also lower loud ones, so that gain never counts


class VoiceEncoder:
    """Embeddings of voices, `(256,)`, of length 1."""

    signature = f"cosine to the speaker's other recordings, Resemblyzer {version_of('Resemblyzer')} (GE2E)"
    to_prompts = f"cosine to the voice prompt, Resemblyzer {version_of('Resemblyzer')} (GE2E)"

    def __init__(self) -> None:
        found = find_spec("resemblyzer")
        if not found or not found.origin:
            raise InputError(
                "Resemblyzer, whose weights compare voices, is not installed: pip install --no-deps resemblyzer"
            )
        weights = torch.load(Path(found.origin).parent / "pretrained.pt", map_location="cpu", weights_only=True)
        state: dict[str, Any] = weights["model_state"]
        self._lstm = torch.nn.LSTM(_MELS, 256, num_layers=3, batch_first=True)
        self._linear = torch.nn.Linear(256, 256)
        for name, module in (("lstm", self._lstm), ("linear", self._linear)):
            own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            module.load_state_dict(own)
        self._filters = mel_filters(SAMPLE_RATE, _WINDOW, _MELS)
        self._window = torch.hann_window(_WINDOW)

    def __call__(self, samples: Samples) -> Array:
        """The embedding of samples `(L,)` at 16 kHz: the mean over parts of 1.6 s, scaled to length 1."""
        levelled = torch.from_numpy(normalize_loudness(samples, _LEVEL_DBFS))
        starts = _part_starts(len(samples))
        needed = (starts[-1] + _PART_FRAMES) * _HOP
        padded = torch.nn.functional.pad(levelled, (0, max(0, needed - len(samples))))
        with torch.inference_mode():
            mel = self._filters @ stft_magnitude(padded[None], self._window, _HOP)[0].square()  # (mels, T)
            parts = torch.stack([mel[:, start : start + _PART_FRAMES].T for start in starts])
            _, (hidden, _) = self._lstm(parts)
            vectors = torch.nn.functional.normalize(self._linear(hidden[-1]).relu(), dim=1)
            mean: Array = torch.nn.functional.normalize(vectors.mean(dim=0), dim=0).double().numpy()
        return mean


def similarities(
    voices: Mapping[str, Array], recordings: Mapping[str, Array], speakers: Mapping[str, str]
) -> list[float]:
    """Cosine of each voice to the mean of its speaker's *other* recordings; so recordings themselves have a score.

    All are by id. Returns one number per id in `speakers`; NaN without a voice or another recording of the speaker.
    """
    cosines = []
    for identity, speaker in speakers.items():
        others = [vector for name, vector in recordings.items() if speakers[name] == speaker and name != identity]
        if identity in voices and others:
            center: Array = np.mean(others, axis=0)
            cosines.append(float(voices[identity] @ center / np.linalg.norm(center)))
        else:
            cosines.append(np.nan)
    return cosines


def _part_starts(num_samples: int) -> list[int]:
    """First frames of the parts of a recording, as Resemblyzer cuts it."""
    frames = -(-(num_samples + 1) // _HOP)
    starts = list(range(0, max(1, frames - _PART_FRAMES + _PART_STEP + 1), _PART_STEP))
    covered = (num_samples - starts[-1] * _HOP) / (_PART_FRAMES * _HOP)
    return starts[:-1] if len(starts) > 1 and covered < _MIN_COVERAGE else starts
