"""What a good course of points is: the objective of Anipose's optimisation in time, and its slopes.

Half the sum of squared residuals (Karashchuk et al. 2021, Cell Reports 36:109730, and the code of aniposelib
0.8) of four kinds:

- reprojection, x and y of each seen pixel by itself: ``2 rho (sqrt(1 + e / rho) - 1)`` with e the distance
  in px and rho the ``reproj_error_threshold``; about e where that is small, growing with its root where it is
  large;
- smoothness: each coordinate's n-th difference in time, in units of the typical movement between frames;
- limb lengths, strong and weak: by how many per cent of one length L for the whole recording a limb is off.

For given points the best L has a closed form, hence :meth:`Objective.linearise` puts it there; that points
and lengths pull at each other is kept by the border of the normal equations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.cameras import Camera, Rig, project, project_with_slopes
from anipipe.numerics.lenses import Floats
from anipipe.numerics.refinement.banded import TRIANGLE, ArrowMatrix, Integers, difference_products

MUCH = 0.2  # of a limb's length
CHUNK = 8192  # sightings at a time: bounds memory, and keeps the work inside the processor's cache


@dataclass(frozen=True, eq=False)
class Sightings:
    """What one camera saw.

    Parameters
    ----------
    camera
        The camera.
    places
        (seen,) which points, ``frame * joints + joint``, ascending.
    pixels
        (seen, 2) where.
    weights
        (seen,) factors of the squared residuals.
    """

    camera: Camera
    places: NDArray[np.intp]
    pixels: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class Linearised:
    """The objective at some points, and its Gauss-Newton equations ``matrix [x z] = [-gradient 0]``.

    Parameters
    ----------
    costs
        (frames,) half the sums of squared residuals, with the best lengths, of smoothness at the first of the
        frames that it compares; not finite where a camera cannot project a point.
    lengths
        (limbs,) these lengths.
    gradient
        (frames, joints, 3) of the cost by the points; by the lengths it is 0.
    matrix
        Products of the residuals' slopes.
    """

    costs: Floats
    lengths: Floats
    gradient: Floats
    matrix: ArrowMatrix

    @property
    def cost(self) -> float:
        """Half the sum of all squared residuals."""
        return float(self.costs.sum())


@dataclass(frozen=True, eq=False)
class Objective:
    """The objective for some joints.

    Parameters
    ----------
    sightings
        One per camera.
    threshold
        rho of the reprojection residuals, px.
    stiffness
        Factor of the n-th differences, per length unit.
    order
        n, at least 1.
    ends
        (limbs, 2), the joints of each limb.
    rigidity
        (limbs,) factors of the limbs' relative errors.
    """

    sightings: tuple[Sightings, ...]
    threshold: float
    stiffness: float
    order: int
    ends: Integers
    rigidity: Floats

    def residuals(self, points: Floats, lengths: Floats) -> Floats:
        """Return all residuals, in aniposelib's order.

        Parameters
        ----------
        points
            (frames, joints, 3), all finite.
        lengths
            (limbs,), of the limbs.

        Returns
        -------
        By camera, frame, joint and axis for all that was seen; by frame, joint and axis for smoothness; by
        limb and frame for lengths.
        """
        flat, parts = points.reshape(-1, 3), []
        for seen in self.sightings:
            for part in _chunks(len(seen.places)):
                off = np.abs(project(flat[seen.places[part]], seen.camera) - seen.pixels[part])
                residual = 2 * self.threshold * (np.sqrt(1 + off / self.threshold) - 1)
                parts.append((residual * np.sqrt(seen.weights[part])[:, None]).ravel())
        parts.append(self.stiffness * np.diff(points, n=self.order, axis=0).ravel())
        distances = _distances(self._along(points))
        parts.append((self.rigidity[:, None] * (distances / lengths[:, None] - 1)).ravel())
        return np.concatenate(parts)

    def linearise(self, points: Floats, fallback: Floats) -> Linearised:
        """Differentiate the objective.

        Parameters
        ----------
        points
            (frames, joints, 3), all finite.
        fallback
            (limbs,) lengths of limbs whose joints coincide in all frames.

        Returns
        -------
        The objective there.
        """
        count = points[..., 0].size
        flat_blocks, flat_gradient, costs = np.zeros((6, count)), np.zeros((3, count)), np.zeros(len(points))
        with np.errstate(over="ignore", invalid="ignore"):
            for seen in self.sightings:
                costs += self._reprojection(points, seen, flat_blocks, flat_gradient)
        blocks = flat_blocks.reshape(6, *points.shape[:2])
        gradient = np.ascontiguousarray(flat_gradient.T).reshape(points.shape)

        rough = self.stiffness * np.diff(points, n=self.order, axis=0)
        costs[: len(rough)] += 0.5 * np.sum(rough * rough, axis=(1, 2))
        if len(rough):
            gradient += self.stiffness * _undiff(rough, self.order)

        along = self._along(points)
        distances = _distances(along)
        lengths = best_lengths(distances, fallback)
        slope = (self.rigidity / lengths)[:, None]
        residuals = slope * distances - self.rigidity[:, None]
        costs += 0.5 * np.sum(residuals * residuals, axis=0)
        apart = np.where(distances > 0, distances, np.inf)  # joints that coincide pull in no direction
        pulls = slope[:, None] * along / apart[:, None]
        # a limb that is much too long resists turning, too (the residual's own curvature); without that,
        # steps far from the solution turn such limbs much too far
        turning = np.maximum(residuals - MUCH * self.rigidity[:, None], 0) * slope / apart
        share = 1 - turning / slope**2
        limb_blocks = np.stack(
            [
                share * pulls[:, row] * pulls[:, column] + (turning if row == column else 0.0)
                for row, column in TRIANGLE
            ]
        )
        for limb, (first, second) in enumerate(self.ends):
            force = (residuals[limb] * pulls[limb]).T
            gradient[:, first] += force
            gradient[:, second] -= force
            blocks[:, :, first] += limb_blocks[:, limb]
            blocks[:, :, second] += limb_blocks[:, limb]
        stretch = slope / lengths[:, None] * distances
        matrix = ArrowMatrix(
            blocks=blocks,
            limb_blocks=limb_blocks,
            ties=self.stiffness**2 * difference_products(len(points), self.order),
            ends=self.ends,
            border=-stretch[:, None] * pulls,
            corner=np.sum(stretch * stretch, axis=1),
        )
        return Linearised(costs, lengths, gradient, matrix)

    def _along(self, points: Floats) -> Floats:
        """Return the vectors of the limbs from their second to their first joint, (limbs, 3, frames)."""
        return np.asarray((points[:, self.ends[:, 0]] - points[:, self.ends[:, 1]]).transpose(1, 2, 0))

    def _reprojection(self, points: Floats, seen: Sightings, blocks: Floats, gradient: Floats) -> Floats:
        """Add one camera's share to (6, points) blocks and (3, points) gradient; return that of the costs."""
        flat, rho, costs = points.reshape(-1, 3), self.threshold, np.zeros(points.shape[:2])
        for part in _chunks(len(seen.places)):
            places = seen.places[part]
            pixels, slopes = project_with_slopes(flat[places], seen.camera)
            off = (pixels - seen.pixels[part]).T
            root = np.sqrt(1 + np.abs(off) / rho)
            residual = 2 * rho * (root - 1)
            weighted = seen.weights[part] * residual
            costs.reshape(-1)[places] = 0.5 * np.sum(weighted * residual, axis=0)
            force = np.copysign(weighted / root, off)
            # the residuals' own curvature included, which is what makes it the third power instead of the
            # second: d2 (r^2 / 2) / d e^2 = root^-3
            bend = seen.weights[part] / root**3
            for axis in range(3):
                gradient[axis, places] += force[0] * slopes[0, axis] + force[1] * slopes[1, axis]
            x, y = bend[0] * slopes[0], bend[1] * slopes[1]
            for block, (row, column) in zip(blocks, TRIANGLE, strict=True):
                block[places] += x[row] * slopes[0, column] + y[row] * slopes[1, column]
        return np.asarray(costs.sum(axis=1))


