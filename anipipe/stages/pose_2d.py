"""``pose-2d``: the 2D pose of each video, taken from what another program predicted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import POSE_2D, PREDICTIONS, VIDEO, Prediction
from anipipe.engine.declare import Stage, consulted
from anipipe.errors import DataError, Notice
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.video import Video
from anipipe.stages.options import SettingsOptions, setting


@dataclass(frozen=True)
class ImportOptions(SettingsOptions):
    """What is taken of a prediction."""

    track: str | None = setting("predictions.track")
    cropped: bool = setting("predictions.cropped")


def import_prediction(prediction: Prediction, video: Video | None, *, options: ImportOptions) -> Pose2D:
    """Take the 2D poses of each video from DeepLabCut, Lightning Pose, EKS or SLEAP files in predictions/.

    Files that lie beside the videos in videos-raw/ are found as well. Where the video is there, its length
    is compared with that of the prediction.
    """
    pose = prediction.load(track=options.track, cropped=options.cropped)
    return pose if video is None else fit_to_video(pose, video)


def fit_to_video(pose: Pose2D, video: Video) -> Pose2D:
    """Note the size of a pose's video, and give the pose one row per frame of it."""
    try:
        size, frames = video.info.size, video.count()  # what a container announces may be wrong
        shown = np.flatnonzero(np.isfinite(video.timestamps()))
    except DataError as error:
        warnings.warn(f"{error} The predictions are used all the same.", Notice, stacklevel=2)
        return pose
    pose, rows = replace(pose, size=size), len(pose.points)
    if rows == frames:
        return pose
    if rows == len(shown):
        text = (
            f"{video.path.name} lacks {frames - rows} frames, which the predictions do not count: their rows "
        )
        warnings.warn(f"{text}are moved to the frames that they are of", Notice, stacklevel=2)
        return _spread(pose, shown, frames)
    if rows > frames:
        text = f"the predictions go on for {rows} frames: are they of another video?"
        warnings.warn(f"{video.path.name} has {frames} frames, but {text}", Notice, stacklevel=2)
        return pose
    text = f"the predictions end after {rows}: the frames from {rows} on have no 2D pose"
    warnings.warn(f"{video.path.name} has {frames} frames, but {text}", Notice, stacklevel=2)
    return _spread(pose, np.arange(rows), frames)


def _spread(pose: Pose2D, places: NDArray[np.intp], frames: int) -> Pose2D:
    """Return a pose of ``frames`` rows, of which those in ``places`` are its own and the others missing."""
    points = np.full((frames, *pose.points.shape[1:]), np.nan)
    scores = np.full((frames, *pose.scores.shape[1:]), np.nan)
    points[places], scores[places] = pose.points, pose.scores
    filled = None if pose.filled is None else np.zeros((frames, len(pose.joints)), dtype=np.bool_)
    if filled is not None:
        filled[places] = pose.filled
    return replace(pose, points=points, scores=scores, filled=filled)


STAGE = Stage(
    name="pose-2d",
    aliases=("analyze", "label"),
    per="video",
    run=import_prediction,
    reads={"prediction": PREDICTIONS, "video": consulted(VIDEO)},
    writes=POSE_2D,
    options=ImportOptions,
)
