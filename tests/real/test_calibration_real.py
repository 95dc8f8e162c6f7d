"""Calibration of real rigs from their board recordings against the numbers that were measured on them."""

from __future__ import annotations

import json
import os
import tomllib
import warnings
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anipipe.artifacts import BoardRecording
from anipipe.config import Layer, Resolved, resolve
from anipipe.errors import Notice
from anipipe.formats.board_detections import (
    BoardDetections,
    read_board_detections,
    write_board_detections,
)
from anipipe.formats.calibrations import read_calibration, write_calibration
from anipipe.numerics.boards.geometry import Board
from anipipe.numerics.calibration import aniposelib_solver
from anipipe.numerics.calibration.alarms import Alarm, is_critical, rig_alarms
from anipipe.numerics.calibration.errors import corner_errors
from anipipe.numerics.calibration.lens_start import one_thread
from anipipe.numerics.calibration.placing import board_residuals, place_boards
from anipipe.numerics.calibration.selection import at_instants, chosen_instants
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.solver import calibrate, solve
from anipipe.numerics.calibration.start import Start, Wish, start
from anipipe.numerics.calibration.views import BoardViews, pair_views, shared_corners, usable
from anipipe.numerics.cameras import Camera, Rig
from anipipe.stages import calibrate as stage
from anipipe.stages.detect_boards import DetectionOptions, detect_boards

DATA = Path(
    os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)
MOUSE, GLASS = DATA / "mouse-4cam", DATA / "charuco-4cam-inverted"
pytestmark = pytest.mark.skipif(
    not (MOUSE.is_dir() and GLASS.is_dir()),
    reason=f"no real recordings in {DATA}; set ANIPIPE_REAL_DATA to where they are",
)
BOARD = {"board_type": "charuco", "board_marker_bits": 4, "board_marker_dict_number": 1000}
MOUSE_BOARD = {
    **BOARD,
    "board_size": [8, 11],
    "board_square_side_length": 24.0,
    "board_marker_length": 18.75,
}
GLASS_BOARD = {
    **BOARD,
    "board_size": [4, 5],
    "board_square_side_length": 54.0,
    "board_marker_length": 40.5,
    "board_inverted": True,
}
CAMERAS = ("back", "mid", "side", "top")
# mm, between the cameras' centres
DISTANCES = {
    ("back", "mid"): 287,
    ("back", "side"): 448,
    ("back", "top"): 141,
    ("mid", "side"): 355,
    ("mid", "top"): 208,
    ("side", "top"): 470,
}
FOCAL = {"back": 763.5, "mid": 761.2, "side": 758.6, "top": 959.3}


def settings(cam_regex: str, calibration: dict[str, Any]) -> Resolved:
    values = {"calibration": calibration, "triangulation": {"cam_regex": cam_regex}}
    return resolve([Layer(Path("config.toml"), values)])


def detect(recordings: list[BoardRecording], told: Resolved) -> list[BoardDetections]:
    options = DetectionOptions.of(told)
    return [detect_boards(recording, options=options) for recording in recordings]


def distances(rig: Rig) -> dict[tuple[str, str], float]:
    return {
        (one.name, two.name): float(np.linalg.norm(one.centre - two.centre))
        for one, two in combinations(rig.cameras, 2)
    }


def in_bytes(solution: Solution, path: Path) -> bytes:
    write_calibration(solution.rig, path)
    return path.read_bytes() + solution.residuals.tobytes() + solution.kept.tobytes()


@pytest.fixture(scope="module")
def recordings() -> list[BoardRecording]:
    return [BoardRecording((MOUSE / f"calibration/board_{camera}.mov",), camera) for camera in CAMERAS]


@pytest.fixture(scope="module")
def detections(recordings) -> list[BoardDetections]:
    return detect(recordings, settings("_(back|mid|side|top)$", MOUSE_BOARD))


@pytest.fixture(scope="module")
def board() -> Board:
    return DetectionOptions.of(settings("_(.*)$", MOUSE_BOARD)).board()


@pytest.fixture(scope="module")
def views(detections, board) -> BoardViews:
    return pair_views(detections, len(board.points))


@pytest.fixture(scope="module")
def solved(views, board) -> Solution:
    return calibrate(views, board.points)


@pytest.fixture(scope="module")
def report(views, solved, board) -> dict[str, Any]:
    return corner_errors(views, solved, board.points)


