"""Transcribing on a Ray cluster: the job, the files and the windows are those of `latent.recognition.files`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from latent.recognition.files import (
    Summary,
    TranscribeOptions,
    WindowWork,
    expected_seconds,
    opened_output,
    planned,
    summary_of,
)
from latent.recognition.formats import TranscriptFormat
from latent.recognition.inputs import Listed
from latent.recognition.recognizer import Recognizer
from s2s.cluster.pool import ClusterOptions, Do, run_windows
from s2s.durable import claimed
from s2s.generation.output import Batches
from s2s.progress import Meter, audio
from s2s.ranks import Ranks, choose_device


class Open(Protocol):
    """Opens the recognizer on a device; pickled."""

    def __call__(self, *, device: torch.device) -> Recognizer: ...


def transcribe_on_cluster(
    open: Open, recordings: Sequence[Listed], output: Path, options: TranscribeOptions, cluster: ClusterOptions
) -> Summary:
    """Transcribe recordings by the workers of a Ray cluster, into the file that `transcribe_files` writes.

    Args:
        open: Called here, on the CPU, and in each worker.
        recordings: See `find_recordings`; all machines must see them.
        output: A file; the same call, or `transcribe_files`, continues a job that was killed.
        options: As for `transcribe_files`.
        cluster: Where, and how many workers.

    Raises:
        InputError: as for `transcribe_files` and `run_windows`.
    """
    recognizer = open(device=torch.device("cpu"))
    format, output, recordings = planned(recognizer, recordings, output, options)
    with claimed(output):
        alone = Ranks(0, 1, torch.device("cpu"))
        window, target = opened_output(recognizer, recordings, output, alone, options)
        count, begun = math.ceil(len(recordings) / window), time.monotonic()
        left = [number for number in range(count) if not target.is_done(number)]
        node = _Node(open, tuple(recordings), options, cluster.device, format, window)
        windows = (recordings[number * window : (number + 1) * window] for number in left)
        with Meter(expected_seconds(windows), True, "transcribed", audio) as meter:
            for number, found in run_windows(node, left, cluster) if left else ():
                target.write(number, found)
                meter.advance(found.counts["milliseconds"] / 1000)
        target.close(count)
    return summary_of(target, len(recordings), (time.monotonic() - begun) / meter.done if meter.done else None)


@dataclass(frozen=True)
class _Node:
    """Makes the work of a worker, there."""

    open: Open
    recordings: tuple[Listed, ...]
    options: TranscribeOptions
    device: str
    format: TranscriptFormat
    window: int

    def __call__(self) -> Do:
        work = WindowWork(self.open(device=choose_device(self.device)), self.options, self.format)

        def do(number: int) -> Any:
            return work.window(self.recordings[number * self.window : (number + 1) * self.window], Batches())

        return do
