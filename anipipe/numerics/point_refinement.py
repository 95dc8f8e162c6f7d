"""Points in space refined: the reprojection error made small in pixels, where it is measured.

The direct linear transform minimises an algebraic residual, which weighs a camera by its distance and knows
no lens. The point that fits noisy pixels best has the smallest sum of squared reprojection errors (Hartley &
Zisserman 2004, section 12.3 and appendix 6). Starting from the linear solution, a few Gauss-Newton steps with
exact slopes reach it; Levenberg's and Marquardt's damping takes over where a step does not help.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from anipipe.errors import DataError
from anipipe.numerics.cameras import Camera, Rig, project_with_slopes
from anipipe.numerics.lenses import Floats
from anipipe.numerics.triangulation import CHUNK, checked, checked_weights, contributing, matching

STEPS = 20  # ordinary points take 2 or 3
SETTLED = 1e-15  # the share of the squared error that a step promises to take off, below which it ends
NEGLIGIBLE = 1e-18  # px^2, the same in absolute terms
DAMPING = 1e-3  # the first one where the undamped step did not help, relative to the matrix's diagonal
DAMPING_FACTOR = 10.0
PIVOT = 1e-14  # smallest pivot of a matrix whose diagonal is 1: below is rounding

_ENTRIES = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # of a symmetric matrix


def refine(
    points: ArrayLike, pixels: ArrayLike, rig: Rig, *, weights: ArrayLike | None = None, steps: int = STEPS
) -> Floats:
    """Move points to where the sum of their squared reprojection errors is smallest.

    Each point is computed by itself: neither the number nor the order of the others changes a bit of it. A
    step is taken only if it lowers the error and leaves the point before every camera that it is seen by;
    hence the error never rises, and a point that lies behind a camera stays.

    Parameters
    ----------
    points
        World coordinates to start from, (..., 3); NaN stays NaN.
    pixels
        (cameras, ..., 2), cameras as in the rig. A pixel that is not finite, or that the lens model reaches
        by no ray, is left out. A point with fewer than 2 others stays.
    rig
        The cameras.
    weights
        (cameras, ...) by which a camera's squared error counts, 1 / px^2 for measured errors; only their
        ratios matter. With 0 or NaN the camera takes no part. By default all count alike.
    steps
        At most so many, tried ones included.

    Returns
    -------
    World coordinates, (..., 3).

    Raises
    ------
    DataError
        If shapes do not agree, steps is negative or weights do not fit.
    """
    image = checked(pixels, rig)
    world = matching(points, image)
    if steps < 0:
        raise DataError(f"steps = {steps}: a number of steps is not negative")
    share = np.ones(image.shape[:-1]) if weights is None else checked_weights(weights, image)
    flat, share = image.reshape(len(rig), -1, 2), share.reshape(len(rig), -1)
    out = world.reshape(-1, 3).copy()
    for start in range(0, len(out), CHUNK):
        part = slice(start, start + CHUNK)
        taken = np.where(contributing(flat[:, part], rig), share[:, part], 0.0)
        movable = np.flatnonzero(((taken > 0).sum(axis=0) >= 2) & np.isfinite(out[part]).all(axis=-1))
        rows = start + movable
        out[rows] = _descend(out[rows], flat[:, rows], taken[:, movable], rig, steps)
    return out.reshape(world.shape)


def _descend(points: Floats, pixels: Floats, weights: Floats, rig: Rig, steps: int) -> Floats:
    """Refine (points, 3) from (cameras, points, 2) pixels with (cameras, points) weights, 0 for none."""
    out = points.copy()
    cost, gradient, matrix = _squared_error(points, pixels, weights, rig)
    damping = np.zeros_like(cost)
    active = np.arange(len(points))
    for _ in range(steps):
        step, promised = _step(gradient, matrix, damping)
        # Not so where the cost is infinite from the start.
        going = promised > SETTLED * cost + NEGLIGIBLE * weights.max(axis=0, initial=0.0)
        if not going.all():
            active, pixels, weights = active[going], pixels[:, going], weights[:, going]
            cost, gradient, matrix = cost[going], gradient[:, going], matrix[:, going]
            damping, step = damping[going], step[:, going]
        if not active.size:
            break
        trial = out[active] + step.T
        with np.errstate(over="ignore", invalid="ignore"):  # far too long a step is refused like any other
            trial_cost, trial_gradient, trial_matrix = _squared_error(trial, pixels, weights, rig)
        better = trial_cost < cost
        out[active[better]] = trial[better]
        cost = np.where(better, trial_cost, cost)
        gradient = np.where(better, trial_gradient, gradient)
        matrix = np.where(better, trial_matrix, matrix)
        raised = np.maximum(DAMPING_FACTOR * damping, DAMPING)
        damping = np.where(better, damping / DAMPING_FACTOR, raised)
    return out


def _squared_error(
    points: Floats, pixels: Floats, weights: Floats, rig: Rig
) -> tuple[Floats, Floats, Floats]:
    """Add up weighted squared errors, and what Gauss and Newton make of their slopes.

    Parameters
    ----------
    points
        (points, 3).
    pixels
        (cameras, points, 2).
    weights
        (cameras, points), 0 where the camera takes no part.
    rig
        The cameras.

    Returns
    -------
    cost
        (points,), px^2; infinite behind a camera that takes part.
    gradient
        (3, points), half the cost's slopes.
    matrix
        (6, points), upper triangle of J^T W J.
    """
    count = len(points)
    cost, gradient, matrix = np.zeros(count), np.zeros((3, count)), np.zeros((6, count))
    for camera, image, weight in zip(rig.cameras, pixels, weights, strict=True):
        takes_part = weight > 0
        projected, slopes = project_with_slopes(points, camera)
        off = np.where(takes_part[:, None], projected - image, 0.0)
        cost += weight * (off[:, 0] ** 2 + off[:, 1] ** 2)
        cost[takes_part & ~(depth(points, camera) > 0)] = np.inf
        slopes = np.where(takes_part, slopes, 0.0)
        weighted = weight * slopes
        gradient += weighted[0] * off[:, 0] + weighted[1] * off[:, 1]
        for entry, (i, k) in enumerate(_ENTRIES):
            matrix[entry] += weighted[0, i] * slopes[0, k] + weighted[1, i] * slopes[1, k]
    return cost, gradient, matrix


def depth(points: Floats, camera: Camera) -> Floats:
    """Return how far before a camera (..., 3) points are, along its axis."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    a, b, c, d = camera.extrinsics[2]
    return np.asarray(a * x + b * y + c * z + d)


