"""Points in space from pixels: linear triangulation and what its result is worth.

The direct linear transform (Hartley & Zisserman 2004, section 12.2) asks, for each camera that sees a point,
that the point's ray ``(x, y, 1)`` and its image ``P X`` are parallel: ``x P3 X - P1 X = 0`` and ``y P3 X - P2
X = 0`` with ``P = [R | t]`` and undistorted, normalised x and y. Stacked over the cameras, the unit vector X
that satisfies them best is the right singular vector of the smallest singular value. The rows are taken as
they are, times the square root of a camera's weight where there are weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.errors import DataError
from anipipe.numerics.cameras import Rig, project, undistort
from anipipe.numerics.lenses import Floats
from anipipe.numerics.singular_vectors import inverse_iteration, squared_inverse, triangular

CHUNK = 8192  # points at a time: bounds memory, and keeps the work inside the processor's cache
SETTLED = 1e-14  # change of the unit vector in the last step


def dlt(pixels: ArrayLike, rig: Rig, *, min_cams: int = 2, weights: ArrayLike | None = None) -> Floats:
    """Triangulate points by the direct linear transform.

    Each point is computed by itself: neither the number nor the order of the others changes a bit of it. The
    order of the cameras changes rounding only.

    Parameters
    ----------
    pixels
        (cameras, ..., 2), cameras as in the rig; a coordinate that is not finite means unseen.
    rig
        The cameras.
    min_cams
        From how many cameras on, at least 2, a point is computed.
    weights
        (cameras, ...) by which a camera's squared residuals count; only their ratios matter. With 0 or NaN
        the camera takes no part. By default all count alike.

    Returns
    -------
    World coordinates, (..., 3), in the board's length unit; NaN where fewer cameras see the point.

    Raises
    ------
    DataError
        If the number of cameras differs, min_cams is below 2, or weights do not fit.
    """
    image = checked(pixels, rig)
    if min_cams < 2:
        raise DataError(f"min_cams = {min_cams}: a point needs at least 2 cameras")
    shape = image.shape[1:-1]
    flat = image.reshape(len(rig), -1, 2)
    scales = None if weights is None else np.sqrt(checked_weights(weights, image)).reshape(len(rig), -1)
    out = np.full((flat.shape[1], 3), np.nan)
    extrinsics = np.stack([camera.extrinsics for camera in rig.cameras]) if len(rig) else np.empty((0, 3, 4))
    for start in range(0, flat.shape[1], CHUNK):
        rays = straightened(flat[:, start : start + CHUNK], rig)
        seen = np.isfinite(rays[..., 0])
        if scales is not None:
            seen &= scales[:, start : start + CHUNK] > 0
        count = seen.sum(axis=0)
        first = np.argsort(~seen, axis=0, kind="stable")  # cameras that see the point come first
        for ncams in np.unique(count[count >= min_cams]):
            points = np.flatnonzero(count == ncams)
            cameras = first[:ncams, points]
            scale = None if scales is None else scales[cameras, start + points]
            out[start + points] = intersect(rays[cameras, points], extrinsics[cameras], scale)
    return out.reshape(*shape, 3)


def reprojection_errors(points: ArrayLike, pixels: ArrayLike, rig: Rig) -> Floats:
    """Measure how far from its pixel each point is projected.

    Parameters
    ----------
    points
        World coordinates, (..., 3).
    pixels
        (cameras, ..., 2), cameras as in the rig.
    rig
        The cameras.

    Returns
    -------
    Euclidean distances in pixels, (cameras, ...); NaN where the point or the pixel is missing.

    Raises
    ------
    DataError
        If the number of cameras or of points differs.
    """
    image = checked(pixels, rig)
    world = matching(points, image)
    out = np.empty(image.shape[:-1])
    for index, camera in enumerate(rig.cameras):
        off = project(world, camera) - image[index]
        out[index] = np.sqrt(off[..., 0] ** 2 + off[..., 1] ** 2)
    return out


def contributing(pixels: ArrayLike, rig: Rig) -> NDArray[np.bool_]:
    """Tell which cameras take part in the triangulation of which point.

    Parameters
    ----------
    pixels
        (cameras, ..., 2), cameras as in the rig.
    rig
        The cameras.

    Returns
    -------
    (cameras, ...): the pixel is given, and the lens model has a ray for it.
    """
    image = checked(pixels, rig)
    out = np.empty(image.shape[:-1], dtype=bool)
    for index, camera in enumerate(rig.cameras):
        out[index] = np.isfinite(undistort(image[index], camera)[..., 0])
    return out


def quality(
    points: ArrayLike, pixels: ArrayLike, scores: ArrayLike, rig: Rig
) -> tuple[Floats, Floats, Floats]:
    """Rate triangulated points as Anipose does when it does not optimise.

    Parameters
    ----------
    points
        World coordinates, (..., 3).
    pixels
        (cameras, ..., 2) that they were triangulated from, NaN where a camera was left out.
    scores
        (cameras, ...) of the 2D points; NaN where unknown.
    rig
        The cameras.

    Returns
    -------
    error
        Mean over the contributing cameras of the distance between projection and pixel, px, (...).
    ncams
        Number of contributing cameras, (...).
    score
        Smallest score among them, (...).
        All three are NaN where fewer than 2 cameras contribute, and where there is no point.

    Raises
    ------
    DataError
        If shapes do not agree.
    """
    image = checked(pixels, rig)
    certainty = np.asarray(scores, dtype=np.float64)
    if certainty.shape != image.shape[:-1]:
        raise DataError(f"scores have shape {certainty.shape}, the pixels ask for {image.shape[:-1]}")
    world = matching(points, image)
    shape = certainty.shape[1:]
    image, certainty = image.reshape(len(rig), -1, 2), certainty.reshape(len(rig), -1)
    out = np.empty((3, certainty.shape[1]))
    for start in range(0, certainty.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        out[:, part] = _rate(world.reshape(-1, 3)[part], image[:, part], certainty[:, part], rig)
    error, ncams, score = out.reshape(3, *shape)
    return error, ncams, score


def _rate(points: Floats, pixels: Floats, certainty: Floats, rig: Rig) -> tuple[Floats, Floats, Floats]:
    """Rate (points, 3) from (cameras, points, 2) pixels and their scores."""
    used = contributing(pixels, rig)
    distance = reprojection_errors(points, pixels, rig)
    count = used.sum(axis=0)
    enough = (count >= 2) & np.isfinite(points).all(axis=-1)
    total = np.zeros(count.shape)
    lowest = np.full(count.shape, np.inf)
    for index in range(len(rig)):
        total += np.where(used[index], distance[index], 0.0)
        lowest = np.where(used[index], np.fmin(lowest, certainty[index]), lowest)
    error = np.where(enough, total / np.maximum(count, 1), np.nan)
    return error, np.where(enough, count, np.nan), np.where(enough & np.isfinite(lowest), lowest, np.nan)


def checked(pixels: ArrayLike, rig: Rig) -> Floats:
    """Return the pixels as an array, if it fits the rig."""
    image = np.asarray(pixels, dtype=np.float64)
    if image.ndim < 2 or image.shape[-1] != 2 or image.shape[0] != len(rig):
        names = ", ".join(rig.names)
        raise DataError(f"pixels have shape {image.shape}, expected ({len(rig)}, ..., 2) for cameras {names}")
    return image


def matching(points: ArrayLike, image: Floats) -> Floats:
    """Return the points as an array, if it fits the pixels."""
    world = np.asarray(points, dtype=np.float64)
    if world.shape != (*image.shape[1:-1], 3):
        raise DataError(f"points have shape {world.shape}, the pixels ask for {(*image.shape[1:-1], 3)}")
    return world


def checked_weights(weights: ArrayLike, image: Floats) -> Floats:
    """Return the weights as an array, 0 for NaN, if they fit the pixels."""
    out = np.asarray(weights, dtype=np.float64)
    if out.shape != image.shape[:-1]:
        raise DataError(f"weights have shape {out.shape}, the pixels ask for {image.shape[:-1]}")
    out = np.where(np.isnan(out), 0.0, out)
    if not ((out >= 0) & np.isfinite(out)).all():
        raise DataError("weights must be finite and not negative; NaN leaves a camera out")
    return out


def straightened(pixels: Floats, rig: Rig) -> Floats:
    """Undistort (cameras, points, 2) pixels, each by its camera."""
    rays = np.empty_like(pixels)
    for index, camera in enumerate(rig.cameras):
        rays[index] = undistort(pixels[index], camera)
    return rays


def intersect(
    rays: Floats, extrinsics: Floats, scales: Floats | None = None, *, quick: bool = False
) -> Floats:
    """Intersect rays, each point by itself.

    Most points need a few steps of inverse iteration only. Points that have not settled (rays that hardly
    meet) take the singular value decomposition, which is slow.

    Parameters
    ----------
    rays
        (cameras, points, 2) normalised coordinates.
    extrinsics
        (cameras, points, 3, 4) of the cameras that see each point.
    scales
        (cameras, points) by which rows are multiplied: square roots of weights. By default none.
    quick
        Never decompose: where many rays do not meet it is some times faster, and rounds a little more.

    Returns
    -------
    (points, 3); NaN where the rays are parallel.
    """
    rows = [
        np.ascontiguousarray(extrinsic[:, 2].T * ray[:, axis] - extrinsic[:, axis].T)
        for ray, extrinsic in zip(rays, extrinsics, strict=True)
        for axis in range(2)
    ]
    if scales is not None:
        for number, row in enumerate(rows):
            row *= scales[number // 2]
    if quick:
        vector = squared_inverse(triangular(rows))
    else:
        vector, change = inverse_iteration(triangular([row.copy() for row in rows]))
        slow = np.flatnonzero(~(change <= SETTLED))
        if slow.size:
            matrices = np.stack([row[:, slow] for row in rows]).transpose(2, 0, 1)
            vector[:, slow] = np.linalg.svd(matrices)[2][:, -1].T
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        out = vector[:3] / vector[3]
    out[:, ~np.isfinite(out).all(axis=0)] = np.nan
    return np.asarray(out.T + 0.0)  # no -0.0
