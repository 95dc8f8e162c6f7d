"""How well calibrated cameras fit what they saw of the calibration board.

A solver's own error tells of the points that it chose. Here every corner counts that two cameras or more
detected, the solver's outliers too: it is triangulated from all cameras that saw it, without knowledge of the
board's shape, and projected back.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.numerics.calibration.views import BoardViews, shared_corners
from anipipe.numerics.cameras import Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.triangulation import contributing, dlt, reprojection_errors

WORST = 10  # frames listed
TOLERANCE = 1e-6  # relative, within which two distances on the board are the same


def corner_errors(views: BoardViews, rig: Rig, board_points: ArrayLike) -> dict[str, Any]:
    """Measure a calibration by all corners that were detected.

    Parameters
    ----------
    views
        The board's corners in the cameras' images.
    rig
        The cameras, told by name; others in it are left out. Of its metadata, ``error`` and ``units`` are
        passed on.
    board_points
        (corners, 3), on the board, in its length unit.

    Returns
    -------
    Plain values for JSON, None where there is nothing to measure.

    ``overall`` and ``cameras`` (by name)
        ``frames`` and ``corners`` that count, ``mean``, ``median``, ``rms``, ``p95`` and ``max`` distance
        between a corner and its projection, px. Per camera also ``frames_with_board``, ``frames_looked_at``
        and ``corners_without_ray``: corners where the lens model folds over, which count nowhere.
    ``pairs``
        Per two cameras ``shared_corners``, ``shared_frames``, and ``mean`` and ``median`` distance, px, when
        triangulated from these two alone.
    ``solver_median``
        The solver's own, px.
    ``board_lengths``
        Distances between neighbouring triangulated corners, less what they are on the board: ``mean``
        (signed) and ``rms``, in ``units``; ``count`` of them, and the smallest true distance, ``spacing``.
    ``worst_frames``
        The frames of the largest mean distance, with the camera that is off most in each.

    Raises
    ------
    DataError
        If a camera of the views is not in the rig.
    """
    rig = Rig(rig.subset(views.cameras).cameras, rig.metadata)
    board = np.asarray(board_points, dtype=np.float64)
    rays = contributing(views.pixels, rig)
    pixels = np.where(rays[..., None], views.pixels, np.nan)
    world = dlt(pixels, rig)
    off = reprojection_errors(world, pixels, rig)
    return {
        "units": rig.metadata.get("units"),
        "solver_median": _number(rig.metadata.get("error")),
        "overall": _statistics(off),
        "cameras": {
            name: {
                **_statistics(off[index : index + 1]),
                "frames_with_board": int(views.seen[index].any(axis=1).sum()),
                "frames_looked_at": int(views.frames[index]),
                "corners_without_ray": int((views.seen[index] & ~rays[index]).sum()),
            }
            for index, name in enumerate(rig.names)
        },
        "pairs": _pairs(views, pixels, rig),
        "board_lengths": _lengths(world, board),
        "worst_frames": _worst(views, off),
    }


def _number(value: Any) -> float | None:
    """Return a finite float, else None: JSON knows no NaN."""
    return float(value) if isinstance(value, int | float | np.number) and np.isfinite(value) else None


def _statistics(off: Floats) -> dict[str, Any]:
    """Summarise (cameras, instants, corners) distances; NaN does not count."""
    counted = np.isfinite(off)
    values = off[counted]
    return {
        "frames": int(counted.any(axis=(0, 2)).sum()),
        "corners": int(counted.sum()),
        "mean": _number(values.mean()) if values.size else None,
        "median": _number(np.median(values)) if values.size else None,
        "rms": _number(np.sqrt(np.mean(values**2))) if values.size else None,
        "p95": _number(np.percentile(values, 95)) if values.size else None,
        "max": _number(values.max()) if values.size else None,
    }


def _pairs(views: BoardViews, pixels: Floats, rig: Rig) -> list[dict[str, Any]]:
    shared = shared_corners(views)
    found = []
    for first, second in combinations(range(len(rig)), 2):
        two, image = Rig((rig.cameras[first], rig.cameras[second])), pixels[[first, second]]
        both = views.seen[first] & views.seen[second]
        off = reprojection_errors(dlt(image, two), image, two).mean(axis=0)
        off = off[np.isfinite(off)]
        found.append(
            {
                "cameras": list(two.names),
                "shared_corners": int(shared[first, second]),
                "shared_frames": int(both.any(axis=1).sum()),
                "mean": _number(off.mean()) if off.size else None,
                "median": _number(np.median(off)) if off.size else None,
            }
        )
    return found


def neighbours(board_points: ArrayLike) -> NDArray[np.intp]:
    """Find the corners next to each other on the board.

    Parameters
    ----------
    board_points
        (corners, 3).

    Returns
    -------
    (pairs, 2) indices: each corner with those at the distance of its nearest.
    """
    board = np.asarray(board_points, dtype=np.float64)
    distance = np.linalg.norm(board[:, None] - board[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    near = distance <= distance.min(axis=1, initial=np.inf, keepdims=True) * (1 + TOLERANCE)
    return np.argwhere(np.triu((near | near.T) & np.isfinite(distance)))


def _lengths(world: Floats, board: Floats) -> dict[str, Any]:
    """Compare distances between neighbours among (instants, corners, 3) points with those on the board."""
    pairs = neighbours(board)
    true = np.linalg.norm(board[pairs[:, 0]] - board[pairs[:, 1]], axis=-1)
    off = np.linalg.norm(world[:, pairs[:, 0]] - world[:, pairs[:, 1]], axis=-1) - true
    off = off[np.isfinite(off)]
    return {
        "count": int(off.size),
        "spacing": _number(true.min()) if true.size else None,
        "mean": _number(off.mean()) if off.size else None,
        "rms": _number(np.sqrt(np.mean(off**2))) if off.size else None,
    }


def _worst(views: BoardViews, off: Floats) -> list[dict[str, Any]]:
    counted = np.isfinite(off)
    number = counted.sum(axis=(0, 2))
    mean = np.where(counted, off, 0.0).sum(axis=(0, 2)) / np.maximum(number, 1)
    found = []
    for instant in np.argsort(-mean, kind="stable")[:WORST]:
        if not number[instant]:
            continue
        there, values = counted[:, instant], off[:, instant]
        by_camera = np.where(there, values, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        trial, frame = views.instants[instant]
        found.append(
            {
                "trial": trial,
                "frame": int(frame),
                "corners": int(number[instant]),
                "mean": _number(mean[instant]),
                "max": _number(values[there].max()),
                "camera": views.cameras[int(by_camera.argmax())],
            }
        )
    return found
