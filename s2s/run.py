"""A run: the parts built from its configuration, training into a run folder, loading it again for decoding.

The one module that knows tasks, models, criteria, decoders and the trainer; the verbs call its functions.
"""

from __future__ import annotations

import contextlib
import logging
import signal as signals
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from s2s import checkpoint
from s2s.config import section_of
from s2s.criteria.base import Criterion
from s2s.data.batching import BatchSampler
from s2s.data.text_metrics import TEXT_METRICS
from s2s.decoding.base import Decoder, Search, StepModel, TokenIds, no_tokens
from s2s.durable import claimed
from s2s.errors import ConfigError, InputError
from s2s.hub import find_run
from s2s.models.adapted import adapters_in, leave_adapters, start_from_base, with_base
from s2s.models.base import Model
from s2s.models.memory import check_memory
from s2s.nn.adapters import merge
from s2s.nn.unfilled import Unfilled
from s2s.packages import load
from s2s.progress import duration, magnitude
from s2s.ranks import Ranks, join_ranks
from s2s.registry import CRITERIA, DECODERS, MODELS, TASKS
from s2s.run_config import Part, RunConfig, load_config, overridden, parse_config
from s2s.run_folder import (
    fingerprint_data,
    former_config,
    parse_saved,
    pinned,
    prepare_folder,
    saved_tree,
    undone_unless,
)
from s2s.shipped import hint
from s2s.tasks.base import GenerationTask, Task
from s2s.teaching import teach, teacher_files
from s2s.training.data_loader import DataLoader
from s2s.training.loggers import check_loggers
from s2s.training.metrics import LOSS
from s2s.training.state import Progress
from s2s.training.trainer import Trainer
from s2s.training.validation import GenerationMetric, spread

__all__ = ["RunConfig", "load_config", "parse_config", "train", "train_run"]

logger = logging.getLogger(__name__)

D = TypeVar("D", bound=Decoder)


class TrainResult(NamedTuple):
    """How a call of `train_run` ended: `signal` is 0 at the end of the run, otherwise the signal that stopped it."""

    run: Path
    step: int
    best: float | None
    """The best validation loss, or the best value of the metric `train.keep_best_by`; None without validation."""
    signal: int


def build_task(config: RunConfig) -> Task:
    """The task of a run."""
    task: Task = TASKS[config.task.name](config.task.config)
    return task


def build_decoder(config: RunConfig, kind: type[D], token_id: TokenIds = no_tokens) -> D:
    """The decoder of a run; ConfigError if it is not a `kind`, such as `Search` for text."""
    name = None if config.decoder is None else config.decoder.name
    cls = None if name is None else DECODERS[name]
    if config.decoder is None or cls is None or not issubclass(cls, kind):
        raise ConfigError(f"decoder.name: must name a {kind.__name__} for this run, found {name!r}")
    return cls(config.decoder.config, token_id)


def build_search(config: RunConfig, task: GenerationTask) -> Search:
    """The search of a run that generates texts; raises as `build_decoder`."""
    search = build_decoder(config, Search, task.token_id)  # type: ignore[type-abstract]
    search.write_with(task.text)
    return search


def build_model(config: RunConfig, fresh: bool = True) -> Model:
    """The model of a run; every size must be in its section, and the weights must fit in memory.

    Its weights are fresh, or to be loaded, all of them, before it is used.
    """
    cls: type[Model] = MODELS[config.model.name]
    check_memory(cls, config.model.config)
    with contextlib.nullcontext() if fresh else Unfilled():
        return cls(config.model.config)


def resolve(config: RunConfig, defaults: Mapping[str, Any]) -> RunConfig:
    """The configuration with the model's sizes filled in; see `Model.resolve`."""
    cls: type[Model] = MODELS[config.model.name]
    section = cls.resolve(config.model.config, dict(defaults))
    return replace(config, model=Part(config.model.name, section))


def load_run(
    run: str | Path, overrides: Iterable[str] = (), checkpoint_name: str | None = None
) -> tuple[RunConfig, GenerationTask, Model, Search]:
    """What decoding needs of a run, from its folder alone; the model is on the CPU, in evaluation mode.

    Args:
        run: The run folder, the name of a shipped run, or USER/NAME on the hub.
        overrides: Options that replace those of the run, such as `decoder.beam_size=5`.
        checkpoint_name: A step or a file (see `s2s.checkpoint.weights_path`); the best weights by default.

    Raises:
        InputError: the folder is not a run folder, or lacks weights, or they do not fit; or the run generates no text.
    """
    run = find_run(run)
    config = read_run(run, overrides)
    task = build_generation_task(config, run)
    _check_vocabulary(config, task, run)
    decoder = build_search(config, task)
    model = build_model(config, fresh=False)
    if not isinstance(model, StepModel):
        raise InputError(f"{run}: its model, {config.model.name!r}, does not generate text token by token")
    load_weights(model, run, checkpoint_name)
    return config, task, model.eval(), decoder


