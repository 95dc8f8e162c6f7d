"""The eye of a 3D view: where it stands, and where points appear in its picture."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.lenses import Floats

DISTANCE = 4.0  # of the eye, in radii of the scene: near things are larger, but do not bulge
NEAREST = 0.25  # of the distance: what is nearer to the eye is not drawn
MARGINS = np.array([0.115, 0.05, 0.06, 0.12])  # left, top, right, bottom, of the picture's shorter side
FARTHEST = 100.0  # distances from the eye, beyond which nothing is drawn
BESIDE = 3.0  # of the picture's longer side, from its middle; what is farther away is not drawn
ANGLES = np.radians(np.arange(0.0, 360.0, 5.0))


@dataclass(frozen=True)
class View:
    """A pinhole camera that looks at the axis of an upright cylinder, and may go around it.

    The scene is 1 in radius about the origin, with z up. From azimuth a (0 on +x, 90 degrees on +y) and
    elevation e the eye sees it from the direction ``(cos e cos a, cos e sin a, sin e)``.

    Attributes
    ----------
    size
        Width and height of the picture, px.
    elevation
        Radians.
    focal
        px.
    distance
        Of the eye from what it looks at.
    height
        Of what it looks at, on the axis.
    middle
        Column and row at which that is seen.
    """

    size: tuple[int, int]
    elevation: float
    focal: float
    distance: float
    height: float
    middle: tuple[float, float]

    def places(self, points: Floats, azimuth: float) -> Floats:
        """Return column, row and depth, (..., 3), of points (..., 3); the azimuth in radians.

        NaN where a point is missing, or is not before the eye.
        """
        seen = (points - [0, 0, self.height]) @ _turn(azimuth, self.elevation)
        depth = seen[..., 2] + self.distance
        depth = np.where(depth > NEAREST * self.distance, depth, np.nan)
        scale = self.focal / depth
        places = np.empty(seen.shape)
        places[..., 0] = seen[..., 0] * scale + self.middle[0]
        places[..., 1] = self.middle[1] - seen[..., 1] * scale
        places[..., 2] = depth
        return places

    def within(self, places: Floats) -> NDArray[np.bool_]:
        """Return which places, (..., 3), are in the picture or not far beside it, (...); NaN is not."""
        reach = BESIDE * max(self.size)
        column, row = places[..., 0] - self.middle[0], places[..., 1] - self.middle[1]
        near = (np.abs(column) < reach) & (np.abs(row) < reach)
        return np.asarray(near & (places[..., 2] < FARTHEST * self.distance))


def fitting_view(rings: Floats, size: tuple[int, int], elevation: float) -> View:
    """Return the view whose picture just holds horizontal circles about the axis, whatever the azimuth.

    Parameters
    ----------
    rings
        (n, 2), their radii and heights; the largest radius is about 1.
    size
        Width and height of the picture, px.
    elevation
        Radians.
    """
    width, height = size
    left, top, right, bottom = MARGINS * min(size)
    target = float(rings[:, 1].min() + rings[:, 1].max()) / 2
    radii, heights = rings[:, :1], rings[:, 1:] - target
    distance = DISTANCE * float(np.hypot(radii, heights).max())
    circles = np.stack(np.broadcast_arrays(radii * np.cos(ANGLES), radii * np.sin(ANGLES), heights), axis=-1)
    across, up, depth = np.moveaxis(circles @ _turn(0.0, elevation), -1, 0)
    across, up = across / (distance + depth), up / (distance + depth)
    high, low = float(up.max()), float(up.min())
    wide = (width - left - right) / (2 * float(np.abs(across).max()))
    focal = min(wide, (height - top - bottom) / (high - low)) if high > low else wide
    middle = (left + width - 1 - right) / 2, (top + height - 1 - bottom) / 2 + focal * (high + low) / 2
    return View(size, elevation, float(focal), distance, target, (float(middle[0]), float(middle[1])))


def _turn(azimuth: float, elevation: float) -> Floats:
    """Return the matrix that takes rows (n, 3) to right, up and away from the eye."""
    cos_a, sin_a, cos_e, sin_e = cos(azimuth), sin(azimuth), cos(elevation), sin(elevation)
    return np.array(
        [
            [-sin_a, -sin_e * cos_a, -cos_e * cos_a],
            [cos_a, -sin_e * sin_a, -cos_e * sin_a],
            [0.0, cos_e, -sin_e],
        ]
    )
