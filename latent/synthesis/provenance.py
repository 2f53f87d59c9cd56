"""What a synthetic recording says about itself: that it is synthetic, by which model, with which seed, and when."""

from __future__ import annotations

from datetime import date
from importlib.metadata import version
from pathlib import Path

from latent.audio.files import audio_info, load_audio
from latent.audio.watermark import Watermark
from s2s.errors import InputError
from s2s.packages import load

_FIELDS = ("title", "artist", "comment", "software", "date", "copyright", "license")


def synthetic_tags(model: str, weights: str, seed: int, day: date | None = None) -> dict[str, str]:
    """Tags of synthetic speech for `write_audio`: the model, the hash of its weights, the seed, and the day (today)."""
    made, software = (day or date.today()).isoformat(), f"unilatent {version('unilatent')}"
    return {
        "comment": f"Synthetic speech, not a recording. Model {model} ({weights}), seed {seed}, {made}, {software}.",
        "software": software,
        "date": made,
    }


def describe_origin(path: str | Path) -> str:
    """The origin of an audio file in words: its tags, and whether it is watermarked, if resemble-perth is installed.

    Raises:
        InputError: the file cannot be read as audio.
    """
    tags = read_tags(path)
    said = tags.get("comment") or "; ".join(f"{name}: {value}" for name, value in tags.items()) or "No metadata."
    try:
        mark = Watermark.load()
    except InputError:
        return f"{said} Watermark: not looked for, resemble-perth is not installed."
    rate = audio_info(path).sample_rate
    return f"{said} Watermark: {mark.confidence(load_audio(path, rate), rate):.2f} (0 none, 1 certain)."


def read_tags(path: str | Path) -> dict[str, str]:
    """The tags that an audio file has; raises InputError if it cannot be read as audio."""
    audio_info(path)
    with load("soundfile", "speak").SoundFile(path) as file:
        found = {name: getattr(file, name) for name in _FIELDS}
    return {name: value for name, value in found.items() if value}
