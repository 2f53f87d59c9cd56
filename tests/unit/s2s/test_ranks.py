"""The device and the processes of a job."""

from __future__ import annotations

import pytest

from s2s.errors import ConfigError
from s2s.ranks import join_ranks


@pytest.mark.parametrize("device", ["foo", "", "CPU", "cuda:0", "cpu "])
def test_a_device_of_another_name_is_refused(device: str) -> None:
    with (
        pytest.raises(ConfigError, match=rf"device: must be auto, cpu, cuda or mps, found '{device}'"),
        join_ranks(device),
    ):
        pass


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    refused = pytest.raises(ConfigError, match=f"device: '{device}' was asked for, but torch finds no such GPU here")
    with refused, join_ranks(device):
        pass


def test_the_gpu_of_a_mac_is_used_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    for device, chosen in {"auto": "cpu", "mps": "mps"}.items():
        with join_ranks(device) as ranks:
            assert ranks.device.type == chosen


def test_one_process_alone_is_the_first_of_one() -> None:
    with join_ranks("cpu") as ranks:
        assert (ranks.rank, ranks.size, ranks.device.type, ranks.first) == (0, 1, "cpu", True)
