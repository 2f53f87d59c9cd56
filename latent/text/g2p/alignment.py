"""Which letters make which sounds: words aligned with their pronunciations by expectation maximization.

Each letter makes no sound, one or two ("x": K S). The most likely division of all words is found together, as in
Jiampojamarn et al., "Applying Many-to-Many Alignments and Hidden Markov Models to Letter-to-Phoneme Conversion" (2007).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 2
"""Sounds that one letter may make."""
_ITERATIONS = 5
_TAUGHT_BY = 20_000  # words from which probabilities are learned; all are aligned by them

Graphone = tuple[str, tuple[str, ...]]
"""A letter and its sounds."""
_Step = tuple[int, int, int]  # the letter, the sounds before it, the sounds that it makes
_Numbers = NDArray[np.int64]
_Floats = NDArray[np.float64]


def align(pronunciations: Sequence[tuple[str, tuple[str, ...]]]) -> list[list[Graphone]]:
    """Words with the sounds of each letter; those with more than two sounds to a letter are left out ("abc")."""
    groups = _groups(pronunciations)
    codes = np.unique(np.concatenate([code for group in groups for code in group.codes.values()]))
    for group in groups:
        group.codes = {step: np.searchsorted(codes, code) for step, code in group.codes.items()}
    shares = np.full(len(codes), 1 / len(codes))
    taught = min(1.0, _TAUGHT_BY / len(pronunciations))
    for _ in range(_ITERATIONS):
        expected = np.full(len(codes), 1e-3)  # what the words that teach lack is unlikely, not impossible
        for group in groups:
            group.expect(shares, expected, max(1, round(taught * len(group.members))))
        shares = expected / expected.sum()
    scores = np.round(np.log(shares), 3)  # so that the last bits of another machine decide nothing
    found = {member: path for group in groups for member, path in group.best(scores)}
    return [_graphones(*pronunciations[member], path) for member, path in sorted(found.items())]


def _graphones(word: str, sounds: tuple[str, ...], path: Sequence[int]) -> list[Graphone]:
    ends = np.cumsum(path).tolist()
    return [(letter, sounds[end - made : end]) for letter, end, made in zip(word, ends, path, strict=True)]


@dataclass
class _Group:
    """Words with as many letters and sounds as each other, so that all are aligned at once.

    Args:
        size: Letters and sounds.
        members: N words, by their place in the dictionary.
        codes: For each step, which letter and sounds it would join in each word, `(N,)`.
    """

    size: tuple[int, int]
    members: list[int]
    codes: dict[_Step, _Numbers]

    def expect(self, shares: _Floats, expected: _Floats, count: int) -> None:
        """Add the expected number of each code in `count` of the words."""
        some = np.linspace(0, len(self.members) - 1, count).astype(np.int64)
        steps = {step: code[some] for step, code in self.codes.items()}
        before: dict[tuple[int, int], _Floats] = defaultdict(lambda: np.zeros(count))
        before[0, 0] = np.ones(count)
        for (letter, sounds, made), code in steps.items():
            after = (letter + 1, sounds + made)
            before[after] = before[after] + before[letter, sounds] * shares[code]
        behind: dict[tuple[int, int], _Floats] = defaultdict(lambda: np.zeros(count))
        behind[self.size] = 1 / before[self.size]
        for (letter, sounds, made), code in reversed(steps.items()):
            share = behind[letter + 1, sounds + made] * shares[code]
            behind[letter, sounds] = behind[letter, sounds] + share
            np.add.at(expected, code, before[letter, sounds] * share)

    def best(self, scores: _Floats) -> list[tuple[int, list[int]]]:
        """Each word, and the number of sounds of each of its letters on the most likely path."""
        nothing = np.full(len(self.members), -np.inf)
        total: dict[tuple[int, int], _Floats] = defaultdict(lambda: nothing)
        total[0, 0] = np.zeros(len(self.members))
        came: dict[tuple[int, int], _Numbers] = defaultdict(lambda: np.zeros(len(self.members), np.int64))
        for (letter, sounds, made), code in self.codes.items():
            place, score = (letter + 1, sounds + made), total[letter, sounds] + scores[code]
            better = score > total[place]
            total[place] = np.where(better, score, total[place])
            came[place] = np.where(better, made, came[place])
        return [(member, self._path(came, row)) for row, member in enumerate(self.members)]

    def _path(self, came: dict[tuple[int, int], _Numbers], row: int) -> list[int]:
        letters, sounds = self.size
        path: list[int] = []
        for letter in range(letters, 0, -1):
            path.append(int(came[letter, sounds][row]))
            sounds -= path[-1]
        return path[::-1]


def _groups(pronunciations: Sequence[tuple[str, tuple[str, ...]]]) -> list[_Group]:
    alphabet = {letter: number for number, letter in enumerate(sorted({c for word, _ in pronunciations for c in word}))}
    units = {unit: number for number, unit in enumerate(sorted({u for _, made in pronunciations for u in made}), 1)}
    members: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (word, sounds) in enumerate(pronunciations):
        if len(sounds) <= MOST * len(word):
            members[len(word), len(sounds)].append(index)
    groups = []
    for (letters, made), indices in members.items():
        words = np.array([[alphabet[c] for c in pronunciations[i][0]] for i in indices]).reshape(-1, letters).T
        heard = np.array([[units[u] for u in pronunciations[i][1]] for i in indices]).reshape(-1, made).T
        codes = {step: _code(words, heard, step, len(units) + 1) for step in _steps(letters, made)}
        groups.append(_Group((letters, made), indices, codes))
    return groups


def _steps(letters: int, sounds: int) -> list[_Step]:
    """All steps on a way from the first letter and sound to the last."""
    return [
        (letter, before, made)
        for letter in range(letters)
        for before in range(min(sounds, MOST * letter) + 1)
        for made in range(MOST + 1)
        if 0 <= sounds - before - made <= MOST * (letters - letter - 1)
    ]


def _code(words: _Numbers, heard: _Numbers, step: _Step, base: int) -> _Numbers:
    """One number for a letter and its sounds, `(N,)`."""
    letter, before, made = step
    code: _Numbers = words[letter].astype(np.int64)
    for sound in range(MOST):
        code = code * base + (heard[before + sound] if sound < made else 0)
    return code
