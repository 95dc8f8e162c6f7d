"""Corners of squares and of markers to a fraction of a pixel.

Pixels: (0, 0) is the centre of the top left pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.boards.geometry import Floats
from anipipe.numerics.boards.markers import Bools, Grey

_SMALLEST, _LARGEST = 2, 7  # half the window that a corner is refined in, pixels
_LARGEST_FIT = 5  # half the window of the surface, pixels
_SAMPLES = 32  # along a marker's side
_STEP = 0.5  # pixels along the profile across a side
_ROUNDS = 3
_REST = 0.1  # px, the most that a corner may still want to move
_WEAKEST = 4.0  # grey values between the dark and the light squares of a corner that counts as seen


def refine_saddles(grey: Grey, corners: Floats, reach: Floats) -> Floats:
    """Refine corners where two dark squares touch.

    OpenCV's cornerSubPix comes near from afar: around such a corner each gradient is at a right angle to the
    line to the corner. It ends up to a tenth of a pixel off, depending on where between pixels the corner
    lies. The saddle point of the parabolic surface that fits the grey values best does not (Lucchese & Mitra
    2002).

    Parameters
    ----------
    grey
        (height, width).
    corners
        (n, 2) where they are thought to be.
    reach
        (n,) pixels around each in which there is nothing but the corner.

    Returns
    -------
    (n, 2); NaN for corners outside of the picture.
    """
    import cv2

    out = np.full_like(corners, np.nan)
    height, width = grey.shape
    with np.errstate(invalid="ignore"):
        inside = ((corners >= 0) & (corners <= [width - 1, height - 1])).all(axis=1)
    half = np.clip(np.nan_to_num(reach), _SMALLEST, _LARGEST).astype(int)
    half = np.minimum(half, (min(width, height) - 6) // 2)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-3)
    for window in np.unique(half[inside]).tolist():
        if window < 1:
            continue
        which = np.flatnonzero(inside & (half == window))
        start = np.ascontiguousarray(corners[which, None], dtype=np.float32)
        found = cv2.cornerSubPix(grey, start, (window, window), (-1, -1), stop)
        out[which] = _saddle_points(grey, np.asarray(found, dtype=np.float64).reshape(-1, 2), window)
    return out


def _saddle_points(grey: Grey, corners: Floats, half: int) -> Floats:
    """Move corners, (n, 2), to the saddles of surfaces that fit the grey values; NaN where there is none."""
    half = min(half, _LARGEST_FIT)
    y, x = (axis.reshape(-1).astype(np.float64) for axis in np.mgrid[-half : half + 1, -half : half + 1])
    weight = np.exp(-(x**2 + y**2) / (0.5 * half**2))
    terms = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)], axis=1)
    solve = np.linalg.pinv(terms * weight[:, None]) * weight
    out = corners.copy()
    for number in range(_ROUNDS + 1):
        a, b, c, d, e, _ = solve @ sample(grey, out[:, None] + np.stack([x, y], axis=-1)).T
        with np.errstate(divide="ignore", invalid="ignore"):
            det = 4 * a * c - b * b
            step = np.stack([b * e - 2 * c * d, b * d - 2 * a * e], axis=-1) / det[:, None]
            if number == _ROUNDS:  # where it has not come to rest on a saddle, it went astray
                out[~((det < 0) & (np.abs(step) < _REST).all(axis=1))] = np.nan
                break
            # Elsewhere the surface is a hill or a plane: stay.
            out += np.where((det < 0)[:, None] & (np.abs(step) < 1), step, 0.0)
    return out


def are_saddles(grey: Grey, corners: Floats, light: Floats, dark: Floats) -> Bools:
    """Tell at which corners two light squares really face each other across two dark ones.

    Parameters
    ----------
    grey
        (height, width).
    corners
        (n, 2) pixels.
    light
        (n, 2) pixels from the corner into one of its light squares; the other is on the other side.
    dark
        (n, 2) pixels from the corner into one of its dark squares.

    Returns
    -------
    (n,) False too where the picture ends.
    """
    bright = np.stack([sample(grey, corners + light), sample(grey, corners - light)])
    dim = np.stack([sample(grey, corners + dark), sample(grey, corners - dark)])
    with np.errstate(invalid="ignore"):
        gap = bright.min(axis=0) - dim.max(axis=0)
        spread = bright.mean(axis=0) - dim.mean(axis=0)
        return np.asarray((gap > _WEAKEST) & (gap > 0.3 * spread))


def refine_quads(grey: Grey, quads: Floats, cell: Floats) -> Floats:
    """Refine the corners of dark quadrilaterals on light paper.

    The edges are found along profiles across each side, where blur leaves them in place, and the corners
    where the sides meet; blur rounds the corners themselves off. A side is a parabola, since lenses bend
    lines.

    Parameters
    ----------
    grey
        (height, width).
    quads
        (m, 4, 2) where the corners are thought to be, within about a cell.
    cell
        (m,) pixels within which a side is alone: half of what is inside of it is looked at, and of what is
        outside.

    Returns
    -------
    (m, 4, 2); NaN where the sides cannot be made out.
    """
    out = quads.copy()
    along = np.linspace(0.08, 0.92, _SAMPLES)
    for turn in range(_ROUNDS):
        reach = np.clip((0.7 if turn == 0 else 0.5) * cell, 1.5, 5.0)
        offsets, normals = _side_offsets(grey, out, along, reach)
        shift = _meeting(along, offsets, normals)
        with np.errstate(invalid="ignore"):
            shift[np.linalg.norm(shift, axis=-1) > 1.5 * np.maximum(cell, 2.0)[:, None]] = np.nan
        out = out + shift
    return out


def sample(grey: Grey, points: Floats) -> Floats:
    """Return grey values, (...), at points between pixels, (..., 2), bilinearly; NaN outside."""
    height, width = grey.shape
    with np.errstate(invalid="ignore"):
        inside = np.asarray(((points >= 0) & (points <= [width - 1, height - 1])).all(axis=-1))
    safe = np.where(inside[..., None], points, 0.0)
    x0 = np.clip(safe[..., 0].astype(np.int64), 0, max(width - 2, 0))
    y0 = np.clip(safe[..., 1].astype(np.int64), 0, max(height - 2, 0))
    fx, fy = safe[..., 0] - x0, safe[..., 1] - y0
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    top = grey[y0, x0] * (1 - fx) + grey[y0, x1] * fx
    bottom = grey[y1, x0] * (1 - fx) + grey[y1, x1] * fx
    return np.where(inside, top * (1 - fy) + bottom * fy, np.nan)


def _side_offsets(
    grey: Grey, quads: Floats, along: Floats, reach: Floats
) -> tuple[Floats, NDArray[np.float64]]:
    """(m, 4, samples) how far outwards the edge lies from each side, and (m, 4, 2) what outwards is."""
    ahead = np.roll(quads, -1, axis=1) - quads
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = ahead / np.linalg.norm(ahead, axis=-1, keepdims=True)
    normals = np.stack([unit[..., 1], -unit[..., 0]], axis=-1)
    outward = np.sign(np.sum(normals * (quads - quads.mean(axis=1, keepdims=True)), axis=-1, keepdims=True))
    normals = normals * outward
    count = int(np.ceil(np.nanmax(reach, initial=1.5) / _STEP))
    steps = np.arange(-count, count + 1) * _STEP
    base = quads[:, :, None] + ahead[:, :, None] * along[:, None]
    profile = sample(grey, base[:, :, :, None] + normals[:, :, None, None] * steps[:, None])
    rise = np.diff(profile, axis=-1)
    middle = (steps[1:] + steps[:-1]) / 2
    weight = np.where(np.abs(middle) < reach[:, None, None, None], rise, 0.0)
    weight = np.clip(weight - 0.05 * weight.max(axis=-1, keepdims=True), 0.0, None)
    total = weight.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        offsets = (weight * middle).sum(axis=-1) / total
    return np.where(total > _WEAKEST, offsets, np.nan), normals


def _meeting(along: Floats, offsets: Floats, normals: Floats) -> Floats:
    """(m, 4, 2) by how much each corner moves if its two sides move by (m, 4, samples) offsets."""
    basis = np.stack([np.ones_like(along), along, along**2], axis=1)
    seen = np.isfinite(offsets)
    middle = np.nanmedian(np.where(seen.any(axis=-1, keepdims=True), offsets, 0.0), axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        seen &= np.abs(offsets - middle) < 2.0
    weights = seen.astype(np.float64)
    normal = np.einsum("mks,si,sj->mkij", weights, basis, basis)
    right = np.einsum("mks,si->mki", weights * np.where(seen, offsets, 0.0), basis)
    usable = weights.sum(axis=-1) >= _SAMPLES // 2
    normal = np.where(usable[..., None, None], normal, np.eye(3))
    curve = np.linalg.solve(normal, right[..., None])[..., 0]
    curve = np.where(usable[..., None], curve, np.nan)
    starts, ends = curve[..., 0], curve.sum(axis=-1)
    # Corner k is the end of side k - 1 and the start of side k.
    before, before_normal = np.roll(ends, 1, axis=1), np.roll(normals, 1, axis=1)
    det = before_normal[..., 0] * normals[..., 1] - before_normal[..., 1] * normals[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        x = (before * normals[..., 1] - starts * before_normal[..., 1]) / det
        y = (starts * before_normal[..., 0] - before * normals[..., 0]) / det
    return np.stack([x, y], axis=-1)
