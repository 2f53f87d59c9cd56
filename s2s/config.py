"""Configuration: a `Section` nested in each class, YAML files, `key.path=value` overrides, errors with key paths."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from s2s.errors import ConfigError, shown
from s2s.registry import nearest
from s2s.yaml_files import parse_yaml, problem_of

S = TypeVar("S", bound="Section")
T = TypeVar("T")

FACT = "fact"
Fact = Annotated[T, FACT]
"""Type of an option that is a fact about a checkpoint or an architecture, not a choice; help hides these."""


class Section(BaseModel):
    """Base of every `Config`: unknown keys are errors, numbers are finite, a string under a field is its help text."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_not_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name or ""].annotation
        parts = (kind, *get_args(kind))  # values, in a Literal
        kinds = {int if isinstance(part, int) else getattr(part, "__origin__", part) for part in parts}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError(f"must be a number, found {value}")
        return value


def parse_section(cls: type[S], values: Any, path: str) -> S:
    """Validate the mapping `values` as a section with the key path `path` ("model").

    Raises:
        ConfigError: one message for all problems, each with its key path.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must be a mapping of options, found {shown(values)}")
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise all_of([_describe(cls, problem, path) for problem in error.errors()]) from None


def all_of(problems: Sequence[str]) -> ConfigError:
    """One error for several problems: the first three, and the number of the others."""
    more = f"; and {len(problems) - 3} more problems" if len(problems) > 3 else ""
    return ConfigError("; ".join(problems[:3]) + more)


def section_of(tree: Mapping[str, Any], name: str, where: str | Path) -> dict[str, Any]:
    """The options of one section of a file, none if it is left out or empty; ConfigError if it is not a mapping."""
    section = tree.get(name)
    if section is not None and not isinstance(section, dict):
        raise ConfigError(f"{where}: {name}: must be a mapping of options, found {shown(section)}")
    return dict(section or {})


def _describe(cls: type[Section], problem: Any, path: str) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join([path, *location]) if path else ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"{key}: no such option{nearest(location[-1], _fields_at(cls, location[:-1]))}"
    if problem["type"] == "missing":
        return f"{key}: must be given"
    rule = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    found = "" if problem["type"] == "value_error" else f", found {shown(problem['input'])}"
    return f"{key}: {rule}{found}"


def _fields_at(cls: type[Section], location: list[str]) -> Iterable[str]:
    for part in location:
        field = cls.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return []
        cls = field.annotation
    return cls.model_fields


def read_tree(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError if the file is missing, is not YAML, or holds something else."""
    try:
        tree = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: invalid UTF-8 at byte {error.start + 1}; expected a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: broken YAML: {problem_of(error)}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold a mapping of sections, found {type(tree).__name__}")
    return tree


def apply_overrides(tree: Mapping[str, Any], overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `tree` with settings merged in.

    Args:
        overrides: `key.path=value` each, whose value is read as YAML; or values by key path.

    Raises:
        ConfigError: an override has no `=`, its value is not YAML, or its path leads through a value.
    """
    tree = _copy(tree)
    for key, value in overrides.items() if isinstance(overrides, Mapping) else map(_parse_override, overrides):
        *parents, leaf = _path(key, key)
        node = tree
        for part in parents:
            if node.get(part) is None:
                node[part] = {}
            if not isinstance(node[part], dict):
                raise ConfigError(f"{key}: {part!r} is not a section, it is {shown(node[part])}")
            node = node[part]
        node[leaf] = value
    return tree


def _path(key: str, override: str) -> list[str]:
    parts = key.split(".")
    if not all(parts) or len(parts) > 10:
        raise ConfigError(f"{shown(override)}: an override must read key.path=value")
    return parts


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    _path(key if equals else "", override)
    try:
        return key, parse_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{key}: the value {shown(text)} is not YAML: {problem_of(error)}") from error


def options_in(text: str, where: str) -> dict[str, Any]:
    """The options in a string, `key.path=value` between blanks, quoted as in a shell; ConfigError for others."""
    try:
        return apply_overrides({}, shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def write_tree(tree: dict[str, Any], path: Path) -> None:
    """Write a mapping as YAML, in the order of its keys."""
    path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def _copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in tree.items()}
