"""Lens distortion and its inverse, in normalised image coordinates.

Normalised coordinates are those of a perfect camera of focal length 1: ``x = X / Z``, ``y = Y / Z``. Both
models are OpenCV's, with its order of coefficients: ``k1, k2, p1, p2[, k3]`` for ordinary lenses (Brown 1966;
OpenCV manual, "Camera Calibration and 3D Reconstruction") and ``k1 .. k4``, a polynomial in the angle from
the optical axis, for fisheye lenses (Kannala & Brandt 2006; OpenCV manual, "Fisheye camera model").

The inverse has no closed form. OpenCV iterates a few times towards a fixed point, which is not enough for
strong lenses and returns numbers also where the model has no inverse. Here the radial part is solved by
Newton steps kept inside a bracket, which cannot miss.

Every operation is element by element, so that a point's result does not depend on the points that it is
computed with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

EPS = float(np.finfo(np.float64).eps)
RADIAL_STEPS = 100  # bisection alone would need about 60
TANGENTIAL_STEPS = 50
RESIDUAL = 1e-12  # of the distorted radius: far above rounding, far below what a pixel shows


def distort(x: Floats, y: Floats, coefficients: Floats, *, fisheye: bool) -> tuple[Floats, Floats]:
    """Bend ideal rays as the lens does.

    Parameters
    ----------
    x, y
        Normalised coordinates, (...).
    coefficients
        (5,) ``k1, k2, p1, p2, k3``, or (4,) ``k1 .. k4`` of a fisheye lens.
    fisheye
        Which of the two models.

    Returns
    -------
    Distorted normalised coordinates, (...) each.
    """
    if not np.any(coefficients) and not fisheye:
        return x, y
    if fisheye:
        radius = np.sqrt(x * x + y * y)
        angle = np.arctan(radius)
        bent = _radial(angle, coefficients)[0]
        scale = np.divide(bent, radius, out=np.ones_like(radius), where=radius > 0)
        return x * scale, y * scale
    k1, k2, p1, p2, k3 = (float(value) for value in coefficients)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if p1 == 0 and p2 == 0:
        return x * radial, y * radial
    xy = x * y
    return (
        x * radial + 2 * p1 * xy + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * xy,
    )


def slopes(x: Floats, y: Floats, coefficients: Floats, *, fisheye: bool) -> tuple[Floats, Floats, Floats]:
    """Differentiate :func:`distort` by the ideal coordinates.

    Parameters
    ----------
    x, y, coefficients, fisheye
        As for :func:`distort`.

    Returns
    -------
    d x'/d x, d x'/d y = d y'/d x, and d y'/d y, (...) each: both models have symmetric Jacobians.
    """
    r2 = x * x + y * y
    if fisheye:
        radius = np.sqrt(r2)
        bent, growth = _radial(np.arctan(radius), coefficients)
        scale = np.divide(bent, radius, out=np.ones_like(radius), where=radius > 0)
        # the slope of scale over the radius; its limit at the axis follows from arctan's series
        limit = np.full_like(radius, 2 * (float(coefficients[0]) - 1 / 3))
        steep = np.divide(growth / (1 + r2) - scale, r2, out=limit, where=r2 > 1e-12)
        return scale + x * x * steep, x * y * steep, scale + y * y * steep
    k1, k2, p1, p2, k3 = (float(value) for value in coefficients)
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    growth = 2 * (k1 + r2 * (2 * k2 + r2 * 3 * k3))
    return (
        radial + x * x * growth + 2 * p1 * y + 6 * p2 * x,
        x * y * growth + 2 * p1 * x + 2 * p2 * y,
        radial + y * y * growth + 6 * p1 * y + 2 * p2 * x,
    )


def slopes_by_coefficients(
    x: Floats, y: Floats, *, count: int, fisheye: bool
) -> tuple[list[Floats], list[Floats]]:
    """Differentiate :func:`distort` by its coefficients, of which it is a linear function.

    Parameters
    ----------
    x, y
        Ideal normalised coordinates, (...).
    count
        Of coefficients: 5, or 4 for a fisheye lens.
    fisheye
        Which of the two models.

    Returns
    -------
    Slopes of x' and of y', (...) for each coefficient in its order.
    """
    r2 = x * x + y * y
    if fisheye:
        radius = np.sqrt(r2)
        angle = np.arctan(radius)
        share = np.divide(angle, radius, out=np.ones_like(radius), where=radius > 0)
        powers = [share * angle ** (2 * order + 2) for order in range(count)]
        return [x * power for power in powers], [y * power for power in powers]
    r4, xy = r2 * r2, 2 * x * y
    r6 = r4 * r2
    return (
        [x * r2, x * r4, xy, r2 + 2 * x * x, x * r6][:count],
        [y * r2, y * r4, r2 + 2 * y * y, xy, y * r6][:count],
    )


def straighten(x: Floats, y: Floats, coefficients: Floats, *, fisheye: bool) -> tuple[Floats, Floats]:
    """Undo :func:`distort`.

    Parameters
    ----------
    x, y
        Distorted normalised coordinates, (points,).
    coefficients, fisheye
        As for :func:`distort`.

    Returns
    -------
    Ideal normalised coordinates, (points,) each; NaN where the input is, and where no ideal ray leads: beyond
    the radius at which the model folds back (strong ``k1 < 0``), or 90 degrees and more from a fisheye's
    axis.
    """
    if not np.any(coefficients) and not fisheye:
        return x, y
    polynomial = _polynomial(coefficients, fisheye=fisheye)
    limit = fold(polynomial)
    bent = np.sqrt(x * x + y * y)
    straight = _invert_radial(bent, polynomial, limit)
    if fisheye:
        straight = np.where(straight < np.pi / 2, np.tan(straight), np.nan)
    scale = np.divide(straight, bent, out=np.ones_like(bent), where=bent != 0)
    out_x, out_y = x * scale, y * scale
    if not fisheye and (coefficients[2] != 0 or coefficients[3] != 0):
        return _invert_tangential(x, y, out_x, out_y, coefficients)
    return out_x, out_y


def within_reach(x: Floats, y: Floats, coefficients: Floats, *, fisheye: bool) -> Flags:
    """Say which rays a lens model holds for.

    Parameters
    ----------
    x, y
        Ideal normalised coordinates, of points before the camera.
    coefficients, fisheye
        As for :func:`distort`.

    Returns
    -------
    False beyond the radius at which the model folds back: it would bring such rays back into the picture,
    onto pixels that the lens sees something else by. False for NaN.
    """
    radius = np.hypot(x, y)
    radius = np.arctan(radius) if fisheye else radius
    return np.asarray(radius < fold(_polynomial(coefficients, fisheye=fisheye)))


def _polynomial(coefficients: Floats, *, fisheye: bool) -> Floats:
    """Return what the radius, or the angle, is bent by."""
    return coefficients if fisheye else coefficients[[0, 1, 4]]


def fold(polynomial: Floats | Sequence[float]) -> float:
    """Find where a radial polynomial stops growing.

    Parameters
    ----------
    polynomial
        ``k1, k2, ..`` of ``r (1 + k1 r^2 + k2 r^4 + ..)``.

    Returns
    -------
    The smallest r > 0 of zero slope, beyond which two rays reach one pixel; infinity if there is none.
    """
    slope = [1.0, *((2 * order + 3) * float(value) for order, value in enumerate(polynomial))]
    roots = np.roots(np.trim_zeros(slope[::-1], "f"))
    real = roots.real[(np.abs(roots.imag) <= 1e-9 * np.abs(roots)) & (roots.real > 0)]
    return float(np.sqrt(real.min())) if real.size else np.inf


def _radial(radius: Floats, polynomial: Floats) -> tuple[Floats, Floats]:
    """Evaluate ``r (1 + k1 r^2 + ..)`` and its slope (Horner)."""
    square = radius * radius
    factor, slope = np.zeros_like(radius), np.zeros_like(radius)
    for order in range(len(polynomial), 0, -1):
        factor = (factor + polynomial[order - 1]) * square
        slope = (slope + (2 * order + 1) * polynomial[order - 1]) * square
    return radius * (1 + factor), 1 + slope


def _invert_radial(bent: Floats, polynomial: Floats, limit: float) -> Floats:
    """Solve ``r (1 + k1 r^2 + ..) = bent`` for r in [0, limit], where the left grows; NaN if none."""
    out = np.full_like(bent, np.nan)
    reach = np.inf if np.isinf(limit) else float(_radial(np.array([limit]), polynomial)[0][0])
    active = np.flatnonzero(np.isfinite(bent) & (bent <= reach))
    target = bent[active]
    radius = np.minimum(target, limit)
    low, high = np.zeros_like(target), np.full_like(target, limit)
    for _ in range(RADIAL_STEPS):
        value, slope = _radial(radius, polynomial)
        excess = value - target
        low = np.where(excess <= 0, radius, low)
        high = np.where(excess >= 0, radius, high)
        step = np.divide(excess, slope, out=np.full_like(excess, np.nan), where=slope != 0)
        trial = radius - step
        middle = np.where(np.isinf(high), 2 * radius + 1, 0.5 * (low + high))
        trial = np.where((trial >= low) & (trial <= high), trial, middle)
        done = np.abs(trial - radius) <= 4 * EPS * trial
        out[active[done]] = trial[done]
        if done.all():
            return out
        going = ~done
        active, target, radius, low, high = (a[going] for a in (active, target, trial, low, high))
    good = np.abs(_radial(radius, polynomial)[0] - target) <= RESIDUAL * target
    out[active[good]] = radius[good]
    return out


def _invert_tangential(
    x: Floats, y: Floats, start_x: Floats, start_y: Floats, coefficients: Floats
) -> tuple[Floats, Floats]:
    """Solve the whole model by Newton steps, halved while they do not bring the image closer."""
    out_x, out_y = np.full_like(x, np.nan), np.full_like(y, np.nan)
    active = np.flatnonzero(np.isfinite(start_x) & np.isfinite(start_y))
    goal_x, goal_y, at_x, at_y = x[active], y[active], start_x[active], start_y[active]
    best = np.full_like(at_x, np.inf)
    trial_x, trial_y = at_x, at_y
    step_x, step_y = np.zeros_like(at_x), np.zeros_like(at_y)
    for _ in range(TANGENTIAL_STEPS):
        off_x, off_y, dxx, dxy, dyy = _residual(trial_x, trial_y, goal_x, goal_y, coefficients)
        squared = off_x * off_x + off_y * off_y
        closer = squared < best
        at_x, at_y = np.where(closer, trial_x, at_x), np.where(closer, trial_y, at_y)
        best = np.where(closer, squared, best)
        determinant = dxx * dyy - dxy * dxy
        safe = np.where(determinant == 0, np.nan, determinant)
        step_x = np.where(closer, (off_x * dyy - off_y * dxy) / safe, 0.5 * step_x)
        step_y = np.where(closer, (off_y * dxx - off_x * dxy) / safe, 0.5 * step_y)
        small = np.abs(step_x) + np.abs(step_y) <= 4 * EPS * (np.abs(at_x) + np.abs(at_y))
        done = small | (best == 0)
        size = goal_x * goal_x + goal_y * goal_y
        solved = done & (best <= RESIDUAL**2 * (size + 1e-6)) & (determinant > 0)
        out_x[active[solved]], out_y[active[solved]] = at_x[solved], at_y[solved]
        if done.all():
            break
        going = ~done
        active, goal_x, goal_y, at_x, at_y = (a[going] for a in (active, goal_x, goal_y, at_x, at_y))
        best, step_x, step_y = (a[going] for a in (best, step_x, step_y))
        trial_x, trial_y = at_x - step_x, at_y - step_y
    return out_x, out_y


def _residual(
    x: Floats, y: Floats, goal_x: Floats, goal_y: Floats, coefficients: Floats
) -> tuple[Floats, ...]:
    """Return what is left to the goal, (x, y), and the distortion's symmetric Jacobian (xx, xy, yy) there."""
    bent_x, bent_y = distort(x, y, coefficients, fisheye=False)
    return bent_x - goal_x, bent_y - goal_y, *slopes(x, y, coefficients, fisheye=False)
