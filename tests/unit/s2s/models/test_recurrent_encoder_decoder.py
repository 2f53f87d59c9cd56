"""The recurrent encoder-decoder has the sizes of NQG, and writes by steps what it is trained to write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_recurrent as tiny

from s2s.data.batch import Feeding, ShiftedBatch, SourceBatch
from s2s.data.layout import Noise, layout, pack
from s2s.data.tokenizer import SpecialIds
from s2s.decoding.beam import BeamSearch
from s2s.decoding.contrastive import ContrastiveSearch
from s2s.decoding.diverse import DiverseBeamSearch
from s2s.decoding.sampling import Sampling
from s2s.decoding.wide import WideBeamSearch
from s2s.errors import ConfigError
from s2s.models.recurrent_encoder_decoder import RecurrentEncoderDecoder
from s2s.nn.tags import TagSection
from s2s.nn.temperature import AttentionTemperature

SPECIAL = SpecialIds(cls=1, sep=2, mask=3, pad=0)
PLAIN = Noise(0.0, 0.0, 0.1, 0.1, None, np.arange(5, 31))
TOKENS = st.lists(st.integers(5, 30), min_size=1, max_size=6)


def sources_of(rows: list[list[int]], mask: bool = False) -> SourceBatch:
    whole = [[1, *row, 2] for row in rows]
    width = max(map(len, whole))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in whole])
    feeding = Feeding(end=2, mask=3) if mask else Feeding(end=2, start=2)
    names = [str(row) for row in rows]
    return SourceBatch(names, tokens, torch.tensor([len(row) for row in whole]), feeding, [[] for _ in rows])


def test_published_sizes_are_the_defaults() -> None:
    features = TagSection(counts={"answer": 3, "pos": 45, "ner": 13, "case": 3}, join="concat")
    config = RecurrentEncoderDecoder.Config(vocab_size=20_000, features=features, copies=True)
    model = RecurrentEncoderDecoder(config)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes["source_words.weight"] == shapes["target_words.weight"] == (20_000, 300)
    assert shapes["encoder.gru.weight_ih_l0"] == (3 * 256, 300 + 4 * 16)
    assert shapes["encoder.gru.weight_hh_l0_reverse"] == (3 * 256, 256)
    assert shapes["encoder.bridge.weight"] == (512, 256)
    assert shapes["decoder.cell.weight_ih"] == (3 * 512, 300 + 512)
    assert shapes["decoder.query.weight"] == shapes["decoder.key.weight"] == (512, 512)
    assert shapes["decoder.energy.weight"] == (1, 512)
    assert shapes["gate.weight"] == (1, 1024)
    assert shapes["readout.layer.weight"] == (512, 300 + 512 + 512)
    assert shapes["output.weight"] == (20_000, 256)


def test_a_step_is_that_of_the_paper() -> None:
    """Written out: the word and the last context are read, then attention, then the larger of each two."""
    model = tiny()
    state = model.start(sources_of([[5, 6, 7]]), 4)
    memory, hidden = state.sources.memory[0], state.hidden[0, 0]
    assert torch.allclose(hidden, torch.tanh(model.encoder.bridge(memory[0, 6:])), atol=1e-6), "where reading back ends"
    context = torch.zeros(12)
    for token in (2, 9):
        scores = model.step(state, None if token == 2 else torch.tensor([[token]]))[0, 0]
        with torch.no_grad():
            word = model.target_words.weight[token]
            hidden = model.decoder.cell(torch.cat([word, context]), hidden)
            query = model.decoder.query.weight @ hidden
            energies = [model.decoder.energy(torch.tanh(query + model.decoder.key(slot))) for slot in memory]
            context = (torch.stack(energies).softmax(0) * memory).sum(0)
            outer = model.readout.layer(torch.cat([word, hidden, context]))
            expected = model.output(torch.maximum(outer[0::2], outer[1::2]))
        assert torch.allclose(scores, expected, atol=1e-5)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=3))
def test_scores_of_training_are_those_of_steps(pairs: list[tuple[list[int], list[int]]]) -> None:
    model, draws = tiny(), np.random.default_rng(0)
    batch = pack([layout(*pair, "encoder_decoder", SPECIAL, (16, 16), PLAIN, draws) for pair in pairs], 0, ShiftedBatch)
    with torch.no_grad():
        trained = model(batch)
    state = model.start(sources_of([source for source, _ in pairs]), 16)
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
    ContrastiveSearch(ContrastiveSearch.Config(max_length=9)),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_a_sentence_gives_what_it_gives_alone(search: Any) -> None:
    model, rows = tiny(), [[5, 6, 7, 8, 9], [11], [12, 13], [30, 29, 28]]
    together = search(model, sources_of(rows))
    for row, found in zip(rows, together, strict=True):
        (alone,) = search(model, sources_of([row]))
        assert [item.tokens for item in alone] == [item.tokens for item in found]
        assert [item.score for item in alone] == pytest.approx([item.score for item in found], abs=1e-4)


def test_other_sentences_of_a_batch_change_no_bit() -> None:
    model, rows = tiny(), [[5, 6, 7, 8, 9], [11], [12, 13]]
    one, other = (model.start(sources_of([rows[0], *others]), 4) for others in (rows[1:], [[30], [29, 28]]))
    for fed in (None, torch.tensor([[7], [8], [9]])):
        assert torch.equal(model.step(one, fed)[0], model.step(other, fed)[0])


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
    found = [row[0].tokens for row in search.best(running.trace.of(torch.tensor([0, 1, number])))]
    assert found == [row[0].tokens for batch in (first, second) for row in search(model, batch)]


def test_packed_weights_give_the_same_scores() -> None:
    model, sources = tiny(), sources_of([[5, 6, 7], [8]])
    before = model.step(model.start(sources, 4), None)
    model.prepare()
    assert torch.allclose(model.step(model.start(sources, 4), None), before, atol=1e-5)


@pytest.mark.parametrize("share", [False, True])
def test_a_cut_vocabulary_keeps_its_scores(share: bool) -> None:
    model, kept = tiny(share_embeddings=share), [0, 1, 2, 3, 4, 7, 9, 30]
    before = model.step(model.start(sources_of([[7, 30]]), 4), None)
    model.keep_tokens(kept)
    after = model.step(model.start(sources_of([[5, 7]]), 4), None)
    assert torch.allclose(after, before[..., kept], atol=1e-6)


def test_what_it_cannot_do_is_refused_in_one_line() -> None:
    model = tiny()
    made = layout([5], [6], "pseudo_masked", SPECIAL, (16, 16), PLAIN, np.random.default_rng(0))
    with pytest.raises(ConfigError, match=r"^task\.method: must be encoder_decoder \(or causal\) for this model"):
        model.check(pack([made], 0))
    with pytest.raises(ConfigError, match=r"^task\.method: must be encoder_decoder \(or causal\) for this model"):
        model.start(sources_of([[5]], mask=True), 3)
    tempered = BeamSearch(BeamSearch.Config(attention_temperature=AttentionTemperature(cross=2)))
    with pytest.raises(ConfigError, match="attention_temperature"):
        tempered(model, sources_of([[5]]))
