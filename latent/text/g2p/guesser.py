"""How words are said that a dictionary lacks: English forms in -s from their stems, others by a model of its words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

from latent.text.g2p.joint_model import JointModel

LEAST_WORDS = 1_000
"""Words from which a model can be learned."""
_FILE = "guesses.xz"
_VOICELESS, _HISSING = frozenset(("P", "T", "K", "F", "TH")), frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))
_ENGLISH = frozenset(("S", "Z", "IH0"))  # units that English dictionaries have, and others have not


def with_s(sounds: tuple[str, ...]) -> tuple[str, ...]:
    """An English word with the ending -s or 's: "cats", "dogs", "boxes"."""
    return (*sounds, *(("IH0", "Z") if sounds[-1] in _HISSING else ("S",) if sounds[-1] in _VOICELESS else ("Z",)))


class Guesser:
    """Guesses from a dictionary. The model is learned when the first word needs it, or when it is saved."""

    def __init__(self, pronunciations: Mapping[str, tuple[str, ...]], model: JointModel | None = None) -> None:
        self._pronunciations, self._given = pronunciations, model
        self.guess = lru_cache(10_000)(self._guess)

    @cached_property
    def _model(self) -> JointModel:
        return self._given or JointModel.learn(self._pronunciations)

    @cached_property
    def _is_english(self) -> bool:
        return _ENGLISH.issubset(unit for sounds in self._pronunciations.values() for unit in sounds)

    def inflected(self, word: str) -> tuple[str, ...] | None:
        """The sounds of an English plural, possessive or verb form in -s whose stem the dictionary has."""
        if not self._is_english:
            return None
        if word.endswith("s'"):
            return self._pronunciations.get(word[:-1])
        stems = {"'s": word[:-2], "s": word[:-1], "ies": f"{word[:-3]}y"}
        for ending, stem in stems.items():
            doubled = ending == "s" and stem.endswith(("s", "'"))
            if word.endswith(ending) and len(stem) > 1 and not doubled and stem in self._pronunciations:
                return with_s(self._pronunciations[stem])
        return None

    def _guess(self, word: str) -> tuple[str, ...] | None:
        return self._model.sounds(word)

    def save(self, folder: Path) -> None:
        """Write the model into a run folder."""
        (folder / _FILE).write_bytes(self._model.pack())

    @classmethod
    def load(cls, folder: Path, pronunciations: Mapping[str, tuple[str, ...]]) -> Guesser | None:
        """Read it from a run folder; None if that has none. Raises OSError or ValueError if the file is broken."""
        if not (folder / _FILE).is_file():
            return None
        return cls(pronunciations, JointModel.unpack((folder / _FILE).read_bytes()))
