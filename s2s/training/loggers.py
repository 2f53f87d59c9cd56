"""Where measurements go: one small class for each place, all with the same methods."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from s2s import checkpoint
from s2s.config import read_tree
from s2s.durable import write_whole, writing
from s2s.errors import ConfigError, InputError
from s2s.json_files import dump_json, parse_json
from s2s.packages import load
from s2s.training.validation import Sample

LOG = "log.jsonl"


class Logger(Protocol):
    """A place for the measurements of a run."""

    def numbers(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Take measurements on "train" or "valid" after update `step`; some may not be finite."""

    def samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Take outputs for some validation examples."""

    def close(self) -> None:
        """Finish what was begun."""


class JsonLines:
    """RUN/log.jsonl, one record a line; what is not finite becomes null.

    Records of updates after `step`, from a process that was killed, are removed.
    """

    def __init__(self, run: Path, step: int) -> None:
        self._path = run / LOG
        with writing(self._path):
            if self._path.exists():
                lines = self._path.read_bytes().splitlines(keepends=True)
                kept = [line for line in lines if (record := _record(line)) and record["step"] <= step]
                write_whole(self._path, b"".join(kept))
            self._file = self._path.open("a", encoding="utf-8")

    def numbers(self, split: str, step: int, values: Mapping[str, float]) -> None:
        self._write({"split": split, "step": step, **values})

    def samples(self, step: int, samples: Sequence[Sample]) -> None:
        self._write({"split": "samples", "step": step, "samples": [asdict(sample) for sample in samples]})

    def close(self) -> None:
        self._file.close()

    def _write(self, record: dict[str, Any]) -> None:
        with writing(self._path):
            self._file.write(dump_json(record) + "\n")
            self._file.flush()


class TensorBoard:
    """Event files in RUN/tensorboard."""

    package = ("tensorboard", "logging")

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board: Any = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def numbers(self, split: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if math.isfinite(value):
                self._board.add_scalar(f"{split}/{name}", value, step)

    def samples(self, step: int, samples: Sequence[Sample]) -> None:
        for number, sample in enumerate(samples, start=1):
            text = "\n\n".join(f"**{name}** {value}" for name, value in asdict(sample).items())
            self._board.add_text(f"samples/{number}", text, step)

    def close(self) -> None:
        self._board.close()


class WeightsAndBiases:
    """A run on wandb.ai, or in RUN/wandb with WANDB_MODE=offline. WANDB_PROJECT names the project.

    A run that is resumed continues under its id, which is in RUN/wandb/id.
    """

    package = ("wandb", "wandb")

    def __init__(self, run: Path, step: int) -> None:
        wandb = load(*self.package)
        id_file = run / "wandb" / "id"
        with writing(id_file):
            id_file.parent.mkdir(exist_ok=True)
            if not id_file.exists():
                write_whole(id_file, uuid.uuid4().hex[:8].encode())
            id = id_file.read_text(encoding="utf-8")
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "unilatent"),
                **{"name": run.name, "id": id, "resume": "allow", "dir": str(run)},
                config=read_tree(run / checkpoint.CONFIG),
                settings=wandb.Settings(console="off"),  # the terminal's lines are not sent
            )
        except Exception as error:  # of a class of its own, where nobody is logged in or the server does not answer
            raise InputError(f"train.loggers: wandb cannot start: {error}; WANDB_MODE=offline sends nothing") from error
        self._run.define_metric("*", step_metric="step")
        self._table = wandb.Table

    def numbers(self, split: str, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **{f"{split}/{name}": value for name, value in values.items()}})

    def samples(self, step: int, samples: Sequence[Sample]) -> None:
        rows = [list(asdict(sample).values()) for sample in samples]
        self._run.log({"step": step, "samples": self._table(columns=["source", "reference", "output"], data=rows)})

    def close(self) -> None:
        self._run.finish()


LOGGERS: dict[str, Any] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}
"""By the values of `train.loggers`."""


def check_loggers(names: Sequence[str] | None) -> None:
    """Raise a ConfigError if the package of a logger that was asked for is missing."""
    for name in names or ():
        try:
            load(*LOGGERS[name].package)
        except InputError as error:
            raise ConfigError(f"train.loggers: {error}") from error


def open_loggers(names: Sequence[str] | None, run: Path, step: int) -> list[Logger]:
    """The log file and the loggers of some names; without names TensorBoard's where it is installed.

    Args:
        run: The run folder, with its configuration.
        step: Updates done.
    """
    makers: list[Callable[[Path, int], Logger]] = [JsonLines, *(LOGGERS[name] for name in names or ())]
    if names is None and _is_installed(TensorBoard.package):
        makers.append(TensorBoard)
    return [make(run, step) for make in makers]


def _is_installed(package: tuple[str, str]) -> bool:
    try:
        load(*package)
    except InputError:
        return False
    return True


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log, without one that was cut off by a kill, or is being written."""
    records = (_record(line) for line in path.read_bytes().splitlines())
    return [record for record in records if record is not None]


def _record(line: bytes) -> dict[str, Any] | None:
    """The record on a line of the log; None if it was cut off by a kill."""
    try:
        record = parse_json(line, LOG)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "step" in record else None
