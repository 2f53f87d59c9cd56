"""Conversations made by joining recordings of single speakers, with who says what when, to measure diarization."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latent.audio.files import load_audio, write_audio
from latent.audio.levels import trim_silence
from latent.data.manifest import Utterance
from s2s.errors import InputError
from s2s.json_files import dump_json


def join_recordings(
    utterances: Sequence[Utterance],
    folder: Path,
    count: int,
    turns: int = 6,
    sample_rate: int = 16000,
    pauses: tuple[float, float] = (0.2, 1.0),
    seed: int = 0,
) -> Path:
    """Write conversations of two speakers who take turns, and the reference that `evaluate transcripts` reads.

    Args:
        utterances: Recordings of two speakers or more; silence at their ends is cut off.
        folder: Gets conversation-000.flac and so on, and reference.jsonl.
        count: The number of conversations; each draws two speakers and their utterances.
        turns: Utterances of each.
        pauses: Shortest and longest pause between turns, in seconds.

    Returns:
        The reference.

    Raises:
        InputError: there are fewer than two speakers, or a recording cannot be read.
    """
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        by_speaker.setdefault(utterance.speaker, []).append(utterance)
    if len(by_speaker) < 2:
        raise InputError(f"a conversation needs recordings of two speakers, found {len(by_speaker)}")
    folder.mkdir(parents=True, exist_ok=True)
    generator, lines = np.random.default_rng(seed), []
    for number in range(count):
        pair = generator.choice(sorted(by_speaker), 2, replace=False)
        chosen = [by_speaker[str(pair[turn % 2])] for turn in range(turns)]
        said = [spoken[int(generator.integers(len(spoken)))] for spoken in chosen]
        silences = generator.uniform(*pauses, turns)
        id = f"conversation-{number:03}"
        samples, segments = _joined(said, silences.tolist(), sample_rate)
        write_audio(folder / f"{id}.flac", samples, sample_rate)
        lines.append(dump_json({"id": id, "audio": f"{id}.flac", "segments": segments}) + "\n")
    (folder / "reference.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder / "reference.jsonl"


def _joined(
    said: Sequence[Utterance], silences: Sequence[float], rate: int
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], list[dict[str, Any]]]:
    """The samples of some utterances one after the other, a silence before each, and their segments."""
    parts, segments, length = [], [], 0
    for utterance, silence in zip(said, silences, strict=True):
        pause = np.zeros(round(silence * rate), np.float32)
        speech = trim_silence(load_audio(utterance.audio, rate), rate)
        start = length + len(pause)
        length = start + len(speech)
        parts += [pause, speech]
        times = {"start": round(start / rate, 6), "end": round(length / rate, 6)}
        segments.append({**times, "speaker": utterance.speaker, "text": utterance.text})
    return np.concatenate(parts), segments
