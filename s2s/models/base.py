"""What every model has: a configuration, weights and layers.

What a model can do beyond that is a matter of protocols, which stand beside those who need them: criteria of text train
a `s2s.criteria.base.Scorer`, searches generate with a `s2s.decoding.base.Generator`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from s2s.config import Section


class Model(nn.Module):
    """A network with its configuration."""

    class Config(Section):
        """Options of a model."""

    config: Section

    def __init__(self, config: Section) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def resolve(cls, config: Any, defaults: dict[str, Any]) -> Any:
        """The configuration with every size filled in: from the checkpoint it names, then from the task.

        Args:
            config: The section as the user wrote it.
            defaults: `Task.model_defaults()`.

        Raises:
            ConfigError: the checkpoint, the task and the user disagree about a size.
        """
        return config

    def initialize(self) -> None:
        """Load the pretrained weights that the configuration names; a new training run calls it once."""

    def expect(self, token_counts: Callable[[], NDArray[np.int64]]) -> None:
        """Begin with the frequencies of tokens, if the configuration says so; after `initialize`, once.

        Args:
            token_counts: Gives how often each token occurs, `(V,)`; called only if it is needed.
        """

    def prepare(self) -> None:
        """Bring the weights, in place, into the form that is fastest to generate with; nothing can train or save them.

        Call it once, on the device and in the precision that generation uses.
        """

    def blocks(self) -> list[nn.Module]:
        """The layers that FSDP shards, and activation checkpointing wraps, one by one."""
        return []
