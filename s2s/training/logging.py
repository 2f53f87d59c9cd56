"""The log of a training run: measurements for its loggers, a progress bar or plain lines for the terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s2s.progress import duration
from s2s.training.loggers import Logger, open_loggers
from s2s.training.metrics import FACTS
from s2s.training.validation import Sample

logger = logging.getLogger(__name__)

_NOTABLE_WAIT = 0.05
"""Share of the time that the terminal shows."""
_LONGEST = 200
"""Characters of a text in a printed sample."""


class TrainingLog:
    """The log of a run, written by the first rank only; on the others nothing happens.

    Args:
        run: The run folder.
        step: Updates done; records of later ones, from a process that was killed, are removed.
        total_steps: Updates of the whole run; None if the clock decides.
        enabled: Whether this is the first rank.
        loggers: Names of loggers, see `open_loggers`.
        bar: Whether to draw a progress bar; by default, if standard error is a terminal.
    """

    def __init__(
        self,
        run: Path,
        step: int,
        total_steps: int | None,
        enabled: bool,
        loggers: Sequence[str] | None = None,
        bar: bool | None = None,
    ) -> None:
        self._enabled = enabled
        self._total_steps = total_steps
        self._bar: tqdm[Any] | None = None
        self._loggers: list[Logger] = []
        if not enabled:
            return
        self._loggers = open_loggers(loggers, run, step)
        if sys.stderr.isatty() if bar is None else bar:
            self._bar = tqdm(total=total_steps, initial=step, unit="update", dynamic_ncols=True, smoothing=0.05)

    def advance(self, step: int) -> None:
        """Move the bar to a step."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def train(self, record: dict[str, Any], seconds_left: float) -> None:
        """Log means over the last updates."""
        self._write("train", record)
        rate = _rate(record["tokens_per_s"])
        if record["wait"] > _NOTABLE_WAIT:
            rate += f", {record['wait']:.0%} of it waiting for batches"
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {record['epoch']}, {_means(record)}, {rate}")
        else:
            total = "" if self._total_steps is None else f"/{self._total_steps}"
            self.say(
                f"step {record['step']}{total}  epoch {record['epoch']}  {_means(record)}  "
                f"lr {record['lr']:.3g}  grad norm {record['grad_norm']:.3g}  {rate}  ETA {duration(seconds_left)}"
            )

    def validation(self, record: dict[str, Any], best: bool, samples: Sequence[Sample] = ()) -> None:
        """Log means over the validation split, and some outputs if there are any."""
        self._write("valid", record)
        self.say(f"step {record['step']}  validation {_means(record)}{'  (best)' if best else ''}")
        for sample in samples:
            self.say("\n".join(f"    {name:9}  {_shortened(text)}" for name, text in asdict(sample).items()))
        if samples:
            for place in self._loggers:
                place.samples(record["step"], samples)

    def changes(self, step: int, changes: Mapping[str, float]) -> None:
        """Log how much each adapter changes its matrix, relative to the norm of that; nothing without adapters."""
        if changes:
            self._write("adapters", {"step": step, **changes})
            idle = sum(not change > 0 for change in changes.values())
            idle_too = f"; {idle} of {len(changes)} change nothing" if idle else ""
            mean = sum(changes.values()) / len(changes)
            self.say(f"step {step}  adapters change their matrices by {mean:.2g} on average{idle_too}")

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if not self._enabled:
            return
        if self._bar is not None:
            self._bar.clear()
        logger.info(text)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Finish the files and the bar."""
        if self._bar is not None:
            self._bar.close()
        with contextlib.ExitStack() as stack:  # all, even if one cannot
            for place in self._loggers:
                stack.callback(place.close)

    def _write(self, split: str, record: dict[str, Any]) -> None:
        values = {name: value for name, value in record.items() if name != "step"}
        for place in self._loggers:
            place.numbers(split, record["step"], values)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 4]} ..."


def _means(record: dict[str, Any]) -> str:
    """The means of the criterion: `loss 2.31  accuracy 0.52`."""
    return "  ".join(f"{name} {value:.4g}" for name, value in record.items() if name not in FACTS)


def _rate(tokens_per_s: float) -> str:
    return f"{tokens_per_s / 1000:.1f} ktok/s" if tokens_per_s >= 1000 else f"{tokens_per_s:.0f} tok/s"
