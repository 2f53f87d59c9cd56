"""Models read features of tokens: the same in training and in generation, summed or put beside the words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import draw_weights_, tiny_encoder_decoder, tiny_recurrent, tiny_unilm
from torch import Tensor

from s2s.data.batch import ShiftedBatch, SourceBatch
from s2s.data.layout import Method, Noise, around, feeding, layout, pack, padded
from s2s.data.tokenizer import SpecialIds
from s2s.errors import InputError
from s2s.models.export import save_bert_folder
from s2s.models.unilm import UniLM
from s2s.nn.tags import TagSection

SPECIAL = SpecialIds(cls=1, sep=2, mask=3, pad=0)
PLAIN = Noise(0.0, 0.0, 0.1, 0.1, None, np.arange(5, 31))
PAIRS = [([5, 6, 7], [8, 9]), ([10], [11, 12, 13])]
TAGS = [[[1, 2, 3], [1, 1, 2]], [[3], [2]]]


TINY: dict[str, Any] = {
    "unilm": tiny_unilm,
    "encoder_decoder": tiny_encoder_decoder,
    "recurrent_encoder_decoder": tiny_recurrent,
}


def built(kind: str, join: Any, **options: Any) -> Any:
    section = TagSection(counts={"answer": 3, "case": 2}, join=join, size=5)
    model: Any = TINY[kind](features=section, **options)
    draw_weights_(model.tags)
    for table in model.tags.tables:
        torch.nn.init.zeros_(table.weight[0])
    return model


def batches(method: Method, tags: Any) -> tuple[ShiftedBatch, SourceBatch]:
    made = []
    for pair, columns in zip(PAIRS, tags, strict=True):
        one = layout(*pair, method, SPECIAL, (16, 16), PLAIN, np.random.default_rng(0))
        made.append((one, around([np.array(column) for column in columns], len(one.source))))
    laid = [type(one)(**{**vars(one), "tags": table}) for one, table in made]
    batch = pack(laid, 0, ShiftedBatch)
    assert isinstance(batch, ShiftedBatch)
    lengths = torch.tensor([len(one.source) for one, _ in made])
    tables = padded([table for _, table in made])
    tokens = batch.tokens[:, : batch.context]
    return batch, SourceBatch(["a", "b"], tokens, lengths, feeding(method, SPECIAL), [[], []], tags=tables)


def by_steps(model: Any, sources: SourceBatch) -> Tensor:
    state = model.start(sources, 5)
    steps, fed = [], None
    for step in range(4):
        steps.append(model.step(state, fed)[:, 0])
        state.select(None, torch.zeros(2, 1, dtype=torch.int64))
        fed = torch.tensor([[target[step] if step < len(target) else 2] for _, target in PAIRS])
    return torch.cat([torch.stack(steps, 1)[row, : len(target) + 1] for row, (_, target) in enumerate(PAIRS)])


@pytest.mark.parametrize("join", ["sum", "concat"])
@pytest.mark.parametrize(
    ("kind", "method"),
    [("unilm", "causal"), ("encoder_decoder", "encoder_decoder"), ("recurrent_encoder_decoder", "encoder_decoder")],
)
def test_training_and_generation_read_the_same_tags(kind: str, method: Method, join: str) -> None:
    model = built(kind, join)
    (batch, sources), (_, others) = batches(method, TAGS), batches(method, [[[1, 2, 3], [2, 1, 2]], [[3], [2]]])
    with torch.no_grad():
        trained, other = model(batch), by_steps(model, others)
    assert torch.allclose(by_steps(model, sources), trained, atol=1e-5)
    assert not torch.allclose(other[:3], trained[:3], atol=1e-3), "a tag of the first sentence changes it"
    assert torch.allclose(other[3:], trained[3:], atol=1e-5), "and no other one"


@pytest.mark.parametrize("kind", ["unilm", "encoder_decoder"])
def test_tags_that_are_put_beside_leave_words_as_they_are_at_the_start(kind: str) -> None:
    section = TagSection(counts={"case": 2}, join="concat", size=5)
    model: Any = (tiny_unilm if kind == "unilm" else tiny_encoder_decoder)(features=section)
    words = torch.randn(3, model.config.hidden_size)
    assert torch.equal(model.tags(words, None), words)


def test_a_model_that_reads_tags_starts_from_an_encoder_and_is_no_bert(tmp_path: Path) -> None:
    save_bert_folder(tiny_unilm(), tmp_path / "bert")
    config = UniLM.Config(init=str(tmp_path / "bert"))
    model = UniLM(UniLM.resolve(config, {"vocab_size": 31, "features": {"case": 3}}))
    model.initialize()
    assert torch.equal(model.embeddings.tokens.weight, tiny_unilm().embeddings.tokens.weight)
    assert model.tags is not None
    with pytest.raises(InputError, match="a model that reads features of tokens is not a BERT"):
        save_bert_folder(model, tmp_path / "other")
