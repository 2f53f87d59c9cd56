"""Speech of a documented synthetic voice: flite reads short texts, so that a model sees many words early in training.

It is for training sets only; evaluation needs recordings of people.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from data_prep.speech_corpus import Recording
from data_prep.spoken_text import normal_form
from latent.text.spoken import plain
from s2s.data.jsonl import read_records
from s2s.errors import InputError

VOICES = ("slt", "rms", "awb", "kal16")

ABOUT = """Short texts read by flite, a small speech synthesizer of Carnegie Mellon University: no recordings of people.
Made for training sets; never measure with it."""

LICENSE = """License: flite and the voices slt, rms, awb and kal are free software under the BSD-like license of
Carnegie Mellon University. The texts stay under the license of where they come from."""

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?:;()\[\]\"*]+")


def phrases(
    files: Sequence[Path], field: str, words: tuple[int, int], seed: int, skip: Callable[[str], None]
) -> Iterator[str]:
    """Runs of whole words from the sentences of JSON lines, in random order, no phrase twice.

    Args:
        files: JSON lines.
        field: Field that holds the text.
        words: Minimum and maximum words of a phrase; all lengths are equally likely.
        skip: Gets the reason why a sentence is not used.

    Raises:
        InputError: a file cannot be read.
    """
    sentences = []
    for file in files:
        for where, record in read_records(file):
            if not isinstance(record.get(field), str):
                raise InputError(f"{where}: {field!r} must be a string, found {record.get(field)!r}")
            sentences += [part.split() for part in _SENTENCE_END.split(plain(record[field]))]
    chooser = random.Random(seed)
    chooser.shuffle(sentences)
    used: set[str] = set()
    for sentence in sentences:
        if not all(_WORD.fullmatch(word.rstrip(",")) for word in sentence):
            skip("sentences with something else than words")
            continue
        while len(sentence) >= words[0]:
            length = chooser.randint(*words)
            phrase, sentence = " ".join(sentence[:length]).rstrip(","), sentence[length:]
            if phrase.count(" ") + 1 >= words[0] and normal_form(phrase) not in used:
                used.add(normal_form(phrase))
                yield phrase


def read_aloud(texts: Sequence[str], voices: Sequence[str], folder: Path, flite: str, jobs: int) -> Iterator[Recording]:
    """Recordings of the texts by the voices in turn; audio goes to `folder`.

    Raises:
        InputError: flite is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(partial(_read_one, voices, folder, flite), range(len(texts)), texts)


def _read_one(voices: Sequence[str], folder: Path, flite: str, index: int, text: str) -> Recording:
    voice = voices[index % len(voices)]
    name = f"{voice}/{index:06}"
    audio = folder / f"{voice}-{index:06}.wav"
    command = [flite, "-voice", voice, "-t", text, "-o", str(audio)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"--flite {flite}: cannot be started: {error.strerror}") from error
    if run.returncode or not audio.is_file():
        raise InputError(f"--flite {flite}: fails on {text!r}: {(run.stderr.strip().splitlines() or ['no audio'])[-1]}")
    return Recording(name, audio, text, f"flite_{voice}", "en")
