"""``pose-2d``: the 2D pose of each video, taken from what another program predicted."""

from __future__ import annotations

from dataclasses import dataclass

from anipipe.artifacts import POSE_2D, PREDICTIONS, Prediction
from anipipe.engine.declare import Stage
from anipipe.formats.poses2d import Pose2D
from anipipe.stages.options import SettingsOptions, setting


@dataclass(frozen=True)
class ImportOptions(SettingsOptions):
    """What is taken of a prediction."""

    track: str | None = setting("predictions.track")
    cropped: bool = setting("predictions.cropped")


def import_prediction(prediction: Prediction, *, options: ImportOptions) -> Pose2D:
    """Take the 2D poses of each video from DeepLabCut, Lightning Pose, EKS or SLEAP files in predictions/."""
    return prediction.load(track=options.track, cropped=options.cropped)


STAGE = Stage(
    name="pose-2d",
    aliases=("analyze", "label"),
    per="video",
    run=import_prediction,
    reads={"prediction": PREDICTIONS},
    writes=POSE_2D,
    options=ImportOptions,
)
