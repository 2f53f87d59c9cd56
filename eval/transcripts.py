"""Who said what when: transcripts with speakers against a reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.metric import Metric, mean, ratio
from eval.report import Report, Scored, make_report
from eval.word_errors import normalizer, word_errors
from latent.recognition.transcript import Segment
from s2s.data.jsonl import read_records
from s2s.data.words import nfc
from s2s.errors import InputError
from s2s.json_files import describe
from s2s.packages import load, version_of

_PACKAGES = ("unilatent", "numpy", "scipy", "jiwer", "pyannote.metrics")
_EXTRA = "recognition"
_UNKNOWN = "unknown"

Said = Sequence[Segment]
"""The segments of a recording, in the order of time."""


@dataclass(frozen=True)
class TranscriptSettings:
    """The options of an evaluation; all of them are in the report.

    Args:
        language: Language of the texts, a code of two letters.
        collar: Seconds around each boundary of the reference that DER leaves out, half on either side.
        baseline: Compare every other system with this one.
        resamples: Bootstrap samples for intervals; `seed` is theirs.
    """

    language: str = "en"
    collar: float = 0.0
    baseline: str | None = None
    resamples: int = 1000
    seed: int = 0


def evaluate_transcripts(reference: str, systems: Mapping[str, str], settings: TranscriptSettings) -> Report:
    """Score transcripts by DER, cpWER and WER; a recording that a system lacks counts as silence.

    Raises:
        InputError: a file is broken, or has no recording of the reference; a package is not installed.
    """
    meant = read_transcripts(reference)
    if settings.baseline is not None and settings.baseline not in systems:
        raise InputError(f"--baseline: must be one of {', '.join(systems)}, found {settings.baseline!r}")
    scored, notes = {}, []
    for name, path in systems.items():
        found = read_transcripts(path)
        if not meant.keys() & found.keys():
            raise InputError(f"{path}: has no recording of {reference}, such as {next(iter(meant))!r}")
        if lacking := meant.keys() - found.keys():
            notes.append(f"{name}: {len(lacking)} of {len(meant)} recordings are missing and count as silence")
        pairs = [(said, found.get(id, ())) for id, said in meant.items()]
        counts = [float(len({one.speaker for one in heard})) for _, heard in pairs]
        scored[name] = Scored(_metrics(pairs, settings), [mean("speakers", counts, "of a recording", scale=1)])
    return make_report(scored, systems, reference, {"task": "transcripts", **asdict(settings)}, _PACKAGES, notes)


def _metrics(pairs: Sequence[tuple[Said, Said]], settings: TranscriptSettings) -> list[Metric]:
    metrics = [diarization_errors(pairs, settings.collar)]
    if any(segment.text for meant, _ in pairs for segment in meant):
        texts = [[" ".join(one.text for one in said) for said in side] for side in zip(*pairs, strict=True)]
        metrics.append(speaker_word_errors(pairs, settings.language))
        metrics += word_errors(texts[1], texts[0], settings.language, "all words in the order of time")
    return metrics


def diarization_errors(pairs: Sequence[tuple[Said, Said]], collar: float = 0.0) -> Metric:
    """DER: missed, falsely detected and confused speech in per cent of the reference's, speakers mapped optimally.

    Args:
        pairs: Reference and hypothesis of each recording; overlapping speech counts for each of its speakers.
        collar: See `TranscriptSettings`.

    Source: NIST Rich Transcription evaluation; pyannote.metrics.
    """
    metrics = load("pyannote.metrics.diarization", _EXTRA)
    rate = metrics.DiarizationErrorRate(collar=collar)
    parts, wholes = [], []
    for meant, heard in pairs:
        found = rate(_annotation(meant), _annotation(heard), uem=_extent([*meant, *heard]), detailed=True)
        parts.append(found["confusion"] + found["missed detection"] + found["false alarm"])
        wholes.append(found["total"])
    signature = (
        f"optimal mapping, overlap counts, collar {collar:g} s; pyannote.metrics {version_of('pyannote.metrics')}"
    )
    return ratio("DER %", parts, wholes, signature, note="the reference has no speech")


def _annotation(said: Said) -> Any:
    core = load("pyannote.core", _EXTRA)
    annotation = core.Annotation()
    for number, one in enumerate(said):
        if one.start is not None and one.end is not None and one.end > one.start:
            annotation[core.Segment(one.start, one.end), number] = one.speaker or _UNKNOWN
    return annotation


def _extent(said: Said) -> Any:
    core = load("pyannote.core", _EXTRA)
    return core.Timeline([core.Segment(0.0, max([1e-3, *(one.end or 0.0 for one in said)]))])


def speaker_word_errors(pairs: Sequence[tuple[Said, Said]], language: str) -> Metric:
    """cpWER: word errors between what each speaker said and was heard saying, speakers mapped so that they are fewest.

    Source: CHiME-6 (arXiv 2004.09249): concatenated minimum-permutation word error rate.
    """
    normalize, rule = normalizer(language)
    found = [speaker_edits(*(_by_speaker(said, normalize) for said in pair)) for pair in pairs]
    edits, words = zip(*found, strict=True)
    signature = f"concatenated minimum-permutation; {rule}; jiwer {version_of('jiwer')}"
    return ratio("cpWER %", edits, words, signature, note="no text has a word")


def _by_speaker(said: Said, normalize: Any) -> list[str]:
    texts: dict[str, list[str]] = {}
    for segment in said:
        texts.setdefault(segment.speaker or _UNKNOWN, []).append(segment.text)
    return [normalize(nfc(" ".join(parts))) for parts in texts.values()]


def speaker_edits(meant: Sequence[str], heard: Sequence[str]) -> tuple[int, int]:
    """The fewest word edits between texts of speakers, one-to-one, and the words of `meant`.

    A speaker without a counterpart counts with all words.
    """
    size = max(len(meant), len(heard))
    targets, texts = ([*side, *[""] * (size - len(side))] for side in (meant, heard))
    costs = np.array([[_edits(target, text) for text in texts] for target in targets]).reshape(size, size)
    rows, columns = load("scipy.optimize", _EXTRA).linear_sum_assignment(costs)
    return int(costs[rows, columns].sum()), sum(len(target.split()) for target in targets)


def _edits(target: str, text: str) -> int:
    if not target or not text:
        return len(f"{target} {text}".split())
    found = load("jiwer", _EXTRA).process_words(target, text)
    return int(found.substitutions + found.deletions + found.insertions)


def read_transcripts(path: str) -> dict[str, list[Segment]]:
    """The segments of each recording, in the order of time, of JSON lines as `transcribe` writes them, or of RTTM.

    Raises:
        InputError: a line is broken, or the file holds none.
    """
    found: dict[str, list[Segment]] = {}
    if Path(path).suffix.lower() == ".rttm":
        for id, segment in _read_rttm(path):
            found.setdefault(id, []).append(segment)
    else:
        for where, record in read_records(path):
            name = record.get("id")
            if not isinstance(name, str) or not name or name in found:
                raise InputError(f"{where}: 'id' must be a string that no other line has, found {describe(name)}")
            found[name] = _segments(record, where)
    if not found:
        raise InputError(f"{path}: holds no transcript")
    return {id: sorted(said, key=lambda one: (one.start or 0.0, one.end or 0.0)) for id, said in found.items()}


def _segments(record: dict[str, Any], where: str) -> list[Segment]:
    segments = record.get("segments", [])
    if not isinstance(segments, list):
        raise InputError(f"{where}: 'segments' must be a list, found {describe(segments)}")
    return [_segment(one, f"{where}: segment {number}") for number, one in enumerate(segments, start=1)]


def _segment(one: Any, where: str) -> Segment:
    if not isinstance(one, dict) or not isinstance(one.get("text", ""), str):
        raise InputError(f"{where}: must have start, end, speaker and 'text', a string, found {describe(one)}")
    start, end, speaker = (one.get(name) for name in ("start", "end", "speaker"))
    if not all(isinstance(time, int | float) and math.isfinite(time) and time >= 0 for time in (start, end)):
        raise InputError(f"{where}: 'start' and 'end' must be seconds, found {describe([start, end])}")
    return Segment(one.get("text", ""), start, end, None if speaker is None else str(speaker))


def _read_rttm(path: str) -> list[tuple[str, Segment]]:
    """The lines of speakers; lines of other types say nothing about who speaks."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start, length = float(fields[3]), float(fields[4])
            found.append((fields[1], Segment("", start, start + length, fields[7])))
        except (IndexError, ValueError) as error:
            raise InputError(f"{path}:{number}: no SPEAKER line of RTTM, found {describe(line)}") from error
    return found
