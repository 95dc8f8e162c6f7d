"""Synthetic cameras."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from anipipe.numerics.cameras import Camera, Rig


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
