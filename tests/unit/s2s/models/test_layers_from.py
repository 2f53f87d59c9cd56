"""Students that begin with some layers of a larger model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_unilm

from s2s.config import parse_section
from s2s.errors import ConfigError, InputError
from s2s.models.export import save_bert_folder
from s2s.models.unilm import UniLM

DEEP = {"num_layers": 6, "max_positions": 16, "initializer_range": 0.3}
DEFAULTS = {"vocab_size": 31, "num_positions": 16}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    save_bert_folder(tiny_unilm(**DEEP), folder)
    return folder


def student(teacher: Path, defaults: dict[str, int] = DEFAULTS, **options: Any) -> UniLM:
    section = parse_section(UniLM.Config, {"like": str(teacher), **options}, "model")
    model = UniLM(UniLM.resolve(section, defaults))
    model.initialize()
    return model


@pytest.mark.parametrize(("asked", "numbers"), [([0, 2, 5], [0, 2, 5]), ([-1], [5]), ([5, 0, 0], [5, 0, 0])])
def test_a_student_has_the_weights_of_the_layers_it_names_in_their_order(
    teacher: Path, asked: list[int], numbers: list[int]
) -> None:
    whole, small = tiny_unilm(**DEEP).bert_state(), student(teacher, layers_from=asked)
    assert small.config.num_layers == len(asked)
    expected = {name: tensor for name, tensor in whole.items() if ".layer." not in name}
    for new, old in enumerate(numbers):
        marks = f".layer.{old}.", f".layer.{new}."
        expected |= {name.replace(*marks): tensor for name, tensor in whole.items() if marks[0] in name}
    found = small.bert_state()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_all_layers_are_the_whole_model(teacher: Path) -> None:
    tokens, lengths = torch.randint(5, 31, (2, 7)), torch.tensor([7, 4])
    both = [
        model.eval().encode(tokens, lengths)
        for model in (tiny_unilm(**DEEP), student(teacher, layers_from=[*range(6)]))
    ]
    assert torch.equal(*both)


def test_a_run_opens_without_the_model_that_it_began_as(teacher: Path) -> None:
    saved = student(teacher, layers_from=[0, 2, 5]).config.model_dump() | {"like": "gone"}
    again = UniLM.resolve(parse_section(UniLM.Config, saved, "model"), DEFAULTS)
    assert (again.num_layers, again.layers_from) == (3, [0, 2, 5])


def test_tables_grow_as_with_init(teacher: Path) -> None:
    grown = student(
        teacher, {"vocab_size": 33, "added_tokens": 2, "num_positions": 20}, layers_from=[1], num_segments=6
    )
    shapes = [
        len(table.weight) for table in (grown.embeddings.tokens, grown.embeddings.positions, grown.embeddings.segments)
    ]
    assert shapes == [33, 20, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers_from": [0, 6]}, r"layers_from: must be 0 to 5, or -6 to -1 from the last, found 6, in .*teacher"),
        ({"layers_from": [-7]}, r"layers_from: must be 0 to 5, .* found -7"),
        ({"layers_from": [0], "num_layers": 2}, "num_layers: must be 1, since model.layers_from names 1, found 2"),
        (
            {"layers_from": [0], "hidden_size": 8},
            r"hidden_size: must be 12 as in .*teacher.*, found 8; without model.layers_from the weights are random",
        ),
        ({"layers_from": [0], "like": None}, "layers_from: needs model.like"),
        ({"layers_from": [0], "vocab_size": 20}, "the tokenizer has 31 tokens, model.vocab_size has 20"),
    ],
)
def test_layers_and_sizes_that_do_not_fit_are_refused(teacher: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        student(teacher, **options)


def test_a_vocabulary_that_is_not_the_one_of_the_weights_is_refused(teacher: Path) -> None:
    with pytest.raises(ConfigError, match=r"the tokenizer has 40 tokens, .* has 31; they must agree"):
        student(teacher, {"vocab_size": 40}, layers_from=[0])


def test_a_layer_that_only_the_weights_show_to_be_missing_is_refused(teacher: Path) -> None:
    sizes = student(teacher, layers_from=[0]).config.model_dump() | {"layers_from": [9]}
    model = UniLM(UniLM.resolve(parse_section(UniLM.Config, sizes, "model"), DEFAULTS))
    with pytest.raises(InputError, match=r"teacher.*: model\.layers_from must be 0 to 5, .* found 9"):
        model.initialize()


def test_no_layers_are_no_choice(teacher: Path) -> None:
    with pytest.raises(ConfigError, match="layers_from"):
        student(teacher, layers_from=[])
