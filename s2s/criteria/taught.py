"""What criteria with a teacher share: it is frozen, and no optimizer, checkpoint or wrapper of training sees it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from torch import nn

from s2s.config import Section
from s2s.criteria.base import Criterion
from s2s.errors import ConfigError


class Taught(Criterion):
    """A criterion with a teacher, which the run loads."""

    def __init__(self, config: Section) -> None:
        super().__init__(config)
        self._teachers: tuple[Any, ...] = ()  # in a tuple torch does not see it, so it is no part of what is trained

    @property
    def teacher(self) -> Any:
        """The teacher, on the device of the batches, in evaluation mode."""
        (teacher,) = self._teachers
        return teacher

    @property
    def has_teacher(self) -> bool:
        """Whether it was given one."""
        return bool(self._teachers)

    def learn_from(self, teacher: nn.Module, student: nn.Module) -> None:
        """Take a teacher, once, before the first update; ConfigError if this student cannot learn from it."""
        self.check_pair(teacher, student)
        self._teachers = (teacher.eval().requires_grad_(False),)

    @abstractmethod
    def check_pair(self, teacher: Any, student: Any) -> None:
        """Raise a ConfigError if this student cannot learn from this teacher."""


class RunTaught(Taught):
    """A criterion whose teacher is a model of any kind from a run folder."""

    class Config(Section):
        """Options of a criterion with the model of another run."""

        teacher: str | None = None
        """The frozen model to learn from: a run folder, or the name of a run on the hub."""

    config: RunTaught.Config
    needs_teacher: ClassVar[bool] = True
    """Whether it can do without."""
    teacher_type: ClassVar[type] = nn.Module
    """The class or protocol of its teachers."""

    @property
    def teacher_run(self) -> str | None:
        """The run of the teacher; ConfigError if it is missing and needed."""
        if self.config.teacher is None and self.needs_teacher:
            raise ConfigError("criterion.teacher: must be given, the run folder of the model to learn from")
        return self.config.teacher

    def check_pair(self, teacher: Any, student: Any) -> None:
        if not isinstance(teacher, self.teacher_type):
            name, wanted = type(teacher).__name__, self.teacher_type.__name__
            raise ConfigError(f"criterion.teacher: must be the run of a {wanted}, found {name}")
