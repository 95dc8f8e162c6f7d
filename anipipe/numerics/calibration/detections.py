"""What recordings showed of the calibration board, and that they count its corners alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.numerics.lenses import Floats


class Detections(Protocol):
    """What one recording showed of the board: arrays of one row per corner that was seen."""

    @property
    def camera(self) -> str:
        """Name of the camera."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the images, px."""

    @property
    def frames(self) -> int:
        """How many frames were looked at."""

    @property
    def trials(self) -> NDArray[Any]:
        """(m,) name of the recording without the camera."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(m,) frame in the recording."""

    @property
    def corners(self) -> NDArray[np.int64]:
        """(m,) corner on the board."""

    @property
    def points(self) -> Floats:
        """(m, 2) px."""

    @property
    def legacy(self) -> bool | None:
        """Whether the board was read in the layout of OpenCV before 4.6.

        None where what was seen fits both layouts: then each corner has the number before in the legacy one.
        """

    @property
    def remark(self) -> str:
        """What may be the reason if nothing was seen."""


def common_layout(parts: Sequence[Detections]) -> bool | None:
    """Return which layout the board has, by all recordings that tell it.

    Parameters
    ----------
    parts
        The recordings of all cameras.

    Returns
    -------
    Whether it is the legacy one; None if nothing was seen that tells it. The numbers that the recordings give
    to a corner then agree with each other, and may all be one too high, which moves the board, no camera.

    Raises
    ------
    DataError
        Some read it in one layout and some in the other.
    """
    legacy, new = (
        list(dict.fromkeys(part.camera for part in parts if part.legacy is kind and len(part.corners)))
        for kind in (True, False)
    )
    if legacy and new:
        raise DataError(
            "cameras read the board in different layouts, so that they do not mean the same corners: "
            f"{', '.join(legacy)} in that of OpenCV before 4.6, {', '.join(new)} in the present one. Set "
            "`calibration.board_legacy = true` if there is a marker in its top left square, "
            "`calibration.board_legacy = false` if that square is black."
        )
    return bool(legacy) if legacy or new else None


def numbered(part: Detections, legacy: bool | None) -> NDArray[np.int64]:
    """Return the numbers of a recording's corners, (m,), on the board in the layout that it has."""
    corners = np.asarray(part.corners)
    return corners - 1 if part.legacy is None and legacy else corners
