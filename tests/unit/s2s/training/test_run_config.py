"""The configuration of a run: names, errors with key paths, and the way back from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from s2s.errors import ConfigError, InputError
from s2s.run import load_config, load_run, parse_config
from s2s.run_config import overridden

TESTS = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _toy_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS))


def tree(**changes: Any) -> dict[str, Any]:
    import toy_parts

    return toy_parts.tree(**changes)


def test_configuration_survives_its_file(tmp_path: Path) -> None:
    config = parse_config(tree(train={"ema_decay": 0.99}))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.tree()))
    assert load_config(path) == config
    assert load_config(path, ["optim.lr=0.5", "train.max_steps=7"]).train.max_steps == 7


@pytest.mark.parametrize("named", [True, False], ids=["named", "the task's own"])
def test_another_criterion_or_decoder_keeps_no_options_of_the_former_one(named: bool) -> None:
    recipe: dict[str, Any] = {
        "task": {"train": "pairs.jsonl"},
        "criterion": {"label_smoothing": 0.3},
        "decoder": {"beam_size": 7, "max_length": 9},
    }
    if named:
        recipe["criterion"]["name"], recipe["decoder"]["name"] = "cross_entropy", "beam"
    others = [
        "criterion.name=logit_distillation",
        "criterion.teacher=runs/t",
        "decoder.name=sampling",
        "decoder.top_k=5",
    ]
    parts = overridden(recipe, others)
    assert parts["criterion"] == {"name": "logit_distillation", "teacher": "runs/t"}
    assert parts["decoder"] == {"name": "sampling", "top_k": 5}
    same = overridden(recipe, {"criterion.name": "cross_entropy", "decoder.beam_size": 2, "decoder.name": "beam"})
    assert same["criterion"]["label_smoothing"] == 0.3
    assert (same["decoder"]["beam_size"], same["decoder"]["max_length"]) == (2, 9)
    assert overridden(recipe, ["seed=3"]) == {**recipe, "seed": 3}


def test_a_task_whose_name_is_a_number_is_left_to_the_checks_of_the_configuration() -> None:
    for overrides in ([], ["decoder.name=sampling"]):
        with pytest.raises(ConfigError, match=r"task\.name: must be a name, found 5"):
            load_config({"task": {"name": 5}}, overrides)


def test_everything_wrong_is_said_at_once_with_key_paths() -> None:
    broken = tree(train={"max_step": 5, "precision": "fp16"}, optim={"lr": -1}, model={"dropot": 0.2})
    with pytest.raises(ConfigError) as raised:
        parse_config(broken)
    message = str(raised.value)
    assert "\n" not in message
    for part in (
        "train.max_step: no such option. Did you mean 'max_steps'?",
        "train.precision: must be 'float32', 'bf16' or 'float16', found 'fp16'",
        "optim.lr: must be greater than 0, found -1",
        "model.dropot: no such option. Did you mean 'dropout'?",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": {"name": "toi"}}, r"model.name: no model is called 'toi'. Did you mean 'toy'\?"),
        ({"criterion": {"name": 3}}, "criterion.name: must be a name, found 3"),
        (
            {"train": {"epochs": 2}},
            "train: exactly one of max_steps, epochs, max_minutes must be given, found max_steps and epochs",
        ),
        (
            {"train": {"max_steps": None}},
            "train: exactly one of max_steps, epochs, max_minutes must be given, found none",
        ),
    ],
)
def test_mistake_is_named(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_config(tree(**changes))


def test_unknown_section_and_module_are_named() -> None:
    with pytest.raises(ConfigError, match=r"trian: no such section. Did you mean 'train'\?"):
        parse_config({**tree(), "trian": {}})
    with pytest.raises(ConfigError, match="imports: cannot import 'no_such_module'"):
        parse_config({**tree(), "imports": ["no_such_module"]})
    with pytest.raises(ConfigError, match=r"model: must be a mapping of options, found 'toy'"):
        parse_config({**tree(), "model": "toy"})


def test_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a run folder, it holds no config.yaml"):
        load_run(tmp_path)


def test_a_mistake_in_an_imported_module_is_one_line_that_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug_in_with_a_mistake.py").write_text("\nclass Loss(Criterion): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"plug_in_with_a_mistake\.py:2: NameError: name 'Criterion'"):
        parse_config({"imports": ["plug_in_with_a_mistake"]})
