"""Small pictures that are laid over larger ones, and texts as such."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

Image = NDArray[np.uint8]
Mask = NDArray[np.float32]


@lru_cache(maxsize=256)
def lettering(text: str, size: int, colour: tuple[int, int, int]) -> tuple[Image, Mask]:
    """Return a text as a picture of one colour, (h, w, 3), and how much of each pixel it covers, (h, w).

    The typeface is the one that comes with matplotlib: it has the letters of all units, on every machine.
    A letter that it lacks is a question mark.

    Parameters
    ----------
    text
        One line.
    size
        Of the letters, px.
    colour
        In the order of the picture's channels.
    """
    font = _typeface()
    font.set_size(size, 72)
    font.set_text("".join(letter if font.get_char_index(ord(letter)) else "?" for letter in text), 0.0)
    font.draw_glyphs_to_bitmap(antialiased=True)
    mask = np.asarray(font.get_image(), dtype=np.float32) / np.float32(255)
    return np.full((*mask.shape, 3), colour, dtype=np.uint8), mask


@lru_cache
def _typeface() -> FT2Font:
    import matplotlib
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")))


def put_about(picture: Image, patch: Image, alpha: Mask, centre: tuple[float, float]) -> None:
    """Lay a patch over a picture as :func:`put` does, about a place (column, row), or near it within."""
    height, width = alpha.shape
    left = min(max(round(centre[0] - width / 2), 1), picture.shape[1] - width - 1)
    top = min(max(round(centre[1] - height / 2), 1), picture.shape[0] - height - 1)
    put(picture, patch, alpha, 1 - alpha, left, top)


def put(picture: Image, patch: Image, alpha: Mask, rest: Mask, left: int, top: int) -> None:
    """Lay a patch (h, w, 3) over a picture, alpha (h, w) telling how opaque it is; cut at the edges."""
    import cv2

    height, width = alpha.shape
    above, before = max(0, -top), max(0, -left)
    rows, columns = slice(above, picture.shape[0] - top), slice(before, picture.shape[1] - left)
    weight = alpha[rows, columns]
    part = picture[top + above : top + height, left + before : left + width]
    if weight.size and part.size:
        part[:] = cv2.blendLinear(patch[rows, columns], part, weight, rest[rows, columns])
