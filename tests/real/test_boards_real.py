"""Boards in real recordings against the numbers that were measured on them."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from anipipe.numerics.boards.detection import Detections, detect_board
from anipipe.numerics.boards.geometry import Board, make_board
from anipipe.numerics.boards.guess import guess_board

DATA = Path(
    os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)
MOUSE = make_board("charuco", (8, 11), square=24, marker=18.75, dictionary="DICT_4X4_1000")
GLASS = make_board("charuco", (4, 5), square=54, marker=40.5, dictionary="DICT_4X4_1000")


def frames(path: Path, most: int | None = None, each: int = 1) -> list[tuple[int, np.ndarray]]:
    """Every so manieth of the first frames of a video, grey, with their numbers."""
    if not path.exists():
        pytest.skip(f"no real recordings in {path.parent}; set ANIPIPE_REAL_DATA to where they are")
    video = cv2.VideoCapture(str(path))
    out, number = [], 0
    while number != most and video.grab():
        if number % each == 0:
            out.append((number, cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2GRAY)))
        number += 1
    video.release()
    return out


def mouse(camera: str, most: int | None = None, each: int = 1):
    return frames(DATA / f"mouse-4cam/calibration/board_{camera}.mov", most, each)


def glass(camera: int, each: int = 1):
    return frames(DATA / f"charuco-4cam-inverted/calibration/board_cam{camera}.mp4", each=each)


def calibrated(found: Detections, board: Board) -> tuple[float, float]:
    """Focal length and median error when the camera is calibrated alone, f, k1, k2."""
    seen = [sighting for sighting in found.sightings if len(sighting.ids) >= 8]
    objects = [board.points[sighting.ids].astype(np.float32) for sighting in seen]
    pixels = [sighting.corners.astype(np.float32) for sighting in seen]
    width, height = found.size
    start = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    flags = (
        cv2.CALIB_USE_INTRINSIC_GUESS
        | cv2.CALIB_FIX_ASPECT_RATIO
        | cv2.CALIB_ZERO_TANGENT_DIST
        | cv2.CALIB_FIX_K3
    )
    _, matrix, bend, turns, shifts = cv2.calibrateCamera(
        objects, pixels, found.size, start, None, flags=flags
    )
    off = [
        np.linalg.norm(cv2.projectPoints(o, r, t, matrix, bend)[0].reshape(-1, 2) - p, axis=1)
        for o, p, r, t in zip(objects, pixels, turns, shifts, strict=True)
    ]
    return float(matrix[0, 0]), float(np.median(np.concatenate(off)))


@pytest.mark.parametrize(
    ("camera", "least", "median"),
    [("side", 1420, 0.5), ("top", 1470, 0.25)],
)
def test_mouse_boards(camera, least, median):
    found = detect_board(mouse(camera), MOUSE)
    assert found.count >= least  # 5822 in all four with OpenCV's own detector
    assert (found.mirrored, found.size) == (False, (1280, 1024))
    assert found.legacy is None, "an odd number of rows has one layout"
    focal, error = calibrated(found, MOUSE)
    assert error < median
    assert focal == pytest.approx({"top": 959}.get(camera, 761), rel=0.02)


@pytest.mark.parametrize(("camera", "least"), [(1, 530), (3, 270)])
def test_inverted_board_on_glass(camera, least):
    found = detect_board(glass(camera), GLASS, inverted=True)
    assert found.count >= least
    assert found.mirrored is (camera == 1)
    assert calibrated(found, GLASS)[1] < 0.2


@pytest.mark.parametrize("camera", range(4))
def test_inverted_board_looked_for_as_dark(camera):
    found = detect_board(glass(camera, each=6), GLASS)
    assert found.count == 0
    assert found.diagnosis.startswith("the board was not seen, but a charuco of 4 x 5 squares")
    assert found.diagnosis.endswith(": set `calibration.board_inverted = true`")


def test_wrong_settings_are_named():
    swapped = make_board("charuco", (11, 8), square=24, marker=18.75, dictionary="DICT_4X4_1000")
    pictures = mouse("mid", each=5)
    found = detect_board(pictures, swapped)
    assert found.count == 0
    assert "across and down are swapped: set `calibration.board_size = [8, 11]`" in found.diagnosis
    other = make_board("charuco", (8, 11), square=24, marker=18.75, dictionary="DICT_5X5_100")
    found = detect_board(pictures, other)
    assert found.count == 0 and "`calibration.board_marker_bits = 4`" in found.diagnosis


def test_guess():
    guess = guess_board([mouse(camera, most=4)[3][1] for camera in ("back", "mid", "side", "top")])
    assert guess is not None
    assert (guess.kind, guess.size, guess.bits_and_number) == ("charuco", (8, 11), (4, 50))
    assert (guess.inverted, guess.mirrored, guess.last) == (False, False, 43)
    assert guess.ratio == pytest.approx(18.75 / 24, abs=0.04)
    for camera in (0, 1):
        guess = guess_board([picture for _, picture in glass(camera, each=12)])
        assert guess is not None
        assert (guess.kind, guess.size, guess.bits_and_number) == ("charuco", (4, 5), (4, 50))
        assert (guess.inverted, guess.mirrored) == (True, camera == 1)
        assert guess.ratio == pytest.approx(0.75, abs=0.03)


def test_a_mouse_is_no_board():
    path = DATA / "mouse-4cam/videos-raw/mouse_back.mp4"
    for board in (MOUSE, GLASS, make_board("checkerboard", (7, 5), square=1)):
        found = detect_board(frames(path, most=1), board)
        assert found.count == 0 and "none is visible" in found.diagnosis
