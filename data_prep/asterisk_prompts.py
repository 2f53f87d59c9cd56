"""Telephone prompts of Asterisk: studio recordings of one voice a language, with transcripts, from Debian packages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data_prep.debian_archives import fetch_archives, unpack_archives
from data_prep.speech_corpus import Recording
from s2s.data.text_lines import read_text_lines
from s2s.errors import InputError

LANGUAGES = ("en", "es", "fr", "it", "ru")
SAMPLE_RATE = 16000

ABOUT = """Prompts of the telephone exchange Asterisk 1.6.1, from the Debian packages asterisk-core-sounds-LANGUAGE-g722
(audio, 16 kHz) and asterisk-core-sounds-LANGUAGE (transcripts). Studio recordings of one professional speaker a
language; `id` is the language and the name of the prompt. Left out: prompts without speech (tones, silence),
transcripts with notes in brackets, and what is listed at the end."""

LICENSE = """License: en and es (c) 2003-2010 Allison Smith, fr (c) 2006-2008 June Wallack, CC-BY-SA-3.0; ru (c) 2010
Maxim Topal, it (c) 2012 Carlo Flora, CC-BY-3.0; funded by Digium, Inc. and others: see the file copyright in the
packages, /usr/share/doc/asterisk-core-sounds-LANGUAGE/copyright. Changed: decoded from G.722, cut, levelled. Whoever
passes on the audio, or what is derived from it, names the speakers and, for CC-BY-SA, keeps the license. A voice made
from them is a real person's: say that it is synthetic, and do not let it say what harms or misleads."""

_TRANSCRIPT_LINE = re.compile(r"(?P<name>[\w./-]+):\s*(?P<text>.*)")
_NO_SPEECH = re.compile(r"\s*(\[.*\]|<.*>|\(.*\))\s*")
_NAMED_SIGN = re.compile(r" \[[^\w\s]\]")  # "at [@]"
_BRACKETS = frozenset("[]<>()")


def fetch_packages(languages: Sequence[str], folder: Path) -> list[Path]:
    """Download the packages of some languages; see `fetch_archives`."""
    kinds = ("", "-g722")
    return fetch_archives(
        [f"asterisk-core-sounds-{language}{kind}" for language in languages for kind in kinds], folder
    )


def unpack(packages: Sequence[Path], folder: Path) -> list[Path]:
    """The unpacked packages; see `unpack_archives`."""
    return unpack_archives(packages, folder, "asterisk-core-sounds-*.deb", "usr/share/asterisk/sounds")


def read_prompts(roots: Sequence[Path], language: str, skip: Callable[[str], None]) -> Iterator[Recording]:
    """The prompts of one language, from unpacked packages.

    Raises:
        InputError: the audio or the transcripts are missing.
    """
    sounds = [folder for root in roots for folder in sorted(root.glob(f"usr/share/asterisk/sounds/{language}_*"))]
    name = f"asterisk-core-sounds-{language}"
    texts = [path for root in roots for path in root.glob(f"usr/share/doc/{name}/core-sounds-{language}.txt*")]
    if not sounds or not texts:
        package = f"{name}-g722" if not sounds else name
        raise InputError(f"--packages: no {'audio' if not sounds else 'transcripts'} in {language!r}; add {package}")
    speaker = sounds[0].name.rpartition("_")[2]
    recorded = [os.fspath(path.relative_to(sounds[0]).with_suffix("")) for path in sorted(sounds[0].rglob("*.g722"))]
    found: set[str] = set()
    for prompt, text in _transcripts(texts[0], skip):
        text = _NAMED_SIGN.sub("", text.removeprefix(f"{prompt}: "))
        if prompt in found:
            skip("second transcripts of a prompt")
        elif _NO_SPEECH.fullmatch(text):
            skip("prompts without speech")
        elif _BRACKETS & set(text):
            skip("transcripts with a note in brackets")
        elif prompt not in recorded:
            skip("transcripts without audio")
        else:
            yield Recording(f"{language}/{prompt}", sounds[0] / f"{prompt}.g722", text, speaker, language)
        found.add(prompt)
    for prompt in recorded:
        if prompt not in found:
            skip("audio without a transcript")


def _transcripts(path: Path, skip: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    for where, line in read_text_lines(path):
        if not line.strip() or line.startswith(";"):
            continue
        found = _TRANSCRIPT_LINE.fullmatch(line.strip())
        if not found:
            raise InputError(f"{where}: expected 'NAME: TEXT', found {line[:60]!r}")
        if found["text"]:
            yield found["name"], found["text"]
        else:
            skip("empty transcripts")
