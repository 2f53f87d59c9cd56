"""Folders of fairseq-preprocess. Those in data/fairseq were written by fairseq-fixed 0.12.3.1 (mmap, its default)."""

import re
import shutil
import struct
from pathlib import Path

import pytest
from tiny_models import write_encoder

from data_prep.fairseq_data import joined, languages_of, read_dictionary, read_sequences, read_splits
from data_prep.fairseq_text import write
from s2s.errors import InputError

GOLDEN = Path(__file__).parent / "data/fairseq"
INDEX, DATA = "train.en-de.en.idx", "train.en-de.en.bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "data"))


def read(folder: Path) -> dict[str, list[tuple[object, object]]]:
    splits = read_splits(folder, ("en", "de"), "subword_nmt")
    return {name: [(pair.source, pair.target) for pair in pairs] for name, pairs in splits.items()}


def test_what_fairseq_wrote_is_the_text_that_it_was_given() -> None:
    assert languages_of(GOLDEN) == ("en", "de")
    assert read(GOLDEN) == {
        "train": [("the tool reads files", "a tool"), ("café € 5 !", "the café"), ("an odd word", "odd")],
        "valid": [("the <unk> tool", "a café")],
    }


def test_parts_of_a_split_are_read_one_after_the_other(folder: Path) -> None:
    for name in ("en.idx", "en.bin", "de.idx", "de.bin"):
        shutil.copy(folder / f"valid.en-de.{name}", folder / f"train1.en-de.{name}")
    assert read(folder)["train"][3] == ("the <unk> tool", "a café")
    assert [pair.id for pair in read_splits(folder, ("en", "de"), "words")["train"]][3] == "train-4"


def test_items_become_text_as_post_process_of_fairseq_makes_it() -> None:
    assert joined(["un@@", "seen", "it@@"], "subword_nmt") == "unseen it"
    assert joined(["▁an", "y", "▁one"], "sentencepiece") == "any one"
    assert joined(["any", "##one", "is"], "wordpiece") == "anyone is"
    assert joined(["any", "##one"], "items") == ["any", "##one"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("word", "'word'"),
        ("word many", "'word many'"),
        ("word -3", "'word -3'"),
        ("word 1.5", "'word 1.5'"),
        ("", "''"),
    ],
)
def test_a_dictionary_with_a_bad_count_is_refused_by_its_line(tmp_path: Path, line: str, found: str) -> None:
    (tmp_path / "dict.txt").write_text(f"fine 3\n{line}\n")
    with pytest.raises(
        InputError, match=re.escape(f"dict.txt:2: expected an item, a space and its count, found {found}")
    ):
        read_dictionary(tmp_path / "dict.txt")


def test_an_item_that_comes_twice_is_refused_unless_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "dict.txt").write_text("one 3\none 2 #fairseq:overwrite\ntwo words 1\n")
    assert read_dictionary(tmp_path / "dict.txt")[4:] == ["one", "one", "two words"]
    for twice in ("one", "<pad>"):
        (tmp_path / "dict.txt").write_text(f"one 3\n{twice} 2\n")
        with pytest.raises(InputError, match=re.escape(f"dict.txt:2: '{twice}' comes twice")):
            read_dictionary(tmp_path / "dict.txt")


@pytest.mark.parametrize("length", [*range(26), 30, 61])
def test_a_truncated_index_is_refused(folder: Path, length: int) -> None:
    content = (folder / INDEX).read_bytes()
    (folder / INDEX).write_bytes(content[:length])
    with pytest.raises(InputError, match=rf"{re.escape(INDEX)}: (truncated|expected an index)"):
        read(folder)


@pytest.mark.parametrize("length", [0, 1, 9, 31])
def test_truncated_data_are_refused(folder: Path, length: int) -> None:
    (folder / DATA).write_bytes((folder / DATA).read_bytes()[:length])
    with pytest.raises(InputError, match=rf"{re.escape(DATA)}: truncated.*found {length} bytes"):
        read(folder)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"TNTIDX\x00\x00\x00", "expected an index of fairseq-preprocess with --dataset-impl mmap"),
        (9, struct.pack("<Q", 2), "found version 2"),
        (17, b"\x07", "expected version 1 and integers, found version 1 and kind 7"),
        (18, struct.pack("<Q", 2**62), "truncated or damaged"),
    ],
)
def test_another_index_is_refused(folder: Path, at: int, value: bytes, message: str) -> None:
    content = bytearray((folder / INDEX).read_bytes())
    content[at : at + len(value)] = value
    (folder / INDEX).write_bytes(content)
    with pytest.raises(InputError, match=f"{re.escape(INDEX)}: .*{message}"):
        read(folder)


@pytest.mark.parametrize("at", [26, 38])
def test_an_index_that_points_outside_its_data_is_refused(folder: Path, at: int) -> None:
    content = bytearray((folder / INDEX).read_bytes())
    content[at : at + 4] = struct.pack("<i", -2)
    (folder / INDEX).write_bytes(content)
    with pytest.raises(InputError, match="truncated, or of another index: sequence 1 of 3"):
        read_sequences(folder / INDEX.removesuffix(".idx"))


def test_an_id_that_the_dictionary_lacks_is_refused(folder: Path) -> None:
    lines = (folder / "dict.en.txt").read_text().splitlines()
    (folder / "dict.en.txt").write_text("\n".join(lines[:5]) + "\n")
    with pytest.raises(
        InputError, match=r"train\.en-de\.en\.bin: sequence 1 holds the id \d+; its dictionary has 9 items"
    ):
        read(folder)


def test_sides_of_different_length_are_refused(folder: Path) -> None:
    for suffix in ("idx", "bin"):
        shutil.copy(folder / f"valid.en-de.de.{suffix}", folder / f"train.en-de.de.{suffix}")
    with pytest.raises(
        InputError, match=re.escape("train.en-de.de.bin: expected as many sequences as train.en-de.en.bin")
    ):
        read(folder)


def test_a_folder_without_such_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected files such as train\.src-tgt\.src\.idx .*, found none"):
        languages_of(tmp_path)
    with pytest.raises(InputError, match=r"expected a folder of fairseq-preprocess with train\.a-b\.a\.idx"):
        read_splits(tmp_path, ("a", "b"), "words")


def test_a_corpus_becomes_items_and_a_dictionary_without_special_tokens(tmp_path: Path) -> None:
    write_encoder(tmp_path / "encoder", ["any", "##one", "word"])
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/train.jsonl").write_text('{"src": "anyone Ab", "tgt": "word €"}\n')
    summary = write(tmp_path / "out", tmp_path / "corpus", str(tmp_path / "encoder"))
    assert (tmp_path / "out/train.src").read_text() == "any ##one a ##b\n"
    assert (tmp_path / "out/train.tgt").read_text() == "word <unk>\n"
    items = read_dictionary(tmp_path / "out/dict.txt")
    assert items[:8] == ["<s>", "<pad>", "</s>", "<unk>", "[MASK]", "any", "##one", "word"]
    assert summary.endswith(f"1 of train; a dictionary of {len(items) - 4} items")


def test_a_folder_without_splits_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a prepared corpus with train\.jsonl"):
        write(tmp_path / "out", tmp_path, "unread")
