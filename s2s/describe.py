"""What a run or a section of the configuration is, as text for people."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from s2s import checkpoint
from s2s.config import Section, read_tree
from s2s.errors import ConfigError, InputError
from s2s.progress import magnitude
from s2s.registry import import_modules, search_working_directory
from s2s.renamed import current_options
from s2s.run import REGISTRIES
from s2s.training.config import TrainConfig
from s2s.training.logging import LOG, read_log
from s2s.training.optim import OptimConfig


def describe_options(kind: str, name: str | None, imports: Iterable[str] = ()) -> str:
    """The options of a section: name, type, default and meaning of each.

    Args:
        kind: "optim", "train", or a registry: "task", "model", "criterion", "decoder".
        name: Which class of the registry; None lists its names.
        imports: Modules that register more classes.

    Raises:
        ConfigError: no class has that name, or a section that has no name was given one.
    """
    search_working_directory()
    import_modules(current_options({"imports": list(imports)})["imports"])
    if kind not in REGISTRIES:
        if name is not None:
            raise ConfigError(f"{kind}: is one section and takes no name, found {name!r}")
        sections: dict[str, type[Section]] = {"optim": OptimConfig, "train": TrainConfig}
        return _table(kind, sections[kind])
    if name is None:
        plural = "criteria" if kind == "criterion" else f"{kind}s"
        lines = [f"{plural}, for `{kind}.name`:"]
        lines += [f"  {known:20} {_first_line(REGISTRIES[kind][known].__doc__)}" for known in REGISTRIES[kind].names()]
        return "\n".join(lines)
    try:
        cls: Any = REGISTRIES[kind][name]
    except ConfigError as error:
        hint = "" if imports else f"; a {kind} from outside this distribution needs --import MODULE"
        raise ConfigError(f"{error}{hint}") from error
    return f"{kind} {name}: {_first_line(cls.__doc__)}\n\n{_table(kind, cls.Config)}"


def describe_run(run: Path) -> str:
    """The configuration of a run, the size of its model, its checkpoints, and the last records of its log.

    Raises:
        InputError: the folder is no run folder.
    """
    if not (run / checkpoint.CONFIG).exists():
        raise InputError(f"{run}: not a run folder, it holds no {checkpoint.CONFIG}")
    parts = [yaml.safe_dump(read_tree(run / checkpoint.CONFIG), sort_keys=False, allow_unicode=True).rstrip()]
    if (run / checkpoint.WEIGHTS).exists():
        tensors = checkpoint.read_tensors(run / checkpoint.WEIGHTS)
        size = sum(tensor.numel() for tensor in tensors.values())
        parts.append(f"weights: {magnitude(size)} numbers in {len(tensors)} tensors")
    steps = ", ".join(str(checkpoint.step_of(folder)) for folder in checkpoint.checkpoints(run))
    parts.append(f"checkpoints at steps: {steps or 'none'}")
    if (run / LOG).exists():
        records = read_log(run / LOG)
        parts += [f"last {kind}: {json.dumps(found[-1])}" for kind, found in _by_split(records).items() if found]
    return "\n".join(parts)


def _by_split(records: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    validation = [record for record in records if record.get("split") == "valid"]
    return {"training record": [r for r in records if r.get("split") != "valid"], "validation record": validation}


def _table(path: str, section: type[Section]) -> str:
    lines = []
    for name, field in section.model_fields.items():
        lines.append(f"{path}.{name}: {_type(field.annotation)} = {_default(field)}")
        if field.description:
            lines.append(f"    {' '.join(field.description.split())}")
    return "\n".join(lines)


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " | ".join(map(str, arguments))
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if arguments:
        return " | ".join("none" if argument is NoneType else _type(argument) for argument in arguments)
    return str(getattr(annotation, "__name__", annotation))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "(must be given)" if value is PydanticUndefined else json.dumps(value)


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
