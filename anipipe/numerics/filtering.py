"""Median filters of tracks: what leaves them is an outlier and is replaced (2D), or they are the track (3D).

The methods are Anipose's (Karashchuk et al. 2021), with whole windows at the ends of a recording, without
numbers that are invented beyond its data, and for all joints at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CELLS = 2**21  # of windows at a time: bounds memory
FILLED_FROM = (0.5, 5)  # a joint's gaps are filled if a larger share, and more points than this, are good
SPARSE = 0.85  # in space, a joint of which a larger share is bad is left alone
END_VALUES = 5  # their median stands for what lies beyond the ends of a track in space


def medfilt(
    points: ArrayLike,
    scores: ArrayLike,
    *,
    window: int,
    offset_threshold: float,
    score_threshold: float,
    spline: bool = True,
) -> tuple[Floats, Flags]:
    """Drop points that leave the running median or have a low score, and fill the gaps.

    A point is good if it is there, its score is at least score_threshold, and it is closer than
    offset_threshold to the median of the points around it (:func:`running_median`), in x and y together
    (``|dx| + |dy|``). Gaps between good points are filled by :func:`fill_gaps`; the others stay.

    Parameters
    ----------
    points
        (frames, joints, 2), pixels; a coordinate that is not finite means missing.
    scores
        (frames, joints); a NaN is a low score.
    window
        Length of the median filter in frames, odd.
    offset_threshold
        Pixels. A filled point is no further than this from the straight line across its gap.
    score_threshold
        Lowest score of a good point.
    spline
        Fill by a cubic spline; otherwise by straight lines.

    Returns
    -------
    points
        (frames, joints, 2); NaN where a point was dropped or missing and is not filled: before the first
        and after the last good one, and in joints of which no more than half, or no more than 5, are good.
    filled
        (frames, joints), True where the point was invented.

    Raises
    ------
    ValueError
        If shapes do not agree, or the window is not odd.
    """
    image = _points(points, 2)
    certainty = np.asarray(scores, dtype=np.float64)
    if certainty.shape != image.shape[:2]:
        raise ValueError(f"scores have shape {certainty.shape}, the points ask for {image.shape[:2]}")
    off = np.abs(image - running_median(image, window)).sum(axis=-1)
    good = (off < offset_threshold) & (certainty >= score_threshold)
    return fill_gaps(np.where(good[..., None], image, np.nan), spline=spline, furthest=offset_threshold)


def running_median(values: ArrayLike, window: int) -> Floats:
    """Take the median of each value and those around it.

    A window that reaches beyond an end of the recording is completed by the frames on its other side, as in a
    mirror at the first or last frame; missing values are left out. Zeros beyond the end pull the median away,
    and windows that shrink around the value, or repeat the last one, hide an outlier at the end from itself.
    Windows of the frames that exist find it too, but stray further from a joint in motion. With the mirror
    the median of steady motion is exact but in the first and last quarter of a window, where it stands still.

    Parameters
    ----------
    values
        (frames, ...); what is not finite is missing. Fewer frames than the window are fine.
    window
        Length in frames, odd.

    Returns
    -------
    (frames, ...); the mean of the two middle values where an even number is there, NaN where none is.

    Raises
    ------
    ValueError
        If the window is not odd.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"a median filter needs an odd window of at least 1 frame, not {window}")
    track = np.asarray(values, dtype=np.float64)
    if not track.size:
        return track.copy()
    frames, half = len(track), window // 2
    flat = np.where(np.isfinite(track), track, np.nan).reshape(frames, -1)
    padded = np.pad(flat, [(half, half), (0, 0)], mode="reflect")
    out = np.empty_like(flat)
    step = max(1, CELLS // (window * flat.shape[1]))
    for start in range(0, frames, step):
        part = padded[start : min(start + step, frames) + 2 * half]
        out[start : start + step] = _middle(np.lib.stride_tricks.sliding_window_view(part, window, 0))
    return out.reshape(track.shape)


def fill_gaps(points: ArrayLike, *, spline: bool, furthest: float = np.inf) -> tuple[Floats, Flags]:
    """Fill gaps between the points of each joint, and nothing beyond the first and the last.

    A joint is filled if more than half of its points, and more than 5, are there. The cubic spline goes
    through all points of the joint, its outer two pieces on either side being one ("not a knot", de Boor
    1978); where it strays too far from the straight line across the gap it is drawn towards that line.

    Parameters
    ----------
    points
        (frames, joints, dimensions); a coordinate that is not finite means missing.
    spline
        Fill by the cubic spline; otherwise by straight lines.
    furthest
        How far from the straight line a filled point may be, as the sum over the coordinates.

    Returns
    -------
    points
        (frames, joints, dimensions), NaN where still missing.
    filled
        (frames, joints).
    """
    track = np.asarray(points, dtype=np.float64)
    there: Flags = np.all(np.isfinite(track), axis=-1)
    out = np.where(there[..., None], track, np.nan)
    filled = np.zeros(there.shape, dtype=np.bool_)
    share, least = FILLED_FROM
    count = there.sum(axis=0)
    for joint in np.flatnonzero((count > share * len(there)) & (count > least) & (count < len(there))):
        known = np.flatnonzero(there[:, joint])
        gaps = np.flatnonzero(~there[:, joint])
        gaps = gaps[(gaps > known[0]) & (gaps < known[-1])]
        out[gaps, joint] = _between(known, out[known, joint], gaps, spline, furthest)
        filled[gaps, joint] = True
    return out, filled


def smooth_in_space(
    points: ArrayLike, error: ArrayLike, *, window: int, offset_threshold: float
) -> tuple[Floats, Flags, Flags]:
    """Replace points of large reprojection error by straight lines, then take the running median.

    Parameters
    ----------
    points
        (frames, joints, 3), any unit of length; a coordinate that is not finite means missing.
    error
        (frames, joints), pixels. A point whose error is NaN, as of one that only an optimisation knows, is
        kept.
    window
        Length of the median filter in frames, odd. Beyond the ends of a track stands the median of its
        outer 5 points.
    offset_threshold
        Points of a larger error are replaced, pixels.

    Returns
    -------
    points
        (frames, joints, 3). What is replaced before the first and after the last good point of a joint is
        held at that point.
    replaced
        (frames, joints), True where the point was bad or missing and was replaced.
    left
        (joints,), True where more than 85 % was bad or missing: these joints are as they were.

    Raises
    ------
    ValueError
        If shapes do not agree, or the window is not odd.
    """
    world = _points(points, 3)
    distance = np.asarray(error, dtype=np.float64)
    if distance.shape != world.shape[:2]:
        raise ValueError(f"error has shape {distance.shape}, the points ask for {world.shape[:2]}")
    running_median(np.empty(0), window)  # refuses a window that is not odd, whatever the data
    bad = ~np.isfinite(world).all(axis=-1) | (distance > offset_threshold)
    left = bad.sum(axis=0) > SPARSE * len(bad)
    out, replaced = world.copy(), bad & ~left
    if not len(world) or left.all():
        return out, replaced, left
    for joint in np.flatnonzero(replaced.any(axis=0)):
        where, known = np.flatnonzero(bad[:, joint]), np.flatnonzero(~bad[:, joint])
        out[where, joint] = _straight(known, out[known, joint], where)
    half = window // 2
    track = out[:, ~left].reshape(len(out), -1)
    ends = [np.median(part, axis=0, keepdims=True) for part in (track[:END_VALUES], track[-END_VALUES:])]
    padded = np.concatenate([np.repeat(ends[0], half, axis=0), track, np.repeat(ends[1], half, axis=0)])
    median = running_median(padded, window)[half : half + len(track)]
    out[:, ~left] = median.reshape(len(out), -1, 3)
    return out, replaced, left


def _points(points: ArrayLike, dimensions: int) -> Floats:
    """Return (frames, joints, dimensions) as an array, all of a point NaN where one coordinate is missing."""
    track = np.asarray(points, dtype=np.float64)
    if track.ndim != 3 or track.shape[-1] != dimensions:
        raise ValueError(f"points have shape {track.shape}, expected (frames, joints, {dimensions})")
    return np.where(np.isfinite(track).all(axis=-1, keepdims=True), track, np.nan)


def _middle(windows: Floats) -> Floats:
    """Return the median over the last axis, NaN left out."""
    ordered = np.sort(windows, axis=-1)  # NaN come last
    count = np.isfinite(windows).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, windows.shape[-1] - 1), axis=-1)
    return np.asarray(np.where(low == high, low, 0.5 * (low + high))[..., 0])


def _straight(known: NDArray[np.intp], values: Floats, where: NDArray[np.intp]) -> Floats:
    """Interpolate (known frames, dimensions) values along straight lines, holding the ends."""
    return np.stack([np.interp(where, known, column) for column in values.T], axis=-1)


def _between(
    known: NDArray[np.intp], values: Floats, where: NDArray[np.intp], spline: bool, furthest: float
) -> Floats:
    """Interpolate one joint at frames that all lie between known ones."""
    straight = _straight(known, values, where)
    if not spline or not where.size:
        return straight
    from scipy.interpolate import CubicSpline  # takes long to import

    stray = CubicSpline(known, values)(where) - straight
    far = np.abs(stray).sum(axis=-1, keepdims=True)
    scale = np.divide(furthest, far, out=np.ones_like(far), where=far > furthest)
    return np.asarray(straight + scale * stray)
