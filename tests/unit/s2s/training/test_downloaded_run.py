"""A run folder that somebody else packed: it loads, or it is one line; it runs no code unasked."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import error_of, unilatent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s import checkpoint
from s2s.errors import InputError
from s2s.registry import TRUSTED, trusting_imports
from s2s.run import build_model, build_task, load_config, load_model, load_run, parse_config, resolve

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmno"]
SIZES = {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "intermediate_size": 8}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The configuration of a tiny run, and the folder it lies in."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    train = folder.with_name("train.jsonl")
    train.write_text('{"src": "a b c", "tgt": "a b"}\n')
    tree = {
        "task": {
            "train": str(train),
            "valid": str(train),
            "tokenizer": str(folder),
            "max_source": 8,
            "max_target": 8,
        },
        "model": SIZES,
        "train": {"max_steps": 1},
    }
    config = parse_config(tree)
    task = build_task(config)
    config = resolve(config, task.model_defaults())
    task.save(folder)
    model = build_model(config)
    checkpoint.write_weights(checkpoint.named_tensors(model), folder / checkpoint.WEIGHTS)
    train.unlink()
    return {"folder": folder, "tree": config.tree()}


@pytest.fixture
def run(packed: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Writes the run folder with a configuration of one's own."""

    def write(tree: Any, words: list[str] | None = None) -> Path:
        folder = tmp_path / "cool_model"
        folder.mkdir(exist_ok=True)
        for file in packed["folder"].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        text = tree if isinstance(tree, str) else yaml.safe_dump(tree)
        (folder / checkpoint.CONFIG).write_text(text)
        if words is not None:
            (folder / "tokenizer.json").unlink()
            (folder / "vocab.txt").write_text("\n".join(words))
        return folder

    return write


def test_a_whole_run_loads(run: Callable[..., Path], packed: dict[str, Any]) -> None:
    config, _, model, _ = load_run(run(packed["tree"]))
    assert config.model.config.vocab_size == len(WORDS)  # type: ignore[attr-defined]
    assert not model.training


ODD = [{}, None, "foo", 5, [], ["beam"], True, {"name": ["beam"]}, {"name": None}, {"name": "no such"}, {"x" * 5000: 1}]


@pytest.mark.parametrize("section", ["task", "model", "criterion", "decoder", "optim", "train", "imports", "seed"])
@pytest.mark.parametrize("value", ODD, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("overrides", [[], ["decoder.name=beam", "task.max_source=6"]])
def test_a_section_of_another_kind_loads_or_is_one_line(
    section: str, value: Any, overrides: list[str], run: Callable[..., Path], packed: dict[str, Any]
) -> None:
    if section == "model" and not (isinstance(value, str) or (isinstance(value, dict) and "name" in value)):
        value = {"num_layers": value}  # without sizes it would be a BERT, which takes seconds
    with contextlib.suppress(InputError):
        load_run(run({**packed["tree"], section: value}), overrides)


@pytest.mark.parametrize("text", ["", "{}", "[]", "foo", "task: foo", "task: null", "decoder: null", "- a\n- b", "\0"])
def test_another_document_is_one_line(text: str, run: Callable[..., Path]) -> None:
    for load in (load_run, load_model):
        with pytest.raises(InputError, match="cool_model"):
            load(run(text))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("x" * 5000)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_option_of_any_value_loads_or_is_one_line(
    run: Callable[..., Path], packed: dict[str, Any], data: st.DataObject
) -> None:
    tree = copy.deepcopy(packed["tree"])
    section = data.draw(st.sampled_from(["task", "model", "criterion", "decoder", "optim", "train"]))
    option = data.draw(st.sampled_from(sorted(tree[section])))
    tree[section][option] = data.draw(LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.text(), LEAVES))
    with contextlib.suppress(InputError):
        load_run(run(tree))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*WORDS, "p", "q"], "the tokenizer has 22 tokens, model.vocab_size has 20; they must agree"),
        (WORDS[:-1], "the tokenizer has 19 tokens, model.vocab_size has 20; they must agree"),
        (WORDS[:6], "the tokenizer has 6 tokens"),
        ([], "cool_model"),
    ],
)
def test_a_tokenizer_of_another_size_is_refused(
    words: list[str], message: str, run: Callable[..., Path], packed: dict[str, Any]
) -> None:
    for load in (load_run, load_model):
        with pytest.raises(InputError, match=message):
            load(run(packed["tree"], words))


@pytest.fixture
def evil(run: Callable[..., Path], packed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder in the working directory that brings code, as a download might."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(TRUSTED, raising=False)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    folder = run({**packed["tree"], "imports": ["cool_model.layers"]})
    (folder / "layers.py").write_text("from pathlib import Path\nPath('code_was_run').touch()\n")
    yield folder
    for name in ("cool_model", "cool_model.layers"):
        sys.modules.pop(name, None)


VERBS = {
    "decode": ["decode", "cool_model", "--input", "in.jsonl", "--output", "out.jsonl", "--device", "cpu"],
    "rerank": ["rerank", "cool_model", "--trace", "trace.jsonl", "--length-penalty", "1"],
    "convert": ["convert", "cool_model", "converted"],
    "encode": ["encode", "in.jsonl", "--tokenizer", "cool_model", "--output", "store"],
    "synthesize": ["synthesize", "cool_model", "--text", "a b"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_runs_code_of_a_run_unasked(verb: str, evil: Path) -> None:
    Path("in.jsonl").write_text('{"src": "a b", "id": "a", "audio": "a.wav", "text": "a b"}\n')
    message = error_of(*VERBS[verb])
    for part in ("cool_model.layers", "--trust-imports", f"{TRUSTED}=cool_model.layers"):
        assert part in message
    assert not Path("code_was_run").exists()


def test_show_and_model_init_run_no_code(
    evil: Path, packed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    unilatent("show", "cool_model")
    assert "cool_model.layers" in capsys.readouterr().out
    config = {**packed["tree"], "model": {"init": "cool_model"}}
    config["task"] = {**config["task"], "tokenizer": "cool_model"}
    Path("my.yaml").write_text(yaml.safe_dump(config))
    parsed = load_config("my.yaml")
    build_model(resolve(parsed, build_task(parsed).model_defaults())).initialize()
    assert not Path("code_was_run").exists()


def test_the_working_directory_is_not_searched_even_when_trusted(evil: Path) -> None:
    with trusting_imports(), pytest.raises(InputError, match=r"cannot import 'cool_model.layers'"):
        load_run(evil)
    assert not Path("code_was_run").exists()


@pytest.mark.parametrize("way", ["option", "environment"])
def test_the_user_may_trust_a_run(way: str, evil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    Path("in.jsonl").write_text('{"src": "a b"}\n')
    if way == "environment":
        monkeypatch.setenv(TRUSTED, "cool_model")
    unilatent(*VERBS["decode"], *(["--trust-imports"] if way == "option" else []))
    assert Path("code_was_run").exists()


def test_a_users_own_configuration_may_import_from_the_working_directory(evil: Path, packed: dict[str, Any]) -> None:
    Path("my.yaml").write_text(yaml.safe_dump({**packed["tree"], "imports": ["cool_model.layers"]}))
    load_config("my.yaml")
    assert Path("code_was_run").exists()
    load_run(evil)  # what this process has imported itself is trusted
