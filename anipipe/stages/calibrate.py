"""``calibrate``: the cameras of a rig, from recordings of the calibration board."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from anipipe.artifacts import (
    BOARD_DETECTIONS,
    BOARD_RECORDING,
    CALIBRATION,
    CALIBRATION_PAGE,
    CALIBRATION_REPORT,
    POSE_2D,
    POSE_2D_FILTERED,
    STARTING_CALIBRATION,
    BoardRecording,
)
from anipipe.engine.declare import Stage, consulted, each, first_enabled, gathered, optional
from anipipe.errors import DataError, Notice
from anipipe.formats.board_detections import BoardDetections
from anipipe.formats.calibration_page import calibration_page
from anipipe.formats.poses2d import Pose2D
from anipipe.numerics.boards.geometry import Board
from anipipe.numerics.calibration import aniposelib_solver, solver
from anipipe.numerics.calibration.errors import corner_errors
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.solution_alarms import misfit
from anipipe.numerics.calibration.start import Wish
from anipipe.numerics.calibration.views import BoardViews, of_cameras, pair_views
from anipipe.numerics.calibration.world import World
from anipipe.numerics.cameras import Rig
from anipipe.stages.boards import BoardOptions
from anipipe.stages.calibration_evidence import animal_points, page_without_board, pictures
from anipipe.stages.options import engine_version, setting
from anipipe.stages.pose_3d import in_three_dimensions


@dataclass(frozen=True)
class CalibrationOptions(BoardOptions):
    """How cameras are calibrated."""

    engine: str = setting("calibration.engine")
    init: str | None = setting("calibration.calibration_init")
    fisheye: bool = setting("calibration.fisheye")
    distortion: str = setting("calibration.distortion")
    axis: str = setting("calibration.optical_axis")
    fix: tuple[str, ...] = setting("calibration.fix")
    units: str = setting("calibration.units")
    world: str = setting("calibration.world")
    world_recording: str | None = setting("calibration.world_recording")
    world_frame: int | None = setting("calibration.world_frame")
    animal: bool = setting("calibration.animal_calibration")
    cam_regex: str = setting("triangulation.cam_regex")
    offsets: dict[str, list[float]] = setting("cameras.*.offset")
    frame_offsets: dict[str, int] = setting("cameras.*.frame_offset")

    def facts(self) -> dict[str, Any]:
        """Return every key with its value; what is said of recordings matters if the animal takes part."""
        facts = super().facts()
        if not self.animal:
            facts |= {key: {} for key in ("cameras.*.offset", "cameras.*.frame_offset")}
        if self.world != "board":
            facts |= dict.fromkeys(("calibration.world_recording", "calibration.world_frame"))
        return facts | engine_version(self.engine)

    def wish(self) -> Wish:
        """Return what is asked of the solver."""
        on_board = self.world == "board"
        return Wish(
            fisheye=self.fisheye,
            distortion=self.distortion,
            axis=self.axis == "free",
            fix=self.fix,
            world=World(self.world_recording, self.world_frame) if on_board else None,
            units=self.units,
        )


def calibrate(
    detections: Sequence[BoardDetections],
    recordings: Sequence[BoardRecording],
    init: Rig | None,
    poses: Sequence[Pose2D] = (),
    *,
    options: CalibrationOptions,
) -> tuple[Rig, dict[str, Any], str]:
    """Calibrate the cameras with what was seen of the board; report.html shows how good the result is.

    It also says what to film again. Cameras are put together by the names of their recordings and by frame:
    what the board was at one instant has to be called alike but for the camera (board_A.mp4, board_B.mp4) and
    start at one time. A calibration.toml that anipipe did not make is used as it is, and never replaced.
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
        return init, {"source": options.init}, page_without_board(text)
    board = options.board()
    _warn_of_ambiguity(board)
    views = pair_views(detections, len(board.points))
    solution = _solve(views, board, init, poses, options)
    report = corner_errors(views, solution, board.points)
    _refuse_nonsense(report, solution, views, board, options)
    _tell(report, solution)
    page = calibration_page(
        report, views, solution, board.points, pictures(views, recordings, options.cam_regex)
    )
    return solution.rig, report, page


def _warn_of_ambiguity(board: Board) -> None:
    if board.ambiguous:
        text = (
            f"a checkerboard of {board.size[0]} x {board.size[1]} inner corners looks the same turned by 180 "
            "degrees, and cameras may take its ends for each other: film it upright in all of them, use one "
            "with an even and an odd number of corners, or a ChArUco board"
        )
        warnings.warn(text, Notice, stacklevel=3)


