"""A calibration board before a rig of known cameras, without any image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from anipipe.numerics.calibration.views import BoardViews, pair_views
from anipipe.numerics.cameras import Camera, Rig, project

BOARD = np.array([[20.0 * x, 20.0 * y, 0.0] for y in range(5) for x in range(7)])
SIZE = (1280, 1024)
NAMES = ("cam1", "cam2", "cam9", "cam10")
BROWN = (-0.3, 0.1, 0.0, 0.0, 0.0)
FISHEYE = (0.04, -0.01, 0.0, 0.0)


@dataclass
class Found:
    """As :class:`anipipe.formats.board_detections.BoardDetections`."""

    camera: str
    size: tuple[int, int]
    frames: int
    trials: np.ndarray
    numbers: np.ndarray
    corners: np.ndarray
    points: np.ndarray
    remark: str = ""
    legacy: bool | None = False


def make_rig(kind: str = "brown", names: tuple[str, ...] = NAMES, span: float = 90.0) -> Rig:
    """Cameras on an arc before the board, the first at the world's origin."""
    cameras = []
    for index, name in enumerate(names):
        turn = np.radians(span * (index / max(len(names) - 1, 1) - 0.5))
        place = 600 * np.array([np.sin(turn), 0.15 * index, -np.cos(turn)])
        z = -place / np.linalg.norm(place)
        x = np.cross([0.0, 1.0, 0.0], z)
        x /= np.linalg.norm(x)
        rotation = np.stack([x, np.cross(z, x), z])
        if index == 2:  # mounted upside down: half a turn, where mean rotation vectors fail
            rotation = np.diag([-1.0, -1.0, 1.0]) @ rotation
        focal = 850.0 + 40 * index
        cameras.append(
            Camera(
                name,
                SIZE,
                np.array([[focal, 0, 639.5], [0, focal, 511.5], [0, 0, 1]]),
                np.array(FISHEYE if kind == "fisheye" else BROWN),
                Rotation.from_matrix(rotation).as_rotvec(),
                -rotation @ place,
                kind == "fisheye",
            )
        )
    return Rig(tuple(cameras))


def board_in_space(frames: int, seed: int = 0, behind: bool = False) -> np.ndarray:
    """(frames, corners, 3), the board near the world's origin, tilted every way."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_euler(
        "xyz", rng.uniform([-40, -40, -180], [40, 40, 180], (frames, 3)), degrees=True
    )
    if behind:
        turns = turns * Rotation.from_euler("y", 180, degrees=True)
    centred = BOARD - BOARD.mean(axis=0)
    return np.stack([turn.apply(centred) for turn in turns]) + rng.uniform(-110, 110, (frames, 1, 3))


def detect(
    rig: Rig,
    frames: int = 24,
    *,
    trial: str = "board",
    noise: float = 0.2,
    missing: float = 0.1,
    seed: int = 0,
    behind: bool = False,
) -> dict[str, Found]:
    """What each camera sees, by its name."""
    rng = np.random.default_rng(seed + 1000)
    world = board_in_space(frames, seed, behind)
    found = {}
    for camera in rig.cameras:
        pixels = project(world, camera) + rng.normal(scale=noise, size=(frames, len(BOARD), 2))
        inside = ((pixels >= 0) & (pixels <= np.array(SIZE) - 1)).all(axis=-1)
        numbers, corners = np.nonzero(inside & (rng.random(inside.shape) >= missing))
        trials = np.array([trial] * len(numbers), dtype=object)
        found[camera.name] = Found(
            camera.name, SIZE, frames, trials, numbers, corners, pixels[numbers, corners]
        )
    return found


def keep(found: Found, rows: np.ndarray) -> Found:
    """Only some of the rows."""
    return Found(
        found.camera,
        found.size,
        found.frames,
        *(getattr(found, name)[rows] for name in ("trials", "numbers", "corners", "points")),
        remark=found.remark,
        legacy=found.legacy,
    )


def pair(*found: dict[str, Found]) -> BoardViews:
    return pair_views([part for each in found for part in each.values()], len(BOARD))


def moved(rig: Rig) -> Rig:
    """The rig with its first camera at the world's origin."""
    first = rig.cameras[0]
    cameras = []
    for camera in rig.cameras:
        rotation = camera.rotation_matrix @ first.rotation_matrix.T
        cameras.append(
            Camera(
                camera.name,
                camera.size,
                camera.matrix,
                camera.distortions,
                Rotation.from_matrix(rotation).as_rotvec(),
                camera.translation - rotation @ first.translation,
                camera.fisheye,
            )
        )
    return Rig(tuple(cameras))
