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
CENTRE = 0.02  # of the focal length, standard deviation from which on the axis counts as not determined
SIGNIFICANT = 3.0  # standard deviations from which on a term is not what it would be held at
FOCAL_LENGTH, AXIS = "focal length", "axis"
BENDS = {False: ("k1", "k2", "p1", "p2", "k3"), True: ("k1", "k2", "k3", "k4")}


@dataclass(frozen=True)
class Term:
    """A term of a lens, and how well it is known.

    Attributes
    ----------
    name
        ``focal length``, ``axis``, or that of a distortion coefficient.
    excess
        How many times less certain it is than it may be.
    significance
        How many standard deviations it is away from what it would be held at.
    held
        A camera that has the term as it is to stay if it is not determined.
    """

    name: str
    excess: float
    significance: float
    held: Camera

    @property
    def doubtful(self) -> bool:
        """Whether it is too uncertain; one that is clearly not what it would be held at is never."""
        return self.excess > 1 and (self.name == FOCAL_LENGTH or self.significance < SIGNIFICANT)

    @property
    def order(self) -> int:
        """Of a distortion coefficient."""
        return BENDS[self.held.fisheye].index(self.name)

    @property
    def power(self) -> int:
        """Of the radius by which a radial coefficient grows; 0 for terms that none other makes up for."""
        if self.name in (FOCAL_LENGTH, AXIS) or (not self.held.fisheye and self.name in ("p1", "p2")):
            return 0
        return _power(self.order, self.held.fisheye)

    def reset(self, camera: Camera) -> Camera:
        """Return the camera with the term as it is to stay."""
        matrix, held = camera.matrix.copy(), self.held.matrix
        if self.name == FOCAL_LENGTH:
            matrix[[0, 1], [0, 1]] = held[[0, 1], [0, 1]]
        elif self.name == AXIS:
            matrix[:2, 2] = held[:2, 2]
        else:
            bends = camera.distortions.copy()
            bends[self.order] = self.held.distortions[self.order]
            return replace(camera, distortions=bends)
        return replace(camera, matrix=matrix)

    def without(self, freedom: Freedom) -> Freedom:
        """Return the freedom less this term."""
        if self.name == FOCAL_LENGTH:
            return replace(freedom, focal=False)
        if self.name == AXIS:
            return replace(freedom, axis=False)
        return replace(freedom, bends=tuple(order for order in freedom.bends if order != self.order))

    def __str__(self) -> str:
        """Say that it was fixed, and what to film."""
        camera = self.held
        told = f"camera {camera.name}: the recordings do not determine"
        if self.name == FOCAL_LENGTH:
            return (
                f"{told} the focal length, which is taken to be {camera.matrix[0, 0]:.0f} px; film the board "
                "tilted, near to the camera and far from it"
            )
        if self.name == AXIS:
            return (
                f"{told} where the lens's axis meets the picture, which is taken to be "
                f"({camera.matrix[0, 2]:g}, {camera.matrix[1, 2]:g}); film the board tilted to all sides"
            )
        return (
            f"{told} {self.name} of the lens, which is left at {camera.distortions[self.order]:g}; film the "
            "board up to the borders of the picture"
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
    than 2 % (:data:`FOCAL`), an axis that is off by more than 2 % of it (:data:`CENTRE`), the highest radial
    or a tangential coefficient whose standard deviation moves the outermost corners by more than half a pixel
    (:data:`SHIFT`); but none that is 3 standard deviations away from what it would be held at, save the focal
    length, which is held at a mere guess. Empty if all is determined.
    """
    spread = noise * np.sqrt(np.diagonal(covariance(adjusted.normal)))
    found = {}
    for index, (camera, freedom, own) in enumerate(
        zip(adjusted.state.cameras, freedoms, parameter_ranges(freedoms), strict=True)
    ):
        lens = spread[own][6 * freedom.placed :]
        terms = _terms(camera, freedom, lens, held[index], _outermost(camera, pixels[index]))
        # radial terms make up for each other: while the highest is determined, so is their sum
        highest = max((term.power for term in terms), default=0)
        doubtful = [term for term in terms if term.doubtful and term.power in (0, highest)]
        if doubtful:
            found[index] = doubtful[0]
    return found


def _terms(camera: Camera, freedom: Freedom, deviations: Floats, held: Camera, radius: float) -> list[Term]:
    """List what was free of a lens, the focal length first, given its standard deviations."""
    rest, terms = list(deviations), []
    if freedom.focal:
        deviation, focal = rest.pop(0), camera.matrix[0, 0]
        away = abs(focal - held.matrix[0, 0]) / deviation
        terms.append(Term(FOCAL_LENGTH, deviation / focal / FOCAL, away, held))
    if freedom.axis:
        both = np.array([rest.pop(0), rest.pop(0)])
        away = float(np.max(np.abs(camera.matrix[:2, 2] - held.matrix[:2, 2]) / both))
        terms.append(Term(AXIS, float(both.max()) / (CENTRE * camera.matrix[0, 0]), away, held))
    for order, deviation in zip(freedom.bends, rest, strict=True):
        shift = deviation * camera.matrix[0, 0] * _reach(radius, order, camera.fisheye)
        away = abs(camera.distortions[order] - held.distortions[order]) / deviation
        terms.append(Term(BENDS[camera.fisheye][order], shift / SHIFT, away, held))
    return terms


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
        if freedom.axis:
            told |= {"axis_x": lens.pop(0), "axis_y": lens.pop(0)}
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
