"""Searches of static shapes, as a GPU runs them: what the plain search finds, and never waiting inside a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from host_waits import HostWait, no_host_waits
from recorded_graph import record_steps
from tiny_models import tiny_unilm

from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding import static
from s2s.decoding.base import Hypothesis
from s2s.decoding.beam import BeamSearch
from s2s.decoding.constrained import ConstrainedBeamSearch
from s2s.decoding.diverse import DiverseBeamSearch
from s2s.decoding.sampling import Sampling
from s2s.decoding.static import Section, can_be_static
from s2s.decoding.wide import WideBeamSearch
from s2s.models.unilm import UniLM
from s2s.nn.capture import Captured, Glance, in_bucket

VOCABULARY = 40
FEEDINGS = {"mask": Feeding(end=2, mask=3), "start": Feeding(end=2, start=1)}
LENGTHS = [7, 2, 5, 9, 3, 4, 8, 6, 5, 3, 9]
MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "relative": {"relative_buckets": 8, "max_relative_distance": 6},
    "rotary": {"rotary_base": 100.0, "local_rotary_base": 10.0, "global_every": 2, "window": 6, "norm_first": True},
    "disentangled": {"distance_buckets": 4, "max_relative_distance": 8, "num_segments": 0},
    "large vocabulary": {"vocab_size": 4000},
}
SEARCHES: dict[str, Any] = {"beam": BeamSearch, "wide": WideBeamSearch, "diverse": DiverseBeamSearch}


def model_of(**options: Any) -> UniLM:
    """A random model whose outputs end at different lengths; in float64, so that the order of sums does not matter."""
    model = tiny_unilm(3, **({"vocab_size": VOCABULARY} | options)).double()
    with torch.no_grad():
        model.head.bias[2] = 2.5
    return model


def sources_of(lengths: list[int], feeding: str = "mask", prefixes: dict[int, list[int]] | None = None) -> SourceBatch:
    generator = torch.Generator().manual_seed(len(lengths))
    tokens = torch.randint(4, VOCABULARY, (len(lengths), max(lengths)), generator=generator)
    forced = [(prefixes or {}).get(row, []) for row in range(len(lengths))]
    ids = [f"{length}-{row}" for row, length in enumerate(lengths)]
    return SourceBatch(ids, tokens, torch.tensor(lengths), FEEDINGS[feeding], forced)


def search_of(kind: str = "beam", **options: Any) -> BeamSearch:
    defaults = {"beam_size": 4, "max_length": 14, "num_hypotheses": 3} | (
        {"num_groups": 2} if kind == "diverse" else {}
    )
    made: BeamSearch = SEARCHES[kind](SEARCHES[kind].Config(**(defaults | options)), lambda token: int(token))
    return made


@pytest.fixture
def short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several sections for a batch, and sentences that leave between them."""
    for name, value in {"STEPS": 4, "LOOK_EVERY": 1, "SLOTS": 4, "FEW": 2}.items():
        monkeypatch.setattr(static, name, value)