def _solve(
    views: BoardViews, board: Board, init: Rig | None, poses: Sequence[Pose2D], options: CalibrationOptions
) -> Solution:
    """Let the engine that was asked for calibrate."""
    if options.engine == aniposelib_solver.ENGINE:
        if options.animal:
            text = 'calibration.animal_calibration: needs calibration.engine = "anipipe"; it has no effect'
            warnings.warn(text, Notice, stacklevel=3)
        return aniposelib_solver.calibrate(views, board.points, init=init, wish=options.wish())
    animal = None
    if options.animal:
        animal = animal_points(poses, views, options.offsets, options.frame_offsets)
    return solver.calibrate(views, board.points, init=init, wish=options.wish(), animal=animal)


def _refuse_nonsense(
    report: Mapping[str, Any],
    solution: Solution,
    views: BoardViews,
    board: Board,
    options: CalibrationOptions,
) -> None:
    """Refuse cameras that nobody should use; 3D from them would be worse than none.

    Raises
    ------
    DataError
        With all critical alarms; where cameras do not explain what they saw of the board, naming the camera
        that contradicts the others, if leaving out one makes the rest fit.
    """
    critical = [alarm for alarm in report["alarms"] if alarm["level"] == "critical"]
    if not any(misfit(off, size) for off, size in zip(solution.distances, views.sizes, strict=True)):
        if critical:
            texts = dict.fromkeys(f"{alarm['text']}. {alarm['remedy']}" for alarm in critical)
            raise DataError(f"not usable: {' '.join(texts)}")
        return
    off = {name: told["mean"] or 0.0 for name, told in report["cameras"].items()}
    worst = sorted(off, key=lambda name: -off[name])
    told = ", ".join(f"camera {name} {_px(off[name])}" for name in worst)
    odd = _odd_one_out(views, board, worst, options)
    without = (
        f"Without camera {odd} the others agree: something is wrong with its recordings. " if odd else ""
    )
    raise DataError(
        "no cameras fit what was seen of the board: corners lie far from where they should (mean: "
        f"{told} px). {without}Were the recordings of one name made at the same time, frame by frame? Is the "
        "board the one in [calibration]? Is it seen in a mirror by some? Does it look the same when it is "
        "turned by 180 degrees? Did a camera move?"
    )


def _odd_one_out(
    views: BoardViews, board: Board, suspects: Sequence[str], options: CalibrationOptions
) -> str | None:
    """Return the camera without which the others can be calibrated, if leaving out one is enough."""
    if len(views.cameras) < 3 or options.fix:
        return None
    for name in suspects:
        left = [index for index, camera in enumerate(views.cameras) if camera != name]
        rest = of_cameras(views, left)
        try:
            found = solver.calibrate(rest, board.points, wish=replace(options.wish(), world=None))
        except DataError:
            continue
        if not any(misfit(2 * off, size) for off, size in zip(found.distances, rest.sizes, strict=True)):
            return name
    return None


def _tell(report: Mapping[str, Any], solution: Solution) -> None:
    """Say on the terminal how good it is: a line per camera, and what to worry about."""
    overall, cameras = report["overall"], report["cameras"]
    told = [
        f"reprojection error of all {overall['corners']} corners: median {_px(overall['median'])}, mean "
        f"{_px(overall['mean'])}, 95 % below {_px(overall['p95'])}, largest {_px(overall['max'])} px",
        *(
            f"camera {name}: mean {_px(errors['mean'])}, 95 % below {_px(errors['p95'])}, largest "
            f"{_px(errors['max'])} px; {errors['corners']} corners in {errors['frames']} frames; "
            f"focal length {errors['focal_length']:.1f} px"
            for name, errors in cameras.items()
        ),
        *solution.remarks,
        *(
            f"{alarm['level']}: {alarm['text']}. {alarm['remedy']}"
            for alarm in report["alarms"]
            if alarm["level"] != "note"
        ),
    ]
    for text in told:
        warnings.warn(text, Notice, stacklevel=3)


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
        "poses": gathered(first_enabled(POSE_2D_FILTERED, POSE_2D)),
    },
    writes=(CALIBRATION, CALIBRATION_REPORT, CALIBRATION_PAGE),
    version=2,
    options=CalibrationOptions,
    enabled=in_three_dimensions,
    libraries=("opencv-contrib-python",),
)
