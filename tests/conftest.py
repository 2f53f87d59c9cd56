"""Options and fixtures of all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import strategies as st


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="append", default=[], metavar="FOLDER", help="golden cases to check as well")


def pytest_configure() -> None:
    os.environ.setdefault("UNILATENT_PRODUCTS", "onednn")  # processes whose bytes are compared must not choose


def pytest_collection_finish() -> None:
    st.text().validate()  # makes hypothesis' table of characters now, a second's work that counts as a slow test later
