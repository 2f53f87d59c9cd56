"""Contrastive search against its equation written with loops, and the representations that models show."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import END, VOCABULARY, TableModel, TableState, sources_of, with_end
from tiny_models import tiny_unilm
from torch import Tensor

from s2s.config import parse_section
from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding.beam import BeamSearch
from s2s.decoding.contrastive import ContrastiveSearch
from s2s.errors import ConfigError, InputError


class ShowingModel(TableModel):
    """A table that represents a token by the scores after it, cut to three numbers."""

    def representation(self, source: int, tokens: list[int]) -> Tensor:
        return self.row(source, tokens)[:3]

    def step_represented(self, state: TableState, tokens: Tensor | None) -> tuple[Tensor, Tensor]:
        scores = self.step(state, tokens)
        shown = [torch.stack([self.representation(*one) for one in row]) for row in state.rows]
        return scores, torch.stack(shown)[:, : None if tokens is not None else self.begins]

    begins = 1
    """Whether outputs begin with a token that is represented."""


def search(**options: Any) -> ContrastiveSearch:
    section = parse_section(ContrastiveSearch.Config, {"max_length": 7, **options}, "decoder")
    return ContrastiveSearch(section, VOCABULARY.index)


def equation(model: ShowingModel, source: int, config: Any) -> tuple[list[int], float]:
    """The output of a source and its log-probability, token by token."""
    tokens: list[int] = []
    total, seen = 0.0, [model.representation(source, [])][: model.begins]
    for step in range(config.max_length):
        log_probs = model.row(source, tokens).log_softmax(-1).tolist()
        allowed = [token for token in range(model.vocab_size) if token != END or step >= config.min_length]
        best = sorted(allowed, key=lambda token: -log_probs[token])[: config.top_k]

        worth = {}
        for token in best:
            shown = model.representation(source, [*tokens, token])
            likeness = max((torch.cosine_similarity(shown, other, dim=0).item() for other in seen), default=0.0)
            worth[token] = (1 - config.penalty_alpha) * math.exp(log_probs[token]) - config.penalty_alpha * likeness
        token = max(best, key=worth.__getitem__)
        tokens.append(token)
        total += log_probs[token]
        if token == END:
            break
        seen.append(model.representation(source, tokens))
    return tokens, total


@settings(max_examples=40, deadline=None)
@given(
    alpha=st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    top_k=st.integers(1, 8),
    minimum=st.integers(0, 3),
    begins=st.booleans(),
    seed=st.integers(0, 40),
    values=st.lists(st.integers(0, 49), min_size=1, max_size=5),
)
def test_it_equals_the_equation_written_with_loops(
    alpha: float, top_k: int, minimum: int, begins: bool, seed: int, values: list[int]
) -> None:
    model = ShowingModel(6, seed)
    model.begins = int(begins)
    decoder = search(penalty_alpha=alpha, top_k=top_k, min_length=minimum)
    for value, (best,) in zip(values, decoder(model, sources_of(values)), strict=True):
        tokens, total = equation(model, value, decoder.config)
        assert with_end(best) == tokens
        assert best.log_prob == pytest.approx(total, abs=1e-4)


def test_without_the_penalty_it_is_greedy_search_with_all_constraints() -> None:
    model, sources = ShowingModel(8, seed=3), sources_of(list(range(9)), [[3, 3], *[[]] * 8])
    options = {"max_length": 9, "min_length": 3, "no_repeat_ngram_size": 2, "forbidden_tokens": ["b"]}
    greedy = BeamSearch(parse_section(BeamSearch.Config, {"beam_size": 1, **options}, "decoder"), VOCABULARY.index)
    found = search(penalty_alpha=0, **options)(model, sources)
    assert [with_end(best) for (best,) in found] == [with_end(best) for (best,) in greedy(model, sources)]


def test_a_model_without_representations_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"decoder\.name: contrastive needs hidden states, which TableModel does not"):
        search()(TableModel(6), sources_of([1]))
    with pytest.raises(ConfigError, match=r"decoder\.penalty_alpha: must be"):
        search(penalty_alpha=1.5)
    source = SimpleNamespace(prefix=[1] * 8, constraints=[])
    with pytest.raises(InputError, match=r"'prefix' has 8 tokens, more than decoder\.max_length=7"):
        search().check(source, "x:3")


@pytest.mark.parametrize("feeding", [Feeding(end=2, start=1), Feeding(end=2, mask=3)])
def test_a_model_shows_what_it_shows_of_a_token_alone(feeding: Feeding) -> None:
    model = tiny_unilm(1).double()
    tokens, lengths = torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0]]), torch.tensor([4, 3])
    sources = SourceBatch(["a", "b"], tokens, lengths, feeding, [[], []])
    candidates = torch.tensor([[4, 5, 6], [8, 4, 9]])

    def shown(fed: Tensor) -> list[Tensor]:
        state = model.start(sources, 3)
        _, first = model.step_represented(state, None)
        assert first.shape[1] == (0 if feeding.start is None else 1)
        state.select(None, torch.zeros_like(fed))
        return [*model.step_represented(state, fed)]

    scores, states = shown(candidates)
    for place in range(3):
        alone = shown(candidates[:, place : place + 1])
        torch.testing.assert_close(scores[:, place : place + 1], alone[0])
        torch.testing.assert_close(states[:, place : place + 1], alone[1])
    state = model.start(sources, 3)
    model.step(state, None)
    state.select(None, torch.zeros_like(candidates))
    torch.testing.assert_close(scores, model.step(state, candidates))