def load_weights(model: Model, run: Path, checkpoint_name: str | None = None) -> None:
    """Load the weights of a run into its fresh model; adapters become part of the weights.

    Raises:
        InputError: they do not fit; or the base of adapters is missing or another one, or they change nothing.
    """
    path = checkpoint.weights_path(run, checkpoint_name)
    if adapters_in(model.config) is not None:
        try:
            start_from_base(model)
        except InputError as error:
            raise InputError(f"{run}: {error}; model.init=FOLDER says where the base is") from error
    checkpoint.load_weights(model, path)
    merge(model)


def build_generation_task(config: RunConfig, run: str | Path) -> GenerationTask:
    """The task of a run folder; InputError if its outputs are not text."""
    cls: type[Task] = TASKS[config.task.name]
    if not issubclass(cls, GenerationTask):  # reported before its data, which may be gone, are opened
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
    run = find_run(run)
    config = read_run(run, overrides)
    task, model = build_task(config), build_model(config, fresh=False)
    _check_vocabulary(config, task, run)
    load_weights(model, run, checkpoint_name)
    return config, task, model.eval()


def read_run(run: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration in a run folder, with the tokenizer there, and with overrides.

    Raises:
        InputError: it is not a run folder.
        ConfigError: its configuration or an override is wrong.
    """
    run = find_run(run)
    if not (run / checkpoint.CONFIG).exists():
        raise InputError(f"{run}: not a run folder, it holds no {checkpoint.CONFIG}{hint(run)}")
    saved, overrides = saved_tree(run), list(overrides)
    for key in overrides:
        if key.startswith(("train.", "optim.", "criterion.")):
            raise ConfigError(f"{key.partition('=')[0]}: changes nothing here; it is used in training only")
    task = section_of(saved, "task", run)
    if "tokenizer" in task:
        saved = {**saved, "task": {key: value for key, value in task.items() if key != "tokenizer"}}
    return parse_saved(overridden(saved, overrides), run, tokenizer=str(run))


def train(
    config: str | Path | Mapping[str, Any] | RunConfig,
    output: str | Path | None = None,
    overrides: Iterable[str] | Mapping[str, Any] = (),
) -> TrainResult:
    """Train a model into a run folder; the same call continues a run that was stopped or killed.

    Args:
        config: A YAML file, a shipped name, a mapping of sections, or a parsed configuration.
        output: The run folder; runs/NAME for a file NAME.yaml.
        overrides: Options to replace, as `{"optim.lr": 1e-4}` or `["optim.lr=1e-4"]`.

    Raises:
        InputError: see `train_run`, `load_config`.
    """
    if isinstance(config, RunConfig):
        config = config.tree()
    if output is None and isinstance(config, Mapping):
        raise InputError("output: must be given, a folder for the run; only a file gives its name to one")
    return train_run(load_config(config, overrides), output or Path("runs") / Path(str(config)).stem)


def train_run(config: RunConfig, run: str | Path) -> TrainResult:
    """Train into a run folder; resume if the folder holds a run of this configuration.

    A run may be made longer (`train.max_steps` or `train.epochs`), before and after its end, if that changes none of
    the learning rates so far. Its result is the same as if it had had the new length from the start.

    Raises:
        InputError: see `load_config`, `Task.dataset`, `Trainer.fit`; or the folder holds another run.
    """
    run = Path(run)
    with join_ranks(config.train.device) as ranks, contextlib.ExitStack() as claim:
        config = pinned(config, run)
        task = build_task(config)
        config = resolve(config, task.model_defaults())
        config = replace(config, model=Part(config.model.name, with_base(config.model.config)))
        with ranks.together():
            if ranks.first:
                claim.enter_context(claimed(run, run / ".lock"))
        former = former_config(config, run)
        found = checkpoint.checkpoints(run)
        if found and (progress := Progress.read(found[-1])).is_over(config.train):
            why = " (train.patience)" if progress.is_stopped(config.train) else ""
            logger.info(f"{run}: already finished, {progress.step} updates{why}; nothing to do")
            return _result(run, progress, 0)
        data = fingerprint_data([*task.inputs(), *teacher_files(config)], run, ranks, trained=bool(found))
        trainer = build_trainer(config, task, run, ranks, found[-1] if found else None)
        if former is not None:
            trainer.check_length(former.train)
        if ranks.first:
            claim.enter_context(undone_unless(lambda: trainer.has_begun, run))
        prepare_folder(config, task, data, run, ranks)
        started = time.perf_counter()
        signal = trainer.fit()
        if ranks.first and not signal and adapters_in(config.model.config) is not None:
            checkpoint.load_weights(trainer.model, run / checkpoint.WEIGHTS)
            leave_adapters(trainer.model, run)
    result = _result(run, trainer.progress, signal)
    if signal:
        name = signals.Signals(signal).name
        logger.info(f"stopped by {name} after update {result.step}, which is saved; the same command continues it")
    else:
        best = trainer.progress.best
        by = config.train.keep_best_by
        which = f"the best, validation {by} {best[0][0]:.4g} at step {best[0][1]}" if best else "the last"
        took = duration(time.perf_counter() - started)
        logger.info(f"finished {result.step} updates in {took}; {run / checkpoint.WEIGHTS} holds {which}")
    return result


def _result(run: Path, progress: Progress, signal: int) -> TrainResult:
    return TrainResult(run, progress.step, progress.best[0][0] if progress.best else None, signal)


def build_trainer(config: RunConfig, task: Task, run: Path, ranks: Ranks, last: Path | None = None) -> Trainer:
    """The trainer of a run, its data read, with fresh weights or those of the checkpoint `last`; writes nothing."""
    check_loggers(config.train.loggers)
    if ranks.size > 1 and config.train.parallel == "fsdp" and adapters_in(config.model.config) is not None:
        raise ConfigError("train.parallel: must be ddp with model.adapters, which are small, found 'fsdp'")
    _check_keep_best_by(config, task)
    train_loader = _loader(config, task, "train", ranks)
    valid_loader = _loader(config, task, "valid", ranks) if task.has_validation else None
    torch.manual_seed(config.seed)  # for fresh weights, the same on every rank
    model = build_model(config)
    criterion: Criterion = CRITERIA[config.criterion.name](config.criterion.config)
    try:
        batch = train_loader.sample()
        criterion.check(model, batch)
        model.check(batch)
    except ConfigError as error:
        raise ConfigError(
            f"criterion.name: {config.criterion.name!r} cannot train the model {config.model.name!r} on the task "
            f"{config.task.name!r}: {error}; without names the task chooses criterion and model itself"
        ) from error
    teach(config, criterion, task, model, ranks, _open_model)
    if last is None or adapters_in(config.model.config) is not None:
        start_from_base(model)
    if last is None:
        model.expect(task.token_counts)
    else:
        checkpoint.load_weights(model, last / checkpoint.WEIGHTS)
    size = magnitude(sum(parameter.numel() for parameter in model.parameters()))
    trained = magnitude(sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad))
    of_them = "" if trained == size else f", {trained} of them trained"
    logger.info(f"{config.model.name}: {size} parameters{of_them}, {config.train.precision}, {ranks}; run folder {run}")
    sections = config.train, config.optim, config.seed
    generation = _generation_metric(config, task, model, valid_loader, ranks)
    trainer = Trainer(model, criterion, train_loader, valid_loader, *sections, run, ranks, generation)
    if last is not None:
        trainer.restore(last)
        logger.info(f"resuming from {last}")
    return trainer


def _open_model(run: str) -> Model:
    """The model of a run of any task, without its data."""
    model = build_model(read_run(run), fresh=False)
    load_weights(model, find_run(run))
    return model


def _check_keep_best_by(config: RunConfig, task: Task) -> None:
    """Refuse a metric that this run cannot measure, before its data are read."""
    name = config.train.keep_best_by
    if name == LOSS:
        return
    if not isinstance(task, GenerationTask):
        raise ConfigError(
            f"train.keep_best_by: {name!r} compares generated texts, and the task {config.task.name!r} generates none; "
            f"use {LOSS!r}"
        )
    if not task.has_validation:
        raise ConfigError(f"train.keep_best_by: {name!r} needs validation data; name them in task.valid")
    try:
        load(*TEXT_METRICS[name].package)
    except InputError as error:
        raise ConfigError(f"train.keep_best_by: {error}") from error


def _generation_metric(
    config: RunConfig, task: Task, model: Model, valid: DataLoader | None, ranks: Ranks
) -> GenerationMetric | None:
    if config.train.keep_best_by == LOSS or valid is None or not isinstance(task, GenerationTask):
        return None
    if not isinstance(model, StepModel):
        raise ConfigError(
            f"train.keep_best_by: the model {config.model.name!r} does not generate text token by token; use {LOSS!r}"
        )
    search = build_search(config, task)
    references = task.references("valid", spread(len(valid.dataset), config.train.generate_examples))
    return GenerationMetric(config.train.keep_best_by, task, search, references, ranks)


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
