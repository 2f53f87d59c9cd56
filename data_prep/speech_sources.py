"""The layouts of the usual speech corpora, each as a stream of recordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from data_prep.speech_corpus import Recording
from s2s.data.text_lines import read_text, read_text_lines
from s2s.errors import InputError

Skip = Callable[[str], None]
_AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".g722")


class Source(NamedTuple):
    """A corpus: how its folder is read, and the title and first paragraph of its data card."""

    read: Callable[[Path, str, Skip], Iterator[Recording]]
    title: str
    about: str


def ljspeech(folder: Path, language: str, skip: Skip) -> Iterator[Recording]:
    """metadata.csv with lines ID|TEXT|NORMALIZED TEXT, and wavs/ID.wav."""
    for _, fields in _short_rows(folder / "metadata.csv", "|", "ID|TEXT or ID|TEXT|NORMALIZED TEXT"):
        yield Recording(fields[0], folder / "wavs" / f"{fields[0]}.wav", fields[-1], "LJ", language)


def libritts(folder: Path, language: str, skip: Skip) -> Iterator[Recording]:
    """SUBSET/SPEAKER/CHAPTER/ID.wav, each with ID.normalized.txt."""
    for path in _files(folder, "*/*/*/*.normalized.txt"):
        name = path.name.removesuffix(".normalized.txt")
        text = _read_text(path)
        subset, speaker = path.parts[-4], path.parts[-3]
        audio = path.with_name(f"{name}.wav")
        yield Recording(f"{subset}/{name}", audio, text, speaker, language, _split_of_subset(subset))


def librispeech(folder: Path, language: str, skip: Skip) -> Iterator[Recording]:
    """SUBSET/SPEAKER/CHAPTER/ID.flac, and lines ID TEXT in SPEAKER-CHAPTER.trans.txt; text is lower-cased."""
    for path in _files(folder, "*/*/*/*.trans.txt"):
        subset, speaker = path.parts[-4], path.parts[-3]
        for _, name, text in _named_values(path):
            audio = path.with_name(f"{name}.flac")
            yield Recording(f"{subset}/{name}", audio, text.lower(), speaker, language, _split_of_subset(subset))


def vctk(folder: Path, language: str, skip: Skip) -> Iterator[Recording]:
    """txt/SPEAKER/ID.txt, with wav48_silence_trimmed/SPEAKER/ID_mic1.flac or wav48/SPEAKER/ID.wav."""
    for path in _files(folder, "txt/*/*.txt"):
        speaker = path.parent.name
        new = folder / "wav48_silence_trimmed" / speaker / f"{path.stem}_mic1.flac"
        old = folder / "wav48" / speaker / f"{path.stem}.wav"
        audio = new if new.is_file() else old
        if audio.is_file():
            yield Recording(f"{speaker}/{path.stem}", audio, _read_text(path), speaker, language)
        else:
            skip("without audio")


def common_voice(folder: Path, language: str, skip: Skip) -> Iterator[Recording]:
    """train.tsv, dev.tsv and test.tsv (else validated.tsv) with client_id, path and sentence; clips/PATH."""
    splits: dict[str, str | None] = {"train": "train", "dev": "valid", "test": "test"}
    present: dict[str, str | None] = {name: splits[name] for name in splits if (folder / f"{name}.tsv").is_file()}
    for name, split in (present or {"validated": None}).items():
        table = folder / f"{name}.tsv"
        rows = _rows(table, "\t")
        _, header = next(rows, ("", []))
        missing = {"client_id", "path", "sentence"} - set(header)
        if missing:
            raise InputError(f"{table}:1: expected the columns client_id, path and sentence, found {', '.join(header)}")
        last = max(header.index(column) for column in ("client_id", "path", "sentence"))
        for where, fields in rows:
            if not last < len(fields) <= len(header):  # empty columns at the end are not there
                raise InputError(f"{where}: expected {len(header)} fields as in the first line, found {len(fields)}")
            row = dict(zip(header, fields, strict=False))
            if Path(row["path"]).name != row["path"]:
                raise InputError(f"{where}: 'path' must be the name of a file in clips, found {row['path']!r}")
            audio = folder / "clips" / row["path"]
            speaker = row["client_id"][:16]  # a digest of 128 digits
            yield Recording(audio.stem, audio, row["sentence"], speaker, language, split)


def kaldi(folder: Path, language: str, skip: Skip) -> Iterator[Recording]:
    """wav.scp (ID FILE) and text (ID WORDS); optional utt2spk (ID SPEAKER) and segments (ID FILE-ID START STOP)."""
    files: dict[str, Path] = {}
    for where, name, path in _named_values(folder / "wav.scp"):
        if path.endswith("|"):
            raise InputError(f"{where}: expected the name of an audio file, found a command; run it first: {path[:60]}")
        files[name] = folder / path
    texts = {name: text for _, name, text in _named_values(folder / "text")}
    speakers = {}
    if (folder / "utt2spk").is_file():
        speakers = {name: speaker for _, name, speaker in _named_values(folder / "utt2spk")}
    for where, name, place in _segments(folder, files):
        parts = place.split()
        try:
            file, start, stop = parts[0], float(parts[1]), float(parts[2])
        except (IndexError, ValueError):
            file, start, stop = "", math.nan, math.nan
        if not (0 <= start < math.inf and (stop < 0 or start < stop < math.inf)):
            raise InputError(f"{where}: expected ID FILE-ID START STOP, times in seconds, found {place!r}")
        if file not in files:
            raise InputError(f"{where}: no line of wav.scp has the id {file!r}")
        if name in texts:
            speaker = speakers.get(name, "unknown")
            yield Recording(name, files[file], texts[name], speaker, language, None, start, None if stop < 0 else stop)
        else:
            skip("without a text")


def transcripts(folder: Path, language: str, skip: Skip) -> Iterator[Recording]:
    """transcripts.tsv with lines FILE<tab>TEXT or FILE<tab>TEXT<tab>SPEAKER, the files beside it."""
    layout = "FILE<tab>TEXT or FILE<tab>TEXT<tab>SPEAKER"
    for where, fields in _short_rows(folder / "transcripts.tsv", "\t", layout):
        audio = folder / fields[0]
        if audio.suffix.lower() not in _AUDIO_SUFFIXES:
            raise InputError(f"{where}: expected an audio file ({', '.join(_AUDIO_SUFFIXES)}), found {fields[0]!r}")
        speaker = fields[2] if len(fields) == 3 else folder.resolve().name
        yield Recording(str(Path(fields[0]).with_suffix("")), audio, fields[1], speaker, language)


SOURCES = {
    "ljspeech": Source(ljspeech, "LJSpeech", "Recordings of one reader of LibriVox, with texts in the public domain."),
    "libritts": Source(libritts, "LibriTTS", "Readings of LibriVox, CC BY 4.0; its own splits."),
    "librispeech": Source(
        librispeech, "LibriSpeech", "Readings of LibriVox, CC BY 4.0; its own splits; texts in lower case."
    ),
    "vctk": Source(vctk, "VCTK", "Sentences read by many speakers of English, CC BY 4.0."),
    "common-voice": Source(
        common_voice,
        "Common Voice",
        "Sentences read by volunteers, CC0; its own splits. Do not try to identify a speaker.",
    ),
    "kaldi": Source(kaldi, "Kaldi folder", "A data folder as Kaldi uses it."),
    "transcripts": Source(transcripts, "Recordings with transcripts", "A folder of recordings."),
}
"""The corpora by the name of their verb."""


def _split_of_subset(subset: str) -> str:
    beginning = subset.partition("-")[0]
    return {"dev": "valid", "test": "test"}.get(beginning, "train")


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder}: found no {pattern} in it")
    yield from found


def _read_text(path: Path) -> str:
    return " ".join(read_text(path).split())


def _rows(path: Path, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """`(where, cells)` of each line that is not blank; cells are text, quotes and all."""
    for where, line in read_text_lines(path):
        if line.strip():
            yield where, line.split(delimiter)


def _short_rows(path: Path, delimiter: str, layout: str) -> Iterator[tuple[str, list[str]]]:
    for where, fields in _rows(path, delimiter):
        if len(fields) not in (2, 3):
            raise InputError(f"{where}: expected {layout}, found {len(fields)} fields")
        yield where, fields


def _named_values(path: Path) -> Iterator[tuple[str, str, str]]:
    """`(where, name, value)` for each line: a name, blanks, and the rest."""
    for where, line in read_text_lines(path):
        if not (line := line.strip()):
            continue
        name, _, value = line.partition(" ") if "\t" not in line.partition(" ")[0] else line.partition("\t")
        if not value.strip():
            raise InputError(f"{where}: expected an id and a value, found {line!r}")
        yield where, name, value.strip()


def _segments(folder: Path, files: dict[str, Path]) -> Iterator[tuple[str, str, str]]:
    if (folder / "segments").is_file():
        return _named_values(folder / "segments")
    return ((f"{folder}/wav.scp", name, f"{name} 0 -1") for name in files)
