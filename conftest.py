"""Before any test: one thread for each process's numerics, as in jobs; the tests run in several processes."""

from __future__ import annotations

import os

import pytest

from anipipe.engine.executors import limit_threads

limit_threads()

#: Files that take longest. They begin first, so that no process still has one when the others have ended.
LONG = (
    "test_example.py",
    "test_torture.py",
    "test_equality.py",
    "test_full_disk.py",
    "test_calibration.py",
    "test_networks_real.py",
    "test_kill.py",
    "test_networks.py",
    "test_bundle.py",
    "test_training_projects.py",
    "test_network_commands.py",
    "test_calibration_real.py",
    "test_whole_recordings.py",
    "test_pictures.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; xdist hands files out in this order (``--no-loadscope-reorder``)."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use one process more than there are processors: many tests wait for processes of their own."""
    return (os.cpu_count() or 1) + 1
