"""From pixels to 3D: triangulation, the choice of cameras, and optimisation in time, put together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics import aniposelib_triangulation
from anipipe.numerics.cameras import Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.point_refinement import refine
from anipipe.numerics.refinement.solver import optimise
from anipipe.numerics.subsets import Rule, choose_hypotheses
from anipipe.numerics.triangulation import contributing, dlt, quality

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Search:
    """How agreeing cameras are chosen; see :func:`~anipipe.numerics.subsets.choose_hypotheses`."""

    rule: Rule
    threshold: float


@dataclass(frozen=True)
class InTime:
    """How points are optimised over all frames; see :func:`~anipipe.numerics.refinement.solver.optimise`."""

    constraints: tuple[tuple[int, int], ...]
    constraints_weak: tuple[tuple[int, int], ...]
    scale_smooth: float
    scale_length: float
    scale_length_weak: float
    n_deriv_smooth: int
    reproj_error_threshold: float


@dataclass(frozen=True)
class Method:
    """How pixels become points.

    Attributes
    ----------
    min_cams
        From how many cameras on that see it a point is triangulated.
    search
        Leaves out cameras that contradict the others; None takes all.
    refined
        Each point is moved to where its reprojection error is smallest.
    in_time
        Points are optimised over all frames; None leaves each to itself.
    engine
        ``anipipe``, or ``aniposelib`` for its own functions.
    """

    min_cams: int = 2
    search: Search | None = None
    refined: bool = False
    in_time: InTime | None = None
    engine: str = "anipipe"


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Points and what they rest on.

    Attributes
    ----------
    points
        (frames, joints, 3), the calibration's unit; NaN where there is none.
    error, ncams, score
        (frames, joints), as Anipose defines them: of points that were optimised, ``ncams`` counts the
        cameras that saw them, 0 and 1 too, and the error is NaN below 2.
    excluded
        (cameras, frames, joints): the camera saw the joint and was left out; None if none could be.
    filled
        (frames, joints): the point rests on no camera; None if there are no such.
    remarks
        What went otherwise than asked for when points were optimised, a clause each.
    """

    points: Floats
    error: Floats
    ncams: Floats
    score: Floats
    excluded: Bools | None = None
    filled: Bools | None = None
    remarks: tuple[str, ...] = ()


def reconstruct(
    pixels: Floats, scores: Floats, rig: Rig, method: Method, weights: Floats | None = None
) -> Reconstruction:
    """Turn what the cameras saw into points.

    Parameters
    ----------
    pixels
        (cameras, frames, joints, hypotheses, 2), cameras as in the rig, the likeliest hypothesis first; NaN
        where unseen.
    scores
        (cameras, frames, joints, hypotheses).
    rig
        The cameras.
    method
        How.
    weights
        (cameras, frames, joints, hypotheses) of squared errors; None counts all alike. With 0 or NaN nothing
        was seen. aniposelib knows none.
    """
    if weights is not None:
        pixels = np.where((weights > 0)[..., None], pixels, np.nan)
    seen = contributing(pixels, rig).any(axis=-1)
    if method.search is None:
        chosen = np.zeros(pixels.shape[:3], dtype=np.intp)
        points: Floats | None = None
    else:
        points, chosen = _searched(pixels, rig, method, method.search)
        # where too few cameras see a point to be triangulated, none of them was contradicted, and the rule
        # "smallest-error" takes those that there are
        few = seen.sum(axis=0) < method.min_cams
        points[few], chosen[:, few] = np.nan, 0
    image, certainty = _picked(pixels, chosen), _picked(scores, chosen)
    importance = None if weights is None else _picked(weights, chosen)
    points = _placed(points, image, rig, method, importance)
    excluded = None if method.search is None else seen & (chosen < 0)
    if method.in_time is not None:
        found = _optimised(points, image, certainty, rig, method, method.in_time, importance)
        return replace(found, excluded=excluded)
    return Reconstruction(points, *quality(points, image, certainty, rig), excluded)


def _searched(pixels: Floats, rig: Rig, method: Method, search: Search) -> tuple[Floats, NDArray[np.intp]]:
    """Choose the cameras, and of each camera the hypothesis, that each point comes from; -1 for none."""
    if method.engine == aniposelib_triangulation.ENGINE:
        shape = pixels.shape[1:3]
        flat = pixels[..., 0, :].reshape(len(rig), -1, 2)
        points, used = aniposelib_triangulation.triangulate_ransac(flat, rig, min_cams=method.min_cams)
        return points.reshape(*shape, 3), np.where(used, 0, -1).reshape(len(rig), *shape)
    found = choose_hypotheses(
        pixels, rig, rule=search.rule, threshold=search.threshold, min_cams=method.min_cams
    )
    return found.points, found.hypotheses


def _picked(values: Floats, chosen: NDArray[np.intp]) -> Floats:
    """Return (cameras, frames, joints, ...) values of the chosen hypotheses, NaN where there is none."""
    index = np.maximum(chosen, 0).reshape(*chosen.shape, *[1] * (values.ndim - 3))
    taken = np.take_along_axis(values, index, axis=3)[:, :, :, 0]
    none = (chosen < 0).reshape(*chosen.shape, *[1] * (values.ndim - 4))
    return np.where(none, np.nan, taken)


def _placed(points: Floats | None, image: Floats, rig: Rig, method: Method, weights: Floats | None) -> Floats:
    """Triangulate, where that is not done yet, and refine."""
    if points is None and method.engine == aniposelib_triangulation.ENGINE:
        points = aniposelib_triangulation.triangulate(image.reshape(len(rig), -1, 2), rig)
        enough = contributing(image, rig).sum(axis=0) >= method.min_cams
        points = np.where(enough[..., None], points.reshape(*image.shape[1:-1], 3), np.nan)
    elif points is None or weights is not None:
        points = dlt(image, rig, min_cams=method.min_cams, weights=weights)
    if method.refined:
        points = refine(points, image, rig, weights=weights)
    return points


def _optimised(
    points: Floats,
    image: Floats,
    certainty: Floats,
    rig: Rig,
    method: Method,
    in_time: InTime,
    weights: Floats | None,
) -> Reconstruction:
    """Optimise in time, and rate the result as Anipose does when it optimises."""
    seen = np.isfinite(image[..., 0])
    settings: dict[str, Any] = asdict(in_time)
    remarks: tuple[str, ...] = ()
    if method.engine == aniposelib_triangulation.ENGINE:
        points, reason = aniposelib_triangulation.optimise(points, image, rig, settings)
        filled = ~seen.any(axis=0)
    else:
        found = optimise(points, image, rig, weights=weights, **settings)
        points, filled, reason = found.points, found.filled, found.reason
        if not found.converged:
            remarks = (f"stopped after {found.steps} steps before it had settled",)
    if reason:
        remarks = (f"nothing was optimised: {reason}",)
    there = np.isfinite(points[..., 0])
    error, _, _ = quality(points, image, certainty, rig)
    count = seen.sum(axis=0).astype(np.float64)
    lowest = np.min(np.where(seen, certainty, np.inf), axis=0)
    return Reconstruction(
        points,
        error,
        np.where(there, count, np.nan),
        np.where(there & np.isfinite(lowest), lowest, np.nan),
        filled=filled & there,
        remarks=remarks,
    )
