"""What outputs may not contain, or must begin with: functions that set scores of tokens to minus infinity.

They may write into the scores, which belong to the decoder: a copy of 16 sentences x 5 hypotheses x 30k tokens costs as
much as finding the best tokens in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from s2s.config import Section
from s2s.data.batch import SourceBatch
from s2s.errors import ConfigError, InputError
from s2s.nn.cache import placed

FREE = -1
"""In a table of forced tokens: any token may stand here."""


class ConstraintOptions(Section):
    """Options of outputs that every text decoder shares."""

    max_length: int = Field(128, ge=1, le=100_000)
    """Maximum tokens of an output; the end token counts. Longer outputs are cut."""
    min_length: int = Field(1, ge=0)
    """Minimum tokens before the end token."""
    no_repeat_ngram_size: int = Field(0, ge=0)
    """No n-gram of this size occurs twice in an output; 0 is off. 3 is usual for summaries."""
    no_repeat_ngram_ignore: list[str] = Field(default_factory=list)
    """Vocabulary items that n-gram blocking ignores, `.` for example."""
    forbidden_tokens: list[str] = Field(default_factory=list)
    """Vocabulary items that never occur in an output."""
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
    """The constraints of a configuration; `token_id` gives the id of a vocabulary item."""

    def __init__(self, options: ConstraintOptions, token_id: Callable[[str], int]) -> None:
        self._options = options

        def ids(option: str) -> list[int]:
            try:
                return [token_id(token) for token in getattr(options, option)]
            except InputError as error:
                raise ConfigError(f"decoder.{option}: {error}") from error

        names = ("no_repeat_ngram_ignore", "forbidden_tokens", "prefix_tokens")
        ignored, forbidden, self.prefix = map(ids, names)
        self.ignored, self.forbidden = set(ignored), set(forbidden)

    def check(self, source: Any, where: str) -> None:
        """Raise InputError if a search cannot keep what a record asks of its output."""
        self.check_prefix(source.prefix, where)
        self.check_form(source, where)
        if getattr(source, "constraints", None):
            raise InputError(f"{where}: 'constraints' needs decoder.name=constrained_beam, no other search keeps them")

    def check_prefix(self, prefix: list[int], where: str) -> None:
        """Raise InputError if a record's own prefix is longer than outputs may be."""
        most = self._options.max_length
        if len(prefix) > most:
            raise InputError(f"{where}: 'prefix' has {len(prefix)} tokens, more than decoder.max_length={most}")

    def check_form(self, source: Any, where: str) -> None:
        """Raise InputError if outputs have a form, as melodies do, that an option would break."""
        if self._options.no_repeat_ngram_size and getattr(source, "gives_form", False):
            raise InputError(
                f"{where}: decoder.no_repeat_ngram_size must be 0 for this task, whose outputs must repeat tokens"
            )

    def of(self, sources: SourceBatch) -> BatchConstraints:
        """The constraints for one batch, on its device; ConfigError if an option names the end token."""
        if sources.feeding.end in self.forbidden:
            raise ConfigError("decoder.forbidden_tokens: must not name the end token, without which no output ends")
        if sources.feeding.end in self.prefix:
            raise ConfigError("decoder.prefix_tokens: must not name the end token, which would end every output")
        device = sources.tokens.device
        prefixes = [prefix or self.prefix for prefix in sources.prefixes]
        width = max(map(len, prefixes), default=0)
        table = [prefix + [FREE] * (width - len(prefix)) for prefix in prefixes]
        return BatchConstraints(
            self._options,
            sources.feeding.end,
            torch.tensor(sorted(self.ignored), dtype=torch.int64, device=device),
            torch.tensor(sorted(self.forbidden), dtype=torch.int64, device=device),
            torch.tensor(table, dtype=torch.int64, device=device).reshape(len(prefixes), width),
        )


@dataclass
class Written:
    """What was generated in B' sentences so far, K outputs of each.

    Args:
        sentences: Their numbers in the batch, `(B',)` int64.
        tokens: `(B', K, t)` int64; a sentence with fewer begins with `FREE`.
        ages: Tokens of each sentence, `(B',)` int64.
        youngest: No sentence has fewer.
    """

    sentences: Tensor
    tokens: Tensor
    ages: Tensor
    youngest: int


