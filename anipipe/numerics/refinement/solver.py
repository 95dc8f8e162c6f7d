"""All points of a recording at once: Anipose's optimisation in time, without chunks.

The objective is Anipose's (:mod:`anipipe.numerics.refinement.objective`). Anipose minimises it with slopes by
finite differences and an iterative solver, in chunks of a few thousand frames with weights of their own. Here
each step solves the whole recording's equations exactly (:mod:`anipipe.numerics.refinement.banded`), in time
proportional to its length. The cost never rises: where a step would raise it, Levenberg's and Marquardt's
damping (Nocedal & Wright 2006, section 10.3) holds back the frames around, and only those.

Limbs that begin at wrong places make the equations far from linear. The descent therefore begins with the
course that each joint takes by itself, from a running median of the start, unless the start is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.errors import DataError
from anipipe.numerics.cameras import Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.refinement.banded import Integers, solve
from anipipe.numerics.refinement.objective import Objective, observe
from anipipe.numerics.refinement.start import (
    components,
    interpolate,
    median_in_time,
    movement,
    optimisable,
    starting_lengths,
)

TOLERANCE = 1e-7  # share of the cost that a step promises to save, below which it is the last one
ROUGH = 1e-3  # the same for joints by themselves, whose course is but the start for all together
EXACT = 1e-16  # px^2 a pixel: a cost below it is rounding
NOTHING = 1e-14  # share of the cost: what promises less, even if somewhat damped, is lost in its rounding
MOST_TRIALS = 100
#: Shares by which the diagonal is raised: at least, if at all; still as good as none; at first; beyond hope.
FLOOR, LITTLE_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-9, 1e-5, 1e-3, 1e8
CHANGE = 10.0  # factor between one damping and the next
VICINITY = 31  # frames whose costs tell whether a frame needs damping


@dataclass(frozen=True, eq=False)
class Refined:
    """What the optimisation made of a recording.

    Attributes
    ----------
    points
        (frames, joints, 3) in the rig's length unit; NaN in all frames for a joint that has no point in the
        start or was seen in no frame.
    lengths
        (limbs,) of the constraints, then of the weak ones, in their order; NaN where a joint is.
    cost
        Half the sum of squared residuals.
    start_cost
        The same at the start: gaps interpolated, and limbs as long as their medians.
    steps
        Those that lowered the cost, of the group of connected joints that took most.
    filled
        (frames, joints): the point rests on no camera at all, but on its neighbours in time and space alone.
        One that a single camera saw is not counted as filled.
    converged
        Whether another step would have saved next to nothing, in all groups.
    reason
        Why nothing was optimised; empty if something was.
    """

    points: Floats
    lengths: Floats
    cost: float
    start_cost: float
    steps: int
    filled: NDArray[np.bool_]
    converged: bool
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Descent:
    """Where a descent ended; as in :class:`Refined`."""

    points: Floats
    lengths: Floats
    cost: float
    steps: int
    converged: bool


def optimise(
    points: ArrayLike,
    pixels: ArrayLike,
    rig: Rig,
    *,
    constraints: Sequence[tuple[int, int]] = (),
    constraints_weak: Sequence[tuple[int, int]] = (),
    scale_smooth: float = 2.0,
    scale_length: float = 2.0,
    scale_length_weak: float = 1.0,
    n_deriv_smooth: int = 3,
    reproj_error_threshold: float = 5.0,
    weights: ArrayLike | None = None,
) -> Refined:
    """Move points so that they fit the pixels, move smoothly, and limbs keep their lengths.

    Joints that no constraint connects are optimised apart, which changes nothing but the time that it takes.

    Parameters
    ----------
    points
        (frames, joints, 3) to start from, as triangulated; NaN where missing.
    pixels
        (cameras, frames, joints, 2), cameras as in the rig; unseen unless both coordinates are finite. As in
        aniposelib a pixel also counts where the lens model has no ray for it.
    rig
        The cameras.
    constraints, constraints_weak
        Pairs of joints whose distance is constant, by their indices.
    scale_smooth, scale_length, scale_length_weak
        Weights of smoothness and limb lengths against pixels, not negative. Smoothness counts in units of the
        typical movement between frames; an animal at rest is taken to move by a thousandth of a pixel.
        Without smoothness, gaps are interpolated, and change for the limbs' sake only.
    n_deriv_smooth
        Which derivative in time is to be small, from 1.
    reproj_error_threshold
        From how many px on a pixel counts as an outlier.
    weights
        (cameras, frames, joints), not negative, by which squared reprojection residuals count; a pixel of
        weight 0 is unseen. None is 1 for all, as Anipose has it.

    Returns
    -------
    The result. With fewer than 20 points to start from they are returned as they are, with the reason.

    Raises
    ------
    DataError
        If shapes do not agree, a constraint names a joint that is not there or one joint twice, or a setting
        has a value that makes no sense.
    """
    world, image, importance = _checked(points, pixels, rig, weights)
    ends = _limbs([*constraints, *constraints_weak], world.shape[1])
    rigidity = 100 * np.repeat([scale_length, scale_length_weak], [len(constraints), len(constraints_weak)])
    if min(scale_smooth, scale_length, scale_length_weak) < 0 or not reproj_error_threshold > 0:
        raise DataError("scales of the optimisation must not be negative, and its threshold must be positive")
    if n_deriv_smooth < 1:
        raise DataError(f"n_deriv_smooth = {n_deriv_smooth} must be at least 1")

    seen = np.isfinite(image[..., 0]).any(axis=0)
    present, reason = optimisable(world, image)
    out, lengths = np.full_like(world, np.nan), np.full(len(ends), np.nan)
    if reason:
        nowhere = np.zeros(seen.shape, dtype=bool)
        return Refined(np.array(points, float), lengths, np.nan, np.nan, 0, nowhere, False, reason)

    out[:, present] = interpolate(world[:, present])
    smooth = out.copy()
    smooth[:, present] = median_in_time(out[:, present])
    usable = present[ends].all(axis=1)
    lengths[usable] = starting_lengths(out, ends[usable])
    stiffness = scale_smooth / movement(smooth[:, present], rig)

    def objective_of(joints: Integers, limbs: Integers) -> Objective:
        factors = None if importance is None else importance[..., joints]
        return Objective(
            sightings=observe(image[:, :, joints], rig, factors),
            threshold=reproj_error_threshold,
            stiffness=stiffness,
            order=n_deriv_smooth,
            ends=np.searchsorted(joints, ends[limbs]),
            rigidity=rigidity[limbs],
        )

    start_cost, descents = 0.0, []
    for joints in components(len(present), ends[usable]):
        if not present[joints[0]]:
            continue
        limbs = np.flatnonzero(usable & np.isin(ends[:, 0], joints))
        objective = objective_of(joints, limbs)
        start = out[:, joints]
        start_cost += 0.5 * float(np.sum(objective.residuals(start, lengths[limbs]) ** 2))
        begin = smooth[:, joints]
        for index in range(len(joints) if len(limbs) else 0):
            alone = objective_of(joints[[index]], limbs[:0])
            begin[:, [index]] = descend(alone, begin[:, [index]], lengths[:0], ROUGH).points
        costs = [objective.linearise(given, lengths[limbs]).cost for given in (start, begin)]
        better = (start, begin)[int(np.argmin(np.nan_to_num(costs, nan=np.inf)))]
        found = descend(objective, better, lengths[limbs])
        out[:, joints], lengths[limbs] = found.points, found.lengths
        descents.append(found)
    return Refined(
        points=out,
        lengths=lengths,
        cost=sum(descent.cost for descent in descents),
        start_cost=start_cost,
        steps=max(descent.steps for descent in descents),
        filled=np.asarray(present & ~seen),
        converged=all(descent.converged for descent in descents),
    )


def descend(objective: Objective, points: Floats, lengths: Floats, tolerance: float = TOLERANCE) -> Descent:
    """Minimise an objective.

    Parameters
    ----------
    objective
        The objective.
    points
        (frames, joints, 3) to start from, all finite.
    lengths
        (limbs,) of limbs whose joints coincide in all frames of the start.
    tolerance
        Share of the cost that a step promises to save, below which it is the last one.

    Returns
    -------
    The best that was found, never worse than the start.
    """
    rounding = EXACT * sum(len(seen.places) for seen in objective.sightings)
    here = objective.linearise(points, lengths)
    # cameras and limbs may leave a point undetermined, where nothing ties it to other frames
    least = 0.0 if here.matrix.ties.any() else FLOOR
    damping, steps, converged = np.full(len(points), least), 0, False
    for _ in range(MOST_TRIALS):
        if converged or not np.isfinite(here.cost) or damping.max() > MOST_DAMPING:
            break
        move = solve(here.matrix, -here.gradient, damping=damping)
        raised = np.ones(len(points), dtype=bool)
        if move is None and least < LITTLE_DAMPING:  # few sightings determine nothing, however tied
            least = max(10 * least, FLOOR)
            damping = np.maximum(damping, least)
            continue
        if move is not None:
            promise = -0.5 * float(np.sum(move * here.gradient))
            most = damping.max()
            converged = (most <= LITTLE_DAMPING and promise <= tolerance * here.cost + rounding) or (
                most <= LEAST_DAMPING and promise <= NOTHING * here.cost
            )
            moved = points + move
            there = objective.linearise(moved, here.lengths)
            if there.cost < here.cost:
                points, here, steps = moved, there, steps + 1
                damping = np.where(damping > LITTLE_DAMPING, np.maximum(damping / CHANGE, least), least)
                continue
            if np.isfinite(there.cost):
                raised = _risen(there.costs - here.costs)
        damping[raised] = np.maximum(LEAST_DAMPING, damping[raised] * CHANGE)
    return Descent(points, here.lengths, here.cost, steps, converged)


def _risen(change: Floats) -> NDArray[np.bool_]:
    """Tell in which frames the cost rose, given its change (frames,) and counting the frames around."""
    from scipy.ndimage import uniform_filter1d

    around = uniform_filter1d(change, VICINITY, mode="constant")
    return around > 0 if (around > 0).any() else np.ones(len(change), dtype=bool)


def _limbs(constraints: Sequence[tuple[int, int]], joints: int) -> Integers:
    """Return the constraints as an array (limbs, 2), if they make sense."""
    ends = np.array(constraints, dtype=np.intp).reshape(-1, 2)
    for first, second in ends.tolist():
        if not (0 <= first < joints and 0 <= second < joints):
            raise DataError(f"the constraint ({first}, {second}) names a joint that is not there")
        if first == second:
            raise DataError(f"the constraint ({first}, {second}) ties a joint to itself")
    return ends


def _checked(
    points: ArrayLike, pixels: ArrayLike, rig: Rig, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    """Return points, pixels and weights as arrays, NaN wherever something is missing."""
    world, image = np.array(points, dtype=np.float64), np.array(pixels, dtype=np.float64)
    if world.ndim != 3 or world.shape[2] != 3:
        raise DataError(f"points have shape {world.shape}, expected (frames, joints, 3)")
    if image.shape != (len(rig), *world.shape[:2], 2):
        expected = (len(rig), *world.shape[:2], 2)
        raise DataError(f"pixels have shape {image.shape}, the rig and the points ask for {expected}")
    world[~np.isfinite(world).all(axis=-1)] = np.nan
    image[~np.isfinite(image).all(axis=-1)] = np.nan
    if weights is None:
        return world, image, None
    importance = np.asarray(weights, dtype=np.float64)
    if importance.shape != image.shape[:-1]:
        raise DataError(f"weights have shape {importance.shape}, the pixels ask for {image.shape[:-1]}")
    used = importance[np.isfinite(image[..., 0])]
    if not (np.isfinite(used) & (used >= 0)).all():
        raise DataError("weights of pixels must be finite and not negative")
    image[importance == 0] = np.nan
    return world, image, importance
