"""How exactly the parameters of a calibration are known, and which of them are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from anipipe.numerics.calibration.bodies import Freedom, parameter_ranges
from anipipe.numerics.calibration.bundle import Adjusted
from anipipe.numerics.cameras import Camera, undistort
from anipipe.numerics.lenses import Floats

FOCAL = 0.02  # relative standard deviation from which on a focal length counts as not determined
SHIFT = 0.5  # px, of the outermost corners, by one standard deviation of a coefficient
TANGENTIAL = (2, 3)
BENDS = {False: ("k1", "k2", "p1", "p2", "k3"), True: ("k1", "k2", "k3", "k4")}


@dataclass(frozen=True)
class Term:
    """A term of a lens that is not determined.

    Attributes
    ----------
    order
        Of its distortion coefficient; None for the focal length.
    excess
        How many times less certain it is than it may be.
    held
        A camera that has the term as it is to stay.
    """

    order: int | None
    excess: float
    held: Camera

    @property
    def rank(self) -> float:
        """The power of the radius by which it grows; the focal length comes before all."""
        return np.inf if self.order is None else _power(self.order, self.held.fisheye)

    @property
    def free(self) -> bool:
        """Whether no other term does nearly the same: the focal length, tangential distortion."""
        return self.order is None or (not self.held.fisheye and self.order in TANGENTIAL)

    def reset(self, camera: Camera) -> Camera:
        """Return the camera with the term as it is to stay."""
        if self.order is None:
            return replace(camera, matrix=self.held.matrix)
        bends = camera.distortions.copy()
        bends[self.order] = self.held.distortions[self.order]
        return replace(camera, distortions=bends)

    def without(self, freedom: Freedom) -> Freedom:
        """Return the freedom less this term."""
        if self.order is None:
            return replace(freedom, focal=False)
        return replace(freedom, bends=tuple(order for order in freedom.bends if order != self.order))

    def __str__(self) -> str:
        """Say that it was fixed, and what to film."""
        camera, order = self.held, self.order
        told = f"camera {camera.name}: the recordings do not determine"
        if order is None:
            return (
                f"{told} the focal length, which is taken to be {camera.matrix[0, 0]:.0f} px; film the board "
                "tilted, near to the camera and far from it"
            )
        return (
            f"{told} {BENDS[camera.fisheye][order]} of the lens, which is left at "
            f"{camera.distortions[order]:g}; film the board up to the borders of the picture"
        )


def undetermined(
    adjusted: Adjusted,
    freedoms: Sequence[Freedom],
    pixels: Floats,
    noise: float,
    held: Sequence[Camera],
) -> dict[int, Term]:
    """Find what the corners do not determine.

    Parameters
    ----------
    adjusted
        Where all that is free has been adjusted.
    freedoms
        What was free of each camera.
    pixels
        (cameras, instants, corners, 2) that were fitted, NaN where there are none.
    noise
        Standard deviation of a corner, px.
    held
        Cameras with each term as it is to stay where it is not estimated.

    Returns
    -------
    By the index of the camera, the term to fix first of those that are not: a focal length known to less
    than 2 % (:data:`FOCAL`), the highest radial or a tangential coefficient whose standard deviation moves
    the outermost corners by more than half a pixel (:data:`SHIFT`). Empty if all is determined.
    """
    spread = noise * np.sqrt(np.diagonal(covariance(adjusted.normal)))
    found = {}
    for index, (camera, freedom, own) in enumerate(
        zip(adjusted.state.cameras, freedoms, parameter_ranges(freedoms), strict=True)
    ):
        lens = spread[own][6 * freedom.placed :]
        terms = []
        if freedom.focal:
            terms.append(Term(None, lens[0] / camera.matrix[0, 0] / FOCAL, held[index]))
            lens = lens[1:]
        radius = _outermost(camera, pixels[index])
        for order, deviation in zip(freedom.bends, lens, strict=True):
            shift = deviation * camera.matrix[0, 0] * _reach(radius, order, camera.fisheye)
            terms.append(Term(order, shift / SHIFT, held[index]))
        # radial terms make up for each other: while the highest is determined, so is their sum
        highest = max((term.rank for term in terms if term.order is not None), default=0)
        doubtful = [term for term in terms if term.excess > 1 and (term.free or term.rank == highest)]
        if doubtful:
            found[index] = max(doubtful, key=lambda term: term.rank)
    return found


def _outermost(camera: Camera, pixels: Floats) -> float:
    """Return the largest distance from the lens's axis at which corners were seen, normalised coordinates."""
    seen = pixels[np.isfinite(pixels[..., 0])]
    rays = undistort(seen, camera)
    radius = np.linalg.norm(rays[np.isfinite(rays[:, 0])], axis=-1)
    return float(np.quantile(radius, 0.99)) if radius.size else 0.0


