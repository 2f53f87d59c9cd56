"""An encoder-decoder: training and step-by-step generation agree, and a BART can be loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_models import tiny_encoder_decoder as tiny
from torch import Tensor

from s2s.data.batch import PADDING, Feeding, ShiftedBatch, SourceBatch
from s2s.data.layout import Noise, layout, pack
from s2s.data.tokenizer import SpecialIds
from s2s.decoding.beam import BeamSearch
from s2s.decoding.diverse import DiverseBeamSearch
from s2s.decoding.sampling import Sampling
from s2s.decoding.wide import WideBeamSearch
from s2s.errors import ConfigError, InputError
from s2s.models.bart import from_bart_names
from s2s.models.encoder_decoder import EncoderDecoder
from s2s.nn.crossing import PaddedCrossing, RaggedCrossing
from s2s.nn.packing import Packing
from s2s.nn.temperature import AttentionTemperature

GOLDEN = Path(__file__).parents[3] / "golden/data/distillation/case_pub_temperature_bart"
SPECIAL = SpecialIds(cls=1, sep=2, mask=3, pad=0)
PLAIN = Noise(0.0, 0.0, 0.1, 0.1, None, np.arange(5, 31))


def sources_of(rows: list[list[int]], mask: bool = False) -> SourceBatch:
    whole = [[1, *row, 2] for row in rows]
    width = max(map(len, whole))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in whole])
    feeding = Feeding(end=2, mask=3) if mask else Feeding(end=2, start=2)
    names = [str(row) for row in rows]
    return SourceBatch(names, tokens, torch.tensor([len(row) for row in whole]), feeding, [[] for _ in rows])


TOKENS = st.lists(st.integers(5, 30), min_size=1, max_size=6)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=3))
def test_scores_of_training_are_those_of_steps(pairs: list[tuple[list[int], list[int]]]) -> None:
    model = tiny()
    draws = np.random.default_rng(0)
    laid = [layout(*pair, "encoder_decoder", SPECIAL, (16, 16), PLAIN, draws) for pair in pairs]
    batch = pack(laid, 0, ShiftedBatch)
    with torch.no_grad():
        trained = model(batch)
    sources = sources_of([source for source, _ in pairs])
    assert torch.equal(batch.tokens[:, : batch.context], sources.tokens)
    state = model.start(sources, 16)
    longest = max(len(target) for _, target in pairs) + 1
    table = torch.tensor([[*target, *[2] * longest][:longest] for _, target in pairs])
    steps, fed = [], None
    for step in range(longest):
        steps.append(model.step(state, fed)[:, 0])
        state.select(None, torch.zeros(len(pairs), 1, dtype=torch.int64))
        fed = table[:, step : step + 1]
    made = torch.cat([torch.stack(steps, 1)[row, : len(target) + 1] for row, (_, target) in enumerate(pairs)])
    assert torch.allclose(made, trained, atol=1e-5)


SEARCHES: list[Any] = [
    BeamSearch(BeamSearch.Config(beam_size=3, max_length=9)),
    WideBeamSearch(WideBeamSearch.Config(beam_size=3, max_length=9)),
    DiverseBeamSearch(DiverseBeamSearch.Config(beam_size=4, num_groups=2, max_length=9)),
    Sampling(Sampling.Config(num_hypotheses=2, max_length=9)),
    BeamSearch(BeamSearch.Config(beam_size=3, max_length=9, attention_temperature=AttentionTemperature(cross=2))),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_a_sentence_gives_what_it_gives_alone(search: Any) -> None:
    model, rows = tiny(), [[5, 6, 7, 8, 9], [11], [12, 13], [30, 29, 28]]
    together = search(model, sources_of(rows))
    for row, found in zip(rows, together, strict=True):
        (alone,) = search(model, sources_of([row]))
        assert [item.tokens for item in alone] == [item.tokens for item in found]
        assert [item.score for item in alone] == pytest.approx([item.score for item in found], abs=1e-4)


def test_sentences_join_a_search_under_way() -> None:
    model, search = tiny(), BeamSearch(BeamSearch.Config(beam_size=3, max_length=9, min_length=9))
    first, second = sources_of([[5, 6], [7]]), sources_of([[8, 9, 10, 11]])
    running, entering = search.start(model, first), search.start(model, second)
    running.step()
    running.step()
    entering.step()
    (number,) = running.join(entering).values()
    while len(running.step()):
        pass
    everything = torch.tensor([0, 1, number])
    found = [row[0].tokens for row in search.best(running.trace.of(everything))]
    assert found == [row[0].tokens for batch in (first, second) for row in search(model, batch)]


def test_packed_weights_give_the_same_scores() -> None:
    model, sources = tiny(), sources_of([[5, 6, 7], [8]])
    before = model.step(model.start(sources, 4), None)
    model.prepare()
    assert torch.allclose(model.step(model.start(sources, 4), None), before, atol=1e-5)


def test_padded_and_ragged_attention_to_sources_agree() -> None:
    asking = torch.tensor([[1, 2, 3], [1, PADDING, PADDING]])
    answering = torch.tensor([[0, 0, PADDING, PADDING], [0, 0, 0, 0]])
    packed = [Packing(steps, torch.zeros_like(steps), steps != PADDING, 0) for steps in (asking, answering)]
    generator = torch.Generator().manual_seed(1)
    queries, keys_values = torch.randn(4, 2, 3, generator=generator), torch.randn(6, 2, 2, 3, generator=generator)

    def outputs(kind: Any) -> tuple[Tensor, Tensor]:
        given = keys_values.clone().requires_grad_()
        made = kind(*packed)(queries, given, 0.0)
        made.square().sum().backward()
        assert given.grad is not None
        return made.detach(), given.grad

    for one, other in zip(outputs(RaggedCrossing), outputs(PaddedCrossing), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_masks_are_refused_in_one_line() -> None:
    model = tiny()
    made = layout([5], [6], "pseudo_masked", SPECIAL, (16, 16), PLAIN, np.random.default_rng(0))
    batch = pack([made], 0)
    with pytest.raises(ConfigError, match=r"^task\.method: must be encoder_decoder \(or causal\) for this model"):
        model.check(batch)
    with pytest.raises(ConfigError, match=r"^task\.method: must be encoder_decoder \(or causal\) for this model"):
        model.start(sources_of([[5]], mask=True), 3)


def test_a_source_or_an_output_that_is_too_long_is_named() -> None:
    model = tiny()
    with pytest.raises(InputError, match="the longest source needs 17 positions, the model has 16"):
        model.start(sources_of([[5] * 15]), 3)
    with pytest.raises(InputError, match="the longest output needs 17 positions, the model has 16"):
        model.start(sources_of([[5]]), 17)


# BART


@pytest.fixture
def bart(tmp_path: Path) -> Path:
    """A folder as transformers writes it."""
    case = json.loads(GOLDEN.with_suffix(".json").read_text())
    tensors = {
        name: value
        for name, value in load_file(GOLDEN.with_suffix(".safetensors")).items()
        if name.startswith(("model.", "final"))
    }
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(case["config"] | {"model_type": "bart"}))
    return tmp_path


def built(folder: Path, **options: Any) -> EncoderDecoder:
    config = EncoderDecoder.Config(init=str(folder), **options)
    model = EncoderDecoder(EncoderDecoder.resolve(config, {"vocab_size": 62, "num_positions": 50, "added_tokens": 2}))
    model.initialize()
    return model.eval()


def test_a_bart_gets_rows_for_more_tokens_and_positions(bart: Path) -> None:
    model = built(bart)
    tensors = load_file(bart / "model.safetensors")
    assert model.tokens.weight.shape == (62, 24)
    assert torch.equal(model.tokens.weight[:60], tensors["model.shared.weight"])
    rows = tensors["model.encoder.embed_positions.weight"][2:]
    assert torch.equal(model.encoder.positions.weight, torch.cat([rows, rows[:10]]))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model_type": "t5"}, "model_type must be bart for this model, found 't5'"),
        ({"scale_embedding": True}, "scale_embedding must be false, as in every published BART, found true"),
        ({"decoder_ffn_dim": 7}, "decoder_ffn_dim must be encoder_ffn_dim, found 7 and 48"),
    ],
)
def test_another_model_is_refused_by_its_configuration(bart: Path, changes: dict[str, Any], line: str) -> None:
    config = json.loads((bart / "config.json").read_text())
    (bart / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(InputError, match=f"config.json: {line}"):
        built(bart)


def test_other_sizes_than_those_of_the_weights_are_refused(bart: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.hidden_size: must be 24 as in .*, found 48"):
        built(bart, hidden_size=48)


def test_an_output_matrix_of_its_own_is_refused(bart: Path) -> None:
    tensors = load_file(bart / "model.safetensors")
    with pytest.raises(InputError, match=r"lm_head\.weight must equal the word embeddings"):
        from_bart_names({**tensors, "lm_head.weight": tensors["model.shared.weight"] + 1})


def test_a_bare_bart_is_loaded_too(bart: Path) -> None:
    tensors = load_file(bart / "model.safetensors")
    whole, bare = (
        from_bart_names(state)
        for state in (tensors, {name.removeprefix("model."): value for name, value in tensors.items()})
    )
    assert whole.keys() == bare.keys()
    assert all(torch.equal(whole[name], bare[name]) for name in whole)


def test_a_smaller_vocabulary_keeps_the_scores(bart: Path) -> None:
    model, kept = built(bart), [0, 1, 2, 10, 20]
    sources = SourceBatch(["a"], torch.tensor([[0, 10, 2]]), torch.tensor([3]), Feeding(end=2, start=2), [[]])
    before = model.step(model.start(sources, 2), None)[..., kept]
    model.keep_tokens(kept)
    fewer = SourceBatch(["a"], torch.tensor([[0, 3, 2]]), torch.tensor([3]), Feeding(end=2, start=2), [[]])
    assert torch.allclose(model.step(model.start(fewer, 2), None), before, atol=1e-6)
