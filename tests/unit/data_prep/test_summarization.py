import hashlib
import json
from pathlib import Path

import pytest

from data_prep.corpus_writer import Pair
from data_prep.summarization import (
    is_dataset,
    parse_bbc,
    parse_story,
    read_cnndm,
    read_dataset,
    read_gigaword,
    read_xsum,
    write,
)
from s2s.data.text_lines import read_text
from s2s.errors import InputError

STORY = '(CNN) -- First  line\n\nHe said: "Second."\n\n@highlight\n\nOne thing\n\n@highlight\n\nAnother thing .\n'


def save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_story_is_article_and_highlights_with_full_stops() -> None:
    article, highlights = parse_story(STORY)
    assert article == ["(CNN) -- First line.", 'He said: "Second."']
    assert highlights == ["One thing.", "Another thing ."]


def cnndm(folder: Path) -> Path:
    for split, name in (("train", "all_train"), ("val", "all_val"), ("test", "all_test")):
        address = f"http://news.example/{split}"
        key = hashlib.sha1(address.encode()).hexdigest()
        save(folder / "url_lists" / f"{name}.txt", f"{address}\n")
        save(folder / ("cnn_stories" if split == "train" else "dailymail_stories") / f"{key}.story", STORY)
    return folder


def test_cnndm_finds_stories_by_the_digest_of_their_address(tmp_path: Path) -> None:
    found = list(read_cnndm(cnndm(tmp_path), " [X_SEP] "))
    assert [split for split, _ in found] == ["train", "valid", "test"]
    pair = found[0][1]
    assert isinstance(pair, Pair)
    assert (pair.source, pair.target) == (
        '(CNN) -- First line. He said: "Second."',
        "One thing. [X_SEP] Another thing .",
    )
    assert pair.id == hashlib.sha1(b"http://news.example/train").hexdigest()


def test_missing_and_empty_stories_are_counted(tmp_path: Path) -> None:
    folder = cnndm(tmp_path / "raw")
    train, valid = (hashlib.sha1(f"http://news.example/{split}".encode()).hexdigest() for split in ("train", "val"))
    save(folder / f"cnn_stories/{train}.story", "\n@highlight\n\nOne\n")
    (folder / f"dailymail_stories/{valid}.story").unlink()
    summary = write(tmp_path / "out", "CNN/DailyMail", [], read_cnndm(folder, " "))
    assert "0 / 0 / 1 pairs" in summary
    assert "1 empty source or target" in summary
    assert "1 addresses of all_val.txt without a story" in summary


def test_folder_without_the_published_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected \.story files below it"):
        list(read_cnndm(tmp_path, " "))
    save(tmp_path / "a.story", STORY)
    with pytest.raises(InputError, match=r"expected a file all_train\.txt below it, found none"):
        list(read_cnndm(tmp_path, " "))
    for folder in ("a", "b"):
        save(tmp_path / folder / "all_train.txt", "http://x\n")
    with pytest.raises(
        InputError, match=r"expected one file all_train\.txt below it, found .*a/all_train.txt, .*b/all"
    ):
        list(read_cnndm(tmp_path, " "))


BBC = "[SN]URL[SN]\nnews.example/1\n\n[SN]FIRST-SENTENCE[SN]\n\nShort.\n\n\n[SN]RESTBODY[SN]\nLong\nbody.\n"


def test_xsum_takes_the_first_sentence_as_target(tmp_path: Path) -> None:
    for id in ("11", "12", "13"):
        save(tmp_path / "bbc-summary-data" / f"{id}.summary", BBC)
    ids = {"train": ["11"], "validation": ["12"], "test": ["13", "99"]}
    save(tmp_path / "XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json", json.dumps(ids))
    found = list(read_xsum(tmp_path))
    assert found[0] == ("train", Pair("11", "Long body.", "Short."))
    assert [split for split, pair in found if pair] == ["train", "valid", "test"]
    assert found[-1] == ("ids of test without a .summary file", None)


