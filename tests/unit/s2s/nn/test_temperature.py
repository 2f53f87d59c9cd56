"""Attention at a temperature: exact where neutral, the same from a cache as read at once, and refused where wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_unilm
from torch import Tensor

from s2s.config import parse_section
from s2s.data.batch import Feeding, SourceBatch
from s2s.decoding.beam import BeamSearch
from s2s.decoding.diverse import DiverseBeamSearch
from s2s.decoding.sampling import Sampling
from s2s.decoding.wide import WideBeamSearch
from s2s.errors import ConfigError
from s2s.models.unilm import UniLM
from s2s.nn.attention import Attention, attend
from s2s.nn.masks import HIDDEN
from s2s.nn.temperature import AttentionTemperature, Factors, scaled

START, END, MASK = 1, 2, 3
FEEDINGS = {"causal": Feeding(end=END, start=START), "masked": Feeding(end=END, mask=MASK)}
"""Masked and pseudo-masked fine-tuning are fed in the same way."""
WIDTH = 6
"""Of a head of the tiny model."""
KNOBS = [AttentionTemperature(source=2, target=2, cross=2), AttentionTemperature(source=3, target=0.5, cross=1.5)]


def batch(feeding: str, *sources: list[int]) -> SourceBatch:
    lengths = torch.tensor(list(map(len, sources)))
    tokens = torch.zeros(len(sources), int(lengths.max()), dtype=torch.int64)
    for row, source in enumerate(sources):
        tokens[row, : len(source)] = torch.tensor(source)
    ids = [str(row) for row in range(len(sources))]
    return SourceBatch(ids, tokens, lengths, FEEDINGS[feeding], [[] for _ in sources])


SOURCES = ([1, 9, 14, 20, 7, 2], [1, 30, 5, 2], [1, 8, 8, 17, 2])


def logits_at_once(model: UniLM, source: list[int], target: list[int], masked: bool, factors: Factors) -> Tensor:
    """Scores at the last place of source and target, every score of attention with the factor of its pair."""
    written = [*target, MASK] if masked else [START, *target]
    ids, length = torch.tensor([*source, *written]), len(source) + len(written)
    of_target = torch.arange(length) >= len(source)
    rows, keys = of_target[:, None], of_target[None, :]
    factor = torch.where(~rows, factors.source, torch.where(keys, factors.target, factors.cross))
    hidden = (keys & ~rows) | (rows & keys & (torch.arange(length)[None, :] > torch.arange(length)[:, None]))
    positions = torch.arange(length)
    bias = torch.zeros(()) if model.relative_bias is None else model.relative_bias(positions, positions)

    def dense(queries: Tensor, keys_values: Tensor, dropout: float) -> Tensor:
        keys, values = keys_values.unbind(1)
        scores = torch.einsum("qhd,khd->hqk", queries, keys) / queries.shape[-1] ** 0.5
        weights = (scores * factor + bias + hidden * HIDDEN).softmax(-1)
        return torch.einsum("hqk,khd->qhd", weights, values)

    x = model.embeddings(model.embeddings.tokens(ids), positions, of_target.long())
    for layer in model.layers:
        x = layer(x, dense)
    return model.logits(x[-1])


@torch.no_grad()
@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("temperature", KNOBS)
@pytest.mark.parametrize("buckets", [0, 8])
def test_scores_from_the_cache_are_those_of_reading_source_and_target_at_once(
    feeding: str, temperature: AttentionTemperature, buckets: int
) -> None:
    model = tiny_unilm(3, relative_buckets=buckets)
    tokens = torch.tensor([[11, 6, 28], [19, 4, 4], [12, 29, 9]])
    state = model.start_tempered(batch(feeding, *SOURCES), 4, temperature)
    for step in range(4):
        found = model.step(state, tokens[:, step - 1 : step] if step else None)
        state.select(None, torch.zeros(3, 1, dtype=torch.int64))
        for row, source in enumerate(SOURCES):
            written = tokens[row, :step].tolist()
            wanted = logits_at_once(model, source, written, feeding == "masked", temperature.factors(WIDTH))
            torch.testing.assert_close(found[row, 0], wanted, rtol=1e-4, atol=2e-5)
    neutral = model.step(model.start(batch(feeding, *SOURCES), 1), None)
    tempered = model.step(model.start_tempered(batch(feeding, *SOURCES), 1, temperature), None)
    assert (neutral - tempered).abs().max() > 0.01


SEARCHES: list[tuple[Any, dict[str, Any]]] = [
    (BeamSearch, {"beam_size": 3}),
    (WideBeamSearch, {"beam_size": 3}),
    (DiverseBeamSearch, {"beam_size": 4, "num_groups": 2}),
    (Sampling, {"num_hypotheses": 3}),
]
NEUTRAL = [1, {"source": 1.0}, {"all": WIDTH, "form": "width"}, {"all": 1, "form": "outside_root"}]


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize(("kind", "options"), SEARCHES)
def test_a_neutral_temperature_gives_every_search_the_same_bits_and_another_one_other_texts(
    feeding: str, kind: Any, options: dict[str, Any]
) -> None:
    def found(temperature: Any) -> Any:
        given = {"max_length": 8, "attention_temperature": temperature, **options}
        search = kind(parse_section(kind.Config, given, "decoder"))
        return search(tiny_unilm(5), batch(feeding, *SOURCES))

    plain = found(None)
    assert all(found(neutral) == plain for neutral in NEUTRAL)
    assert found(8) != plain


def test_neutral_attention_is_the_attention_itself_so_it_costs_nothing() -> None:
    plain: Attention = lambda queries, keys_values, dropout: queries  # noqa: E731
    assert scaled(plain, 1.0) is plain


@given(st.floats(0.1, 50), st.floats(1.05, 3), st.integers(0, 100))
def test_a_higher_temperature_makes_attention_flatter(temperature: float, more: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries, keys = torch.randn(2, 5, 2, WIDTH, generator=generator, dtype=torch.float64)

    def entropy(value: float) -> Tensor:
        def plain(asked: Tensor, given: Tensor, dropout: float) -> Tensor:
            one_hot = torch.eye(5, dtype=torch.float64).expand(1, 2, -1, -1)
            return attend(asked.transpose(0, 1)[None], given.transpose(0, 1)[None], one_hot)[0]

        factor = AttentionTemperature(source=value).factors(WIDTH).source
        weights = scaled(plain, factor)(queries, keys, 0.0)
        return -torch.xlogy(weights, weights).sum(-1)

    assert (entropy(temperature * more) >= entropy(temperature) - 1e-12).all()


def test_the_published_forms_are_one_scale_written_in_three_ways() -> None:
    """A head of 64: T = 128 in the program is 2 under the root, and the root of 2 before it."""
    forms = [{"all": 128, "form": "width"}, {"all": 2}, {"all": 2**0.5, "form": "outside_root"}]
    for form in forms:
        factors = AttentionTemperature.model_validate(form).factors(64)
        assert factors == pytest.approx((0.5**0.5,) * 3, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "decoder.attention_temperature: must be from 0.01 to 10000, found 0"),
        (-1, "decoder.attention_temperature: must be from 0.01 to 10000, found -1"),
        ({"cross": 0}, "decoder.attention_temperature.cross: must be greater than or equal to 0.01, found 0"),
        ({"all": 0, "form": "width"}, "decoder.attention_temperature: all must be from 0.01 to 10000, found 0"),
        ({"all": 2, "cross": 1}, "decoder.attention_temperature: all stands for source, target and cross"),
        ({"source": 64, "form": "width"}, "decoder.attention_temperature: form width needs all of source, target and"),
        ({"T": 128}, "decoder.attention_temperature.T: no such option"),
        ("hot", "decoder.attention_temperature: must be"),
        (True, "decoder.attention_temperature: must be"),
        (float("nan"), "decoder.attention_temperature: must be from 0.01 to 10000, found nan"),
    ],
)
def test_a_wrong_temperature_is_refused_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_section(BeamSearch.Config, {"attention_temperature": value}, "decoder")
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_the_configuration_records_all_three_and_their_form_and_reads_them_again() -> None:
    section = parse_section(BeamSearch.Config, {"attention_temperature": {"all": 128, "form": "width"}}, "decoder")
    written = section.model_dump(mode="json")
    knobs = {"source": 128.0, "target": 128.0, "cross": 128.0}
    assert written["attention_temperature"] == {**knobs, "form": "width"}
    assert parse_section(BeamSearch.Config, written, "decoder") == section
    assert BeamSearch.Config().model_dump(mode="json")["attention_temperature"] is None


class WithoutTemperature:
    """The rest of a `StepModel`."""

    def __init__(self) -> None:
        self._model = tiny_unilm(1)
        self.check_lengths, self.start, self.step = self._model.check_lengths, self._model.start, self._model.step


@pytest.mark.parametrize(("kind", "options"), SEARCHES[::3])
def test_a_model_that_has_no_temperature_is_refused_only_if_one_is_asked_for(
    kind: Any, options: dict[str, Any]
) -> None:
    sources = batch("masked", *SOURCES)
    assert kind(kind.Config(max_length=3, **options))(WithoutTemperature(), sources)
    with pytest.raises(ConfigError, match="attention_temperature: must be null, WithoutTemperature"):
        kind(kind.Config(max_length=3, attention_temperature={"all": 2}, **options))(WithoutTemperature(), sources)
