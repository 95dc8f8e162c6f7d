"""Standardised axes: turn a recording's world so that the animal gives the directions.

Anipose's documented intent: M is a rotation, so limb lengths and angles stay what they were. (Anipose since
January 2024 leaves out the orthogonalisation of the second axis, and stretches space unless the two
directions happen to be perpendicular.)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from anipipe.errors import DataError
from anipipe.numerics.cameras import apply_matrix
from anipipe.numerics.lenses import Floats
from anipipe.suggest import no_joint

AXES = ("x", "y", "z")
PARALLEL = 1e-6  # sine of the angle between two directions that counts as none


def standardise(
    points: ArrayLike,
    joints: Sequence[str],
    axes: Sequence[Sequence[str]] | None = None,
    reference_point: str | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Turn and shift points to axes given by joints.

    Parameters
    ----------
    points
        (frames, joints, 3), in the board's length unit.
    joints
        Names along the second axis.
    axes
        ``(axis, from, to)`` with axis "x", "y" or "z": the axis points from the median place of one joint to
        that of the other. The first named axis is kept as given, the second orthogonalised against it, the
        remaining one is their right-handed cross product, whatever is said of it. Entries that name one axis
        are averaged as unit vectors. None or empty: nothing is done.
    reference_point
        Joint whose median place becomes the origin; None leaves the origin where it is.

    Returns
    -------
    points
        ``M p - center``, (frames, joints, 3).
    rotation
        M, (3, 3), orthonormal and right-handed: world_to_standardised.
    center
        (3,), in the turned frame: the median of ``M p`` of the reference point.

    Raises
    ------
    DataError
        If a joint is unknown or never seen, an axis has no length, or the axes are fewer than two or
        parallel.
    """
    given = np.asarray(points, dtype=np.float64)
    if given.ndim != 3 or given.shape[1:] != (len(joints), 3):
        raise DataError(f"points have shape {given.shape}, expected (frames, {len(joints)}, 3)")
    if not axes:
        return given.copy(), np.eye(3), np.zeros(3)
    rotation = _rotation(given, list(joints), axes)
    turned = apply_matrix(rotation, given)
    center = np.zeros(3)
    if reference_point is not None:
        center = _median(turned, list(joints), reference_point, "reference_point")
    return turned - center, rotation, center


def unstandardise(points: ArrayLike, rotation: ArrayLike, center: ArrayLike) -> Floats:
    """Take standardised points back to the world of the calibration.

    Parameters
    ----------
    points
        (..., 3).
    rotation
        M, (3, 3). Anipose's own files may hold one that is no rotation; it is inverted all the same.
    center
        (3,).

    Returns
    -------
    ``M^-1 (points + center)``, (..., 3).

    Raises
    ------
    DataError
        If M cannot be inverted.
    """
    matrix = np.asarray(rotation, dtype=np.float64)
    try:
        inverse = np.asarray(np.linalg.inv(matrix))
    except np.linalg.LinAlgError:
        raise DataError(f"the matrix M of these points has no inverse: {matrix.tolist()}") from None
    return apply_matrix(inverse, np.asarray(points, dtype=np.float64) + np.asarray(center, dtype=np.float64))


def _rotation(points: Floats, joints: list[str], axes: Sequence[Sequence[str]]) -> Floats:
    """Build M, (3, 3), from the medians of the joints."""
    summed: dict[str, Floats] = {}
    spelled: dict[str, str] = {}
    for entry in axes:
        if len(entry) != 3 or entry[0] not in AXES:
            raise DataError(f"axes: {list(entry)} should read [axis, from, to] with axis x, y or z")
        axis, start, end = entry
        label = f"axes: {axis} from {start} to {end}"
        way = _median(points, joints, end, label) - _median(points, joints, start, label)
        length = float(np.linalg.norm(way))
        if not length > 0:
            raise DataError(f"{label}: the two joints' median places coincide")
        summed[axis] = summed.get(axis, np.zeros(3)) + way / length
        spelled[axis] = f"{spelled.get(axis, axis)} from {start} to {end}"
    if len(summed) < 2:
        raise DataError(f"axes: two different axes are needed, only {', '.join(spelled.values())} is given")
    first, second = list(summed)[:2]
    if not np.linalg.norm(summed[first]) > PARALLEL:
        raise DataError(f"axes: the directions of {spelled[first]} cancel each other")
    if not np.linalg.norm(summed[second]) > PARALLEL:
        raise DataError(f"axes: the directions of {spelled[second]} cancel each other")
    a = summed[first] / np.linalg.norm(summed[first])
    b = summed[second] / np.linalg.norm(summed[second])
    b = b - a * (a @ b)
    if not np.linalg.norm(b) > PARALLEL:
        raise DataError(
            f"axes: {spelled[first]} and {spelled[second]} are parallel; choose other joints for one"
        )
    b = b / np.linalg.norm(b)
    b = b - a * (a @ b)  # once more: after a strong cancellation the first pass leaves a remainder
    b = b / np.linalg.norm(b)
    forward = (first, second) in {*pairwise(AXES), ("z", "x")}
    third = next(axis for axis in AXES if axis not in (first, second))
    rotation = np.empty((3, 3))
    rotation[AXES.index(first)] = a
    rotation[AXES.index(second)] = b
    rotation[AXES.index(third)] = np.cross(a, b) if forward else np.cross(b, a)
    return rotation


def _median(points: Floats, joints: list[str], joint: str, label: str) -> Floats:
    """Return the median place of a joint, (3,), over the frames in which it is seen."""
    if joint not in joints:
        raise DataError(f"{label}: {no_joint(joint, joints)}")
    places = points[:, joints.index(joint)]
    seen = np.isfinite(places).all(axis=-1)
    if not seen.any():
        raise DataError(f"{label}: joint {joint} is never seen in 3D")
    return np.asarray(np.median(places[seen], axis=0))


def is_rotation(matrix: ArrayLike) -> bool:
    """Say whether the rows of a matrix, (3, 3), are at right angles and of length 1, to a thousandth."""
    rows = np.asarray(matrix, dtype=np.float64)
    return bool(np.allclose(rows @ rows.T, np.eye(3), atol=1e-3))
