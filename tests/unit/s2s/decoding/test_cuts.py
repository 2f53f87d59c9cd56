"""What sampling draws from, against loops and `transformers`; the repetition penalty in sampling and beam search."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import END, VOCABULARY, TableModel, sources_of, with_end

from s2s.config import parse_section
from s2s.decoding.beam import BeamSearch
from s2s.decoding.constraints import FREE
from s2s.decoding.cuts import DrawConfig, candidates
from s2s.decoding.repetition import penalize_repeated
from s2s.decoding.sampling import Sampling
from s2s.errors import ConfigError

CUTS = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.5, 1.0, 1.7]),
        "top_k": st.sampled_from([0, 1, 5]),
        "top_p": st.sampled_from([0.3, 0.8, 1.0]),
        "min_p": st.sampled_from([None, 0.1, 0.5, 1.0]),
        "typical_p": st.sampled_from([0.2, 0.7, None]),
    }
)


def kept_by_loops(scores: list[float], config: DrawConfig) -> dict[int, float]:
    """Tokens and their probabilities by the published rules, one cut after the other."""
    weights = {token: math.exp(score / config.temperature) for token, score in enumerate(scores)}

    def shares() -> dict[int, float]:
        return {token: weight / sum(weights.values()) for token, weight in weights.items()}

    def keep(order: list[int], mass: float) -> None:
        probs, reached = shares(), 0.0
        for place, token in enumerate(order):
            if reached >= mass:
                for other in order[place:]:
                    del weights[other]
                break
            reached += probs[token]

    if config.top_k:
        weights = dict(sorted(weights.items(), key=lambda item: -item[1])[: config.top_k])
    if config.top_p < 1:
        keep(sorted(weights, key=lambda token: -weights[token]), config.top_p)
    best = max(weights.values())
    weights = {token: weight for token, weight in weights.items() if weight >= (config.min_p or 0) * best}
    if config.typical_p is not None:
        probs = shares()
        entropy = -sum(p * math.log(p) for p in probs.values())
        keep(sorted(weights, key=lambda token: abs(-math.log(probs[token]) - entropy)), config.typical_p)
    return shares()


@settings(max_examples=60, deadline=None)
@given(options=CUTS, seed=st.integers(0, 10_000))
def test_cuts_equal_their_rules_written_with_loops(options: dict[str, Any], seed: int) -> None:
    scores = torch.randn(2, 3, 17, generator=torch.Generator().manual_seed(seed)) * 2
    config = DrawConfig(**options)
    for found, row in zip(distributions(scores, config), scores.flatten(0, 1).tolist(), strict=True):
        expected = kept_by_loops(row, config)
        assert found == pytest.approx([expected.get(token, 0.0) for token in range(17)], abs=1e-5)


def distributions(scores: torch.Tensor, config: DrawConfig) -> list[list[float]]:
    """The distributions that are drawn from, over the vocabulary in its order."""
    probs, ids, stuck = candidates(scores, config)
    assert not stuck.any()
    if ids is not None:
        probs = torch.zeros_like(scores).scatter(-1, ids, probs)
    rows: list[list[float]] = (probs / probs.sum(-1, keepdim=True)).flatten(0, 1).tolist()
    return rows


@settings(max_examples=40, deadline=None)
@given(options=CUTS, penalty=st.sampled_from([0.5, 1.0, 1.3]), seed=st.integers(0, 10_000))
def test_penalty_and_cuts_equal_those_of_transformers(options: dict[str, Any], penalty: float, seed: int) -> None:
    generation = pytest.importorskip("transformers").generation.logits_process
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(5, 1, 23, generator=generator) * 2
    tokens = torch.randint(0, 23, (5, 1, 4), generator=generator)
    wanted = generation.RepetitionPenaltyLogitsProcessor(penalty)(tokens[:, 0], scores[:, 0])
    wanted = generation.TemperatureLogitsWarper(options["temperature"])(None, wanted)
    if options["top_k"]:
        wanted = generation.TopKLogitsWarper(options["top_k"])(None, wanted)
    if options["top_p"] < 1:
        wanted = generation.TopPLogitsWarper(options["top_p"])(None, wanted)
    if options["min_p"]:
        wanted = generation.MinPLogitsWarper(options["min_p"])(None, wanted)
    if options["typical_p"]:
        wanted = generation.TypicalLogitsWarper(options["typical_p"])(None, wanted)
    found = distributions(penalize_repeated(scores.clone(), tokens, penalty), DrawConfig(**options))
    torch.testing.assert_close(torch.tensor(found), wanted.softmax(-1), rtol=0, atol=1e-6)


def test_cuts_leave_tokens_that_are_forbidden_out() -> None:
    scores = torch.tensor([[[0.3, -torch.inf, 0.2, 0.1]], [[-torch.inf] * 4]])
    for options in ({"typical_p": 0.5}, {"min_p": 0.5}, {"typical_p": 0.99, "top_p": 0.99}):
        probs, ids, stuck = candidates(scores, DrawConfig(**options))
        allowed = probs[0, 0] if ids is None else torch.zeros(4).scatter(0, ids[0, 0], probs[0, 0])
        assert allowed[1] == 0
        assert allowed.sum() > 0
        assert stuck.flatten().tolist() == [False, True]


@pytest.mark.parametrize(
    ("options", "allowed"), [({"min_p": 0.3}, {0, 1, 3}), ({"min_p": 0.45}, {0}), ({"typical_p": 0.19}, {1})]
)
def test_sampling_draws_from_what_a_cut_leaves(options: dict[str, float], allowed: set[int]) -> None:
    model = TableModel(5)
    model.table[:] = torch.tensor([0.5, 0.2, 0.1, 0.15, 0.05]).log()
    section = {"max_length": 1, "min_length": 0, "num_hypotheses": 300, **options}
    decoder = Sampling(parse_section(Sampling.Config, section, "decoder"), VOCABULARY.index)
    assert {with_end(hypothesis)[0] for hypothesis in decoder(model, sources_of([8]))[0]} == allowed


def test_a_penalty_ignores_what_a_joined_text_has_not_written() -> None:
    scores = torch.tensor([[[2.0, -1.0, 3.0]]])
    tokens = torch.tensor([[[FREE, FREE, 1]]])
    assert penalize_repeated(scores, tokens, 2.0).tolist() == [[[2.0, -2.0, 3.0]]]


@pytest.mark.parametrize("kind", [BeamSearch, Sampling])
def test_a_penalty_makes_outputs_repeat_less(kind: Any) -> None:
    model, sources = TableModel(8, seed=2), sources_of(list(range(20)))

    def repeated(penalty: float | None) -> int:
        section = {"max_length": 9, "min_length": 8, "repetition_penalty": penalty}
        decoder = kind(parse_section(kind.Config, section, "decoder"), VOCABULARY.index)
        outputs = [best.tokens for (best,) in decoder(model, sources)]
        return sum(len(tokens) - len(set(tokens)) for tokens in outputs)

    assert repeated(0.5) > repeated(None) > repeated(5.0)


def test_greedy_search_takes_the_best_token_under_the_penalty() -> None:
    model = TableModel(6, seed=3)
    section = {"beam_size": 1, "max_length": 8, "repetition_penalty": 1.5}
    decoder = BeamSearch(parse_section(BeamSearch.Config, section, "decoder"), VOCABULARY.index)
    for value, (best,) in enumerate(decoder(model, sources_of(list(range(10))))):
        tokens: list[int] = []
        total = 0.0
        while len(tokens) < 8 and END not in tokens:
            scores = model.row(value, tokens).log_softmax(-1).tolist()
            scores = [score * 1.5 if token in tokens else score for token, score in enumerate(scores)]
            scores[END] = scores[END] if tokens else -math.inf
            tokens.append(max(range(6), key=scores.__getitem__))
            total += scores[tokens[-1]]
        assert with_end(best) == tokens
        assert best.log_prob == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize(
    ("option", "value"),
    [("min_p", -0.1), ("min_p", 1.1), ("typical_p", 1), ("typical_p", math.nan), ("repetition_penalty", 0)],
)
def test_cuts_and_penalties_that_cannot_mean_anything_are_refused(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"decoder\.{option}: must be"):
        parse_section(Sampling.Config, {option: value}, "decoder")
