"""One evaluation of speech: a manifest and folders of audio in, a report out, with the real recordings beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval import mos, waveform
from eval.intonation import intonation, is_question
from eval.metric import Metric, mean, ratio
from eval.pitch import ending
from eval.recognizers import SAMPLE_RATE, open_recognizer
from eval.report import Report, Scored, make_report
from eval.spoken_texts import SpokenText, is_synthesis, read_spoken_texts
from eval.synthesis_facts import NEAR, ending_metrics, read_facts
from eval.voice import VoiceEncoder, similarities
from eval.word_errors import word_errors
from latent.audio.files import Samples, audio_info, load_audio
from s2s.errors import InputError
from s2s.packages import version_of

RECORDINGS = "recordings"
METRICS = ("wer", "similarity", "prompt_similarity", "intonation", "distillmos", "dnsmos", "mel", "pesq", "stoi")
_NEED_ALIGNMENT = ("pesq", "stoi")
_NEED_RECORDINGS = ("similarity", "mel", *_NEED_ALIGNMENT)
_SUFFIXES = (".wav", ".flac", ".ogg")
_PACKAGES = ("unilatent", "numpy", "torch", "soundfile", "soxr", "jiwer", "faster-whisper", "pesq", "pystoi")

Files = Mapping[str, Path]
"""The audio of one system by id, read on access; an id without audio is left out."""

Measured = dict[str, list[Metric]]
"""Metrics by system."""


@dataclass(frozen=True)
class SpeechSettings:
    """The options of an evaluation; all of them are in the report.

    Args:
        metrics: Names in METRICS; empty takes all whose packages are installed.
        recognizer: See `eval.recognizers.open_recognizer`.
        language: Language of the texts, a code of two letters.
        aligned: The audio is a reconstruction of the recordings, sample for sample: PESQ and STOI need that.
        resamples: Bootstrap samples for intervals.
        transcripts: File for the transcripts, one JSON line per system and utterance.
    """

    metrics: tuple[str, ...] = ()
    recognizer: str = "whisper"
    language: str = "en"
    aligned: bool = False
    resamples: int = 1000
    seed: int = 0
    transcripts: str | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise InputError(f"--metric: must be one of {', '.join(METRICS)}, found {unknown[0]!r}")
        if not self.aligned and set(self.metrics) & set(_NEED_ALIGNMENT):
            raise InputError(
                "--metric pesq, stoi: need audio that is aligned with the recordings; add --aligned if it is"
            )


def evaluate_speech(manifest: str, audio: Mapping[str, str], settings: SpeechSettings) -> Report:
    """Score folders of audio against the texts of a manifest; if it has recordings, they are scored beside them.

    An utterance without audio counts as silence for the word error rate, and is left out of the other metrics.

    Args:
        manifest: JSON lines with id, audio and text; or texts without recordings, see `read_spoken_texts`.
        audio: The folder of each system, with ID.wav, ID.flac or ID.ogg; by default that of a synthesis's own manifest.

    Raises:
        InputError: a file is broken; a folder holds none of the ids; a package of `settings.metrics` is not installed;
            a metric needs recordings, and there are none.
    """
    utterances = read_spoken_texts(manifest)
    if not audio and is_synthesis(manifest):
        folder = Path(manifest).absolute().parent
        audio = {folder.name: str(folder)}
    systems = _systems(utterances, audio, settings)
    notes = [
        f"{name}: {len(utterances) - len(files)} of {len(utterances)} have no audio and count as silence"
        for name, files in systems.items()
        if len(files) < len(utterances)
    ]
    if RECORDINGS not in systems:
        notes.append("no recordings: what compares with them is left out (similarity, mel distance, length)")
    trial = _Trial(utterances, systems, settings)
    quality: Measured = {name: [] for name in systems}
    for name in settings.metrics or METRICS:
        if not settings.metrics and not _applies(name, trial):
            continue
        try:
            for one, metrics in _MEASURES[name](trial).items():
                quality[one] += metrics
        except InputError as error:
            if settings.metrics:
                raise
            notes.append(f"left out: {error}")
    scored = {name: Scored(quality[name], _form(utterances, files, audio.get(name))) for name, files in systems.items()}
    return make_report(scored, audio, manifest, {"task": "speech", **asdict(settings)}, _PACKAGES, notes)


def _applies(metric: str, trial: _Trial) -> bool:
    """Whether there is what a metric needs."""
    if metric == "prompt_similarity":
        return any(utterance.prompt for utterance in trial.utterances)
    if metric == "intonation":
        return len({is_question(utterance.text) for utterance in trial.utterances}) == 2
    aligned = metric not in _NEED_ALIGNMENT or trial.settings.aligned
    return aligned and (metric not in _NEED_RECORDINGS or RECORDINGS in trial.systems)


def _systems(utterances: Sequence[SpokenText], audio: Mapping[str, str], settings: SpeechSettings) -> dict[str, Files]:
    """The audio of all systems, the recordings last, if there are any."""
    systems = {name: _find_audio(Path(folder), utterances) for name, folder in audio.items()}
    if RECORDINGS in systems:
        raise InputError(f"--audio: a system cannot be called {RECORDINGS!r}, which the recordings of the manifest are")
    recordings = {one.id: one.recording for one in utterances if one.recording is not None}
    if recordings:
        return {**systems, RECORDINGS: recordings}
    needed = [f"--metric {name}" for name in settings.metrics if name in _NEED_RECORDINGS]
    if settings.aligned or needed:
        raise InputError(f"{next(iter(needed), '--aligned')}: needs recordings; the manifest has no 'audio'")
    if not systems:
        raise InputError("--audio: needed, since the manifest has no recordings")
    return systems


def _find_audio(folder: Path, utterances: Sequence[SpokenText]) -> Files:
    if not folder.is_dir():
        raise InputError(f"--audio: {folder}: no such folder")
    parents = [parent for parent in {(folder / utterance.id).parent for utterance in utterances} if parent.is_dir()]
    paths = [path for parent in parents for path in parent.iterdir() if path.suffix.lower() in _SUFFIXES]
    paths.sort(key=lambda path: _SUFFIXES.index(path.suffix.lower()), reverse=True)  # the last one counts
    by_name = {path.with_name(path.stem): path for path in paths if path.is_file()}
    found = {one.id: by_name[folder / one.id] for one in utterances if folder / one.id in by_name}
    if not found:
        example = folder / f"{utterances[0].id}.wav"
        raise InputError(f"--audio: {folder}: holds no audio of the manifest, such as {example}")
    return found


@dataclass(frozen=True)
class _Trial:
    """What every metric is computed from."""

    utterances: Sequence[SpokenText]
    systems: Mapping[str, Files]
    settings: SpeechSettings


_Measure = Callable[[_Trial], Measured]
_Scorer = Callable[[Samples, Callable[[], Samples]], float]  # audio, and its recording if it asks, to a score or NaN


def _measure_words(trial: _Trial) -> Measured:
    utterances, settings = trial.utterances, trial.settings
    recognizer = open_recognizer(settings.recognizer, settings.language)
    texts = [utterance.text for utterance in utterances]
    measured = {}
    lines = []
    for name, files in trial.systems.items():
        heard = {identity: recognizer(samples) for identity, samples in _read(files, f"{name}: recognizing")}
        transcripts = [heard.get(utterance.id, "") for utterance in utterances]
        measured[name] = word_errors(transcripts, texts, settings.language, recognizer.signature)
        for utterance, text in zip(utterances, transcripts, strict=True):
            lines.append({"system": name, "id": utterance.id, "text": utterance.text, "heard": text})
    if settings.transcripts is not None:
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        try:
            Path(settings.transcripts).write_text(content, encoding="utf-8")
        except OSError as error:
            raise InputError(f"--transcripts: cannot write {settings.transcripts}: {error.strerror}") from error
    return measured


def _measure_similarity(trial: _Trial) -> Measured:
    encoder = VoiceEncoder()
    voices = {
        name: {identity: encoder(samples) for identity, samples in _read(files, f"{name}: voices")}
        for name, files in trial.systems.items()
    }
    speakers = {utterance.id: utterance.speaker for utterance in trial.utterances}
    cosines = {name: similarities(vectors, voices[RECORDINGS], speakers) for name, vectors in voices.items()}
    return {name: [_mean_of_known("speaker similarity", cosines[name], encoder.signature)] for name in cosines}


def _measure_prompts(trial: _Trial) -> Measured:
    encoder = VoiceEncoder()
    prompts = {one.prompt: one.prompt for one in trial.utterances if one.prompt is not None}
    if not prompts:
        raise InputError("--metric prompt_similarity: needs 'voice', a recording, in the lines of the manifest")
    voices = {path: encoder(load_audio(path, SAMPLE_RATE)) for path in prompts}
    measured = {}
    for name, files in trial.systems.items():
        vectors = {identity: encoder(samples) for identity, samples in _read(files, f"{name}: prompts")}
        cosines = [
            float(vectors[one.id] @ voices[one.prompt]) if one.prompt is not None and one.id in vectors else np.nan
            for one in trial.utterances
        ]
        measured[name] = [_mean_of_known("similarity to the prompt", cosines, encoder.to_prompts)]
    return measured


def _measure_intonation(trial: _Trial) -> Measured:
    questions = [is_question(utterance.text) for utterance in trial.utterances]
    measured = {}
    for name, files in trial.systems.items():
        ends = {identity: ending(samples) for identity, samples in _read(files, f"{name}: intonation")}
        measured[name] = intonation([ends.get(one.id, np.nan) for one in trial.utterances], questions)
    return measured


def _scored(heading: str, open_scorer: Callable[[SpeechSettings], tuple[_Scorer, str]]) -> _Measure:
    """The measure that is the mean of one score per utterance."""

    def measure(trial: _Trial) -> Measured:
        score, signature = open_scorer(trial.settings)
        recordings = trial.systems.get(RECORDINGS, {})
        measured = {}
        for name, files in trial.systems.items():
            scores = {
                identity: score(samples, partial(_recording, recordings, identity))
                for identity, samples in _read(files, f"{name}: {heading}")
            }
            values = [scores.get(utterance.id, np.nan) for utterance in trial.utterances]
            measured[name] = [_mean_of_known(heading, values, signature)]
        return measured

    return measure


def _recording(recordings: Files, identity: str) -> Samples:
    return load_audio(recordings[identity], SAMPLE_RATE)


def _mos(open_model: Callable[[], tuple[mos.Scorer, str]]) -> tuple[_Scorer, str]:
    score, signature = open_model()
    return lambda audio, recording: score(audio), signature


def _mel(settings: SpeechSettings) -> tuple[_Scorer, str]:
    aligned = settings.aligned
    way = "frame by frame" if aligned else "along the path of dynamic time warping"
    signature = f"mean absolute difference of log10 mel, 80 bands, 64 ms, hop 16 ms, 16 kHz, {way}"
    return lambda audio, recording: waveform.mel_distance(audio, recording(), aligned), signature


def _pesq(audio: Samples, recording: Callable[[], Samples]) -> float:
    return waveform.pesq(audio, recording())


def _stoi(audio: Samples, recording: Callable[[], Samples]) -> float:
    return waveform.stoi(audio, recording())


_MEASURES: dict[str, _Measure] = {
    "wer": _measure_words,
    "similarity": _measure_similarity,
    "prompt_similarity": _measure_prompts,
    "intonation": _measure_intonation,
    "distillmos": _scored("DistillMOS", lambda settings: _mos(mos.open_distillmos)),
    "dnsmos": _scored("DNSMOS", lambda settings: _mos(mos.open_dnsmos)),
    "mel": _scored("mel distance", _mel),
    "pesq": _scored("PESQ", lambda settings: (_pesq, f"wide-band PESQ, pesq {version_of('pesq')}, 16 kHz")),
    "stoi": _scored("STOI", lambda settings: (_stoi, f"STOI, pystoi {version_of('pystoi')}, 16 kHz")),
}


def _form(utterances: Sequence[SpokenText], files: Files, folder: str | None) -> list[Metric]:
    """Lengths, relative to those of the recordings: they show first when speech ends too early or never."""
    facts = {} if folder is None else read_facts(Path(folder))
    ids = [one.id for one in utterances]
    lengths = [audio_info(files[id]).seconds if id in files else 0.0 for id in ids]
    seconds = mean("seconds", lengths, "mean length of an utterance", scale=1)
    if utterances[0].recording is None:
        return [seconds, *ending_metrics(facts, ids, lengths)]
    meant = [one.seconds for one in utterances]
    near = [abs(length - wanted) <= NEAR * wanted for length, wanted in zip(lengths, meant, strict=True)]
    return [
        seconds,
        ratio("length %", lengths, meant, "seconds of all utterances, % of those of the recordings"),
        mean(
            "length near %",
            [float(one) for one in near],
            f"% of utterances at most {NEAR:.0%} longer or shorter than their recording",
        ),
        *ending_metrics(facts, ids, lengths, near),
    ]


def _read(files: Files, task: str) -> Iterator[tuple[str, Samples]]:
    for identity, path in tqdm(files.items(), desc=task, unit=" clips", leave=False, disable=None):
        yield identity, load_audio(path, SAMPLE_RATE)


def _mean_of_known(name: str, values: Sequence[float], signature: str) -> Metric:
    """Mean of one value per utterance; NaN does not count."""
    known = ~np.isnan(values)
    return ratio(name, np.where(known, values, 0.0), known, signature, 1.0, "no utterance has a score")
