"""Checkerboards in a picture: the whole board with the right number for each corner, or nothing.

A checkerboard shows no numbers, so that a part of it, or a larger one, must not be taken for it: each corner
has to look like one, and there must be none beyond. Which corner is corner 0 follows from the colours: that
square is dark that lies diagonally beyond it.
"""

from __future__ import annotations

import numpy as np

from anipipe.numerics.boards.corners import are_saddles, refine_saddles, sample
from anipipe.numerics.boards.geometry import Floats
from anipipe.numerics.boards.markers import Bools, Grey

_QUICK_SIDE = 640  # pixels along the longer side of the picture that is searched first
_MOVED = 0.25  # of a square, the most that refinement may move a corner


class CheckerFinder:
    """Looks for a checkerboard.

    Parameters
    ----------
    grid
        Inner corners across and down.
    mirrored
        The board is seen in a mirror or from behind.
    """

    def __init__(self, grid: tuple[int, int], *, mirrored: bool = False) -> None:
        self._grid = grid
        self._mirrored = mirrored

    def find(self, grey: Grey) -> Floats | None:
        """Return (n, 2) pixels of all corners by id, or None where the whole board is not seen.

        Parameters
        ----------
        grey
            (height, width) uint8.
        """
        import cv2

        shrink = min(1.0, _QUICK_SIDE / max(grey.shape))
        found = self._search(grey, shrink)
        # The search of the whole picture is slow; OpenCV's quick look for dark and light squares goes before
        # it.
        if found is None and shrink < 1.0 and cv2.checkChessboard(grey, self._grid):
            found = self._search(grey, 1.0)
        return found

    def _search(self, grey: Grey, shrink: float) -> Floats | None:
        import cv2

        picture = grey
        if shrink < 1.0:
            size = (round(grey.shape[1] * shrink), round(grey.shape[0] * shrink))
            picture = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        done, corners = cv2.findChessboardCornersSB(picture, self._grid)
        across, down = self._grid
        if not done or corners is None or np.size(corners) != 2 * across * down:
            return None
        scale = np.array([grey.shape[1] / picture.shape[1], grey.shape[0] / picture.shape[0]])
        rough = (np.asarray(corners, dtype=np.float64).reshape(down, across, 2) + 0.5) * scale - 0.5
        return self._checked(grey, rough)

    def _checked(self, grey: Grey, rough: Floats) -> Floats | None:
        """Refine, verify and number (down, across, 2) corners."""
        right, below = _steps(rough)
        spacing = np.minimum(np.abs(right).max(axis=-1), np.abs(below).max(axis=-1))
        spacing = np.minimum(spacing, np.minimum(_length(right), _length(below)))
        fine = refine_saddles(grey, rough.reshape(-1, 2), 0.4 * spacing.reshape(-1)).reshape(rough.shape)
        if not (_length(fine - rough) <= np.maximum(_MOVED * spacing, 1.5)).all():
            return None
        ordered = _in_order(grey, fine, mirrored=self._mirrored)
        if not _is_whole(grey, ordered):
            return None
        return ordered.reshape(-1, 2)


def _steps(corners: Floats) -> tuple[Floats, Floats]:
    """Pixels from each corner to the next, across and down, each (down, across, 2)."""
    return np.gradient(corners, axis=1), np.gradient(corners, axis=0)


def _length(vectors: Floats) -> Floats:
    return np.asarray(np.linalg.norm(vectors, axis=-1))


def _in_order(grey: Grey, corners: Floats, *, mirrored: bool) -> Floats:
    """Turn and flip (down, across, 2) corners so that corner 0 is what it is on the board."""
    right, below = (step.mean(axis=(0, 1)) for step in _steps(corners))
    if (right[0] * below[1] - right[1] * below[0] < 0) != mirrored:
        corners, right = corners[:, ::-1], -right
    turns = [corners, corners[::-1, ::-1]]
    if corners.shape[0] == corners.shape[1]:
        quarter = corners.transpose(1, 0, 2)[:, ::-1]
        turns += [quarter, quarter[::-1, ::-1]]
    # Where colours do not settle it, the board's rows run rightwards in the picture.
    turns.sort(key=lambda turn: -float(_steps(turn)[0].mean(axis=(0, 1))[0]))
    return next((turn for turn in turns if _contrast(grey, turn) > 0), turns[0])


def _contrast(grey: Grey, corners: Floats) -> float:
    """How much lighter the squares that should be light are than those that should be dark."""
    middles = (corners[1:, 1:] + corners[:-1, 1:] + corners[1:, :-1] + corners[:-1, :-1]) / 4
    values = sample(grey, middles)
    dark = np.indices(values.shape).sum(axis=0) % 2 == 0
    return float(np.nanmean(values[~dark]) - np.nanmean(values[dark]))


def _is_whole(grey: Grey, corners: Floats) -> bool:
    """Whether each corner looks like one, and no side goes on beyond them."""
    right, below = _steps(corners)
    parity = np.indices(corners.shape[:2]).sum(axis=0) % 2
    turned = _contrast(grey, corners) < 0  # only boards that look the same turned around
    if not _look_right(grey, corners, right, below, (parity == 0) ^ turned).all():
        return False
    for side in range(4):
        edge = [np.rot90(part, side)[0] for part in (corners, right, below, parity)]
        inner = np.rot90(corners, side)[1]
        beyond = 2 * edge[0] - inner
        if _look_right(grey, beyond, edge[1], edge[2], (edge[3] == 1) ^ turned).mean() > 0.5:
            return False
    return True


def _look_right(grey: Grey, corners: Floats, right: Floats, below: Floats, dark_ahead: Bools) -> Bools:
    """Whether corners are corners, with the square right below each dark or light as given."""
    ahead, aside = 0.3 * (right + below), 0.3 * (right - below)
    pick = np.asarray(dark_ahead, dtype=bool)[..., None]
    light, dark = np.where(pick, aside, ahead), np.where(pick, ahead, aside)
    return are_saddles(grey, corners, light, dark)
