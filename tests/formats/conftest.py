from __future__ import annotations

import pytest

from .helpers import ODD_NAME


@pytest.fixture
def folder(tmp_path):
    """A folder with spaces, brackets and letters beyond ASCII in its path."""
    path = tmp_path / ODD_NAME
    path.mkdir()
    return path
