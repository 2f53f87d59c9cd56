"""Whether a long recording of several speakers holds: voice, pitch and level by minute, and the joints of its lines.

Its report (`AUDIO.report.json`, which `synthesize --script` writes) says who speaks when.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from eval.metric import Array
from eval.pitch import SAMPLE_RATE, pitch, semitones
from eval.voice import VoiceEncoder
from latent.audio.features import LogMel
from latent.audio.files import Samples, load_audio
from s2s.errors import InputError
from s2s.json_files import read_object

Embed = Callable[[Samples], Array]
"""From samples at 16 kHz to an embedding of the voice, of length 1."""

_MINUTE, _SPAN = 60.0, 10.0
_FLUX_WINDOW, _FLUX_HOP, _FLUX_MELS, _FLOOR = 320, 80, 40, 1e-4  # 20 ms every 5 ms; below: silence
_AROUND = 4  # frames on either side of a joint
_LEAST_SECONDS = 1.0  # of a speaker in a minute


@dataclass(frozen=True)
class Line:
    """Who speaks from second `start` to second `stop`."""

    speaker: str
    start: float
    stop: float


@dataclass(frozen=True)
class Minute:
    """A speaker in one minute of the recording.

    Args:
        seconds: How long the speaker speaks in it.
        similarity: Cosine of the voice to that of the speaker's first minute, 1 there.
        pitch: Median, in Hz; NaN if nothing is voiced.
        dbfs: Level of the speech.
    """

    speaker: str
    minute: int
    seconds: float
    similarity: float
    pitch: float
    dbfs: float


@dataclass(frozen=True)
class Joints:
    """Spectral flux where lines begin and end, beside that of 40 ms anywhere in the speech.

    Flux is the mean absolute change of log10 mel bands in 5 ms, its largest value in 40 ms.

    Args:
        above: Share of joints with more flux than 95 % of the speech; 0.05 would be expected by chance.
    """

    count: int
    median: float
    elsewhere: float
    elsewhere_95: float
    above: float


@dataclass(frozen=True)
class LongForm:
    """What was found; `drift` are changes in ten minutes by speaker: similarity, semitones, dB (where 3 are known)."""

    audio: str
    seconds: float
    minutes: list[Minute]
    drift: dict[str, dict[str, float]]
    joints: Joints


def evaluate_long_form(audio: Path, embed: Embed | None = None) -> LongForm:
    """Measure a recording with its report beside it.

    Raises:
        InputError: there is no report, it is not one, or the audio cannot be read.
    """
    lines = read_lines(audio.with_name(f"{audio.name}.report.json"))
    samples = load_audio(audio, SAMPLE_RATE)
    minutes = by_minute(samples, lines, embed or VoiceEncoder())
    drift = {who: _drift([one for one in minutes if one.speaker == who]) for who in {one.speaker for one in minutes}}
    return LongForm(
        str(audio),
        len(samples) / SAMPLE_RATE,
        minutes,
        {who: drift[who] for who in sorted(drift) if drift[who]},
        measure_joints(samples, lines),
    )


def read_lines(report: Path) -> list[Line]:
    """The lines in a report; raises InputError."""
    if not report.is_file():
        raise InputError(f"{report}: no such file; `synthesize --script` writes it beside its audio")
    try:
        spoken = read_object(report)["spoken"]
        lines = [Line(str(one["speaker"]), float(one["start"]), float(one["stop"])) for one in spoken]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{report}: is not the report of a spoken script") from error
    if not lines:
        raise InputError(f"{report}: has no lines")
    return lines


def by_minute(samples: Samples, lines: Sequence[Line], embed: Embed) -> list[Minute]:
    """Each speaker in each minute with a second of speech or more, in the order of time."""
    spoken: dict[tuple[str, int], list[Samples]] = {}
    for line in lines:
        part = samples[int(line.start * SAMPLE_RATE) : int(line.stop * SAMPLE_RATE)]
        spoken.setdefault((line.speaker, int(line.start // _MINUTE)), []).append(part)
    first: dict[str, Array] = {}
    minutes = []
    for (speaker, minute), parts in sorted(spoken.items(), key=lambda item: item[0][1]):
        whole = np.concatenate(parts)
        if len(whole) < _LEAST_SECONDS * SAMPLE_RATE:
            continue
        voice = embed(whole)
        found = pitch(whole)
        median = float(np.nanmedian(found)) if not np.isnan(found).all() else np.nan
        level = 10 * np.log10(float(np.square(whole, dtype=np.float64).mean()) + 1e-12)
        similarity = float(voice @ first.setdefault(speaker, voice))
        minutes.append(Minute(speaker, minute, len(whole) / SAMPLE_RATE, similarity, median, float(level)))
    return minutes


def _drift(minutes: Sequence[Minute]) -> dict[str, float]:
    """Slopes by least squares, for ten minutes; none of fewer than three minutes."""
    times = np.array([one.minute for one in minutes], float) / _SPAN
    heights = np.array([one.pitch for one in minutes])
    measured = {
        "similarity": np.array([one.similarity for one in minutes[1:]]),  # the first is compared with itself
        "semitones": semitones(heights, float(np.nanmedian(heights))) if not np.isnan(heights).all() else heights,
        "dB": np.array([one.dbfs for one in minutes]),
    }
    slopes = {}
    for name, values in measured.items():
        known = ~np.isnan(values)
        if known.sum() >= 3:
            slopes[name] = float(np.polyfit(times[-len(values) :][known], values[known], 1)[0])
    return slopes


def measure_joints(samples: Samples, lines: Sequence[Line]) -> Joints:
    """Flux at the joints of the lines, and elsewhere in them."""
    features = LogMel(SAMPLE_RATE, _FLUX_MELS, _FLUX_WINDOW, _FLUX_HOP, _FLOOR)
    mel = features(torch.from_numpy(np.ascontiguousarray(samples))[None])[0].double().numpy()
    flux = np.abs(np.diff(mel, axis=1)).mean(0)
    frame = SAMPLE_RATE / _FLUX_HOP
    places = [round(time * frame) for line in lines for time in (line.start, line.stop)]
    speech = np.zeros(len(flux), bool)
    for line in lines:
        speech[round(line.start * frame) : round(line.stop * frame)] = True
    for place in places:
        speech[max(0, place - _AROUND) : place + _AROUND] = False
    at_joints = np.array([flux[max(0, place - _AROUND) : place + _AROUND].max(initial=0.0) for place in places])
    inner = flux[speech]
    blocks = inner[: len(inner) // (2 * _AROUND) * 2 * _AROUND].reshape(-1, 2 * _AROUND).max(1)
    if not len(blocks):
        raise InputError("the lines are too short to compare their joints with the speech in them")
    usual, high = np.percentile(blocks, [50, 95])
    return Joints(len(places), float(np.median(at_joints)), float(usual), float(high), float((at_joints > high).mean()))


def as_text(found: LongForm) -> str:
    """A table of minutes, the drift of each speaker, and the joints."""
    rows = [f"{found.audio}: {found.seconds / _MINUTE:.1f} minutes", "", "minute  similarity  pitch Hz   dBFS  speaker"]
    for one in found.minutes:
        rows.append(f"{one.minute:6}  {one.similarity:10.3f}  {one.pitch:8.0f}  {one.dbfs:5.1f}  {one.speaker}")
    rows.append("")
    for speaker, slopes in found.drift.items():
        changes = ", ".join(f"{name} {slope:+.3f}" for name, slope in slopes.items())
        rows.append(f"{speaker}, change in ten minutes: {changes}")
    joints = found.joints
    rows.append(
        f"{joints.count} joints: spectral flux {joints.median:.3f}, elsewhere {joints.elsewhere:.3f} "
        f"(95 % below {joints.elsewhere_95:.3f}); {joints.above:.0%} of the joints are above that"
    )
    return "\n".join(rows)