@contextmanager
def guarded_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let every step of a section run under the guard; counts them."""
    counted = []

    def call(self: Captured, step: Callable[[], None]) -> None:
        counted.append(1)
        with torch.inference_mode(), no_host_waits():
            step()

    with monkeypatch.context() as patched:
        patched.setattr(Captured, "__call__", call)
        yield counted


def in_sections(search: BeamSearch, model: UniLM, sources: SourceBatch) -> list[list[Hypothesis]]:
    """As `search(model, sources)` on a GPU."""
    searching = search.start(model, sources)
    assert can_be_static(searching)
    search.static.finish(searching, sources.feeding)
    return search.best(searching.trace)


def assert_same(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [[one.tokens for one in row] for row in found] == [[one.tokens for one in row] for row in expected]
    assert [[one.finished for one in row] for row in found] == [[one.finished for one in row] for row in expected]
    for row, other in zip(found, expected, strict=True):
        # sums in float32, which the plain sampling adds up in another order
        assert [one.score for one in row] == pytest.approx([one.score for one in other], abs=1e-5, rel=1e-6)
        assert [one.log_prob for one in row] == pytest.approx([one.log_prob for one in other], abs=1e-5, rel=1e-6)


NUMBERS, MASK = torch.arange(4), torch.tensor([True, False, True, False])
WAITING: list[Any] = [
    lambda: NUMBERS[0].item(),
    lambda: int(NUMBERS.max()),
    lambda: bool(MASK.any()),
    lambda: NUMBERS.tolist(),
    lambda: NUMBERS.nonzero(),
    lambda: NUMBERS[MASK],
    lambda: NUMBERS.numpy(),
    lambda: NUMBERS.cpu(),
    lambda: NUMBERS.unique(),
    lambda: NUMBERS.repeat_interleave(NUMBERS),
    lambda: NUMBERS.masked_select(MASK),
    lambda: torch.tensor([1, 2]),
    lambda: NUMBERS[[0, 1]],
    lambda: NUMBERS.clone().__setitem__(MASK, NUMBERS[:2]),
]


@pytest.mark.parametrize("number", range(len(WAITING)))
def test_the_guard_finds_every_way_to_wait(number: int) -> None:
    with pytest.raises(HostWait), no_host_waits():
        WAITING[number]()


def test_the_guard_lets_other_work_pass() -> None:
    with no_host_waits():
        found = torch.where(MASK, NUMBERS, 0).cumsum(0).repeat_interleave(2)[NUMBERS]
    assert found.tolist() == [0, 0, 0, 0]


def test_the_plain_search_waits_once_in_a_step() -> None:
    search, model, sources = search_of(), model_of(), sources_of(LENGTHS)
    searching = search.start(model, sources)
    with torch.inference_mode(), no_host_waits():
        searching.survive(model.step(searching.state, None), searching.beam.ages)
    with pytest.raises(HostWait, match="nonzero"), no_host_waits():
        searching.step()


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("variant", MODELS)
@pytest.mark.usefixtures("short_sections")
def test_sections_find_what_the_plain_search_finds_and_never_wait_in_a_step(
    variant: str, feeding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, model, sources = search_of(), model_of(**MODELS[variant]), sources_of(LENGTHS, feeding)
    expected = search(model, sources)
    with guarded_steps(monkeypatch) as steps:
        found = in_sections(search, model, sources)
    assert len(steps) > 4, "more than one section"
    assert_same(found, expected)


OPTIONS: dict[str, dict[str, Any]] = {
    "n-grams": {"no_repeat_ngram_size": 2, "no_repeat_ngram_ignore": ["5", "9"]},
    "forbidden": {"forbidden_tokens": ["7", "11"], "min_length": 5},
    "prefix": {"prefix_tokens": ["8", "4", "8"]},
    "penalty": {"repetition_penalty": 1.3, "length_penalty": 1.0},
    "greedy": {"beam_size": 1, "num_hypotheses": 1},
}


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.usefixtures("short_sections")
def test_every_rule_and_constraint_is_the_same_in_sections(
    kind: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (kind, options) == ("diverse", "greedy"):
        pytest.skip("groups need hypotheses")
    search, model = search_of(kind, **OPTIONS[options]), model_of()
    sources = sources_of(LENGTHS, prefixes={1: [6, 5], 4: [9, 9, 9, 9, 9, 6]})
    with guarded_steps(monkeypatch):
        found = in_sections(search, model, sources)
    assert_same(found, search(model, sources))


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("variant", MODELS)
def test_a_recorded_step_finds_the_same_when_it_is_repeated(
    variant: str, feeding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static, "STEPS", 7)
    search, model = search_of(no_repeat_ngram_size=2), model_of(**MODELS[variant])
    batches = [sources_of(LENGTHS, feeding), sources_of(LENGTHS[::-1], feeding)]
    expected = [search(model, batch) for batch in batches]
    done = record_steps(monkeypatch)
    for batch, outputs in zip(batches, expected, strict=True):
        assert_same(in_sections(search, model, batch), outputs)
    assert done.count("replay") > 2 * done.count("record") > 0


DRAWS: dict[str, dict[str, Any]] = {
    "all": {"no_repeat_ngram_size": 2},
    "top-k": {"top_k": 5, "temperature": 0.7, "prefix_tokens": ["8", "4", "8"]},
    "nucleus": {"top_p": 0.8, "repetition_penalty": 1.2},
    "typical": {"typical_p": 0.6, "min_p": 0.02, "forbidden_tokens": ["7"]},
    "one": {"num_hypotheses": 1},
}


@pytest.mark.parametrize("options", DRAWS)
@pytest.mark.usefixtures("short_sections")
def test_sampling_draws_the_same_in_sections_and_never_waits_in_a_step(
    options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Sampling.Config(**({"num_hypotheses": 3, "max_length": 14} | DRAWS[options]))
    sampling, model, sources = Sampling(config, int), model_of(), sources_of(LENGTHS, prefixes={1: [6, 5, 4, 4]})
    with guarded_steps(monkeypatch) as steps:
        found = sampling.in_sections(model, sources)
    assert len(steps) > 4, "more than one section"
    expected = sampling(model, sources)
    assert_same(found, expected)
    done = record_steps(monkeypatch)
    for _ in range(2):
        assert_same(sampling.in_sections(model, sources), expected)
    assert "replay" in done


def test_a_search_that_has_no_sections_goes_on_plainly() -> None:
    options = ConstrainedBeamSearch.Config(beam_size=4, max_length=14)
    search, model, sources = ConstrainedBeamSearch(options, int), model_of(), sources_of(LENGTHS)
    searching = search.start(model, sources)
    assert not can_be_static(searching)
    search.static.finish(searching, sources.feeding)
    assert_same(search.best(searching.trace), search(model, sources))


@pytest.mark.usefixtures("short_sections")
def test_batches_share_sections_and_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    create = Section.__init__
    monkeypatch.setattr(Section, "__init__", lambda self, *of: made.append(1) or create(self, *of))
    monkeypatch.setattr(static, "KEPT", 40)
    search, model = search_of(), model_of()
    batches = [sources_of(LENGTHS[:count]) for count in (11, 4, 9, 11)]
    for batch in batches:
        assert_same(in_sections(search, model, batch), search(model, batch))
    first = len(made)
    assert_same(in_sections(search, model, batches[0]), search(model, batches[0]))
    assert len(made) == first
    other = tiny_unilm(5, vocab_size=VOCABULARY).double()
    assert_same(in_sections(search, other, batches[0]), search(other, batches[0]))


def test_one_section_is_enough_for_short_outputs() -> None:
    search, model, sources = search_of(), model_of(), sources_of(LENGTHS)
    assert_same(in_sections(search, model, sources), search(model, sources))


@pytest.mark.usefixtures("short_sections")
def test_an_exhaustive_trace_is_the_same() -> None:
    search, model, sources = search_of(), model_of(), sources_of(LENGTHS)
    expected, searching = search.trace(model, sources), search.start(model, sources, exhaustive=True)
    search.static.finish(searching, sources.feeding)
    for one, other in zip(searching.trace.records(), expected.records(), strict=True):
        assert (one["tokens"], one["parents"]) == (other["tokens"], other["parents"])


def test_few_sizes_occur() -> None:
    assert [in_bucket(number) for number in (1, 2, 3, 4, 5, 7, 9, 13, 33, 48, 49)] == [
        1, 2, 3, 4, 6, 8, 12, 16, 48, 48, 64,
    ]  # fmt: skip
    assert all(number <= in_bucket(number) <= 1.5 * number for number in range(1, 500))


def test_a_glance_shows_what_was_there_when_it_was_asked() -> None:
    glance, number = Glance(torch.device("cpu")), torch.tensor(5)
    assert glance.answer() is None
    glance.ask(number)
    number.fill_(2)
    assert glance.answer() == 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("variant", MODELS)
@pytest.mark.usefixtures("short_sections")
def test_a_gpu_finds_the_same_by_graphs(variant: str) -> None:
    search, model, sources = search_of(), model_of(**MODELS[variant]), sources_of(LENGTHS)
    expected = search(model, sources)
    found = search(model.to("cuda"), sources.to("cuda"))
    assert [[one.tokens for one in row] for row in found] == [[one.tokens for one in row] for row in expected]
