"""Kokoro-82M, a teacher with many voices whose weights and voices are free (Apache-2.0), in ONNX.

It reads our phonemes, not those of espeak-ng, so what a voice learns from it is what the front end will say. Its model
predicts how long each symbol lasts and then speaks exactly so: these durations are the alignment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.teachers.kokoro_files import KokoroFiles, find_kokoro
from data_prep.teachers.teacher import Speech, Teacher, Unreadable
from latent.audio.files import Samples
from latent.data.manifest import Sounding
from latent.text.phonemes import PhonemeFrontEnd
from s2s.errors import InputError
from s2s.packages import load

_DURATIONS = "/encoder/Clip_output_0"
"""The value in the graph that holds the duration of each symbol, in frames."""
_FRAME = 600
_LEAD = 0.045
"""Seconds by which sounds come before the frames that stand for them: the median over the onsets of 300 utterances of
24 voices, by energy."""
_BEFORE, _AFTER = 0.1, 0.2
"""Seconds of silence that are kept before the first and after the last symbol."""
_CONSONANTS = {
    **{"B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l"},
    **{"M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v"},
    **{"W": "w", "Y": "j", "Z": "z", "ZH": "ʒ"},
}
_VOWELS = {
    **{"AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "ER": "ɜɹ", "EY": "A", "IH": "ɪ"},
    **{"IY": "i", "OW": "O", "OY": "Y", "UH": "ʊ", "UW": "u"},
}
_UNSTRESSED = {"AH": "ə", "ER": "əɹ"}
_STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}
_FUNCTION_WORDS = """
a an the and or but of to in on at by for from with as than is are was were be been am has have had do does
did can could will would shall should he she it we they you i his her its our their my your me him them us"""
_WEAK = frozenset(_FUNCTION_WORDS.split())
"""Words without stress inside a phrase. A dictionary has them as they sound alone, where "to" is "two"."""
_PAUSES = frozenset(",.?!;:")
_MARKS = {"-": " ", "'": ""}
"""Marks that Kokoro does not know; the others stand for themselves."""


def symbols(name: str) -> str:
    """Kokoro's symbols for a token of the front end: "/AY1" is "ˈI", "," is ","; "" for what is silent.

    Raises:
        KeyError: a phoneme that is not one of the CMU dictionary's.
    """
    if not name.startswith("/"):
        return _MARKS.get(name, name)
    phoneme, stress = (name[1:-1], name[-1]) if name[-1] in _STRESS else (name[1:], "0")
    if phoneme in _CONSONANTS:
        return _CONSONANTS[phoneme]
    vowel = _UNSTRESSED.get(phoneme) if stress == "0" else None
    return _STRESS[stress] + (vowel or _VOWELS[phoneme])


@dataclass(frozen=True)
class Kokoro(Teacher):
    """Voices of Kokoro that speak English, American ("af_", "am_") and British ("bf_", "bm_"). `open` makes one.

    Args:
        files: Where the model is.
        numbers: The number of each symbol.
        styles: The vectors of each voice that is to speak.
    """

    files: KokoroFiles
    numbers: Mapping[str, int]
    styles: Mapping[str, NDArray[np.float32]]

    title = "Speech of Kokoro"
    about = """Texts read by Kokoro-82M, a synthesizer whose voices belong to nobody: no recordings of people.
`alignment` is what the synthesizer itself tells of its speech, so it is exact. Made for training; measure with
recordings too."""
    license = """License: the weights and voices of Kokoro-82M (hexgrad) come under the Apache License 2.0, their export
