"""A run: its configuration, the parts built from it, training into a run folder, loading it again for decoding.

The one module that knows tasks, models, criteria, decoders and the trainer; the verbs call its functions.
"""

from __future__ import annotations

import logging
import signal as signals
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field

from s2s import checkpoint
from s2s.config import Section, apply_overrides, parse_section, read_tree, write_tree
from s2s.criteria.base import Criterion
from s2s.data.batching import BatchSampler
from s2s.decoding.base import Decoder
from s2s.errors import ConfigError, InputError
from s2s.models.base import Model
from s2s.ranks import Ranks, join_ranks
from s2s.registry import CRITERIA, DECODERS, MODELS, TASKS, Registry, import_modules, nearest
from s2s.renamed import current_options
from s2s.tasks.base import Task
from s2s.training.config import TrainConfig
from s2s.training.data_loader import DataLoader
from s2s.training.logging import duration, magnitude
from s2s.training.optim import OptimConfig
from s2s.training.state import Progress
from s2s.training.trainer import Trainer

logger = logging.getLogger(__name__)

REGISTRIES: dict[str, Registry] = {"task": TASKS, "model": MODELS, "criterion": CRITERIA, "decoder": DECODERS}
DEFAULT_NAMES = {"task": "seq2seq", "model": "unilm", "criterion": "cross_entropy", "decoder": "beam"}

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


@dataclass(frozen=True)
class RunConfig:
    """All that a run is made of; a run can be repeated from it alone."""

    imports: list[str]
    seed: int
    task: Part
    model: Part
    criterion: Part
    decoder: Part
    optim: OptimConfig
    train: TrainConfig

    def tree(self) -> dict[str, Any]:
        """Every option with its value, as `config.yaml` holds it."""
        parts = {kind: getattr(self, kind) for kind in REGISTRIES}
        return {
            "imports": self.imports,
            "seed": self.seed,
            **{kind: {"name": part.name, **part.config.model_dump(mode="json")} for kind, part in parts.items()},
            "optim": self.optim.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json"),
        }


class TrainResult(NamedTuple):
    """How a call of `train_run` ended: `signal` is 0 at the end of the run, else what asked it to stop before."""

    run: Path
    step: int
    best_loss: float | None
    signal: int


class _Head(Section):
    imports: list[str] = Field(default_factory=list)
    seed: int = Field(1, ge=0, lt=2**64)


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration in a YAML file with `key.path=value` overrides.

    Raises:
        ConfigError: one message for all that is wrong.
    """
    return parse_config(apply_overrides(read_tree(path), overrides))


def parse_config(tree: Mapping[str, Any]) -> RunConfig:
    """The configuration in a mapping of sections.

    What one section leaves open and another tells is filled in: the task takes the tokenizer of the model's checkpoint
    (`model.init`, else `model.like`), and outputs may be as long as the task's targets.

    Raises:
        ConfigError: one message for all that is wrong.
    """
    tree = current_options(tree)
    sections = [*REGISTRIES, "optim", "train"]
    known = [*_Head.model_fields, *sections]
    problems = [f"{key}: no such section{nearest(str(key), known)}" for key in tree if key not in known]
    if problems:
        raise ConfigError("; ".join(problems))
    head = parse_section(_Head, {key: tree[key] for key in _Head.model_fields if key in tree}, "")
    import_modules(head.imports)
    values = {section: tree.get(section) or {} for section in sections}
    if isinstance(values["model"], dict) and isinstance(values["task"], dict):
        tokenizer = values["model"].get("init") or values["model"].get("like")
        values["task"] = {"tokenizer": tokenizer, **values["task"]} if tokenizer else values["task"]
    parsed: dict[str, Any] = {}
    for section, value in values.items():
        try:
            parsed[section] = _parse(section, value)
            if section == "decoder" and "task" in parsed:
                parsed[section] = _with_length_of(parsed["task"], parsed[section])
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(problems))
    return RunConfig(imports=head.imports, seed=head.seed, **parsed)


def _parse(section: str, values: Any) -> Any:
    if section == "optim":
        return parse_section(OptimConfig, values, section)
    if section == "train":
        return parse_section(TrainConfig, values, section)
    if not isinstance(values, dict):
        raise ConfigError(f"{section}: must be a mapping of options, found {values!r}")
    options = dict(values)
    name = options.pop("name", DEFAULT_NAMES[section])
    if not isinstance(name, str):
        raise ConfigError(f"{section}.name: must be a name, found {name!r}")
    cls: Any = REGISTRIES[section][name]
    if section == "task" and options.get("tokenizer") and "tokenizer" not in cls.Config.model_fields:
        del options["tokenizer"]
    return Part(name, parse_section(cls.Config, options, section))


def _with_length_of(task: Part, decoder: Part) -> Part:
    longest = getattr(task.config, "max_target", None)
    if longest is None or "max_length" not in set(type(decoder.config).model_fields) - decoder.config.model_fields_set:
        return decoder
    values = decoder.config.model_dump(exclude_unset=True) | {"max_length": longest}
    return Part(decoder.name, parse_section(type(decoder.config), values, "decoder"))


def build_task(config: RunConfig) -> Task:
    """The task of a run."""
    task: Task = TASKS[config.task.name](config.task.config)
    return task


def build_model(config: RunConfig) -> Model:
    """The model of a run, with fresh weights; every size must be in its section."""
    model: Model = MODELS[config.model.name](config.model.config)
    return model


def resolve(config: RunConfig, task: Task) -> RunConfig:
    """The configuration with the model's sizes filled in, from the checkpoint it names and from the task.

    Raises:
        ConfigError: they disagree.
    """
    cls: Any = MODELS[config.model.name]
    section = cls.resolve(config.model.config, task.model_defaults())
    return replace(config, model=Part(config.model.name, section))


def load_run(
    run: str | Path, overrides: Iterable[str] = (), checkpoint_name: str | None = None
) -> tuple[RunConfig, Task, Model, Decoder]:
    """What decoding needs of a run, from its folder alone; the model is on the CPU, in evaluation mode.

    Args:
        run: The run folder.
        overrides: Options that replace those that the run was trained with, as `decoder.beam_size=5`.
        checkpoint_name: A step or a file (see `s2s.checkpoint.weights_path`); the weights to decode with by default.

    Raises:
        InputError: the folder is no run folder, or lacks weights, or they do not fit.
    """
    name = read_run(run).task.name
    if not hasattr(TASKS[name], "token_id"):  # told before its data, which may be gone, is opened
        raise InputError(f"{run}: its task, {name!r}, generates nothing that is text, so there is nothing to decode")
    config, task, model = load_model(run, overrides, checkpoint_name)
    decoder: Decoder = DECODERS[config.decoder.name](config.decoder.config, task.token_id)  # type: ignore[attr-defined]
    return config, task, model, decoder


def load_model(
    run: str | Path, overrides: Iterable[str] = (), checkpoint_name: str | None = None
) -> tuple[RunConfig, Task, Model]:
    """A run without its decoder, whether it generates anything or not; see `load_run`."""
    config = read_run(run, overrides)
    task, model = build_task(config), build_model(config)
    checkpoint.load_weights(model, checkpoint.weights_path(Path(run), checkpoint_name))
    return config, task, model.eval()


def read_run(run: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration of a run as its folder has it, with the tokenizer there, and with overrides.

    Raises:
        InputError: the folder is no run folder.
    """
    run = Path(run)
    if not (run / checkpoint.CONFIG).exists():
        raise InputError(f"{run}: not a run folder, it holds no {checkpoint.CONFIG}")
    overrides = list(overrides)
    tree = read_tree(run / checkpoint.CONFIG)
    new = apply_overrides({}, overrides).get("decoder")
    if isinstance(new, dict) and new.get("name", tree["decoder"]["name"]) != tree["decoder"]["name"]:
        tree["decoder"] = {}
    tree["task"]["tokenizer"] = str(run)
    return parse_config(apply_overrides(tree, overrides))


