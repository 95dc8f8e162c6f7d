"""``anipipe calibration check``: what is wrong with a calibration, from itself and from what lies beside it.

The cameras alone tell the worst faults (two in one place, a copied section). The board's detections, where
there are any, tell how well the cameras fit it; 2D poses tell whether a camera was moved since.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anipipe.artifacts import BOARD_DETECTIONS, POSE_2D, POSE_2D_FILTERED, PREDICTIONS
from anipipe.commands.calibration_files import Source
from anipipe.config import Resolved, resolve
from anipipe.engine.declare import Unit
from anipipe.errors import AnipipeError, DataError, Notice, UsageError
from anipipe.formats.board_detections import read_board_detections
from anipipe.formats.calibrations import read_calibration
from anipipe.formats.importing import import_pose
from anipipe.formats.poses2d import Pose2D, read_pose_2d
from anipipe.formats.prediction_names import PREDICTION_SUFFIXES, video_of
from anipipe.numerics.boards.geometry import Board
from anipipe.numerics.calibration.alarms import Alarm, as_values, by_level, is_critical, rig_alarms
from anipipe.numerics.calibration.placing import board_residuals, place_boards
from anipipe.numerics.calibration.pose_alarms import (
    Trial,
    exchange_alarm,
    gather,
    pose_alarms,
    pose_errors,
)
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.solution_alarms import solution_alarms
from anipipe.numerics.calibration.views import pair_views
from anipipe.numerics.cameras import Rig
from anipipe.project.naming import split_name

MOST_TRIALS = 12  # of one calibration that are read, evenly from all: a moved camera shows in any

Stack = Callable[[Sequence[Pose2D], Resolved], np.ndarray]
MakeBoard = Callable[[Resolved], Board]


@dataclass(frozen=True)
class CameraRow:
    """What is told of one camera; errors in px, None where there is nothing to measure them by."""

    name: str
    size: tuple[int, int] | None
    focal_length: float
    nearest: str | None
    distance: float | None
    board_error: float | None = None
    pose_error: float | None = None


@dataclass
class Check:
    """What came out for one calibration."""

    path: Path
    units: str
    cameras: list[CameraRow]
    alarms: list[Alarm]
    looked_at: list[str]
    notices: list[str]

    @property
    def critical(self) -> bool:
        """Whether it must not be used."""
        return is_critical(self.alarms)

    def as_values(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "calibration": str(self.path),
            "units": self.units or None,
            "usable": not self.critical,
            "cameras": [asdict(row) for row in self.cameras],
            "alarms": as_values(self.alarms),
            "looked_at": self.looked_at,
            "notices": self.notices,
        }


def check(
    source: Source,
    *,
    stack: Stack,
    make_board: MakeBoard,
    poses: Path | None = None,
    cam_regex: str | None = None,
) -> Check:
    """Check one calibration.

    Parameters
    ----------
    source
        The calibration.
    stack
        Gives the pixels (cameras, frames, joints, 2) of a trial's views that triangulation would use.
    make_board
        Gives the board that settings describe.
    poses
        A folder of predictions to use instead of the sessions' poses.
    cam_regex
        What finds the camera in their names, if not the experiment's.

    Raises
    ------
    UsageError
        If ``poses`` cannot be used.
    DataError
        If the calibration cannot be read.
    """
    rig = read_calibration(source.path)
    result = Check(source.path, str(rig.metadata.get("units") or ""), [], rig_alarms(rig), [], [])
    with _noting(result.notices):
        _hold_against_all(source, rig, stack, make_board, poses, cam_regex, result)
    if not result.looked_at:
        result.looked_at.append("the cameras alone: no 2D poses and no detections of the board beside them")
    return result


@contextmanager
def _noting(notices: list[str]) -> Iterator[None]:
    """Collect what readers have to say, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        yield
    told = [str(warning.message) for warning in caught if issubclass(warning.category, Notice)]
    notices += [text for text in dict.fromkeys(told) if text not in notices]


def _hold_against_all(
    source: Source,
    rig: Rig,
    stack: Stack,
    make_board: MakeBoard,
    poses: Path | None,
    cam_regex: str | None,
    result: Check,
) -> None:
    """Hold cameras against the board and against 2D poses; write what comes out into the result."""
    board_errors = _hold_against_board(source, rig, make_board, result)
    settings = source.unit.settings if source.unit is not None else resolve(())
    if poses is not None:
        groups = _in_folder(poses, cam_regex or settings.config.triangulation.cam_regex)
    else:
        groups = [unit.related["video"] for session in source.sessions for unit in session.related["trial"]]
    trials = _trials(source, groups, settings, stack, result)
    pose_error: list[float | None] = [None] * len(rig)
    if trials:
        result.alarms += pose_alarms(rig, trials)
        pose_error = pose_errors(rig, gather(rig, trials))
    result.alarms = by_level(result.alarms)
    result.cameras = _rows(rig, board_errors, pose_error)


