"""Corpora: what they keep, what they warn of, and the one line that each bad file or record gives."""

import json
import logging

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from s2s.data import corpus as corpus_module
from s2s.data.corpus import Corpus, Side
from s2s.data.fields import Fields
from s2s.data.records import open_records, records
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"]


@pytest.fixture(scope="module")
def tokenizer():
    backend = Backend(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Tokenizer(backend, {"cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]", "pad": "[PAD]"}, "toy")


def write(path, *rows):
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def read(tokenizer, *paths, limit=9, strict=False, source="src", target="tgt"):
    sides = Side("source", limit, strict), Side("target", limit, strict)
    inputs = ((open_records(path, "train"), Fields(source, target)) for path in paths)
    return Corpus.read(inputs, tokenizer, sides, "id")


def rows(corpus):
    return [(corpus.id(i), corpus.sources[i].tolist(), corpus.targets[i].tolist()) for i in range(len(corpus))]


GOOD = {"id": "x", "src": "a b c", "tgt": "d"}


def test_pairs_of_all_files_are_kept_in_order_with_their_ids(tmp_path, tokenizer):
    first = write(tmp_path / "1.jsonl", GOOD, b"", {"src": ["c", "b"], "tgt": "a a", "id": None})
    second = write(tmp_path / "2.jsonl", {"src": "a", "tgt": ["d", "d"], "id": 7})
    assert rows(read(tokenizer, first, second)) == [
        ("x", [5, 6, 7], [8]),
        (f"{first}:3", [7, 6], [5, 5]),
        ("7", [5], [8, 8]),
    ]


def test_chunks_do_not_show(tmp_path, tokenizer, monkeypatch):
    generator = np.random.default_rng(0)
    made = [
        {"src": " ".join(generator.choice(WORDS[5:], 1 + i % 5)), "tgt": WORDS[5 + i % 4], "id": str(i)}
        for i in range(23)
    ]
    path = write(tmp_path / "x.jsonl", *made)
    whole = rows(read(tokenizer, path))
    monkeypatch.setattr(corpus_module, "_CHUNK", 4)
    assert rows(read(tokenizer, path)) == whole
    assert [row[0] for row in whole] == [str(i) for i in range(23)]


def test_long_sides_are_cut_and_counted_once_a_file(tmp_path, tokenizer, caplog):
    path = write(tmp_path / "x.jsonl", GOOD, {"src": "a a a a", "tgt": "b b b"}, {"src": "a a", "tgt": "b"})
    with caplog.at_level(logging.WARNING):
        corpus = read(tokenizer, path, limit=2)
    assert corpus.sources[1].tolist() == [5, 5]
    assert corpus.sources.lengths.tolist() == [2, 2, 2]
    assert corpus.targets.lengths.tolist() == [1, 2, 1]
    assert caplog.messages == [
        f"{path}: 2 of 3 sources were cut at 2 tokens, special ones not counted; task.max_source sets the limit",
        f"{path}: 1 of 3 targets were cut at 2 tokens, special ones not counted; task.max_target sets the limit",
    ]


def test_lists_of_words_that_are_no_vocabulary_items_are_counted(tmp_path, tokenizer, caplog):
    path = write(tmp_path / "x.jsonl", {"src": ["a", "zebra"], "tgt": "yak"}, {"src": ["b"], "tgt": "a"})
    read(tokenizer, path)
    assert caplog.messages == [
        f"{path}: 1 of 3 tokens listed in sources are not in the vocabulary; lists must hold its items, not words"
    ]
    with pytest.raises(InputError, match=r"x.jsonl:1: 'src' lists 'zebra', which is not in the vocabulary"):
        read(tokenizer, path, strict=True)


def test_strict_refuses_what_is_too_long(tmp_path, tokenizer):
    path = write(tmp_path / "x.jsonl", {"src": "a", "tgt": "b"}, {"src": "a", "tgt": "b b b"})
    with pytest.raises(InputError, match=r"x.jsonl:2: 'tgt' has 3 tokens, at most 2 are allowed; raise task.max_tar"):
        read(tokenizer, path, limit=2, strict=True)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"{", r":2: broken JSON: .* at column 2"),
        (b"[1]", r":2: expected a JSON object, found a list \(\[1\]\)"),
        (b'{"src": "\xff"}', r":2: invalid UTF-8 at byte 10"),
        ({"src": "a"}, r":2: 'tgt' is missing; found 'src'"),
        ({"tgt": "a"}, r":2: 'src' is missing; found 'tgt'"),
        ({"src": 3, "tgt": "a"}, r":2: 'src' must be a string or a list of tokens, found a number \(3\)"),
        ({"src": "a", "tgt": None}, r":2: 'tgt' must be a string or a list of tokens, found null"),
        ({"src": ["a", 3], "tgt": "a"}, r":2: 'src' must be a string or a list of tokens, found a number \(3\) in it"),
        ({"src": "  ", "tgt": "a"}, r":2: 'src' is empty"),
        ({"src": "a", "tgt": []}, r":2: 'tgt' is empty"),
        ({"src": "a \ud800", "tgt": "a"}, r":2: 'src' holds half a surrogate pair \('\\ud800'\) at character 3"),
        ({"src": ["a", "\udfff"], "tgt": "a"}, r":2: 'src' holds half a surrogate pair"),
    ],
)
def test_each_bad_record_gives_its_file_line_and_field(tmp_path, tokenizer, bad, message):
    path = write(tmp_path / "x.jsonl", GOOD, bad, GOOD)
    with pytest.raises(InputError, match=message) as caught:
        read(tokenizer, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"src": "a", "tgt": "b [SEP] c"}, r":2: 'tgt' holds '\[SEP\]', a special token; a target must not hold it"),
        ({"src": "a", "tgt": ["b", "[PAD]"]}, r":2: 'tgt' holds '\[PAD\]', a special token"),
        ({"src": "a [MASK]", "tgt": "b"}, r":2: 'src' holds '\[MASK\]', a special token"),
    ],
)
def test_special_tokens_that_the_tokenizer_cannot_take_as_text_are_refused(tmp_path, tokenizer, bad, message):
    listed = {"src": ["a", "[SEP]", "b"], "tgt": "c"}
    with pytest.raises(InputError, match=message):
        read(tokenizer, write(tmp_path / "x.jsonl", listed, bad))