def _reach(radius: float, order: int, fisheye: bool) -> float:
    """Return how far a coefficient of 1 moves a point at this radius, normalised coordinates."""
    return float((np.arctan(radius) if fisheye else radius) ** _power(order, fisheye))


def _power(order: int, fisheye: bool) -> int:
    """Return the power of the radius that a coefficient belongs to."""
    return 2 * order + 3 if fisheye else (3, 5, 2, 2, 7)[order]


def covariance(normal: Floats) -> Floats:
    """Invert a normal matrix whose unknowns differ by many orders of magnitude.

    Unknowns that it does not determine get huge variances.
    """
    if not len(normal):
        return normal
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(normal)), np.finfo(np.float64).tiny))
    values, vectors = np.linalg.eigh(normal / np.outer(scale, scale))
    values = np.maximum(values, 1e-15)
    return np.asarray((vectors / values) @ vectors.T / np.outer(scale, scale))


def variance_factor(distances: Floats, parameters: int, scale: float, dropped: float) -> float:
    """Return by what the inverse of the normal matrix is multiplied to give the covariance.

    For an M-estimator it is the mean of the squared influence over the mean curvature (Huber 1981, section
    6.3), here of soft L1 in two dimensions. Where the worst corners were left out, both are those of the
    rest; that the rest was chosen by its errors is made good as for normally distributed ones.

    Parameters
    ----------
    distances
        (n,) of the corners that were fitted, px.
    parameters
        How many were estimated, of cameras and boards.
    scale
        Of the soft L1, px.
    dropped
        Share of all corners that was left out.
    """
    count = len(distances)
    if 2 * count <= parameters:
        return float("nan")
    weights = 1 / np.sqrt(1 + (distances / scale) ** 2)
    influence = float(((weights * distances) ** 2).sum()) / (2 * count - parameters)
    curvature = float((weights + weights**3).mean()) / 2
    left = 1 - dropped
    # share of a normal distribution's variance that its inner part holds, in two dimensions
    inner = left + dropped * np.log(dropped) if dropped > 0 else 1.0
    return influence / curvature * (left / inner) ** 2


def deviations(
    adjusted: Adjusted,
    freedoms: Sequence[Freedom],
    world: Floats,
    distances: Floats,
    scale: float,
    dropped: float,
) -> Mapping[str, Mapping[str, float]]:
    """Return the standard deviation of each parameter that was estimated.

    Parameters
    ----------
    adjusted, freedoms
        The last adjustment, and what was free in it.
    world
        (3, 3) rotation, from the adjustment's axes to those in which cameras are described.
    distances, scale, dropped
        As for :func:`variance_factor`.

    Returns
    -------
    By camera and parameter, as :attr:`anipipe.numerics.calibration.solution.Solution.deviations`.
    """
    normal, boards = adjusted.normal, adjusted.state.kinds[0]
    # of the residuals, which are the board's, so that an animal's points do not count either
    parameters = len(normal) + boards.freedoms * len(boards.places)
    everything = covariance(normal) * variance_factor(distances, parameters, scale, dropped)
    found: dict[str, dict[str, float]] = {}
    for camera, freedom, own in zip(
        adjusted.state.cameras, freedoms, parameter_ranges(freedoms), strict=True
    ):
        part, told = everything[own, own], {}
        lens = np.sqrt(np.diagonal(part))[6 * freedom.placed :].tolist()
        if freedom.focal:
            told["focal_length"] = lens.pop(0)
        told |= dict(zip((BENDS[camera.fisheye][order] for order in freedom.bends), lens, strict=True))
        if freedom.placed:
            told |= _placed(camera, part[:6, :6], world)
        found[camera.name] = told
    return found


def _placed(camera: Camera, part: Floats, world: Floats) -> dict[str, float]:
    """Return the deviations of a camera's turn and centre from its pose's (6, 6) covariance."""
    back, (x, y, z) = camera.rotation_matrix.T, camera.translation
    # centre = -R^T t; R -> exp([w]x) R moves it by R^T (w x t), t -> t + d by -R^T d
    crossed = np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
    slope = world @ np.hstack([back @ crossed, -back])
    turn = np.degrees(np.sqrt(np.diagonal(part)[:3]))
    centre = np.sqrt(np.diagonal(slope @ part @ slope.T))
    axes = ("x", "y", "z")
    return {
        **{f"rotation_{axis}": float(value) for axis, value in zip(axes, turn, strict=True)},
        **{f"centre_{axis}": float(value) for axis, value in zip(axes, centre, strict=True)},
    }
