"""The section `train` of a run's configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from s2s.config import Section


class TrainConfig(Section):
    """How long to train, on what, and what to keep."""

    max_steps: int | None = Field(None, ge=1)
    """Updates in all. Give either this or `epochs`."""
    epochs: int | None = Field(None, ge=1)
    """Passes over the training data."""
    max_tokens: int = Field(8192, ge=1)
    """Most slots of a micro-batch on one rank, padding included."""
    max_sentences: int | None = Field(None, ge=1)
    """Most examples of a micro-batch on one rank."""
    accumulate: int = Field(1, ge=1)
    """Micro-batches of one update on one rank. A run may go on with another value, as with other ranks."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16 computes in bfloat16 where that is safe (autocast); weights and updates stay float32."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """With several ranks (torchrun): whole model on each, or weights, gradients and optimizer shared out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    validate_every: int | None = Field(None, ge=1)
    """Updates between validations; at the end of each epoch if not given. The last update is always validated."""
    save_every: int | None = Field(None, ge=1)
    """Updates between checkpoints beside those after each validation and at the end."""
    keep_last: int = Field(1, ge=1)
    """Checkpoints kept of the last ones."""
    keep_best: int = Field(1, ge=0)
    """Checkpoints kept of those with the lowest validation loss. Whatever it is, RUN/model.safetensors is the best."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many validations in a row that were no better than the best one."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Keep a running mean of the weights with this decay (0.999, say), and validate and decode with it."""
    log_every: int = Field(10, ge=1)
    """Updates between two lines of the log."""
    workers: int = Field(1, ge=0)
    """Threads that prepare batches in the background; the results are the same with any number."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if (self.max_steps is None) == (self.epochs is None):
            found = "neither" if self.max_steps is None else "both"
            raise ValueError(f"exactly one of max_steps and epochs must be given, found {found}")
        return self
