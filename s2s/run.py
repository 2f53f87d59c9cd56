"""A run: its configuration, the parts built from it, training into a run folder, loading it again for decoding.

The one module that knows tasks, models, criteria, decoders and the trainer; the verbs call its functions.
"""

from __future__ import annotations

import logging
import signal as signals
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from pydantic import Field

from s2s import checkpoint, hub
from s2s.config import Section, all_of, apply_overrides, parse_section, read_tree, section_of, write_tree
from s2s.criteria.base import Criterion
from s2s.data.batching import BatchSampler
from s2s.decoding.base import Decoder, Generator, Search, TokenIds, no_tokens
from s2s.errors import ConfigError, InputError, shown
from s2s.models.base import Model
from s2s.models.memory import check_memory
from s2s.progress import duration, magnitude
from s2s.ranks import Ranks, join_ranks
from s2s.registry import (
    CRITERIA,
    DECODERS,
    MODELS,
    TASKS,
    Registry,
    import_modules,
    nearest,
    refuse_untrusted,
    search_working_directory,
)
from s2s.renamed import current_options
from s2s.tasks.base import GenerationTask, Task
from s2s.training.config import TrainConfig
from s2s.training.data_loader import DataLoader
from s2s.training.optim import OptimConfig
from s2s.training.state import Progress
from s2s.training.trainer import Trainer

logger = logging.getLogger(__name__)

D = TypeVar("D", bound=Decoder)

REGISTRIES: dict[str, Registry] = {"task": TASKS, "model": MODELS, "criterion": CRITERIA, "decoder": DECODERS}
DEFAULT_TASK = "seq2seq"

MAY_CHANGE = (
    "decoder",
    "train.accumulate",
    "train.device",
    "train.keep_best",
    "train.keep_last",
    "train.log_every",
    "train.parallel",
    "train.workers",
)
"""Keys that a run may go on with another value of: none of them is what the run is about."""


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
    """All that a run is made of; a run can be repeated from it alone."""

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


class TrainResult(NamedTuple):
    """How a call of `train_run` ended: `signal` is 0 at the end of the run, else what asked it to stop before."""

    run: Path
    step: int
    best_loss: float | None
    signal: int


