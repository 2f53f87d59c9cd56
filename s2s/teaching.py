"""The teacher of a run: a checkpoint in the vocabulary of a text task, or the model of another run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from s2s import checkpoint
from s2s.criteria.base import Criterion
from s2s.criteria.distillation import Distillation
from s2s.criteria.taught import RunTaught
from s2s.errors import ConfigError, InputError
from s2s.hub import find_run
from s2s.models import teacher
from s2s.models.base import Model
from s2s.models.unilm import UniLM
from s2s.ranks import Ranks
from s2s.run_config import RunConfig
from s2s.tasks.base import Task


def teacher_files(config: RunConfig) -> list[Path]:
    """The weights of the teacher, which must not change during a run either; InputError if there are none."""
    section = config.criterion.config
    if isinstance(section, RunTaught.Config):
        with _named():
            return [checkpoint.weights_path(find_run(section.teacher))] if section.teacher else []
    return teacher.teacher_files(section.teacher) if isinstance(section, Distillation.Config) else []


def teach(
    config: RunConfig,
    criterion: Criterion,
    task: Task,
    student: Model,
    ranks: Ranks,
    open_model: Callable[[str], Model],
) -> None:
    """Give a criterion its teacher; `open_model` gives the model of a run.

    Raises:
        InputError: the teacher cannot be read, or does not fit the student.
    """
    if isinstance(criterion, RunTaught):
        if (run := criterion.teacher_run) is not None:
            with _named():
                model = open_model(run)
            criterion.learn_from(model.to(ranks.device), student)
    elif isinstance(criterion, Distillation):
        _distill(config, criterion, task, student, ranks)


def _distill(config: RunConfig, criterion: Distillation, task: Task, student: Model, ranks: Ranks) -> None:
    if type(student) is not UniLM:
        raise ConfigError(
            f"criterion.name: {config.criterion.name!r} cannot train the model {config.model.name!r}; "
            "a student must be a 'unilm'"
        )
    if ranks.size > 1 and config.train.parallel == "fsdp" and not criterion.takes_shards:
        raise ConfigError(
            f"train.parallel: must be ddp with criterion.teacher, found 'fsdp', for {config.criterion.name!r}"
        )
    section = criterion.config
    found = teacher.load_teacher(section.teacher, task.tokenizer, task.model_defaults(), section.token_map)
    criterion.learn_from(found.to(ranks.device), student)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """A block whose errors name the option."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"criterion.teacher: {error}") from error
