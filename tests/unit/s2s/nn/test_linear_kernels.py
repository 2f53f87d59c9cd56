"""How many kernels oneDNN is told to remember: few in training, many in generation, never against the user."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os
from s2s.nn.linear import remember_kernels
names = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
print(*(os.environ[name] for name in names))
remember_kernels()
print(*(os.environ[name] for name in names))
"""


@pytest.mark.parametrize(("own", "expected"), [(None, ["64 64", "256 256"]), ("7", ["64 7", "256 7"])])
def test_generation_remembers_more_and_the_users_limit_stays(own: str | None, expected: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("CACHE_CAPACITY")}
    if own:
        environment["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = own
    result = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == expected
