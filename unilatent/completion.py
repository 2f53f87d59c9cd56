"""What the shell completes beside verbs and options: names that are shipped, local files, keys of configurations.

Keys are read from the source of the classes, because importing them would take seconds.
"""

from __future__ import annotations

import ast
import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from s2s import shipped

_ROOT = Path(shipped.__file__).parents[1]
_FILES = {
    "task": ("s2s/tasks", "latent/tasks"),
    "model": ("s2s/models", "latent/models"),
    "criterion": ("s2s/criteria", "latent/criteria"),
    "decoder": ("s2s/decoding", "latent/decoding", "latent/diffusion"),
    "optim": ("s2s/training/optim.py",),
    "train": ("s2s/training/config.py",),
    "script": ("latent/longform/narrator.py",),
}
"""Where the options of each section are."""
_WHOLE = re.compile(r"Config|\w+Config|ConstraintOptions|\w*SamplerSection|LongFormOptions")
"""Classes whose fields are options; the fields of other classes belong to an option that has such a class."""
NAMED = ("task", "model", "criterion", "decoder")
"""Sections whose `name` chooses a class."""
TRAINING = (*NAMED, "optim", "train")


def configs(incomplete: str) -> list[str]:
    """Shipped configurations and local YAML files."""
    return [*_begin(shipped.configs(), incomplete), *_local(incomplete, "*.yaml")]


def runs(incomplete: str) -> list[str]:
    """Shipped models and local folders."""
    return [*_begin(shipped.runs(), incomplete), *_local(incomplete, "*/")]


def training_keys(incomplete: str) -> list[str]:
    """`section.key=` for `train`."""
    return _keys(TRAINING, incomplete)


def decoding_keys(incomplete: str) -> list[str]:
    """`section.key=` for `decode`."""
    return _keys(("task", "decoder"), incomplete)


def speaking_keys(incomplete: str) -> list[str]:
    """`section.key=` for `synthesize`."""
    return _keys(("decoder", "script"), incomplete)


def listening_keys(incomplete: str) -> list[str]:
    """`section.key=` for `transcribe`."""
    return _keys(("decoder",), incomplete)


def class_names(kind: str) -> list[str]:
    """The registered names of a kind, such as "seq2seq" of "task"."""
    found = (re.findall(rf'@register_{kind}\("(\w+)"\)', path.read_text(encoding="utf-8")) for path in _sources(kind))
    return sorted(name for names in found for name in names)


def _keys(sections: Iterable[str], incomplete: str) -> list[str]:
    wanted = [name for name in sections if name.startswith(incomplete.partition(".")[0])]
    if "=" in incomplete:
        kind = incomplete.partition(".name=")[0]
        names = class_names(kind) if kind in wanted and kind in NAMED else []
        return list(_begin((f"{kind}.name={name}" for name in names), incomplete))
    return list(_begin((f"{section}.{key}=" for section in wanted for key in _options(section)), incomplete))


def _options(section: str) -> list[str]:
    classes: dict[str, dict[str, str]] = {}
    for path in _sources(section):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, {}).update(_fields(node))
    found = {"name"} if section in NAMED else set[str]()
    for name, fields in classes.items():
        for key, kind in fields.items() if _WHOLE.fullmatch(name) else ():
            inner = {} if _WHOLE.fullmatch(kind) else classes.get(kind, {})
            found |= {f"{key}.{below}" for below in inner} or {key}
    return sorted(found)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id.islower():
            yield line.target.id, ast.unparse(line.annotation)


def _sources(section: str) -> list[Path]:
    places = [_ROOT / place for place in _FILES[section]]
    return [path for place in places for path in (sorted(place.glob("*.py")) if place.is_dir() else [place])]


def _begin(names: Iterable[str], incomplete: str) -> Iterator[str]:
    return (name for name in names if name.startswith(incomplete))


def _local(incomplete: str, pattern: str) -> list[str]:
    escaped = glob.escape(incomplete)
    return sorted({path for end in (pattern, "*/") for path in glob.glob(escaped + end) if os.path.exists(path)})
