"""Whether cameras hang together firmly enough to be calibrated as one rig."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from anipipe.errors import DataError
from anipipe.numerics.calibration.coverage import GOOD_LINK, WEAK_LINK
from anipipe.numerics.calibration.views import BoardViews, groups, shared_corners, usable


def check_links(views: BoardViews, board_points: ArrayLike) -> None:
    """Refuse cameras of which some share too little of the board with all others.

    Parameters
    ----------
    views
        The views; all cameras hang together somehow.
    board_points
        (corners, 3), on the board.

    Raises
    ------
    DataError
        Some cameras share fewer than :data:`~anipipe.numerics.calibration.coverage.WEAK_LINK` corners with
        any of the others: what follows of their place would be chance.
    """
    shared = shared_corners(views, usable(views, board_points))
    apart = groups(np.where(shared >= WEAK_LINK, shared, 0))
    if len(apart) < 2:
        return
    inside = np.zeros(len(shared), dtype=bool)
    inside[apart[0]] = True
    across = np.where(inside[:, None] & ~inside, shared, 0)
    first, second = np.unravel_index(int(across.argmax()), across.shape)
    names = " | ".join(", ".join(views.cameras[index] for index in group) for group in apart)
    raise DataError(
        f"these groups of cameras share too little of the board to be put together: {names}. The most that "
        f"two of them saw at one time are {across.max()} corners, by cameras {views.cameras[first]} and "
        f"{views.cameras[second]}; {WEAK_LINK} are the least, {GOOD_LINK} or more make a good calibration. "
        "Record the board for longer where both see it, in several positions."
    )
