"""The C library's memory."""

import subprocess
import sys

import pytest

from s2s.generation.freed_memory import keep_freed_memory

PROGRAM = """
import resource, sys
import torch
from s2s.generation.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def touch():
    torch.ones(12_000_000)  # 48 MB, which glibc maps anew each time
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_step_gets_the_memory_that_the_one_before_freed() -> None:
    faults = {}
    for way in ("keep", "leave"):
        run = subprocess.run([sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True)
        faults[way] = int(run.stdout)
    if faults["leave"] < 1000:
        pytest.skip("this C library keeps such memory anyway")
    assert faults["keep"] < faults["leave"] / 2


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_freed_memory()
