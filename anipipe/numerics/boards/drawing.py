"""What calibration boards look like on paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.numerics.boards.geometry import Board, Floats, lattice, marker_patterns

_LARGEST_PICTURE = 30_000  # pixels along a side
_DARK, _LIGHT = 0, 255


def dark_rectangles(board: Board) -> Floats:
    """Return what is dark on a board, as rectangles that do not overlap.

    Returns
    -------
    (n, 4) left, top, right, bottom in the board's coordinates.
    """
    parts = [np.empty((0, 4))]
    if board.kind != "aruco":
        places = lattice(board.squares)
        start = (places[places.sum(axis=1) % 2 == board.dark_parity] - 1) * board.square
        parts.append(np.concatenate([start, start + board.square], axis=1))
    if board.kind != "checkerboard":
        patterns = np.pad(
            marker_patterns(board.dictionary, len(board.marker_squares)), [(0, 0), (1, 1), (1, 1)]
        )
        cell = board.marker / patterns.shape[1]
        for start, pattern in zip(board.marker_corners[:, 0], patterns, strict=True):
            parts.append(np.tile(start, 2) + cell * _runs(pattern == 0))
    return np.concatenate(parts)


def draw_board(
    board: Board, pixels_per_unit: float, *, margin: float | None = None, inverted: bool = False
) -> NDArray[np.uint8]:
    """Draw a board as it is printed.

    Parameters
    ----------
    board
        The board.
    pixels_per_unit
        Scale, pixels per unit of the board's lengths.
    margin
        Empty space around it, in the board's unit; left out: :func:`quiet_margin`.
    inverted
        White on black.

    Returns
    -------
    (height, width) grey picture.

    Raises
    ------
    DataError
        If the picture would be too small to show every detail, or too large.
    """
    margin = quiet_margin(board) if margin is None else margin
    left, top, right, bottom = board.bounds
    origin = np.array([left - margin, top - margin])
    width, height = np.round((np.array([right, bottom]) + margin - origin) * pixels_per_unit).astype(int)
    detail = (board.marker / (board.bits + 2) if board.bits else board.square) * pixels_per_unit
    if detail < 2:
        raise DataError(
            f"the smallest squares of the picture would be {detail:.2g} pixels wide: raise the dpi"
        )
    if max(width, height) > _LARGEST_PICTURE:
        raise DataError(
            f"the picture would have {width} x {height} pixels, more than {_LARGEST_PICTURE} along a side: "
            "lower the dpi"
        )
    paper, ink = (_DARK, _LIGHT) if inverted else (_LIGHT, _DARK)
    picture = np.full((height, width), paper, dtype=np.uint8)
    edges = np.round((dark_rectangles(board) - np.tile(origin, 2)) * pixels_per_unit).astype(int)
    for x0, y0, x1, y1 in edges.tolist():
        picture[y0:y1, x0:x1] = ink
    return picture


def quiet_margin(board: Board) -> float:
    """Return how much empty space a board needs around it to be detected, in its length unit."""
    return (
        board.square / 2 if board.kind != "aruco" else max(board.separation, board.marker / (board.bits + 2))
    )


def _runs(dark: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 4) left, top, right, bottom of the horizontal runs of a pattern, in cells."""
    padded = np.pad(dark.astype(np.int8), [(0, 0), (1, 1)])
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return np.stack([starts, rows, ends, rows + 1], axis=1)
