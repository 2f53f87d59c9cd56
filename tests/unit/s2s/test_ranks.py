"""The device and the processes of a job."""

from __future__ import annotations

import pytest

from s2s.errors import ConfigError
from s2s.ranks import join_ranks


@pytest.mark.parametrize("device", ["foo", "", "CPU", "cuda:0", "cpu "])
def test_a_device_of_another_name_is_refused(device: str) -> None:
    with (
        pytest.raises(ConfigError, match=rf"device: must be auto, cpu or cuda, found '{device}'"),
        join_ranks(device),
    ):
        pass


def test_one_process_alone_is_the_first_of_one() -> None:
    with join_ranks("cpu") as ranks:
        assert (ranks.rank, ranks.size, ranks.device.type, ranks.first) == (0, 1, "cpu", True)
