"""How one source-target pair is laid out for an encoder that learns to generate, and how layouts become a batch.

One example, source [CLS] a b [SEP], target x y, as each method lays it out (step codes below the tokens):

    pseudo_masked   [CLS] a b [SEP] | x y [SEP] | [M] [M] [M]      predicts x y [SEP] at the three pseudo slots
                      0   0 0   0     1 2   3     -1  -2  -3
    masked          [CLS] a b [SEP] | x [M] [SEP]                  predicts y at the masked slot
                      0   0 0   0     1  2    3
    causal          [CLS] a b | [SEP] x y                          predicts x y [SEP], each one slot before its place
                      0   0 0     1   2 3

Source: s2s-ft (arXiv 2110.13640); UniLMv2 (arXiv 2002.12804); `microsoft/unilm: s2s-ft/s2s_ft/utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from s2s.data.batch import PADDING, TokenBatch
from s2s.data.masking import corrupt
from s2s.data.tokenizer import SpecialIds

Ids = NDArray[np.int64]
Method = Literal["causal", "masked", "pseudo_masked"]


@dataclass(frozen=True)
class Noise:
    """How tokens are corrupted, and which.

    Args:
        target_mask_prob: Pseudo-masked: share of the true target tokens that are corrupted too. Masked: share of the
            target that is corrupted and predicted. Causal: share of the target inputs that are corrupted.
        source_mask_prob: Share of source tokens that are corrupted; 0 is none.
        random_prob: A corrupted token becomes a random one, with this probability.
        keep_prob: A corrupted token stays what it is, with this probability; otherwise it becomes the mask token.
        max_masked: Most corrupted target tokens of the masked method; None means no cap.
        replacements: Ids to draw random tokens from, `(R,)`.
    """

    target_mask_prob: float
    source_mask_prob: float
    random_prob: float
    keep_prob: float
    max_masked: int | None
    replacements: Ids


@dataclass(frozen=True)
class Layout:
    """One training example as it is fed; every array is int64.

    Args:
        source: Source ids with special tokens, `(ns,)`.
        target: Target ids as fed at the true slots, noise included, `(nt,)`.
        pseudo: Ids fed at the pseudo slots, `(nt,)`, or `(0,)` without pseudo slots.
        slots: Target slots (pseudo slots if there are any) where a label is predicted, `(N,)`.
        labels: What is predicted there, `(N,)`.
        id: The record's id.
    """

    source: Ids
    target: Ids
    pseudo: Ids
    slots: Ids
    labels: Ids
    id: str = ""


def room(method: Method, max_source: int, max_target: int) -> tuple[int, int]:
    """Most source and target tokens that fit beside the special tokens."""
    return max_source - (1 if method == "causal" else 2), max_target - 1


def layout(
    source: Sequence[int] | Ids,
    target: Sequence[int] | Ids,
    method: Method,
    special: SpecialIds,
    limits: tuple[int, int],
    noise: Noise,
    generator: np.random.Generator,
) -> Layout:
    """Lay out one pair: cut it, add special tokens, corrupt it, and mark what is predicted where.

    Args:
        source: Source ids without special tokens.
        target: Target ids without special tokens.
        limits: Most source and target slots, special tokens counted; the tail is cut.
        generator: Where the noise comes from.

    Source: `microsoft/unilm: s2s-ft/s2s_ft/utils.py`. There a random replacement may be a special token, here never.
    """
    max_source, max_target = room(method, *limits)
    kept_source, kept_target = np.asarray(source[:max_source]), np.asarray(target[:max_target])
    truth = np.append(kept_target, special.sep).astype(np.int64)
    start = np.concatenate([[special.cls], kept_source]).astype(np.int64)
    if noise.source_mask_prob > 0:
        chosen = generator.random(len(start)) < noise.source_mask_prob
        chosen[0] = False
        start = np.where(chosen, _corrupt(start, special.mask, noise, generator), start)
    corrupted = _corrupt(truth, special.mask, noise, generator)
    everywhere = np.arange(len(truth))
    nothing = np.empty(0, np.int64)
    if method == "causal":
        shifted = np.append(special.sep, truth[:-1])
        chosen = generator.random(len(truth)) < noise.target_mask_prob
        chosen[0] = False
        fed = np.where(chosen, _corrupt(shifted, special.mask, noise, generator), shifted)
        return Layout(start, fed, nothing, everywhere, truth)
    whole_source = np.append(start, special.sep)
    if method == "masked":
        slots = _masked_slots(len(truth), noise, generator)
        fed = truth.copy()
        fed[slots] = corrupted[slots]
        return Layout(whole_source, fed, nothing, slots, truth[slots])
    chosen = generator.random(len(truth)) < noise.target_mask_prob
    pseudo = np.where(corrupted == special.mask, special.pseudo, corrupted)
    return Layout(whole_source, np.where(chosen, corrupted, truth), pseudo, everywhere, truth)


def _corrupt(ids: Ids, mask: int, noise: Noise, generator: np.random.Generator) -> Ids:
    return corrupt(ids, mask, noise.random_prob, noise.keep_prob, noise.replacements, generator)


def _masked_slots(length: int, noise: Noise, generator: np.random.Generator) -> Ids:
    count = int(noise.target_mask_prob * length)
    if noise.max_masked is not None:
        count = min(count, noise.max_masked)
    return np.sort(generator.permutation(length)[: max(1, count)])


def pack(layouts: Sequence[Layout], pad_id: int) -> TokenBatch:
    """A batch: sources padded on the right, then true target slots, then pseudo slots if the layouts have any.

    Target and pseudo slot i have position ns + i, whatever the padding.
    """
    rows = len(layouts)
    context = max(len(item.source) for item in layouts)
    width = max(len(item.target) for item in layouts)
    blocks = 2 if len(layouts[0].pseudo) else 1
    shape = (rows, context + blocks * width)
    tokens = np.full(shape, pad_id, np.int64)
    positions, segments = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    segments[:, context:] = 1
    steps = np.full(shape, PADDING, np.int64)
    slots = []
    for row, item in enumerate(layouts):
        ns, nt = len(item.source), len(item.target)
        tokens[row, :ns], positions[row, :ns], steps[row, :ns] = item.source, np.arange(ns), 0
        for block, (ids, sign) in enumerate([(item.target, 1), (item.pseudo, -1)][:blocks]):
            first = context + block * width
            tokens[row, first : first + nt] = ids
            positions[row, first : first + nt] = ns + np.arange(nt)
            steps[row, first : first + nt] = sign * np.arange(1, nt + 1)
        slots.append(row * shape[1] + context + (blocks - 1) * width + item.slots)
    return TokenBatch(
        ids=[item.id for item in layouts],
        tokens=torch.from_numpy(tokens),
        positions=torch.from_numpy(positions),
        segments=torch.from_numpy(segments),
        steps=torch.from_numpy(steps),
        context=context,
        slots=torch.from_numpy(np.concatenate(slots)),
        labels=torch.from_numpy(np.concatenate([item.labels for item in layouts])),
        pad_id=pad_id,
    )
