"""The most likely track among several candidates of each joint, by the Viterbi algorithm.

States, weights and transitions are those of Anipose (Karashchuk et al. 2021). In each frame a joint is at one
of the frame's candidates, or still at one of the few frames before; which sequence is the most likely follows
from dynamic programming (Viterbi 1967): forward, the best way to each state; backward, the way that led to
the best last one. Each frame is one step for all joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.intp]

CELLS = 2**19  # of transitions at a time: bounds memory
SAME = 5.0  # px; of two candidates this close, the second is a duplicate
REACH = 2.0  # px; the probability of a distance d is that of d - 2 to d + 2
LEAST = -100.0  # log-probability of the longest ways
MISSING = 0.001  # weight of a frame without candidates, and probability of the ways to it and from it


@dataclass(frozen=True)
class _Candidates:
    """The usable candidates of all frames, first n_back frames without any: (n_back + frames, joints, n).

    Attributes
    ----------
    places
        (..., 2), pixels; 0 where there is none.
    weights
        Scores; 0 where there is none.
    """

    places: Floats
    weights: Floats


def viterbi(
    points: ArrayLike,
    scores: ArrayLike,
    *,
    n_back: int,
    offset_threshold: float,
    score_threshold: float,
) -> tuple[Floats, Floats, Flags]:
    """Choose one candidate per joint and frame, so that the whole track is the most likely.

    The states of frame t are the candidates of the frames t, t - 1, .. t - (n_back - 1), those of a frame
    before being held; the weight of a candidate of score s that has been held for k frames is ``s / 2^k``.
    The log-probability of a track is the sum over the frames of the log-weight and of
    ``log(Phi((d + 2) / sigma) - Phi((d - 2) / sigma))``, at least -100, for a step of d pixels, with
    ``sigma = offset_threshold`` and Phi the normal distribution. Where no state is there the joint is
    missing, with weight 0.001 and the probability 0.001 of steps to it and from it.

    Parameters
    ----------
    points
        (frames, joints, candidates, 2), pixels; a coordinate that is not finite means no candidate.
    scores
        (frames, joints, candidates). A score of 0 or NaN means no candidate.
    n_back
        For how many frames a candidate can be chosen, at least 1: its own and the next ``n_back - 1``.
    offset_threshold
        Typical motion from frame to frame, pixels.
    score_threshold
        Candidates of a lower score are left out. So are those within 5 px of one before in the same frame.

    Returns
    -------
    points
        (frames, joints, 2); NaN where the joint is missing.
    scores
        (frames, joints), the weight of the chosen state; NaN where the joint is missing.
    filled
        (frames, joints), True where a candidate of a frame before is held.

    Raises
    ------
    ValueError
        If shapes do not agree, n_back is below 1, or offset_threshold is not above 0.
    """
    image, certainty = np.asarray(points, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if image.ndim != 4 or image.shape[-1] != 2 or certainty.shape != image.shape[:-1] or not image.shape[2]:
        raise ValueError(
            f"points {image.shape} and scores {certainty.shape} are not (frames, joints, candidates, 2) and "
            "(frames, joints, candidates)"
        )
    if n_back < 1 or not offset_threshold > 0:
        raise ValueError(
            f"n_back = {n_back} must be at least 1, offset_threshold = {offset_threshold} above 0"
        )
    candidates = _usable(image, certainty, score_threshold, n_back)
    missing = _without_state(candidates.weights, n_back)
    if not missing.size:
        return np.empty((*missing.shape, 2)), np.empty(missing.shape), missing
    path = _best_path(candidates, missing, n_back, offset_threshold)
    return _trace(candidates, missing, path, n_back)


def _usable(points: Floats, scores: Floats, threshold: float, n_back: int) -> _Candidates:
    """Leave out what is missing, unlikely or double, and move the others to the front, in their order."""
    usable = np.isfinite(points).all(axis=-1) & np.isfinite(scores) & (scores > 0) & (scores >= threshold)
    double = np.zeros_like(usable)
    for second in range(1, usable.shape[-1]):
        apart = points[..., :second, :] - points[..., second : second + 1, :]
        near = usable[..., :second] & ((apart**2).sum(axis=-1) <= SAME**2)
        double[..., second] = near.any(axis=-1)
    usable &= ~double
    width = max(1, int(usable.sum(axis=-1).max(initial=0)))
    first = np.argsort(~usable, axis=-1, kind="stable")[..., :width]
    there = np.take_along_axis(usable, first, axis=-1)
    frames, joints = usable.shape[:2]
    places = np.zeros((n_back + frames, joints, width, 2))
    weights = np.zeros((n_back + frames, joints, width))
    chosen = np.take_along_axis(points, first[..., None], axis=-2)
    places[n_back:] = np.where(there[..., None], chosen, 0.0)
    weights[n_back:] = np.where(there, np.take_along_axis(scores, first, axis=-1), 0.0)
    return _Candidates(places, weights)


def _without_state(weights: Floats, n_back: int) -> Flags:
    """Tell where neither a frame nor those that could be held have a candidate, (frames, joints)."""
    seen = np.any(weights > 0, axis=-1)
    frames = len(seen) - n_back
    out = np.ones((frames, seen.shape[1]), dtype=np.bool_)
    for age in range(n_back):
        out &= ~seen[n_back - age : n_back - age + frames]
    return out


def _best_path(candidates: _Candidates, missing: Flags, n_back: int, sigma: float) -> Whole:
    """Return the number of the chosen state, (frames, joints); states are ordered by age, then as given."""
    frames, joints = missing.shape
    width = candidates.weights.shape[-1]
    states = n_back * width
    origin = np.zeros((frames, states, joints), dtype=np.int32)
    likely = np.zeros((states, joints))
    step = max(1, CELLS // max(1, joints * states * states))
    for start in range(0, frames, step):
        here = slice(start, min(start + step, frames))
        around = slice(start, here.stop + n_back)
        emission = _emission(candidates.weights[around], missing[here], n_back)
        transition = _transition(candidates.places[around], n_back, sigma)
        _cut_off(transition, missing, here)
        for frame, ways in enumerate(transition, start):
            ways += likely[:, None, :]
            origin[frame] = ways.argmax(axis=0)
            likely = ways.max(axis=0) + emission[frame - start]
    return _traced_back(origin, likely)


def _emission(weights: Floats, missing: Flags, n_back: int) -> Floats:
    """Return the log-weights of the states, (frames, states, joints); -inf where there is none."""
    frames = len(missing)
    ages = [weights[n_back - age : n_back - age + frames] * 0.5**age for age in range(n_back)]
    states = np.concatenate(ages, axis=-1).swapaxes(1, 2)
    states[:, 0][missing] = MISSING
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(states, order="C"))


def _transition(places: Floats, n_back: int, sigma: float) -> Floats:
    """Return the log-probabilities of the ways to each state from each of the frame before.

    Two frames are compared once, for all the states that hold their candidates.

    Parameters
    ----------
    places
        (n_back + frames, joints, candidates, 2).

    Returns
    -------
    (frames, states before, states, joints).
    """
    frames, joints, width = len(places) - n_back, places.shape[1], places.shape[2]
    out = np.empty((frames, n_back, width, n_back, width, joints))
    x, y = np.ascontiguousarray(places.transpose(3, 0, 2, 1))
    for lag in range(n_back + 1):  # of the later frame behind the earlier one
        late, early = slice(lag, None), slice(0, len(places) - lag)
        square = (x[early, :, None] - x[late, None]) ** 2 + (y[early, :, None] - y[late, None]) ** 2
        forward = _log_probability(np.sqrt(square), sigma)  # (frames, earlier, later, joints)
        backward = np.ascontiguousarray(forward.swapaxes(1, 2))
        for age in range(n_back):  # of the candidate in the state that is reached
            before = lag + age - 1  # its age in the state before, if that one is the earlier
            if 0 <= before < n_back:
                first = n_back - 1 - before
                out[:, before, :, age] = forward[first : first + frames]
            before = age - 1 - lag  # if that one is the later
            if lag > 0 and before >= 0:
                first = n_back - age
                out[:, before, :, age] = backward[first : first + frames]
    return out.reshape(frames, n_back * width, n_back * width, joints)


def _log_probability(distance: Floats, sigma: float) -> Floats:
    """Return ``log(Phi((d + 2) / sigma) - Phi((d - 2) / sigma))``, at least -100.

    Taken in the lower tail, ``Phi(-(d - 2) / sigma) - Phi(-(d + 2) / sigma)``, whose small numbers are exact;
    the difference of two numbers close to 1 would be 0 from about 8 sigma on.
    """
    from scipy.special import ndtr  # takes long to import

    with np.errstate(divide="ignore"):
        log = np.log(ndtr((REACH - distance) / sigma) - ndtr((-REACH - distance) / sigma))
    return np.asarray(np.maximum(log, LEAST))


def _cut_off(transition: Floats, missing: Flags, here: slice) -> None:
    """Set the probability of the ways to and from frames where the joint is missing; none lead to frame 0."""
    before = missing[max(here.start - 1, 0) : here.stop - 1]
    apart = missing[here].copy()
    apart[len(apart) - len(before) :] |= before
    frame, joint = np.nonzero(apart)
    transition[frame, :, :, joint] = np.log(MISSING)
    if here.start == 0:
        transition[0] = 0.0


def _traced_back(origin: NDArray[np.int32], likely: Floats) -> Whole:
    """Follow the best ways back, from the best state of the last frame."""
    frames, _, joints = origin.shape
    path = np.empty((frames, joints), dtype=np.intp)
    every = np.arange(joints)
    path[-1] = likely.argmax(axis=0)
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = origin[frame, path[frame], every]
    return path


def _trace(candidates: _Candidates, missing: Flags, path: Whole, n_back: int) -> tuple[Floats, Floats, Flags]:
    """Return position, weight and whether it is held, of the chosen states."""
    age, which = np.divmod(path, candidates.weights.shape[-1])
    frame = np.arange(len(path))[:, None] + n_back - age
    joint = np.arange(path.shape[1])
    points = np.where(missing[..., None], np.nan, candidates.places[frame, joint, which])
    scores = np.where(missing, np.nan, candidates.weights[frame, joint, which] * 0.5**age)
    return points, scores, age > 0  # what is missing is state 0
