"""The cameras of the example, the board that calibrates them, and how it was held."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from animal import Floats
from light import SKY_COLOUR, SUN, SUN_COLOUR, Picture, develop
from scene import View
from scipy.spatial.transform import Rotation

from anipipe.numerics.boards.drawing import draw_board
from anipipe.numerics.boards.geometry import Board, make_board
from anipipe.numerics.cameras import Camera, Rig, project

SEED = 20250101
SIZE = (480, 360)
BORDER = 5.0  # px that joints stay away from the border
TARGET = (0.0, 0.0, 20.0)  # what all cameras look at, mm
#: Of each camera: direction (degrees from x towards y), height above the floor (degrees), distance from
#: TARGET (mm), focal length (px), k1, k2, and where the optical axis meets the picture (px).
CAMERAS = {
    "A": (-130, 34, 350, 452.0, -0.31, 0.09, (243.6, 176.1)),
    "B": (-25, 31, 355, 468.0, -0.27, 0.07, (235.8, 183.4)),
    "C": (95, 46, 350, 440.0, -0.34, 0.11, (241.3, 185.2)),
}

SQUARES, SQUARE, MARKER, DICTIONARY = (8, 6), 25.0, 18.75, "DICT_4X4_50"
POSES = 40
_PRINT = 6.0  # pixels per mm of the board's picture
_FINE = 4  # rays per pixel in each direction


@lru_cache
def make_rig() -> Rig:
    """Return the cameras. The world's floor is z = 0, z points up, lengths are mm."""
    cameras = []
    for name, (azimuth, height, distance, focal, k1, k2, axis) in CAMERAS.items():
        turn, lift = np.radians(azimuth), np.radians(height)
        way = np.array([np.cos(turn) * np.cos(lift), np.sin(turn) * np.cos(lift), np.sin(lift)])
        rotation, translation = _look_at(TARGET + distance * way, np.array(TARGET))
        matrix = np.array([[focal, 0, axis[0]], [0, focal, axis[1]], [0, 0, 1]])
        cameras.append(Camera(name, SIZE, matrix, np.array([k1, k2, 0, 0, 0]), rotation, translation))
    return Rig(tuple(cameras), {"units": "mm"})


