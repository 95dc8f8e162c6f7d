"""The board, in one of its positions, as the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anipipe.errors import DataError
from anipipe.numerics.calibration.views import BoardViews
from anipipe.numerics.cameras import Camera
from anipipe.numerics.lenses import Floats


@dataclass(frozen=True)
class World:
    """An instant at which the board lies where the world is to be.

    Attributes
    ----------
    trial
        The recording's name without the camera; None for any.
    frame
        The frame in it; None for the first in which the board's pose is known.
    """

    trial: str | None = None
    frame: int | None = None

    def __str__(self) -> str:
        """Name it in a message."""
        where = "any recording" if self.trial is None else f"the recording {self.trial!r}"
        return where if self.frame is None else f"frame {self.frame} of {where}"


def board_axes(views: BoardViews, boards: Floats, cameras: Sequence[Camera], world: World) -> Floats:
    """Return the world that a board lies in: origin and x axis are the board's, z points up to the cameras.

    Parameters
    ----------
    views
        The views, which tell the instants.
    boards
        (instants, 4, 4) board_to_world; NaN where the board's pose is not known.
    cameras
        In the same world.
    world
        Which instant.

    Returns
    -------
    (4, 4) the new world's transform to the old one.

    Raises
    ------
    DataError
        If there is no such instant, or the board's pose is not known in it.
    """
    known = np.isfinite(boards[:, 0, 0])
    fitting = [
        index
        for index, (trial, frame) in enumerate(views.instants)
        if known[index] and world.trial in (None, trial) and world.frame in (None, frame)
    ]
    if not fitting:
        there: dict[str, list[int]] = {}
        for (trial, frame), placed in zip(views.instants, known, strict=True):
            if placed:
                there.setdefault(trial, []).append(frame)
        trials = ", ".join(
            f"{trial!r} in frames {min(frames)} to {max(frames)}" for trial, frames in there.items()
        )
        raise DataError(
            f'calibration.world = "board": the board was not found in {world} (it was in {trials}); '
            "name one with calibration.world_recording and calibration.world_frame in which it lies where "
            "the origin is to be"
        )
    axes = boards[fitting[0]].copy()
    centres = np.array([camera.centre for camera in cameras]) - axes[:3, 3]
    if (centres @ axes[:3, 2]).mean() < 0:  # the board's z axis points away from the cameras
        axes[:3, 1:3] *= -1
    return np.asarray(axes)