def train_run(config: RunConfig, run: str | Path) -> TrainResult:
    """Train into a run folder; go on where it stopped if the folder holds an unfinished run of this configuration.

    Raises:
        InputError: see `load_config`, `Task.dataset`, `Trainer.fit`; or the folder holds another run.
    """
    run = Path(run)
    with join_ranks(config.train.device) as ranks:
        task = build_task(config)
        config = resolve(config, task)
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


def _check_same_run(config: RunConfig, run: Path) -> None:
    path = run / checkpoint.CONFIG
    if not path.exists():
        if checkpoint.checkpoints(run):
            raise InputError(f"{run}: holds checkpoints but no {checkpoint.CONFIG}; choose another folder")
        return
    before, now = _flat(load_config(path).tree()), _flat(config.tree())
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
    torch.manual_seed(config.seed)  # for fresh weights, the same on every rank
    model = build_model(config)
    criterion: Criterion = CRITERIA[config.criterion.name](config.criterion.config)
    criterion.check(model)
    if last is None:
        model.initialize()
        model.expect(task.token_counts)
    else:
        checkpoint.load_weights(model, last / checkpoint.WEIGHTS)
    options = config.train
    size = magnitude(sum(parameter.numel() for parameter in model.parameters()))
    logger.info(f"{config.model.name}: {size} parameters, {options.precision}, {ranks}; run folder {run}")

    def loader(split: str) -> DataLoader:
        dataset = task.dataset(split, config.seed)
        if not len(dataset):
            raise InputError(f"task.{split}: holds no example; expected at least one")
        try:
            budget = (options.max_tokens, options.max_sentences)
            sampler = BatchSampler(dataset.lengths, *budget, seed=config.seed, shuffle=split == "train")
        except ConfigError as error:
            raise ConfigError(f"train.{error}") from error
        logger.info(f"{split}: {len(dataset):,} examples, {len(sampler.epoch(0)):,} batches")
        return DataLoader(task, dataset, sampler, ranks.rank, ranks.size, options.workers)

    train_loader = loader("train")
    valid_loader = loader("valid") if getattr(task.config, "valid", True) else None
    trainer = Trainer(model, criterion, train_loader, valid_loader, options, config.optim, config.seed, run, ranks)
    if last is not None:
        trainer.restore(last)
        logger.info(f"going on from {last}")
    return trainer
