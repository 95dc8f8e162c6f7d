"""``label-2d``, ``label-2d-filter``, ``label-2d-proj``, ``label-compare``: 2D poses drawn into the videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from anipipe.artifacts import (
    POSE_2D,
    POSE_2D_FILTERED,
    POSE_2D_PROJECTED,
    VIDEO,
    VIDEO_2D_PROJECTED,
    VIDEO_COMPARED,
    VIDEO_LABELED,
    VIDEO_LABELED_FILTERED,
)
from anipipe.engine.declare import found
from anipipe.formats.films import Film
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.video import Video
from anipipe.numerics.drawing.overlay import Image, Overlay, caption
from anipipe.numerics.drawing.tiles import arrange
from anipipe.stages.labeling import (
    OverlayOptions,
    PictureOptions,
    common_rate,
    picture_stage,
    say_lengths,
)


@dataclass(frozen=True)
class ProjectionOptions(PictureOptions):
    """How projected 3D poses are drawn: all there is of them."""

    def overlay(self, pose: Pose2D) -> Overlay:
        """Return what is drawn of a pose."""
        points = np.where(self.shown(pose.joints)[:, None], pose.points[:, :, 0], np.nan)
        return Overlay(points, self.pen(pose.joints))


def label_2d(pose: Pose2D, video: Video, *, options: OverlayOptions) -> Film:
    """Draw the 2D pose of each video into it.

    One frame comes out for each that goes in. Points whose score is below labeling.pcutoff are not drawn;
    frames that are missing or damaged are crossed out.
    """
    return _labelled(pose, video, options)


def label_2d_filtered(pose: Pose2D, video: Video, *, options: OverlayOptions) -> Film:
    """Draw the filtered 2D pose of each video into it; points that the filter has filled in are rings."""
    return label_2d(pose, video, options=options)


def label_projected(pose: Pose2D, video: Video, *, options: ProjectionOptions) -> Film:
    """Draw the 3D pose of each trial into the videos of all its cameras, as project-2d projects it.

    Where drawn points leave the animal in one camera, that camera's calibration, offset or timing is wrong.
    """
    return _labelled(pose, video, options)


def compare(raw: Pose2D, filtered: Pose2D, video: Video, *, options: OverlayOptions) -> Film:
    """Draw the 2D pose of each video before filtering beside that after it."""
    say_lengths(filtered, video)
    tiles, size = arrange([video.info.size] * 2)
    sides = [options.overlay(pose) for pose in (raw, filtered)]
    sides = [replace(side, points=tile.points(side.points)) for side, tile in zip(sides, tiles, strict=True)]

    def pictures(remarks: list[str]) -> Iterator[Image]:
        for frame, picture in enumerate(options.pictures(video, remarks)):
            whole = np.zeros((size[1], size[0], 3), np.uint8)
            small = tiles[0].fit(picture)
            for tile, overlay, name in zip(tiles, sides, ("as tracked", "filtered"), strict=True):
                part = small.copy()
                overlay.draw(part, frame)
                caption(part, name)
                tile.put(part, whole)
            yield whole

    return options.film(pictures, size, video.count(), common_rate([video]))


def _labelled(pose: Pose2D, video: Video, options: OverlayOptions | ProjectionOptions) -> Film:
    say_lengths(pose, video)
    overlay = options.overlay(pose)

    def pictures(remarks: list[str]) -> Iterator[Image]:
        for frame, picture in enumerate(options.pictures(video, remarks)):
            overlay.draw(picture, frame)
            yield picture

    return options.film(pictures, video.info.size, video.count(), common_rate([video]))


STAGES = [
    picture_stage(
        "label-2d",
        label_2d,
        {"pose": POSE_2D, "video": found(VIDEO)},
        VIDEO_LABELED,
        OverlayOptions,
        aliases=("videos-labeled", "label-videos"),
    ),
    picture_stage(
        "label-2d-filter",
        label_2d_filtered,
        {"pose": POSE_2D_FILTERED, "video": found(VIDEO)},
        VIDEO_LABELED_FILTERED,
        OverlayOptions,
    ),
    picture_stage(
        "label-compare",
        compare,
        {"raw": POSE_2D, "filtered": POSE_2D_FILTERED, "video": found(VIDEO)},
        VIDEO_COMPARED,
        OverlayOptions,
        aliases=("label-filter-compare", "videos-compare"),
    ),
    picture_stage(
        "label-2d-proj",
        label_projected,
        {"pose": POSE_2D_PROJECTED, "video": found(VIDEO)},
        VIDEO_2D_PROJECTED,
        ProjectionOptions,
        in_3d=True,
    ),
]
