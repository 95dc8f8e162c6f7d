"""3D poses as pictures: spheres and rods above a floor, in perspective, from a fixed or a circling eye.

Everything is painted from far to near. No display and no 3D library take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.numerics.drawing._extent import Extent, extent, finite, sampled
from anipipe.numerics.drawing._floor import Axis, Floor
from anipipe.numerics.drawing._rods import Rods
from anipipe.numerics.drawing._shadow import Shadow
from anipipe.numerics.drawing._spheres import Dots, Spheres
from anipipe.numerics.drawing._view import fitting_view
from anipipe.numerics.drawing.upright import upright_axes
from anipipe.numerics.lenses import Floats

Image = NDArray[np.uint8]

AROUND = 1.06  # radius of the floor, in those of the trial's extent
SPHERE = 0.17  # radius of a sphere, in usual lengths of lines
SPHERES = np.array([3.5, 9.0]) / 480  # its limits at the middle of the scene, of the picture's shorter side
ROD = 0.42  # half the width of a rod, in radii of a sphere


@dataclass(frozen=True)
class Viewpoint:
    """From where a scene is looked at.

    Attributes
    ----------
    size
        Width and height of the picture, px.
    azimuth
        Where the eye stands at frame 0, degrees about the vertical.
    elevation
        How far above the floor, degrees.
    step
        By how much the azimuth grows from frame to frame, degrees.
    """

    size: tuple[int, int] = (640, 480)
    azimuth: float = -60.0
    elevation: float = 25.0
    step: float = 0.0


class Scene:
    """A trial's 3D pose above its floor, at one scale and about one middle in all frames.

    The floor is a disc at the height above which nearly all points of the trial are. Its grid and the ruler
    for the height are numbered with the coordinates of the pose where z is the vertical, otherwise with
    lengths from the middle of the floor.

    Parameters
    ----------
    points
        (frames, joints, 3); NaN where missing. Outliers lie beside the picture rather than shrink all else.
    edges
        Lines, as pairs of places among the joints.
    colours
        (joints, 3), red first, 0 to 255.
    up
        (3,), what is up in the picture, in the axes of the points.
    unit
        Of the lengths.
    viewpoint
        From where to look.
    filled
        (frames, joints), which points rest on no camera: they are rings, paler than the others, as are
        their lines. None: none.
    line_colour
        Red, green, blue, 0 to 255; None: each line goes from the colour of one joint to the other's.
    line_width
        Of the lines, a multiple of what suits the picture's size.
    dot_size
        Radius of the spheres at the middle of the scene, px; None: by the size of the pose.
    trail
        How many earlier places of each joint are drawn.

    Attributes
    ----------
    view
        The eye.
    """

    def __init__(
        self,
        points: ArrayLike,
        edges: Sequence[tuple[int, int]],
        colours: ArrayLike,
        *,
        up: ArrayLike,
        unit: str,
        viewpoint: Viewpoint,
        filled: ArrayLike | None = None,
        line_colour: tuple[int, int, int] | None = None,
        line_width: float = 1.0,
        dot_size: float | None = None,
        trail: int = 0,
    ) -> None:
        given = np.asarray(points, dtype=np.float64)
        given = np.where(finite(given)[..., None], given, np.nan)
        axes = upright_axes(up)
        upright = given @ axes.T
        around = extent(upright)
        radius = AROUND * around.radius
        rings = np.concatenate([around.rings / radius, [[1.0, 0.0]]])
        view = fitting_view(rings, viewpoint.size, np.radians(viewpoint.elevation))
        self.view = view
        self._viewpoint = viewpoint
        self._points = (upright - around.origin) / radius
        self._filled = np.zeros(given.shape[:2], bool) if filled is None else np.asarray(filled, dtype=bool)
        self._floor = Floor(view, _axes(axes, around.origin, radius, unit), float(rings[:, 1].max()))
        self._shadow = Shadow(self._floor.outline, viewpoint.size)
        self._still = self._floor.paint(np.radians(viewpoint.azimuth)) if viewpoint.step == 0 else None

        pixel, short = view.distance / view.focal, min(viewpoint.size)  # a pixel's size at the middle
        usual = pixel * np.clip(SPHERE * self._length(edges, around) / pixel, *(SPHERES * short))
        self._sphere = usual if dot_size is None else pixel * dot_size
        outline = max(1.0, short / 480)
        shades = np.asarray(colours, dtype=np.uint8).reshape(-1, 3)[:, ::-1]
        lines = shades if line_colour is None else np.full_like(shades, line_colour[::-1])
        self._spheres = Spheres(shades, self._sphere, outline)
        self._rods = Rods(edges, lines, ROD * usual * line_width, self._sphere, outline)
        self._dots = Dots(shades, self._sphere, trail)

    def draw(self, frame: int) -> Image:
        """Return the picture of a frame, (height, width, 3), blue first, a fresh array.

        It is that of the empty scene where the frame has no points, or is none of the trial's.
        """
        azimuth = self._azimuth(frame)
        picture = self._floor.paint(azimuth) if self._still is None else self._still.copy()
        if not 0 <= frame < len(self._points):
            return picture
        points, filled = self._points[frame], self._filled[frame]
        places, below = self.view.places(np.stack([points, points * [1, 1, 0]]), azimuth)
        self._paint_shadow(picture, below)
        items = self._spheres.items(self.view, places, filled)
        items += self._rods.items(self.view, places, points, filled)
        if self._dots.count:
            earlier = self._points[max(0, frame - self._dots.count) : frame][::-1]
            items += self._dots.items(self.view, self.view.places(earlier, azimuth))
        for _, paint in sorted(items, key=itemgetter(0), reverse=True):
            paint(picture)
        return picture

    def pixels(self, frame: int) -> Floats:
        """Return where the joints of a frame appear, (joints, 2): column and row; NaN where they do not."""
        places = self.view.places(self._points[frame], self._azimuth(frame))
        return np.where(self.view.within(places)[:, None], places[:, :2], np.nan)

    def _azimuth(self, frame: int) -> float:
        """Return the azimuth of a frame, radians."""
        turned = self._viewpoint.step * frame % 360.0
        return float(np.radians(self._viewpoint.azimuth + turned))

    def _paint_shadow(self, picture: Image, below: Floats) -> None:
        """Paint the shadow of joints that lie above these places (joints, 3) of the floor."""
        near = self.view.within(below)
        if not near.any():
            return
        order = np.cumsum(near) - 1
        first, last = self._rods.edges.T
        lines = order[self._rods.edges[near[first] & near[last]]]
        radius = self._sphere * self.view.focal / self.view.distance
        self._shadow.paint(picture, below[near, :2], lines, radius)

    def _length(self, edges: Sequence[tuple[int, int]], around: Extent) -> float:
        """Return the usual length of lines, or else distance of points from the middle, in the scene."""
        ends = sampled(self._points)[:, np.array(edges, dtype=np.intp).reshape(-1, 2)]
        lengths = np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=-1)
        lengths = lengths[lengths > 0]
        return float(np.median(lengths)) if len(lengths) else around.limb / around.radius or np.inf


def _axes(axes: Floats, origin: Floats, radius: float, unit: str) -> tuple[Axis, Axis, Axis]:
    """Return what the numbers along the scene's axes mean.

    Where z is the vertical they are the coordinates of the pose, otherwise lengths from the floor's middle.
    """
    if abs(axes[2, 2]) < 1 - 1e-9:
        right, forwards, upwards = (Axis(unit, 0.0, radius) for _ in axes)
        return right, forwards, upwards
    right, forwards, upwards = (
        Axis(f"{name} ({unit})" if unit else name, float(sign * start), float(sign * radius))
        for name, sign, start in zip("xyz", np.sign(np.diag(axes)), origin, strict=True)
    )
    return right, forwards, upwards
