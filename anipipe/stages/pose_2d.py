"""``pose-2d``: the 2D pose of each video, taken from what another program predicted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

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
        size, frames = video.info.size, video.info.frames
        rows = len(pose.points)
        frames = frames if frames == rows else video.count()  # what a container announces may be wrong
    except DataError as error:
        warnings.warn(f"{error} The predictions are used all the same.", Notice, stacklevel=2)
        return pose
    pose = replace(pose, size=size)
    if rows == frames:
        return pose
    if rows > frames:
        text = f"the predictions go on for {rows} frames: are they of another video?"
        warnings.warn(f"{video.path.name} has {frames} frames, but {text}", Notice, stacklevel=2)
        return pose
    text = f"the predictions end after {rows}: the frames from {rows} on have no 2D pose"
    warnings.warn(f"{video.path.name} has {frames} frames, but {text}", Notice, stacklevel=2)
    return _lengthened(pose, frames)


def _lengthened(pose: Pose2D, frames: int) -> Pose2D:
    rows = (0, frames - len(pose.points))
    return replace(
        pose,
        points=np.pad(pose.points, (rows, (0, 0), (0, 0), (0, 0)), constant_values=np.nan),
        scores=np.pad(pose.scores, (rows, (0, 0), (0, 0)), constant_values=np.nan),
        filled=None if pose.filled is None else np.pad(pose.filled, (rows, (0, 0))),
    )


STAGE = Stage(
    name="pose-2d",
    aliases=("analyze", "label"),
    per="video",
    run=import_prediction,
    reads={"prediction": PREDICTIONS, "video": consulted(VIDEO)},
    writes=POSE_2D,
    options=ImportOptions,
)
