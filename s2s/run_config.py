"""The configuration of a run: its sections, the classes they name, and the defaults that follow from other sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from s2s import shipped
from s2s.config import Section, all_of, apply_overrides, parse_section, read_tree, section_of
from s2s.errors import ConfigError, shown
from s2s.registry import CRITERIA, DECODERS, MODELS, TASKS, Registry, import_modules, nearest, search_working_directory
from s2s.renamed import current_options
from s2s.tasks.base import Task
from s2s.training.config import TrainConfig
from s2s.training.optim import OptimConfig

REGISTRIES: dict[str, Registry] = {"task": TASKS, "model": MODELS, "criterion": CRITERIA, "decoder": DECODERS}
REPLACEABLE = ("criterion", "decoder")
"""Sections whose classes have few options in common."""
DEFAULT_TASK = "seq2seq"


@dataclass(frozen=True)
class Part:
    """The name of a registered class and its options."""

    name: str
    config: Section

    def tree(self) -> dict[str, Any]:
        """Its section, as `config.yaml` holds it."""
        return {"name": self.name, **self.config.model_dump(mode="json")}


@dataclass(frozen=True)
class RunConfig:
    """The whole configuration of a run, enough to repeat it."""

    imports: list[str]
    seed: int
    task: Part
    model: Part
    criterion: Part
    decoder: Part | None
    optim: OptimConfig
    train: TrainConfig

    def tree(self) -> dict[str, Any]:
        """Every option with its value, as `config.yaml` holds it."""
        parts = {"task": self.task, "model": self.model, "criterion": self.criterion, "decoder": self.decoder}
        return {
            "imports": self.imports,
            "seed": self.seed,
            **{kind: part.tree() for kind, part in parts.items() if part is not None},
            "optim": self.optim.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json"),
        }


class Head(Section):
    """The options outside of the sections."""

    imports: list[str] = Field(default_factory=list)
    """Modules outside this distribution that register classes."""
    seed: int = Field(1, ge=0, lt=2**64)
    """Seed of weights, order, noise and dropout: the same seed gives the same run."""


def load_config(config: str | Path | Mapping[str, Any], overrides: Iterable[str] | Mapping[str, Any] = ()) -> RunConfig:
    """The configuration of a file, a shipped name or a mapping of sections, with overrides; see `parse_config`.

    Args:
        overrides: `optim.lr=1e-4` each, or `{"optim.lr": 1e-4}`.
    """
    search_working_directory()
    tree = config if isinstance(config, Mapping) else read_tree(shipped.config_file(config))
    return parse_config(overridden(tree, overrides))


def overridden(tree: Mapping[str, Any], overrides: Iterable[str] | Mapping[str, Any]) -> dict[str, Any]:
    """The sections with overrides; a criterion or decoder that is replaced by another keeps none of its options.

    Raises:
        ConfigError: see `apply_overrides`.
    """
    overrides = overrides if isinstance(overrides, Mapping) else list(overrides)
    given, changed = apply_overrides({}, overrides), apply_overrides(tree, overrides)
    for kind in REPLACEABLE:
        chosen = section_of(given, kind, "overrides")
        if chosen.get("name") is not None and chosen["name"] != _name_of(kind, tree):
            changed[kind] = chosen
    return changed


def _name_of(kind: str, tree: Mapping[str, Any]) -> Any:
    """The class that a section names, else the one that its task declares; None if the task's name is none."""
    name = section_of(tree, kind, "configuration").get("name")
    if name is not None:
        return name
    _head(tree)
    task = section_of(tree, "task", "configuration").get("name") or DEFAULT_TASK
    return getattr(TASKS[task], kind) if isinstance(task, str) else None


