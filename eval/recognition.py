"""Recognizers beside each other on the same recordings: word errors, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from eval.metric import Metric, ratio
from eval.recognizers import SAMPLE_RATE, Recognizer, open_recognizer
from eval.report import Report, Scored, make_report
from eval.word_errors import word_errors
from latent.audio.files import load_audio
from latent.data.manifest import Utterance, read_manifest
from s2s.durable import write_whole
from s2s.errors import InputError
from s2s.json_files import dump_json

_PACKAGES = ("unilatent", "numpy", "torch", "jiwer", "faster-whisper", "ctranslate2", "pocketsphinx")


@dataclass(frozen=True)
class RecognitionSettings:
    """The options of an evaluation; all of them are in the report.

    Args:
        language: Language of the texts, a code of two letters.
        baseline: Compare every other recognizer with this one.
        overrides: Options of recognizers that `transcribe` opens, such as `decoder.beam_size=4`.
        resamples: Bootstrap samples for intervals; `seed` is theirs.
        transcripts: File for the transcripts, one JSON line per recognizer and recording.
    """

    language: str = "en"
    baseline: str | None = None
    overrides: tuple[str, ...] = ()
    resamples: int = 1000
    seed: int = 0
    transcripts: str | None = None


def evaluate_recognition(manifest: str, recognizers: Mapping[str, str], settings: RecognitionSettings) -> Report:
    """Let recognizers hear the recordings of a manifest, one after the other, and score what each writes.

    Args:
        manifest: See `latent.data.manifest`.
        recognizers: By name, see `eval.recognizers.open_recognizer`.

    Raises:
        InputError: a file is broken, a recognizer cannot be opened or does not know the language, or the baseline is
            none of them.
    """
    if settings.baseline is not None and settings.baseline not in recognizers:
        raise InputError(f"--baseline: must be one of {', '.join(recognizers)}, found {settings.baseline!r}")
    utterances = read_manifest(manifest)
    heard = {
        name: _hear(name, open_recognizer(kind, settings.language, settings.overrides), utterances)
        for name, kind in recognizers.items()
    }
    texts, seconds = [utterance.text for utterance in utterances], [utterance.seconds for utterance in utterances]
    who = ", ".join(f"{name}: {found.signature}" for name, found in heard.items())
    scored = {
        name: Scored(word_errors(found.texts, texts, settings.language, who), [_time(found.times, seconds)])
        for name, found in heard.items()
    }
    if settings.transcripts is not None:
        lines = [
            dump_json({"system": name, "id": one.id, "text": one.text, "heard": text}) + "\n"
            for name, found in heard.items()
            for one, text in zip(utterances, found.texts, strict=True)
        ]
        write_whole(Path(settings.transcripts), "".join(lines).encode())
    return make_report(scored, {}, manifest, {"task": "recognition", **asdict(settings)}, _PACKAGES, [])


class _Heard(NamedTuple):
    """What a recognizer writes for each recording, and the processor time of each in seconds."""

    texts: list[str]
    times: list[float]
    signature: str


def _hear(name: str, recognizer: Recognizer, utterances: Sequence[Utterance]) -> _Heard:
    """Recordings one by one, each read beforehand."""
    heard = _Heard([], [], recognizer.signature)
    for utterance in tqdm(utterances, name, leave=False, disable=None):
        samples = load_audio(utterance.audio, SAMPLE_RATE)
        start = time.process_time()
        heard.texts.append(recognizer(samples))
        heard.times.append(time.process_time() - start)
    return heard


def _time(times: Sequence[float], seconds: Sequence[float]) -> Metric:
    return ratio("processor time", times, seconds, "processor seconds for a second of audio, a recording at a time", 1)