def test_detections_survive_their_file(detections, views, board, tmp_path):
    for found in detections:
        write_board_detections(found, tmp_path / f"{found.camera}.csv")
    read = [read_board_detections(path) for path in tmp_path.iterdir()]
    assert np.array_equal(pair_views(read, len(board.points)).pixels, views.pixels, equal_nan=True)
    assert shared_corners(views).min() > 1300


def test_all_corners_fit(report):
    json.dumps(report, allow_nan=False)
    overall = report["overall"]
    assert overall["corners"] >= 5800
    assert overall["mean"] <= 0.300 and overall["median"] <= 0.235
    assert overall["kept"]["corners"] >= 0.97 * overall["corners"]
    assert overall["kept"]["rms"] < 0.36
    worst = {"back": 0.28, "mid": 0.21, "side": 0.53, "top": 0.25}
    assert all(report["cameras"][name]["mean"] < limit for name, limit in worst.items())
    lengths = report["board_lengths"]
    assert abs(lengths["mean"]) < 0.05 and lengths["spacing"] == 24
    assert report["engine"] == "anipipe" and report["remarks"] == []
    assert not is_critical([Alarm(**alarm) for alarm in report["alarms"]])
    warned = {tuple(alarm["cameras"]) for alarm in report["alarms"] if alarm["level"] == "warning"}
    assert warned <= {("back",), ("side",)}  # a few corners at the very border


def test_the_cameras_are_where_they_are(solved):
    assert distances(solved.rig) == pytest.approx(DISTANCES, rel=0.005)
    assert {camera.name: camera.matrix[0, 0] for camera in solved.rig.cameras} == pytest.approx(
        FOCAL, rel=0.005
    )


def test_a_second_run_writes_the_same_bytes_whatever_the_order_of_recordings(
    detections, solved, board, tmp_path
):
    views = pair_views([detections[index] for index in (2, 0, 3, 1)], len(board.points))
    again = calibrate(views, board.points)
    assert in_bytes(again, tmp_path / "again.toml") == in_bytes(solved, tmp_path / "first.toml")


def perturbed(begun: Start, seed: int) -> Start:
    """Focal lengths 10 % off, cameras turned by 5 degrees and shifted by a tenth of the way to the board."""
    rng = np.random.default_rng(seed)
    board = np.nanmean(begun.boards[:, :3, 3], axis=0)
    cameras = []
    for camera in begun.cameras:
        growth = 1 + 0.1 * rng.choice([-1, 1])
        axis, way = rng.normal(size=(2, 3))
        turn = Rotation.from_rotvec(np.radians(5) * axis / np.linalg.norm(axis))
        far = 0.1 * np.linalg.norm(camera.centre - board)
        cameras.append(
            replace(
                camera,
                matrix=camera.matrix * [[growth, 1, 1], [1, growth, 1], [1, 1, 1]],
                rotation=(turn * Rotation.from_matrix(camera.rotation_matrix)).as_rotvec(),
                translation=camera.translation + far * way / np.linalg.norm(way),
            )
        )
    return replace(begun, cameras=tuple(cameras))


def test_all_starts_end_alike(views, board, solved):
    with one_thread():
        chosen = chosen_instants(views, usable(views, board.points))
        begun = start(at_instants(views, chosen), board.points, None, Wish())
        for seed in range(4):
            found = solve(views, board.points, perturbed(begun, seed), chosen, wish=Wish())
            assert np.nanmean(found.distances) == pytest.approx(np.nanmean(solved.distances), rel=1e-4)
            assert distances(found.rig) == pytest.approx(distances(solved.rig), rel=1e-4)


def placed(rig: Rig, views: BoardViews, board: Board) -> Solution:
    """These cameras as they are."""
    boards = place_boards(views, rig.cameras, board.points)
    residuals = board_residuals(views.pixels, rig.cameras, boards, board.points)
    return Solution(rig, boards, residuals, views.seen)


def test_a_defective_calibration_is_seen(views, board, solved):
    """Its "side" is a copy of "top"."""
    rig = read_calibration(MOUSE / "reference/calibration_defective.toml")
    critical = [alarm for alarm in rig_alarms(rig) if alarm.level == "critical"]
    assert [set(alarm.cameras) for alarm in critical] == [{"side", "top"}]
    assert not is_critical(rig_alarms(solved.rig))
    report = corner_errors(views, placed(rig.subset(CAMERAS), views, board), board.points)
    means = {tuple(pair["cameras"]): pair["mean"] for pair in report["pairs"]}
    assert min(mean or np.inf for names, mean in means.items() if "side" in names) > 5
    assert max(mean for names, mean in means.items() if "side" not in names) < 5
    assert any(alarm["level"] == "critical" for alarm in report["alarms"])


