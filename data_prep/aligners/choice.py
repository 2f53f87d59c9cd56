"""The aligner that a command asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from data_prep.aligners.aligner import Aligner
from data_prep.aligners.learned import LearnedAligner
from data_prep.aligners.pocketsphinx import PocketsphinxAligner
from latent.data.manifest import Utterance
from latent.text.front_end import FRONT_ENDS, FrontEnd
from latent.text.spoken import spoken
from s2s.errors import InputError


def open_aligner(name: str, front_end: str | None, dictionary: str | None, utterances: Sequence[Utterance]) -> Aligner:
    """An aligner for some utterances.

    Args:
        name: "learned", "pocketsphinx", or the folder of one that was saved.
        front_end: What cuts the texts; None: phonemes if all are English or there is a dictionary, else characters.
        dictionary: A file of words and phonemes; None: CMUdict.

    Raises:
        InputError: there is no such aligner, or it has a front end of its own and another is given.
        ConfigError: there is no such front end, or recordings cannot be aligned with its tokens.
    """
    if name == "learned":
        return LearnedAligner(_front_end(front_end, dictionary, utterances))
    if dictionary is not None or front_end not in (None, "phonemes" if name == "pocketsphinx" else None):
        given = "--dictionary" if dictionary is not None else "--front-end"
        raise InputError(f"{given}: is for --aligner learned; {name} has a front end of its own")
    if name == "pocketsphinx":
        return PocketsphinxAligner()
    if not Path(name).is_dir():
        raise InputError(f"--aligner: must be learned, pocketsphinx, or a folder of --save, found {name!r}")
    return LearnedAligner.load(Path(name))


def _front_end(name: str | None, dictionary: str | None, utterances: Sequence[Utterance]) -> FrontEnd:
    english = all(utterance.language == "en" for utterance in utterances)
    chosen = name or ("phonemes" if english or dictionary is not None else "characters")
    texts = [spoken(utterance.text, utterance.language) for utterance in utterances]
    made = cast("type[FrontEnd]", FRONT_ENDS[chosen]).learn(texts, dictionary)
    made.sounds("a")  # raises where recordings cannot be aligned with such tokens
    return made
