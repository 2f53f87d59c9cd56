"""Options and fixtures of all tests."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="append", default=[], metavar="FOLDER", help="golden cases to check as well")


def pytest_collection_finish() -> None:
    st.text().validate()  # makes hypothesis' table of characters now, a second's work that counts as a slow test later
