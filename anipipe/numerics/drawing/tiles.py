"""Several pictures in one: where each goes, and how it gets there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]
Size = tuple[int, int]

_LIMIT = (1920, 1200)  # px; what screens show without shrinking it


@dataclass(frozen=True)
class Tile:
    """Where one picture goes.

    Attributes
    ----------
    x, y, width, height
        Its place in the whole, px.
    scale
        Its width and height there, as multiples of its own.
    """

    x: int
    y: int
    width: int
    height: int
    scale: tuple[float, float]

    def put(self, picture: Image, whole: Image) -> None:
        """Put a picture, already of the tile's size, into its place."""
        whole[self.y : self.y + self.height, self.x : self.x + self.width] = picture

    def fit(self, picture: Image) -> Image:
        """Return a picture in the tile's size."""
        import cv2

        if picture.shape[:2] == (self.height, self.width):
            return picture
        return np.asarray(
            cv2.resize(picture, (self.width, self.height), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )

    def points(self, points: Floats) -> Floats:
        """Return pixels (..., 2) of the picture in its own size as pixels of the tile."""
        return np.asarray((points + 0.5) * np.array(self.scale) - 0.5)


def arrange(sizes: Sequence[Size], limit: Size = _LIMIT) -> tuple[list[Tile], Size]:
    """Lay pictures out in rows, as large as they may be, none enlarged.

    Parameters
    ----------
    sizes
        Width and height of each.
    limit
        Width and height that the whole has to keep to.

    Returns
    -------
    tiles
        One per picture, in their order, from left to right and downwards.
    size
        Width and height of the whole, even numbers.
    """
    cell = 2 * np.ceil(np.max(np.array(sizes, dtype=np.float64), axis=0) / 2)

    def scale_of(columns: int) -> float:
        rows = -(-len(sizes) // columns)
        return float(min(limit[0] / (columns * cell[0]), limit[1] / (rows * cell[1]), 1.0))

    # the largest; of those that are alike the fullest, and of these the widest
    columns = max(
        range(1, len(sizes) + 1), key=lambda count: (scale_of(count), len(sizes) % count == 0, count)
    )
    scale = scale_of(columns)
    width, height = (max(2, 2 * int(side * scale / 2)) for side in cell)
    tiles = []
    for place, (own_width, own_height) in enumerate(sizes):
        row, column = divmod(place, columns)
        fit = min(width / own_width, height / own_height, 1.0)
        inner = max(1, round(own_width * fit)), max(1, round(own_height * fit))
        x = column * width + (width - inner[0]) // 2
        y = row * height + (height - inner[1]) // 2
        tiles.append(Tile(x, y, *inner, (inner[0] / own_width, inner[1] / own_height)))
    rows = -(-len(sizes) // columns)
    return tiles, (columns * width, rows * height)
