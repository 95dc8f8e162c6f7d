"""The filters on real recordings: known faults put into them, and Anipose's own results.

``ANIPIPE_ANIPOSE_PYTHON`` names a python that imports Anipose; without it those comparisons are skipped.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anipipe.formats.calibrations import read_calibration
from anipipe.formats.importing import import_pose
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.poses3d import Pose3D, read_pose_3d, write_pose_3d
from anipipe.numerics.filtering import fill_gaps, medfilt, smooth_in_space
from anipipe.numerics.triangulation import dlt, quality
from anipipe.numerics.viterbi import viterbi

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real recordings in {DATA}")

MEDFILT = {"window": 13, "offset_threshold": 25.0, "score_threshold": 0.05}
VITERBI = {"n_back": 5, "offset_threshold": 25.0, "score_threshold": 0.05}
#: Is given arrays, and applies Anipose's functions as its stages do, but without its pool of processes.
THEIRS = """
import sys
import numpy as np
from anipose.filter_pose import filter_pose_medfilt, viterbi_path
with np.load(sys.argv[1]) as given:
    points, scores, least = given["points"], given["scores"], float(given["least"])
usable = np.where((scores < least)[..., None], np.nan, points)
found = [viterbi_path(usable[:, j], scores[:, j], 5, 25.0) for j in range(points.shape[1])]
config = {"filter": {"medfilt": 13, "offset_threshold": 25.0, "score_threshold": least, "spline": True}}
cells = np.concatenate([points, scores[..., None]], axis=-1)
median, _ = filter_pose_medfilt(config, cells, range(points.shape[1]))
points, scores = (np.stack(part, axis=1) for part in zip(*found))
np.savez(sys.argv[2], points=points, scores=scores, median=median)
"""
THEIRS_3D = """
import sys
from anipose.filter_3d import filter_pose
filter_pose({"filter3d": {"medfilt": 17, "offset_threshold": float(sys.argv[3])}}, sys.argv[1], sys.argv[2])
"""

Run = Callable[..., None]


def recording(name: str) -> Pose2D:
    pattern = {
        "openfield": "openfield/*.h5",
        "mid": "mouse-4cam/predictions/mouse_mid.analysis.h5",
        "back": "mouse-4cam/predictions/mouse_back.analysis.h5",
    }.get(name, f"fly-3cam/predictions/*{name}.csv")
    return import_pose(sorted(DATA.glob(pattern)))


@pytest.fixture(scope="module")
def anipose() -> Run:
    python = os.environ.get("ANIPIPE_ANIPOSE_PYTHON")
    if not python:
        pytest.skip("ANIPIPE_ANIPOSE_PYTHON names no python that imports anipose")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(script: str, *arguments: object) -> None:
        command = [python, "-W", "ignore", "-c", script, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr

    return run


@pytest.mark.parametrize(
    ("name", "typical", "most"),
    [("Cam-A", 0.25, 0.9), ("Cam-B", 0.25, 0.9), ("Cam-C", 0.4, 1.2), ("mid", 0.9, 4)],
)
def test_outliers_put_into_good_tracks(name, typical, most):
    pose = recording(name)
    truth, scores = pose.points[:, :, 0], pose.scores[:, :, 0]
    rng = np.random.default_rng(11)
    wrong = rng.random(scores.shape) < 0.03
    way = rng.uniform(0, 2 * np.pi, wrong.sum())
    points = truth.copy()
    points[wrong] += np.stack([np.cos(way), np.sin(way)], -1) * rng.uniform(40, 150, (wrong.sum(), 1))
    kept, filled = medfilt(points, scores, **MEDFILT)
    assert np.array_equal((kept != points).any(axis=-1), wrong)  # all found, no false alarm
    off = np.linalg.norm(kept - truth, axis=-1)[filled]
    assert len(off) > 0.95 * wrong.sum() and np.median(off) < typical and np.percentile(off, 95) < most
    _, _, held = viterbi(points[:, :, None], scores[:, :, None], **VITERBI)
    assert (held & ~wrong).sum() == 0 and (wrong & ~held).sum() <= 0.02 * wrong.sum()


@pytest.mark.parametrize("name", ["Cam-A", "mid", "openfield"])
def test_the_bound_of_the_spline_helps_in_long_gaps(name):
    truth = recording(name).points[:, :, 0]
    hidden = np.zeros(truth.shape[:2], dtype=bool)
    for start in range(15, len(truth) - 35, 60):
        hidden[start : start + 20] = True
    points = np.where(hidden[..., None], np.nan, truth)

    def off(**options: float) -> np.ndarray:
        return np.linalg.norm(fill_gaps(points, spline=True, **options)[0] - truth, axis=-1)[hidden]

    bounded, free = off(furthest=25.0), off()
    assert bounded.mean() <= free.mean() and bounded.max() <= free.max()
    assert name == "Cam-A" or bounded.mean() < 0.95 * free.mean()


def test_openfield_as_it_is():
    pose = recording("openfield")
    kept, filled = medfilt(pose.points[:, :, 0], pose.scores[:, :, 0], **MEDFILT)
    assert filled.sum() == 95 and np.isnan(kept).any(axis=-1).sum() == 1
    found, scores, held = viterbi(pose.points, pose.scores, **VITERBI)
    assert held.sum() == 95 and np.isfinite(found).all() and scores.min() < 0.05


@pytest.mark.parametrize("least", [0.05, 0.3])
@pytest.mark.parametrize("name", ["Cam-A", "Cam-C", "openfield", "mid", "back"])
def test_2d_is_aniposes(name, least, anipose, tmp_path):
    pose = recording(name)
    np.savez(tmp_path / "given.npz", points=pose.points, scores=pose.scores, least=least)
    anipose(THEIRS, tmp_path / "given.npz", tmp_path / "found.npz")
    theirs = np.load(tmp_path / "found.npz")
    points, scores, _ = viterbi(pose.points, pose.scores, **{**VITERBI, "score_threshold": least})
    missing = (theirs["points"] == -1).all(axis=-1)
    assert np.array_equal(np.isnan(points).all(axis=-1), missing)
    assert np.array_equal(points[~missing], theirs["points"][~missing])
    assert np.array_equal(scores[~missing], theirs["scores"][~missing])
    kept, _ = medfilt(pose.points[:, :, 0], pose.scores[:, :, 0], **{**MEDFILT, "score_threshold": least})
    off = np.abs(kept - theirs["median"]).max(axis=-1)
    assert np.isfinite(off).mean() > 0.5
    # they differ where the spline is held to its bound; and at the ends, where ours is NaN or theirs is wrong
    assert (np.nan_to_num(off) > 1e-6).sum() <= 1
    assert (np.isnan(kept).any(axis=-1) & np.isfinite(theirs["median"]).all(axis=-1)).mean() < 0.03


@pytest.mark.parametrize("threshold", [2.0, 15.0])
def test_3d_is_aniposes(threshold, anipose, tmp_path):
    rig = read_calibration(DATA / "fly-3cam/calibration.toml")
    views = [recording(name) for name in rig.names]
    pixels = np.stack([view.points[:, :, 0] for view in views])
    scores = np.stack([view.scores[:, :, 0] for view in views])
    points = dlt(pixels, rig)
    pose = Pose3D(views[0].joints, points, *quality(points, pixels, scores, rig))
    write_pose_3d(pose, tmp_path / "raw.csv")
    anipose(THEIRS_3D, tmp_path / "raw.csv", tmp_path / "filtered.csv", threshold)
    theirs = read_pose_3d(tmp_path / "filtered.csv").points
    ours, replaced, left = smooth_in_space(points, pose.error, window=17, offset_threshold=threshold)
    assert (replaced.sum() > 500) == (threshold == 2.0) and not left.any()
    assert np.abs(ours - theirs).max() < 1e-9 * np.abs(theirs).max()
    assert np.abs(np.diff(ours, axis=0)).mean() < np.abs(np.diff(points, axis=0)).mean()
