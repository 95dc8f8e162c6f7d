"""What a calibration takes from elsewhere: pictures for its report, and the animal's tracked joints."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import BoardRecording
from anipipe.errors import DataError, Notice
from anipipe.formats.poses2d import Pose2D
from anipipe.numerics.calibration.animal import pooled
from anipipe.numerics.calibration.views import BoardViews
from anipipe.project.naming import split_name
from anipipe.stages.pose_3d import check_size, common_frames

Floats = NDArray[np.float64]

_QUALITY = 75  # of JPEG: enough to recognise the scene


def pictures(views: BoardViews, recordings: Sequence[BoardRecording], cam_regex: str) -> dict[str, bytes]:
    """Return a JPEG of each camera, of the frame that shows most of the board.

    Cameras whose recordings are gone, or cannot be read, have none: the report does without.
    """
    pattern, best = re.compile(cam_regex), {name: -1 for name in views.cameras}
    found = {}
    for recording in recordings:
        camera = recording.camera
        if camera not in best:
            continue
        trials = [split_name(path.stem, pattern, str(path))[1] for path in recording.paths]
        counts = views.seen[views.cameras.index(camera)].sum(axis=1)
        own = [index for index, (trial, _) in enumerate(views.instants) if trial in trials]
        most = max(own, key=lambda index: int(counts[index]), default=None)
        if most is None or counts[most] <= best[camera]:
            continue
        trial, number = views.instants[most]
        try:
            picture = next(iter(recording.open().read([trials.index(trial) if recording.stills else number])))
        except (DataError, StopIteration):
            continue
        if picture[1] is not None:
            found[camera], best[camera] = _jpeg(picture[1]), int(counts[most])
    return found


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    import cv2

    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def page_without_board(text: str) -> str:
    """Return a report that says why there is nothing to report."""
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Calibration</title>\n'
        f"<h1>Calibration</h1>\n<p>{html.escape(text)}</p>\n</html>\n"
    )


def animal_points(
    poses: Iterable[Pose2D],
    views: BoardViews,
    offsets: Mapping[str, Sequence[float]],
    frame_offsets: Mapping[str, int],
) -> Floats | None:
    """Gather joints that several cameras saw at one time, from all trials under a calibration.

    Parameters
    ----------
    poses
        2D poses of all trials, told apart by :attr:`Pose2D.trial`, those of one trial together. Those of
        pictures that do not lie within the board's are left out, and told in a Notice.
    views
        Of the board, by the cameras that are being calibrated.
    offsets, frame_offsets
        Of the cameras, as for triangulation.

    Returns
    -------
    (cameras, points, 2) px, NaN where unseen; None, and a Notice, if there are none.
    """
    cameras = views.cameras
    fitting = (pose for pose in poses if pose.camera in cameras and _fits(pose, views, offsets))
    trials = (list(group) for _, group in groupby(fitting, key=lambda pose: pose.trial))
    chosen = pooled(_trial(group, cameras, offsets, frame_offsets) for group in trials if len(group) > 1)
    if chosen.shape[1]:
        return chosen
    text = (
        "calibration.animal_calibration: there are no joints that two cameras saw at one time with a good "
        "score (among 2D poses that are up to date); the board alone calibrates"
    )
    warnings.warn(text, Notice, stacklevel=2)
    return None


def _fits(pose: Pose2D, views: BoardViews, offsets: Mapping[str, Sequence[float]]) -> bool:
    """Say whether a pose's pictures are, or lie within, those that its camera is calibrated with."""
    size = views.sizes[views.cameras.index(pose.camera)]
    try:
        check_size(pose, size, offsets.get(pose.camera))
    except DataError as error:
        warnings.warn(
            f"calibration.animal_calibration leaves out {pose.video}: {error}", Notice, stacklevel=3
        )
        return False
    return True


def _trial(
    views: Sequence[Pose2D],
    cameras: Sequence[str],
    offsets: Mapping[str, Sequence[float]],
    frame_offsets: Mapping[str, int],
) -> tuple[Floats, Floats]:
    """Bring the views of a trial to common joints and frames: (cameras, points, 2) px and their scores."""
    joints = tuple(dict.fromkeys(joint for view in views for joint in view.joints))
    rows, frames = common_frames(views, frame_offsets)
    pixels = np.full((len(cameras), frames, len(joints), 2), np.nan)
    scores = np.full((len(cameras), frames, len(joints)), np.nan)
    for view, (own, common) in zip(views, rows, strict=True):
        index = cameras.index(view.camera)
        for at, joint in enumerate(view.joints):
            seen = view.scores[own, at, 0]
            if view.filled is not None:
                seen = np.where(view.filled[own, at], np.nan, seen)
            column = joints.index(joint)
            pixels[index, common, column] = view.points[own, at, 0] + np.asarray(
                offsets.get(view.camera, (0, 0))
            )
            scores[index, common, column] = seen
    return pixels.reshape(len(cameras), -1, 2), scores.reshape(len(cameras), -1)
