"""Losses with copying equal what their papers say, word by word, and every search writes copied words."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny_models import draw_weights_, tiny_encoder_decoder, tiny_recurrent
from torch import Tensor

from s2s.criteria.copying import CopyCriterion, HardSwitch, PointerGenerator
from s2s.data.batch import PADDING, CopyBatch, Feeding, SourceBatch
from s2s.decoding.beam import BeamSearch
from s2s.decoding.diverse import DiverseBeamSearch
from s2s.decoding.sampling import Sampling
from s2s.decoding.wide import WideBeamSearch
from s2s.nn.copying import Copying, CopySources, joint_scores

SIZE, UNKNOWN = 31, 4
P = PADDING


def copier(kind: str = "encoder_decoder") -> Any:
    if kind == "recurrent_encoder_decoder":
        return tiny_recurrent(copies=True)
    model = tiny_encoder_decoder(copies=True)
    draw_weights_(model.copier)  # type: ignore[arg-type]
    return model


def gate(model: Any) -> Any:
    return model.copier.gate if hasattr(model, "copier") else model.gate


def batch() -> CopyBatch:
    """Two sources, with two unknown words and one; three labels each."""
    tokens = [[1, 4, 7, 4, 4, 2, 2, 4, 7], [1, 8, 4, 2, 0, 0, 2, 4, 8]]
    steps = [[0, 0, 0, 0, 0, 0, 1, 2, 3], [0, 0, 0, 0, P, P, 1, 2, 3]]
    copies = [[-1, SIZE, 7, SIZE + 1, SIZE, -1], [-1, 8, SIZE, -1, -1, -1]]
    extended = [SIZE, 7, 2, SIZE, 9, UNKNOWN]
    labels = [id if id < SIZE else UNKNOWN for id in extended]
    slots = [6, 7, 8, 15, 16, 17]
    named = {"tokens": tokens, "steps": steps, "slots": slots, "labels": labels}
    tensors = {name: torch.tensor(value) for name, value in named.items()}
    places = torch.arange(9).expand(2, -1)
    return CopyBatch(
        ["a", "b"], positions=places, segments=places, context=6, pad_id=0, **tensors,
        copies=torch.tensor(copies), extended=torch.tensor(extended),
    )  # fmt: skip


@torch.no_grad()
def expected(kind: type[CopyCriterion], model: Any, given: CopyBatch) -> tuple[float, Tensor]:
    """The loss by the equations, in probabilities, and those of the joint vocabulary."""
    features, copying = model.copying(given)
    total, rows = 0.0, []
    for row, (label, logits) in enumerate(zip(given.extended.tolist(), model.logits(features), strict=True)):
        gate, words = torch.sigmoid(copying.gate[row]), logits.softmax(-1)
        weights, ids = copying.attention[row].exp(), given.copies[row // 3].tolist()
        joint = [float((1 - gate) * p) for p in words] + [0.0, 0.0]
        for weight, id in zip(weights, ids, strict=True):
            if id >= 0:
                joint[id] += float(gate * weight)
        if kind is PointerGenerator:
            total -= math.log(joint[label])
        elif label >= SIZE:
            total -= math.log(gate * weights[ids.index(label)])
        else:
            total -= math.log((1 - gate) * words[label])
        rows.append(joint)
    return total, torch.tensor(rows)


MODELS = pytest.mark.parametrize("name", ["encoder_decoder", "recurrent_encoder_decoder"])


@MODELS
@pytest.mark.parametrize("kind", [HardSwitch, PointerGenerator])
def test_the_loss_is_that_of_the_paper(kind: type[CopyCriterion], name: str) -> None:
    model, given = copier(name), batch()
    for rows in (1024, 2):
        found = kind(kind.Config(chunk_rows=rows))(model, given)
        assert found["loss"].item() == pytest.approx(expected(kind, model, given)[0], rel=1e-4)
    found["loss"].backward()
    assert all(
        weight.grad is not None and weight.grad.isfinite().all()
        for weight in getattr(model, "copier", model).parameters()
    ), "every weight of the head learns"


def sources(rows: slice = slice(0, 2)) -> SourceBatch:
    given = batch()
    lengths = torch.tensor([6, 4])[rows]
    width = int(lengths.max())
    return SourceBatch(
        ["a", "b"][rows],
        given.tokens[rows, :width],
        lengths,
        Feeding(end=2, start=2),
        [[], []][rows],
        copies=given.copies[rows, :width],
    )


@MODELS
def test_a_step_scores_the_joint_vocabulary(name: str) -> None:
    model, given = copier(name), batch()
    _, joint = expected(PointerGenerator, model, given)
    state = model.start(sources(), 4)
    assert torch.allclose(model.step(state, None)[:, 0].exp(), joint[[0, 3]], atol=1e-5)
    state.select(None, torch.zeros(2, 1, dtype=torch.int64))
    second = model.step(state, torch.tensor([[SIZE], [SIZE]]))[:, 0]  # a copied word is read as unknown
    assert torch.allclose(second.exp(), joint[[1, 4]], atol=1e-5)


SEARCHES: list[Any] = [
    BeamSearch(BeamSearch.Config(beam_size=3, max_length=6)),
    WideBeamSearch(WideBeamSearch.Config(beam_size=3, max_length=6, no_repeat_ngram_size=2)),
    DiverseBeamSearch(DiverseBeamSearch.Config(beam_size=4, num_groups=2, max_length=6)),
    Sampling(Sampling.Config(max_length=6, top_k=1)),
]


@MODELS
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_every_search_writes_copied_words_of_its_own_source(search: Any, name: str) -> None:
    model = copier(name)
    with torch.no_grad():
        gate(model).bias.fill_(8.0)  # rather copy
        gate(model).weight.zero_()
    together = [row[0].tokens for row in search(model, sources())]
    assert together == [search(model, sources(slice(row, row + 1)))[0][0].tokens for row in range(2)]
    assert any(token >= SIZE for tokens in together for token in tokens)
    assert all(token <= SIZE for token in together[1]), "the second source has one unknown word"


@MODELS
def test_sources_with_more_unknown_words_join_a_search(name: str) -> None:
    model, search = copier(name), BeamSearch(BeamSearch.Config(beam_size=3, max_length=6, min_length=6))
    running, entering = search.start(model, sources(slice(1, 2))), search.start(model, sources(slice(0, 1)))
    running.step()
    entering.step()
    (number,) = running.join(entering).values()
    while len(running.step()):
        pass
    found = [row[0].tokens for row in search.best(running.trace.of(torch.tensor([number, 0])))]
    assert found == [row[0].tokens for row in search(model, sources())]


def test_a_word_in_several_places_gets_the_sum() -> None:
    attention = torch.tensor([[[0.2, 0.3, 0.5]]]).log()
    memory = torch.zeros(1, 3, 2)
    given = CopySources(memory, memory, torch.tensor([[3, 1, 3]]), extra=1)
    scores = joint_scores(torch.zeros(1, 1, 3), Copying(torch.zeros(1, 1), attention), given).exp()
    assert torch.allclose(scores, torch.tensor([[[1 / 6, 1 / 6 + 0.15, 1 / 6, 0.35]]]), atol=1e-6)


def extended_sources(seed: int, count: int) -> Tensor:
    """Sources of three words of which about a third are unknown, as extended ids."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(5, 10, (count, 3), generator=generator)
    unknown = torch.rand(count, 3, generator=generator) < 1 / 3
    return torch.where(unknown, SIZE - 1 + unknown.cumsum(1), words)


