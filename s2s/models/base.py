"""The base class of models.

What a model can do is defined by protocols, in the module that needs them: criteria of text train a
`s2s.criteria.base.Scorer`, searches generate with a `s2s.decoding.base.StepModel`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from s2s.config import Section
from s2s.data.batch import Batch, CopyBatch
from s2s.errors import ConfigError
from s2s.nn.packed import Precision


class Model(nn.Module):
    """A network with its configuration."""

    class Config(Section):
        """Options of a model."""

    config: Section
    from_base: frozenset[str] = frozenset()
    """Names of the weights that come from the checkpoint of the configuration at every start: what adapters froze."""

    def __init__(self, config: Section) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        """The configuration with every size filled in, from the checkpoint it names, then from `Task.model_defaults`.

        Raises:
            ConfigError: the checkpoint, the task and the user disagree about a size.
        """
        return config

    def initialize(self) -> None:
        """Load the pretrained weights that the configuration names; a new training run calls it once."""

    def expect(self, token_counts: Callable[[], NDArray[np.int64]]) -> None:
        """Start from token counts `(V,)`, if configured so; called once, after `initialize`."""

    def check(self, batch: Batch) -> None:
        """Raise a ConfigError if it cannot train on such a batch; called once, before the first update."""
        if isinstance(batch, CopyBatch):
            raise ConfigError("task.copying: must be null, this model has no copy head")

    def prepare(self, precision: Precision = "float32") -> None:
        """Convert the weights, in place, to the form that generates fastest; they can no longer be trained or saved.

        Call it once, on the device of the generation; `precision` is that of the products on a CPU.
        """

    def matrices(self) -> dict[str, dict[str, int]]:
        """What adapters may change; see `s2s.nn.adapters.Matrices`. Default: the linear layers in `blocks`."""
        within = {id(layer) for block in self.blocks() for layer in block.modules() if isinstance(layer, nn.Linear)}
        return {name: {name: layer.out_features} for name, layer in self.named_modules() if id(layer) in within}

    def export_parts(self, folder: Path) -> None:
        """Write what is trained in full beside adapters, as other programs read it; nothing by default."""

    def blocks(self) -> list[nn.Module]:
        """The layers that FSDP shards, and activation checkpointing wraps, one by one."""
        return []
