"""The sounds of a language as hidden Markov models: three states for each unit, one for silence.

Sources: L. R. Rabiner, A tutorial on hidden Markov models and selected applications in speech recognition (1989), for
the models and the search for the best path; B.-H. Juang, L. R. Rabiner, The segmental k-means algorithm (1990), for
learning from best paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep.aligners.features import Frames
from data_prep.aligners.mixtures import Mixtures

STATES = 3
"""Of each unit, which so lasts 30 ms at least."""
SILENCE = 0
"""The state of silence."""
_IMPOSSIBLE = -1e30

Sounds = tuple[str | None, ...]
"""The units of a text in order; None for what is not spoken, where there may be silence."""


class Chain(NamedTuple):
    """What a text may sound like: states one after the other, and the unit of each (-1: silence, which may lack)."""

    states: NDArray[np.int64]
    units: NDArray[np.int64]


class Path(NamedTuple):
    """The best path of a recording through a chain: the place of each frame `(T,)`, and the mean log likelihood."""

    places: NDArray[np.int64]
    score: float


@dataclass
class SoundModel:
    """How each unit sounds.

    Args:
        units: Their names.
        mixtures: Of all states: silence, then `STATES` for each unit.
        leaving: Probability of leaving each state after a frame, `(N,)`.
    """

    units: Sequence[str]
    mixtures: Mixtures
    leaving: NDArray[np.float64]
    _places: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._places = {unit: 1 + STATES * place for place, unit in enumerate(self.units)}

    def knows(self, sounds: Sounds) -> bool:
        """Whether it has heard all units."""
        return all(unit is None or unit in self._places for unit in sounds)

    def chain(self, sounds: Sounds) -> Chain:
        """The chain of a text, with silence wherever it has something unspoken, and at both ends."""
        states, units, count = [SILENCE], [-1], 0
        for unit in (*sounds, None):
            if unit is not None:
                states += range(self._places[unit], self._places[unit] + STATES)
                units += [count] * STATES
                count += 1
            elif units[-1] >= 0:
                states.append(SILENCE)
                units.append(-1)
        return Chain(np.array(states), np.array(units))

    def path(self, frames: Frames, chain: Chain) -> Path | None:
        """The best path of frames `(T, D)`; None if there are too few."""
        if len(frames) < (chain.units >= 0).sum():
            return None
        used, place = np.unique(chain.states, return_inverse=True)
        leave = np.log(self.leaving[chain.states])
        stay = np.log1p(-self.leaving[chain.states])
        return best_path(self.mixtures.scores(frames, used)[:, place], stay, leave, chain.units < 0)


def best_path(
    scores: Frames, stay: NDArray[np.float64], leave: NDArray[np.float64], optional: NDArray[np.bool_]
) -> Path:
    """The best path from the first place of a chain to the last (Viterbi).

    Args:
        scores: Log likelihoods of frames at places, `(T, P)`.
        stay, leave: Log probabilities of staying at a place and of going on, `(P,)`.
        optional: Places that may be passed over, `(P,)`; no two in a row. The first and the last are.
    """
    frames, places = scores.shape
    came = np.zeros((frames, places), np.int8)  # by how many places a path came forward
    best = np.full(places, _IMPOSSIBLE)
    best[:2] = scores[0, :2]
    step = np.concatenate([[_IMPOSSIBLE], leave[:-1]])
    jump = np.full(places, _IMPOSSIBLE)
    jump[2:] = np.where(optional[1:-1], leave[:-2], _IMPOSSIBLE)
    one, two = np.empty(places), np.full(places, _IMPOSSIBLE)
    one[0] = _IMPOSSIBLE
    for frame in range(1, frames):
        one[1:], two[2:] = best[:-1], best[:-2]
        stepped, jumped = one + step, two + jump
        best = best + stay
        came[frame] = stepped > best
        np.maximum(best, stepped, out=best)
        came[frame][jumped > best] = 2
        np.maximum(best, jumped, out=best)
        best += scores[frame]
    place = places - 1 - int(best[-2] > best[-1])
    score, found = float(best[place]) / frames, np.empty(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        found[frame] = place
        place -= int(came[frame, place])
    return Path(found, score)
