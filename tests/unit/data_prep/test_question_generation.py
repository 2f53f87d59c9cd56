import gzip
import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep import question_generation as qg
from data_prep.question_generation import (
    TEMPLATES,
    Question,
    sentence_of,
    split_du,
    split_zhou,
    to_pair,
    window_of,
)
from data_prep.squad import read_questions
from s2s.data.fields import TextField
from s2s.data.token_features import FeatureOptions, Pieces, channels_of
from s2s.errors import InputError

PASSAGE = (
    'Dr. J. Smith was born in 1901 in the U.S. state of Ohio. He wrote "Why?" in 1950. It sold 3.5 million copies.'
)


def question(answer: str, passage: str = PASSAGE) -> Question:
    return Question("q", "article", "What?", passage, passage.index(answer), answer)


def squad(path: Path, articles: dict[str, int], answers: int = 1) -> str:
    """A file of articles with as many questions as told."""
    data: list[dict[str, Any]] = []
    for title, count in articles.items():
        found = [{"text": "b c"[: 1 + 2 * (k % 2)], "answer_start": 2} for k in range(answers)]
        qas = [{"id": f"{path.stem}-{title}-{n}", "question": f"What is {n} ?", "answers": found} for n in range(count)]
        data.append({"title": title, "paragraphs": [{"context": "A b c d.", "qas": qas}]})
    path.write_text(json.dumps({"version": "1.1", "data": data}))
    return str(path)


def nothing(reason: str) -> None:
    raise AssertionError(f"skipped: {reason}")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("1901", "Dr. J. Smith was born in 1901 in the U.S. state of Ohio."),
        ("Why", 'He wrote "Why?" in 1950.'),
        ("3.5 million", "It sold 3.5 million copies."),
        ("Ohio. He", 'Dr. J. Smith was born in 1901 in the U.S. state of Ohio. He wrote "Why?" in 1950.'),
    ],
)
def test_sentence_is_the_one_that_holds_the_answer(answer: str, sentence: str) -> None:
    found = sentence_of(question(answer))
    assert found.passage == sentence
    assert found.passage[found.start : found.end] == answer


