"""Distances between neighbouring corners of the board, as the cameras see them and as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.numerics.lenses import Floats

TOLERANCE = 1e-6  # relative, within which two distances on the board are the same


def neighbours(board_points: ArrayLike) -> NDArray[np.intp]:
    """Find the corners next to each other on the board.

    Parameters
    ----------
    board_points
        (corners, 3).

    Returns
    -------
    (pairs, 2) indices: each corner with those at the distance of its nearest.
    """
    board = np.asarray(board_points, dtype=np.float64)
    distance = np.linalg.norm(board[:, None] - board[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    near = distance <= distance.min(axis=1, initial=np.inf, keepdims=True) * (1 + TOLERANCE)
    return np.argwhere(np.triu((near | near.T) & np.isfinite(distance)))


def spacing(board_points: ArrayLike) -> float | None:
    """Return the smallest distance between two corners (corners, 3) of the board, None if it has but one."""
    board, pairs = np.asarray(board_points, dtype=np.float64), neighbours(board_points)
    if not len(pairs):
        return None
    return float(np.linalg.norm(board[pairs[:, 0]] - board[pairs[:, 1]], axis=-1).min())


def length_errors(world: ArrayLike, board_points: ArrayLike) -> Floats:
    """Compare distances between neighbours in space with those on the board.

    Parameters
    ----------
    world
        (instants, corners, 3), triangulated; NaN where a corner is not known.
    board_points
        (corners, 3), on the board.

    Returns
    -------
    (n,) distance in space less that on the board, for all neighbours that are both known.
    """
    points, board = np.asarray(world, dtype=np.float64), np.asarray(board_points, dtype=np.float64)
    pairs = neighbours(board)
    true = np.linalg.norm(board[pairs[:, 0]] - board[pairs[:, 1]], axis=-1)
    off = np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=-1) - true
    return np.asarray(off[np.isfinite(off)])