to ONNX (kokoro-onnx) under the MIT License. The texts stay under the license of where they come from."""
    sample_rate = 24000
    voices = tuple(
        f"{kind}_{name}"
        for kind, names in {
            "af": "alloy aoede bella heart jessica kore nicole nova river sarah sky",
            "am": "adam echo eric fenrir liam michael onyx puck santa",
            "bf": "alice emma isabella lily",
            "bm": "daniel fable george lewis",
        }.items()
        for name in names.split()
    )
    mixes = True
    default_held_out = ("af_nova", "am_eric", "bf_lily", "bm_lewis")
    default_voices = tuple(sorted(set(voices) - set(default_held_out)))

    @classmethod
    def open(cls, paths: Sequence[Path], voices: Sequence[str]) -> Kokoro:
        """Kokoro with these voices, from `find_kokoro(paths)`.

        Raises:
            InputError: a file is missing or damaged.
        """
        files = find_kokoro(paths)
        numbers = files.symbols()
        phonemes = [*_CONSONANTS.values(), *_VOWELS.values(), *_UNSTRESSED.values(), *_STRESS.values()]
        if missing := sorted(set("".join(phonemes)) - set(numbers)):
            raise InputError(f"{files.vocabulary}: lacks the symbols {' '.join(missing)}, which English needs")
        return cls(files, numbers, files.styles(voices))

    def speaker(self, voice: str) -> str:
        return voice

    def identity(self) -> Mapping[str, object]:
        dictionary = repr(sorted(_front_end().pronunciations.items()))
        return {
            "model": _digest(self.files.model_bytes()),
            "symbols": dict(self.numbers),
            "voices": {voice: _digest(style.tobytes()) for voice, style in self.styles.items()},
            "dictionary": _digest(dictionary.encode()),
            "reading": _digest(repr((_CONSONANTS, _VOWELS, _UNSTRESSED, sorted(_WEAK), _LEAD)).encode()),
        }

    def read(self, text: str, voice: str) -> Speech:
        reading = _front_end().read(text)
        if reading.spelled or reading.dropped:
            raise Unreadable("with a word that has no pronunciation")
        written = _written(text)
        samples, edges = self._speak("".join(part for _, part in written), voice)
        start = max(0.0, edges[1] - _BEFORE)
        stop = min(len(samples) / self.sample_rate, edges[-2] + _AFTER)
        places = np.cumsum([1, *(sum(symbol in self.numbers for symbol in part) for _, part in written)])
        alignment = tuple(
            Sounding(name, float(edges[first] - start), float(edges[last] - start))
            for (name, _), first, last in zip(written, places, places[1:], strict=False)
            if name.startswith("/")
        )
        return Speech(samples[round(start * self.sample_rate) : round(stop * self.sample_rate)], alignment)

    def _speak(self, written: str, voice: str) -> tuple[Samples, NDArray[np.float64]]:
        """Samples, and the seconds at which each symbol begins, padding included, and the last one ends."""
        numbers = [self.numbers[symbol] for symbol in written if symbol in self.numbers]
        if len(numbers) >= len(self.styles[voice]):
            raise Unreadable(f"of {len(self.styles[voice])} symbols or more")
        audio, frames = self._session.run(
            ["audio", _DURATIONS],
            {
                "tokens": np.array([[0, *numbers, 0]]),
                "style": self.styles[voice][len(numbers)],
                "speed": np.ones(1, np.float32),
            },
        )
        edges = np.concatenate([[0], np.cumsum(frames)]) * _FRAME / self.sample_rate
        return audio.reshape(-1).astype(np.float32), np.maximum(edges - _LEAD, 0.0)

    @cached_property
    def _session(self) -> Any:
        """The model with one more output, the durations; one thread, since many processes share the work."""
        onnx, runtime = load("onnx", "teacher"), load("onnxruntime", "teacher")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        content = self.files.model_bytes()
        try:
            model = onnx.load_from_string(content)
            durations = onnx.helper.make_tensor_value_info(_DURATIONS, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(durations)
            return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # two libraries, each with errors of its own
            problem = str(error).splitlines()[0]
            raise InputError(f"--kokoro {self.files.model[0]}: is not a model of Kokoro: {problem}") from error


def _written(text: str) -> list[tuple[str, str]]:
    """The tokens of a text and their symbols; a function word has stress only before a mark that makes a pause."""
    parts, names = _front_end().parts(text), _front_end().names_by_part(text)
    found = []
    for part, following, tokens in zip(parts, [*parts[1:], "."], names, strict=True):
        weak = part in _WEAK and following not in _PAUSES
        found += [(token, symbols(token).lstrip("ˈˌ") if weak else symbols(token)) for token in tokens]
    return found


@cache
def _front_end() -> PhonemeFrontEnd:
    """That of this process."""
    return PhonemeFrontEnd.learn([], None)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
