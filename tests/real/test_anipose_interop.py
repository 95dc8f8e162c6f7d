"""Anipose and movement themselves read what anipipe makes.

They live in environments of their own: ``ANIPIPE_ANIPOSE_PYTHON`` names a python that imports anipose,
``ANIPIPE_MOVEMENT_PYTHON`` one that imports movement.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pytest

from anipipe.formats.calibrations import read_calibration
from anipipe.formats.poses3d import read_pose_3d
from anipipe.numerics.cameras import Camera, Rig, project
from tests.conftest import Lab

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real recordings in {DATA}")

CUT = 0.3
CONFIG = f"""\
project = "mouse"
nesting = 1

[triangulation]
cam_regex = '_(back|mid|side|top)$'
score_threshold = {CUT}
optim = false

[angles]
back = ["Neck", "Trunk", "TTI"]
head = ["flex", "Nose", "Head", "Neck"]
ears = ["axis", "Ear_L", "Head", "Ear_R"]
spine = ["cross-axis", "Neck", "Trunk", "TTI"]
chain = ["chain", "Neck", "Trunk", "TTI/", "Tail_0"]
"""
FILTER = """
[filter]
enabled = true
type = "medfilt"
medfilt = 13
"""

Run = Callable[..., str]


def other_python(variable: str, module: str) -> Path:
    named = os.environ.get(variable)
    if not named:
        pytest.skip(f"{variable} names no python that imports {module}")
    check = subprocess.run([named, "-c", f"import {module}"], capture_output=True, text=True)
    if check.returncode:
        pytest.skip(f"{variable} = {named} does not import {module}: {check.stderr[-200:]}")
    return Path(named)


@pytest.fixture(scope="module")
def anipose() -> Run:
    """Run one of Anipose's commands in an experiment."""
    python = other_python("ANIPIPE_ANIPOSE_PYTHON", "anipose.anipose")

    def run(root: Path, command: str) -> str:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            [python, "-W", "ignore", "-c", "from anipose.anipose import cli; cli()", command],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module", params=["pose-2d", "pose-2d-filtered"])
def processed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A processed experiment of one session and one trial, and the folder that its 3D poses rest on."""
    root = tmp_path_factory.mktemp(request.param) / "mouse"
    (root / "s1/predictions").mkdir(parents=True)
    for path in (DATA / "mouse-4cam/predictions").glob("*.analysis.h5"):
        shutil.copyfile(path, root / "s1/predictions" / path.name)
        if request.param == "pose-2d-filtered":
            with h5py.File(root / "s1/predictions" / path.name, "r+") as file:
                file["tracks"][0, :, 0, 10:110:20] += 150  # jumps of a joint, with the score that it had
    (root / "calibration").mkdir()
    shutil.copy(DATA / "mouse-4cam/reference/calibration_anipose.toml", root / "calibration/calibration.toml")
    (root / "config.toml").write_text(CONFIG + (FILTER if request.param == "pose-2d-filtered" else ""))
    Lab(root, Rig((), {})).run("run-data")
    assert len(list((root / "s1" / request.param).glob("*.h5"))) == 4, f"no {request.param} was made"
    return root, request.param


def copy_for_anipose(root: Path, target: Path, *folders: str) -> Path:
    target.mkdir()
    shutil.copy(root / "config.toml", target)
    shutil.copytree(root / "calibration", target / "calibration")
    for folder in folders:
        shutil.copytree(root / "s1" / folder, target / "s1" / folder)
    return target


def views(root: Path, folder: str, joints: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each camera saw, by pandas and h5py alone: pixels, scores, flags of filled points."""
    pixels, scores, filled = [], [], []
    for camera in read_calibration(root / "calibration/calibration.toml").names:
        path = root / "s1" / folder / f"mouse_{camera}.h5"
        table = pd.read_hdf(path).droplevel("scorer", axis=1)
        pixels.append(np.stack([table[joint][["x", "y"]] for joint in joints], axis=1))
        scores.append(np.stack([table[joint]["likelihood"] for joint in joints], axis=1))
        with h5py.File(path) as file:
            flags = file["anipipe/filled"][()] if "anipipe/filled" in file else np.zeros(scores[-1].shape)
        filled.append(flags.astype(bool))
    return np.array(pixels), np.array(scores), np.array(filled)


def undistorted_well(pixels: np.ndarray, cameras: tuple[Camera, ...]) -> np.ndarray:
    """Where OpenCV's (so Anipose's) undistortion leads back to the pixel; near corners it gives up early."""
    well = np.zeros(pixels.shape[:-1], dtype=bool)
    for index, camera in enumerate(cameras):
        flat = pixels[index].reshape(-1, 1, 2)
        rays = cv2.undistortPoints(flat, camera.matrix, camera.distortions).reshape(-1, 2)
        still = Camera("still", None, camera.matrix, camera.distortions, np.zeros(3), np.zeros(3))
        back = project(np.column_stack([rays, np.ones(len(rays))]), still).reshape(pixels[index].shape)
        well[index] = np.linalg.norm(back - pixels[index], axis=-1) < 1e-4
    return well


