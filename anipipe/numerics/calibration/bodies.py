"""What bundle adjustment moves: cameras, rigid boards and points, and what cameras saw of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.cameras import Camera
from anipipe.numerics.lenses import Floats


@dataclass(frozen=True, eq=False)
class Bodies:
    """Rigid bodies in space: boards, or points, which have no turn.

    Attributes
    ----------
    places
        (bodies, 3), of their origins in the world.
    turns
        (bodies, 3, 3), body_to_world; None for points.
    """

    places: Floats
    turns: Floats | None = None

    @property
    def freedoms(self) -> int:
        """Parameters of one body."""
        return 3 if self.turns is None else 6

    def moved(self, changes: Floats) -> Bodies:
        """Return the bodies after (bodies, freedoms) changes: small turns in the world's axes, shifts."""
        if self.turns is None:
            return Bodies(self.places + changes)
        return Bodies(self.places + changes[:, 3:], turned(changes[:, :3]) @ self.turns)


@dataclass(frozen=True, eq=False)
class Sights:
    """What one camera saw of some bodies, one row per point.

    Attributes
    ----------
    bodies
        (n,) which body, ascending.
    marks
        (n, 3) the point in the body's frame.
    pixels
        (n, 2) where it was seen.
    share
        What a pixel counts here, in pixels of the board's corners.
    """

    bodies: NDArray[np.intp]
    marks: Floats
    pixels: Floats
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class State:
    """Everything that is adjusted."""

    cameras: tuple[Camera, ...]
    kinds: tuple[Bodies, ...]


@dataclass(frozen=True)
class Freedom:
    """What may change of one camera.

    Attributes
    ----------
    placed
        Its pose.
    focal
        Its focal length; fy keeps its ratio to fx.
    axis
        Where the lens's axis meets the picture, cx and cy.
    bends
        Which of its distortion coefficients.
    """

    placed: bool = True
    focal: bool = True
    axis: bool = False
    bends: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many parameters these are: 6 of the pose, the focal length, 2 of the axis, the coefficients."""
        return 6 * self.placed + self.focal + 2 * self.axis + len(self.bends)


def turned(vectors: Floats) -> Floats:
    """Return (n, 3, 3) rotation matrices of (n, 3) rotation vectors."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(vectors).as_matrix())


def sights_of(pixels: Floats, marks: Floats, share: float = 1.0) -> Sights:
    """List what a camera saw.

    Takes (bodies, points, 2) pixels, NaN where a point was not seen, and (points, 3) places on the body.
    """
    body, point = np.nonzero(np.isfinite(pixels[..., 0]))
    return Sights(body, marks[point], pixels[body, point], share)


def parameter_ranges(freedoms: Sequence[Freedom]) -> Iterator[slice]:
    """Yield where each camera's parameters stand among those of all."""
    start = 0
    for freedom in freedoms:
        yield slice(start, start + freedom.count)
        start += freedom.count