class Head(Section):
    """The options of no section."""

    imports: list[str] = Field(default_factory=list)
    """Modules outside this distribution that register classes."""
    seed: int = Field(1, ge=0, lt=2**64)
    """Seed of weights, order, noise and dropout: the same seed gives the same run."""


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration in a YAML file with `key.path=value` overrides.

    Raises:
        ConfigError: one message for all that is wrong.
    """
    search_working_directory()
    return parse_config(apply_overrides(read_tree(path), overrides))


def parse_config(tree: Mapping[str, Any], tokenizer: str | None = None) -> RunConfig:
    """The configuration in a mapping of sections.

    What a section leaves open is filled in: the task takes the tokenizer of the model's checkpoint (`model.init`, else
    `model.like`), and says which model, criterion and decoder are its own and what follows for them (`Task.implied`).

    Args:
        tree: Sections, as `config.yaml` holds them.
        tokenizer: Where the tokenizer is if the task does not say, instead of the model's checkpoint.

    Raises:
        ConfigError: one message for all that is wrong.
    """
    tree = current_options(tree)
    sections = [*REGISTRIES, "optim", "train"]
    known = [*Head.model_fields, *sections]
    problems = [f"{key}: no such section{nearest(str(key), known)}" for key in tree if key not in known]
    if problems:
        raise all_of(problems)
    head = parse_section(Head, {key: tree[key] for key in Head.model_fields if key in tree}, "")
    import_modules(head.imports)
    values = {section: tree.get(section) or {} for section in sections}
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


def build_task(config: RunConfig) -> Task:
    """The task of a run."""
    task: Task = TASKS[config.task.name](config.task.config)
    return task


def build_decoder(config: RunConfig, kind: type[D], token_id: TokenIds = no_tokens) -> D:
    """The decoder of a run, which must be one of a kind: a `Search` for text, say.

    Raises:
        ConfigError: it is not.
    """
    name = None if config.decoder is None else config.decoder.name
    cls = None if name is None else DECODERS[name]
    if config.decoder is None or cls is None or not issubclass(cls, kind):
        raise ConfigError(f"decoder.name: must name a {kind.__name__} for this run, found {name!r}")
    return cls(config.decoder.config, token_id)


def build_model(config: RunConfig) -> Model:
    """The model of a run, with fresh weights; every size must be in its section.

    Raises:
        ConfigError: the weights would take more memory than there is.
    """
    cls: type[Model] = MODELS[config.model.name]
    check_memory(cls, config.model.config)
    return cls(config.model.config)


def resolve(config: RunConfig, defaults: Mapping[str, Any]) -> RunConfig:
    """The configuration with the model's sizes filled in, from the checkpoint it names and `Task.model_defaults`.

    Raises:
        ConfigError: they disagree.
    """
    cls: type[Model] = MODELS[config.model.name]
    section = cls.resolve(config.model.config, dict(defaults))
    return replace(config, model=Part(config.model.name, section))


def load_run(
    run: str | Path, overrides: Iterable[str] = (), checkpoint_name: str | None = None
) -> tuple[RunConfig, GenerationTask, Model, Search]:
    """What decoding needs of a run, from its folder alone; the model is on the CPU, in evaluation mode.

    Args:
        run: The run folder.
        overrides: Options that replace those that the run was trained with, as `decoder.beam_size=5`.
        checkpoint_name: A step or a file (see `s2s.checkpoint.weights_path`); the weights to decode with by default.

    Raises:
        InputError: the folder is not a run folder, or lacks weights, or they do not fit; or the run generates no text.
    """
    config = read_run(run, overrides)
    task = build_generation_task(config, run)
    _check_vocabulary(config, task, run)
    decoder = build_decoder(config, Search, task.token_id)  # type: ignore[type-abstract]
    model = build_model(config)
    if not isinstance(model, Generator):
        raise InputError(f"{run}: its model, {config.model.name!r}, does not generate text token by token")
    checkpoint.load_weights(model, checkpoint.weights_path(Path(run), checkpoint_name))
    return config, task, model.eval(), decoder


def build_generation_task(config: RunConfig, run: str | Path) -> GenerationTask:
    """The task of a run folder, if its outputs are text.

    Raises:
        InputError: they are not.
    """
    cls: type[Task] = TASKS[config.task.name]
    if not issubclass(cls, GenerationTask):  # reported before its data, which may be gone, is opened
        raise InputError(f"{run}: its task, {config.task.name!r}, generates no text, so there is nothing to decode")
    return cls(config.task.config)


def _check_vocabulary(config: RunConfig, task: Task, run: str | Path) -> None:
    if isinstance(task, GenerationTask):
        try:
            resolve(config, {"vocab_size": task.model_defaults()["vocab_size"]})
        except ConfigError as error:
            raise ConfigError(f"{run}: {error}") from error


def load_model(
    run: str | Path, overrides: Iterable[str] = (), checkpoint_name: str | None = None
) -> tuple[RunConfig, Task, Model]:
    """A run without its decoder, whether it generates anything or not; see `load_run`."""
    config = read_run(run, overrides)
    task, model = build_task(config), build_model(config)
    _check_vocabulary(config, task, run)
    checkpoint.load_weights(model, checkpoint.weights_path(Path(run), checkpoint_name))
    return config, task, model.eval()


def read_run(run: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration of a run as its folder has it, with the tokenizer there, and with overrides.

    Raises:
        InputError: the folder is not a run folder.
        ConfigError: its configuration or an override is wrong.
    """
    run = Path(run)
    if not (run / checkpoint.CONFIG).exists():
        raise InputError(f"{run}: not a run folder, it holds no {checkpoint.CONFIG}")
    saved, overrides = _saved_tree(run), list(overrides)
    task, decoder = (section_of(saved, key, run) for key in ("task", "decoder"))
    if "tokenizer" in task:
        saved = {**saved, "task": {key: value for key, value in task.items() if key != "tokenizer"}}
    tree = apply_overrides(saved, overrides)
    chosen = tree.get("decoder")
    if isinstance(chosen, dict) and chosen.get("name") != decoder.get("name"):  # options of another class
        tree["decoder"] = apply_overrides({}, overrides)["decoder"]
    try:
        return parse_config(tree, tokenizer=str(run))
    except ConfigError as error:
        raise ConfigError(f"{run}: {error}") from error


def _saved_tree(run: Path) -> dict[str, Any]:
    """The sections of a run folder, which may come from anybody: none of its `imports:` is run unless trusted."""
    tree = current_options(read_tree(run / checkpoint.CONFIG))
    refuse_untrusted(tree.get("imports"), run / checkpoint.CONFIG)
    return tree


