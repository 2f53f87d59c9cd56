"""The section `train` of a run's configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from s2s.config import Section


class TrainConfig(Section):
    """Length of the training, batches, device, validation and checkpoints."""

    max_steps: int | None = Field(None, ge=1)
    """Total number of updates. Give this, `epochs` or `max_minutes`. See `train --help` for longer runs."""
    epochs: int | None = Field(None, ge=1)
    """Passes over the training data."""
    max_minutes: float | None = Field(None, gt=0)
    """Minutes of updates by the clock, validation not counted. The learning rate decays with the time that is left, so
    two runs differ; on another processor more or fewer updates fit."""
    max_tokens: int = Field(8192, ge=1)
    """Maximum number of tokens in a micro-batch on one rank, padding included; samples for an audio tokenizer."""
    max_sentences: int | None = Field(None, ge=1)
    """Maximum number of examples in a micro-batch on one rank."""
    accumulate: int = Field(1, ge=1)
    """Micro-batches per update on one rank. A run may be resumed with another value, and on other numbers of ranks."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16 computes in bfloat16 where that is safe (autocast); weights and updates stay float32."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """With several ranks (torchrun): the whole model on each, or weights, gradients and optimizer state sharded."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device; auto uses a CUDA GPU if there is one, else the CPU. mps is Apple's GPU."""
    validate_every: int | None = Field(None, ge=1)
    """Updates between validations; at the end of each epoch if not given. The last update is always validated."""
    save_every: int | None = Field(None, ge=1)
    """Updates between checkpoints, in addition to those after each validation and at the end."""
    keep_last: int = Field(1, ge=1)
    """Number of latest checkpoints to keep."""
    keep_best: int = Field(1, ge=0)
    """Number of checkpoints with the lowest validation loss to keep. RUN/model.safetensors is always the best."""
    patience: int | None = Field(None, ge=1)
    """Early stopping: stop after this many validations in a row without improvement."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average (EMA) of the weights (0.999, say), used for validation and decoding."""
    log_every: int = Field(10, ge=1)
    """Updates between log lines."""
    workers: int = Field(1, ge=0)
    """Threads that prepare batches in the background; the results are the same with any number."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        lengths = ("max_steps", "epochs", "max_minutes")
        given = [name for name in lengths if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"exactly one of {', '.join(lengths)} must be given, found {found}")
        return self