def test_known_cameras_are_measured_or_moved(views, board):
    rig = read_calibration(MOUSE / "reference/calibration_anipose.toml")
    kept = calibrate(views, board.points, init=rig, wish=Wish(fix=("intrinsics", "extrinsics")))
    moved = calibrate(views, board.points, init=rig, wish=Wish(fix=("intrinsics",)))
    assert np.nanmedian(moved.distances) <= np.nanmedian(kept.distances) < 0.5
    assert distances(moved.rig) == pytest.approx(DISTANCES, abs=4)
    for camera in moved.rig.cameras:
        known = rig.camera(camera.name)
        assert np.array_equal(camera.matrix, known.matrix)
        assert np.array_equal(kept.rig.camera(camera.name).translation, known.translation)


@pytest.fixture(scope="module")
def aniposelib() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("aniposelib.cameras", reason="aniposelib is not installed")
    return aniposelib_solver


@pytest.mark.usefixtures("aniposelib")
def test_aniposelib_can_be_chosen(detections, recordings, solved):
    told = settings("_(back|mid|side|top)$", {**MOUSE_BOARD, "engine": "aniposelib"})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        options = stage.CalibrationOptions.of(told)
        rig, report, page = stage.calibrate(detections, recordings, None, options=options)
    assert {warning.category for warning in said} == {Notice}
    assert rig.metadata["engine"] == report["engine"] == "aniposelib" and "<html" in page
    assert report["overall"]["mean"] < 0.40 and report["overall"]["median"] < 0.30
    assert distances(rig) == pytest.approx(DISTANCES, abs=4)
    ours = {camera.name: camera.matrix[0, 0] for camera in solved.rig.cameras}
    assert {camera.name: camera.matrix[0, 0] for camera in rig.cameras} == pytest.approx(ours, rel=0.01)


@pytest.fixture(scope="module")
def glass_board() -> Board:
    return DetectionOptions.of(settings("_(.*)$", GLASS_BOARD)).board()


@pytest.fixture(scope="module")
def glass(glass_board) -> BoardViews:
    """A board printed inverted on glass; camera 1 sees it from behind."""
    recordings = [
        BoardRecording((GLASS / f"calibration/board_cam{camera}.mp4",), str(camera)) for camera in range(4)
    ]
    found = detect(recordings, settings("_cam([0-9])$", GLASS_BOARD))
    assert [part.mirrored for part in found] == [False, True, False, False]
    return pair_views(found, len(glass_board.points))


@pytest.fixture(scope="module")
def reference() -> Rig:
    """Another program's cameras, mm; their lenses were calibrated one by one, from other recordings."""
    with (GLASS / "reference_camera_array.toml").open("rb") as file:
        cameras = tomllib.load(file)["cameras"]
    return Rig(
        tuple(
            Camera(
                name,
                tuple(told["size"]),
                np.array(told["matrix"]),
                np.array(told["distortions"]),
                Rotation.from_matrix(told["rotation"]).as_rotvec(),
                1000 * np.array(told["translation"]),
            )
            for name, told in cameras.items()
        )
    )


@pytest.mark.parametrize("distortion", ["k1", "full"])
def test_a_mirrored_board_on_glass(distortion, glass, glass_board, reference):
    """The reference's optical axes are up to 32 px off the centres: held there, focal lengths bend."""
    found = calibrate(glass, glass_board.points, wish=Wish(distortion=distortion, axis=True))
    report = corner_errors(glass, found, glass_board.points)
    assert report["overall"]["corners"] >= 1900
    assert report["overall"]["median"] < 0.5
    for camera in found.rig.cameras:
        assert camera.matrix[0, 0] == pytest.approx(reference.camera(camera.name).matrix[0, 0], rel=0.05)
    assert distances(found.rig) == pytest.approx(distances(reference), rel=0.05)


def test_known_lenses_place_cameras_as_the_reference_does(glass, glass_board, reference):
    known = Wish(fix=("intrinsics",))
    found = calibrate(glass, glass_board.points, init=reference, wish=known)
    assert distances(found.rig) == pytest.approx(distances(reference), rel=0.005)
    theirs = placed(reference, glass, glass_board)
    assert np.nanmean(found.distances) < 0.8 * np.nanmean(theirs.distances)
