"""Runs of adapters: what they store, resuming, decoding, merging, and bases that are not theirs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import error_of, unilatent
from safetensors.torch import load_file
from tiny_pairs import tree

from s2s.errors import ConfigError, InputError
from s2s.generation.generator import Generator
from s2s.models.adapted import start_from_base
from s2s.models.peft_files import read_adapters
from s2s.nn.adapters import merge
from s2s.ranks import Ranks
from s2s.run import build_model, build_task, build_trainer, load_model, load_run, parse_config, train_run
from s2s.training.loggers import read_log

SOURCES = ["a few small words", "what one can say here", "many that tell"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `base` and, on it, the run of adapters `tuned`."""
    folder = tmp_path_factory.mktemp("adapters")
    train_run(parse_config(tree(folder, train={"max_steps": 8})), folder / "base")
    train_run(config(folder), folder / "tuned")
    return folder


def config(folder: Path, **changes: Any) -> Any:
    """A run of adapters on `base`; `train__max_steps=4` changes an option."""
    adapters = {"rank": 2, "alpha": 8, "dropout": 0.1, "targets": ["query", "value", "output.dense"]}
    options = tree(folder, train={"max_steps": 8})
    options["model"] = {"init": str(folder / "base"), "adapters": adapters}
    for path, value in changes.items():
        *sections, key = path.split("__")
        section = options
        for name in sections:
            section = section[name]
        section[key] = value
    return parse_config(options)


def same(first: Path, second: Path) -> bool:
    one, other = load_file(first), load_file(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_stores_adapters_alone(runs: Path) -> None:
    stored = load_file(runs / "tuned/model.safetensors")
    assert all(name.endswith((".up", ".down")) for name in stored)
    assert sum(map(torch.numel, stored.values())) < 0.2 * sum(
        map(torch.numel, load_file(runs / "base/model.safetensors").values())
    )
    training = load_file(runs / "tuned/checkpoints/step-000008/training.safetensors")
    assert len(training) == 3 * len(stored), "AdamW's state of the adapters and of nothing else"


def test_the_log_tells_how_much_each_matrix_changed(runs: Path) -> None:
    (*_, last) = [record for record in read_log(runs / "tuned/log.jsonl") if record["split"] == "adapters"]
    changes = {name: change for name, change in last.items() if name not in ("split", "step")}
    assert len(changes) == 2 * 4
    assert all(0.01 < change < 10 for change in changes.values())


def test_a_run_that_was_stopped_continues_exactly(runs: Path, tmp_path: Path) -> None:
    train_run(config(runs, train__max_steps=4), tmp_path / "run")
    assert not same(tmp_path / "run/model.safetensors", runs / "tuned/checkpoints/step-000008/model.safetensors")
    train_run(config(runs), tmp_path / "run")
    for name in ("model", "training"):
        file = f"checkpoints/step-000008/{name}.safetensors"
        assert same(tmp_path / "run" / file, runs / "tuned" / file)


def test_decoding_a_run_is_decoding_what_merge_writes(runs: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    unilatent("merge", runs / "tuned", "--output", merged)
    texts = [[Generator.load(run).generate(SOURCES, beam_size=3)] for run in (runs / "tuned", merged)]
    assert texts[0] == texts[1]
    weights = [dict(load_run(run)[2].named_parameters()) for run in (runs / "tuned", merged)]
    base = dict(load_run(runs / "base")[2].named_parameters())
    assert weights[0].keys() == weights[1].keys() == base.keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in base)
    assert any(not torch.equal(weights[0][name], base[name]) for name in base)


def test_the_folder_lora_holds_the_best_weights_as_peft_does(runs: Path) -> None:
    parsed = load_model(runs / "tuned")[0]
    model = build_model(parsed)
    start_from_base(model)
    read_adapters(model, runs / "tuned/lora", parsed.model.config.adapters)  # type: ignore[attr-defined]
    merge(model)
    for name, weight in load_model(runs / "tuned")[2].named_parameters():
        assert torch.equal(weight, model.get_parameter(name))


def test_adapters_start_from_those_of_a_folder(runs: Path, tmp_path: Path) -> None:
    changes = {"model__adapters__init": str(runs / "tuned/lora"), "train__max_steps": 1, "optim__lr": 1e-12}
    train_run(config(runs, **changes), tmp_path / "run")
    started, tuned = (load_file(run / "model.safetensors") for run in (tmp_path / "run", runs / "tuned"))
    assert all(torch.allclose(started[name], tuned[name], atol=1e-6) for name in tuned)


@pytest.fixture
def other(runs: Path, tmp_path: Path) -> Path:
    """Another model of the same sizes."""
    folder = tmp_path / "other"
    folder.mkdir()
    train_run(parse_config(tree(folder, train={"max_steps": 2})), folder / "base")
    return folder / "base"


def test_another_base_is_refused_in_decoding_and_in_resuming(
    runs: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a message with two long paths loses its middle
    with pytest.raises(InputError, match=r"tuned: model\.init: .*other/base: is not the base of these adapters"):
        load_run(runs / "tuned", ["model.init=other/base"])
    shutil.copytree(runs / "tuned", tmp_path / "tuned")
    with pytest.raises(InputError, match=r"of another configuration: model\.init was .*"):
        train_run(config(runs, model__init=str(other), train__max_steps=12), tmp_path / "tuned")


def test_a_base_that_moved_is_found_where_it_is_said_to_be(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "base", tmp_path / "moved")
    found = load_run(runs / "tuned", [f"model.init={tmp_path / 'moved'}"])[2]
    for name, weight in load_run(runs / "tuned")[2].named_parameters():
        assert torch.equal(weight, found.get_parameter(name))
    shutil.copytree(runs / "tuned", tmp_path / "tuned")
    text = (tmp_path / "tuned/config.yaml").read_text()
    (tmp_path / "tuned/config.yaml").write_text(text.replace(str(runs / "base"), str(tmp_path / "gone")))
    with pytest.raises(InputError, match=r"tuned: .*gone: no such file or folder.*model\.init=FOLDER says where"):
        load_run(tmp_path / "tuned")


def test_adapters_that_were_not_trained_are_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="adapters: 8 of 8 change nothing"):
        train_run(config(runs, optim__warmup_steps=1, train__max_steps=1), tmp_path / "run")


def test_adapters_are_not_sharded(runs: Path, tmp_path: Path) -> None:
    given = config(runs, train__parallel="fsdp")
    ranks = Ranks(0, 2, torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"train\.parallel: must be ddp with model\.adapters"):
        build_trainer(given, build_task(given), tmp_path, ranks)


def test_adapters_without_a_base_are_refused(runs: Path, tmp_path: Path) -> None:
    options = tree(tmp_path, model={"adapters": {"rank": 2}})
    with pytest.raises(InputError, match=r"model\.adapters: needs model\.init"):
        train_run(parse_config(options), tmp_path / "run")


def test_a_run_is_named_where_adapters_are_missing(runs: Path, tmp_path: Path) -> None:
    message = error_of("merge", runs / "base", "--output", tmp_path / "merged")
    assert "base: has no adapters to merge" in message


def test_adapters_are_no_base_of_others(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tuned: holds adapters without their base; join them: unilatent merge"):
        train_run(config(runs, model__init=str(runs / "tuned")), tmp_path / "run")
