"""A song as sound, by adding sines: no synthesizer, no samples, and the same bytes everywhere."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2s.data.song import Song
from s2s.durable import write_whole

SAMPLE_RATE = 22_050
_PARTIALS = (1.0, 0.5, 0.25, 0.12, 0.06)
_ATTACK, _RELEASE = 0.02, 0.06
_VIBRATO_HZ, _VIBRATO = 5.5, 0.004
_PEAK = 0.7


def render(song: Song) -> NDArray[np.float32]:
    """The samples of a song, mono, at `SAMPLE_RATE`; half a second of silence follows."""
    seconds = 60.0 / song.beats_per_minute
    sound = np.zeros(int((float(song.beats) * seconds + 0.5) * SAMPLE_RATE), np.float32)
    for note in song.sung():
        first = int(float(note.start) * seconds * SAMPLE_RATE)
        tone = _tone(note.pitch, float(note.beats) * seconds)[: len(sound) - first]
        sound[first : first + len(tone)] += tone
    peak = float(np.abs(sound).max(initial=0.0))
    return sound * np.float32(_PEAK / peak) if peak else sound


def _tone(pitch: int, seconds: float) -> NDArray[np.float32]:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    wobble = _VIBRATO * (1 - np.cos(2 * np.pi * _VIBRATO_HZ * time)) / (2 * np.pi * _VIBRATO_HZ)
    phase = frequency * (time + wobble)  # in cycles
    audible = [(order, level) for order, level in enumerate(_PARTIALS, start=1) if order * frequency < SAMPLE_RATE / 2]
    wave_form = sum(level * np.sin(2 * np.pi * order * phase) for order, level in audible)
    envelope = np.minimum(1.0, np.minimum(time / _ATTACK, (seconds - time) / _RELEASE).clip(0))
    return np.asarray(wave_form * envelope, np.float32)


def write_wav(path: Path, song: Song) -> None:
    """Write a song as 16-bit WAV."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((render(song) * 32767).astype("<i2").tobytes())
    write_whole(path, content.getvalue())