@dataclass(frozen=True)
class BatchConstraints:
    """Constraints bound to the sentences of a batch, in the order in which they must apply: forced tokens come last."""

    options: ConstraintOptions
    end: int
    ignored: Tensor
    forbidden: Tensor
    prefixes: Tensor

    def __call__(self, written: Written, scores: Tensor) -> Tensor:
        """Scores over the vocabulary, `(B', K, V)`, with what is not allowed at minus infinity; may write to them."""
        wanted = self._wanted(written)
        forced = None if wanted is None else scores.gather(-1, wanted.clamp(min=0).expand(-1, scores.shape[1], -1))
        if len(self.forbidden):
            scores.index_fill_(-1, self.forbidden, -torch.inf)
        if written.youngest < self.options.min_length:
            scores[..., self.end].masked_fill_((written.ages < self.options.min_length).unsqueeze(1), -torch.inf)
        if 0 < self.options.no_repeat_ngram_size <= written.tokens.shape[-1]:
            scores = forbid_repeated_ngrams(written.tokens, scores, self.options.no_repeat_ngram_size, self.ignored)
        if wanted is not None and forced is not None:
            index = wanted.clamp(min=0).expand_as(forced)
            only = torch.full_like(scores, -torch.inf).scatter_(-1, index, forced)
            scores = torch.where(wanted == FREE, scores, only)
        return scores

    def join(self, other: BatchConstraints, sentences: Tensor, numbers: Sequence[int]) -> BatchConstraints:
        """With some sentences `(B',)` of another batch, which get these numbers here."""
        width = max(self.prefixes.shape[1], other.prefixes.shape[1])
        mine, theirs = (
            F.pad(table, (0, width - table.shape[1]), value=FREE) for table in (self.prefixes, other.prefixes)
        )
        return replace(self, prefixes=placed(mine, theirs[sentences], numbers))

    def _wanted(self, written: Written) -> Tensor | None:
        """The forced token of each sentence or `FREE`, `(B', 1, 1)`; None where all are free."""
        width = self.prefixes.shape[1]
        if written.youngest >= width:
            return None
        wanted = self.prefixes[written.sentences, written.ages.clamp(max=width - 1)]
        return wanted.masked_fill(written.ages >= width, FREE)[:, None, None]


def forbid_repeated_ngrams(tokens: Tensor, scores: Tensor, size: int, ignored: Tensor) -> Tensor:
    """Forbid each token that would complete an n-gram which the hypothesis already has; writes into `scores`.

    The last size-1 tokens are the tail: every token that followed an earlier occurrence of it is forbidden, unless the
    token is ignored or the tail holds an ignored one. Example, size 2, tokens `a b c a`: the tail is `a`, which `b`
    followed, so `b` is forbidden.
    Source: `microsoft/unilm: s2s-ft/s2s_ft/modeling_decoding.py`.

    Args:
        tokens: Generated so far, `(B, K, t)` int64; t >= size. A shorter row begins with `FREE`, which blocks nothing.
        scores: Over the vocabulary, `(B, K, V)`.
        ignored: Ids, `(N,)` int64.
    """
    ngrams = tokens.unfold(-1, size, 1)  # (B, K, t - size + 1, size)
    tail = tokens[..., tokens.shape[-1] - size + 1 :]  # (B, K, size - 1)
    followers = ngrams[..., -1]
    blocked = (ngrams[..., :-1] == tail.unsqueeze(-2)).all(-1)
    if len(ignored):
        blocked &= ~torch.isin(tail, ignored).any(-1, keepdim=True)
        blocked &= ~torch.isin(followers, ignored)
    blocked &= followers != FREE
    penalty = torch.zeros_like(followers, dtype=scores.dtype).masked_fill_(blocked, -torch.inf)
    return scores.scatter_add_(-1, followers.clamp(min=0), penalty)
