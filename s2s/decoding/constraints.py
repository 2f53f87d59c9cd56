"""What outputs may not contain, or must begin with: functions that set scores of tokens to minus infinity.

A constraint takes the tokens generated so far, `(B, K, t)` int64, and scores over the vocabulary, `(B, K, V)`, and
returns the scores to use. The scores belong to the decoder, so a constraint may write into them and return the same
tensor: a copy of 16 sentences x 5 hypotheses x 30k tokens costs as much as finding the best tokens in it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field, model_validator
from torch import Tensor

from s2s.config import Section
from s2s.data.batch import SourceBatch
from s2s.errors import ConfigError, InputError

FREE = -1
"""In a table of forced tokens: any token may stand here."""


class ConstraintOptions(Section):
    """Options of outputs that every text decoder shares."""

    max_length: int = Field(128, ge=1, le=100_000)
    """Most tokens of an output; the end token counts. Longer outputs are cut."""
    min_length: int = Field(1, ge=0)
    """Fewest tokens before the end token."""
    no_repeat_ngram_size: int = Field(0, ge=0)
    """No n-gram of this size comes twice in an output; 0 is off. 3 is usual for summaries."""
    no_repeat_ngram_ignore: list[str] = Field(default_factory=list)
    """Vocabulary items that n-gram blocking leaves alone, `.` for example."""
    forbidden_tokens: list[str] = Field(default_factory=list)
    """Vocabulary items that never come in an output."""
    prefix_tokens: list[str] = Field(default_factory=list)
    """Vocabulary items that every output begins with, even forbidden ones; a record's own prefix replaces them."""

    @model_validator(mode="after")
    def _lengths_agree(self) -> ConstraintOptions:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} must be at most max_length {self.max_length}")
        if len(self.prefix_tokens) > self.max_length:
            raise ValueError(f"{len(self.prefix_tokens)} prefix_tokens must be at most max_length {self.max_length}")
        return self


class Constraints:
    """The constraints of a configuration, in the order in which they must apply: forced tokens have the last word.

    Args:
        options: What to enforce.
        token_id: The id of a vocabulary item.
    """

    def __init__(self, options: ConstraintOptions, token_id: Callable[[str], int]) -> None:
        self._options = options
        self._ignored = torch.tensor([token_id(token) for token in options.no_repeat_ngram_ignore], dtype=torch.int64)
        self._forbidden = torch.tensor([token_id(token) for token in options.forbidden_tokens], dtype=torch.int64)
        self._prefix = [token_id(token) for token in options.prefix_tokens]

    def check(self, prefix: list[int], where: str) -> None:
        """Raise InputError if a record's own prefix is longer than outputs may be."""
        most = self._options.max_length
        if len(prefix) > most:
            raise InputError(f"{where}: 'prefix' has {len(prefix)} tokens, more than decoder.max_length={most}")

    def of(self, sources: SourceBatch) -> BatchConstraints:
        """The constraints for one batch, on its device.

        Raises:
            ConfigError: decoder.prefix_tokens names the end token.
        """
        if sources.feeding.end in self._prefix:
            raise ConfigError("decoder.prefix_tokens: must not name the end token, which would end every output")
        device = sources.tokens.device
        prefixes = [prefix or self._prefix for prefix in sources.prefixes]
        return BatchConstraints(
            self._options,
            sources.feeding.end,
            self._ignored.to(device),
            self._forbidden.to(device),
            _table(prefixes, device),
        )


class BatchConstraints:
    """Constraints bound to the sentences of a batch; `Constraints.of` makes them."""

    def __init__(
        self, options: ConstraintOptions, end: int, ignored: Tensor, forbidden: Tensor, prefixes: Tensor
    ) -> None:
        self._options = options
        self._end = end
        self._ignored = ignored
        self._forbidden = forbidden
        self._prefixes = prefixes

    def __call__(self, sentences: Tensor, tokens: Tensor, scores: Tensor) -> Tensor:
        """Scores with what is not allowed at minus infinity; `scores` may be written to.

        Args:
            sentences: The rows of the batch that the first axis of the others stands for, `(B',)` int64.
            tokens: Generated so far, `(B', K, t)` int64.
            scores: Over the vocabulary, `(B', K, V)`.
        """
        step = tokens.shape[-1]
        wanted = self._prefixes[sentences, step] if step < self._prefixes.shape[1] else None
        forced = None if wanted is None else _scores_of(scores, wanted)
        if len(self._forbidden):
            scores = forbid_tokens(scores, self._forbidden)
        if step < self._options.min_length:
            scores = forbid_tokens(scores, self._end)
        if 0 < self._options.no_repeat_ngram_size <= step:
            scores = forbid_repeated_ngrams(tokens, scores, self._options.no_repeat_ngram_size, self._ignored)
        if wanted is not None and forced is not None:
            scores = force_tokens(scores, wanted, forced)
        return scores


def forbid_tokens(scores: Tensor, ids: Tensor | int) -> Tensor:
    """Rule out some tokens everywhere; writes into `scores`."""
    scores[..., ids] = -torch.inf
    return scores


def forbid_repeated_ngrams(tokens: Tensor, scores: Tensor, size: int, ignored: Tensor) -> Tensor:
    """Rule out each token that would complete an n-gram which the hypothesis already has; writes into `scores`.

    With the last size-1 tokens as the tail: every token that followed an earlier occurrence of the tail is ruled out,
    unless it is ignored itself; nothing is if the tail holds an ignored token.
    Example, size 2, tokens `a b c a`: the tail is `a`, which `b` followed, so `b` is ruled out.
    Source: `microsoft/unilm: s2s-ft/s2s_ft/modeling_decoding.py`.

    Args:
        tokens: Generated so far, `(B, K, t)` int64; t >= size.
        scores: Over the vocabulary, `(B, K, V)`.
        size: Of the n-grams.
        ignored: Ids left alone, `(N,)` int64.
    """
    ngrams = tokens.unfold(-1, size, 1)  # (B, K, t - size + 1, size)
    tail = tokens[..., tokens.shape[-1] - size + 1 :]  # (B, K, size - 1)
    followers = ngrams[..., -1]
    blocked = (ngrams[..., :-1] == tail.unsqueeze(-2)).all(-1)
    if len(ignored):
        blocked &= ~torch.isin(tail, ignored).any(-1, keepdim=True)
        blocked &= ~torch.isin(followers, ignored)
    penalty = torch.zeros_like(followers, dtype=scores.dtype).masked_fill_(blocked, -torch.inf)
    return scores.scatter_add_(-1, followers, penalty)


def force_tokens(scores: Tensor, wanted: Tensor, forced: Tensor) -> Tensor:
    """Rule out all but one token in the sentences where one is wanted.

    Args:
        scores: Over the vocabulary, `(B, K, V)`.
        wanted: A token or `FREE` for each sentence, `(B,)` int64.
        forced: What the wanted token scores, `(B, K, 1)`; `scores` has lost it where it was ruled out.
    """
    index = wanted.clamp(min=0)[:, None, None].expand_as(forced)
    only = torch.full_like(scores, -torch.inf).scatter_(-1, index, forced)
    return torch.where((wanted == FREE)[:, None, None], scores, only)


def _scores_of(scores: Tensor, wanted: Tensor) -> Tensor:
    return scores.gather(-1, wanted.clamp(min=0)[:, None, None].expand(*scores.shape[:2], 1))


def _table(rows: list[list[int]], device: torch.device) -> Tensor:
    width = max(map(len, rows), default=0)
    padded = [row + [FREE] * (width - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.int64, device=device).reshape(len(rows), width)
