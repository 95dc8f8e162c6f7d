"""Soft shadows that fall straight down on the floor of a 3D view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.lenses import Floats

Image = NDArray[np.uint8]

ROWS = 120  # about so many cells along the picture's shorter side: shadows are soft, and small pictures quick
DARK = 34  # taken from the floor's colour in full shadow
SOFT = 5  # cells over which a shadow fades, odd


class Shadow:
    """The painter of shadows.

    Parameters
    ----------
    disc
        (n, 2), the outline of the floor, px; no shadow falls beside it.
    size
        Width and height of the picture, px.
    """

    def __init__(self, disc: Floats, size: tuple[int, int]) -> None:
        import cv2

        self._cell = max(1, round(min(size) / ROWS))
        width, height = (-(-side // self._cell) for side in size)
        self._floor = np.zeros((height, width), dtype=np.uint8)
        cv2.fillPoly(self._floor, [self._cells(disc)], DARK)

    def paint(self, picture: Image, pixels: Floats, edges: NDArray[np.intp], radius: float) -> None:
        """Darken the floor under spheres and the lines between them.

        Parameters
        ----------
        picture
            (height, width, 3).
        pixels
            (n, 2), the points of the floor below the spheres, px; not far beside the picture.
        edges
            (lines, 2), pairs of places among them.
        radius
            Of the spheres, px.
        """
        import cv2

        margin = SOFT + int(np.ceil(radius / self._cell))
        limit = self._floor.shape[::-1]
        first = np.clip(np.floor(pixels.min(axis=0) / self._cell) - margin, 0, limit).astype(int)
        last = np.clip(np.ceil(pixels.max(axis=0) / self._cell) + margin, 0, limit).astype(int)
        if (first >= last).any():
            return
        mask = np.zeros((last - first)[::-1], dtype=np.uint8)
        cells = self._cells(pixels) - first.astype(np.int32)
        thickness = max(1, round(radius / self._cell))
        points = np.repeat(cells[:, None], 2, axis=1)  # lines too, so short that their round ends are all
        cv2.polylines(mask, list(points), False, DARK, 2 * thickness)
        cv2.polylines(mask, list(cells[edges]), False, DARK, thickness)
        mask = cv2.blur(mask, (SOFT, SOFT))
        mask = np.minimum(mask, self._floor[first[1] : last[1], first[0] : last[0]])
        left, top = first * self._cell
        soft = cv2.resize(mask, None, fx=self._cell, fy=self._cell, interpolation=cv2.INTER_LINEAR)
        part = picture[top : top + len(soft), left : left + soft.shape[1]]
        cv2.subtract(part, cv2.merge([soft[: part.shape[0], : part.shape[1]]] * 3), part)

    def _cells(self, pixels: Floats) -> NDArray[np.int32]:
        return np.floor(pixels / self._cell).astype(np.int32)
