"""Constrained beam search against dynamic beam allocation written with loops, and what it promises of its outputs."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import END, VOCABULARY, TableModel, log_prob_of, sources_of, with_end

from s2s.config import parse_section
from s2s.data.batch import SourceBatch
from s2s.data.phrases import Phrase
from s2s.decoding.beam import BeamSearch
from s2s.decoding.constrained import ConstrainedBeamSearch
from s2s.decoding.phrases import PhraseTable, advance, chains_of
from s2s.decoding.sampling import Sampling
from s2s.decoding.stochastic import StochasticBeamSearch
from s2s.decoding.wide import WideBeamSearch
from s2s.errors import InputError

Tokens = list[int]
phrases = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), max_size=3)


def search(**options: Any) -> ConstrainedBeamSearch:
    section = parse_section(ConstrainedBeamSearch.Config, {"max_length": 12, **options}, "decoder")
    return ConstrainedBeamSearch(section, VOCABULARY.index)


def asking(values: list[int], constraints: list[list[Tokens]]) -> SourceBatch:
    return replace(sources_of(values), constraints=constraints)


def state_by_loops(chain: list[Tokens], tokens: Tokens) -> int:
    """Tokens of a chain that an output has."""
    return sum(whole_and_begun(chain, tokens))


def whole_and_begun(chain: list[Tokens], tokens: Tokens) -> tuple[int, int]:
    """Tokens of whole phrases, and of the longest beginning of the next that an output ends with."""
    done = begin = 0
    for phrase in chain:
        ends = (end for end in range(begin + len(phrase), len(tokens) + 1) if tokens[end - len(phrase) : end] == phrase)
        end = next(ends, None)
        if end is None:
            rest = tokens[begin:]
            sizes = (n for n in range(len(phrase)) if n <= len(rest) and rest[len(rest) - n :] == phrase[:n])
            return done, max(sizes)
        done, begin = done + len(phrase), end
    return done, 0


@settings(max_examples=100, deadline=None)
@given(chains=st.lists(phrases.filter(bool), max_size=3), tokens=st.lists(st.integers(0, 5), max_size=14))
def test_automata_count_what_an_output_has_of_its_phrases(chains: list[list[Tokens]], tokens: Tokens) -> None:
    table = PhraseTable.of([[], chains], torch.device("cpu"))
    rows = torch.tensor([1])
    states, single = table.begin(rows), [0] * len(chains)
    for place, token in enumerate(tokens, start=1):
        states = table.advance(rows, states, torch.tensor([[token]]))
        single = [advance(chain, state, token) for chain, state in zip(chains, single, strict=True)]
        assert states[0, 0].tolist() == single == [state_by_loops(chain, tokens[:place]) for chain in chains]
    sizes = [sum(map(len, chain)) for chain in chains]
    assert table.are_met(rows, states).tolist() == [[single == sizes]]
    following = [[*itertools.chain(*chain), -1][state] for chain, state in zip(chains, single, strict=True)]
    assert table.next_tokens(rows, states).flatten().tolist() == following


def allocation(model: TableModel, source: int, given: list[Tokens], config: Any) -> list[tuple[float, Tokens]]:
    """Ended and cut outputs, best first, by the rule: no tensors, no early stop."""
    chains = chains_of(given, config.ordered)
    total, size = sum(map(len, given)), config.beam_size

    def bank(tokens: Tokens) -> int:
        parts = [whole_and_begun(chain, tokens) for chain in chains]
        return sum(whole for whole, _ in parts) + max((begun for _, begun in parts), default=0)

    beam: list[tuple[float, Tokens]] = [(0.0, [])]
    found = []
    for step in range(config.max_length):
        choices: dict[tuple[int, ...], float] = {}
        every: list[tuple[float, Tokens]] = []
        for score, tokens in beam:
            log_probs = model.row(source, tokens).log_softmax(-1).tolist()
            if bank(tokens) < total or step < config.min_length:
                log_probs[END] = -math.inf
            grown = sorted(
                ((score + log_prob, [*tokens, token]) for token, log_prob in enumerate(log_probs)), reverse=True
            )
            every += grown
            wanted = {next_token(chain, state_by_loops(chain, tokens)) for chain in chains}
            for place, (value, path) in enumerate(grown):
                if place == 0 or path[-1] in wanted:
                    choices[tuple(path)] = value
        choices |= {tuple(path): value for value, path in sorted(every, reverse=True)[: 2 * size]}
        kept = [(value, list(path)) for path, value in choices.items() if value > -math.inf]
        if step + 1 == config.max_length:
            kept = [(value, path) for value, path in kept if bank(path) == total]
        banks: dict[int, list[tuple[float, Tokens]]] = {}
        for value, path in sorted(kept, reverse=True):
            banks.setdefault(bank(path), []).append((value, path))
        rounds = itertools.zip_longest(*(banks[number] for number in sorted(banks, reverse=True)))
        taken = [item for one in rounds for item in one if item is not None][: 2 * size]
        is_last = step + 1 == config.max_length
        found += [(value, path) for value, path in taken[:size] if path[-1] == END or is_last]
        beam = [(value, path) for value, path in taken if path[-1] != END][:size]
    return sorted(found, key=lambda item: -item[0])


def next_token(chain: list[Tokens], state: int) -> int | None:
    return [*itertools.chain(*chain), None][state]


@settings(max_examples=60, deadline=None)
@given(
    given=st.lists(phrases, min_size=1, max_size=3),
    ordered=st.booleans(),
    beam_size=st.integers(1, 4),
    minimum=st.sampled_from([0, 3]),
    seed=st.integers(0, 30),
)
def test_it_equals_dynamic_beam_allocation_written_with_loops(
    given: list[list[Tokens]], ordered: bool, beam_size: int, minimum: int, seed: int
) -> None:
    model, values = TableModel(6, seed, sharpness=1.0), list(range(len(given)))
    decoder = search(beam_size=beam_size, ordered=ordered, min_length=minimum)
    for value, asked, (best,) in zip(values, given, decoder(model, asking(values, given)), strict=True):
        score, tokens = allocation(model, value, asked, decoder.config)[0]
        assert with_end(best) == tokens
        assert best.score == pytest.approx(score, abs=1e-4)
        assert best.log_prob == pytest.approx(log_prob_of(model, value, tokens), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    given=st.lists(phrases, min_size=1, max_size=4),
    ordered=st.booleans(),
    options=st.sampled_from(
        [{}, {"length_penalty": 1.0, "stop": "full"}, {"repetition_penalty": 1.5}, {"beam_size": 1}]
    ),
    seed=st.integers(0, 30),
)
def test_every_output_has_every_phrase_and_is_the_same_alone(
    given: list[list[Tokens]], ordered: bool, options: dict[str, Any], seed: int
) -> None:
    model, values = TableModel(6, seed), list(range(len(given)))
    decoder = search(ordered=ordered, **{"beam_size": 3, "num_hypotheses": 1, **options})
    rows = decoder(model, asking(values, given))
    for value, asked, row in zip(values, given, rows, strict=True):
        assert row == decoder(model, asking([value], [asked]))[0]
        for output in row:
            for chain in chains_of(asked, ordered):
                assert state_by_loops(chain, output.tokens) == sum(map(len, chain))


def test_without_phrases_it_is_wide_beam_search() -> None:
    model, values = TableModel(8, seed=3), list(range(9))
    options = {"beam_size": 4, "num_hypotheses": 3, "max_length": 9, "length_penalty": 0.6}
    wide = WideBeamSearch(parse_section(WideBeamSearch.Config, options, "decoder"), VOCABULARY.index)
    expected = wide(model, sources_of(values))
    assert search(**options)(model, sources_of(values)) == expected
    assert search(**options)(model, asking(values, [[] for _ in values])) == expected


def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all_outputs_with_the_phrase() -> None:
    model, steps = TableModel(4, seed=5), 4
    ((best,),) = search(beam_size=1000, max_length=steps, min_length=0)(model, asking([3], [[[2, 1]]]))
    words = [list(path) for size in range(steps + 1) for path in itertools.product(range(1, 4), repeat=size)]
    outputs = [[*path, END] for path in words if len(path) < steps] + [path for path in words if len(path) == steps]
    having = [path for path in outputs if any(path[i : i + 2] == [2, 1] for i in range(len(path)))]
    assert with_end(best) == max(having, key=lambda path: log_prob_of(model, 3, path))


def test_phrases_hold_beside_prefixes_and_other_constraints() -> None:
    model = TableModel(6, seed=2)
    sources = replace(sources_of([1, 2], [[3, 3], []]), constraints=[[[3, 5], [2]], [[4, 1], [4, 1]]])
    decoder = search(beam_size=4, num_hypotheses=2, min_length=6, forbidden_tokens=["c"], no_repeat_ngram_size=3)
    for row, begin, wanted in zip(decoder(model, sources), [[3, 3], []], [[[3, 5], [2]], [[4, 1]]], strict=True):
        for output in row:
            assert output.tokens[: len(begin)] == begin
            assert len(output.tokens) >= 6
            assert 3 not in output.tokens[len(begin) + 1 :]
            assert all(state_by_loops([phrase], output.tokens) == len(phrase) for phrase in wanted)
    assert state_by_loops([[4, 1], [4, 1]], output.tokens) == 4, "what is given twice comes twice"


def asked(*texts: str, prefix: Tokens | None = None) -> SimpleNamespace:
    found = [Phrase(text, [VOCABULARY.index(word) for word in text.split()]) for text in texts]
    return SimpleNamespace(prefix=prefix or [], constraints=found)


@pytest.mark.parametrize(
    ("options", "source", "message"),
    [
        (
            {"max_length": 5},
            asked("a b c", "d e"),
            "'constraints' and the end are 6 tokens, more than decoder.max_length=5",
        ),
        (
            {"max_length": 5},
            asked("c d", "e", prefix=[1, 2, 3]),
            "the prefix, 'constraints' and the end are 6 tokens, more than decoder.max_length=5",
        ),
        ({"forbidden_tokens": ["b"]}, asked("c", "a b"), "asks for 'a b', which decoder.forbidden_tokens forbids"),
        ({"no_repeat_ngram_size": 1}, asked("a b a"), "asks for 'a b a', which decoder.no_repeat_ngram_size=1 forbids"),
        (
            {"no_repeat_ngram_size": 2},
            asked("a b", "a b"),
            "asks for 'a b', which decoder.no_repeat_ngram_size=2 forbids",
        ),
    ],
)
def test_phrases_that_cannot_be_in_an_output_are_refused(options: Any, source: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        search(**options).check(source, "x:3")
    assert str(error.value).startswith("x:3: ")
    assert message in str(error.value)


def test_phrases_that_just_fit_are_taken() -> None:
    search(max_length=5).check(asked("c d", prefix=[1, 2]), "x:3")
    search(max_length=5).check(asked("c d", prefix=[1, 2, 3]), "x:3")
    search(max_length=3).check(asked("c d", prefix=[2, 3, 4]), "x:3")
    search(no_repeat_ngram_size=2).check(asked("a b c", "b c d"), "x:3")
    search(no_repeat_ngram_size=1, no_repeat_ngram_ignore=["a"]).check(asked("a b a"), "x:3")


def test_phrases_that_take_tokens_from_one_another_are_all_written() -> None:
    given = [[1, 5, 2], [5, 1, 3]]  # after 1 5, another 1 gives to the second what it takes from the first
    for (best,) in search(beam_size=5)(TableModel(6, seed=3), asking(list(range(20)), [given] * 20)):
        assert all(state_by_loops([phrase], best.tokens) == 3 for phrase in given)


@pytest.mark.parametrize("kind", [BeamSearch, WideBeamSearch, Sampling, StochasticBeamSearch])
def test_other_searches_refuse_phrases(kind: Any) -> None:
    decoder = kind(parse_section(kind.Config, {}, "decoder"), VOCABULARY.index)
    with pytest.raises(InputError, match=r"x:3: 'constraints' needs decoder\.name=constrained_beam"):
        decoder.check(asked("a"), "x:3")


def test_what_no_check_can_foresee_is_refused_in_one_line() -> None:
    sources = replace(sources_of([1], [[1, 3, 2]]), constraints=[[[1, 3, 4]]])
    with pytest.raises(InputError, match=r"no output of at most decoder\.max_length=9 tokens has all 'constraints'"):
        search(max_length=9, no_repeat_ngram_size=2)(TableModel(6), sources)
