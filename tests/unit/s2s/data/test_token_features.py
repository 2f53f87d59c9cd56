"""Features of source tokens: computed from the text, or read from the record, and never of another length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers

from s2s.data.fields import TextField
from s2s.data.token_features import AnswerPosition, Case, Column, FeatureOptions, Pieces, channels_of
from s2s.data.tokenizer import Tokenizer
from s2s.errors import ConfigError, InputError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ANSWER = AnswerPosition("answer", "start")
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]


def tokenizer(kind: str = "wordpiece") -> Tokenizer:
    """Letters, so that words have many pieces; `metaspace` counts the blank before a word as part of it."""
    names = dict(zip(("cls", "sep", "mask", "pad"), ("[CLS]", "[SEP]", "[MASK]", "[PAD]"), strict=True))
    if kind == "wordpiece":
        items = [*SPECIAL, "rome", "in", "is", *LETTERS, *(f"##{one}" for one in LETTERS), ",", "."]
        backend = Backend(models.WordPiece({item: id for id, item in enumerate(items)}, unk_token="[UNK]"))
        backend.normalizer = normalizers.BertNormalizer()
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        pieces = [(item, 0.0) for item in SPECIAL] + [(one, -3.0) for one in ["▁", *LETTERS, *map(str.upper, LETTERS)]]
        pieces += [(f"▁{one}", -2.0) for one in LETTERS]
        backend = Backend(models.Unigram(pieces, 1, False))
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_special_tokens(SPECIAL)
    return Tokenizer(backend, names, kind)


def tags(channel: Any, text: str | list[str], kind: str = "wordpiece", field: str = "src", **record: Any) -> list[str]:
    pieces = Pieces.of(text, tokenizer(kind))
    found = channel.of(pieces, TextField(field), {field: text, **record}, "f:1")
    return [channel.tags[number - 1] for number in found]


def test_an_answer_begins_with_b_and_goes_on_with_i() -> None:
    assert tags(ANSWER, "in Rome, x", answer="Rome", start=3) == ["O", "B", "O", "O"]
    assert tags(ANSWER, "is Rio .", answer="Rio", start=3) == ["O", "B", "I", "I", "O"]
    assert tags(ANSWER, ["in", "New", "York"], answer="New York", start=3) == ["O", "B", "I"]
    assert tags(ANSWER, "is x", "metaspace", answer="x", start=3)[-1] == "B"


def test_case_is_that_of_the_whole_word() -> None:
    assert tags(Case(), "in Rio , NATO x-Y A 3") == [
        *["lower"],
        *["title"] * 3,
        *["lower"],
        *["upper"] * 4,
        *["lower"] * 3,
        *["title"],
        *["lower"],
    ]


def test_a_tag_goes_to_all_pieces_of_its_word() -> None:
    column = Column("pos", ("P", "N"))
    assert tags(column, "in Rio", pos=["P", "N"]) == ["P", "N", "N", "N"]
    assert tags(column, "in Rio", pos="P N") == ["P", "N", "N", "N"]


WORDS = st.lists(st.text(alphabet="abcABC", min_size=1, max_size=5), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", ["wordpiece", "metaspace"])
@given(words=WORDS)
def test_pieces_of_any_text_have_the_tags_of_their_words(kind: str, words: list[str]) -> None:
    column = Column("n", tuple(map(str, range(6))))
    text, made = " ".join(words), tokenizer(kind)
    found = column.of(Pieces.of(text, made), TextField("src"), {"n": [str(i) for i in range(len(words))]}, "f:1")
    expected: list[int] = []
    for number, word in enumerate(words, start=1):
        expected += [number] * len(made.encode(word))
    assert found == expected


@pytest.mark.parametrize(
    ("channel", "record", "line"),
    [
        (Column("pos", ("P", "N")), {"pos": ["P"]}, "f:1: 'pos' has 1 tags for the 2 words of 'src'"),
        (
            Column("pos", ("P", "N")),
            {"pos": ["P", "X"]},
            "f:1: 'pos' has the unknown tag 'X' for word 2; task.features.tags.pos has P, N",
        ),
        (Column("pos", ("P",)), {"pos": 3}, "f:1: 'pos' must be a list of tags or a string, found"),
        (Column("pos", ("P",)), {}, "f:1: 'pos' is missing; found 'src'; task.features.names has it"),
        (
            ANSWER,
            {"answer": "Rome", "start": 4},
            "f:1: 'start' is 4, where the source has 'ome', not the answer 'Rome'",
        ),
        (ANSWER, {"answer": "Rome", "start": -3}, "f:1: 'start' is -3, where the source has"),
        (ANSWER, {"answer": "Rome", "start": "3"}, "f:1: 'start' must be a whole number, found"),
        (
            ANSWER,
            {"answer": "Rome"},
            "f:1: 'start' is missing; found 'src', 'answer'; task.features.answer_start_field",
        ),
    ],
)
def test_bad_records_are_refused_in_one_line(channel: Any, record: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as raised:
        tags(channel, "in Rome", **record)
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


def test_an_answer_needs_a_source_of_one_field() -> None:
    with pytest.raises(InputError, match="the feature 'answer' needs a source that is one field"):
        ANSWER.of(Pieces("", []), TextField("{answer} [SEP] {context}"), {}, "f:1")


@pytest.mark.parametrize(
    ("names", "listed", "line"),
    [
        (["case", "case"], {}, "task.features.names: has 'case' twice"),
        (["pos"], {}, "task.features.tags: must list the tags of 'pos'; only answer and case need none"),
        (["case"], {"pos": ["N"]}, "task.features.tags: 'pos' is no field in task.features.names"),
        (["pos"], {"pos": ["N", "N"]}, "task.features.tags.pos: has a tag twice"),
    ],
)
def test_options_that_contradict_one_another_are_refused(
    names: list[str], listed: dict[str, list[str]], line: str
) -> None:
    with pytest.raises(ConfigError, match=line):
        channels_of(FeatureOptions(names=names, tags=listed))


# In a task


def corpus(folder: Path) -> dict[str, Any]:
    tokenizer().save(folder)
    row = '{"src": "in Rio x", "tgt": "x", "pos": "P N N", "answer": "Rio", "start": 3}\n'
    (folder / "train.jsonl").write_text(row + '{"src": "is", "tgt": "y", "pos": ["N"], "answer": "is", "start": 0}\n')
    return {
        "train": str(folder / "train.jsonl"),
        "tokenizer": str(folder),
        "features": {
            "names": ["answer", "pos"],
            "tags": {"pos": ["P", "N"]},
            "answer_field": "answer",
            "answer_start_field": "start",
        },
    }


@pytest.mark.parametrize("method", ["pseudo_masked", "causal", "encoder_decoder"])
def test_training_and_generation_read_the_same_features(tmp_path: Path, method: Any) -> None:
    from s2s.tasks.seq2seq import Seq2Seq

    task = Seq2Seq(Seq2Seq.Config(**corpus(tmp_path), method=method, max_source=6))
    assert task.model_defaults()["features"] == {"answer": 3, "pos": 2}
    data = task.dataset("train", 1)
    batch = task.collate([data.example(index, 0) for index in range(2)])
    records = [
        {"src": "in Rio x", "pos": "P N N", "answer": "Rio", "start": 3},
        {"src": "is", "pos": "N", "answer": "is", "start": 0},
    ]
    sources = task.collate_sources([task.source(record, "here") for record in records])
    assert batch.tags is not None
    assert sources.tags is not None
    assert batch.tags.tolist() == sources.tags.tolist()
    assert batch.tags.shape == (*sources.tokens.shape, 2)
    assert batch.tags[0, :5].tolist() == [[0, 0], [3, 1], [1, 2], [2, 2], [2, 2]]
