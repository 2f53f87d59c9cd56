"""The tiny voice, and one server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a tiny voice."""
    from tiny_voice import write_voice

    return write_voice(tmp_path_factory.mktemp("voice"))


@pytest.fixture(scope="module")
def server(voice: Path) -> Iterator[object]:
    """A server with the tiny models; see `serving`."""
    from serving import serving

    with serving(voice) as running:
        yield running
