"""What a recording of the calibration board covered: of the pictures, of the depth, and of pairs of cameras.

Lenses are known only where corners were seen, a focal length only if the board was near and far, and two
cameras hang together only by corners that both saw at one time. The thresholds are those of
caliscope's quality report (https://github.com/mprib/caliscope).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.numerics.cameras import Rig, apply_matrix
from anipipe.numerics.lenses import Floats

CELLS = 5  # across and down a picture
GOOD_LINK = 200  # corners shared by two cameras: from here on more do not help much
WEAK_LINK = 50  # below: less than one view of a usual board, from which no place follows


def image_coverage(pixels: ArrayLike, size: tuple[int, int]) -> dict[str, float]:
    """Measure how much of a picture corners were seen in.

    Parameters
    ----------
    pixels
        (..., 2), NaN where a corner was not seen.
    size
        Width and height of the picture, px.

    Returns
    -------
    Share of the cells of a 5 x 5 grid that have corners in them: ``image``, of all cells; ``edges``, of those
    at the border but for the corners; ``corners``, of the four in the picture's corners.
    """
    taken = grid_counts(pixels, size, (CELLS, CELLS)) > 0
    last = CELLS - 1
    row, column = np.indices(taken.shape)
    sides = np.isin(row, (0, last)).astype(int) + np.isin(column, (0, last))
    shares = {"image": taken, "edges": taken[sides == 1], "corners": taken[sides == 2]}
    return {name: float(cells.mean()) for name, cells in shares.items()}


def cell_of(pixels: ArrayLike, size: tuple[int, int], cells: tuple[int, int]) -> NDArray[np.intp]:
    """Tell in which cell of a grid over a picture each pixel lies.

    Parameters
    ----------
    pixels
        (..., 2), px; all finite.
    size
        Width and height of the picture, px.
    cells
        How many cells across and down.

    Returns
    -------
    (..., 2), column and row; what lies outside the picture counts for the nearest cell.
    """
    # pixel (0, 0) is the centre of the first pixel
    share = (np.asarray(pixels, dtype=np.float64) + 0.5) / np.maximum(size, 1)
    last = np.asarray(cells) - 1
    return np.asarray(np.clip(np.floor(share * np.asarray(cells)), 0, last), dtype=np.intp)


def grid_counts(pixels: ArrayLike, size: tuple[int, int], cells: tuple[int, int]) -> NDArray[np.intp]:
    """Count the pixels (..., 2) in each cell of a grid; those that are NaN are left out.

    Returns
    -------
    (rows, columns).
    """
    image = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    column, row = cell_of(image[np.isfinite(image).all(axis=-1)], size, cells).T
    counts = np.bincount(row * cells[0] + column, minlength=cells[0] * cells[1])
    return np.asarray(counts.reshape(cells[1], cells[0]), dtype=np.intp)


def corners_in_space(boards: Floats, board_points: ArrayLike) -> Floats:
    """Return the world coordinates (instants, corners, 3) of a board's corners.

    Parameters
    ----------
    boards
        (instants, 4, 4) board_to_world; NaN where it is not known.
    board_points
        (corners, 3), on the board.
    """
    board = np.asarray(board_points, dtype=np.float64)
    return np.asarray(np.einsum("iab,kb->ika", boards[:, :3, :3], board) + boards[:, None, :3, 3])


def depths(world: Floats, rig: Rig) -> Floats:
    """Return how far before each camera points lie, along its axis.

    Parameters
    ----------
    world
        (..., 3).
    rig
        The cameras.

    Returns
    -------
    (cameras, ...), in the rig's length unit; below 0 behind the camera.
    """
    return np.stack(
        [
            apply_matrix(camera.rotation_matrix, world)[..., 2] + camera.translation[2]
            for camera in rig.cameras
        ]
    )


def depth_ratio(depth: Floats) -> float | None:
    """Return farthest over nearest of depths, NaN and those behind the camera left out; None without any."""
    before = depth[np.isfinite(depth) & (depth > 0)]
    return float(before.max() / before.min()) if before.size else None


def grade(shared: int) -> str:
    """Judge a link between two cameras by the number of corners that both saw at one time.

    Returns
    -------
    ``good``, ``marginal``, ``insufficient`` or ``none``.
    """
    if shared >= GOOD_LINK:
        return "good"
    if shared >= WEAK_LINK:
        return "marginal"
    return "insufficient" if shared > 0 else "none"
