"""Runs and the options of the configuration, described as text for people."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal

import yaml
from pydantic_core import PydanticUndefined

from s2s import checkpoint
from s2s.config import FACT, Section, read_tree
from s2s.errors import ConfigError, InputError
from s2s.hub import find_run
from s2s.json_files import dump_json
from s2s.progress import magnitude
from s2s.registry import import_modules, search_working_directory
from s2s.renamed import current_options
from s2s.run_config import REGISTRIES, Head
from s2s.shipped import hint
from s2s.training.config import TrainConfig
from s2s.training.loggers import LOG, read_log
from s2s.training.optim import OptimConfig

SECTIONS: dict[str, type[Section]] = {"optim": OptimConfig, "train": TrainConfig}
_LIMITS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of"}


def describe_options(
    kind: str | None, name: str | None = None, imports: Iterable[str] = (), everything: bool = False
) -> str:
    """The options of a section and of the sections inside it: key path, type, default, meaning and range of each.

    Args:
        kind: "optim", "train", or a registry: "task", "model", "criterion", "decoder". None lists all sections.
        name: A class of the registry; None lists them.
        imports: Modules that register more classes.
        everything: Include facts about a checkpoint or an architecture (`s2s.config.Fact`).

    Raises:
        ConfigError: no class has that name, or the section takes no name.
    """
    search_working_directory()
    import_modules(current_options({"imports": list(imports)})["imports"])
    if kind is None:
        single = [f"{known}: {_first_line(section.__doc__)}" for known, section in SECTIONS.items()]
        how = "`unilatent options SECTION [NAME]` prints the options of a section."
        return "\n\n".join([_table(None, Head, everything), *map(_names, REGISTRIES), *single, how])
    if kind in SECTIONS:
        if name is not None:
            raise ConfigError(f"{kind}: is one section and takes no name, found {name!r}")
        return _table(kind, SECTIONS[kind], everything)
    if name is None:
        return _names(kind)
    try:
        cls: Any = REGISTRIES[kind][name]
    except ConfigError as error:
        hint = "" if imports else f"; a {kind} from outside this distribution needs --import MODULE"
        raise ConfigError(f"{error}{hint}") from error
    return f"{kind} {name}: {_first_line(cls.__doc__)}\n\n{_table(kind, cls.Config, everything)}"


def _names(kind: str) -> str:
    """The classes of a registry, one a line."""
    plural = "criteria" if kind == "criterion" else f"{kind}s"
    known = {name: _first_line(REGISTRIES[kind][name].__doc__) for name in REGISTRIES[kind].names()}
    return "\n".join([f"{plural}, for `{kind}.name`:", *(f"  {name:26} {line}" for name, line in known.items())])


def _table(path: str | None, section: type[Section], everything: bool) -> str:
    rows = list(_rows(path, section, None))
    shown = [text for text, is_fact in rows if everything or not is_fact]
    folded = f"Facts about a checkpoint or an architecture that are not shown: {len(rows) - len(shown)} (--all)."
    return "\n".join([*shown, *([folded] if len(shown) < len(rows) else [])])


def _rows(path: str | None, section: type[Section], given: Section | None) -> Iterator[tuple[str, bool]]:
    """Each option as text, and whether it is a fact; `given` holds the defaults of a section inside another."""
    texts = _help_texts(section)
    for name, field in section.model_fields.items():
        key = name if path is None else f"{path}.{name}"
        default = field.get_default(call_default_factory=True) if given is None else getattr(given, name)
        limits = _limits(field.metadata)
        meaning = [" ".join(texts.get(name, "").split()), *([f"Range: {limits}."] if limits else [])]
        yield f"{key}: {_type(field.annotation)}{_default(default)}\n    {' '.join(meaning)}", FACT in field.metadata
        for part in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, Section):
                yield from _rows(key, part, default if isinstance(default, Section) else None)


def _help_texts(section: type[Section]) -> dict[str, str]:
    """The string under each field, from the source: pydantic would read it at every start, for every section."""
    texts: dict[str, str] = {}
    for cls in reversed(section.__mro__[: section.__mro__.index(Section)]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(node, ast.ClassDef)
        for field, below in itertools.pairwise(node.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = below.value if isinstance(below, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    texts[field.target.id] = text.value
    return texts


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        limits = _limits(arguments[1:])
        return _type(arguments[0]) + (f" ({limits})" if limits else "")
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"[{', '.join(map(_type, arguments))}]"
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if arguments:
        return " | ".join("null" if argument is NoneType else _type(argument) for argument in arguments)
    if isinstance(annotation, type):
        return "section" if issubclass(annotation, Section) else annotation.__name__
    return str(annotation)


def _limits(metadata: Iterable[Any]) -> str:
    """Bounds of a number, as `>= 0, < 1`."""
    bounds = ((sign, getattr(rule, name, None)) for rule in metadata for name, sign in _LIMITS.items())
    return ", ".join(f"{sign} {bound}" for sign, bound in bounds if bound is not None)


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return " (must be given)"
    return "" if isinstance(value, Section) else f" = {json.dumps(value)}"


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


def describe_run(run: Path) -> str:
    """The configuration of a run, the size of its model, its checkpoints, and the last records of its log."""
    run = find_run(run)
    if not (run / checkpoint.CONFIG).exists():
        raise InputError(f"{run}: not a run folder, it holds no {checkpoint.CONFIG}{hint(run)}")
    parts = [yaml.safe_dump(read_tree(run / checkpoint.CONFIG), sort_keys=False, allow_unicode=True).rstrip()]
    if (run / checkpoint.WEIGHTS).exists():
        tensors = checkpoint.read_tensors(run / checkpoint.WEIGHTS)
        size = sum(tensor.numel() for tensor in tensors.values())
        parts.append(f"weights: {magnitude(size)} numbers in {len(tensors)} tensors")
    steps = ", ".join(str(checkpoint.step_of(folder)) for folder in checkpoint.checkpoints(run))
    parts.append(f"checkpoints at steps: {steps or 'none'}")
    records = read_log(run / LOG) if (run / LOG).exists() else []
    last = {str(record.get("split")): record for record in records}
    for split, kind in (("train", "training"), ("valid", "validation")):
        if split in last:
            parts.append(f"last {kind} record: {dump_json(last[split])}")
    return "\n".join(parts)
