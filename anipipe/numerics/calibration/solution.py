"""What a calibration came to: the cameras, where the board was, and how far each corner is off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.cameras import Rig
from anipipe.numerics.lenses import Floats


@dataclass(frozen=True, eq=False)
class Solution:
    """A calibration and what it rests on; the axes are those of the board's views.

    Attributes
    ----------
    rig
        The cameras, in the views' order. Metadata: ``adjusted`` (whether the animal took part), ``error``
        (px), ``engine``, ``units``.
    boards
        (instants, 4, 4) board_to_world; NaN where the board's pose is not known.
    residuals
        (cameras, instants, corners, 2) px: where the corner of the rigid board is projected, less where it
        was detected; NaN where it was not seen, or the board's pose is not known. Of all corners that were
        detected, those that were left out too.
    kept
        (cameras, instants, corners): the corner took part in the last solution.
    deviations
        Standard deviation of each parameter that was estimated, by camera and parameter: ``focal_length``,
        ``axis_x`` and ``axis_y`` (px), ``k1`` and so on, ``rotation_x`` .. ``rotation_z`` (degrees, about the
        camera's own axes), ``centre_x`` .. ``centre_z`` (length unit, of the camera's place in the world,
        whose origin and axes count as exact). Empty where the engine does not tell.
    guessed
        Names of cameras whose focal length nothing told: the recordings do not, nor cameras to start from.
    remarks
        What was fixed or changed on the way, and why.
    """

    rig: Rig
    boards: Floats
    residuals: Floats
    kept: NDArray[np.bool_]
    deviations: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def distances(self) -> Floats:
        """(cameras, instants, corners): length of the residuals, px."""
        return np.asarray(np.sqrt(self.residuals[..., 0] ** 2 + self.residuals[..., 1] ** 2))