def observe(pixels: Floats, rig: Rig, weights: Floats | None) -> tuple[Sightings, ...]:
    """List what was seen.

    Parameters
    ----------
    pixels
        (cameras, frames, joints, 2); a pixel counts if both coordinates are finite, whether or not the lens
        model has a ray for it.
    rig
        The cameras.
    weights
        (cameras, frames, joints) factors of the squared residuals, or None for 1.

    Returns
    -------
    One per camera.
    """
    out = []
    for index, camera in enumerate(rig.cameras):
        places = np.flatnonzero(np.isfinite(pixels[index]).all(axis=-1))
        factors = np.ones(len(places)) if weights is None else weights[index].reshape(-1)[places]
        out.append(Sightings(camera, places, pixels[index].reshape(-1, 2)[places], factors))
    return tuple(out)


def best_lengths(distances: Floats, fallback: Floats) -> Floats:
    """Return the lengths (limbs,) from which (limbs, frames) distances are off least, relative to them."""
    total = distances.sum(axis=1)
    squares = (distances * distances).sum(axis=1)
    return np.asarray(np.divide(squares, total, out=fallback.copy(), where=total > 0))


def _chunks(count: int) -> list[slice]:
    """Divide so many sightings."""
    return [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]


def _distances(along: Floats) -> Floats:
    """Return the lengths (limbs, frames) of vectors (limbs, 3, frames)."""
    x, y, z = along[:, 0], along[:, 1], along[:, 2]
    return np.sqrt(x * x + y * y + z * z)


def _undiff(values: Floats, order: int) -> Floats:
    """Apply the transpose of the matrix of n-th differences."""
    for _ in range(order):
        values = -np.diff(values, axis=0, prepend=0.0, append=0.0)
    return values
