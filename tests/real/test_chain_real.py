"""The whole chain on real recordings, against the figures that are known of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anipipe.formats.poses3d import read_pose_3d
from anipipe.numerics.cameras import Rig
from tests.conftest import Lab

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real recordings in {DATA}")


def test_fly(tmp_path: Path):
    from aniposelib.cameras import CameraGroup

    shutil.copytree(DATA / "fly-3cam/predictions", tmp_path / "fly/s1/predictions")
    root = tmp_path / "fly"
    (root / "calibration").mkdir()
    shutil.copy(DATA / "fly-3cam/calibration.toml", root / "calibration")
    (root / "config.toml").write_text("[triangulation]\ncam_regex = '_(Cam-[A-C])'\nscore_threshold = 0.3\n")
    lab = Lab(root, Rig((), {}))
    lab.run("run-data")
    pose = read_pose_3d(root / "s1/pose-3d/fly4.csv")
    assert pose.points.shape == (500, 12, 3)
    assert round(float(np.nanmean(pose.error)), 3) == 1.586
    # aniposelib, from the same files read by pandas alone
    group = CameraGroup.load(str(DATA / "fly-3cam/calibration.toml"))
    pixels, scores = [], []
    for name in group.get_names():
        table = pd.read_csv(DATA / f"fly-3cam/predictions/fly4_{name}.csv", header=[0, 1, 2], index_col=0)
        values = table.to_numpy().reshape(len(table), 12, 3)
        pixels.append(np.where(values[..., 2:] >= 0.3, values[..., :2], np.nan))
        scores.append(values[..., 2])
        assert tuple(table.columns.get_level_values(1)[::3]) == pose.joints
    points = group.triangulate(np.reshape(pixels, (3, -1, 2)), progress=False).reshape(500, 12, 3)
    scene = np.ptp(points.reshape(-1, 3), axis=0).max()
    assert np.nanmax(np.abs(points - pose.points)) < 1e-6 * scene
    error = group.reprojection_error(points.reshape(-1, 3), np.reshape(pixels, (3, -1, 2)), mean=True)
    assert np.allclose(error.reshape(500, 12), pose.error, atol=1e-6)
    seen = np.isfinite(np.asarray(pixels)[..., 0])
    assert np.array_equal(pose.ncams, seen.sum(axis=0))
    assert np.allclose(pose.score, np.where(seen, scores, np.inf).min(axis=0))
    assert "0 jobs done" in lab.run("run-data")


def test_mouse(tmp_path: Path):
    root = tmp_path / "mouse"
    (root / "s1/predictions").mkdir(parents=True)
    for path in (DATA / "mouse-4cam/predictions").glob("*.analysis.h5"):
        shutil.copy(path, root / "s1/predictions")
    (root / "calibration").mkdir()
    shutil.copy(DATA / "mouse-4cam/reference/calibration_anipose.toml", root / "calibration/calibration.toml")
    (root / "config.toml").write_text(
        "[triangulation]\ncam_regex = '_(back|mid|side|top)$'\nscore_threshold = 0.1\n"
    )
    Lab(root, Rig((), {})).run("run-data")
    pose = read_pose_3d(root / "s1/pose-3d/mouse.csv")
    assert len(pose.points) == 120

    def length(a: str, b: str) -> float:
        there = pose.points[:, pose.joints.index(a)] - pose.points[:, pose.joints.index(b)]
        return float(np.nanmedian(np.linalg.norm(there, axis=-1)))

    assert length("Nose", "TTI") == pytest.approx(74.9, abs=1)
    assert length("Ear_L", "Ear_R") == pytest.approx(26.8, abs=1)
    assert length("TTI", "TailTip") == pytest.approx(90.0, abs=1)
