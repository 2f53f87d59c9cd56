"""Beam search for outputs that contain given phrases.

Hypotheses that have the same number of tokens of the phrases are a bank. Each step fills the beam with the best of each
bank in turn, the fullest bank first. So some hypotheses go on with the phrases while others wait for better places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from s2s.data.batch import SourceBatch
from s2s.data.phrases import Phrase
from s2s.decoding.base import Hypothesis, StepModel
from s2s.decoding.beam import continuations, take_best
from s2s.decoding.constraints import BatchConstraints
from s2s.decoding.phrases import PhraseTable, advance, chains_of
from s2s.decoding.searching import Beam, Searching
from s2s.decoding.trace import Trace
from s2s.decoding.wide import WideBeamSearch
from s2s.errors import InputError, UnreachableError
from s2s.registry import register_decoder


@dataclass(frozen=True)
class PhraseConstraints(BatchConstraints):
    """The constraints of a batch, and the phrases of its sentences."""

    phrases: PhraseTable


@register_decoder("constrained_beam")
class ConstrainedBeamSearch(WideBeamSearch):
    """Wide beam search for outputs that contain the phrases in the field `constraints` of their record.

    Candidates are the 2 K best continuations, the best of each hypothesis, and those that go on with a phrase. An
    output ends only when it has all phrases. Source: dynamic beam allocation, Post and Vilar 2018 (arXiv 1804.06609),
    with banks in turn as in Hu et al. 2019 (N19-1090) and fairseq.
    """

    class Config(WideBeamSearch.Config):
        """Options of constrained beam search."""

        ordered: bool = False
        """Whether the phrases come in the order given, one after the other; else in any order, and may overlap."""

    config: ConstrainedBeamSearch.Config
    joins: ClassVar[bool] = False

    def check(self, source: Any, where: str) -> None:
        """Raise InputError if the prefix and the phrases of a record cannot be in one output."""
        self._constraints.check_prefix(source.prefix, where)
        self._constraints.check_form(source, where)
        phrases: Sequence[Phrase] = getattr(source, "constraints", [])
        self._check_length(phrases, source.prefix or self._constraints.prefix, where)
        for phrase in phrases:
            if self._constraints.forbidden.intersection(phrase.tokens):
                raise InputError(
                    f"{where}: 'constraints' asks for {phrase.text!r}, which decoder.forbidden_tokens forbids"
                )
        self._check_ngrams(phrases, where)

    def _check_length(self, phrases: Sequence[Phrase], prefix: list[int], where: str) -> None:
        most, left = self.config.max_length, 0
        for chain in self._chains(phrases):
            state = 0
            for token in prefix:
                state = advance(chain, state, token)
            left += sum(map(len, chain)) - state
        needed = len(prefix) + left + 1
        if left and needed > most:
            what = "the prefix, 'constraints' and the end" if prefix else "'constraints' and the end"
            raise InputError(f"{where}: {what} are {needed} tokens, more than decoder.max_length={most}")

    def _check_ngrams(self, phrases: Sequence[Phrase], where: str) -> None:
        size, ignored = self.config.no_repeat_ngram_size, self._constraints.ignored
        texts = {tuple(phrase.tokens): phrase.text for phrase in phrases}
        for chain in self._chains(phrases) if size else []:
            seen = set[tuple[int, ...]]()
            for phrase in chain:
                for ngram in (tuple(phrase[place : place + size]) for place in range(len(phrase) - size + 1)):
                    if ngram in seen and not ignored.intersection(ngram):
                        raise InputError(
                            f"{where}: 'constraints' asks for {texts[tuple(phrase)]!r}, which "
                            f"decoder.no_repeat_ngram_size={size} forbids: {size} of its tokens come twice"
                        )
                    seen.add(ngram)

    def _chains(self, phrases: Sequence[Phrase]) -> list[list[list[int]]]:
        return chains_of([phrase.tokens for phrase in phrases], self.config.ordered)

    @torch.inference_mode()
    def start(self, model: StepModel, sources: SourceBatch, exhaustive: bool = False) -> Searching:
        """See `BeamSearch.start`."""
        phrases = sources.constraints or [[] for _ in sources.ids]
        chains = [chains_of(given, self.config.ordered) for given in phrases]
        table = PhraseTable.of(chains, sources.tokens.device)
        plain = self._constraints.of(sources)
        values = {field.name: getattr(plain, field.name) for field in fields(plain)}
        return Searching(self, model, sources, PhraseConstraints(**values, phrases=table), exhaustive)

    def best(self, trace: Trace) -> list[list[Hypothesis]]:
        """See `WideBeamSearch.best`; UnreachableError if no output has all phrases."""
        rows = super().best(trace)
        if not all(rows):
            raise UnreachableError(
                f"no output of at most decoder.max_length={self.config.max_length} tokens has all 'constraints'; "
                "another option or the prefix forbids them"
            )
        return rows

    def survivors(
        self, beam: Beam, logits: Tensor, constraints: BatchConstraints, end: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next frame, `(B', 2 K)`, see `BeamSearch.survivors`; sets `beam.progress` to that of the frame."""
        assert isinstance(constraints, PhraseConstraints), "made by start"
        size, phrases, is_last = self.config.beam_size, constraints.phrases, beam.ages + 1 == self.config.max_length
        if beam.progress is None:
            beam.progress = phrases.begin(beam.sentences)
        scores, parents, tokens = self._candidates(beam, logits, constraints, end)
        progress = beam.progress.gather(1, parents.unsqueeze(-1).expand(-1, -1, beam.progress.shape[2]))
        progress = phrases.advance(beam.sentences, progress, tokens)
        useless = is_last.unsqueeze(1) & ~phrases.are_met(beam.sentences, progress)
        scores = scores.masked_fill(useless, -torch.inf)
        order = in_turn(scores, phrases.tokens_had(beam.sentences, progress), 2 * size)
        scores, ended = scores.gather(1, order), tokens.gather(1, order) == end
        left_out = ended.clone()
        left_out[:, size:] |= is_last.unsqueeze(1)
        going_on = left_out.long().argsort(dim=1, stable=True)[:, :size]
        finishing = scores[:, :size].masked_fill(~ended[:, :size], -torch.inf)
        kept = torch.cat([order.gather(1, going_on), order[:, :size]], 1)
        beam.progress = progress.gather(1, kept.unsqueeze(-1).expand(-1, -1, progress.shape[2]))
        going_scores = scores.masked_fill(left_out, -torch.inf).gather(1, going_on)
        return torch.cat([going_scores, finishing], 1), parents.gather(1, kept), tokens.gather(1, kept)

    def _candidates(
        self, beam: Beam, logits: Tensor, constraints: PhraseConstraints, end: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, parents and tokens of what may follow, each `(B', 2 K + K + K C)`; -inf for what comes twice."""
        assert beam.progress is not None
        count, size = 2 * self.config.beam_size, logits.shape[-1]
        log_probs = self.log_probs(beam, logits)
        met = constraints.phrases.are_met(beam.sentences, beam.progress)
        end_scores = log_probs[..., end].masked_fill_(~met, -torch.inf).clone()
        allowed = constraints(beam, log_probs)
        proposals, ids = continuations(beam, allowed, end_scores, end, count)
        best = take_best(proposals, ids, count)
        wanted = constraints.phrases.next_tokens(beam.sentences, beam.progress)  # (B', K, C)
        reached = allowed.gather(-1, wanted.clamp(min=0)).masked_fill(wanted < 0, -torch.inf)
        reached = reached + beam.scores.masked_fill(beam.ended, -torch.inf).unsqueeze(-1)
        parents = torch.arange(wanted.shape[1], device=wanted.device).expand(len(wanted), -1)
        of_phrases = (reached, parents.unsqueeze(-1).expand_as(wanted), wanted.clamp(min=0))
        first = (proposals[..., 0], parents, ids[..., 0])
        parts = zip(best, first, (part.flatten(1) for part in of_phrases), strict=True)
        scores, parents, tokens = (torch.cat(part, 1) for part in parts)
        return scores.masked_fill(repeated(parents * size + tokens), -torch.inf), parents, tokens


def repeated(values: Tensor) -> Tensor:
    """Whether a value stands earlier in its row, `(B, N)` bool."""
    ordered, order = values.sort(dim=1, stable=True)
    same = torch.zeros_like(values, dtype=torch.bool)
    same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(same).scatter(1, order, same)


def in_turn(scores: Tensor, banks: Tensor, count: int) -> Tensor:
    """Places of the candidates that are taken, `(B, count)`: the best of each bank, then the second of each, and so on,
    the greatest bank first; those with a score of -inf come last.

    Args:
        scores, banks: Of the candidates, `(B, N)`.
    """
    order = scores.argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, banks.gather(1, order).argsort(dim=1, descending=True, stable=True))
    bank, place = banks.gather(1, order), torch.arange(banks.shape[1], device=banks.device)
    begins = torch.ones_like(bank, dtype=torch.bool)
    begins[:, 1:] = bank[:, 1:] != bank[:, :-1]
    rank = place - (place * begins).cummax(1).values
    rank = rank.masked_fill(scores.gather(1, order) == -torch.inf, banks.shape[1])
    return order.gather(1, rank.argsort(dim=1, stable=True)[:, :count])
