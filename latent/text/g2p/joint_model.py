"""Pronunciations of words that a dictionary lacks: the most likely sounds for their letters, learned from its words.

A joint-sequence model: words are sequences of letters with their sounds, and n-grams say which follow which. Bisani and
Ney, "Joint-Sequence Models for Grapheme-to-Phoneme Conversion" (2008); here each letter has zero to two sounds.
"""

from __future__ import annotations

import io
import json
import lzma
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latent.text.g2p.alignment import Graphone, align
from latent.text.g2p.ngrams import EDGE, Ngrams

_MOST_NGRAMS = 800_000
_BEAM = 16
_LONGEST = 60  # letters of a word that is guessed; what is longer is no word
_NO_STRESS = 6.0  # how much less likely a word without a stressed vowel is


class JointModel:
    """The n-grams of letters with their sounds. One vowel of a word has the primary stress ("1"), if units carry it."""

    def __init__(self, graphones: list[Graphone], ngrams: Ngrams) -> None:
        """`graphones`: what the numbers of the n-grams stand for, from 1."""
        self._graphones, self._ngrams = graphones, ngrams

    @classmethod
    def learn(cls, pronunciations: Mapping[str, tuple[str, ...]]) -> JointModel:
        """The model of a dictionary; 130,000 words take about 40 seconds."""
        words = sorted((word, sounds) for word, sounds in pronunciations.items() if _is_word(word))
        aligned = align(words)
        counts = Counter(graphone for word in aligned for graphone in word)
        graphones = sorted(graphone for graphone, count in counts.items() if count > 1)
        number = {graphone: index for index, graphone in enumerate(graphones, start=1)}
        sequences = [[number[graphone] for graphone in word] for word in aligned if all(g in number for g in word)]
        return cls(graphones, Ngrams.learn(sequences, len(graphones) + 1, _MOST_NGRAMS))

    def sounds(self, word: str) -> tuple[str, ...] | None:
        """The most likely sounds of a word in lower case; None if it has a letter that the dictionary lacks."""
        if not 0 < len(word) <= _LONGEST or any(letter not in self._choices for letter in word):
            return None
        states, scores, stresses = self._ngrams.start(), np.zeros(1), np.zeros(1, np.int64)
        paths: list[tuple[int, ...]] = [()]
        for letter in word:
            choices = self._choices[letter]
            more, after = self._ngrams.after(states, choices)
            stressed = stresses[:, None] + self._stressed[choices]
            total = np.where(stressed > 1, -np.inf, scores[:, None] + more).ravel()
            best = np.argsort(-total, kind="stable")[:_BEAM]
            row, column = np.divmod(best, len(choices))
            scores, stresses, states = total[best], stressed[row, column], after[row, column]
            paths = [(*paths[r], int(choices[c])) for r, c in zip(row, column, strict=True)]
        ends = scores + self._ngrams.after(states, np.array([EDGE]))[0][:, 0] - _NO_STRESS * (stresses == 0)
        sounds = tuple(sound for number in paths[int(np.argmax(ends))] for sound in self._graphones[number - 1][1])
        return sounds or None

    @cached_property
    def _choices(self) -> dict[str, NDArray[np.int64]]:
        """The numbers of the graphones of each letter."""
        found: dict[str, list[int]] = {}
        for number, (letter, _) in enumerate(self._graphones, start=1):
            found.setdefault(letter, []).append(number)
        return {letter: np.array(numbers) for letter, numbers in found.items()}

    @cached_property
    def _stressed(self) -> NDArray[np.int64]:
        """How many vowels with primary stress each graphone has."""
        return np.array([0, *(sum(unit.endswith("1") for unit in sounds) for _, sounds in self._graphones)])

    def pack(self) -> bytes:
        """All it knows, compressed."""
        file = io.BytesIO()
        names = np.frombuffer(json.dumps(self._graphones).encode("utf-8"), np.uint8)
        arrays: dict[str, Any] = {"graphones": names, **self._ngrams.arrays()}
        np.savez(file, **arrays)
        return lzma.compress(file.getvalue())

    @classmethod
    def unpack(cls, content: bytes) -> JointModel:
        """What `pack` gave; raises ValueError if it is broken."""
        try:
            with np.load(io.BytesIO(lzma.decompress(content)), allow_pickle=False) as arrays:
                graphones = [(letter, tuple(sounds)) for letter, sounds in json.loads(arrays["graphones"].tobytes())]
                return cls(graphones, Ngrams.of_arrays(arrays, len(graphones) + 1))
        except (lzma.LZMAError, KeyError, EOFError, OSError, TypeError) as error:
            raise ValueError(f"broken model of pronunciations: {error}") from error


def _is_word(word: str) -> bool:
    return any(letter.isalpha() for letter in word) and all(letter.isalpha() or letter == "'" for letter in word)
