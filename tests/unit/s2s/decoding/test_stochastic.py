"""Stochastic beam search against its algorithm written with loops, and against the probabilities that it promises."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import END, VOCABULARY, TableModel, log_prob_of, sources_of, with_end

from s2s.config import parse_section
from s2s.decoding.sampling import generator_of
from s2s.decoding.stochastic import StochasticBeamSearch


def search(**options: Any) -> StochasticBeamSearch:
    section = parse_section(StochasticBeamSearch.Config, {"max_length": 5, **options}, "decoder")
    return StochasticBeamSearch(section, VOCABULARY.index)


def algorithm(model: TableModel, source: int, config: Any) -> list[list[int]]:
    """The outputs by algorithm 1 of the paper, with the noise of the search."""
    generator = generator_of(config.seed, str(source))
    beam: list[tuple[float, float, list[int]]] = [(0.0, 0.0, [])]  # key, log-probability, tokens
    slots = 1  # there may be fewer hypotheses
    for step in range(config.max_length):
        uniform = torch.rand(slots, model.vocab_size, generator=generator).tolist()
        slots = min(config.num_hypotheses, slots * model.vocab_size)
        grown = []
        for (key, log_prob, tokens), numbers in zip(beam, uniform, strict=False):
            if END in tokens:
                grown.append((key, log_prob, tokens))
                continue
            scores = model.row(source, tokens) / config.temperature
            if step < config.min_length:
                scores = scores.masked_fill(torch.arange(model.vocab_size) == END, -math.inf)
            shares = [log_prob + share for share in scores.log_softmax(-1).tolist()]
            noisy = [share - math.log(-math.log(u)) for share, u in zip(shares, numbers, strict=True)]
            for token, (share, one) in enumerate(zip(shares, noisy, strict=True)):
                if share > -math.inf:
                    moved = -math.log(math.exp(-key) - math.exp(-max(noisy)) + math.exp(-one))
                    grown.append((moved, share, [*tokens, token]))
        beam = sorted(grown, key=lambda item: -item[0])[: config.num_hypotheses]
        if all(END in tokens for _, _, tokens in beam):
            break
    return [tokens for _, _, tokens in beam]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 6),
    temperature=st.sampled_from([0.7, 1.0, 2.0]),
    minimum=st.integers(0, 3),
    seed=st.integers(0, 40),
    values=st.lists(st.integers(0, 49), min_size=1, max_size=5, unique=True),
)
def test_it_equals_the_algorithm_written_with_loops(
    count: int, temperature: float, minimum: int, seed: int, values: list[int]
) -> None:
    model = TableModel(6, seed, sharpness=1.0)
    decoder = search(num_hypotheses=count, temperature=temperature, min_length=minimum, seed=seed)
    for value, row in zip(values, decoder(model, sources_of(values)), strict=True):
        expected = algorithm(model, value, decoder.config)
        assert sorted(map(with_end, row)) == sorted(expected)
        for hypothesis in row:
            assert hypothesis.log_prob == pytest.approx(log_prob_of(model, value, with_end(hypothesis)), abs=1e-4)


def test_pairs_come_with_the_probability_of_drawing_without_replacement() -> None:
    model, ids = TableModel(3, seed=1, sharpness=1.0), 3000
    decoder = search(num_hypotheses=2, max_length=2, min_length=0)
    sources = replace(sources_of([5] * ids), ids=[f"line {number}" for number in range(ids)])
    counts = Counter(frozenset(tuple(with_end(one)) for one in row) for row in decoder(model, sources))
    outputs = [(END,), *((first, second) for first in (1, 2) for second in range(3))]
    probs = {output: math.exp(log_prob_of(model, 5, list(output))) for output in outputs}
    assert sum(probs.values()) == pytest.approx(1, abs=1e-5)
    for a, b in itertools.combinations(outputs, 2):
        expected = probs[a] * probs[b] * (1 / (1 - probs[a]) + 1 / (1 - probs[b]))
        deviation = math.sqrt(expected * (1 - expected) / ids)
        assert counts[frozenset((a, b))] / ids == pytest.approx(expected, abs=4 * deviation)


def test_outputs_differ_and_there_are_fewer_only_if_the_cuts_leave_fewer() -> None:
    model, sources = TableModel(6, seed=4, sharpness=4.0), sources_of(list(range(20)))
    rows = search(num_hypotheses=8)(model, sources)
    assert all(len({tuple(with_end(one)) for one in row}) == len(row) == 8 for row in rows)
    assert all(len(row) == 1 for row in search(num_hypotheses=8, top_k=1)(model, sources))
    few = search(num_hypotheses=8, max_length=1, top_k=3, min_length=0)(model, sources)
    assert all(len({tuple(with_end(one)) for one in row}) == len(row) == 3 for row in few)
    for row in rows:
        assert [one.score for one in row] == sorted((one.score for one in row), reverse=True)


def test_they_come_from_the_nucleus() -> None:
    model = TableModel(5)
    model.table[:] = torch.tensor([0.5, 0.2, 0.1, 0.15, 0.05]).log()
    rows = search(num_hypotheses=4, max_length=1, min_length=0, top_p=0.8)(model, sources_of([3]))
    assert {with_end(one)[0] for one in rows[0]} == {0, 1, 3}


@settings(max_examples=20, deadline=None)
@given(values=st.permutations(list(range(7))), options=st.sampled_from([{}, {"top_p": 0.8}, {"repetition_penalty": 2}]))
def test_outputs_depend_on_seed_and_id_alone(values: list[int], options: dict[str, Any]) -> None:
    model, decoder = TableModel(7, sharpness=1.0), search(num_hypotheses=3, **options)
    together = decoder(model, sources_of(values))
    assert together[0] == decoder(model, sources_of(values[:1]))[0]
    assert together != search(num_hypotheses=3, seed=1, **options)(model, sources_of(values))


def test_constraints_hold_and_a_hypothesis_without_any_allowed_token_ends() -> None:
    model, sources = TableModel(6), sources_of([1, 2, 3], [[3, 3, 5], [], [4]])
    rows = search(prefix_tokens=["b"], forbidden_tokens=["b", "c"], num_hypotheses=3)(model, sources)
    for row, begin in zip(rows, [[3, 3, 5], [2], [4]], strict=True):
        assert [one.tokens[: len(begin)] for one in row] == [begin] * 3
    assert all(3 not in one.tokens for one in rows[2])
    ((only,), *_) = search(min_length=5, forbidden_tokens=VOCABULARY[1:6])(model, sources_of([0]))
    assert (only.tokens, only.finished) == ([], True)
