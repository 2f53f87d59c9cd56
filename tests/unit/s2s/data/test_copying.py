"""Words that the vocabulary lacks get ids of their own source, and become words again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from s2s.data.batch import CopyBatch
from s2s.data.copying import Extension, known
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError
from s2s.tasks.seq2seq import Seq2Seq

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "lives", "in", "where", "does", "live"]
SIZE, UNKNOWN, CLS, SEP = len(WORDS), 1, 2, 3


def backend() -> Backend:
    made = Backend(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(WORDS[:5])
    return made


def tokenizer() -> Tokenizer:
    names = dict(zip(("pad", "cls", "sep", "mask"), ("[PAD]", "[CLS]", "[SEP]", "[MASK]"), strict=True))
    return Tokenizer(backend(), names, "words")


def extension(text: str) -> tuple[Extension, list[int]]:
    made = tokenizer()
    return Extension(text, made.encode(text), made), Extension(text, made.encode(text), made).extend(
        text, made.encode(text)
    )


def test_unknown_words_are_numbered_in_their_order_once_each() -> None:
    found, ids = extension("Anna lives in Bergen in Anna")
    assert found.words == ["Anna", "Bergen"]
    assert ids == [SIZE, 5, 6, SIZE + 1, 6, SIZE]
    made = tokenizer()
    target = "where does Bergen live Oslo"
    assert found.extend(target, made.encode(target)) == [7, 8, SIZE + 1, 9, UNKNOWN], "another word stays unknown"
    assert known(np.array(ids), made).tolist() == [UNKNOWN, 5, 6, UNKNOWN, 6, UNKNOWN]


WORD = st.one_of(st.sampled_from(WORDS[5:]), st.text("xyz", min_size=1, max_size=4))


@given(st.lists(WORD, min_size=1, max_size=8), st.data())
def test_any_text_of_words_of_its_source_comes_back(source: list[str], data: Any) -> None:
    target = data.draw(st.lists(st.sampled_from([*source, *WORDS[5:]]), max_size=8))
    made, (found, _) = tokenizer(), extension(" ".join(source))
    text = " ".join(target)
    ids = found.extend(text, made.encode(text))
    assert UNKNOWN not in ids
    assert found.text(ids, made.text, attach=False) == text


def task(folder: Path, **options: Any) -> Seq2Seq:
    backend().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    row = '{"src": "Anna lives in Bergen", "tgt": "where does Anna live"}\n'
    (folder / "train.jsonl").write_text(row + '{"src": "Bo", "tgt": "Bo lives in Oslo"}\n')
    given = {"train": str(folder / "train.jsonl"), "tokenizer": str(folder), "max_source": 5, "max_target": 8}
    return Seq2Seq(Seq2Seq.Config(**({**given, "method": "encoder_decoder", "copying": "hard_switch"} | options)))


def test_a_batch_holds_words_with_unknown_ones_and_extended_ids_beside_them(tmp_path: Path) -> None:
    made = task(tmp_path)
    data = made.dataset("train", 1)
    batch = made.collate([data.example(index, 0) for index in range(2)])
    assert isinstance(batch, CopyBatch)
    assert batch.tokens[0, : batch.context].tolist() == [CLS, UNKNOWN, 5, 6, SEP], "Bergen is cut"
    assert batch.copies.tolist() == [[-1, SIZE, 5, 6, -1], [-1, SIZE, -1, -1, -1]]
    assert batch.labels.tolist() == [7, 8, UNKNOWN, 9, SEP, UNKNOWN, 5, 6, UNKNOWN, SEP]
    assert batch.extended.tolist() == [7, 8, SIZE, 9, SEP, SIZE, 5, 6, UNKNOWN, SEP], "Oslo cannot be copied"
    records = [{"src": "Anna lives in Bergen"}, {"src": "Bo"}]
    sources = made.collate_sources([made.source(record, "here") for record in records])
    assert sources.copies is not None
    assert sources.copies.tolist() == batch.copies.tolist()


def test_words_are_copied_from_their_first_place_if_the_vocabulary_lacks_them(tmp_path: Path) -> None:
    """The labels of NQG: whether each word is copied, and from where."""
    made = task(tmp_path, max_source=9)
    rows = [
        ("Anna lives in Bergen", "where does Anna live", {2: 1}),
        ("Bo lives in Bo", "Bo lives in Oslo", {0: 1}),
        ("lives in Oslo", "Oslo lives in Bergen", {0: 3}),
    ]
    lines = [json.dumps({"src": source, "tgt": target}) + "\n" for source, target, _ in rows]
    (tmp_path / "train.jsonl").write_text("".join(lines))
    dataset = made.dataset("train", 1)
    batch = made.collate([dataset.example(number, 0) for number in range(3)])
    assert isinstance(batch, CopyBatch)
    for row, (_, target, copied) in enumerate(rows):
        here = batch.slots // batch.steps.shape[1] == row
        extended, labels = batch.extended[here].tolist(), batch.labels[here].tolist()
        switches = [one != other for one, other in zip(extended, labels, strict=True)]
        assert switches == [place in copied for place in range(len(target.split()) + 1)]
        assert {
            place: batch.copies[row].tolist().index(extended[place]) for place, copy in enumerate(switches) if copy
        } == copied


def test_copied_words_are_written(tmp_path: Path) -> None:
    made = task(tmp_path)
    text = made.source_text({"src": "Anna lives in Bergen"})
    assert made.output([7, 8, SIZE, 9], text) == "where does Anna live"
    assert made.output([7, 8], text) == "where does"


def test_what_cannot_copy_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^task\.copying: needs task\.method=encoder_decoder, found 'masked'"):
        task(tmp_path, method="masked")
    with pytest.raises(InputError, match=r"^f:1: the source must be a string with task\.copying, found a list"):
        task(tmp_path).source({"src": ["lives"]}, "f:1")
