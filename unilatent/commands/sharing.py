"""The options of verbs whose work several machines share: shards of a job array, or a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from s2s.cluster.pool import ClusterOptions

RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Share the work on a Ray cluster: auto (that of this machine), HOST:PORT, or local (one for this job).",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=100_000, help="With --ray: how many.", show_default="one for each GPU, or else each CPU"),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Part I of N alone, for a task of a job array; `unilatent join` joins them."
    ),
]


def window_for(given: int | None, ray: str | None) -> int:
    """Lines of a window: on a cluster fewer, so that all workers have some, and a lost one loses little."""
    return given or (4096 if ray is None else 512)


def refuse_without_ray(ray: str | None, workers: int | None, trace: str | None = None, profile: object = None) -> None:
    """Raise InputError for options that do not go together."""
    from s2s.errors import InputError

    if ray is None and workers is not None:
        raise InputError("--workers: are those of a Ray cluster; give --ray local, auto or HOST:PORT")
    if ray is not None and trace is not None:
        raise InputError("--ray: writes no traces; leave --trace out")
    if ray is not None and profile is not None:
        raise InputError("--profile: is of one process; leave --ray out")


def cluster_of(ray: str | None, workers: int | None, device: str, **others: Any) -> ClusterOptions | None:
    """The cluster that the options name, None without --ray; `others` and InputError: see `refuse_without_ray`."""
    refuse_without_ray(ray, workers, **others)
    if ray is None:
        return None
    from s2s.cluster.pool import ClusterOptions

    return ClusterOptions(address=ray, workers=workers, device=device)
