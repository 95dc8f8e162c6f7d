"""``pose-2d``: the 2D pose of each video, found by a network or taken from what another program predicted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import MODEL, POSE_2D, PREDICTIONS, VIDEO, Prediction
from anipipe.engine.declare import Stage, Unit, consulted, optional
from anipipe.engine.progress import tell
from anipipe.errors import Concern, DataError, Notice
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.recording_times import OFTEN_LOST
from anipipe.formats.video import Video
from anipipe.networks.models import Precision
from anipipe.networks.sources import ModelSource
from anipipe.stages.options import SettingsOptions, setting

if TYPE_CHECKING:
    from anipipe.networks.tracking import Tracked


@dataclass(frozen=True)
class PoseOptions(SettingsOptions):
    """What is taken of a prediction; what a network is asked for, and how it is run."""

    track: str | None = setting("predictions.track")
    cropped: bool = setting("predictions.cropped")
    num_outputs: int = setting("network.num_outputs")
    crop: Any = setting("network.crop")
    dynamic_crop: bool = setting("network.dynamic_crop")
    precision: Precision = setting("network.precision")
    device: str = setting("network.device", fact=False)
    batch_size: int | str = setting("network.batch_size", fact=False)
    #: The section that matters; both, as long as it is open which.
    section: str = ""

    def facts(self) -> dict[str, Any]:
        """Return the keys that matter, with their values."""
        return {key: value for key, value in super().facts().items() if key.startswith(self.section)}

    def for_video(self, video: Unit) -> PoseOptions:
        """Return what matters for one video: of a network, with the crop of its camera."""
        if not uses_network(video):
            return replace(self, section="predictions.")
        crop = self.crop.get(video.names["camera"]) if isinstance(self.crop, dict) else self.crop
        return replace(self, section="network.", crop=crop)


def uses_network(video: Unit) -> bool:
    """Say whether the 2D poses of a video are found by a network."""
    return bool(video.files.get(MODEL.name))


def device_of(video: Unit) -> str:
    """Return the device that the network of a video is to run on; none where there is no network."""
    return video.settings.config.network.device if uses_network(video) else ""


def find_pose(
    prediction: Prediction | None,
    model: ModelSource | None,
    video: Video | None,
    *,
    options: PoseOptions,
) -> Pose2D:
    """Find the joints in each video with the network in model_folder, or take them from predictions/.

    Networks of DeepLabCut 3 and Lightning Pose are run as they are. Predictions of DeepLabCut, Lightning
    Pose, EKS or SLEAP that lie in predictions/, or beside the videos in videos-raw/, come first.
    """
    if model is not None:
        if video is None:
            raise DataError(f"{model.path}: the video is gone that this network was to be run on")
        return run_network(model, video, options)
    assert prediction is not None
    pose = prediction.load(track=options.track, cropped=options.cropped)
    return pose if video is None else fit_to_video(pose, video)


def run_network(source: ModelSource, video: Video, options: PoseOptions) -> Pose2D:
    """Find the joints in each frame of a video; one that is missing or damaged gets a row without values."""
    from anipipe.networks.dynamic_crop import follow
    from anipipe.networks.opening import open_tracker
    from anipipe.networks.tracking import track

    batch_size = None if isinstance(options.batch_size, str) else options.batch_size
    tracker = open_tracker(source, options.device, options.precision, options.num_outputs, batch_size)
    video = replace(video, threads=tracker.compute.threads)
    size, count = video.info.size, video.count()
    crop = options.crop and tuple(options.crop)
    if options.dynamic_crop:
        found = follow(tracker, video.frames(), count, size, read=video.read, crop=crop, progress=tell)
    else:
        found = track(tracker, video.frames(), count, size, crop=crop, progress=tell)
    lacking, no_numbers = _count_lacking(found)
    if lacking == count:
        raise DataError(f"{video.path}: none of its {count} frames can be decoded; copy or record it anew")
    if lacking:
        text = f"{lacking} of {count} frames are missing or damaged; their rows have no 2D pose"
        kind = Concern if lacking > OFTEN_LOST * count else Notice
        warnings.warn(f"{video.path.name}: {text}", kind, stacklevel=2)
    if no_numbers:
        raise DataError(
            f"{video.path.name}: in {no_numbers} frames the network's answer is no number "
            f'({tracker.compute}); set network.precision = "float32", and if that does not help, look at how '
            "the network was trained"
        )
    values = found.values.astype(np.float64)
    return Pose2D(
        tracker.joints,
        values[..., :2],
        values[..., 2],
        scorer=source.name,
        size=size,
        computed=str(tracker.compute),
    )


def _count_lacking(found: Tracked) -> tuple[int, int]:
    """Count the frames that could not be looked at, and those of which the network made no numbers."""
    numbers = np.isfinite(found.values[:, :, 0]).all(axis=(1, 2))
    return int((~found.seen).sum()), int((found.seen & ~numbers).sum())


def fit_to_video(pose: Pose2D, video: Video) -> Pose2D:
    """Note the size of a pose's video, and give the pose one row per frame of it."""
    try:
        size, frames = video.info.size, video.count()  # what a container announces may be wrong
        shown = np.flatnonzero(np.isfinite(video.timestamps()))
    except DataError as error:
        warnings.warn(f"{error} The predictions are used all the same.", Concern, stacklevel=2)
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
        warnings.warn(f"{video.path.name} has {frames} frames, but {text}", Concern, stacklevel=2)
        return pose
    text = f"the predictions end after {rows}: the frames from {rows} on have no 2D pose"
    warnings.warn(f"{video.path.name} has {frames} frames, but {text}", Concern, stacklevel=2)
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
    run=find_pose,
    reads={"prediction": optional(PREDICTIONS), "model": optional(MODEL), "video": consulted(VIDEO)},
    one_of=("prediction", "model"),
    writes=POSE_2D,
    options=PoseOptions,
    narrow=PoseOptions.for_video,
    device=device_of,
)