@given(st.lists(st.text("ab.", min_size=1, max_size=4), min_size=1, max_size=30), st.data())
def test_window_is_as_long_as_it_may_be_and_holds_the_answer(words: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    inside = data.draw(st.integers(0, len(words[first]) - 1))  # an answer may begin within a word
    most = data.draw(st.integers(1, 40))
    passage, answer = " ".join(words), " ".join(words[first : last + 1])[inside:]
    start = len(" ".join([*words[:first], ""])) + inside
    found = window_of(Question("q", "a", "t", passage, start, answer), most)
    assert found.passage[found.start : found.end] == answer
    assert found.passage in passage
    assert len(found.passage.split()) == min(len(words), max(most, last - first + 1))


def test_templates_place_the_answer() -> None:
    sources = {name: to_pair(question("b", "a b c"), name).source for name in TEMPLATES}
    assert sources == {
        "unilm": "a b c [SEP] b",
        "glge": "b [SEP] a b c",
        "highlight": "a <hl> b <hl> c",
        "bio-feature": "a b c",
    }
    assert to_pair(question("b", "a {b} c"), "unilm").source == "a {b} c [SEP] b"


def test_answers_elsewhere_are_counted_and_equal_ones_are_one(tmp_path: Path) -> None:
    path = squad(tmp_path / "dev.json", {"A": 1}, answers=4)
    content = json.loads(Path(path).read_text())
    content["data"][0]["paragraphs"][0]["qas"][0]["answers"].append({"text": "zzz", "answer_start": 0})
    Path(path).write_text(json.dumps(content))
    skipped: Counter[str] = Counter()
    found = list(read_questions(path, lambda reason: skipped.update([reason]), all_answers=True))
    assert [(each.id, each.answer) for each in found] == [("dev-A-0", "b"), ("dev-A-0-2", "b c")]
    assert skipped == {"answers that do not stand where the file says": 1}
    assert len(list(read_questions(path, lambda reason: None))) == 1


def test_zhou_halves_dev_by_question_and_by_seed(tmp_path: Path) -> None:
    train, dev = squad(tmp_path / "train.json", {"A": 5}), squad(tmp_path / "dev.json", {"B": 10, "C": 10}, answers=2)
    found = list(split_zhou(train, dev, 0, nothing))
    assert Counter(split for split, _ in found) == {"train": 5, "valid": 20, "test": 20}
    asked: dict[str, set[str]] = {"train": set(), "valid": set(), "test": set()}
    for split, each in found:
        asked[split].add(f"{each.article}: {each.text}")
    ids = [each.id for _, each in found]
    assert len(set(ids)) == len(ids)
    assert found == list(split_zhou(train, dev, 0, nothing))
    assert found != list(split_zhou(train, dev, 1, nothing))
    assert asked["valid"].isdisjoint(asked["test"])


def lists(folder: Path, train: str, test: str) -> tuple[Path, Path]:
    for name, text in (("train.txt", train), ("test.txt", test)):
        (folder / name).write_text(text)
    return folder / "train.txt", folder / "test.txt"


def test_du_divides_train_by_article_and_reversed_exchanges(tmp_path: Path) -> None:
    train, dev = squad(tmp_path / "train.json", {"A": 4, "B": 2, "C": 1}), squad(tmp_path / "dev.json", {"D": 3})
    questions = partial(split_du, train, dev, lists(tmp_path, "A\n", "B\n"))
    du = qg.write(tmp_path / "du", "du", questions, lambda each: each, "unilm")
    other = qg.write(tmp_path / "reversed", "reversed", questions, lambda each: each, "unilm")
    assert "4 / 3 / 2 pairs (train / valid / test); skipped 1 questions on articles that are in neither list" in du
    assert "4 / 2 / 3 pairs" in other
    assert du.endswith("published: 70,484 / 10,570 / 11,877")
    assert other.endswith("published: 70,484 / 11,877 / 10,570")
    assert (tmp_path / "du/valid.jsonl").read_bytes() == (tmp_path / "reversed/test.jsonl").read_bytes()
    first = json.loads((tmp_path / "du/train.jsonl").open().readline())
    assert first == {"id": "train-A-0", "src": "A b c d. [SEP] b", "tgt": "What is 0 ?", "answer": "b"}


def test_wrong_article_lists_are_refused(tmp_path: Path) -> None:
    train, dev = squad(tmp_path / "train.json", {"Alpha": 1, "Beta": 1}), squad(tmp_path / "dev.json", {"D": 1})
    with pytest.raises(InputError, match=r"train\.txt:2: .*train\.json has no article 'Betta'; did you mean 'Beta'\?"):
        list(split_du(train, dev, lists(tmp_path, "Alpha\nBetta\n", "Beta\n"), lambda reason: None))
    with pytest.raises(InputError, match=r"test\.txt:2: article 'Alpha' is in both lists"):
        list(split_du(train, dev, lists(tmp_path, "Alpha\n", "Beta\nAlpha\n"), nothing))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "x.json: broken JSON"),
        ("[]", "x.json: $: expected an object with 'data', found a list"),
        ('{"data": 3}', "x.json: $: 'data' must be a list, found a number (3)"),
        ('{"data": [{"title": "t"}]}', "x.json: $.data[0]: 'paragraphs' is missing; found 'title'"),
        (
            '{"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": [{"id": 7, "question": "q"}]}]}]}',
            "x.json: $.data[0].paragraphs[0].qas[0]: 'id' must be a string, found a number (7)",
        ),
    ],
)
def test_malformed_squad_file_names_the_place(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(message)):
        list(read_questions(tmp_path / "x.json", nothing))


