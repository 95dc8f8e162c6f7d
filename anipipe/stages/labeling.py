"""What stages that draw see of the configuration, and how it is applied to a pose."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from anipipe.config import Resolved
from anipipe.engine.declare import Artifact, Read, Stage, ThisUnit, Unit
from anipipe.errors import DataError, Notice
from anipipe.formats.films import Film, ahead
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.video import Video
from anipipe.numerics.drawing.colours import Colours, edges, joint_colours, named_colour
from anipipe.numerics.drawing.overlay import Overlay, Pen, no_picture
from anipipe.stages.options import SettingsOptions, setting
from anipipe.stages.pose_3d import in_three_dimensions
from anipipe.suggest import no_joint

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

_USUAL_RATE = 30.0  # frames per second, where nothing tells
_SAME_RATE = 0.01  # recordings whose rates differ by no larger share were made at one


@dataclass(frozen=True)
class ColourOptions(SettingsOptions):
    """Which joints are drawn, and in which colours."""

    scheme: list[list[str]] = setting("labeling.scheme")
    displayed: list[str] | None = setting("labeling.displayed_bodyparts")
    colormap: str = setting("labeling.colormap")
    #: All joints, where the cameras' networks know different ones.
    joints: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    def facts(self) -> dict[str, Any]:
        """Return every key with its value."""
        return super().facts() | ({"joints of all cameras": list(self.joints)} if self.joints else {})

    def for_unit(self, unit: Unit) -> Self:
        """Return what matters for one video or trial: with the joints of all its cameras."""
        named = unit.names.get("joints")
        return dataclasses.replace(self, joints=tuple(named.split("\n"))) if named else self

    def colours(self, joints: Sequence[str]) -> Colours:
        """Return the colours (joints, 3) of a pose's joints, red first."""
        order = list(dict.fromkeys([*self.joints, *joints]))
        colours = joint_colours(order, self.scheme, self.colormap)
        return colours[[order.index(joint) for joint in joints]]

    def shown(self, joints: Sequence[str]) -> NDArray[np.bool_]:
        """Return which of a pose's joints are drawn, (joints,).

        Raises
        ------
        DataError
            If the pose has none of those that ``labeling.displayed_bodyparts`` names. It may lack some, where
            cameras have networks of their own; that is said.
        """
        if self.displayed is None:
            return np.ones(len(joints), dtype=np.bool_)
        lacking = [
            f"labeling.displayed_bodyparts: {no_joint(joint, joints)}"
            for joint in self.displayed
            if joint not in joints
        ]
        if len(lacking) == len(self.displayed):
            raise DataError(lacking[0])
        for text in lacking:
            say(text)
        return np.isin(np.array(joints), self.displayed)


@dataclass(frozen=True)
class CutoffOptions(ColourOptions):
    """Also, from which score on a 2D point counts."""

    pcutoff: float = setting("labeling.pcutoff")

    def drawn(self, pose: Pose2D) -> NDArray[np.bool_]:
        """Return which points (frames, joints) of a pose are drawn: good ones, and those filled in."""
        good = pose.scores[:, :, 0] >= self.pcutoff
        good = good if pose.filled is None else good | pose.filled
        return np.asarray(good & self.shown(pose.joints))


@dataclass(frozen=True)
class FilmOptions(ColourOptions):
    """How a video is drawn and written."""

    dot_size: float | None = setting("labeling.dot_size")
    line_width: float = setting("labeling.line_width")
    draw_skeleton: bool = setting("labeling.draw_skeleton")
    skeleton_color: str | None = setting("labeling.skeleton_color")
    trail_points: int = setting("labeling.trail_points")
    output_rate: float | None = setting("labeling.output_frame_rate")
    quality: int = setting("labeling.quality")
    preset: str = setting("labeling.preset")

    def pen(self, joints: Sequence[str]) -> Pen:
        """Return how a pose of these joints is drawn."""
        lines = edges(joints, self.scheme) if self.draw_skeleton else ()
        ink = None if self.skeleton_color is None else named_colour(self.skeleton_color)
        return Pen(self.colours(joints), lines, ink, self.dot_size, self.line_width, self.trail_points)

    def film(
        self, pictures: Callable[[list[str]], Iterator[Image]], size: tuple[int, int], count: int, rate: float
    ) -> Film:
        """Return a video; ``pictures`` is given a list for what the user should know of it."""
        remarks: list[str] = []
        playing = self.output_rate or rate
        return Film(pictures(remarks), size, count, playing, self.quality, self.preset, remarks)


