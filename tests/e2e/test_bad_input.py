"""What users get wrong, through the command line: one line that says where and what, and no traceback."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from command_line import error_of, unilatent

WORDS = ["the", "a", "tool", "library", "for", "files", "images", "sound", "text", "reads", "writes", "shows"]
WORDS += ["plays", "fast", "small", "free", ".", ","]
SIZES = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 32, "max_positions": 32}
PAIRS = [
    {"id": str(i), "src": f"the {w} reads files and shows text .", "tgt": f"a {w} tool"} for i, w in enumerate(WORDS)
]


def write_lines(path: Path, lines: list[object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer, data, a configuration and a trained run."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "tokenizer").mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "tokenizer/vocab.txt").write_text("\n".join(vocabulary) + "\n")
    write_lines(folder / "train.jsonl", PAIRS)
    config = {
        "task": {
            "train": str(folder / "train.jsonl"),
            "tokenizer": str(folder / "tokenizer"),
            "max_source": 16,
            "max_target": 8,
        },
        "model": SIZES,
        "train": {"max_steps": 2, "max_tokens": 512, "device": "cpu"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    unilatent("train", folder / "config.yaml", "--output", folder / "run")
    return folder


def train_error(home: Path, *overrides: str) -> str:
    shutil.rmtree(home / "other", ignore_errors=True)
    return error_of("train", home / "config.yaml", "--output", home / "other", *overrides)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, r"data.jsonl: cannot be read: No such file"),
        (b"", r"data.jsonl: the file is empty"),
        (b'{"src": "a", "tgt": "b"}\n{"src": "a", \n', r"data.jsonl:2: broken JSON"),
        (b'{"src": "a", "tgt": "b", "id": ' + b"1" * 5000 + b"}\n", r"data.jsonl:1: JSON that cannot be read"),
        (b"[" * 100_000 + b"\n", r"data.jsonl:1: JSON that cannot be read"),
        (b"[1, 2]\n", r"data.jsonl:1: expected a JSON object, found a list"),
        (b'{"src": "the tool"}\n', r"data.jsonl:1: 'tgt' is missing; found 'src'"),
        (
            b'{"src": 3, "tgt": "a"}\n',
            r"data.jsonl:1: 'src' must be a string or a list of tokens, found a number \(3\)",
        ),
        (b'{"src": " ", "tgt": "a"}\n', r"data.jsonl:1: 'src' is empty"),
        (b'{"src": "a", "tgt": ""}\n', r"data.jsonl:1: 'tgt' is empty"),
        (b'{"src": "caf\xe9", "tgt": "a"}\n', r"data.jsonl:1: invalid UTF-8 at byte 13"),
    ],
)
def test_training_data(home: Path, tmp_path: Path, content: bytes | None, found: str) -> None:
    path = tmp_path / "data.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert re.search(found, train_error(home, f"task.train={path}"))


def test_long_sources_are_cut_and_counted(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_lines(tmp_path / "long.jsonl", [*PAIRS, {"src": "the tool " * 40, "tgt": "a tool"}])
    unilatent("train", home / "config.yaml", "--output", tmp_path / "run", f"task.train={path}")
    assert "1 of 19 sources were cut at 14 tokens, special ones not counted" in caplog.text


def test_long_sources_are_refused_when_strict(home: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "long.jsonl", [{"src": "the tool " * 40, "tgt": "a tool"}])
    message = train_error(home, f"task.train={path}", "task.strict=true")
    assert "long.jsonl:1: 'src' has 80 tokens" in message


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("task.max_sorce=5", "task.max_sorce: no such option. Did you mean 'max_source'?"),
        ("optim.lr=fast", "optim.lr: must be a valid number, unable to parse string as a number, found 'fast'"),
        ("optim.lr=-1", "optim.lr: must be greater than 0, found -1"),
        ("trian.max_steps=3", "trian: no such section. Did you mean 'train'?"),
        ("task.name=seq2sec", "no task is called 'seq2sec'. Did you mean 'seq2seq'?"),
        ("model.name=unilmm", "no model is called 'unilmm'. Did you mean 'unilm'?"),
        ("criterion.name=cross-entropy", "no criterion is called 'cross-entropy'. Did you mean 'cross_entropy'?"),
        ("decoder.name=beem", "no decoder is called 'beem'. Did you mean 'beam'?"),
        (
            "task.method=pseudo",
            "task.method: must be 'causal', 'masked', 'pseudo_masked' or 'encoder_decoder', found 'pseudo'",
        ),
        ("imports=[no_such_module]", "imports: cannot import 'no_such_module'"),
        ("task", "'task': an override must read key.path=value"),
    ],
)
def test_configuration(home: Path, override: str, found: str) -> None:
    assert found in train_error(home, override)


def test_all_mistakes_of_a_configuration_are_told_at_once(home: Path) -> None:
    message = train_error(home, "task.max_sorce=5", "optim.lr=-1", "decoder.name=beem")
    assert message.count(";") == 2


@pytest.mark.parametrize("content", ["task: [1", "- 1\n- 2\n", "task: 3\n"])
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.yaml").write_text(content)
    error_of("train", tmp_path / "bad.yaml", "--output", tmp_path / "run")


def test_missing_configuration(tmp_path: Path) -> None:
    assert "none.yaml: cannot be read: No such file" in error_of("train", tmp_path / "none.yaml")


def checkpoint_folder(home: Path, folder: Path, sizes: dict[str, object]) -> Path:
    folder.mkdir()
    shutil.copy(home / "tokenizer/vocab.txt", folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 23, **sizes}))
    return folder


BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
}


def test_checkpoint_of_another_architecture(home: Path, tmp_path: Path) -> None:
    folder = checkpoint_folder(home, tmp_path / "t5", {"model_type": "t5"})
    torch.save({}, folder / "pytorch_model.bin")
    message = train_error(home, f"model={{init: {folder}}}")
    assert "t5" in message
    assert "config.json" in message


def test_checkpoint_whose_tensors_do_not_fit(home: Path, tmp_path: Path) -> None:
    folder = checkpoint_folder(home, tmp_path / "bert", BERT)
    torch.save({"bert.embeddings.word_embeddings.weight": torch.zeros(23, 16)}, folder / "pytorch_model.bin")
    message = train_error(home, f"model={{init: {folder}}}")
    assert "does not fit this model: lacks" in message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_truncated_checkpoint(home: Path, tmp_path: Path, name: str) -> None:
    folder = checkpoint_folder(home, tmp_path / "bert", BERT)
    whole = (home / "run/model.safetensors").read_bytes()
    if name == "pytorch_model.bin":
        torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.bin")
        whole = (tmp_path / "whole.bin").read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    assert name in train_error(home, f"model={{init: {folder}}}")


class Payload:
    """Unpickling this would run code: it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)


