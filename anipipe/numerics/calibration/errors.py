"""How well calibrated cameras fit what they saw of the calibration board.

A solver's own error tells of the corners that it chose. Here every corner counts that was detected: its
distance from where the rigid board, at its pose of that instant, is projected. What the corners that took
part come to is told beside it. Lengths on the board, and how pairs of cameras agree, come from corners that
were triangulated without knowledge of the board's shape.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from anipipe.numerics.calibration.alarms import as_values, rig_alarms
from anipipe.numerics.calibration.coverage import (
    corners_in_space,
    depth_ratio,
    depths,
    grade,
    image_coverage,
)
from anipipe.numerics.calibration.lengths import length_errors, spacing
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.solution_alarms import solution_alarms
from anipipe.numerics.calibration.views import BoardViews, shared_corners
from anipipe.numerics.cameras import Camera, Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.triangulation import contributing, dlt, reprojection_errors

WORST = 10  # frames listed


def corner_errors(views: BoardViews, solution: Solution, board_points: ArrayLike) -> dict[str, Any]:
    """Measure a calibration by all corners that were detected.

    Parameters
    ----------
    views
        The board's corners in the cameras' images.
    solution
        The calibration; its cameras are told by name, others than the views' are left out.
    board_points
        (corners, 3), on the board, in its length unit.

    Returns
    -------
    Plain values for JSON, None where there is nothing to measure.

    ``engine``, ``units``
        As the rig's metadata has them.
    ``overall`` and ``cameras`` (by name)
        ``frames`` and ``corners`` that count, ``mean``, ``median``, ``rms``, ``p95`` and ``max`` distance
        between a corner and its projection, px; ``kept``: the same of the corners that took part in the
        solution. Per camera also ``frames_with_board``, ``frames_looked_at``, ``corners_without_ray``
        (corners where the lens model folds over), ``focal_length``, ``axis`` (px), ``distortions``,
        ``centre``,
        ``deviations`` (of :class:`Solution`), ``depth_ratio`` (farthest over nearest corner that it saw) and
        ``coverage`` (shares of the picture, see :func:`image_coverage`).
    ``pairs``
        Per two cameras ``shared_corners``, ``shared_frames``, ``mean`` and ``median`` error, px, when
        triangulated from these two alone, ``distance`` of their centres, and ``grade`` of the link.
    ``board_lengths``
        Distances between neighbouring triangulated corners, less what they are on the board: ``mean``
        (signed) and ``rms``, in ``units``; ``count`` of them, and the smallest true distance, ``spacing``.
    ``worst_frames``
        The frames of the largest mean distance, with the camera that is off most in each.
    ``remarks``
        What was fixed or changed on the way.
    ``alarms``
        What is wrong or doubtful, the worst first: ``level``, ``cameras``, ``text``, ``remedy``.

    Raises
    ------
    DataError
        If a camera of the views is not in the rig.
    """
    rig = Rig(solution.rig.subset(views.cameras).cameras, solution.rig.metadata)
    rays = contributing(views.pixels, rig)
    pixels = np.where(rays[..., None], views.pixels, np.nan)
    triangulated = dlt(pixels, rig)
    off = solution.distances
    depth = np.where(views.seen, depths(corners_in_space(solution.boards, board_points), rig), np.nan)
    lengths = length_errors(triangulated, board_points)
    alarms = [*rig_alarms(rig), *solution_alarms(views, solution, board_points, lengths=lengths)]
    return {
        "engine": rig.metadata.get("engine"),
        "units": rig.metadata.get("units"),
        "overall": _both_statistics(off, solution.kept),
        "cameras": {
            camera.name: {
                **_both_statistics(off[index], solution.kept[index]),
                "frames_with_board": int(views.shown[index].sum()),
                "frames_looked_at": int(views.frames[index]),
                "corners_without_ray": int((views.seen[index] & ~rays[index]).sum()),
                **_parameters(camera, solution),
                "depth_ratio": depth_ratio(depth[index]),
                "coverage": image_coverage(views.pixels[index], views.sizes[index]),
            }
            for index, camera in enumerate(rig.cameras)
        },
        "pairs": _pairs(views, pixels, rig),
        "board_lengths": {
            "count": int(lengths.size),
            "spacing": spacing(board_points),
            "mean": _number(lengths.mean()) if lengths.size else None,
            "rms": _rms(lengths),
        },
        "worst_frames": _worst(views, off),
        "remarks": list(solution.remarks),
        "alarms": as_values(alarms),
    }


def _number(value: Any) -> float | None:
    """Return a finite float, else None: JSON knows no NaN."""
    return float(value) if np.isfinite(value) else None


def _rms(values: Floats) -> float | None:
    return _number(np.sqrt(np.mean(values**2))) if values.size else None


def _both_statistics(off: Floats, kept: Any) -> dict[str, Any]:
    """Summarise ([cameras,] instants, corners) distances: all of them, and those that were kept."""
    return {**_statistics(off), "kept": _statistics(np.where(kept, off, np.nan))}


def _statistics(off: Floats) -> dict[str, Any]:
    counted = np.isfinite(off)
    values = off[counted]
    return {
        "frames": int(counted.any(axis=(*range(off.ndim - 2), off.ndim - 1)).sum()),
        "corners": int(counted.sum()),
        "mean": _number(values.mean()) if values.size else None,
        "median": _number(np.median(values)) if values.size else None,
        "rms": _rms(values),
        "p95": _number(np.percentile(values, 95)) if values.size else None,
        "max": _number(values.max()) if values.size else None,
    }


def _parameters(camera: Camera, solution: Solution) -> dict[str, Any]:
    return {
        "focal_length": float(camera.matrix[0, 0]),
        "axis": camera.matrix[:2, 2].tolist(),
        "distortions": camera.distortions.tolist(),
        "centre": camera.centre.tolist(),
        "deviations": {
            name: _number(value) for name, value in solution.deviations.get(camera.name, {}).items()
        },
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
                "distance": float(np.linalg.norm(two.cameras[0].centre - two.cameras[1].centre)),
                "grade": grade(int(shared[first, second])),
            }
        )
    return found


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
