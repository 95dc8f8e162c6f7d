from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from anipipe.numerics.aniposelib_cameras import camera_group
from anipipe.numerics.cameras import Camera, Rig

# k1, k2, p1, p2, k3 of a strong but ordinary lens, and k1 .. k4 of a fisheye
PINHOLE = (-0.28, 0.11, 1.3e-3, -7e-4, -0.02)
FISHEYE = (0.05, -0.012, 0.004, -0.0007)


def look_at(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World_to_camera Rodrigues vector and translation of a camera that looks at the origin."""
    from scipy.spatial.transform import Rotation

    z = -place / np.linalg.norm(place)
    x = np.cross([0.1, 0.2, 1.0], z)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    return Rotation.from_matrix(rotation).as_rotvec(), -rotation @ place


def make_rig(kind: str, cameras: int = 4) -> Rig:
    made = []
    for index in range(cameras):
        turn = 2 * np.pi * index / cameras + 0.3
        place = 600 * np.array([np.cos(turn), np.sin(turn), 0.4 + 0.15 * index])
        rotation, translation = look_at(place)
        fisheye = kind == "fisheye" or (kind == "mixed" and index % 2 == 1)
        matrix = [
            [800.0 + 30 * index, 0, 640 + 5 * index],
            [0, 820.0 + 30 * index, 500 - 3 * index],
            [0, 0, 1],
        ]
        distortions = np.zeros(5) if kind == "plain" else FISHEYE if fisheye else PINHOLE
        made.append(
            Camera(
                f"cam{index}",
                (1280, 1024),
                np.array(matrix),
                np.array(distortions),
                rotation,
                translation,
                fisheye,
            )
        )
    return Rig(tuple(made))


@pytest.fixture(params=["plain", "pinhole", "fisheye", "mixed"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return make_rig(request.param)


@pytest.fixture
def mixed_rig() -> Rig:
    return make_rig("mixed")


@pytest.fixture
def plain_rig() -> Rig:
    return make_rig("plain")


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(5).uniform(-100, 100, (40, 7, 3))


@pytest.fixture
def oracle() -> Callable[[Rig], object]:
    """Make an aniposelib CameraGroup of a rig."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("aniposelib.cameras", reason="aniposelib is not installed")
    return camera_group
