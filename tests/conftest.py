"""What every test run needs: the mark of tests that need data."""

from __future__ import annotations

import pytest
from hypothesis import settings

from support.data_paths import data_path

pytest_plugins = ["pytester"]

# A busy machine makes an example slow, not wrong.
settings.register_profile("facealike", settings(), deadline=None)
settings.load_profile("facealike")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs_data(*names): the test needs data (tests/support/data_paths.py)"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs_data"):
        for name in mark.args:
            data_path(name)
