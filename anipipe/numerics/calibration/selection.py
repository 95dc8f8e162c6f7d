"""Which instants a calibration is solved with, when a long recording shows more than it needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.calibration.views import BoardViews
from anipipe.numerics.lenses import Floats

MOST = 400  # instants; more change a calibration by less than its error
CANDIDATES = 4000  # looked at, evenly spread over each recording
GRID = 8  # cells across and down each picture, that the corners should cover


def chosen_instants(views: BoardViews, allowed: NDArray[np.bool_], *, most: int = MOST) -> NDArray[np.intp]:
    """Choose the instants that cover every camera's picture, and every pair of cameras, most evenly.

    Parameters
    ----------
    views
        The board's corners in the cameras' images.
    allowed
        (cameras, instants): views that count.
    most
        How many instants to choose; if there are no more, all are taken.

    Returns
    -------
    Their indices, ascending. The same instants are chosen for all cameras. Each choice is the instant whose
    corners lie where the fewest have been so far, in the pictures and between the cameras that share them.
    """
    there = np.flatnonzero(allowed.any(axis=0))
    if len(there) <= most:
        return there
    there = _candidates(allowed, there)
    counts = _counts(views, allowed, there)
    covered = np.zeros(counts.shape[1])
    chosen: list[int] = []
    free = np.ones(len(there), dtype=bool)
    for _ in range(most):
        worth = np.where(free, counts @ (1 / (1 + covered)), -1.0)
        best = int(worth.argmax())
        chosen.append(best)
        free[best] = False
        covered += counts[best]
    return np.sort(there[chosen])


def _candidates(allowed: NDArray[np.bool_], there: NDArray[np.intp]) -> NDArray[np.intp]:
    """Thin out instants evenly, as a whole and those that two cameras share, which may be rare."""
    first, second = np.triu_indices(len(allowed), 1)
    shared = [np.flatnonzero(allowed[one] & allowed[two]) for one, two in zip(first, second, strict=True)]
    share = CANDIDATES // (2 * max(len(shared), 1))
    return np.unique(np.concatenate([_even(there, CANDIDATES // 2), *(_even(own, share) for own in shared)]))


def _even(instants: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Return at most so many of them, evenly spread."""
    return instants[np.linspace(0, len(instants) - 1, min(len(instants), most)).astype(np.intp)]


def at_instants(views: BoardViews, instants: NDArray[np.intp]) -> BoardViews:
    """Return the views of some instants alone."""
    return replace(
        views,
        instants=tuple(views.instants[index] for index in instants),
        pixels=views.pixels[:, instants],
    )


def _counts(views: BoardViews, allowed: NDArray[np.bool_], there: NDArray[np.intp]) -> Floats:
    """Count the corners of each instant by the cell that they lie in, and by the cameras that share them."""
    seen = views.seen[:, there] & allowed[:, there, None]
    cameras = len(views.cameras)
    cells = np.zeros((len(there), cameras, GRID * GRID))
    for index, size in enumerate(views.sizes):
        share = views.pixels[index, there] / np.asarray(size)
        with np.errstate(invalid="ignore"):
            cell = np.clip(np.nan_to_num(share * GRID).astype(np.intp), 0, GRID - 1)
        instant, corner = np.nonzero(seen[index])
        at = cell[instant, corner]
        np.add.at(cells[:, index], (instant, at[:, 1] * GRID + at[:, 0]), 1.0)
    flat = seen.astype(np.float64)
    pairs = [
        (flat[first] * flat[second]).sum(axis=1)
        for first in range(cameras)
        for second in range(first + 1, cameras)
    ]
    return np.column_stack([cells.reshape(len(there), -1), *pairs])
