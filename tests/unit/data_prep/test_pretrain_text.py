"""`prepare pretrain-text` as a whole: shards follow from text and seed alone, bad input is counted or told."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers

from data_prep.pretrain_text import joining, preparation
from data_prep.pretrain_text.exclusion import Exclusion
from data_prep.pretrain_text.preparation import prepare
from data_prep.pretrain_text.settings import Settings
from s2s.data.shards import Shards
from s2s.data.tokenizer import Tokenizer
from s2s.durable import claimed
from s2s.errors import InputError
from s2s.generation.job_array import Shard
from unilatent.commands.join import join

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{number}" for number in range(40)]


def tokenizer_folder(folder: Path, special: list[str] = SPECIAL) -> str:
    backend = Backend(models.WordLevel({token: id for id, token in enumerate([*special, ".", *WORDS])}, "[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return str(folder)


def text_of(seed: int, sentences: int) -> str:
    generator = random.Random(seed)
    return " ".join(
        " ".join(generator.choices(WORDS, k=generator.randint(2, 9))).capitalize() + "." for _ in range(sentences)
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Sixty documents, forty of them different, in a folder of JSON lines and text."""
    raw = tmp_path / "raw"
    raw.mkdir()
    documents = [text_of(number % 40, 1 + number % 40 % 13) for number in range(60)]
    (raw / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents[:35]))
    for number, text in enumerate(documents[35:]):
        (raw / f"b{number}.txt").write_text(text)
    return Settings(
        inputs=(str(raw),),
        tokenizer=tokenizer_folder(tmp_path / "tokenizer"),
        document="file",
        field="text",
        exclude=(),
        exclude_words=6,
        exclude_shortest=3,
        max_length=24,
        min_tokens=2,
        valid_share=0.2,
        shard_tokens=400,
        seed=5,
    )


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def examples_in(folder: Path, split: str) -> list[list[str]]:
    tokenizer = Tokenizer.load(folder / "tokenizer")
    shards = Shards.read(folder, split, tokenizer)
    return [tokenizer.tokens(shards[i].ids) for i in range(len(shards))]


def stats_of(folder: Path) -> dict[str, dict[str, int]]:
    return dict(json.loads((folder / "stats.json").read_text()))


def test_every_different_document_is_there_once(tmp_path: Path, settings: Settings) -> None:
    prepare(tmp_path / "out", settings, 1)
    found = examples_in(tmp_path / "out", "train") + examples_in(tmp_path / "out", "valid")
    words = sorted(token for example in found for token in example if token.startswith("w"))
    expected = {text_of(number, 1 + number % 13) for number in range(40)}
    assert words == sorted(word.strip(".").lower() for text in expected for word in text.split())
    splits = stats_of(tmp_path / "out")["splits"]
    assert sum(facts["duplicates"] for facts in splits.values()) == 20  # type: ignore[index,attr-defined]
    assert sum(facts["documents"] for facts in splits.values()) == 40  # type: ignore[index,attr-defined]


def test_examples_have_two_segments_of_whole_sentences(tmp_path: Path, settings: Settings) -> None:
    prepare(tmp_path / "out", settings, 1)
    for example in examples_in(tmp_path / "out", "train"):
        first, *second = " ".join(example[1:-1]).split(" [SEP] ")
        assert example[0] == "[CLS]"
        assert example[-1] == "[SEP]"
        assert first.endswith(".")
        assert len(example) <= 24
        assert len(second) <= 1
        assert all(segment.endswith(".") for segment in second)


def test_processes_parts_and_order_of_inputs_leave_no_trace(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path / "one", settings, 1)
    prepare(tmp_path / "two", settings, 2)
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    monkeypatch.setattr(preparation, "_PART", 300)
    files = sorted(map(str, Path(settings.inputs[0]).iterdir()), reverse=True)
    prepare(tmp_path / "three", replace(settings, inputs=tuple(files)), 1)
    one, three = files_in(tmp_path / "one"), files_in(tmp_path / "three")
    shards = [name for name in one if name.endswith(".parquet")]
    assert len(shards) > 3
    assert [three[name] for name in shards] == [one[name] for name in shards]


