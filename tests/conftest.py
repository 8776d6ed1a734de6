"""What every test run needs: the mark of tests that need data."""

from __future__ import annotations

import pytest

from data_paths import data_path

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_data(*names): the test needs data; see tests/data_paths.py")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs_data"):
        for name in mark.args:
            data_path(name)
