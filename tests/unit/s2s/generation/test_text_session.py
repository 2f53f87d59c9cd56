"""Texts come and go while others are generated: what each gives does not depend on it, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import tensors_in_use
from tiny_models import tiny_unilm

from s2s.config import parse_section
from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding.base import Hypothesis, Search
from s2s.decoding.beam import BeamSearch
from s2s.decoding.diverse import DiverseBeamSearch
from s2s.decoding.sampling import Sampling
from s2s.decoding.stochastic import StochasticBeamSearch
from s2s.decoding.wide import WideBeamSearch
from s2s.errors import InputError
from s2s.generation.session import Batched, Finished, Joined, Texts, TextSession
from s2s.models.unilm import UniLM

END, MASK = 2, 3
FEEDINGS = {"causal": Feeding(end=END, start=1), "masked": Feeding(end=END, mask=MASK)}
SOURCES = ["4 5 6 7 8 9 10 11 12", "4", "13 14 15", "7 7", "9 8 7 6 5 4", "20 21 22 23"]
PREFIXES = [None, "5", None, "6 7 8", None, "9 9"]
ROWS = 3
SEARCHES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "beam": (BeamSearch, {"beam_size": 3, "num_hypotheses": 2, "length_penalty": 0.6}),
    "greedy": (BeamSearch, {"beam_size": 1, "min_length": 3}),
    "without loops": (BeamSearch, {"beam_size": 3, "no_repeat_ngram_size": 2, "no_repeat_ngram_ignore": ["7"]}),
    "no token twice": (BeamSearch, {"beam_size": 2, "no_repeat_ngram_size": 1, "min_length": 2}),
    "without repeats": (BeamSearch, {"beam_size": 2, "repetition_penalty": 1.6, "min_length": 3}),
    "flat": (BeamSearch, {"beam_size": 2, "attention_temperature": {"source": 3, "target": 2, "cross": 4}}),
    "wide": (WideBeamSearch, {"beam_size": 2, "num_hypotheses": 2}),
    "diverse": (DiverseBeamSearch, {"beam_size": 4, "num_groups": 2, "num_hypotheses": 3}),
    "sampling": (Sampling, {"num_hypotheses": 2}),
    "stochastic": (StochasticBeamSearch, {"num_hypotheses": 3}),
}


@cache
def model(relative: bool) -> UniLM:
    made = tiny_unilm(7, max_positions=24, relative_buckets=8 if relative else 0, max_relative_distance=16)
    return made.double().requires_grad_(False)


def search_of(name: str) -> Any:
    kind, options = SEARCHES[name]
    return kind(parse_section(kind.Config, {"max_length": 9, **options}, "decoder"), int)


def read(text: str, prefix: str | None) -> tuple[tuple[list[int], list[int]], str]:
    if not text:
        raise InputError("text 1: is empty")
    return (([1, *map(int, text.split()), END], [int(token) for token in (prefix or "").split()]), text)


def texts(feeding: Feeding) -> Texts:
    def collate(sources: Sequence[tuple[list[int], list[int]]]) -> SourceBatch:
        lengths = [len(tokens) for tokens, _ in sources]
        padded = [[*tokens, *[0] * (max(lengths) - len(tokens))] for tokens, _ in sources]
        prefixes = [prefix for _, prefix in sources]
        return SourceBatch(["1"] * len(sources), torch.tensor(padded), torch.tensor(lengths), feeding, prefixes)

    def write(found: Sequence[Hypothesis], source: Any) -> list[tuple[str, float]]:
        return [(" ".join(map(str, one.tokens)), one.score) for one in found]

    return Texts(read, collate, write)  # type: ignore[arg-type]


def session(name: str, feeding: str, relative: bool = False, rows: int = ROWS) -> TextSession:
    search: Search = search_of(name)
    if isinstance(search, BeamSearch):
        return Joined(texts(FEEDINGS[feeding]), model(relative), rows, search)
    return Batched(texts(FEEDINGS[feeding]), model(relative), rows, search)


@cache
def alone(name: str, feeding: str, relative: bool, which: int) -> list[tuple[str, float]]:
    parts = texts(FEEDINGS[feeding])
    source, text = parts.read(SOURCES[which], PREFIXES[which])
    (found,) = search_of(name)(model(relative), parts.collate([source]))
    return parts.write(found, (source, text))


def check(made: Finished, expected: list[tuple[str, float]]) -> None:
    assert [text for text, _ in made.hypotheses] == [text for text, _ in expected]
    scores = torch.tensor([[score for _, score in item] for item in (made.hypotheses, expected)])
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=1e-5)


arrivals = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.none() | st.integers(0, 7)), max_size=7)


@pytest.mark.parametrize(
    ("name", "feeding"),
    [("beam", "causal"), *((name, ["masked", "causal"][place % 2]) for place, name in enumerate(SEARCHES))],
)
@settings(max_examples=8, deadline=None)
@given(arrivals)
def test_a_row_that_joins_gives_what_it_gives_alone(
    name: str, feeding: str, plan: list[tuple[int, int, int | None]]
) -> None:
    """The plan: steps until a text arrives, which one it is, and after how many steps it is removed, if it is."""
    relative = name == "beam" and feeding == "masked"
    running, wanted, removed = session(name, feeding, relative), dict[int, int](), dict[int, int]()

    def step() -> None:
        for made in running.step():
            check(made, alone(name, feeding, relative, wanted.pop(made.key)))
        for key, left in [*removed.items()]:
            removed[key] = left - 1
            if left == 0 and key in wanted:
                running.remove(key)
                del wanted[key]

    for wait, which, stay in plan:
        for _ in range(wait):
            step()
        while not running.has_room(SOURCES[which]):
            step()
        key = running.add(SOURCES[which], PREFIXES[which])
        wanted[key] = which
        assert len(running) == len(wanted)
        if stay is not None:
            removed[key] = stay
    while len(running):
        step()
    assert not wanted


def test_beam_search_lets_texts_finish_while_others_go_on() -> None:
    running = session("beam", "masked")
    first = running.add(SOURCES[0])
    for _ in range(3):
        assert running.step() == []
    later = running.add(SOURCES[1])
    order = []
    while len(running):
        order += [made.key for made in running.step()]
    assert order == [first, later]


@pytest.mark.parametrize("name", ["beam", "sampling"])
def test_texts_that_wait_begin_as_one_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    start = UniLM.start

    def counted(self: UniLM, sources: SourceBatch, max_steps: int) -> Any:
        sizes.append(len(sources.ids))
        return start(self, sources, max_steps)

    expected = [alone(name, "causal", False, which) for which in range(6)]
    monkeypatch.setattr(UniLM, "start", counted)
    running, wanted, made = session(name, "causal", rows=6), {}, list[Finished]()
    for batch in ((0, 1, 2), (3,), (4, 5)):
        wanted |= {running.add(SOURCES[which], PREFIXES[which]): which for which in batch}
        made += running.step()
    while len(running):
        made += running.step()
    assert sizes == [3, 1, 2]
    assert len(made) == 6
    for item in made:
        check(item, expected[wanted[item.key]])


def test_a_text_that_leaves_before_it_begins_costs_nothing() -> None:
    running = session("beam", "causal")
    key = running.add(SOURCES[0])
    running.remove(key)
    assert len(running) == 0
    assert running.step() == []


@pytest.mark.parametrize("name", ["beam", "sampling"])
def test_a_text_that_cannot_be_read_harms_no_other(name: str) -> None:
    running = session(name, "causal")
    key, made = running.add(SOURCES[2]), list[Finished]()
    for _ in range(2):
        for text, message in (("", "text 1: is empty"), ("4 " * 20, "need 31 positions, the model has 24")):
            with pytest.raises(InputError, match=message):
                running.add(text)
        assert len(running) == 1 - len(made)
        made += running.step()
    while len(running):
        made += running.step()
    (found,) = made
    assert found.key == key
    check(found, alone(name, "causal", False, 2))


def test_many_texts_leave_nothing_behind() -> None:
    running, sizes = session("beam", "masked"), []
    for which in range(6):
        alone("beam", "masked", False, which)
    before = tensors_in_use()
    for count in range(80):
        while not running.has_room(SOURCES[0]):
            running.step()
        key = running.add(SOURCES[count % 6], PREFIXES[count % 6])
        if count % 4 == 0:
            running.step()
            running.remove(key)
        if count % 16 == 15:
            running.step()  # the texts that wait begin
            sizes.append(tensors_in_use() - before)
    while len(running):
        running.step()
    assert 0 < max(sizes[1:]) < 3 * sizes[0]
    assert tensors_in_use() - before < 1000
