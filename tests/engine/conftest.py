from __future__ import annotations

import pytest

from .textline import HOOKS, Lab


@pytest.fixture
def lab(tmp_path):
    """Two groups of texts, in a folder whose name has a space, brackets and letters beyond ASCII."""
    root = tmp_path / "läb [1] é"
    root.mkdir()
    made = Lab(root)
    for path, text in {
        "a/source/one.txt": "alpha\n",
        "a/source/two.txt": "beta\n",
        "b/source/one.txt": "gamma\n",
        "b/source/three.txt": "delta ü\n",
    }.items():
        made.put(path, text)
    return made


@pytest.fixture
def hooks():
    """What stages call while they run in this process, by name."""
    yield HOOKS
    HOOKS.clear()