ROWS: list[dict[str, Any]] = [
    {"id": id, "context": "A b c d.", "question": "What?", "answers": {"text": texts, "answer_start": starts}}
    for id, texts, starts in [("1", ["b"], [2]), ("2", [], []), ("3", ["z"], [2])]
]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet", "rows.jsonl.gz"])
def test_rows_as_on_the_hub_give_the_questions_of_squad_json(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    else:
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    skipped: Counter[str] = Counter()
    found = list(read_questions(str(path), lambda reason: skipped.update([reason])))
    assert found == [Question("1", "", "What?", "A b c d.", 2, "b")]
    assert skipped == {"questions without an answer": 1, "answers that do not stand where the file says": 1}


def test_an_answer_without_a_place_is_where_it_first_stands(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("context,question,answer\nA b c b.,What?,b\n")
    assert list(read_questions(str(path), nothing, split="test")) == [
        Question("test-1", "", "What?", "A b c b.", 2, "b")
    ]


def test_own_files_need_no_published_division(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n")
    written = qg.write(tmp_path / "out", None, qg.own_files({"train": str(path)}), lambda each: each, "unilm")
    assert "published" not in written
    assert json.loads((tmp_path / "out" / "train.jsonl").read_text())["src"] == "A b c d. [SEP] b"


@given(
    st.lists(st.text("ab \t\n", max_size=4), min_size=3, max_size=3).filter(lambda parts: bool(parts[1].strip())),
)
def test_bio_feature_says_where_the_answer_begins_after_blanks_are_collapsed(parts: list[str]) -> None:
    before, answer, after = parts
    pair = to_pair(Question("q", "a", "t", before + answer + after, len(before), answer), "bio-feature")
    start = pair.fields["answer_start"]
    assert isinstance(start, int)
    assert isinstance(pair.source, str)
    assert pair.source == " ".join((before + answer + after).split())
    assert pair.source[start:].startswith(str(pair.fields["answer"]))
    assert pair.source[:start].rstrip() == " ".join(before.split())


def test_answers_of_bio_feature_are_read_back_as_features(tmp_path: Path) -> None:
    options = FeatureOptions(names=["answer", "case"], answer_field="answer", answer_start_field="answer_start")
    pair = to_pair(question("U.S. state"), "bio-feature")
    record = json.loads(pair.line())
    pieces = Pieces(record["src"], [match.span() for match in re.finditer(r"\S+", record["src"])])
    tags = channels_of(options)[0].of(pieces, TextField("src"), record, "x.jsonl:1")
    words = record["src"].split()
    assert [(word, "BIO"[tag - 1]) for word, tag in zip(words, tags, strict=True) if tag != 3] == [
        ("U.S.", "B"),
        ("state", "I"),
    ]


def test_divisions_of_the_published_sizes_have_the_published_counts(tmp_path: Path) -> None:
    """SQuAD 1.1 has 442 + 48 articles; articles here have sizes that add up to those of the lists."""
    train = {f"T{n}": size for n, size in enumerate(_shares(70_484, 378))}
    test = {f"U{n}": size for n, size in enumerate(_shares(11_877, 38))}
    rest = {f"V{n}": size for n, size in enumerate(_shares(87_599 - 70_484 - 11_877, 26))}
    files = (squad(tmp_path / "train.json", {**train, **test, **rest}), squad(tmp_path / "dev.json", {"D": 10_570}))
    named = lists(tmp_path, "\n".join(train), "\n".join(test))
    skipped: Counter[str] = Counter()
    found = Counter(split for split, _ in split_du(*files, named, lambda reason: skipped.update([reason])))
    assert tuple(found[name] for name in ("train", "valid", "test")) == qg.PUBLISHED["du"]
    assert qg.PUBLISHED["reversed"] == (found["train"], found["test"], found["valid"])
    assert skipped.total() == 87_599 - 70_484 - 11_877


def test_zhou_halves_of_the_published_size_differ_by_one(tmp_path: Path) -> None:
    train, dev = squad(tmp_path / "train.json", {"A": 3}), squad(tmp_path / "dev.json", {"B": 8_965 + 8_964})
    found = Counter(split for split, _ in split_zhou(train, dev, 0, nothing))
    assert (found["valid"], found["test"]) == qg.PUBLISHED["zhou"][1:]


def _shares(total: int, parts: int) -> list[int]:
    """Sizes of a number of articles that add up."""
    return [total // parts + (part < total % parts) for part in range(parts)]