def _rows(rig: Rig, board: Sequence[float | None], poses: Sequence[float | None]) -> list[CameraRow]:
    rows = []
    for index, camera in enumerate(rig.cameras):
        others = [
            (float(np.linalg.norm(camera.centre - other.centre)), other.name)
            for other in rig.cameras
            if other is not camera
        ]
        distance, nearest = min(others) if others else (None, None)
        rows.append(
            CameraRow(
                camera.name,
                camera.size,
                float(camera.matrix[0, 0]),
                nearest,
                distance,
                board[index],
                poses[index],
            )
        )
    return rows


def _hold_against_board(source: Source, rig: Rig, make_board: MakeBoard, result: Check) -> list[float | None]:
    """Hold cameras against detections of the board; return each camera's median error, px."""
    nothing: list[float | None] = [None] * len(rig)
    if source.unit is None or source.root is None:
        return nothing
    boards = source.unit.related["board"]
    paths = [source.root / path for unit in boards for path in BOARD_DETECTIONS.paths(unit)]
    try:
        detections = [read_board_detections(path) for path in paths if path.is_file()]
        known = [found for found in detections if found.camera in rig.names]
        if len({found.camera for found in known}) < 2:
            return nothing
        points = make_board(source.unit.settings).points
        views = pair_views(known, len(points))
        seen_by = rig.subset(views.cameras)
        placed = place_boards(views, seen_by.cameras, points)
    except (AnipipeError, OSError) as error:
        result.notices.append(f"not held against the board: {error}")
        return nothing
    residuals = board_residuals(views.pixels, seen_by.cameras, placed, points)
    solution = Solution(Rig(seen_by.cameras, rig.metadata), placed, residuals, np.isfinite(residuals[..., 0]))
    alarms, exchange = solution_alarms(views, solution, points), None
    if is_critical(alarms):
        seen = views.pixels.reshape(len(views.cameras), -1, 2)
        corners = gather(seen_by, [Trial(tuple(views.cameras), seen)])
        exchange = exchange_alarm(solution.rig, corners, "the board")
    result.alarms += alarms if exchange is None else [exchange]  # from which the others follow
    result.looked_at.append(f"{int(solution.kept.sum())} corners of the board in {len(known)} recordings")
    errors = {
        name: float(np.median(off[np.isfinite(off)]))
        for name, off in zip(views.cameras, solution.distances, strict=True)
        if np.isfinite(off).any()
    }
    return [errors.get(name) for name in rig.names]


def _in_folder(folder: Path, pattern: str | None) -> list[list[Unit]]:
    """Find the predictions in a folder, as trials of videos."""
    if not folder.is_dir():
        raise UsageError(f"--poses {folder}: there is no such folder")
    if pattern is None:
        raise UsageError(
            "--poses: tell with --cam-regex what finds the camera in a file's name, such as '_cam([A-Z])$'"
        )
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--cam-regex {pattern!r} is no regular expression: {error}") from error
    if regex.groups < 1:
        raise UsageError(f"--cam-regex {pattern!r} has no group in ( ) around the camera's name")
    videos: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name.lower().endswith(PREDICTION_SUFFIXES):
            videos.setdefault(video_of(path.name), []).append(path)
    trials: dict[str, list[Unit]] = {}
    for video, paths in videos.items():
        try:
            camera, trial = split_name(video, regex, str(paths[0]))
        except DataError:
            continue
        files = {PREDICTIONS.name: tuple(str(path.absolute()) for path in paths)}
        names = {"camera": camera, "video": video}
        trials.setdefault(trial, []).append(Unit("video", video, "", video, "", names, None, files))
    if not trials:
        raise UsageError(
            f"--poses {folder}: no predictions with a camera in their names that {pattern!r} finds"
        )
    return list(trials.values())


def _trials(
    source: Source, groups: Sequence[Sequence[Unit]], settings: Resolved, stack: Stack, result: Check
) -> list[Trial]:
    """Read the 2D poses of some trials; what cannot be read is told, and left out."""
    chosen = [groups[at] for at in np.linspace(0, len(groups) - 1, min(len(groups), MOST_TRIALS)).astype(int)]
    trials = []
    for videos in chosen:
        own = videos[0].settings or settings
        poses = []
        for video in videos:
            try:
                pose = _read(video, source.root or Path(), own)
            except (AnipipeError, OSError) as error:
                result.notices.append(str(error))
                continue
            poses += [] if pose is None else [replace(pose, camera=video.names["camera"])]
        if len(poses) < 2:
            continue
        pixels = stack(poses, own)
        trials.append(Trial(tuple(pose.camera for pose in poses), pixels.reshape(len(poses), -1, 2)))
    if trials:
        of = f" of {len(groups)}" if len(groups) > len(trials) else ""
        result.looked_at.append(f"2D poses of {len(trials)}{of} trial{'s' if len(trials) > 1 else ''}")
    return trials


def _read(video: Unit, root: Path, settings: Resolved) -> Pose2D | None:
    """Read a video's 2D pose: the filtered one, else the raw one, else the prediction; None without any."""
    for artifact in (POSE_2D_FILTERED, POSE_2D):
        paths = artifact.paths(video) if "session" in video.names else ()
        if paths and (root / paths[0]).is_file():
            return read_pose_2d(root / paths[0])
    files = [root / path for path in video.files.get(PREDICTIONS.name, ())]
    return import_pose(files, track=settings.config.predictions.track) if files else None
