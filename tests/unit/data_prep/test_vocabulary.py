"""New vocabularies: the same ids here, in transformers and in sentencepiece; the same files every time."""

from __future__ import annotations

import errno
import os
import random
import sys
from pathlib import Path

import pytest

from data_prep.vocabulary import SPECIAL, Kind, train
from s2s.data.tokenizer import Tokenizer
from s2s.errors import InputError

KINDS: list[Kind] = ["wordpiece", "unigram", "bpe"]
TRICKY = ["  two  blanks ", "", "Ünïcode ﬁne ½", "unseen漢字", "tab\there\nline", "a\u00a0b"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = random.Random(0)
    syllables = ["ka", "Lo", "mi", "nü", "ra", "te", "so", "vi"]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 4))) for _ in range(150)]
    path = tmp_path_factory.mktemp("raw") / "text.txt"
    path.write_text("\n".join(" ".join(generator.choices(words, k=9)) + "." for _ in range(400)), encoding="utf-8")
    return path


def vocabulary(folder: Path, raw: Path, kind: Kind, lower_case: bool = True, size: int = 120) -> Path:
    train(folder, [str(raw)], kind, size, lower_case, "line", "text", max_sentences=300, seed=1)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lower_case", [True, False])
def test_transformers_reads_the_folder_and_gives_the_same_ids(
    tmp_path: Path, raw: Path, kind: Kind, lower_case: bool
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = vocabulary(tmp_path, raw, kind, lower_case)
    ours, theirs = Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    texts = [*raw.read_text().splitlines()[:50], *TRICKY]
    assert ours.encode_many(texts) == theirs(texts, add_special_tokens=False)["input_ids"]
    assert theirs.convert_ids_to_tokens(theirs("x", "y")["input_ids"])[0] == "[CLS]"
    assert (theirs.mask_token_id, theirs.pad_token_id, theirs.sep_token_id) == (4, 0, 3)
    lowered = {token: token == token.lower() for token in ours.tokens(range(6, ours.vocab_size))}
    assert all(lowered.values()) is lower_case


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_items_are_the_special_ones_and_no_text_is_lost(tmp_path: Path, raw: Path, kind: Kind) -> None:
    tokenizer = Tokenizer.load(vocabulary(tmp_path, raw, kind, size=110))
    assert tokenizer.tokens(range(6)) == list(SPECIAL)
    assert tokenizer.special_ids == list(range(6))
    assert tokenizer.vocab_size <= 110
    for line in raw.read_text().splitlines()[:50]:
        ids = tokenizer.encode(line)
        assert tokenizer.unknown not in ids
        plain = line.lower() if kind != "wordpiece" else line.lower().replace("ü", "u").replace(".", " .")
        assert tokenizer.text(ids).replace(" .", ".") == plain.replace(" .", ".")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("lower_case", [True, False])
def test_ids_are_those_of_sentencepiece(tmp_path: Path, raw: Path, kind: Kind, lower_case: bool) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = vocabulary(tmp_path, raw, kind, lower_case)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    texts = [*raw.read_text().splitlines(), *TRICKY]
    assert Tokenizer.load(folder).encode_many(texts) == [theirs.encode(text) for text in texts]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_gives_the_same_files(tmp_path: Path, raw: Path, kind: Kind) -> None:
    first, second = (vocabulary(tmp_path / name, raw, kind) for name in "ab")
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(
        ["tokenizer.json", "tokenizer_config.json", "vocab.txt" if kind == "wordpiece" else "spiece.model"]
    )
    assert [(first / name).read_bytes() for name in names] == [(second / name).read_bytes() for name in names]


def test_vocab_txt_alone_is_the_same_wordpiece_tokenizer(tmp_path: Path, raw: Path) -> None:
    folder = vocabulary(tmp_path / "a", raw, "wordpiece")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
    texts = [*raw.read_text().splitlines()[:50], *TRICKY]
    assert Tokenizer.load(tmp_path / "b").encode_many(texts) == Tokenizer.load(folder).encode_many(texts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_cannot_be_is_told_in_one_line(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "a.txt").write_text(" ".join(f"x{chr(number)}" for number in range(0x430, 0x44F)) * 9)
    with pytest.raises(InputError, match=r"--size (20|40): .+") as failure:
        train(
            tmp_path / "v",
            [str(tmp_path / "a.txt")],
            kind,
            40 if kind == "wordpiece" else 20,
            True,
            "line",
            "text",
            9,
            0,
        )
    assert "\n" not in str(failure.value)
    assert not (tmp_path / "v").exists()


def test_input_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"\xff\n \n")
    with pytest.raises(InputError, match=r"b\.txt: no text to learn a vocabulary from"):
        train(tmp_path / "v", [str(tmp_path / "b.txt")], "wordpiece", 900, True, "line", "text", 9, 0)


def test_a_missing_sentencepiece_names_the_extra(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(InputError, match=r"--kind unigram: needs the package sentencepiece: pip install 'unilatent\["):
        vocabulary(tmp_path, raw, "unigram")


def test_the_tokenizer_of_a_run_is_not_replaced(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(InputError, match="is a run folder, whose files would be replaced"):
        vocabulary(tmp_path, raw, "wordpiece")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_disk_without_room_is_one_line(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot be written: No space left on device"):
        vocabulary(tmp_path, raw, "wordpiece")


def test_a_vocabulary_of_words_has_the_most_frequent_ones(tmp_path: Path) -> None:
    raw = tmp_path / "raw.txt"
    raw.write_text(
        "The Café is open.\n" * 3 + "The bar is shut.\n" * 40 + "Rare words: " + " ".join("abcdefgh") * 9 + "\n"
    )
    vocabulary(tmp_path / "words", raw, "words", size=64)
    tokenizer = Tokenizer.load(tmp_path / "words")
    ids = tokenizer.encode("The zoo is open.")
    assert ids[1] == tokenizer.unknown, "others are unknown"
    assert [tokenizer.text([id]) for id in ids if id != tokenizer.unknown] == ["the", "is", "open", "."]
    assert (tmp_path / "words/vocab.txt").read_text().splitlines()[6:11] == [".", "is", "the", "bar", "shut"]
    vocabulary(tmp_path / "few", raw, "words", lower_case=False, size=11)
    assert (tmp_path / "few/vocab.txt").read_text().splitlines()[6:] == [".", "The", "is", "bar", "shut"]
