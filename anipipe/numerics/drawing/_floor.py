"""The floor of a 3D view: a disc with a grid, numbers along its near edge, a ruler for the height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.drawing._patches import lettering, put_about
from anipipe.numerics.drawing._view import View
from anipipe.numerics.lenses import Floats

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

SHIFT = 4  # binary digits after the point in the coordinates of what OpenCV draws

# Blue, green, red.
BACKGROUND: Colour = (38, 34, 32)
DISC: Colour = (70, 64, 60)
GRID: Colour = (96, 89, 84)
RIM: Colour = (118, 110, 104)
TEXT: Colour = (205, 198, 192)

FADING = 0.12  # cosine over which texts come and go as the eye goes around
NUMBERED = 0.6  # of the radius: numbers stand at lines no farther from the middle, so that axes keep apart
ROUND = np.array([1.0, 2.0, 5.0, 10.0])


@dataclass(frozen=True)
class Axis:
    """What the numbers along one axis of the scene mean.

    Attributes
    ----------
    title
        Of the axis.
    start
        The number at 0.
    rate
        By how much the number grows from 0 to 1; not 0.
    """

    title: str
    start: float
    rate: float

    def ticks(self, low: float, high: float, step: float) -> list[tuple[float, str]]:
        """Return places from low to high at which the number is a multiple of step, and the numbers."""
        first, last = sorted((self.start + self.rate * low, self.start + self.rate * high))
        counts = np.arange(np.ceil(first / step - 1e-6), np.floor(last / step + 1e-6) + 1)
        return [((count * step - self.start) / self.rate, number(count * step, step)) for count in counts]


def number(value: float, step: float) -> str:
    """Write a multiple of a round step with as many digits as it takes."""
    digits = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    text = f"{value:.{digits}f}" if digits < 7 and abs(value) < 1e7 else f"{value:.3g}"
    return text.replace("-", "−") if value else "0"


def round_step(length: float) -> float:
    """Return the least of 1, 2 and 5, times a power of ten, that is not below a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * ROUND[np.searchsorted(ROUND, length / power - 1e-9)])


@dataclass(frozen=True)
class _Label:
    """A text beside the rim, how many letters lower, and the cosine to the eye above which it is seen."""

    text: str
    row: float
    facing: float


class Floor:
    """Everything that does not move with the animal.

    Parameters
    ----------
    view
        The eye.
    axes
        To the right, forwards and upwards at azimuth -90 degrees.
    top
        Height of the scene.

    Attributes
    ----------
    outline
        (n, 2), that of the disc, px.
    """

    def __init__(self, view: View, axes: tuple[Axis, Axis, Axis], top: float) -> None:
        self._view = view
        self._letters = max(7, round(min(view.size) * 0.027))
        self._line = max(1, round(min(view.size) / 500))
        ends, places, self._labels = _grid(axes[:2])
        self._lines = len(ends)
        self._points = np.concatenate([ends.reshape(-1, 3), places])
        self._facing = np.array([label.facing for label in self._labels])
        angles = np.linspace(0, 2 * np.pi, 181)
        rim = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=-1)
        self.outline = self._pixels(rim, 0.0)
        self._middle = self._pixels(np.zeros(3), 0.0)
        self._background = self._unmoved(axes[2], top)

    def paint(self, azimuth: float) -> Image:
        """Return the picture of the empty scene, (height, width, 3), a fresh array; azimuth in radians."""
        import cv2

        picture = self._background.copy()
        pixels = self._pixels(self._points, azimuth)
        chords = fixed(pixels[: 2 * self._lines]).reshape(-1, 2, 2)
        cv2.polylines(picture, list(chords), False, GRID, self._line, cv2.LINE_AA, SHIFT)
        rim = pixels[2 * self._lines :]
        cosines = self._points[2 * self._lines :, :2] @ [np.cos(azimuth), np.sin(azimuth)]
        alphas = np.clip((cosines - self._facing) / FADING, 0, 1).astype(np.float32)
        away = rim - self._middle
        away = away / np.maximum(np.hypot(away[:, :1], away[:, 1:]), 1e-6)
        for place in np.flatnonzero(alphas > 0).tolist():
            label = self._labels[place]
            column, row = rim[place] + (away[place] * [1.9, 1.4] + [0, label.row]) * self._letters
            patch, mask = lettering(label.text, self._letters, TEXT)
            put_about(picture, patch, mask * alphas[place], (column, row))
        return picture

    def _unmoved(self, upwards: Axis, top: float) -> Image:
        """Return what is the same from all sides: the disc, and the ruler at its left end."""
        import cv2

        width, height = self._view.size
        picture = np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
        outline = fixed(self.outline)
        cv2.fillPoly(picture, [outline], DISC, cv2.LINE_AA, SHIFT)
        cv2.polylines(picture, [outline], False, RIM, self._line, cv2.LINE_AA, SHIFT)
        self._ruler(picture, upwards, top)
        return picture

    def _ruler(self, picture: Image, axis: Axis, top: float) -> None:
        import cv2

        foot, head = self._pixels(np.array([[0.0, -1.0, 0.0], [0.0, -1.0, top]]), 0.0)
        rows = abs(foot[1] - head[1]) / self._letters
        if rows < 3:
            return
        step = round_step(abs(axis.rate) * top / min(4.0, rows / 2))
        ticks = axis.ticks(0.0, top, step)
        cv2.polylines(picture, [fixed(np.stack([foot, head]))], False, RIM, self._line, cv2.LINE_AA, SHIFT)
        for at, text in ticks:
            end = self._pixels(np.array([0.0, -1.0, at]), 0.0)
            mark = np.stack([end, end - [0.4 * self._letters, 0]])
            cv2.polylines(picture, [fixed(mark)], False, RIM, self._line, cv2.LINE_AA, SHIFT)
            patch, mask = lettering(text, self._letters, TEXT)
            put_about(picture, patch, mask, (end[0] - 0.8 * self._letters - mask.shape[1] / 2, end[1]))
        put_about(picture, *lettering(axis.title, self._letters, TEXT), (head[0], head[1] - self._letters))

    def _pixels(self, points: Floats, azimuth: float) -> Floats:
        return self._view.places(points, azimuth)[..., :2]


def _grid(axes: Sequence[Axis]) -> tuple[Floats, Floats, list[_Label]]:
    """Return the lines of the grid (lines, 2, 3), and where on the rim, (labels, 3), which texts stand."""
    step = round_step(abs(axes[0].rate) / 5)
    lines, places, labels = [], [], []
    for axis, order in zip(axes, ([0, 1, 2], [1, 0, 2]), strict=True):
        ticks = axis.ticks(-0.999, 0.999, step)
        for at, text in ticks:
            half = np.sqrt(1 - at**2)
            ends = np.array([[at, -half, 0.0], [at, half, 0.0]])[:, order]
            lines.append(ends)
            if abs(at) <= NUMBERED:
                places += list(ends)
                labels += [_Label(text, 0.0, 0.6)] * 2
        # below the number that is nearest to the middle, so that it covers none
        at = min((place for place, _ in ticks if abs(place) <= NUMBERED), key=abs, default=0.0)
        half = np.sqrt(1 - at**2)
        places += list(np.array([[at, -half, 0.0], [at, half, 0.0]])[:, order])
        labels += [_Label(axis.title, 1.5, 0.63)] * 2
    return np.array(lines), np.array(places), labels


def fixed(pixels: Floats) -> NDArray[np.int32]:
    """Return coordinates as OpenCV draws them."""
    return np.asarray(np.round(pixels * 2**SHIFT), dtype=np.int32)