@dataclass(frozen=True)
class PictureOptions(FilmOptions):
    """Also, whether the recording is shown below what is drawn."""

    keypoints_only: bool = setting("labeling.keypoints_only")

    def pictures(self, video: Video, remarks: list[str]) -> Generator[Image]:
        """Yield what is drawn into, one picture per frame of a video; lost ones are crossed out."""
        size, count = video.info.size, video.count()
        if self.keypoints_only:
            for _ in range(count):
                yield np.zeros((size[1], size[0], 3), np.uint8)
            return
        lost = 0
        for _, picture in ahead(video.frames()):
            lost += picture is None
            yield no_picture(size) if picture is None else picture
        if lost:
            remarks.append(f"{video.path.name}: {lost} of {count} frames are missing or damaged: crossed out")


@dataclass(frozen=True)
class OverlayOptions(PictureOptions, CutoffOptions):
    """All that 2D poses are drawn by."""

    def overlay(self, pose: Pose2D) -> Overlay:
        """Return what is drawn of a pose."""
        points = np.where(self.drawn(pose)[..., None], pose.points[:, :, 0], np.nan)
        return Overlay(points, self.pen(pose.joints), pose.filled)


def picture_stage(
    name: str,
    run: Callable[..., Any],
    reads: Mapping[str, Artifact | Read | ThisUnit],
    writes: Artifact | tuple[Artifact, ...],
    options: type[SettingsOptions],
    *,
    kinds: tuple[str, ...] = (),
    in_3d: bool = False,
    command: str = "",
    aliases: tuple[str, ...] = (),
) -> Stage:
    """Declare a stage that draws.

    Parameters
    ----------
    name, run, reads, writes, options, command, aliases
        As of :class:`Stage`; one job for each unit that has such a picture.
    kinds
        What ``labeling.pictures`` names of which one asks for it; left out: its name.
    in_3d
        It is only made where 3D is asked for.
    """

    def enabled(settings: Resolved) -> bool:
        asked = not set(kinds or (name,)).isdisjoint(settings.config.labeling.pictures)
        return asked and (not in_3d or in_three_dimensions(settings))

    return Stage(
        name=name,
        command=command,
        aliases=aliases,
        per=(writes if isinstance(writes, Artifact) else writes[0]).per,
        run=run,
        reads=reads,
        writes=writes,
        options=options,
        narrow=options.for_unit if issubclass(options, ColourOptions) else None,
        enabled=enabled,
        group="pictures",
    )


def say_lengths(pose: Pose2D, video: Video) -> None:
    """Say so, if a pose has more or fewer frames than its video."""
    rows, frames = len(pose.points), video.count()
    if rows < frames:
        say(f"{video.path.name} has {frames} frames, its pose ends after {rows}: from there none is drawn")
    if rows > frames:
        say(f"{video.path.name} has {frames} frames, its pose goes on for {rows}: is it of another video?")


def common_rate(videos: Sequence[Video]) -> float:
    """Return the frames per second of recordings that were made together; a usual one where none is known."""
    rates = [rate for rate in map(_rate, videos) if np.isfinite(rate) and rate > 0]
    if not rates:
        say(
            f"no recording tells how many frames there were per second: it plays at {_USUAL_RATE:g} "
            "(labeling.output_frame_rate)"
        )
        return _USUAL_RATE
    if max(rates) > (1 + _SAME_RATE) * min(rates):
        told = ", ".join(f"{video.path.name} {_rate(video):g}" for video in videos)
        say(f"the recordings differ in frames per second ({told}): it plays at {rates[0]:g}")
    return rates[0]


def _rate(video: Video) -> float:
    try:
        return video.info.rate
    except DataError:  # told where its pictures are needed
        return np.nan


def say(text: str) -> None:
    """Tell the user something about the job that runs."""
    warnings.warn(text, Notice, stacklevel=3)