def test_only_the_beginning_of_an_endless_text_is_tokenized(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(corpus_module, "_CHARACTERS_A_TOKEN", 10)
    path = write(tmp_path / "x.jsonl", {"src": "a " * 1000, "tgt": "b"}, {"src": " " * 1000 + "a", "tgt": "b"})
    with pytest.raises(InputError, match=r"x.jsonl:2: 'src' holds no token"):
        read(tokenizer, path, limit=2)
    path = write(tmp_path / "x.jsonl", {"src": "a " * 1000, "tgt": "b"}, GOOD)
    assert [row[1] for row in rows(read(tokenizer, path, limit=2))] == [[5, 5], [5, 6]]
    with pytest.raises(InputError, match=r"x.jsonl:1: 'src' has 2000 characters, at most 30 are allowed"):
        read(tokenizer, path, limit=2, strict=True)


def test_text_without_any_token_is_an_error(tmp_path):
    from tokenizers import normalizers

    backend = Backend(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer = Tokenizer(backend, {"cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]", "pad": "[PAD]"}, "toy")
    path = write(tmp_path / "x.jsonl", GOOD, {"src": "\u0007\u200b", "tgt": "a"})
    with pytest.raises(InputError, match=r"x.jsonl:2: 'src' holds no token"):
        read(tokenizer, path)


def test_the_first_bad_line_is_the_one_reported(tmp_path, tokenizer):
    path = write(tmp_path / "x.jsonl", {"src": "a", "tgt": ""}, {"src": "", "tgt": "a"})
    with pytest.raises(InputError, match=r":1: 'tgt' is empty"):
        read(tokenizer, path)


def test_missing_and_empty_files_are_errors(tmp_path, tokenizer):
    with pytest.raises(InputError, match=r"nowhere.jsonl: cannot be read: No such file or directory"):
        read(tokenizer, str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(InputError, match=r"x.jsonl: the file is empty"):
        read(tokenizer, write(tmp_path / "x.jsonl", b" "))


def test_names_that_are_neither_files_nor_data_sets_are_errors(tokenizer, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"nobody/nothing: neither a file nor a data set that can be read") as caught:
        read(tokenizer, "nobody/nothing")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv", "folder", "split"])
def test_tables_and_data_sets_give_the_same_pairs_as_json_lines(tmp_path, tokenizer, kind, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    table = datasets.Dataset.from_list([{"text": "a b", "title": "c"}, {"text": "d", "title": "a a"}])
    path = tmp_path / f"data.{kind}"
    name = str(path)
    if kind == "parquet":
        table.to_parquet(path)
    elif kind in ("csv", "tsv"):
        table.to_csv(path, sep="\t" if kind == "tsv" else ",", index=False)
    elif kind == "folder":
        table.save_to_disk(path)
    else:
        datasets.DatasetDict({"validation": table}).save_to_disk(path)
        name += ":validation"
    corpus = read(tokenizer, name, source="text", target="title")
    first, second = (f"{name}:2", f"{name}:3") if kind in ("csv", "tsv") else (f"{name}: row 1", f"{name}: row 2")
    assert rows(corpus) == [(first, [5, 6], [7]), (second, [8], [5, 5])]


def test_broken_tables_and_unknown_splits_are_one_line(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"x.parquet: cannot be read as Parquet: .+") as caught:
        list(records(str(tmp_path / "x.parquet")))
    assert "\n" not in str(caught.value)
    datasets.DatasetDict({"train": datasets.Dataset.from_list([{"src": "a"}])}).save_to_disk(tmp_path / "d")
    with pytest.raises(InputError, match=r"d: it has no split 'test', only 'train'; name one, such as .*d:train"):
        list(records(f"{tmp_path / 'd'}:test"))
    empty = datasets.Dataset.from_dict({"src": [], "tgt": []})
    empty.to_parquet(tmp_path / "e.parquet")
    with pytest.raises(InputError, match=r"e.parquet: the data set is empty"):
        list(records(str(tmp_path / "e.parquet")))


def test_a_data_set_without_rows_is_refused(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda builder, name: {"train": []})
    with pytest.raises(InputError, match=r"owner/name: the data set is empty; expected at least one row"):
        list(records("owner/name"))
