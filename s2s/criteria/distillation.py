"""What the criteria of distillation share: a teacher that no optimizer, checkpoint or wrapper of training sees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from s2s import hub
from s2s.config import Section
from s2s.criteria.taught import Taught
from s2s.nn.token_loss import teacher_divergence


class Distillation(Taught):
    """A criterion that compares the model, the student, with a frozen teacher, which the run loads."""

    class Config(Section):
        """Options of a criterion with a teacher."""

        teacher: hub.RequiredName = Field(min_length=1)
        """The model to learn from: a run, a checkpoint, or a name on the hub; it knows every token of the task."""
        token_map: dict[str, str] = Field(default_factory=dict)
        """What the teacher calls tokens of the task, as `{"[X_SEP]": "[unused0]"}`; the others have the same name."""
        teacher_precision: Literal["float32", "bfloat16"] | None = None
        """Precision of the teacher's weights and of its forward pass. Default: as in training (`train.precision`)."""

    config: Distillation.Config
    reaches_all_parameters = False
    takes_shards: ClassVar[bool] = False
    """Whether FSDP may shard the student: it gathers a layer only for gradients that come through its outputs."""

    def learn_from(self, teacher: nn.Module, student: nn.Module) -> None:
        precision = self.config.teacher_precision
        super().learn_from(teacher if precision is None else teacher.to(getattr(torch, precision)), student)

    @contextlib.contextmanager
    def teaching(self, device: torch.device) -> Iterator[Any]:
        """A block with the teacher, in its precision. No gradient can pass through what is computed in there."""
        precision = self.config.teacher_precision
        own = contextlib.nullcontext() if precision is None else torch.autocast(device.type, enabled=False)
        with torch.inference_mode(), own:
            yield self.teacher

    def divergence(self, scores: Tensor, features: Tensor, temperature: float) -> Tensor:
        """See `teacher_divergence`: of the student's scores `(n, V)` from the teacher's for its features `(n, D)`."""
        with self.teaching(scores.device) as teacher:
            wanted = teacher.logits(features)
        return teacher_divergence(scores[:, : wanted.shape[1]], wanted, temperature)
