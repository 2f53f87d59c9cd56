"""How one source-target pair is laid out for an encoder that learns to generate, and how layouts become a batch.

One example, source [CLS] a b [SEP], target x y, as each method lays it out (step codes below the tokens):

    pseudo_masked   [CLS] a b [SEP] | x y [SEP] | [M] [M] [M]      predicts x y [SEP] at the three pseudo slots
                      0   0 0   0     1 2   3     -1  -2  -3
    masked          [CLS] a b [SEP] | x [M] [SEP]                  predicts y at the masked slot
                      0   0 0   0     1  2    3
    causal          [CLS] a b | [SEP] x y                          predicts x y [SEP], each one slot before its place
                      0   0 0     1   2 3
    encoder_decoder [CLS] a b [SEP] | [SEP] x y                    the same, with a source that ends by itself
                      0   0 0   0       1   2 3

Source: s2s-ft (arXiv 2110.13640); UniLMv2 (arXiv 2002.12804); `microsoft/unilm: s2s-ft/s2s_ft/utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2s.data.batch import BatchBuilder, CopyBatch, Feeding, Ids, TokenBatch
from s2s.data.masking import corrupt
from s2s.data.tokenizer import SpecialIds

Method = Literal["causal", "masked", "pseudo_masked", "encoder_decoder"]
SHIFTED = ("causal", "encoder_decoder")
"""Methods that feed the token before each one that is predicted."""


NOT_COPIED = -1
"""Extended id of special tokens and padding."""


@dataclass(frozen=True)
class Noise:
    """How tokens are corrupted, and which.

    Args:
        target_mask_prob: Pseudo-masked: share of the true target tokens that are corrupted too. Masked: share of the
            target that is corrupted and predicted. Causal: share of the target inputs that are corrupted.
        source_mask_prob: Share of source tokens that are corrupted.
        random_prob, keep_prob, replacements: See `corrupt`.
        max_masked: Maximum number of corrupted target tokens of the masked method; None means no cap.
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
        labels: The labels there, `(N,)`.
        tags: Features of the source, `(ns, F)`; None without features.
        copies: Extended ids of the source, `(ns,)`, and `extended`, those of the labels; None without copying.
    """

    source: Ids
    target: Ids
    pseudo: Ids
    slots: Ids
    labels: Ids
    id: str = ""
    tags: Ids | None = None
    copies: Ids | None = None
    extended: Ids | None = None


def room(method: Method, max_source: int, max_target: int) -> tuple[int, int]:
    """Maximum source and target tokens that fit beside the special tokens."""
    return max_source - (1 if method == "causal" else 2), max_target - 1


def feeding(method: Method, special: SpecialIds) -> Feeding:
    """How a model is fed while it generates: from [SEP] on if targets are shifted, else with a mask at the place."""
    if method in SHIFTED:
        return Feeding(end=special.sep, start=special.sep)
    return Feeding(end=special.sep, mask=special.pseudo if method == "pseudo_masked" else special.mask)


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
        source, target: Ids without special tokens.
        limits: Maximum source and target slots, special tokens counted; the tail is cut.

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
    whole_source = start if method == "causal" else np.append(start, special.sep)
    if method in SHIFTED:
        shifted = np.append(special.sep, truth[:-1])
        chosen = generator.random(len(truth)) < noise.target_mask_prob
        chosen[0] = False
        fed = np.where(chosen, _corrupt(shifted, special.mask, noise, generator), shifted)
        return Layout(whole_source, fed, nothing, everywhere, truth)
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


def pack(layouts: Sequence[Layout], pad_id: int, kind: type[TokenBatch] = TokenBatch) -> TokenBatch:
    """A batch: sources padded on the right, then true target slots, then pseudo slots if the layouts have any.

    Target and pseudo slot i have position ns + i, whatever the padding.
    """
    context = max(len(item.source) for item in layouts)
    width = max(len(item.target) for item in layouts)
    blocks = 2 if len(layouts[0].pseudo) else 1
    builder = BatchBuilder(len(layouts), context, blocks * width, pad_id)
    builder.arrays["segments"][:, context:] = 1  # of padding too
    for row, item in enumerate(layouts):
        ns, nt = len(item.source), len(item.target)
        builder.fill(row, slice(ns), tokens=item.source, positions=np.arange(ns), segments=0, steps=0)
        for block, (ids, sign) in enumerate([(item.target, 1), (item.pseudo, -1)][:blocks]):
            place = np.arange(nt)
            columns = context + block * width + place
            builder.fill(row, columns, tokens=ids, positions=ns + place, segments=1, steps=sign * (place + 1))
        builder.predict(row, context + (blocks - 1) * width + item.slots, item.labels)
    batch = builder.build(kind, [item.id for item in layouts])
    if layouts[0].copies is not None:
        extended = np.concatenate([item.extended for item in layouts if item.extended is not None])
        copies = padded([item.copies for item in layouts], NOT_COPIED)
        batch = CopyBatch(**vars(batch), copies=copies, extended=torch.from_numpy(extended))
    return batch if layouts[0].tags is None else replace(batch, tags=padded([item.tags for item in layouts]))


def padded(rows: Sequence[Ids | None], value: int = 0) -> Tensor:
    """What belongs to the tokens of some sources, `(n, ...)` each, as `(B, longest, ...)` with `value` at padding."""
    given = [torch.from_numpy(row) for row in rows if row is not None]
    return pad_sequence(given, batch_first=True, padding_value=value)


def copies_around(ids: Sequence[int] | Ids, length: int) -> Ids:
    """The extended ids `(length,)` of a source with special tokens, of those without them."""
    row = np.full(length, NOT_COPIED, np.int64)
    kept = np.asarray(ids)[: length - 1]
    row[1 : 1 + len(kept)] = kept
    return row


def around(tags: Sequence[Ids], length: int) -> Ids:
    """The features `(length, F)` of a source with special tokens, of those `(n,)` of each channel without them."""
    table = np.zeros((length, len(tags)), np.int64)
    for channel, column in enumerate(tags):
        kept = column[: length - 1]
        table[1 : 1 + len(kept), channel] = kept
    return table