def test_anipose_triangulates_our_2d_poses_alike(anipose: Run, processed: tuple[Path, str], tmp_path: Path):
    root, folder = processed
    copy = copy_for_anipose(root, tmp_path / "copy", folder)
    said = anipose(copy, "triangulate")
    assert (copy / "s1/pose-3d/mouse.csv").is_file(), said
    theirs, ours = (pd.read_csv(where / "s1/pose-3d/mouse.csv") for where in (copy, root))
    assert list(ours.columns[: len(theirs.columns)]) == list(theirs.columns)

    joints = read_pose_3d(root / "s1/pose-3d/mouse.csv").joints
    rig = read_calibration(root / "calibration/calibration.toml")
    pixels, scores, filled = views(root, folder, joints)
    used = ~(scores < CUT) & np.isfinite(pixels[..., 0])
    # Anipose triangulates points that a filter moved as if a network had seen them; anipipe does not.
    same = ~(filled & used).any(axis=0)
    assert same.all() == (folder == "pose-2d")
    exact = same & (~used | undistorted_well(pixels, rig.cameras)).all(axis=0)
    assert exact.mean() > 0.8

    def cells(table: pd.DataFrame, *columns: str) -> np.ndarray:
        return (
            table[[f"{joint}_{column}" for joint in joints for column in columns]]
            .to_numpy(dtype=float)
            .reshape(len(table), len(joints), len(columns))
        )

    here, there = cells(ours, "x", "y", "z"), cells(theirs, "x", "y", "z")
    assert np.array_equal(np.isnan(here[same]), np.isnan(there[same]))
    scene = np.linalg.norm(np.nanmax(there, axis=(0, 1)) - np.nanmin(there, axis=(0, 1)))
    away = np.linalg.norm(here - there, axis=-1) / scene
    assert np.nanmax(away[exact]) < 1e-6
    assert np.nanmax(away[same]) < 1e-4
    for column in ("ncams", "score"):
        np.testing.assert_array_equal(cells(ours, column)[same], cells(theirs, column)[same])
    errors = cells(ours, "error"), cells(theirs, "error")
    np.testing.assert_allclose(errors[0][exact], errors[1][exact], atol=1e-4)
    np.testing.assert_allclose(errors[0][same], errors[1][same], atol=1e-2)
    rest = [name for name in theirs if name == "fnum" or name.startswith(("M_", "center_"))]
    pd.testing.assert_frame_equal(ours[rest], theirs[rest])


def test_anipose_goes_on_from_our_3d_poses(anipose: Run, processed: tuple[Path, str], tmp_path: Path):
    root, folder = processed
    copy = copy_for_anipose(root, tmp_path / "copy", folder, "pose-3d")
    before = (copy / "s1/pose-3d/mouse.csv").read_bytes()
    for command in ("triangulate", "angles", "filter-3d", "summarize-3d"):
        anipose(copy, command)
    if folder == "pose-2d":
        anipose(copy, "summarize-2d")
    assert (copy / "s1/pose-3d/mouse.csv").read_bytes() == before
    theirs, ours = (pd.read_csv(where / "s1/angles/mouse.csv") for where in (copy, root))
    assert list(ours.columns) == list(theirs.columns)
    chained = [name for name in theirs if name.endswith(("_flex", "_rot", "_abduct"))]
    # in frames without some joint, Anipose's chains are shifted
    whole = ours.notna().all(axis=1)
    assert whole.mean() > 0.5
    for name in theirs:
        rows = whole if name in chained else ours.index == ours.index
        turned = (ours[name] - theirs[name] + 180) % 360 - 180
        assert np.array_equal(ours[name][rows].isna(), theirs[name][rows].isna()), name
        assert turned[rows].abs().max() < 1e-6, name
    summary = pd.read_csv(copy / "summaries/pose_3d.csv")
    assert list(summary.columns[:-3]) == list(pd.read_csv(root / "s1/pose-3d/mouse.csv", nrows=1).columns)


MOVEMENT = """\
import json, sys
from movement.io import load_dataset
dataset = load_dataset(sys.argv[1], source_software="Anipose", fps=30)
time, space, keypoint, individual = dataset.position.dims  # plural or singular, with the version
print("RESULT " + json.dumps({
    "keypoints": dataset[keypoint].values.tolist(),
    "space": dataset[space].values.tolist(),
    "position": dataset.position.transpose(time, keypoint, space, individual).values[..., 0].tolist(),
    "confidence": dataset.confidence.transpose(time, keypoint, individual).values[..., 0].tolist(),
}))
"""


@pytest.fixture(scope="module")
def movement() -> Path:
    """Return a python that has movement."""
    return other_python("ANIPIPE_MOVEMENT_PYTHON", "movement.io")


def test_movement_reads_our_3d_poses(movement: Path, processed: tuple[Path, str]):
    root, _ = processed
    path = root / "s1/pose-3d/mouse.csv"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [movement, "-c", MOVEMENT, str(path)], env=environment, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    read = json.loads(line.removeprefix("RESULT "))
    pose = read_pose_3d(path)
    order = [pose.joints.index(name) for name in read["keypoints"]]  # movement sorts them by name
    assert sorted(order) == list(range(len(pose.joints)))
    assert read["space"] == ["x", "y", "z"]
    np.testing.assert_array_equal(np.array(read["position"]), pose.points[:, order])
    np.testing.assert_array_equal(np.array(read["confidence"]), pose.score[:, order])
