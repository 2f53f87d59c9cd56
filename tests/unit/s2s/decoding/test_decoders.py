"""Decoders over a table-driven model: beam search against its rule written with loops, diverse beam, sampling."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import END, VOCABULARY, TableModel, TableState, log_prob_of, sources_of, with_end

from s2s.config import parse_section
from s2s.data.batch import SourceBatch
from s2s.decoding.beam import BeamSearch
from s2s.decoding.constraints import ConstraintOptions, Constraints
from s2s.decoding.diverse import DiverseBeamSearch
from s2s.decoding.ranking import gnmt, length_reward
from s2s.decoding.sampling import Sampling
from s2s.decoding.trace import Trace
from s2s.errors import ConfigError, InputError


def beam_of(**options: Any) -> BeamSearch:
    return BeamSearch(parse_section(BeamSearch.Config, {"max_length": 6, **options}, "decoder"), VOCABULARY.index)


def rule_of_s2s_ft(model: TableModel, source: int, config: Any) -> list[tuple[float, float, list[int]]]:
    """All candidates, best first, by the rule as it is written: no early stop, no tensors."""
    frames: list[list[tuple[float, list[int]]]] = []
    open_ones: list[tuple[float, list[int]]] = [(0.0, [])]
    for step in range(config.max_length):
        proposals = []
        for score, tokens in open_ones:
            log_probs = model.row(source, tokens).log_softmax(-1).tolist()
            if step < config.min_length:
                log_probs[END] = -math.inf
            for token in blocked_by_loops(tokens, config.no_repeat_ngram_size):
                log_probs[token] = -math.inf
            order = sorted(range(len(log_probs)), key=lambda token: -log_probs[token])[: config.beam_size]
            proposals += [(score + log_probs[t], [*tokens, t]) for t in order if log_probs[t] > -math.inf]
        frames.append(sorted(proposals, key=lambda item: -item[0])[: config.beam_size])
        open_ones = [(score, tokens) for score, tokens in frames[-1] if tokens[-1] != END]
        if not open_ones:
            break
    candidates = [item for frame in frames for item in frame if item[1][-1] == END or frame is frames[-1]]
    alpha = config.length_penalty
    ranked = [(s / ((5 + len(t)) / 6) ** alpha if alpha > 0 else s, s, t) for s, t in candidates]
    return sorted(ranked, key=lambda item: -item[0])


def blocked_by_loops(tokens: list[int], size: int) -> set[int]:
    if not size or len(tokens) < size:
        return set()
    tail = tokens[len(tokens) - size + 1 :]
    return {tokens[i + size - 1] for i in range(len(tokens) - size + 1) if tokens[i : i + size - 1] == tail}


@settings(max_examples=60, deadline=None)
@given(
    beam_size=st.integers(1, 5),
    alpha=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    min_length=st.integers(0, 4),
    ngram=st.sampled_from([0, 0, 1, 2, 3]),
    seed=st.integers(0, 30),
    values=st.lists(st.integers(0, 49), min_size=1, max_size=5),
    wanted=st.integers(1, 5),
)
def test_beam_equals_the_rule_written_with_loops(
    beam_size: int, alpha: float, min_length: int, ngram: int, seed: int, values: list[int], wanted: int
) -> None:
    model = TableModel(6, seed)
    decoder = beam_of(
        beam_size=beam_size,
        length_penalty=alpha,
        min_length=min_length,
        no_repeat_ngram_size=ngram,
        num_hypotheses=min(wanted, beam_size),
    )
    for value, hypotheses in zip(values, decoder(model, sources_of(values)), strict=True):
        expected = rule_of_s2s_ft(model, value, decoder.config)[: decoder.config.num_hypotheses]
        assert [with_end(h) for h in hypotheses] == [tokens for _, _, tokens in expected]
        for found, (score, log_prob, _) in zip(hypotheses, expected, strict=True):
            assert found.score == pytest.approx(score, abs=1e-4)
            assert found.log_prob == pytest.approx(log_prob, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all_outputs(alpha: float) -> None:
    model, steps = TableModel(4, seed=5), 4
    decoder = beam_of(beam_size=4**steps, max_length=steps, min_length=0, length_penalty=alpha)
    for value, (best,) in zip([3, 11], decoder(model, sources_of([3, 11])), strict=True):
        assert with_end(best) == exhaustive(model, value, steps, alpha)


def exhaustive(model: TableModel, source: int, steps: int, alpha: float) -> list[int]:
    def worth(tokens: list[int]) -> float:
        rows = [model.row(source, tokens[:i]).log_softmax(-1)[token].item() for i, token in enumerate(tokens)]
        return sum(rows) / ((5 + len(tokens)) / 6) ** alpha

    words = range(1, model.vocab_size)
    ended = [[*path, END] for n in range(steps) for path in itertools.product(words, repeat=n)]
    return max([*ended, *map(list, itertools.product(words, repeat=steps))], key=worth)


@pytest.mark.parametrize("options", [{}, {"beam_size": 1}, {"length_penalty": 1.0, "num_hypotheses": 2}])
def test_a_sentence_alone_and_in_any_batch_gets_the_same_output(options: dict[str, Any]) -> None:
    model, decoder = TableModel(8, seed=2), beam_of(max_length=9, **{"beam_size": 3, **options})
    values = list(range(12))
    together = decoder(model, sources_of(values))
    assert together == [decoder(model, sources_of([value]))[0] for value in values]
    assert len({len(row[0].tokens) for row in together}) > 1, "outputs of one length would not test the compaction"


def test_stopping_early_changes_no_result_of_any_ranking_that_was_asked_for() -> None:
    model, values = TableModel(6, seed=4), list(range(20))
    for alpha, form in itertools.product([0.0, 0.6, 2.0], ["gnmt", "power"]):
        decoder = beam_of(max_length=9, beam_size=4, num_hypotheses=2, length_penalty=alpha, length_penalty_form=form)
        assert decoder(model, sources_of(values)) == decoder.best(decoder.trace(model, sources_of(values)))


def test_search_stops_when_nothing_open_can_win() -> None:
    model = TableModel(6)
    model.table[:] = torch.tensor([9.0, 0, 0, 0, 0, 0])
    state_steps = []
    start = model.start

    def spying_start(sources: SourceBatch, max_steps: int) -> TableState:
        state_steps.append(start(sources, max_steps))
        return state_steps[-1]

    model.start = spying_start  # type: ignore[method-assign]
    beam_of(max_length=6, min_length=0, beam_size=4)(model, sources_of([0, 1]))
    assert state_steps[0].steps == 5, "one step is enough when the end token has nearly all the probability"


def test_average_penalty_divides_by_the_length() -> None:
    (best,) = beam_of(length_penalty=1.0, length_penalty_form="power")(TableModel(6), sources_of([4]))[0]
    assert best.score == pytest.approx(best.log_prob / len(with_end(best)))


def test_minimum_length_holds_and_forbidden_tokens_never_come() -> None:
    outputs = beam_of(min_length=4, forbidden_tokens=["a", "c"])(TableModel(6), sources_of(list(range(10))))
    assert all(len(best.tokens) >= 4 for (best,) in outputs)
    assert all(not {1, 3} & set(best.tokens) for (best,) in outputs)


def test_outputs_begin_with_the_records_prefix_else_with_the_configured_one() -> None:
    decoder = beam_of(prefix_tokens=["b"], no_repeat_ngram_size=1, forbidden_tokens=["b", "c"], num_hypotheses=3)
    rows = decoder(TableModel(6), sources_of([1, 2, 3], [[3, 3, 5], [], [4]]))
    assert [best.tokens[:3] for best in rows[0]] == [[3, 3, 5]] * 3, "a forced token overrules all constraints"
    assert all(best.tokens[0] == 2 for best in rows[1])
    assert all(best.tokens[0] == 4 and 3 not in best.tokens for best in rows[2])
    assert all(len(row) == 3 for row in rows)


def test_a_hypothesis_without_any_allowed_token_ends() -> None:
    (best,) = beam_of(min_length=6, forbidden_tokens=VOCABULARY[1:6])(TableModel(6), sources_of([0]))[0]
    assert best.tokens == []
    assert best.finished


def test_best_of_n_come_in_order_and_differ() -> None:
    for row in beam_of(num_hypotheses=5, length_penalty=1.0)(TableModel(6), sources_of([0, 1, 2])):
        scores = [hypothesis.score for hypothesis in row]
        assert len(row) == 5
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(with_end(hypothesis)) for hypothesis in row}) == 5


def test_a_trace_gives_the_output_of_another_length_penalty() -> None:
    model, values = TableModel(6, seed=9), list(range(8))
    trace = beam_of(length_penalty=0.0).trace(model, sources_of(values))
    for alpha in (0.6, 2.0):
        assert trace.best(gnmt(alpha), 1) == beam_of(length_penalty=alpha)(model, sources_of(values))


def test_a_reward_for_length_asks_for_longer_outputs_and_an_expected_length_is_met() -> None:
    trace = beam_of(beam_size=5, max_length=8).trace(TableModel(6, seed=9), sources_of(list(range(8))))

    def lengths(reward: float, expected: float | None = None) -> list[int]:
        return [len(with_end(best)) for (best,) in trace.best(length_reward(reward, expected), 1)]

    assert lengths(100.0) == [8] * 8
    assert sum(lengths(0.0)) < sum(lengths(1.0))
    assert set(lengths(100.0, 4.0)) <= {3, 4, 5}


def test_half_precision_logits_are_scored_in_single_precision() -> None:
    model = TableModel(6)
    model.table = model.table.bfloat16()
    trace = beam_of().trace(model, sources_of([3]))
    assert trace.scores.dtype == torch.float32


def test_more_outputs_than_hypotheses_is_refused() -> None:
    with pytest.raises(ConfigError, match="decoder: num_hypotheses 3 must be at most beam_size 2"):
        beam_of(beam_size=2, num_hypotheses=3)


def test_a_minimum_above_the_maximum_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="decoder: min_length 9 must be at most max_length 6"):
        beam_of(min_length=9)


def test_a_trace_survives_its_record_and_a_broken_record_is_refused() -> None:
    search = beam_of(beam_size=3)
    model, sources = TableModel(6), sources_of([5, 6, 7])
    trace = search.trace(model, sources)
    read = [Trace.from_record(record, "trace.jsonl:1") for record in trace.records()]
    assert [search.best(one)[0] for one in read] == search.best(trace)
    with pytest.raises(InputError, match=r"trace\.jsonl:4: expected a trace with end, scores, tokens and parents"):
        Trace.from_record({"end": 0, "scores": []}, "trace.jsonl:4")
    with pytest.raises(InputError, match=r"trace\.jsonl:4: scores, tokens and parents of a trace must be tables"):
        Trace.from_record({"end": 0, "scores": [[0.5]], "tokens": [[1]], "parents": [[7]]}, "trace.jsonl:4")


def diverse(**options: Any) -> DiverseBeamSearch:
    section = parse_section(DiverseBeamSearch.Config, {"max_length": 6, **options}, "decoder")
    return DiverseBeamSearch(section, VOCABULARY.index)


def test_one_group_is_plain_beam_search_and_groups_without_a_penalty_are_refused() -> None:
    model, sources = TableModel(7, seed=3), sources_of(list(range(6)))
    plain = beam_of(beam_size=3, num_hypotheses=1)(model, sources)
    assert diverse(beam_size=3, num_groups=1)(model, sources) == plain
    with pytest.raises(ConfigError, match=r"decoder.diversity_penalty: must be greater than 0, found 0"):
        diverse(beam_size=9, num_groups=3, diversity_penalty=0)


@pytest.mark.parametrize("penalty", [1e-9, 0.1, 1.0])
def test_groups_that_find_the_same_output_give_it_once(penalty: float) -> None:
    model, sources = TableModel(4, seed=3, sharpness=6.0), sources_of(list(range(20)))
    rows = diverse(beam_size=6, num_groups=3, num_hypotheses=6, diversity_penalty=penalty)(model, sources)
    outputs = [[tuple(best.tokens) for best in row] for row in rows]
    assert all(len(set(row)) == len(row) for row in outputs)
    assert penalty > 1e-9 or any(len(row) < 6 for row in outputs)


@pytest.mark.parametrize(
    ("decoder", "option", "value"),
    [
        (make, option, value)
        for make, options in {
            "beam_of": ["length_penalty"],
            "diverse": ["length_penalty", "diversity_penalty"],
            "sampling": ["temperature", "top_p"],
        }.items()
        for option in options
        for value in (-1.0, math.nan, math.inf, -math.inf, 1e300)
    ],
)
def test_numbers_that_cannot_mean_anything_are_refused(decoder: str, option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"decoder.{option}: must be"):
        globals()[decoder](**{option: value})


def test_prefixes_that_would_be_cut_are_refused() -> None:
    source = SimpleNamespace(prefix=[3, 4, 5])
    for decoder in (beam_of(max_length=2), sampling(max_length=2)):
        with pytest.raises(InputError, match=r"x:3: 'prefix' has 3 tokens, more than decoder.max_length=2"):
            decoder.check(source, "x:3")
    beam_of(max_length=3).check(source, "x:3")
    with pytest.raises(ConfigError, match=r"decoder: 3 prefix_tokens must be at most max_length 2"):
        beam_of(prefix_tokens=["a", "b", "c"], max_length=2)
    with pytest.raises(ConfigError, match=r"decoder.prefix_tokens: must not name the end token"):
        beam_of(prefix_tokens=["a", "end"])(TableModel(6), sources_of([0]))


def test_tokens_that_undo_the_search_or_are_unknown_are_refused_by_option() -> None:
    with pytest.raises(ConfigError, match=r"decoder.forbidden_tokens: must not name the end token"):
        beam_of(forbidden_tokens=["a", "end"])(TableModel(6), sources_of([0]))

    def unknown(token: str) -> int:
        raise InputError(f"{token!r} is not one item")

    for option in ("no_repeat_ngram_ignore", "forbidden_tokens", "prefix_tokens"):
        with pytest.raises(ConfigError, match=f"decoder.{option}: 'q' is not one item"):
            Constraints(ConstraintOptions(**{option: ["q"]}), unknown)


def test_a_large_penalty_makes_all_groups_begin_differently_and_scores_do_not_hold_it() -> None:
    model, values = TableModel(7, seed=3), list(range(6))
    rows = diverse(beam_size=4, num_groups=4, num_hypotheses=4, diversity_penalty=100.0)(model, sources_of(values))
    for value, row in zip(values, rows, strict=True):
        assert len({with_end(hypothesis)[0] for hypothesis in row}) == 4
        for hypothesis in row:
            assert hypothesis.log_prob == pytest.approx(log_prob_of(model, value, with_end(hypothesis)), abs=1e-4)


def test_groups_must_divide_the_beam() -> None:
    with pytest.raises(ConfigError, match="decoder: num_groups 3 must divide beam_size 4"):
        diverse(beam_size=4, num_groups=3)


def sampling(**options: Any) -> Sampling:
    section = parse_section(Sampling.Config, {"max_length": 8, **options}, "decoder")
    return Sampling(section, VOCABULARY.index)


@settings(max_examples=30, deadline=None)
@given(
    values=st.permutations(list(range(7))),
    top_k=st.sampled_from([0, 3]),
    top_p=st.sampled_from([0.7, 1.0]),
    count=st.integers(1, 3),
)
def test_a_sampled_output_depends_on_seed_and_id_alone(values: list[int], top_k: int, top_p: float, count: int) -> None:
    decoder, model = sampling(top_k=top_k, top_p=top_p, num_hypotheses=count), TableModel(7)
    together = dict(zip(values, decoder(model, sources_of(values)), strict=True))
    alone = decoder(model, sources_of(values[:1]))[0]
    assert [h.tokens for h in together[values[0]]] == [h.tokens for h in alone]
    for row, value in zip(together.values(), values, strict=True):
        for hypothesis in row:
            assert hypothesis.log_prob == pytest.approx(log_prob_of(model, value, with_end(hypothesis)), abs=1e-4)


def test_sampled_tokens_come_with_the_models_probabilities() -> None:
    model = TableModel(5)
    model.table[:] = torch.tensor([0.5, 0.2, 0.1, 0.15, 0.05]).log()
    rows = sampling(max_length=1, min_length=0, num_hypotheses=4000)(model, sources_of([0]))[0]
    counts = torch.bincount(torch.tensor([with_end(hypothesis)[0] for hypothesis in rows]), minlength=5) / 4000
    assert counts.tolist() == pytest.approx([0.5, 0.2, 0.1, 0.15, 0.05], abs=0.03)


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_p": 0.69}, {0, 1}),
        ({"top_p": 0.71}, {0, 1, 3}),
        ({"temperature": 0.02}, {0}),
        ({"min_length": 1, "forbidden_tokens": ["a"]}, {2, 3, 4}),
        ({"prefix_tokens": ["d"]}, {4}),
    ],
)
def test_sampling_draws_only_from_what_is_allowed(options: dict[str, Any], allowed: set[int]) -> None:
    model = TableModel(5)
    model.table[:] = torch.tensor([0.5, 0.2, 0.1, 0.15, 0.05]).log()
    decoder = sampling(**{"max_length": 1, "min_length": 0, "num_hypotheses": 300, **options})
    assert {with_end(hypothesis)[0] for hypothesis in decoder(model, sources_of([8]))[0]} == allowed


def test_another_seed_draws_other_outputs() -> None:
    model, sources = TableModel(7), sources_of(list(range(8)))
    assert sampling(seed=1)(model, sources) == sampling(seed=1)(model, sources) != sampling(seed=2)(model, sources)


class Remembering(TableModel):
    """A model that keeps the scores which it gave."""

    def __init__(self) -> None:
        super().__init__(len(VOCABULARY))
        self.given: list[tuple[torch.Tensor, torch.Tensor]] = []

    def step(self, state: TableState, tokens: torch.Tensor | None) -> torch.Tensor:
        scores = super().step(state, tokens)
        self.given.append((scores, scores.clone()))
        return scores


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_beam_search_never_writes_into_the_scores_of_the_model(penalty: float) -> None:
    options = {"min_length": 2, "max_length": 5, "forbidden_tokens": ["c"], "repetition_penalty": penalty}
    model = Remembering()
    BeamSearch(BeamSearch.Config(beam_size=3, **options), VOCABULARY.index)(model, sources_of([4, 9]))
    assert all(torch.equal(scores, before) for scores, before in model.given)
