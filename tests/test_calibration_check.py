"""`anipipe calibration check`: on files, folders and experiments."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anipipe.cli import invoke
from anipipe.formats.board_detections import BoardDetections, write_board_detections
from anipipe.formats.calibrations import write_calibration
from anipipe.numerics.cameras import Rig, project
from tests.conftest import Lab, make_rig

BOARD_CONFIG = """
[calibration]
board_type = "checkerboard"
board_size = [6, 5]
board_square_side_length = 12
"""


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object, status: int = 0) -> str:
        assert invoke(["calibration", "check", *map(str, arguments)]) == status
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


def moved(rig: Rig, index: int = 2) -> Rig:
    cameras = list(rig.cameras)
    cameras[index] = replace(
        cameras[index], translation=cameras[index].translation + np.array([120.0, 40.0, 0])
    )
    return Rig(tuple(cameras), rig.metadata)


def copied(rig: Rig) -> Rig:
    return Rig((*rig.cameras[:2], replace(rig.cameras[0], name="C")), rig.metadata)


def test_a_bare_file_outside_any_experiment(tmp_path: Path, check):
    rig = make_rig()
    write_calibration(rig, tmp_path / "cameras.toml")
    text = check(tmp_path / "cameras.toml")
    distance = np.linalg.norm(rig.cameras[0].centre - rig.cameras[1].centre)
    assert f"B, {distance:.4g} away" in text and "640 x 480" in text and "600 px" in text
    assert "the cameras alone" in text and "usable: nothing is wrong" in text


def test_a_copied_camera_is_critical(tmp_path: Path, check):
    write_calibration(copied(make_rig()), tmp_path / "calibration.toml")
    text = check(tmp_path, status=1)
    assert "critical: cameras A and C" in text and "what to do:" in text and "do not use" in text


def test_an_experiment_is_held_against_its_poses(lab: Lab, check):
    text = check(lab.root)
    assert "2D poses of 4 trials" in text and "usable" in text
    write_calibration(moved(lab.rig), lab.root / "calibration/calibration.toml")
    text = check(lab.root, status=1)
    assert "camera C contradicts all others" in text
    for part in ("calibration", "calibration/calibration.toml", ""):
        assert "2D poses of 4 trials" in check(lab.root / part, status=1)
    assert "2D poses of 2 trials" in check(lab.root / "control/mouse1", status=1)


def test_poses_that_were_made_come_before_predictions(lab: Lab, check):
    lab.run("pose-2d")
    (lab.root / "control/mouse1/predictions/t1_ADLC_net_x1.csv").write_text("broken")
    assert "broken" not in check(lab.root / "control/mouse1")
    (lab.root / "control/mouse1/pose-2d/t1_A.h5").unlink()
    text = check(lab.root / "control/mouse1")
    assert "note:" in text and "t1_ADLC_net_x1.csv" in text


def test_json(lab: Lab, check):
    write_calibration(moved(lab.rig), lab.root / "calibration/calibration.toml")
    (told,) = json.loads(check("--json", lab.root, status=1))
    assert told["usable"] is False and told["calibration"].endswith("calibration.toml")
    assert told["alarms"][0]["level"] == "critical" and told["alarms"][0]["cameras"] == ["C"]
    assert [row["name"] for row in told["cameras"]] == ["A", "B", "C"]
    assert all(row["pose_error"] > 0 and row["board_error"] is None for row in told["cameras"])


def test_given_poses(lab: Lab, tmp_path: Path, check):
    file = tmp_path / "elsewhere.toml"
    write_calibration(moved(lab.rig), file)
    folder = lab.root / "control/mouse1/predictions"
    assert "contradicts" in check(file, "--poses", folder, "--cam-regex", "_([A-Z])$", status=1)
    assert "cam-regex" in check(file, "--poses", folder, status=2)
    assert "group" in check(file, "--poses", folder, "--cam-regex", "_[A-Z]$", status=2)
    assert "regular" in check(file, "--poses", folder, "--cam-regex", "_([A-Z]$", status=2)
    assert "no predictions" in check(file, "--poses", folder, "--cam-regex", "_cam(9)$", status=2)
    assert "no such folder" in check(file, "--poses", tmp_path / "x", "--cam-regex", "_(A)", status=2)
    assert "--poses" in check(file, "--cam-regex", "_(A)", status=2)


def with_board(lab: Lab) -> None:
    (lab.root / "config.toml").write_text((lab.root / "config.toml").read_text() + BOARD_CONFIG)
    rng = np.random.default_rng(3)
    flat = np.array([[12.0 * x - 30, 12.0 * y - 24, 0] for y in range(5) for x in range(6)])
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_euler("xyz", rng.uniform(-30, 30, (25, 3)) + np.array([0, 90, 0]), degrees=True)
    world = np.stack([turn.apply(flat) for turn in turns]) + rng.uniform(-25, 25, (25, 1, 3))
    folder = lab.root / "calibration/detections"
    folder.mkdir()
    frames, corners = np.repeat(np.arange(25), 30), np.tile(np.arange(30), 25)
    for camera in lab.rig.cameras:
        pixels = project(world, camera).reshape(-1, 2) + rng.normal(scale=0.1, size=(750, 2))
        found = BoardDetections(camera.name, (640, 480), 25, ["board"] * 750, frames, corners, pixels)
        write_board_detections(found, folder / f"board_{camera.name}.csv")


def test_detections_of_the_board(lab: Lab, check):
    with_board(lab)
    text = check(lab.root)
    assert "2250 corners of the board in 3 recordings" in text
    write_calibration(moved(lab.rig), lab.root / "calibration/calibration.toml")
    (told,) = json.loads(check("--json", lab.root, status=1))
    assert all(row["board_error"] is not None for row in told["cameras"])
    assert any("corners of the board lie" in alarm["text"] for alarm in told["alarms"])


def test_names_that_were_exchanged(lab: Lab, check):
    with_board(lab)
    first, second, third = lab.rig.cameras
    swapped = (replace(first, name=second.name), replace(second, name=first.name), third)
    write_calibration(Rig(swapped, lab.rig.metadata), lab.root / "calibration/calibration.toml")
    (told,) = json.loads(check("--json", lab.root, status=1))
    texts = [alarm["text"] for alarm in told["alarms"] if alarm["level"] == "critical"]
    assert len(texts) == 2 and all("confused with each other" in text for text in texts)
    assert "of the board meets" in texts[0] and "of the animal meets" in texts[1]


def test_detections_that_cannot_be_used_are_told(lab: Lab, check):
    with_board(lab)
    (lab.root / "calibration/detections/board_A.csv").write_text("nonsense")
    assert "not held against the board" in check(lab.root)


def test_wrong_usage(lab: Lab, tmp_path: Path, check):
    assert "no such file" in check(tmp_path / "nowhere", status=2)
    empty = tmp_path / "empty"
    empty.mkdir()
    check(empty, status=2)
    (lab.root / "calibration/calibration.toml").unlink()
    assert "no calibration here" in check(lab.root, status=2)
    assert "check" in check("--help")


def test_a_file_that_cannot_be_read(tmp_path: Path, check):
    (tmp_path / "calibration.toml").write_text("nonsense")
    assert "calibration.toml" in check(tmp_path, status=1)
