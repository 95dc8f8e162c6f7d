"""Recordings of a rendered calibration board, by cameras that are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from anipipe.numerics.boards.drawing import draw_board, quiet_margin
from anipipe.numerics.boards.geometry import Board, make_board
from anipipe.numerics.cameras import Camera, Rig
from tests.formats.videos import INTRA, record

BOARD = make_board("charuco", (7, 5), square=20.0, marker=15.0, dictionary="DICT_4X4_50")
SIZE = (640, 480)
CONFIG = """\
labeling.pictures = []

[calibration]
board_type = "charuco"
board_size = [7, 5]
board_square_side_length = 20.0
board_marker_length = 15.0
board_marker_bits = 4
board_marker_dict_number = 50
distortion = "k1"

[triangulation]
cam_regex = '_([A-D])$'
"""


def rig(names: str = "ABC") -> Rig:
    """Cameras around the board's place, all looking at it from 700 mm."""
    cameras = []
    for index, name in enumerate(names):
        turn = np.array([0.15 * (index - 1), 0.5 * (index - 1), 0.1 * index])
        matrix = np.array([[800.0, 0, 319.5], [0, 800.0, 239.5], [0, 0, 1]])
        cameras.append(Camera(name, SIZE, matrix, np.zeros(5), turn, np.array([0.0, 0.0, 700.0])))
    return Rig(tuple(cameras))


def board_poses(count: int, seed: int = 0) -> list[np.ndarray]:
    """(4, 4) board_to_world: turned by up to 25 degrees, moved by up to 100 mm."""
    rng = np.random.default_rng(seed)
    middle = BOARD.points.mean(axis=0)
    poses = []
    for _ in range(count):
        pose = np.eye(4)
        pose[:3, :3] = cv2.Rodrigues(rng.uniform(-0.45, 0.45, 3))[0]
        pose[:3, 3] = rng.uniform([-90, -70, -100], [90, 70, 100]) - pose[:3, :3] @ middle
        poses.append(pose)
    return poses


def picture(camera: Camera, pose: np.ndarray | None, board: Board = BOARD) -> np.ndarray:
    """What a camera sees of the board, (height, width) uint8."""
    scale, margin = 8.0, quiet_margin(board)
    if pose is None:
        return np.full(SIZE[::-1], 110, dtype=np.uint8)
    drawn = draw_board(board, scale, margin=margin)
    sheet = (camera.rotation_matrix @ pose[:3, :3])[:, :2]
    place = camera.rotation_matrix @ pose[:3, 3] + camera.translation
    left, top = (bound - margin for bound in board.bounds[:2])
    to_board = np.array([[1 / scale, 0, left + 0.5 / scale], [0, 1 / scale, top + 0.5 / scale], [0, 0, 1]])
    shrunk = np.diag([0.25, 0.25, 1.0])
    shrunk[:2, 2] = -0.375
    enlarged = np.linalg.inv(shrunk)
    map_ = enlarged @ camera.matrix @ np.column_stack([sheet, place]) @ to_board
    large = cv2.warpPerspective(
        drawn, map_, (SIZE[0] * 4, SIZE[1] * 4), flags=cv2.INTER_AREA, borderValue=(110.0,)
    )
    return cv2.resize(large, SIZE, interpolation=cv2.INTER_AREA)


def film(path: Path, camera: Camera, poses: list[np.ndarray | None], board: Board = BOARD) -> Path:
    """Record the board, one pose a frame; ``None`` where it is out of sight."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paint: Callable[..., np.ndarray] = lambda number, size: picture(camera, poses[number], board)
    return record(path, len(poses), size=SIZE, paint=paint, options={**INTRA, "crf": "10"})