def _step(gradient: Floats, matrix: Floats, damping: Floats) -> tuple[Floats, Floats]:
    """Solve ``(M + damping diag(M)) step = -gradient`` by Cholesky's factorisation.

    The matrix is scaled to a diagonal of 1 first, which makes the solution independent of the units. Pivots
    are bounded below: rays that are nearly parallel leave a direction almost open, and the step along it
    becomes long rather than infinite.

    Returns
    -------
    step
        (3, points).
    promised
        (points,) by how much the cost would fall, were the pixels linear in the point, px^2.
    """
    xx, xy, xz, yy, yz, zz = matrix
    scale = [
        np.divide(1.0, np.sqrt(entry), out=np.zeros_like(entry), where=entry > 0) for entry in (xx, yy, zz)
    ]
    a, b, c = xy * scale[0] * scale[1], xz * scale[0] * scale[2], yz * scale[1] * scale[2]
    first = np.sqrt(1 + damping)
    l10, l20 = a / first, b / first
    second = np.sqrt(np.maximum(1 + damping - l10 * l10, PIVOT))
    l21 = (c - l20 * l10) / second
    third = np.sqrt(np.maximum(1 + damping - l20 * l20 - l21 * l21, PIVOT))
    u, v, w = (-part * factor for part, factor in zip(gradient, scale, strict=True))
    u = u / first
    v = (v - l10 * u) / second
    w = (w - l20 * u - l21 * v) / third
    promised = u * u + v * v + w * w
    w = w / third
    v = (v - l21 * w) / second
    u = (u - l10 * v - l20 * w) / first
    return np.stack([u * scale[0], v * scale[1], w * scale[2]]), promised
