"""What the criteria of distillation share: a teacher that no optimizer, checkpoint or wrapper of training sees."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from pydantic import Field
from torch import nn

from s2s import hub
from s2s.config import Section
from s2s.criteria.base import Criterion


class Distillation(Criterion):
    """A criterion that compares the model, the student, with a frozen teacher, which the run loads."""

    class Config(Section):
        """Options of a criterion with a teacher."""

        teacher: hub.RequiredName = Field(min_length=1)
        """The model to learn from: a run, a checkpoint, or a name on the hub; of the task's vocabulary."""

    config: Distillation.Config
    reaches_all_parameters = False

    def __init__(self, config: Distillation.Config) -> None:
        super().__init__(config)
        self._teachers: tuple[Any, ...] = ()  # in a tuple torch does not see it, so it is no part of what is trained

    @property
    def teacher(self) -> Any:
        """The teacher, on the device of the batches, in evaluation mode."""
        (teacher,) = self._teachers
        return teacher

    def learn_from(self, teacher: nn.Module, student: nn.Module) -> None:
        """Take a teacher, once, before the first update; ConfigError if this student cannot learn from it."""
        self.check_pair(teacher, student)
        self._teachers = (teacher.eval().requires_grad_(False),)

    @abstractmethod
    def check_pair(self, teacher: Any, student: Any) -> None:
        """Raise a ConfigError if this student cannot learn from this teacher."""