def column(count: int, value: int) -> Tensor:
    return torch.full((count, 1), value)


def copying_batch(extended: Tensor) -> CopyBatch:
    """Each target is its source."""
    count, read = len(extended), extended.masked_fill(extended >= SIZE, UNKNOWN)
    tokens = torch.cat([column(count, 1), read, column(count, 2), column(count, 2), read], 1)
    labels, places = torch.cat([extended, column(count, 2)], 1).flatten(), torch.arange(9).expand(count, -1)
    return CopyBatch(
        ids=[str(row) for row in range(count)],
        tokens=tokens,
        positions=places,
        segments=places,
        steps=torch.tensor([0, 0, 0, 0, 0, 1, 2, 3, 4]).expand(count, -1),
        context=5,
        slots=(9 * torch.arange(count).unsqueeze(1) + torch.arange(5, 9)).flatten(),
        labels=labels.masked_fill(labels >= SIZE, UNKNOWN),
        pad_id=0,
        copies=torch.cat([column(count, -1), extended, column(count, -1)], 1),
        extended=labels,
    )


def learning(name: str) -> Any:
    if name == "recurrent_encoder_decoder":
        return tiny_recurrent(copies=True, embedding_size=24, hidden_size=48).train()
    sizes = {"hidden_size": 32, "encoder_layers": 1, "decoder_layers": 1, "intermediate_size": 32}
    return tiny_encoder_decoder(copies=True, initializer_range=0.2, **sizes).train()


@pytest.mark.parametrize(
    ("kind", "name", "steps"),
    [
        (PointerGenerator, "encoder_decoder", 30),
        (HardSwitch, "encoder_decoder", 70),
        (PointerGenerator, "recurrent_encoder_decoder", 80),
        (HardSwitch, "recurrent_encoder_decoder", 80),
    ],
)
def test_a_model_learns_to_copy_what_it_has_no_word_for(kind: type[CopyCriterion], name: str, steps: int) -> None:
    model = learning(name)
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=1e-2), kind(kind.Config())
    for step in range(steps):
        optimizer.zero_grad()
        criterion(model, copying_batch(extended_sources(step, 48)))["loss"].div(192).backward()
        optimizer.step()
    wanted = extended_sources(1000, 50)
    given = copying_batch(wanted)
    names, lengths = given.ids, torch.full((50,), 5)
    feeding = Feeding(end=2, start=2)
    asked = SourceBatch(names, given.tokens[:, :5], lengths, feeding, [[] for _ in names], copies=given.copies)
    found = BeamSearch(BeamSearch.Config(beam_size=2, max_length=5))(model.eval(), asked)
    assert sum(row[0].tokens == target for row, target in zip(found, wanted.tolist(), strict=True)) >= 48
