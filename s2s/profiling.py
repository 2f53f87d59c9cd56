"""Where a command spends its time: torch's profiler around it, a trace and a table in a folder."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from s2s.durable import check_target, write_whole, writing

logger = logging.getLogger(__name__)

TABLE, TRACE = "table.txt", "trace.json.gz"
_ROWS = 40
"""Operations of a table, those that take most time."""


@contextlib.contextmanager
def profiled(folder: Path | None) -> Iterator[None]:
    """A block whose operations are written to FOLDER/trace.json.gz and, summed up, to FOLDER/table.txt; None: nothing.

    A trace grows by about a megabyte in a second, so give the block little to do. Each process of torchrun has files of
    its own.

    Raises:
        InputError: the folder cannot be written; known before the block begins.
    """
    if folder is None:
        yield
        return
    rank = f"rank{os.environ['RANK']}." if "RANK" in os.environ else ""
    table, trace = folder / f"{rank}{TABLE}", folder / f"{rank}{TRACE}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path in (table, trace):
        check_target(path)
    import torch  # the verbs import this module

    kinds = torch.profiler.ProfilerActivity
    on_gpu = torch.cuda.is_available()
    activities = [kinds.CPU, kinds.CUDA] if on_gpu else [kinds.CPU]
    wall, processor = time.perf_counter(), time.process_time()
    with torch.profiler.profile(activities=activities, record_shapes=True) as profile:
        yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    rows = profile.key_averages().table(sort_by=order, row_limit=_ROWS, max_name_column_width=60)
    head = f"{wall:.2f} s by the clock, {processor:.2f} s of processors, {torch.get_num_threads()} threads\n"
    write_whole(table, (head + rows).encode())
    with writing(trace):
        profile.export_chrome_trace(str(trace))
    logger.info(f"{table}: where the time went; {trace}: every operation, for https://ui.perfetto.dev")
