"""``calibrate``: the cameras of a rig, from recordings of the calibration board."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anipipe.artifacts import (
    BOARD_DETECTIONS,
    BOARD_RECORDING,
    CALIBRATION,
    CALIBRATION_REPORT,
    STARTING_CALIBRATION,
    BoardRecording,
)
from anipipe.engine.declare import Stage, consulted, each, optional
from anipipe.errors import DataError, Notice
from anipipe.formats.board_detections import BoardDetections
from anipipe.numerics.calibration.aniposelib_solver import calibrate as solve
from anipipe.numerics.calibration.errors import corner_errors
from anipipe.numerics.calibration.views import pair_views
from anipipe.numerics.cameras import Rig
from anipipe.stages.boards import BoardOptions
from anipipe.stages.options import setting
from anipipe.stages.pose_3d import in_three_dimensions

#: Of a picture's diagonal: a larger median error is no calibration.
_TOO_FAR = 0.005


@dataclass(frozen=True)
class CalibrationOptions(BoardOptions):
    """How cameras are calibrated."""

    init: str | None = setting("calibration.calibration_init")
    fisheye: bool = setting("calibration.fisheye")
    distortion: str = setting("calibration.distortion")
    fix: tuple[str, ...] = setting("calibration.fix")
    units: str = setting("calibration.units")


def calibrate(
    detections: Sequence[BoardDetections],
    recordings: Sequence[BoardRecording],
    init: Rig | None,
    *,
    options: CalibrationOptions,
) -> tuple[Rig, dict[str, Any]]:
    """Calibrate the cameras with what was seen of the board; writes calibration.toml and report.json.

    Cameras are put together by the names of their recordings and by frame: what the board was at one instant
    has to be called alike but for the camera (board_A.mp4, board_B.mp4) and start at one time. A
    calibration.toml that anipipe did not make is used as it is, and never replaced.
    """
    if options.init is not None and init is None:
        raise DataError(f"calibration.calibration_init = {options.init!r}: there is no such file")
    if not len(detections):
        if init is None:
            raise DataError(
                "calibration/calibration.toml is not there, or empty, and there are no recordings of the "
                "board to make it from; put one or the other into the folder"
            )
        text = f"no recordings of the board: the cameras are those of calibration_init = {options.init!r}"
        warnings.warn(text, Notice, stacklevel=2)
        return init, {"source": options.init}
    board = options.board()
    if board.ambiguous:
        text = (
            f"a checkerboard of {board.size[0]} x {board.size[1]} inner corners looks the same turned by 180 "
            "degrees, and cameras may take its ends for each other: film it upright in all of them, use one "
            "with an even and an odd number of corners, or a ChArUco board"
        )
        warnings.warn(text, Notice, stacklevel=2)
    views = pair_views(detections, len(board.points))
    solution = solve(
        views,
        board.points,
        init=init,
        fisheye=options.fisheye,
        distortion=options.distortion,
        fix=options.fix,
        units=options.units,
    )
    report = corner_errors(views, solution.rig, board.points)
    _refuse_nonsense(report, views.sizes)
    warnings.warn(_in_short(report), Notice, stacklevel=2)
    return solution.rig, report


def _refuse_nonsense(report: dict[str, Any], sizes: Sequence[tuple[int, int]]) -> None:
    """Refuse cameras that do not explain what they saw; 3D from them would be worse than none."""
    median, limit = report["overall"]["median"], max(_TOO_FAR * max(math.hypot(*size) for size in sizes), 5.0)
    if median is None or median <= limit:
        return
    known = [pair for pair in report["pairs"] if pair["median"] is not None]
    worst = max(known, key=lambda pair: pair["median"], default=None)
    pair = f"; worst together are cameras {' and '.join(worst['cameras'])}" if worst else ""
    raise DataError(
        f"no cameras fit what was seen of the board: corners lie {_px(median)} px (median) from where they "
        f"should{pair}. Were the recordings of one name made at the same time, frame by frame? Is the board "
        "the one in [calibration]? Does it look the same when it is turned by 180 degrees?"
    )


def _in_short(report: dict[str, Any]) -> str:
    overall, cameras = report["overall"], report["cameras"]
    each_camera = ", ".join(f"{name} {_px(errors['mean'])}" for name, errors in cameras.items())
    return (
        f"reprojection error of all {overall['corners']} corners: median {_px(overall['median'])}, mean "
        f"{_px(overall['mean'])}, largest {_px(overall['max'])} px (mean by camera: {each_camera})"
    )


def _px(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


STAGE = Stage(
    name="calibrate",
    per="calibration",
    run=calibrate,
    reads={
        "detections": each(BOARD_DETECTIONS),
        "recordings": consulted(each(BOARD_RECORDING)),
        "init": optional(STARTING_CALIBRATION),
    },
    writes=(CALIBRATION, CALIBRATION_REPORT),
    options=CalibrationOptions,
    enabled=in_three_dimensions,
    libraries=("aniposelib", "opencv-contrib-python"),
)