def train_run(config: RunConfig, run: str | Path) -> TrainResult:
    """Train into a run folder; continue where it stopped if the folder holds an unfinished run of this configuration.

    Raises:
        InputError: see `load_config`, `Task.dataset`, `Trainer.fit`; or the folder holds another run.
    """
    run = Path(run)
    with join_ranks(config.train.device) as ranks:
        config = _pinned(config, run)
        task = build_task(config)
        config = resolve(config, task.model_defaults())
        _check_same_run(config, run)
        found = checkpoint.checkpoints(run)
        if found:
            progress = Progress.from_record(checkpoint.read_progress(found[-1]))
            if progress.finished:
                logger.info(f"{run}: already finished, {progress.step} updates; nothing to do")
                return TrainResult(run, progress.step, progress.best[0][0] if progress.best else None, 0)
        with ranks.together():
            if ranks.first:
                _prepare_folder(config, task, run)
        trainer = _build_trainer(config, task, run, ranks, found[-1] if found else None)
        started = time.perf_counter()
        signal = trainer.fit()
    progress = trainer.progress
    best_loss, best_step = progress.best[0] if progress.best else (None, progress.step)
    if signal:
        name = signals.Signals(signal).name
        logger.info(f"stopped by {name} after update {progress.step}, which is saved; the same command goes on there")
    else:
        which = f"the best, validation loss {best_loss:.4g} at step {best_step}" if progress.best else "the last"
        took = duration(time.perf_counter() - started)
        logger.info(f"finished {progress.step} updates in {took}; {run / checkpoint.WEIGHTS} holds {which}")
    return TrainResult(run, progress.step, best_loss, signal)


def _pinned(config: RunConfig, run: Path) -> RunConfig:
    """The configuration with names on the hub at a commit: that which the run has recorded, else the latest."""
    saved = _saved_tree(run) if (run / checkpoint.CONFIG).exists() else {}
    task, model = (
        Part(part.name, hub.pin(part.config, section_of(saved, kind, run)))
        for kind, part in (("task", config.task), ("model", config.model))
    )
    return replace(config, task=task, model=model)


def _check_same_run(config: RunConfig, run: Path) -> None:
    path = run / checkpoint.CONFIG
    if not path.exists():
        if checkpoint.checkpoints(run):
            raise InputError(f"{run}: holds checkpoints but no {checkpoint.CONFIG}; choose another folder")
        return
    before, now = _flat(parse_config(_saved_tree(run)).tree()), _flat(config.tree())
    changed = [
        f"{key} was {before.get(key)!r}, is now {now.get(key)!r}"
        for key in [*before, *(key for key in now if key not in before)]
        if before.get(key) != now.get(key) and not key.startswith(MAY_CHANGE)
    ]
    if changed:
        raise ConfigError(
            f"{run}: holds a run of another configuration: {'; '.join(changed)}; "
            "undo this to go on with that run, or choose another folder"
        )


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return flat


def _prepare_folder(config: RunConfig, task: Task, run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
        checkpoint.remove_leftovers(run)
        unfinished = run / f"{checkpoint.CONFIG}.unfinished"
        write_tree(config.tree(), unfinished)
        unfinished.replace(run / checkpoint.CONFIG)
        task.save(run)
    except OSError as error:
        raise InputError(f"{run}: the run folder cannot be written: {error.strerror}") from error


def _build_trainer(config: RunConfig, task: Task, run: Path, ranks: Ranks, last: Path | None) -> Trainer:
    train_loader = _loader(config, task, "train", ranks)
    valid_loader = _loader(config, task, "valid", ranks) if task.has_validation else None
    torch.manual_seed(config.seed)  # for fresh weights, the same on every rank
    model = build_model(config)
    criterion: Criterion = CRITERIA[config.criterion.name](config.criterion.config)
    try:
        criterion.check(model, train_loader.sample())
    except ConfigError as error:
        raise ConfigError(
            f"criterion.name: {config.criterion.name!r} cannot train the model {config.model.name!r} on the task "
            f"{config.task.name!r}: {error}; without names the task chooses criterion and model itself"
        ) from error
    if last is None:
        model.initialize()
        model.expect(task.token_counts)
    else:
        checkpoint.load_weights(model, last / checkpoint.WEIGHTS)
    size = magnitude(sum(parameter.numel() for parameter in model.parameters()))
    logger.info(f"{config.model.name}: {size} parameters, {config.train.precision}, {ranks}; run folder {run}")
    trainer = Trainer(model, criterion, train_loader, valid_loader, config.train, config.optim, config.seed, run, ranks)
    if last is not None:
        trainer.restore(last)
        logger.info(f"resuming from {last}")
    return trainer


def _loader(config: RunConfig, task: Task, split: str, ranks: Ranks) -> DataLoader:
    dataset = task.dataset(split, config.seed)
    if not len(dataset):
        raise InputError(f"task.{split}: holds no example; expected at least one")
    budget = (config.train.max_tokens, config.train.max_sentences)
    try:
        sampler = BatchSampler(dataset.lengths, *budget, seed=config.seed, shuffle=split == "train")
    except ConfigError as error:
        raise ConfigError(f"train.{error}") from error
    logger.info(f"{split}: {len(dataset):,} examples, {len(sampler.epoch(0)):,} batches")
    return DataLoader(task, dataset, sampler, ranks.rank, ranks.size, config.train.workers)
