"""Sections: what holds for every option of every registered class."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import Field, ValidationError

from s2s.config import Section, parse_section, section_of
from s2s.errors import ConfigError
from s2s.run_config import REGISTRIES
from s2s.training.config import TrainConfig
from s2s.training.optim import OptimConfig

ROOTS = [registry[name].Config for registry in REGISTRIES.values() for name in registry.names()]  # type: ignore[attr-defined]


def sections(cls: Any) -> Iterator[type[Section]]:
    """A section and those inside it."""
    if isinstance(cls, type) and issubclass(cls, Section):
        yield cls
        for field in cls.model_fields.values():
            yield from sections(field.annotation)
    for argument in typing.get_args(cls):
        yield from sections(argument)


SECTIONS = sorted(
    {section for root in [*ROOTS, OptimConfig, TrainConfig] for section in sections(root)}, key=lambda cls: str(cls)
)


def shapes_of_floats(annotation: Any) -> Iterator[typing.Callable[[float], Any]]:
    """How to put a float into a field of this type, once for each place that takes one."""
    if annotation is float:
        yield lambda number: number
    for argument in typing.get_args(annotation):
        wrap = typing.get_origin(annotation) in (list, tuple)
        for shape in shapes_of_floats(argument):
            yield (lambda number, shape=shape: [shape(number)]) if wrap else shape


@pytest.mark.parametrize("section", SECTIONS, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_every_float_option_must_be_finite(section: type[Section], number: float) -> None:
    for name, field in section.model_fields.items():
        for shape in shapes_of_floats(field.annotation):
            with pytest.raises(ValidationError) as caught:
                section.model_validate({name: shape(number)})
            assert any(problem["loc"][0] == name for problem in caught.value.errors()), name


def test_the_sections_hold_many_floats() -> None:
    floats = [f for cls in SECTIONS for f in cls.model_fields.values() if list(shapes_of_floats(f.annotation))]
    assert len(SECTIONS) > 20
    assert len(floats) > 60


class Toy(Section):
    """Options."""

    rate: float = Field(0.1, ge=0)
    anything: float = Field(0.0, allow_inf_nan=True)
    names: list[str] = Field(default_factory=list)


def test_a_field_may_allow_infinity() -> None:
    assert parse_section(Toy, {"anything": float("inf")}, "toy").anything == float("inf")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("toy", "toy: must be a mapping of options, found 'toy'"),
        (None, "toy: must be a mapping of options, found None"),
        ({"rate": float("nan")}, "toy.rate: must be a finite number, found nan"),
        ({"rate": "x" * 10_000}, r"toy.rate: must be a valid number, .*found 'xxx.*\.\.\.x*'$"),
        ({"names": [["x" * 1000] * 1000]}, r"toy.names.0: must be a valid string, found \['xxx"),
        ({"raet": 1}, r"toy.raet: no such option. Did you mean 'rate'\?"),
        ({"x" * 10_000: 1}, "toy.xxx"),
        ({str(n): n for n in range(500)}, "toy.0: no such option.*; and 497 more problems"),
    ],
)
def test_wrong_values_are_one_short_line(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_section(Toy, values, "toy")
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("value", ["foo", ["beam"], 3, 0, "", False])
def test_a_section_that_is_something_else_is_named(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^run/config.yaml: task: must be a mapping of options, found "):
        section_of({"task": value}, "task", "run/config.yaml")
    assert section_of({"task": None}, "task", "run") == section_of({}, "task", "run") == {}
