"""``label-3d``, ``label-3d-filter``, ``label-combined``: videos of 3D poses, alone and beside the cameras."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import (
    CALIBRATION,
    POSE_2D,
    POSE_2D_FILTERED,
    POSE_3D,
    POSE_3D_FILTERED,
    VIDEO,
    VIDEO_3D,
    VIDEO_3D_FILTERED,
    VIDEO_COMBINED,
)
from anipipe.engine.declare import consulted, each, first_enabled, found, optional
from anipipe.errors import DataError
from anipipe.formats.films import Film, ahead
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.poses3d import Pose3D
from anipipe.formats.video import Video
from anipipe.numerics.cameras import Rig
from anipipe.numerics.drawing.overlay import Overlay, caption
from anipipe.numerics.drawing.scene import Scene, Viewpoint
from anipipe.numerics.drawing.tiles import Tile, arrange
from anipipe.numerics.drawing.upright import up_direction
from anipipe.stages.labeling import FilmOptions, OverlayOptions, common_rate, picture_stage, say, say_lengths
from anipipe.stages.options import setting

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class SceneOptions(FilmOptions):
    """How 3D poses are looked at."""

    size: tuple[int, int] = setting("labeling.size_3d")
    azimuth: float = setting("labeling.azimuth")
    elevation: float = setting("labeling.elevation")
    orbit: float = setting("labeling.orbit")
    units: str = setting("calibration.units")
    world: str = setting("calibration.world")

    def scene(self, pose: Pose3D, rig: Rig | None, rate: float, size: tuple[int, int]) -> Scene:
        """Return what is painted of a pose; ``rate`` is how fast it plays, frames per second."""
        pen = self.pen(pose.joints)
        view = Viewpoint(size, self.azimuth, self.elevation, self.orbit / rate)
        return Scene(
            np.where(self.shown(pose.joints)[:, None], pose.points, np.nan),
            pen.edges,
            pen.colours,
            up=self._up(pose, rig),
            unit=self.units,
            viewpoint=view,
            filled=pose.filled,
            line_colour=pen.line_colour,
            line_width=pen.line_width,
            dot_size=pen.dot_size,
            trail=pen.trail,
        )

    def _up(self, pose: Pose3D, rig: Rig | None) -> Floats:
        """Return which way is up, in the axes of the pose."""
        centres = ups = None
        if rig is not None:
            turn = pose.rotation.T
            centres = np.array([camera.centre for camera in rig.cameras]) @ turn - pose.center
            ups = np.array([-camera.rotation_matrix[1] for camera in rig.cameras]) @ turn
        standardised = not np.allclose(pose.rotation, np.eye(3))
        return up_direction(
            pose.points,
            standardised=standardised,
            on_board=self.world == "board",
            centres=centres,
            image_ups=ups,
        )


@dataclass(frozen=True)
class CombinedOptions(SceneOptions, OverlayOptions):
    """How 2D poses are drawn and 3D poses looked at, and how the cameras' frames belong together."""

    frame_offsets: dict[str, int] = setting("cameras.*.frame_offset")


def label_3d(pose: Pose3D, rig: Rig | None, videos: Sequence[Video], *, options: SceneOptions) -> Film:
    """Draw the 3D pose of each trial: joints and skeleton above a floor, seen from a slowly circling camera.

    Upright by the axes of triangulation.axes, else by the board (calibration.world), else by the plane that
    the animal moves in. No display is needed.
    """
    if not np.isfinite(pose.points).all(axis=-1).any():
        say("this trial has no 3D point at all: its video shows none")
    rate = common_rate(list(videos))
    width, height = options.size
    scene = options.scene(pose, rig, options.output_rate or rate, (width, height))
    count = len(pose.points)

    def pictures(remarks: list[str]) -> Iterator[Image]:
        return (scene.draw(frame) for frame in range(count))

    return options.film(pictures, (width, height), count, rate)


def label_3d_filtered(
    pose: Pose3D, rig: Rig | None, videos: Sequence[Video], *, options: SceneOptions
) -> Film:
    """Draw the filtered 3D pose of each trial, as label-3d draws the unfiltered one."""
    return label_3d(pose, rig, videos, options=options)


