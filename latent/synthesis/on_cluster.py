"""Synthesis on a Ray cluster: the job, the files and the batches are those of `latent.synthesis.records`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from latent.synthesis.files import Spoken, Summary
from latent.synthesis.records import RecordJob, RecordOptions, spoken_of
from latent.synthesis.requests import Unusable, Wanted
from latent.synthesis.saying import warn_of_truncation
from latent.synthesis.voice import Voice
from s2s.cluster.pool import ClusterOptions, Do, run_windows
from s2s.errors import InputError
from s2s.progress import Meter, audio
from s2s.ranks import Ranks, choose_device


class Open(Protocol):
    """Opens the voice on a device; pickled."""

    def __call__(self, *, device: torch.device) -> Voice: ...


def synthesize_on_cluster(
    open: Open,
    voice: Voice,
    records: Sequence[Wanted | Unusable],
    folder: Path,
    cluster: ClusterOptions,
    **options: Any,
) -> Summary:
    """Speak records by the workers of a Ray cluster, into the folder that `synthesize_records` writes.

    Speech comes back to this process, which writes the files. A worker that is lost costs the batches it had.

    Args:
        open: Called in each worker; all must see the same voice.
        voice: What it gives on the CPU of this machine.
        records: See `read_requests`.
        folder: The same call, or `synthesize_records`, continues a job that was killed.
        cluster: Where, and how many workers.
        options: See `RecordOptions`.

    Raises:
        InputError: as for `synthesize_records` and `run_windows`.
    """
    job = RecordJob(voice, records, folder, RecordOptions(**options))
    with job.opened(Ranks(0, 1, torch.device("cpu"))):
        batches = job.left()
        node = _Node(open, voice.fingerprint(), tuple(job.wanted), batches, cluster.device)
        with Meter(job.expected_seconds(batches), True, "synthesized", audio) as meter:
            for _, found in run_windows(node, range(len(batches)), cluster) if batches else ():
                for index, made in found:
                    request = job.wanted[index].request
                    spoken = made if isinstance(made, str) else Spoken(request, *made)
                    if isinstance(spoken, Spoken):
                        meter.advance(len(spoken.samples) / voice.sample_rate)
                        if not spoken.ended:
                            warn_of_truncation(request, request.max_frames / voice.frame_rate)
                    job.take(index, spoken)
        return job.close(meter)


@dataclass(frozen=True)
class _Node:
    """Makes the work of a worker, there: on a batch, by its number."""

    open: Open
    fingerprint: dict[str, Any]
    wanted: tuple[Wanted, ...]
    batches: list[list[int]]
    device: str

    def __call__(self) -> Do:
        voice = self.open(device=choose_device(self.device))
        if voice.fingerprint() != self.fingerprint:
            raise InputError(f"{voice.name}: differs between machines of the cluster; all must see the same voice")

        def do(number: int) -> list[tuple[int, Any]]:
            with Meter(None, False, "synthesized", audio) as meter:
                return [
                    (index, found if isinstance(found, str) else (found.samples, found.ended, found.work_seconds))
                    for index, found in spoken_of(voice, self.wanted, [self.batches[number]], meter)
                ]

        return do
