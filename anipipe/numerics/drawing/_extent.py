"""What a trial's points fill, whatever single ones do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.lenses import Floats

Flags = NDArray[np.bool_]

FRAMES = 20_000  # looked at, evenly over the trial
LARGEST = 1e100  # coordinates beyond it are as good as missing: squares of them must not overflow
FAR = 6.0  # usual distances from the middle of the body, beyond which a point does not belong to it
TAIL = 1.0  # percent at either end of a coordinate's values that may be wrong
FENCE = 0.5  # how far beyond the others they may lie, in ranges of the others
SLICES = 12


@dataclass(frozen=True)
class Extent:
    """An upright cylinder about all plausible points, in the axes of these points.

    Attributes
    ----------
    origin
        (3,), the middle of the floor, the last coordinate being the height.
    radius
        Of the cylinder, above 0.
    rings
        (n, 2), radius and height above the floor of horizontal circles, within which all points lie.
    limb
        Usual distance of a point from the middle of its frame's points; 0 where there are no two.
    """

    origin: Floats
    radius: float
    rings: Floats
    limb: float


def finite(points: Floats) -> Flags:
    """Return which points (..., 3) can be reckoned with, (...)."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(points) < LARGEST).all(axis=-1))


def sampled(points: Floats) -> Floats:
    """Return at most 20,000 frames, evenly spread, of (frames, ...)."""
    return points[:: -(-len(points) // FRAMES) or 1]


def plausible(points: Floats) -> Flags:
    """Return which points are neither missing nor outliers.

    A point is one if it lies more than six times as far from the middle of its frame's points (their median)
    as points usually do, or far beyond 98 % of all points along one of the axes.

    Parameters
    ----------
    points
        (frames, joints, 3); NaN where missing.

    Returns
    -------
    (frames, joints)
    """
    usable = finite(points)
    if not usable.any():
        return usable
    distances = _from_middle(points, usable)
    away = distances[usable & (distances > 0)]
    if len(away):
        usable &= distances <= FAR * np.median(away)
    low, high = np.percentile(points[usable], (TAIL, 100 - TAIL), axis=0)
    margin = FENCE * (high - low)
    usable[usable] = ((points[usable] >= low - margin) & (points[usable] <= high + margin)).all(axis=-1)
    return usable


def extent(points: Floats) -> Extent:
    """Return what all plausible points of a trial fill.

    Parameters
    ----------
    points
        (frames, joints, 3), the last coordinate being the height; NaN where missing.

    Returns
    -------
    The extent: its floor lies below 99 % of the plausible points. Its radius is 1 about the origin where
    there are no points, and 1, or what is visible beside their coordinates, where all points are the same.
    """
    some = sampled(points)
    usable = plausible(some)
    if not usable.any():
        return Extent(np.zeros(3), 1.0, np.array([[1.0, 0.0]]), 0.0)
    distances = _from_middle(some, usable)[usable]
    kept = some[usable]
    low, high = kept.min(axis=0), kept.max(axis=0)
    origin = (low + high) / 2
    origin[2] = np.percentile(kept[:, 2], TAIL)
    size = float((high - low).max())
    magnitude = float(np.abs(kept).max())
    if size <= 1e-9 * magnitude or size == 0:
        radius = max(1.0, 1e-3 * magnitude)
        return Extent(origin, radius, np.array([[radius, 0.0]]), 0.0)
    rings = _rings(np.hypot(*(kept - origin)[:, :2].T), kept[:, 2] - origin[2])
    return Extent(origin, max(float(rings[:, 0].max()), 0.25 * size), rings, float(np.median(distances)))


def _rings(radii: Floats, heights: Floats) -> Floats:
    """Return circles that hold all points, (n, 2): at the bottom and the top of slices of equal height."""
    edges = np.linspace(heights.min(), heights.max(), SLICES + 1)
    slices = np.clip(np.searchsorted(edges, heights, side="right") - 1, 0, SLICES - 1)
    widest = np.full(SLICES, -1.0)
    np.maximum.at(widest, slices, radii)
    filled = widest >= 0
    below, above = np.stack([widest, edges[:-1]], axis=-1), np.stack([widest, edges[1:]], axis=-1)
    return np.concatenate([below[filled], above[filled]])


def _from_middle(points: Floats, usable: Flags) -> Floats:
    """Return how far points lie from the median of their frame's usable points, (frames, joints)."""
    count = usable.sum(axis=1)
    ordered = np.sort(np.where(usable[..., None], points, np.inf), axis=1)  # the others come last
    places = np.maximum(np.stack([count - 1, count]) // 2, 0)[..., None, None]
    middles = np.mean([np.take_along_axis(ordered, place, axis=1) for place in places], axis=0)
    gaps = np.where(usable[..., None], points, 0) - np.where(count[:, None, None] > 0, middles, 0)
    return np.asarray(np.sqrt((gaps**2).sum(axis=-1)))