def label_combined(
    pose: Pose3D,
    rig: Rig | None,
    views: Sequence[Pose2D],
    videos: Sequence[Video],
    *,
    options: CombinedOptions,
) -> Film:
    """Put the videos of all cameras of a trial, 2D poses drawn in, and its 3D pose side by side."""
    poses = {view.video: view for view in views}
    shown = [(video, poses[video.path.stem]) for video in _readable(videos) if video.path.stem in poses]
    shown.sort(key=lambda pair: pair[1].camera)
    rate = common_rate([video for video, _ in shown])
    sizes = [video.info.size for video, _ in shown]
    tiles, size = arrange([*sizes, _beside(sizes)])
    cameras = [
        _Camera.of(video, view, tile, options) for (video, view), tile in zip(shown, tiles, strict=False)
    ]
    count = max(camera.late + camera.video.count() for camera in cameras)
    place = replace(tiles[-1], width=size[0] - tiles[-1].x)  # up to the border
    scene = options.scene(pose, rig, options.output_rate or rate, (place.width, place.height))

    def pictures(remarks: list[str]) -> Iterator[Image]:
        with ExitStack() as stack:
            streams = [
                stack.enter_context(closing(ahead(camera.pictures(count, options, remarks))))
                for camera in cameras
            ]
            for frame, parts in enumerate(zip(*streams, strict=True)):
                whole = np.zeros((size[1], size[0], 3), np.uint8)
                for camera, part in zip(cameras, parts, strict=True):
                    camera.tile.put(part, whole)
                view = scene.draw(frame)
                caption(view, f"3D, frame {frame}")
                place.put(view, whole)
                yield whole

    return options.film(pictures, size, count, rate)


@dataclass(frozen=True)
class _Camera:
    """One camera of a trial in its tile."""

    video: Video
    overlay: Overlay
    tile: Tile
    name: str
    late: int

    @classmethod
    def of(cls, video: Video, view: Pose2D, tile: Tile, options: CombinedOptions) -> _Camera:
        say_lengths(view, video)
        overlay = options.overlay(view)
        overlay = replace(overlay, points=tile.points(overlay.points))
        return cls(video, overlay, tile, view.camera, options.frame_offsets.get(view.camera, 0))

    def pictures(self, count: int, options: CombinedOptions, remarks: list[str]) -> Generator[Image]:
        """Yield what the tile shows in each of the trial's frames."""
        with closing(options.pictures(self.video, remarks)) as own:
            for _ in range(-self.late):
                next(own, None)
            for frame in range(count):
                picture = next(own, None) if frame >= self.late else None
                if picture is None:
                    part = np.zeros((self.tile.height, self.tile.width, 3), np.uint8)
                    caption(part, f"{self.name}: does not record")
                else:
                    part = self.tile.fit(picture)
                    self.overlay.draw(part, frame - self.late)
                    caption(part, self.name)
                yield part


def _readable(videos: Sequence[Video]) -> list[Video]:
    """Return the videos that can be decoded, and say which cannot.

    Raises
    ------
    DataError
        If none can.
    """
    fine, faults = list[Video](), list[str]()
    for video in videos:
        try:
            video.info  # noqa: B018 - raises
            fine.append(video)
        except DataError as error:
            faults.append(str(error))
    if not fine:
        raise DataError("; ".join(faults) or "no video of this trial is there")
    for fault in faults:
        say(f"left out: {fault}")
    return fine


def _beside(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the size of the 3D view beside pictures: that of the largest."""
    width, height = (max(sides) for sides in zip(*sizes, strict=True))
    return width, height


STAGES = [
    picture_stage(
        "label-3d",
        label_3d,
        {"pose": POSE_3D, "rig": optional(CALIBRATION), "videos": consulted(each(VIDEO))},
        VIDEO_3D,
        SceneOptions,
        in_3d=True,
        aliases=("videos-3d",),
    ),
    picture_stage(
        "label-3d-filter",
        label_3d_filtered,
        {"pose": POSE_3D_FILTERED, "rig": optional(CALIBRATION), "videos": consulted(each(VIDEO))},
        VIDEO_3D_FILTERED,
        SceneOptions,
        in_3d=True,
    ),
    picture_stage(
        "label-combined",
        label_combined,
        {
            "pose": first_enabled(POSE_3D_FILTERED, POSE_3D),
            "rig": optional(CALIBRATION),
            "views": each(first_enabled(POSE_2D_FILTERED, POSE_2D)),
            "videos": found(each(VIDEO)),
        },
        VIDEO_COMBINED,
        CombinedOptions,
        in_3d=True,
        aliases=("videos-combined",),
    ),
]