def test_checkpoint_that_would_run_code(home: Path, tmp_path: Path) -> None:
    folder = checkpoint_folder(home, tmp_path / "bert", BERT)
    marker = tmp_path / "ran"
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"weight": Payload(marker)}, file)
    assert "pytorch_model.bin" in train_error(home, f"model={{init: {folder}}}")
    assert not marker.exists()


def test_tokenizer_and_model_that_disagree(home: Path, tmp_path: Path) -> None:
    folder = checkpoint_folder(home, tmp_path / "bert", BERT | {"vocab_size": 20})
    message = train_error(home, f"model={{init: {folder}}}")
    assert "the tokenizer has 23 tokens" in message
    assert "20" in message


def test_decoding_something_that_is_no_run(tmp_path: Path) -> None:
    assert "not a run folder" in error_of("decode", tmp_path, "--input", "x", "--output", "y")


def test_a_section_is_not_a_name(home: Path, tmp_path: Path) -> None:
    message = error_of("decode", home / "run", "decoder=sampling", "--output", tmp_path / "out.jsonl")
    assert "decoder: must be a mapping of options, found 'sampling'" in message


def test_a_reader_that_has_had_enough_is_no_mistake(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_lines(tmp_path / "in.jsonl", PAIRS[:2])
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed, contextlib.suppress(BrokenPipeError):
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(SystemExit) as ending:
            unilatent("decode", home / "run", "--input", source)
        closed.close()
    assert isinstance(ending.value.code, int)
    assert ending.value.code > 0


def test_a_log_that_was_cut_off_is_shown(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    with (tmp_path / "run/log.jsonl").open("a") as log:
        log.write('{"split": "train", "st')
    unilatent("show", tmp_path / "run")
    assert 'last training record: {"split": "train", "step": 2' in capsys.readouterr().out


def test_converting_into_a_file(home: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    assert "taken: the model cannot be written" in error_of("convert", home / "run", tmp_path / "taken")


def test_output_of_another_input(home: Path, tmp_path: Path) -> None:
    first = write_lines(tmp_path / "first.jsonl", PAIRS[:5])
    second = write_lines(tmp_path / "second.jsonl", PAIRS[5:])
    unilatent("decode", home / "run", "--input", first, "--output", tmp_path / "out.jsonl")
    message = error_of("decode", home / "run", "--input", second, "--output", tmp_path / "out.jsonl")
    assert "out.jsonl" in message
    assert "--overwrite" in message


def test_bad_lines_do_not_stop_the_others(home: Path, tmp_path: Path) -> None:
    lines = [json.dumps(PAIRS[0]), "{", json.dumps({"id": "7", "src": ""}), json.dumps(PAIRS[1])]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    unilatent("decode", home / "run", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl")
    outputs = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [output["tgt"] is None for output in outputs] == [False, True, True, False]
    assert len((tmp_path / "out.jsonl.errors.jsonl").read_text().splitlines()) == 2


def test_strict_decoding_stops_at_a_bad_line(home: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps(PAIRS[0]) + "\n{\n")
    message = error_of(
        "decode", home / "run", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", "--strict"
    )
    assert "in.jsonl:2: broken JSON" in message


def test_resuming_with_a_changed_configuration(home: Path) -> None:
    message = error_of("train", home / "config.yaml", "--output", home / "run", "optim.lr=1e-3")
    assert "optim.lr was 5e-05, is now 0.001" in message


def test_unknown_option_names_are_explained(home: Path) -> None:
    assert "Did you mean 'beam'?" in error_of("options", "decoder", "beem")