def parse_config(tree: Mapping[str, Any], tokenizer: str | None = None) -> RunConfig:
    """The configuration in a mapping of sections.

    Defaults follow from other sections: the task takes the tokenizer of the model's checkpoint (`model.init`, else
    `model.like`), and declares its model, criterion and decoder with some of their options (`Task.implied`).

    Args:
        tree: Sections, as in `config.yaml`.
        tokenizer: The tokenizer of a task that names none, instead of the model's checkpoint.

    Raises:
        ConfigError: one message for all problems.
    """
    tree = current_options(tree)
    sections = [*REGISTRIES, "optim", "train"]
    known = [*Head.model_fields, *sections]
    problems = [f"{key}: no such section{nearest(str(key), known)}" for key in tree if key not in known]
    if problems:
        raise all_of(problems)
    head = _head(tree)
    values = {section: {} if tree.get(section) is None else tree[section] for section in sections}
    if tokenizer is None and isinstance(values["model"], dict):
        tokenizer = values["model"].get("init") or values["model"].get("like")
    parsed: dict[str, Any] = {}

    def parse(section: str, read: Callable[[], Any]) -> None:
        try:
            parsed[section] = read()
        except ConfigError as error:
            problems.append(str(error))

    parse("task", lambda: _parse_task(values["task"], tokenizer))
    parse("model", lambda: _parse_part("model", values["model"], parsed.get("task")))
    parse("criterion", lambda: _parse_part("criterion", values["criterion"], parsed.get("task")))
    parse("decoder", lambda: _parse_part("decoder", values["decoder"], parsed.get("task")))
    parse("optim", lambda: parse_section(OptimConfig, values["optim"], "optim"))
    parse("train", lambda: parse_section(TrainConfig, values["train"], "train"))
    if problems:
        raise all_of(problems)
    return RunConfig(imports=head.imports, seed=head.seed, **parsed)


def _head(tree: Mapping[str, Any]) -> Head:
    """The options outside of the sections, after the imports that they ask for."""
    head = parse_section(Head, {key: tree[key] for key in Head.model_fields if key in tree}, "")
    import_modules(head.imports)
    return head


def with_decoder(config: RunConfig, options: Mapping[str, Any]) -> RunConfig:
    """The configuration with other options of the decoder; another `name` keeps none of the former options.

    Raises:
        ConfigError: an option is unknown or its value does not fit.
    """
    former = {} if config.decoder is None else config.decoder.tree()
    kept = former if options.get("name", former.get("name")) == former.get("name") else {}
    return replace(config, decoder=_parse_part("decoder", {**kept, **options}, config.task))


def _parse_task(values: Any, tokenizer: str | None) -> Part:
    name, options = _name_and_options("task", values, DEFAULT_TASK)
    cls: type[Task] = TASKS[name]
    if cls.has_tokenizer and tokenizer:
        options = {"tokenizer": tokenizer, **options}
    return Part(name, parse_section(cls.Config, options, "task"))


def _parse_part(kind: str, values: Any, task: Part | None) -> Part | None:
    """The model, criterion or decoder of a section; None where neither the section nor the task names one."""
    defaults: dict[str, Any] = {}
    if task is not None:
        cls: type[Task] = TASKS[task.name]
        declared = {"model": cls.model, "criterion": cls.criterion, "decoder": cls.decoder}
        defaults = {"name": declared[kind], **cls.implied(task.config).get(kind, {})}
    name, options = _name_and_options(kind, values, defaults.get("name"))
    if name is None:
        if task is not None and (options or kind != "decoder"):
            raise ConfigError(f"{kind}.name: must be given, the task {task.name!r} declares none")
        return None
    section: type[Section] = REGISTRIES[kind][name].Config  # type: ignore[attr-defined]
    known = {option: value for option, value in defaults.items() if option in section.model_fields}
    return Part(name, parse_section(section, {**known, **options}, kind))


def _name_and_options(section: str, values: Any, default: str | None) -> tuple[Any, dict[str, Any]]:
    if not isinstance(values, dict):
        raise ConfigError(f"{section}: must be a mapping of options, found {shown(values)}")
    options = dict(values)
    name = options.pop("name", None)
    if not isinstance(name, str | None):
        raise ConfigError(f"{section}.name: must be a name, found {shown(name)}")
    return default if name is None else name, options
