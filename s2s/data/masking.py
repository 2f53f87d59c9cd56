"""Blockwise masking, and masked text laid out for pseudo-masked pretraining.

One example of six tokens, {4, 5} masked first and then {2} (positions from 1 here), as the model reads it:

    slot       x1 [M] x3 [M] [M] x6 | x4  x5  x2 | [P] [P] [P]
    position    1  2   3  4   5  6  |  4   5   2 |  4   5   2
    step code   0  0   0  0   0  0  |  1   1   2 | -1  -1  -2
    predicts       x2     x4  x5    |            | x4  x5  x2
                autoencoding                       partially autoregressive

The corrupted text alone is context; true tokens and pseudo tokens follow with the positions and segments of what was
masked. Source: UniLMv2 (arXiv 2002.12804), Algorithm 1 and section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2s.data.batch import BatchBuilder, Ids, MaskedBatch


@dataclass(frozen=True)
class Blocks:
    """How much is masked, and how long the masked pieces are.

    Args:
        ratio: Drawing ends when at least this share of what may be masked is masked.
        block_prob: Share of the draws that are blocks; the others are single tokens.
        shortest, longest: Tokens of the shortest and of the longest block.
    """

    ratio: float
    block_prob: float
    shortest: int
    longest: int

    def most(self, free: NDArray[np.int64]) -> NDArray[np.int64]:
        """Maximum number of tokens that are masked where `free` may be, elementwise."""
        longest = self.longest if self.block_prob else 1
        most: Ids = np.minimum(free, np.ceil(self.ratio * free).astype(np.int64) + longest - 1)
        return most

    def draw(self, fixed: NDArray[np.bool_], generator: np.random.Generator) -> tuple[Ids, Ids]:
        """Masked positions in the order of drawing, and the step of each from 1 on: a block is one step.

        Args:
            fixed: Positions that are never masked, `(n,)`; a block does not contain one either.

        Returns:
            Positions `(m,)` and steps `(m,)`; m is 0 only where nothing may be masked.

        Source: UniLMv2, Algorithm 1. The paper leaves open what happens to spans that do not fit or overlap (here they
            are drawn again), and whether the share counts special tokens (here it does not).
        """
        length = len(fixed)
        goal = self.ratio * (length - int(fixed.sum()))
        taken = bytearray(fixed.astype(np.uint8).tobytes())
        starts: list[int] = []
        sizes: list[int] = []
        masked = 0
        while masked < goal:
            draws = int(goal) + 16
            is_block = generator.random(draws) < self.block_prob
            spans = np.where(is_block, generator.integers(self.shortest, self.longest + 1, draws), 1)
            for start, size in zip(generator.integers(length, size=draws).tolist(), spans.tolist(), strict=True):
                end = start + size
                if end > length or 1 in taken[start:end]:
                    continue
                taken[start:end] = b"\1" * size
                starts.append(start)
                sizes.append(size)
                masked += size
                if masked >= goal:
                    break
        positions = [np.empty(0, np.int64), *map(np.arange, starts, np.add(starts, sizes))]
        return np.concatenate(positions), np.repeat(np.arange(1, len(sizes) + 1), sizes)


def corrupt(
    ids: Ids, mask: int, random_prob: float, keep_prob: float, replacements: Ids, generator: np.random.Generator
) -> Ids:
    """Ids `(n,)`, each replaced by a random one, kept, or else (as in BERT, 80 %) replaced by the mask token.

    Args:
        random_prob: Probability of a random token.
        keep_prob: Probability of the token itself.
        replacements: Ids to draw random tokens from, `(R,)`.
    """
    draw = generator.random(len(ids))
    others = replacements[generator.integers(len(replacements), size=len(ids))]
    changed = np.where(draw < keep_prob + random_prob, others, mask)
    return np.where(draw < keep_prob, ids, changed)


@dataclass(frozen=True)
class MaskedText:
    """One example; every array is int64.

    Args:
        tokens: The text, corrupted where masked, `(n,)`.
        segments: 0 for its first segment, 1 for the second, `(n,)`.
        masked: The masked positions, `(m,)`.
        steps: The step at which each of them is predicted, from 1 on, `(m,)`.
        labels: The true tokens there, `(m,)`.
    """

    tokens: Ids
    segments: Ids
    masked: Ids
    steps: Ids
    labels: Ids
    id: str = ""


def pack_masked(
    examples: Sequence[MaskedText], pseudo: int, pad_id: int, autoencoding: bool = True, autoregressive: bool = True
) -> MaskedBatch:
    """A batch: corrupted texts padded on the right, then the true tokens and the pseudo tokens of what is masked.

    Args:
        pseudo: The pseudo token.
        autoencoding: Predict at the corrupted slots of the context.
        autoregressive: Predict at pseudo slots; without it there are neither these nor the true slots.
    """
    context = max(len(example.tokens) for example in examples)
    width = max(len(example.masked) for example in examples) if autoregressive else 0
    builder = BatchBuilder(len(examples), context, 2 * width, pad_id)
    for row, item in enumerate(examples):
        n, columns = len(item.tokens), context + np.arange(len(item.masked))
        builder.fill(row, slice(n), tokens=item.tokens, positions=np.arange(n), segments=item.segments, steps=0)
        if autoencoding:
            builder.predict(row, item.masked, item.labels)
        if autoregressive:
            places = {"positions": item.masked, "segments": item.segments[item.masked]}
            builder.fill(row, columns, tokens=item.labels, steps=item.steps, **places)
            builder.fill(row, columns + width, tokens=pseudo, steps=-item.steps, **places)
            builder.predict(row, columns + width, item.labels)
    return builder.build(MaskedBatch, [item.id for item in examples])
