"""A solution for what cameras saw of the board: their true places, the board's found by them."""

from __future__ import annotations

import numpy as np
from synthetic_board import BOARD

from anipipe.numerics.calibration.placing import board_residuals, place_boards
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.views import BoardViews
from anipipe.numerics.cameras import Rig

FARTHEST_KEPT = 1.0  # px


def solution_of(views: BoardViews, rig: Rig, board: np.ndarray = BOARD) -> Solution:
    cameras = rig.subset(views.cameras).cameras
    boards = place_boards(views, cameras, board)
    residuals = board_residuals(views.pixels, cameras, boards, board)
    with np.errstate(invalid="ignore"):
        kept = np.hypot(residuals[..., 0], residuals[..., 1]) < FARTHEST_KEPT
    return Solution(Rig(cameras, rig.metadata), boards, residuals, kept)
