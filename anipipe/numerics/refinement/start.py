"""Where the optimisation in time begins, and what it measures by: as in aniposelib."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.cameras import Rig, project_with_slopes
from anipipe.numerics.lenses import Floats
from anipipe.numerics.refinement.banded import Integers

WINDOW = 7  # frames of the median filter
STILL = 1e-3  # px between two frames: what moves less counts as moving so much
NO_LENGTH = 1e-3  # length units, for limbs whose joints all coincide
FAR = 5  # median absolute deviations
ENOUGH = 20  # points of the start, below which Anipose does not optimise either


def optimisable(points: Floats, pixels: Floats) -> tuple[NDArray[np.bool_], str]:
    """Tell what can be optimised.

    Parameters
    ----------
    points
        (frames, joints, 3) to start from; NaN where missing.
    pixels
        (cameras, frames, joints, 2); NaN where unseen.

    Returns
    -------
    present
        (joints,): the joint has a point somewhere, and was seen somewhere.
    reason
        Why nothing can be optimised; empty if something can.
    """
    there = np.asarray(np.isfinite(points).all(axis=-1))
    seen = np.asarray(np.isfinite(pixels).all(axis=-1))
    present = np.asarray(there.any(axis=0) & seen.any(axis=0).any(axis=0))
    count = int(there[:, present].sum())
    return present, f"{count} points to start from, fewer than {ENOUGH}" if count < ENOUGH else ""


def interpolate(points: Floats) -> Floats:
    """Fill gaps linearly in time, and hold the first and last point towards the ends.

    Parameters
    ----------
    points
        (frames, joints, 3); NaN where missing, but somewhere present for each joint.

    Returns
    -------
    The same without gaps.
    """
    out = points.copy()
    frames = np.arange(len(points))
    for joint in range(points.shape[1]):
        there = np.isfinite(points[:, joint, 0])
        for axis in range(3):
            known = points[there, joint, axis]
            out[~there, joint, axis] = np.interp(frames[~there], frames[there], known)
    return out


def median_in_time(points: Floats) -> Floats:
    """Return the running median of (frames, joints, 3) over :data:`WINDOW` frames, mirrored at the ends."""
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(points, size=(WINDOW, 1, 1), mode="mirror"))


def movement(points: Floats, rig: Rig) -> float:
    """Measure the typical movement between frames, m, from which smoothness is counted.

    Parameters
    ----------
    points
        (frames, joints, 3) without gaps, filtered by :func:`median_in_time`.
    rig
        The cameras; they say what is no movement at all. aniposelib divides by zero there.

    Returns
    -------
    Mean absolute difference of a coordinate to the next frame's; not less than :data:`STILL` px are worth in
    the middle of all points.
    """
    middle = np.median(points.reshape(-1, 3), axis=0)
    magnifications = [np.abs(project_with_slopes(middle, camera)[1]).max() for camera in rig.cameras]
    largest = max((float(value) for value in magnifications if np.isfinite(value)), default=0.0)
    least = STILL / largest if largest > 0 else STILL
    if len(points) < 2:
        return least
    return max(least, float(np.mean(np.abs(np.diff(points, axis=0)))))


def starting_lengths(points: Floats, ends: Integers) -> Floats:
    """Guess the limbs' lengths.

    Parameters
    ----------
    points
        (frames, joints, 3) without gaps.
    ends
        (limbs, 2) joints.

    Returns
    -------
    (limbs,) medians over time; those that are 0, or far above the median of all limbs, are that median.
    """
    if not len(ends):
        return np.empty(0)
    lengths = np.median(np.linalg.norm(points[:, ends[:, 0]] - points[:, ends[:, 1]], axis=2), axis=0)
    middle = float(np.median(lengths)) or NO_LENGTH
    spread = float(np.median(np.abs(lengths - middle)))
    return np.where((lengths == 0) | (lengths > middle + FAR * spread), middle, lengths)


def components(joints: int, ends: Integers) -> list[NDArray[np.intp]]:
    """Divide joints into groups that limbs connect; a joint without limbs is a group of its own.

    Parameters
    ----------
    joints
        Their number.
    ends
        (limbs, 2) joints.

    Returns
    -------
    The joints of each group, ascending.
    """
    label = np.arange(joints)
    for first, second in ends:
        label[label == label[second]] = label[first]
    return [np.flatnonzero(label == value) for value in np.unique(label)]
