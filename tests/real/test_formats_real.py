"""The formats on real recordings; see the README beside them for what they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from anipipe.formats.calibrations import read_calibration, write_calibration
from anipipe.formats.importing import import_pose
from anipipe.formats.poses2d import read_pose_2d, write_pose_2d
from anipipe.formats.prediction_names import video_of

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real recordings are not at {DATA}")


def only(pattern: str) -> Path:
    (path,) = DATA.glob(pattern)
    return path


@pytest.mark.parametrize("camera", ["back", "mid", "side", "top"])
def test_sleap_project_equals_its_export(camera):
    pytest.importorskip("sleap_io")
    folder = DATA / "mouse-4cam" / "predictions"
    project = import_pose([folder / f"mouse_{camera}.slp"])
    export = import_pose([folder / f"mouse_{camera}.analysis.h5", folder / f"mouse_{camera}.slp"])
    assert project.points.shape == (120, 15, 1, 2)
    assert project.joints == export.joints
    assert project.video == export.video == f"mouse_{camera}"
    np.testing.assert_array_equal(project.points, export.points)
    np.testing.assert_array_equal(project.scores, export.scores)
    absent = np.isnan(export.points).any(axis=-1)
    assert (export.scores[absent] == 0).all()
    assert (export.scores[~absent] > 0).all()


@pytest.mark.parametrize("camera", "ABC")
def test_lightning_pose_fly(camera):
    pose = import_pose([DATA / "fly-3cam" / "predictions" / f"fly4_Cam-{camera}.csv"])
    assert pose.points.shape == (500, 12, 1, 2)
    assert (pose.joints[0], pose.joints[-1], pose.scorer) == ("L1A", "R3B", "heatmap_tracker")
    assert np.isfinite(pose.points).all()


def test_lightning_pose_mouse():
    pose = import_pose([DATA / "mirror-mouse" / "reference" / "clip.csv"])
    assert pose.points.shape == (120, 17, 1, 2)
    assert pose.joints[0] == "paw1LH_top"


def test_old_deeplabcut_predictions(tmp_path):
    path = only("openfield/m3v1mp4DeepCut_*.h5")
    pose = import_pose([path])
    assert video_of(path.name) == "m3v1mp4"
    assert pose.points.shape == (2330, 4, 1, 2)
    assert pose.joints == ("snout", "leftear", "rightear", "tailbase")
    assert pose.scores.min() == pytest.approx(0.041, abs=5e-4)
    assert np.mean(pose.scores < 0.6, axis=(0, 2)) == pytest.approx([0.069, 0.080, 0.068, 0.004], abs=1e-3)
    np.testing.assert_array_equal(read_pose_2d(path).points, pose.points)
    write_pose_2d(pose, tmp_path / "m3v1mp4.h5")
    np.testing.assert_array_equal(read_pose_2d(tmp_path / "m3v1mp4.h5").points, pose.points)


def test_new_deeplabcut_predictions():
    pose = import_pose([only("openfield/project/reference/clip.h5")])
    assert pose.points.shape == (300, 4, 1, 2)
    assert pose.scorer.startswith("DLC_Resnet50")
    np.testing.assert_array_equal(pose.points, pose.points.astype(np.float32))


@pytest.mark.parametrize(
    "name",
    [
        "fly-3cam/calibration.toml",
        "mouse-4cam/reference/calibration_anipose.toml",
        "mouse-4cam/reference/calibration_defective.toml",
    ],
)
def test_calibrations(tmp_path, name):
    cameras = pytest.importorskip("aniposelib.cameras")
    rig = read_calibration(DATA / name)
    write_calibration(rig, tmp_path / "calibration.toml")
    assert (tmp_path / "calibration.toml").read_text().strip() == (DATA / name).read_text().strip()
    group = cameras.CameraGroup.load(str(tmp_path / "calibration.toml"))
    assert group.get_names() == list(rig.names)
    for theirs, ours in zip(group.cameras, rig.cameras, strict=True):
        np.testing.assert_array_equal(theirs.get_camera_matrix(), ours.matrix)
        np.testing.assert_array_equal(theirs.get_distortions(), ours.distortions)
        np.testing.assert_array_equal(theirs.get_translation(), ours.translation)
    group.dump(str(tmp_path / "theirs.toml"))
    again = read_calibration(tmp_path / "theirs.toml")
    for one, two in zip(rig.cameras, again.cameras, strict=True):
        np.testing.assert_array_equal(one.rotation, two.rotation)
        assert one.size == two.size
