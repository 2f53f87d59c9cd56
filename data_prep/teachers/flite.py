"""flite, a small program with four English voices: fast, and clearly a machine."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_prep.teachers.teacher import Speech, Teacher
from latent.audio.files import load_audio
from latent.audio.levels import trim_silence
from s2s.errors import InputError

_SILENCE_DB = 40.0


@dataclass(frozen=True)
class Flite(Teacher):
    """Voices by the program flite.

    Args:
        program: Its name or path.
    """

    program: str = "flite"

    title = "Speech of flite"
    about = """Texts read by flite, a small speech synthesizer of Carnegie Mellon University: no recordings of people.
Made for training sets; never measure with it."""
    license = """License: flite and the voices slt, rms, awb and kal are free software under the BSD-like license of
Carnegie Mellon University. The texts stay under the license of where they come from."""
    sample_rate = 16000
    voices = ("slt", "rms", "awb", "kal16")
    default_voices = ("slt",)

    def speaker(self, voice: str) -> str:
        return f"flite_{voice}"

    def identity(self) -> Mapping[str, object]:
        return {"program": self.program}

    def read(self, text: str, voice: str) -> Speech:
        with tempfile.TemporaryDirectory() as folder:
            audio = Path(folder) / "speech.wav"
            command = [self.program, "-voice", voice, "-t", text, "-o", str(audio)]
            try:
                run = subprocess.run(command, capture_output=True, text=True, check=False)
            except OSError as error:
                raise InputError(f"--flite {self.program}: cannot be started: {error.strerror}") from error
            if run.returncode or not audio.is_file():
                problem = (run.stderr.strip().splitlines() or ["no audio"])[-1]
                raise InputError(f"--flite {self.program}: fails on {text!r}: {problem}")
            samples = load_audio(audio, self.sample_rate)
        return Speech(trim_silence(samples, self.sample_rate, _SILENCE_DB))
