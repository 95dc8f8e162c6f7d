"""Synthetic cameras, and calibration boards before them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from anipipe.numerics.calibration.views import BoardViews
from anipipe.numerics.cameras import Camera, Rig, project

FRAMES, NOISE, WRONG, FAR, LOST = 25, 0.3, 0.05, 60.0, 0.1
SIZE = (1280, 1024)
GRAZING = 70.0  # degrees off a board's normal from which on a camera finds no corners
CORNERS = np.array([[30.0 * x, 30.0 * y, 0.0] for y in range(5) for x in range(7)])


def around(cameras: int) -> Rig:
    """Return cameras in a circle around the origin, named 0, 1, ..; 640 x 480, mm, with distortion k1."""
    made = []
    for index in range(cameras):
        turn = 2 * np.pi * index / cameras + 0.3
        place = 800 * np.array([np.cos(turn), np.sin(turn), 0.6 + 0.1 * index])
        z = -place / np.linalg.norm(place)
        x = np.cross(z, [0.0, 0.0, 1.0])
        x /= np.linalg.norm(x)
        rotation = np.stack([x, np.cross(z, x), z])
        matrix = np.array([[610.0 + 10 * index, 0, 320], [0, 610.0 + 10 * index, 240], [0, 0, 1]])
        vector = Rotation.from_matrix(rotation).as_rotvec()
        distortions = np.array([-0.2, 0.0, 0.0, 0.0, 0.0])
        made.append(Camera(str(index), (640, 480), matrix, distortions, vector, -rotation @ place))
    return Rig(tuple(made))


@dataclass(frozen=True, eq=False)
class BoardSeen:
    """A board before known cameras."""

    rig: Rig
    views: BoardViews
    wrong: NDArray[np.bool_]


def board_seen(cameras: int, fisheye: bool, seed: int) -> BoardSeen:
    """Return what cameras around a board see of it, noisy, with gaps and gross errors."""
    rng = np.random.default_rng(seed)
    rig = Rig(
        tuple(
            replace(camera, **_lens(index, fisheye)) for index, camera in enumerate(around(cameras).cameras)
        )
    )
    turns = Rotation.from_euler(
        "xyz", rng.uniform([140, -40, -180], [220, 40, 180], (FRAMES, 3)), degrees=True
    ).as_matrix()
    places = rng.uniform(-150, 150, (FRAMES, 3))
    world = (CORNERS - CORNERS.mean(axis=0)) @ turns.swapaxes(1, 2) + places[:, None]
    pixels = np.stack([project(world, camera) for camera in rig.cameras])
    lost = ((pixels < 0) | (pixels > np.array(SIZE) - 1)).any(axis=-1) | (
        rng.random(pixels.shape[:-1]) < LOST
    )
    for index, camera in enumerate(rig.cameras):
        ways = camera.centre - places
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        facing = -(turns[:, :, 2] * ways).sum(axis=1)  # z points into the board
        lost[index, facing < np.cos(np.radians(GRAZING))] = True
    pixels += rng.normal(0, NOISE, pixels.shape)
    wrong = ~lost & (rng.random(lost.shape) < WRONG)
    pixels[wrong] += rng.uniform(-FAR, FAR, (int(wrong.sum()), 2))
    pixels[lost] = np.nan
    views = BoardViews(
        rig.names,
        (SIZE,) * cameras,
        tuple(("board", frame) for frame in range(FRAMES)),
        pixels,
        (FRAMES,) * cameras,
        ("",) * cameras,
    )
    return BoardSeen(rig, views, wrong)


def _lens(index: int, fisheye: bool) -> dict[str, Any]:
    """Return a lens that is described without error: its axis in the middle of the picture."""
    focal = (550.0 if fisheye else 1000.0) + 30 * index
    return {
        "size": SIZE,
        "matrix": np.array([[focal, 0, 639.5], [0, focal, 511.5], [0, 0, 1]]),
        "distortions": np.array([0.04, -0.01, 0, 0] if fisheye else [-0.3, 0.1, 0, 0, 0]),
        "fisheye": fisheye,
    }
