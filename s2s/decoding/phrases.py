"""Phrases that outputs must contain, and how far each hypothesis is with them.

A chain is a list of phrases that must come one after the other; its state is the number of its tokens that are written.
A token that does not continue the phrase under way leads back to the longest beginning of this phrase that still stands
at the end (Knuth, Morris and Pratt 1977), and never to a phrase before. Example, the phrases `a b` and `c`:

    written       a  a  b  x  c
    state      0  1  1  2  2  3

Phrases in any order are chains of one phrase each, so that they may overlap; a phrase that is given twice is a chain of
two, and must occur twice. Phrases in a given order are one chain.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s.decoding.constraints import FREE

Phrases = list[list[int]]
"""Ids of some phrases; or the phrases of a chain."""


def chains_of(phrases: Phrases, ordered: bool) -> list[Phrases]:
    """The chains of an output's phrases."""
    if ordered:
        return [phrases] if phrases else []
    equal: dict[tuple[int, ...], Phrases] = {}
    for phrase in phrases:
        equal.setdefault(tuple(phrase), []).append(phrase)
    return list(equal.values())


def advance(phrases: Phrases, state: int, token: int) -> int:
    """The state of a chain after one more token."""
    starts = [0, *accumulate(map(len, phrases))]
    if state == starts[-1]:
        return state
    number = bisect(starts, state) - 1  # of the phrase under way
    start, phrase = starts[number], phrases[number]
    written = [*phrase[: state - start], token]
    fitting = (size for size in range(len(written), 0, -1) if written[-size:] == phrase[:size])
    return start + next(fitting, 0)


@dataclass(frozen=True)
class PhraseTable:
    """The automata of a batch: B sentences, at most C chains of at most S tokens, A different tokens in them.

    Args:
        letters: The tokens in the chains of a sentence, `(B, A)` int64; `FREE` where there are fewer.
        moves: The state after a state and a token, `(B, C, S + 1, A + 1)` int64; the last place is of all other tokens.
        whole: Tokens of whole phrases in a state, `(B, C, S + 1)` int64.
        following: The token that continues a chain in a state, `(B, C, S + 1)` int64; `FREE` at its end.
        sizes: Tokens of the chains, `(B, C)` int64.
    """

    letters: Tensor
    moves: Tensor
    whole: Tensor
    following: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, sentences: Sequence[list[Phrases]], device: torch.device) -> PhraseTable:
        """The table for the chains of each sentence."""
        alphabets = [
            sorted({token for phrases in chains for phrase in phrases for token in phrase}) for chains in sentences
        ]
        letters = torch.full((len(sentences), max(map(len, alphabets), default=0)), FREE)
        sizes = torch.zeros(len(sentences), max(map(len, sentences), default=0), dtype=torch.int64)
        flat = [[list(chain.from_iterable(phrases)) for phrases in chains] for chains in sentences]
        longest = max((len(tokens) for chains in flat for tokens in chains), default=0)
        following = torch.full((*sizes.shape, longest + 1), FREE)
        whole = torch.zeros_like(following)
        moves = torch.zeros(*following.shape, letters.shape[1] + 1, dtype=torch.int64)
        for row, (chains, alphabet) in enumerate(zip(sentences, alphabets, strict=True)):
            letters[row, : len(alphabet)] = torch.tensor(alphabet, dtype=torch.int64)
            every = [*alphabet, *[FREE] * (moves.shape[-1] - len(alphabet))]
            for number, phrases in enumerate(chains):
                tokens = flat[row][number]
                sizes[row, number] = len(tokens)
                following[row, number, : len(tokens)] = torch.tensor(tokens)
                for start in accumulate(map(len, phrases)):
                    whole[row, number, start:] = start
                states = [[advance(phrases, state, token) for token in every] for state in range(len(tokens) + 1)]
                moves[row, number, : len(states)] = torch.tensor(states)
        return cls(*(table.to(device) for table in (letters, moves, whole, following, sizes)))

    def begin(self, sentences: Tensor) -> Tensor:
        """The states of empty outputs of some sentences `(B',)`, `(B', 1, C)`."""
        return torch.zeros_like(self.sizes[sentences]).unsqueeze(1)

    def advance(self, sentences: Tensor, states: Tensor, tokens: Tensor) -> Tensor:
        """The states `(B', N, C)` after one more token, `(B', N)`, of N outputs of each sentence."""
        same = tokens.unsqueeze(-1) == self.letters[sentences].unsqueeze(1)  # (B', N, A)
        places = torch.arange(self.letters.shape[1], device=tokens.device)
        letters = places.expand_as(same).masked_fill(~same, len(places)).amin(-1, keepdim=True) if len(places) else 0
        return self.moves[
            sentences[:, None, None], torch.arange(states.shape[-1], device=tokens.device), states, letters
        ]

    def next_tokens(self, sentences: Tensor, states: Tensor) -> Tensor:
        """The token that continues each chain, `(B', N, C)`; `FREE` where all of it is written."""
        return self.following[sentences[:, None, None], torch.arange(states.shape[-1], device=states.device), states]

    def tokens_had(self, sentences: Tensor, states: Tensor) -> Tensor:
        """Tokens of whole phrases, and of the one of the others that is written furthest, `(B', N)`.

        A sum over all phrases under way could stay the same for ever: with `a b c` and `b a d`, writing a b a b gives
        to the one what it takes from the other.
        """
        whole = self.whole[sentences[:, None, None], torch.arange(states.shape[-1], device=states.device), states]
        begun = F.pad(states - whole, (0, 1)).amax(-1)  # 0 without any chain
        return whole.sum(-1) + begun

    def are_met(self, sentences: Tensor, states: Tensor) -> Tensor:
        """Whether outputs contain all phrases, `(B', N)` bool."""
        return (states == self.sizes[sentences].unsqueeze(1)).all(-1)
