"""What the tests of several formats share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anipipe.errors import DataError
from anipipe.formats.poses2d import Pose2D

ODD_NAME = "Tür [1] %20 & ünïcode"


def make_pose(frames=6, joints=3, hypotheses=1, filled=False, seed=0, scorer="DLC_net"):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 600, size=(frames, joints, hypotheses, 2))
    scores = rng.random((frames, joints, hypotheses))
    if frames > 2:
        points[1, 0] = np.nan
    flags = rng.random((frames, joints)) > 0.5 if filled else None
    return Pose2D(tuple(f"joint {at}" for at in range(joints)), points, scores, scorer, flags)


def assert_same_pose(one: Pose2D, two: Pose2D) -> None:
    assert one.joints == two.joints
    assert one.scorer == two.scorer
    np.testing.assert_array_equal(one.points, two.points)
    np.testing.assert_array_equal(one.scores, two.scores)
    assert (one.filled is None) == (two.filled is None)
    if one.filled is not None:
        np.testing.assert_array_equal(one.filled, two.filled)


def assert_prefixes_refused(path: Path, read, allow=lambda prefix: False, step: int = 1) -> None:
    """Each strict prefix of a file raises DataError that names the file."""
    whole = path.read_bytes()
    lengths = sorted(
        {
            *range(0, min(len(whole), 300)),
            *range(0, len(whole), step),
            *range(max(0, len(whole) - 300), len(whole)),
        }
    )
    cut = path.with_name("cut " + path.name)
    for length in lengths:
        cut.write_bytes(whole[:length])
        if allow(whole[:length]):
            continue
        with pytest.raises(DataError) as raised:
            read(cut)
        assert str(cut) in str(raised.value), length
