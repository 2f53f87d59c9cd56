"""What models share that are fed with the token before the one to predict, and may copy."""

from __future__ import annotations

from typing import Any

from s2s.data.batch import Batch, CopyBatch, Feeding, ShiftedBatch
from s2s.errors import ConfigError


def check_batch(batch: Batch, copies: bool) -> None:
    """Raise a ConfigError unless a model, with a copy head or without, can train on such a batch."""
    if not isinstance(batch, ShiftedBatch):
        raise ConfigError(
            "task.method: must be encoder_decoder (or causal) for this model, which is fed with the tokens before"
        )
    if isinstance(batch, CopyBatch) != copies:
        raise ConfigError(f"model.copies: must be {str(not copies).lower()} for this task, as task.copying implies")


def start_token(feeding: Feeding) -> int:
    """The token that is fed before the first one; ConfigError if masks are fed."""
    if feeding.start is None:
        raise ConfigError("task.method: must be encoder_decoder (or causal) for this model, it reads no masks")
    return feeding.start


def check_vocabulary(copies: bool, vocab_size: int, defaults: dict[str, Any]) -> None:
    """Raise a ConfigError if ids of copied words would not begin after those of the tokenizer."""
    tokens = defaults.get("vocab_size", vocab_size)
    if copies and vocab_size != tokens:
        raise ConfigError(f"model.vocab_size: must be {tokens} with task.copying, found {vocab_size}")
