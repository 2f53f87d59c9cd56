"""Speech recognizers that work offline, behind one call: 16 kHz samples in, text out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from latent.audio.files import Samples
from latent.recognition.recognizers import open_recognizer as open_own
from latent.speech_encoder import PACKAGE, packaged_whisper
from s2s.errors import InputError
from s2s.json_files import dump_json
from s2s.packages import load, version_of

SAMPLE_RATE = 16000
_EXTRA = "speech-eval"


class Recognizer(Protocol):
    """Anything that writes down speech; `signature` says exactly what it is."""

    signature: str

    def __call__(self, samples: Samples) -> str:
        """The text of samples `(L,)` at 16 kHz."""
        ...


def open_recognizer(name: str, language: str, overrides: Sequence[str] = ()) -> Recognizer:
    """The recognizer of a name: "whisper", "whisper:MODEL" or "pocketsphinx"; or what `unilatent transcribe` opens.

    MODEL is a folder in the format of CTranslate2, or a size that faster-whisper downloads (tiny.en, small). The
    overrides are options of what `transcribe` opens.

    Raises:
        InputError: no such recognizer; its package or its model is missing; it does not know the language.
    """
    kind, _, model = name.partition(":")
    if kind not in RECOGNIZERS and Path(name).is_dir():
        return Own(name, language, overrides)
    if kind not in RECOGNIZERS:
        raise InputError(f"--recognizer: must be a folder or one of {', '.join(RECOGNIZERS)}, found {name!r}")
    return RECOGNIZERS[kind](model, language)


class Whisper:
    """Whisper by faster-whisper, greedy, without the text of earlier segments."""

    def __init__(self, model: str, language: str) -> None:
        folder = model or str(packaged_whisper())
        if not model and language != "en":
            raise InputError(
                f"--recognizer whisper: the packaged model knows en, found {language!r}; give whisper:MODEL"
            )
        package = load("faster_whisper", _EXTRA)
        logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # it logs the length of every recording
        try:
            self._model: Any = package.WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1)
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"--recognizer whisper:{model}: cannot be loaded: {error}") from error
        self._language = language
        name = model or f"tiny.en ({PACKAGE} {version_of(PACKAGE)})"
        self.signature = f"Whisper {name}, faster-whisper {version_of('faster-whisper')}, int8, greedy, {language}"

    def __call__(self, samples: Samples) -> str:
        segments, _ = self._model.transcribe(
            samples, language=self._language, beam_size=1, temperature=0.0, condition_on_previous_text=False
        )
        return " ".join(segment.text.strip() for segment in segments)


class PocketSphinx:
    """The English model inside pocketsphinx: small, installs everywhere, wrong about one word in four."""

    def __init__(self, model: str, language: str) -> None:
        if model or language != "en":
            raise InputError(f"--recognizer pocketsphinx: has one model, for en; found {model or language!r}")
        self._decoder: Any = load("pocketsphinx", _EXTRA).Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
        self.signature = f"pocketsphinx {version_of('pocketsphinx')}, en-us"

    def __call__(self, samples: Samples) -> str:
        content = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(content, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return str(found.hypstr) if found else ""


class Own:
    """A run of the task `speech_recognition`, or released weights that listen."""

    def __init__(self, folder: str, language: str, overrides: Sequence[str] = ()) -> None:
        self._recognizer, self._language = open_own(folder, overrides=overrides), language
        weights = hashlib.sha256(dump_json(self._recognizer.fingerprint()).encode()).hexdigest()[:16]
        self.signature = f"{self._recognizer.name} ({weights})"

    def __call__(self, samples: Samples) -> str:
        return self._recognizer.transcribe(samples, SAMPLE_RATE, language=self._language).text


RECOGNIZERS: dict[str, Callable[[str, str], Recognizer]] = {"whisper": Whisper, "pocketsphinx": PocketSphinx}
"""Recognizer by kind, made from a model ("" for the default) and a language."""
