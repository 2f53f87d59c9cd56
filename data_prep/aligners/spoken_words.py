"""When the words of a transcript are said: an aligner for `latent.recognition.words`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from data_prep.aligners.aligner import UNFOUND, WORDLESS, Aligner
from data_prep.aligners.learned import LearnedAligner
from data_prep.aligners.pocketsphinx import PocketsphinxAligner
from latent.audio.files import Samples
from latent.data.manifest import Alignment
from latent.subtitles import Word
from latent.text.front_end import FrontEnd
from latent.text.spoken import spoken
from s2s.durable import fingerprint
from s2s.errors import InputError

_TAG = re.compile(r"\[[^\[\]]*\]")
"""What a recognizer writes of other sounds: "[Music]"."""


class SpokenWords:
    """The words that an aligner finds. A `WordAligner` of `latent.recognition.words`.

    Args:
        name: The aligner, for messages.
        aligner: What finds the units of texts.
        files: Hashes of its files.
    """

    def __init__(self, name: str, aligner: Aligner, files: Mapping[str, Any]) -> None:
        self._name, self._aligner, self._files = name, aligner, dict(files)

    def fingerprint(self) -> Any:
        return self._files or self._name

    def refusal(self, language: str | None) -> str | None:
        known = self._aligner.languages
        if not known or self._language(language)[:2] in {code[:2] for code in known}:
            return None
        return (
            f"{self._name} aligns {', '.join(sorted(known))}, not {language}; "
            "`unilatent prepare align-speech --save FOLDER` learns another language"
        )

    def words(self, text: str, samples: Samples, language: str | None) -> list[Word] | str | None:
        try:
            said = spoken(_TAG.sub(" ", text), self._language(language))
            found = self._aligner.find(said, samples)
        except InputError as error:  # numbers without num2words
            return f"with a text that cannot be read aloud ({error})"
        if isinstance(found, str):
            return None if found == WORDLESS else found
        return timed_words(self._aligner.front_end, said, found) or UNFOUND

    def _language(self, given: str | None) -> str:
        """The language of a text: that of the aligner if it is not known, English if the aligner knows several."""
        known = sorted(self._aligner.languages)
        return given or (known[0] if len(known) == 1 else "en")


def open_word_aligner(name: str) -> SpokenWords:
    """The aligner "pocketsphinx", or one that was saved in a folder.

    Raises:
        InputError: there is no such aligner, or a package is not installed.
    """
    if name == "pocketsphinx":
        return SpokenWords(name, PocketsphinxAligner(), {})
    folder = Path(name)
    if not folder.is_dir():
        saved = "a folder that `unilatent prepare align-speech --save` wrote"
        raise InputError(f"--words: must be pocketsphinx (English), or {saved}, found {name!r}")
    aligner = LearnedAligner.load(folder)
    files = {path.name: fingerprint(path)["sha256"][:16] for path in sorted(folder.iterdir()) if path.is_file()}
    return SpokenWords(folder.resolve().name, aligner, files)


def timed_words(front_end: FrontEnd, said: str, alignment: Alignment) -> list[Word]:
    """The words of a text as it is spoken, from the times of its units; those that are silent are left out."""
    before = list(accumulate((sound is not None for sound in front_end.sounds(said)), initial=0))
    spans = [(word, before[first], before[last]) for word, first, last in front_end.words(said)]
    return [Word(word, alignment[first].start, alignment[last - 1].end) for word, first, last in spans if first < last]
