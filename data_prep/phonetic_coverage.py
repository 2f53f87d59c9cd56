"""Choosing texts so that every pair of neighboring sounds occurs, and rare ones more often than in any text at hand."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

from latent.text.phonemes import PhonemeFrontEnd

_SILENCE = "#"
_STRESS = "012"

Diphone = tuple[str, str]


@dataclass(frozen=True)
class Candidate:
    """A text that may be chosen: where it is from, what kind of sentence it is, its pairs of neighboring sounds."""

    text: str
    source: str
    kind: str
    diphones: Mapping[Diphone, int]

    @property
    def length(self) -> int:
        """Number of sounds."""
        return sum(self.diphones.values())


def diphones(front_end: PhonemeFrontEnd, spoken: str) -> Mapping[Diphone, int]:
    """How often each pair of neighboring sounds is in a text as it is spoken, without stress.

    Sounds of two words are neighbors; a mark that makes a pause is a silence, as are both ends.
    """
    names = [name for part in front_end.names_by_part(spoken) for name in part]
    sounds = [name[1:].rstrip(_STRESS) if name.startswith("/") else _SILENCE for name in names if name not in " -'"]
    sounds = [_SILENCE, *sounds, _SILENCE]
    return Counter(pair for pair in pairwise(sounds) if pair != (_SILENCE, _SILENCE))


def choose(candidates: Sequence[Candidate], count: int, shares: Mapping[str, int]) -> list[Candidate]:
    """Texts with shares of each kind and flat counts of diphones; every beginning of the list has both, too.

    The kind that lags behind its share gets the next text: the one that adds most to the sum of sqrt(n) over all
    diphones for each of its sounds; n is how often the texts chosen so far have the diphone. What a text would add only
    falls as others are chosen, so few are computed again (Minoux, 1978: Accelerated greedy algorithms).

    Args:
        candidates: In an order that decides between equals.
        count: Maximum number of texts.
        shares: Share of each kind, in parts of their sum; what a kind lacks goes to the others.
    """
    counts: Counter[Diphone] = Counter()
    heaps: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for index, candidate in enumerate(candidates):
        heaps[candidate.kind].append((-_gain(candidate, counts), index))
    for heap in heaps.values():
        heapq.heapify(heap)
    chosen: list[Candidate] = []
    taken: Counter[str] = Counter()
    while len(chosen) < count and (left := [kind for kind in shares if heaps[kind] and shares[kind]]):
        kind = min(left, key=lambda kind: taken[kind] / shares[kind])
        best = candidates[_best(heaps[kind], candidates, counts)]
        chosen.append(best)
        taken[kind] += 1
        counts.update(best.diphones)
    return chosen


def _best(heap: list[tuple[float, int]], candidates: Sequence[Candidate], counts: Mapping[Diphone, int]) -> int:
    """Take the index of the best candidate off a heap of former gains."""
    while True:
        _, index = heapq.heappop(heap)
        now = (-_gain(candidates[index], counts), index)
        if not heap or now <= heap[0]:
            return index
        heapq.heappush(heap, now)


def _gain(candidate: Candidate, counts: Mapping[Diphone, int]) -> float:
    gain = sum(
        sqrt(counts.get(pair, 0) + more) - sqrt(counts.get(pair, 0)) for pair, more in candidate.diphones.items()
    )
    return gain / max(1, candidate.length)