def _look_at(place: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Return world_to_camera, rounded: the last bits of a machine's arithmetic are not to matter."""
    z = (target - place) / np.linalg.norm(target - place)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    vector = Rotation.from_matrix(np.stack([x, np.cross(z, x), z])).as_rotvec().round(6)
    return vector, (-Rotation.from_rotvec(vector).as_matrix() @ place).round(4)


def board() -> Board:
    """Return the board that ``config.toml`` describes."""
    return make_board("charuco", SQUARES, square=SQUARE, marker=MARKER, dictionary=DICTIONARY)


@lru_cache
def board_poses(rig: Rig) -> list[tuple[Floats, Floats]]:
    """Return where the board was, board_to_world: (3, 3) rotations and (3,) places of its first corner.

    First it lies on the floor, its first corner at the origin, x to the right, z up. Then of many random
    poses those are taken, one after another, that show it where the cameras have not seen it yet.
    """
    random = np.random.default_rng(SEED)
    across, down = board().grid
    corners = (
        np.stack(np.meshgrid(np.arange(across), np.arange(down), [0.0]), axis=-1).reshape(-1, 3) * SQUARE
    )
    flat = np.diag([1.0, -1.0, -1.0])
    poses, seen = [(flat, np.zeros(3))], np.zeros((len(rig), 6, 8))
    candidates = [_random_pose(random, flat, corners.mean(axis=0)) for _ in range(1500)]
    views = [_cells_seen(rig, corners, pose) for pose in candidates]
    for _ in range(POSES - 1):
        gains = [np.sum(cells / (1 + seen) ** 2) for cells in views]
        best = int(np.argmax(gains))
        poses.append(candidates[best])
        seen += views[best]
        views[best] = np.zeros_like(seen)
    return poses


def _random_pose(random: np.random.Generator, flat: Floats, middle: Floats) -> tuple[Floats, Floats]:
    spin, about, tilt = random.uniform(0, 2 * np.pi), random.uniform(0, 2 * np.pi), random.uniform(5, 50)
    lean = Rotation.from_rotvec(np.radians(tilt) * np.array([np.cos(about), np.sin(about), 0]))
    rotation = (lean * Rotation.from_euler("z", spin)).as_matrix() @ flat
    place = np.array([random.uniform(-130, 130), random.uniform(-130, 130), random.uniform(15, 170)])
    # Rounded, as all that is told of the truth.
    vector = Rotation.from_matrix(rotation).as_rotvec().round(6)
    rotation = Rotation.from_rotvec(vector).as_matrix()
    return rotation, (place - rotation @ middle).round(3)


def _cells_seen(rig: Rig, corners: Floats, pose: tuple[Floats, Floats]) -> Floats:
    """Return how many corners are in each cell of each picture; none if fewer than two cameras see the board.

    A camera sees it if it looks at its face, not too steeply, and has three quarters of its corners.
    """
    rotation, place = pose
    points, cells = corners @ rotation.T + place, np.zeros((len(rig), 6, 8))
    if points[:, 2].min() < 5:
        return cells
    for number, camera in enumerate(rig.cameras):
        sight = camera.centre - points.mean(axis=0)
        steep = sight @ -rotation[:, 2] / np.linalg.norm(sight)
        pixels = project(points, camera)
        inside = ((pixels > 8) & (pixels < np.array(SIZE) - 8)).all(axis=1)
        if steep > 0.5 and inside.mean() >= 0.75:
            column, row = (pixels[inside] / 60).astype(int).T
            np.add.at(cells[number], (row, column), 1)
    return cells if (cells.sum(axis=(1, 2)) > 0).sum() >= 2 else np.zeros_like(cells)


def photograph_board(view: View, pose: tuple[Floats, Floats], random: np.random.Generator) -> Picture:
    """Return a picture of the board before a camera, (height, width, 3), red first.

    Parameters
    ----------
    view
        What the camera sees.
    pose
        Board_to_world.
    random
        Of the sensor's noise.
    """
    rotation, place = pose
    margin = 0.35 * SQUARE
    paper = draw_board(board(), _PRINT, margin=margin).astype(np.float32) / 255 * 0.72 + 0.02
    left, top, right, bottom = board().bounds
    rays = view.rays(_FINE)
    normal = -rotation[:, 2]  # z points into the board
    depth = ((place - view.camera.centre) @ normal) / (rays @ normal)
    on_board = ((view.camera.centre - place) + depth[..., None] * rays) @ rotation[:, :2]
    inside = np.all(
        (on_board > (left - margin, top - margin)) & (on_board < (right + margin, bottom + margin)), axis=-1
    )
    inside &= depth > 0
    cells = ((on_board - (left - margin, top - margin)) * _PRINT - 0.5).astype(np.float32)
    ink = cv2.remap(paper, cells, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.resize(inside.astype(np.float32), view.size, interpolation=cv2.INTER_AREA)[..., None]
    ink = cv2.resize(ink * inside, view.size, interpolation=cv2.INTER_AREA)[..., None]
    light = SUN_COLOUR * max(float(normal @ SUN), 0.0) + SKY_COLOUR
    return develop(ink * light * 0.8 + view.empty * (1 - cover), random)


@lru_cache
def view(name: str) -> View:
    """Return what the camera of that name sees."""
    return View(make_rig().camera(name))


def inside(pixels: Floats, size: tuple[int, int]) -> bool:
    """Tell whether all of an animal's joints are well inside a picture."""
    return bool(((pixels > BORDER) & (pixels < np.array(size) - BORDER)).all())