@pytest.mark.parametrize("count", [1, 3, 40])
def test_what_tasks_have_tokenized_is_joined_to_the_files_of_one_process(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(preparation, "_PART", 300)
    monkeypatch.setattr(joining, "available_cores", lambda: 1)
    prepare(tmp_path / "one", settings, 1)
    for number in range(1, count + 1):
        said = prepare(tmp_path / "out", settings, 1, Shard(number, count))
    assert "parts of the text tokenized" in said
    join(tmp_path / "out", remove=True)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "one")
    assert "nothing was left to do" in prepare(tmp_path / "out", settings, 1)
    assert not [*tmp_path.glob("out.shard*")]


def test_tasks_that_are_missing_killed_or_of_another_job_are_not_joined(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_PART", 300)
    monkeypatch.setattr(joining, "available_cores", lambda: 1)
    out, runs = tmp_path / "out", list[Path]()

    def killed_at_the_second(path: Path, *given: object) -> None:
        if len(runs) == 1:
            raise KeyboardInterrupt
        runs.append(path)
        write(path, *given)  # type: ignore[arg-type]

    write = preparation.write_run
    monkeypatch.setattr(preparation, "write_run", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        prepare(out, settings, 1, Shard(2, 3))
    monkeypatch.setattr(preparation, "write_run", write)
    prepare(out, settings, 1, Shard(1, 3))
    with pytest.raises(InputError, match="of 3 shards, 1 are missing: 3;"):
        join(out)
    prepare(out, replace(settings, seed=9), 1, Shard(3, 3))
    with pytest.raises(InputError, match="of 3 shards, 1 are not finished: 2;"):
        join(out)
    prepare(out, settings, 1, Shard(2, 3))
    with pytest.raises(InputError, match=r"out\.shard-3-of-3: is of another job than .*: plan\.seed differs"):
        join(out)
    shutil.rmtree(tmp_path / "out.shard-3-of-3")
    prepare(out, settings, 1, Shard(3, 3))
    join(out)
    prepare(tmp_path / "one", settings, 1)
    assert files_in(out) == files_in(tmp_path / "one")
    join(out, overwrite=True)
    assert files_in(out) == files_in(tmp_path / "one")


def test_another_seed_gives_another_order(tmp_path: Path, settings: Settings) -> None:
    prepare(tmp_path / "one", replace(settings, valid_share=0), 1)
    prepare(tmp_path / "two", replace(settings, valid_share=0, seed=6), 1)
    one, two = (examples_in(tmp_path / name, "train") for name in ("one", "two"))
    assert one != two
    assert sorted(len(example) for example in one) != [len(example) for example in one]


def test_train_and_valid_share_no_document(tmp_path: Path, settings: Settings) -> None:
    prepare(tmp_path / "out", settings, 1)
    train, valid = (set(map(tuple, examples_in(tmp_path / "out", split))) for split in ("train", "valid"))
    assert valid
    assert not train & valid


@pytest.mark.parametrize("stop", ["write_run", "write_shard", "card"])
def test_a_preparation_that_stopped_anywhere_ends_in_the_same_files(
    tmp_path: Path, settings: Settings, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "_PART", 500)
    prepare(tmp_path / "whole", settings, 1)
    original = getattr(preparation, stop)
    calls = 0

    def failing(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls % 3 == 0 or stop == "card":
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(preparation, stop, failing)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "stopped", settings, 1)
    assert not (tmp_path / "stopped/stats.json").exists()
    monkeypatch.setattr(preparation, stop, original)
    prepare(tmp_path / "stopped", settings, 1)
    assert files_in(tmp_path / "stopped") == files_in(tmp_path / "whole")


def test_a_killed_preparation_leaves_no_process_and_is_continued(tmp_path: Path, settings: Settings) -> None:
    large = tmp_path / "large.txt"  # three parts; of long words, which are quickly tokenized
    large.write_text("\n".join(f"{'x' * 9_000} {text_of(number, 12)}" for number in range(1_000)))
    settings = replace(settings, inputs=(str(large),), document="line", shard_tokens=30_000)
    command = [sys.executable, "-m", "unilatent", "prepare", "pretrain-text", str(tmp_path / "killed")]
    command += ["--input", str(large), "--processes", "2"]
    for name in ("tokenizer", "document", "max_length", "min_tokens", "valid_share", "shard_tokens", "seed"):
        command += [f"--{name.replace('_', '-')}", str(getattr(settings, name))]
    command += ["--exclude-words", "6", "--exclude-shortest", "3"]
    process = subprocess.Popen(command)
    while not list(tmp_path.glob("killed/.preparation/*.run")) and process.poll() is None:
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    assert not (tmp_path / "killed/stats.json").exists()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    subprocess.run(command, check=True, capture_output=True)
    prepare(tmp_path / "whole", settings, 1)
    assert files_in(tmp_path / "killed") == files_in(tmp_path / "whole")


def test_a_finished_folder_is_left_as_it_is_and_another_preparation_refused(tmp_path: Path, settings: Settings) -> None:
    prepare(tmp_path / "out", settings, 1)
    before = files_in(tmp_path / "out")
    assert "nothing was left to do" in prepare(tmp_path / "out", settings, 1)
    with pytest.raises(InputError, match=r"out: belongs to another job \(max_length was 24, is now 30\); choose"):
        prepare(tmp_path / "out", replace(settings, max_length=30), 1)
    (Path(settings.inputs[0]) / "b1.txt").write_text("W1.")
    with pytest.raises(InputError, match=r"another job \(an input file has changed\)"):
        prepare(tmp_path / "out", settings, 1)
    assert files_in(tmp_path / "out") == before


def test_two_preparations_cannot_write_one_folder(tmp_path: Path, settings: Settings) -> None:
    refused = pytest.raises(InputError, match=r"out: another process is writing it; wait for it, or choose another")
    with claimed(tmp_path / "out", tmp_path / "out/.preparation.lock"), refused:
        prepare(tmp_path / "out", settings, 1)
    prepare(tmp_path / "out", settings, 1)
    assert not list((tmp_path / "out").glob(".*"))


# test sets


def test_nothing_of_a_test_set_is_in_the_shards(tmp_path: Path, settings: Settings) -> None:
    raw = Path(settings.inputs[0])
    sources = [text_of(900 + number, 3) for number in range(4)]
    targets = ["W1 w1 w2 w2 w3.", "W39 w39 w39"]
    pairs = [{"id": "x", "src": source, "tgt": target} for source, target in zip(sources, targets * 2, strict=True)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (raw / "leak1.txt").write_text(f"{text_of(77, 3)} {sources[1].upper()}\n\n{text_of(78, 2)}")
    (raw / "leak2.txt").write_text(f"{text_of(79, 3)} {targets[0]}")
    (raw / "leak3.txt").write_text(" ".join(sources[2].split()[1:9]))
    settings = replace(settings, exclude=(str(tmp_path / "test.jsonl"),), exclude_words=7, valid_share=0)
    prepare(tmp_path / "out", settings, 1)
    test = Exclusion.read(tmp_path / "test.jsonl", 7, 3)
    assert not any(test.matches(" ".join(example)) for example in examples_in(tmp_path / "out", "train"))
    reason = f"left out: documents that share words with {tmp_path / 'test.jsonl'}"
    assert stats_of(tmp_path / "out")["counts"][reason] == 3
    assert "/test.jsonl | 8 | 0 | 3 |" in (tmp_path / "out/DATA_CARD.md").read_text()


# bad input


def test_bad_documents_are_left_out_and_counted(tmp_path: Path, settings: Settings) -> None:
    raw = tmp_path / "bad"
    raw.mkdir()
    (raw / "latin1.txt").write_bytes("w1 w2 ü.".encode("latin-1"))
    (raw / "surrogate.jsonl").write_text('{"text": "w1 \\ud800 w2"}\n')
    (raw / "empty.txt").write_bytes(b"")
    (raw / "blank.txt").write_bytes(b" \n\n\t")
    (raw / "short.txt").write_bytes(b"w1")
    (raw / "good.txt").write_bytes(b"\xef\xbb\xbfw1 w2 w3.")
    prepare(tmp_path / "out", replace(settings, inputs=(str(raw),), valid_share=0), 1)
    counts = stats_of(tmp_path / "out")["counts"]
    assert {name: count for name, count in counts.items() if count and name.startswith("left out")} == {
        "left out: documents with broken UTF-8": 2,
        "left out: empty documents": 2,
        "left out: documents of fewer than 2 tokens": 1,
    }
    assert examples_in(tmp_path / "out", "train") == [["[CLS]", "w1", "w2", "w3", ".", "[SEP]"]]
    assert "- left out: empty documents: 2" in (tmp_path / "out/DATA_CARD.md").read_text()


@pytest.mark.parametrize("name", ["long.txt", "long.jsonl"])
def test_an_overlong_line_is_cut_and_counted(tmp_path: Path, settings: Settings, name: str) -> None:
    line = f"{'x' * 9_999} " * 330
    (tmp_path / name).write_text(json.dumps({"text": line}) if name.endswith("l") else line)
    prepare(tmp_path / "out", replace(settings, inputs=(str(tmp_path / name),), document="line", valid_share=0), 1)
    facts = stats_of(tmp_path / "out")
    assert facts["counts"]["cut: documents longer than 1 MiB"] == 1
    assert facts["counts"]["documents kept, duplicates among them"] == 4  # three of 1,040,000 bytes, and the rest
    assert facts["splits"]["train"]["documents"] == 2  # type: ignore[index]


def test_a_tokenizer_without_mask_token_is_refused(tmp_path: Path, settings: Settings) -> None:
    folder = tokenizer_folder(tmp_path / "maskless", [token for token in SPECIAL if token != "[MASK]"])
    with pytest.raises(InputError, match=r"maskless: it has no mask token \(\[MASK\] or <mask>\)"):
        prepare(tmp_path / "out", replace(settings, tokenizer=folder), 1)


def test_input_without_text_is_refused(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "blank.txt").write_text("\n")
    with pytest.raises(InputError, match=r"out: no text to write; .*1 left out: empty documents"):
        prepare(tmp_path / "out", replace(settings, inputs=(str(tmp_path / "blank.txt"),)), 1)


def test_a_bad_record_stops_every_process_with_one_line(tmp_path: Path, settings: Settings) -> None:
    (Path(settings.inputs[0]) / "c.jsonl").write_text('{"text": "w1 w2."}\n{"body": "w1"}\n')
    with pytest.raises(InputError, match=r"c\.jsonl:2: expected an object with the field 'text', found 'body'"):
        prepare(tmp_path / "out", settings, 2)


def test_inputs_too_short_for_the_tokens_asked_for_are_refused(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(InputError, match=r"--max-length must be more than --min-tokens and the 3 special tokens \(5\)"):
        prepare(tmp_path / "out", replace(settings, max_length=5), 1)


def test_shards_of_unknown_origin_are_not_overwritten(tmp_path: Path, settings: Settings) -> None:
    prepare(tmp_path / "out", settings, 1)
    (tmp_path / "out/stats.json").unlink()
    with pytest.raises(InputError, match="holds shards that no preparation wrote"):
        prepare(tmp_path / "out", settings, 1)
    shutil.rmtree(tmp_path / "out")


@pytest.mark.parametrize("name", ["empty.jsonl", "blank.txt", "binary.txt"])
def test_inputs_without_text_leave_nothing_behind(tmp_path: Path, settings: Settings, name: str) -> None:
    path = tmp_path / name
    path.write_bytes({"empty.jsonl": b"", "blank.txt": b"\n \n", "binary.txt": b"\xff\xfe\x00" * 9}[name])
    with pytest.raises(InputError, match="out: no text to write"):
        prepare(tmp_path / "out", replace(settings, inputs=(str(path),)), 1)
    assert not (tmp_path / "out").exists()
