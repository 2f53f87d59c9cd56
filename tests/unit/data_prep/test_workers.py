"""Work shared by processes: one that dies is told."""

from __future__ import annotations

import os

import pytest

from data_prep.workers import share
from s2s.errors import InputError


def test_a_worker_that_dies_is_told_without_a_promise_to_continue() -> None:
    with pytest.raises(InputError, match=r"worker process was killed, .*; start again with fewer --processes$"):
        list(share(os._exit, [1], 2))
