"""Drawing 2D poses into pictures: skeleton, trails and dots, with thin dark outlines.

Pixel (0, 0) is the centre of the upper left pixel. All is anti-aliased and placed to a sixteenth of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.drawing._patches import lettering, put
from anipipe.numerics.drawing.colours import Colours

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Image = NDArray[np.uint8]
Ink = tuple[int, int, int]

_BITS = 4  # of a pixel, in which OpenCV places what it draws
_FAR = 1e5  # px; what lies further out is not drawn, nor could OpenCV place it
_DOT = 1 / 200  # radius of a dot, of the picture's diagonal
_LINE = 1 / 400  # width of a line, of the same
_OUTLINE: Ink = (24, 24, 24)
_WHITE: Ink = (240, 240, 240)
_ALARM: Ink = (60, 60, 230)


@dataclass(frozen=True, eq=False)
class Pen:
    """How poses are drawn.

    Attributes
    ----------
    colours
        (joints, 3), red first.
    edges
        Lines, as pairs of joints.
    line_colour
        Red, green, blue of lines; None: each half in the colour of its joint.
    dot_size
        Radius of dots, px; None: as suits the picture.
    line_width
        As a multiple of what suits the picture.
    trail
        How many earlier places of a joint are drawn.
    """

    colours: Colours
    edges: tuple[tuple[int, int], ...] = ()
    line_colour: tuple[int, int, int] | None = None
    dot_size: float | None = None
    line_width: float = 1.0
    trail: int = 0


@dataclass(frozen=True, eq=False)
class Overlay:
    """The poses of one video, to be drawn frame by frame.

    Attributes
    ----------
    points
        (frames, joints, 2), pixels of the picture that is drawn into; NaN: not drawn.
    pen
        How.
    hollow
        (frames, joints): drawn as rings, for points that are no observations. None: all are dots.
    """

    points: Floats
    pen: Pen
    hollow: Flags | None = None
    _inks: list[Ink] = field(init=False)

    def __post_init__(self) -> None:
        inks = [(int(blue), int(green), int(red)) for red, green, blue in self.pen.colours]
        object.__setattr__(self, "_inks", inks)

    def draw(self, picture: Image, frame: int) -> None:
        """Draw the pose of one frame, if there is one, into a picture, (height, width, 3), blue first."""
        if not 0 <= frame < len(self.points):
            return
        diagonal = float(np.hypot(*picture.shape[:2]))
        radius = _DOT * diagonal if self.pen.dot_size is None else self.pen.dot_size
        radius = max(radius, 1.0)
        width = max(1, round(_LINE * diagonal * self.pen.line_width))
        places = _places(self.points[frame])
        for a, b in self.pen.edges:
            if places[a] and places[b]:
                self._line(picture, (a, places[a]), (b, places[b]), width)
        self._trails(picture, frame, radius)
        for joint, place in enumerate(places):
            if place:
                self._dot(picture, frame, joint, place, radius)

    def _line(self, picture: Image, one: tuple[int, Any], other: tuple[int, Any], width: int) -> None:
        import cv2

        (a, start), (b, end) = one, other
        cv2.line(picture, start, end, _OUTLINE, width + 2, cv2.LINE_AA, _BITS)
        if self.pen.line_colour is not None:
            red, green, blue = self.pen.line_colour
            cv2.line(picture, start, end, (blue, green, red), width, cv2.LINE_AA, _BITS)
            return
        middle = ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
        cv2.line(picture, start, middle, self._inks[a], width, cv2.LINE_AA, _BITS)
        cv2.line(picture, middle, end, self._inks[b], width, cv2.LINE_AA, _BITS)

    def _trails(self, picture: Image, frame: int, radius: float) -> None:
        """Draw where joints were before, the longer ago the smaller."""
        import cv2

        for ago in range(min(self.pen.trail, frame), 0, -1):
            size = max(1.5, radius * (0.75 - 0.45 * ago / self.pen.trail))
            for ink, place in zip(self._inks, _places(self.points[frame - ago]), strict=True):
                if place:
                    cv2.circle(picture, place, _fine(size), ink, -1, cv2.LINE_AA, _BITS)

    def _dot(self, picture: Image, frame: int, joint: int, place: tuple[int, int], radius: float) -> None:
        import cv2

        edge = max(1.0, radius / 5)
        if self.hollow is not None and self.hollow[frame, joint]:
            thick = max(1, round(radius / 3))
            cv2.circle(picture, place, _fine(radius), _OUTLINE, thick + 2, cv2.LINE_AA, _BITS)
            cv2.circle(picture, place, _fine(radius), self._inks[joint], thick, cv2.LINE_AA, _BITS)
            return
        cv2.circle(picture, place, _fine(radius + edge), _OUTLINE, -1, cv2.LINE_AA, _BITS)
        cv2.circle(picture, place, _fine(radius), self._inks[joint], -1, cv2.LINE_AA, _BITS)


def _fine(length: float) -> int:
    return round(length * (1 << _BITS))


def _places(points: Floats) -> list[tuple[int, int] | None]:
    """Return points in OpenCV's fractions of a pixel; None where there is none, or none to be placed."""
    there: Flags = np.all(np.abs(points) < _FAR, axis=-1)  # False for NaN
    fine = np.round(np.where(there[:, None], points, 0.0) * (1 << _BITS)).astype(int).tolist()
    return [(x, y) if known else None for (x, y), known in zip(fine, there.tolist(), strict=True)]


def no_picture(size: tuple[int, int]) -> Image:
    """Return what stands for a frame that is missing or damaged: black, crossed out.

    Parameters
    ----------
    size
        Width and height.
    """
    import cv2

    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    thick = max(1, round(np.hypot(width, height) / 300))
    for start, end in (((0, 0), (width - 1, height - 1)), ((0, height - 1), (width - 1, 0))):
        cv2.line(picture, start, end, _ALARM, thick, cv2.LINE_AA)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), _ALARM, thick)
    caption(picture, "no picture: missing or damaged")
    return picture


def caption(picture: Image, text: str) -> None:
    """Write into the upper left corner of a picture, as large as suits it."""
    height, width = picture.shape[:2]
    letters = max(9, round(min(width, 1.25 * height) / 45))
    patch, mask = lettering(text, letters, _WHITE)
    tall, wide = mask.shape
    picture[: tall + letters, : wide + letters] //= 4  # so that it reads on any ground
    put(picture, patch, mask, 1 - mask, letters // 2, letters // 2)
