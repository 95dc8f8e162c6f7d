"""Which way is up in a 3D pose, and axes that stand upright."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from anipipe.numerics.drawing._extent import finite, plausible, sampled
from anipipe.numerics.lenses import Floats

FLAT = 2.0  # a plane is one if the points vary so many times more in it, either way, than across it
LEANING = 0.25  # what cameras' uprights count beside their places; these say little from beside the plane


def up_direction(
    points: ArrayLike,
    *,
    standardised: bool,
    on_board: bool,
    centres: ArrayLike | None = None,
    image_ups: ArrayLike | None = None,
) -> Floats:
    """Return the direction that is to point upwards in pictures of a 3D pose.

    Parameters
    ----------
    points
        (frames, joints, 3); NaN where missing.
    standardised
        The axes are those that the user has chosen for the animal: up is +z.
    on_board
        The world is the board, which lies on the floor: up is its z axis, towards the cameras. Otherwise it
        is the normal of the ground, the plane along which all points of the trial vary most, towards the
        cameras; of an animal that is held in its place, whose points show no such plane, it is what is up
        in the cameras' pictures.
    centres
        (cameras, 3), where the cameras are, in the axes of the points; None: not known.
    image_ups
        (cameras, 3), what is up in each camera's pictures: its -y axis, in the axes of the points; None: not
        known. Nothing being known, up is -y, as what is down in a picture is +y.

    Returns
    -------
    (3,), a unit vector in the axes of the points.
    """
    if standardised:
        return np.array([0.0, 0.0, 1.0])
    cloud = np.asarray(points, dtype=np.float64)
    leaning = _mean_direction(image_ups)
    if on_board:
        normal, middle = np.array([0.0, 0.0, 1.0]), np.zeros(3)
    else:
        cloud = sampled(cloud)
        cloud = cloud[plausible(cloud)]
        plane = _ground(cloud)
        if plane is None:
            size = np.linalg.norm(leaning)
            return leaning / size if size > 1e-6 else np.array([0.0, -1.0, 0.0])
        normal, middle = plane
    towards = _mean_direction(None if centres is None else np.asarray(centres, dtype=np.float64) - middle)
    hint = towards + LEANING * leaning
    if not hint.any():
        hint = np.array([0.0, 0.0, 1.0]) if on_board else np.array([0.0, -1.0, 0.0])
    return -normal if normal @ hint < 0 else normal


def upright_axes(up: ArrayLike) -> Floats:
    """Return axes of which the last points upwards, and the first along x where that is possible.

    Parameters
    ----------
    up
        (3,), of any length above 0.

    Returns
    -------
    (3, 3), right-handed; its rows are unit vectors. With +z up they are x, y and z.
    """
    above = np.asarray(up, dtype=np.float64)
    above = above / np.linalg.norm(above)
    level = np.eye(3)[0 if abs(above[0]) < 0.9 else 1]
    right = level - (level @ above) * above
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(above, right), above])


def _ground(cloud: Floats) -> tuple[Floats, Floats] | None:
    """Return the normal of the plane in which points (n, 3) lie, and their median; None: no clear plane."""
    if len(cloud) < 4:
        return None
    middle = np.asarray(np.median(cloud, axis=0))
    gaps = cloud - cloud.mean(axis=0)
    size = np.abs(gaps).max()
    if not size > 0:
        return None
    gaps = gaps / size
    variances, directions = np.linalg.eigh(gaps.T @ gaps / len(gaps))
    spreads = np.sqrt(np.maximum(variances, 0))
    if spreads[1] <= max(FLAT * spreads[0], 1e-6):
        return None
    return directions[:, 0], middle


def _mean_direction(vectors: ArrayLike | None) -> Floats:
    """Return the mean of the directions of vectors (n, 3); 0 where there are none."""
    rows = np.empty((0, 3)) if vectors is None else np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(np.where(finite(rows)[:, None], rows, 0), axis=-1)
    rows = rows[lengths > 0] / lengths[lengths > 0, None]
    return np.asarray(rows.mean(axis=0)) if len(rows) else np.zeros(3)
