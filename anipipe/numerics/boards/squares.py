"""From the markers of a ChArUco board to the corners of its squares."""

from __future__ import annotations

import numpy as np

from anipipe.numerics.boards.corners import are_saddles, refine_saddles
from anipipe.numerics.boards.geometry import Floats
from anipipe.numerics.boards.markers import Grey, Ints, apply, homographies

#: Corners of a square in the order of a marker's.
AROUND = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])

_MOVED = 0.2  # of a square, the most that refinement may move a corner


def square_corners(grey: Grey, quads: Floats, ratio: float) -> Floats:
    """Find the corners of the white squares that markers lie in.

    Parameters
    ----------
    grey
        (height, width).
    quads
        (m, 4, 2) pixels of the markers.
    ratio
        A square's side over a marker's.

    Returns
    -------
    (m, 4, 2) in the markers' order; NaN where a corner is hidden, or has no dark squares beside it.
    """
    gap = (ratio - 1) / 2
    maps = homographies(quads)
    sign = 2.0 * AROUND - 1.0
    square = 0.5 + sign * ratio / 2
    rough = apply(maps, np.broadcast_to(square, (len(quads), 4, 2)))
    # Towards the marker the light square is light as far as the gap goes; the dark ones are dark all over.
    light = apply(maps, np.broadcast_to(square - 0.6 * gap * sign, rough.shape)) - rough
    aside = max(0.6 * gap, 0.15) * sign * [-1.0, 1.0]
    dark = apply(maps, np.broadcast_to(square + aside, rough.shape)) - rough
    room = np.abs(rough - quads).max(axis=-1)
    flat, first = _shared(rough, sides_of(quads))
    fine = np.full_like(flat, np.nan)
    fine[first] = refine_saddles(grey, flat[first], room.reshape(-1)[first] - 1.0)
    fine = fine[first]
    seen = are_saddles(grey, fine, light.reshape(-1, 2), dark.reshape(-1, 2)) | (room.reshape(-1) < 2.0)
    allowed = np.maximum(_MOVED * ratio * np.repeat(sides_of(quads), 4), 2.0)
    with np.errstate(invalid="ignore"):
        seen &= np.linalg.norm(fine - flat, axis=-1) <= allowed
    return np.where(seen[:, None], fine, np.nan).reshape(quads.shape)


def sides_of(quads: Floats) -> Floats:
    """Return (m,) pixels of the shortest side of each quadrilateral, (m, 4, 2)."""
    return np.asarray(np.linalg.norm(quads - np.roll(quads, 1, axis=1), axis=-1).min(axis=-1))


def _shared(rough: Floats, sides: Floats) -> tuple[Floats, Ints]:
    """Find corners that two markers share, and take the mean of what both say of them.

    Which markers touch is seen in the picture; it depends on the board's layout, which is not known yet.

    Returns
    -------
    (4 * m, 2) places, and (4 * m,) for each the first of those that are the same corner.
    """
    flat = rough.reshape(-1, 2)
    mine = np.arange(len(flat))
    if not len(flat):
        return flat, mine
    owner = mine // 4
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    apart[(owner[:, None] == owner[None]) | ~np.isfinite(apart)] = np.inf
    nearest = apart.argmin(axis=1)
    both = (nearest[nearest] == mine) & (apart[mine, nearest] < 0.35 * sides[owner])
    mean = np.where(both[:, None], (flat + flat[nearest]) / 2, flat)
    return mean, np.where(both, np.minimum(mine, nearest), mine)