def test_malformed_xsum_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected ID\.summary files below it \(bbc-summary-data\), found none"):
        list(read_xsum(tmp_path))
    with pytest.raises(InputError, match=r"x: \[SN\]RESTBODY\[SN\] is missing; found URL, FIRST-SENTENCE"):
        parse_bbc("[SN]URL[SN]a[SN]FIRST-SENTENCE[SN]b", Path("x"))
    save(tmp_path / "1.summary", BBC)
    for content in ("{", "[]", '{"train": 3}'):
        save(tmp_path / "SPLITS-SPLIT.json", content)
        with pytest.raises(
            InputError,
            match=r"SPLITS-SPLIT\.json: (expected a JSON object with a list of ids \(strings\) in 'train'|broken JSON)",
        ):
            list(read_xsum(tmp_path))


def test_gigaword_pairs_article_and_title_files(tmp_path: Path) -> None:
    save(tmp_path / "train/train.article.txt", "police arrested ## people\nb\n")
    save(tmp_path / "train/train.title.txt", "police arrest ##\nc\n")
    save(tmp_path / "train/valid.article.filter.txt", "d\n")
    save(tmp_path / "train/valid.title.filter.txt", "e\n")
    with pytest.raises(
        InputError, match=r"expected input\.txt and task1_ref0\.txt or .* below it for test, found none"
    ):
        list(read_gigaword(tmp_path))
    save(tmp_path / "Giga/input.txt", "f\n")
    save(tmp_path / "Giga/task1_ref0.txt", "g\n")
    found = list(read_gigaword(tmp_path))
    assert [split for split, _ in found] == ["train", "train", "valid", "test"]
    assert found[0][1] == Pair("train-1", "police arrested ## people", "police arrest ##")


def test_dataset_folder_reads_like_the_hub(tmp_path: Path) -> None:
    for name, rows in {
        "train": [
            {"article": "a\nb", "highlights": "x .\ny .", "id": "7"},
            {"article": "", "highlights": "z", "id": "8"},
        ],
        "validation": [{"article": "c", "highlights": "d", "id": "9"}],
        "test": [{"article": "e", "highlights": "f", "id": "10"}],
    }.items():
        save(tmp_path / "raw" / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert is_dataset(str(tmp_path / "raw"))
    found = read_dataset(str(tmp_path / "raw"), "article", "highlights", " [X_SEP] ")
    summary = write(tmp_path / "out", "CNN/DailyMail", [], found)
    first = json.loads((tmp_path / "out/train.jsonl").read_text())
    assert first == {"id": "7", "src": "a b", "tgt": "x . [X_SEP] y ."}
    assert "1 / 1 / 1 pairs (train / valid / test); skipped 1 empty source or target" in summary


def test_dataset_without_the_field_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "train.jsonl", '{"text": "a", "summary": "b"}\n')
    with pytest.raises(InputError, match=r"train\.jsonl:1: 'document' is missing; found 'text', 'summary'"):
        list(read_dataset(str(tmp_path), "document", "summary"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_stories_are_read_whatever_their_lines_end_with_and_marks_may_be_indented(tmp_path: Path, end: str) -> None:
    lines = ["First line", "", "  second line.  ", "  @highlight  ", "", "one thing", "\t@highlight", "another"]
    (tmp_path / "a.story").write_bytes(end.join(lines).encode())
    assert parse_story(read_text(tmp_path / "a.story")) == (["First line.", "second line."], ["one thing.", "another."])


def test_empty_stories_are_counted(tmp_path: Path) -> None:
    addresses = {name: f"http://{name}" for name in ("train", "val", "test")}
    for name, address in addresses.items():
        save(tmp_path / f"all_{name}.txt", address + "\n")
        key = hashlib.sha1(address.encode()).hexdigest()
        save(tmp_path / f"{key}.story", "" if name == "val" else "a\n\n@highlight\n\nb\n")
    summary = write(tmp_path / "out", "t", [], read_cnndm(tmp_path, " "))
    assert summary.endswith("1 / 0 / 1 pairs (train / valid / test); skipped 1 empty source or target")
