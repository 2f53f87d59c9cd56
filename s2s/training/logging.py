"""The log of a training run: records in log.jsonl and TensorBoard, a progress bar or plain lines."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from s2s.durable import write_whole, writing
from s2s.json_files import dump_json, parse_json
from s2s.progress import duration

logger = logging.getLogger(__name__)

LOG = "log.jsonl"


class TrainingLog:
    """The log of a run, written by the first rank only; on the others nothing happens.

    Args:
        run: The run folder.
        step: Updates done; records of later ones, from a process that was killed, are removed.
        total_steps: Updates of the whole run; None if the clock decides.
        enabled: Whether this is the first rank.
        bar: Whether to draw a progress bar; by default, if standard error is a terminal.
    """

    def __init__(self, run: Path, step: int, total_steps: int | None, enabled: bool, bar: bool | None = None) -> None:
        self._enabled = enabled
        self._total_steps = total_steps
        self._bar: tqdm[Any] | None = None
        self._board: Any = None
        if not enabled:
            return
        self._path = run / LOG
        self._file = _open_log(self._path, step)
        self._board = _open_board(run / "tensorboard", step)
        if sys.stderr.isatty() if bar is None else bar:
            self._bar = tqdm(total=total_steps, initial=step, unit="update", dynamic_ncols=True, smoothing=0.05)

    def advance(self, step: int) -> None:
        """Move the bar to a step."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def train(self, record: dict[str, Any], seconds_left: float) -> None:
        """Log means over the last updates; a measurement that is not finite becomes null in log.jsonl."""
        self._write({"split": "train", **record})
        rate = _rate(record["tokens_per_s"])
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {record['epoch']}, {_means(record)}, {rate}")
        else:
            total = "" if self._total_steps is None else f"/{self._total_steps}"
            self.say(
                f"step {record['step']}{total}  epoch {record['epoch']}  {_means(record)}  "
                f"lr {record['lr']:.3g}  grad norm {record['grad_norm']:.3g}  {rate}  ETA {duration(seconds_left)}"
            )

    def validation(self, record: dict[str, Any], best: bool) -> None:
        """Log means over the validation split."""
        self._write({"split": "valid", **record})
        self.say(f"step {record['step']}  validation {_means(record)}{'  (best)' if best else ''}")

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
        if not self._enabled:
            return
        self._file.close()
        if self._bar is not None:
            self._bar.close()
        if self._board is not None:
            self._board.close()

    def _write(self, record: dict[str, Any]) -> None:
        if not self._enabled:
            return
        with writing(self._path):
            self._file.write(dump_json(record) + "\n")
            self._file.flush()
        if self._board is not None:
            for name, value in record.items():
                if name not in ("split", "step") and math.isfinite(value):
                    self._board.add_scalar(f"{record['split']}/{name}", value, record["step"])


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log, without one that was cut off by a kill, or is being written."""
    records = (_record(line) for line in path.read_bytes().splitlines())
    return [record for record in records if record is not None]


_NOT_MEANS = {"split", "step", "epoch", "lr", "grad_norm", "tokens_per_s", "seconds"}


def _means(record: dict[str, Any]) -> str:
    """The means of the criterion: `loss 2.31  accuracy 0.52`."""
    return "  ".join(f"{name} {value:.4g}" for name, value in record.items() if name not in _NOT_MEANS)


def _rate(tokens_per_s: float) -> str:
    return f"{tokens_per_s / 1000:.1f} ktok/s" if tokens_per_s >= 1000 else f"{tokens_per_s:.0f} tok/s"


def _open_log(path: Path, step: int) -> TextIO:
    """The file, with the records up to `step` kept."""
    with writing(path):
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if (record := _record(line)) and record["step"] <= step]
            write_whole(path, b"".join(kept))
        return path.open("a", encoding="utf-8")


def _record(line: bytes) -> dict[str, Any] | None:
    """The record on a line of the log; None if it was cut off by a kill."""
    try:
        record = parse_json(line, LOG)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "step" in record else None


def _open_board(folder: Path, step: int) -> Any:
    """A TensorBoard writer, or None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
