"""Labelled pictures with what a network makes of them: where each joint is, and where it should be."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError

Array = NDArray[np.float64]
Colour = tuple[int, int, int]

#: The longer side of what is drawn has at least so many pixels, so that marks do not hide the animal.
_SIDE = 1000
_MARGIN = 0.2  # of the picture's longer side, for both sides together
_PAPER = (32, 32, 32)
_BITS = 4  # of a pixel, in which OpenCV places what it draws


def draw(
    picture: NDArray[Any], labels: Array, points: Array, found: NDArray[np.bool_], texts: Sequence[str]
) -> Any:
    """Draw labels as crosses and predictions as dots.

    Parameters
    ----------
    picture
        (height, width, 3), blue first.
    labels, points
        (joints, 2), pixels; NaN where there is none.
    found
        (joints,), whether a prediction counts; those that do not are drawn as rings.
    texts
        One per joint for the legend, then a headline.

    Returns
    -------
    The picture with a legend on its right, enlarged by a whole number if it was small.
    """
    import cv2

    scale = max(1, -(-_SIDE // max(picture.shape[:2])))
    canvas: Any = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    size = max(4, round(max(canvas.shape[:2]) / 220))
    thick = max(1, size // 4)
    for label, point, counts, colour in zip(labels, points, found, colours(len(labels)), strict=True):
        here, there = (_place(one, scale) for one in (point, label))
        if here and there:
            cv2.line(canvas, here, there, colour, thick, cv2.LINE_AA, _BITS)
        if there:
            reach = (size + 2) << _BITS
            for dx, dy in ((reach, 0), (0, reach)):
                ends = (there[0] - dx, there[1] - dy), (there[0] + dx, there[1] + dy)
                cv2.line(canvas, *ends, colour, thick, cv2.LINE_AA, _BITS)
        if here:
            cv2.circle(canvas, here, size << _BITS >> 1, colour, -1 if counts else thick, cv2.LINE_AA, _BITS)
    legend: Any = _legend(texts)
    height = max(len(canvas), len(legend))
    canvas, legend = (
        cv2.copyMakeBorder(one, 0, height - len(one), 0, 0, cv2.BORDER_CONSTANT, value=_PAPER)
        for one in (canvas, legend)
    )
    return np.hstack([canvas, legend])


def around(picture: NDArray[Any], points: Array) -> tuple[NDArray[Any], Array]:
    """Cut out the part of a picture that some points lie in, with a margin.

    Parameters
    ----------
    picture
        (height, width, 3).
    points
        (points, 2), pixels; NaN where there is none.

    Returns
    -------
    The part, no side of it less than a third of the picture's longer one; and where it begins, x and y.
    """
    size = np.array(picture.shape[1::-1])
    known = points[np.isfinite(points).all(axis=-1)]
    if not len(known):
        return picture, np.zeros(2)
    middle = (known.min(axis=0) + known.max(axis=0)) / 2
    side = np.maximum(np.ptp(known, axis=0) + _MARGIN * size.max(), size.max() / 3)
    start, end = (np.clip(np.round(middle + part * side), 0, size).astype(int) for part in (-0.5, 0.5))
    if (end - start < 1).any():  # all of them lie outside
        return picture, np.zeros(2)
    return picture[start[1] : end[1], start[0] : end[0]], start.astype(np.float64)


def colours(count: int) -> list[Colour]:
    """Return well distinguishable colours, blue first."""
    made = [colorsys.hsv_to_rgb(index / count, 0.9, 1.0) for index in range(count)]
    return [(round(255 * blue), round(255 * green), round(255 * red)) for red, green, blue in made]


def _place(point: Array, scale: int) -> tuple[int, int] | None:
    """Return a point in OpenCV's fractions of a pixel of the enlarged picture."""
    if not np.isfinite(point).all():
        return None
    x, y = np.round(((point + 0.5) * scale - 0.5) * (1 << _BITS)).astype(int)
    return int(x), int(y)


def _legend(texts: Sequence[str]) -> NDArray[np.uint8]:
    import cv2

    font, thick, step = cv2.FONT_HERSHEY_SIMPLEX, 1, 28
    *joints, headline = texts
    lines = [headline, "+ label", "dot: prediction", "ring: below the cutoff", "", *joints]
    widths = [cv2.getTextSize(line, font, 0.55, thick)[0][0] for line in lines]
    legend = np.full((30 + step * len(lines), max(widths) + 50, 3), _PAPER, np.uint8)
    inks = [(255, 255, 255)] * (len(lines) - len(joints)) + colours(len(joints))
    for row, (line, ink) in enumerate(zip(lines, inks, strict=True)):
        y = 30 + row * step
        is_joint = row >= len(lines) - len(joints)
        if is_joint:
            cv2.circle(legend, (18, y - 6), 6, ink, -1, cv2.LINE_AA)
        cv2.putText(
            legend, line, (34 if is_joint else 12, y), font, 0.55, (235, 235, 235), thick, cv2.LINE_AA
        )
    return legend


def write_picture(picture: NDArray[Any], path: Path) -> None:
    """Write a picture as PNG.

    Raises
    ------
    DataError
        OpenCV cannot.
    """
    import cv2

    done, content = cv2.imencode(".png", picture)
    if not done:
        raise DataError(f"{path}: the picture cannot be written as PNG.")
    path.write_bytes(content.tobytes())
