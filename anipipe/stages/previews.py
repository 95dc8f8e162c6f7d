"""``previews``: pictures of poses and angles, for a quick look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anipipe.artifacts import (
    ANGLES,
    ANGLES_PREVIEW,
    POSE_2D,
    POSE_2D_FILTERED,
    POSE_3D,
    POSE_3D_FILTERED,
    POSE_3D_FILTERED_PREVIEW,
    POSE_3D_PREVIEW,
    PREVIEWS_2D,
    PREVIEWS_2D_FILTERED,
)
from anipipe.engine.declare import THIS_UNIT, Artifact, Names, Stage
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.poses3d import Pose3D
from anipipe.formats.preview_pictures import (
    Look,
    angles_picture,
    hist_picture,
    likelihood_picture,
    plot_picture,
    png,
    pose_3d_picture,
    trajectory_picture,
)
from anipipe.formats.tables import Table
from anipipe.numerics.drawing.colours import joint_colours
from anipipe.stages.labeling import ColourOptions, CutoffOptions, picture_stage
from anipipe.stages.options import SettingsOptions, setting

#: In the order of the artifacts.
_PICTURES_2D = (trajectory_picture, plot_picture, likelihood_picture, hist_picture)


@dataclass(frozen=True)
class UnitsOptions(ColourOptions):
    """Also, what lengths are measured in."""

    units: str = setting("calibration.units")


@dataclass(frozen=True)
class AngleColours(SettingsOptions):
    """In which colours angles are drawn."""

    colormap: str = setting("labeling.colormap")


def previews_2d(pose: Pose2D, where: Names, *, options: CutoffOptions) -> tuple[bytes, ...]:
    """Draw poses and angles for a quick look: paths, coordinates and scores against time, jumps.

    Of each 2D pose, in SESSION/previews: VIDEO.trajectory.png, the joints' places in the field of view;
    VIDEO.plot.png, x and y against time; VIDEO.likelihood.png, scores against time; and VIDEO.hist.png, how
    much joints move from a frame to the next. All but the scores are of the points whose score is at least
    labeling.pcutoff, and of those that a filter filled in, which are paler. Filtered poses have pictures of
    their own, VIDEO.filtered-trajectory.png and so on. TRIAL.pose-3d.png shows coordinates, reprojection
    errors and how many cameras there were, TRIAL.angles.png angles, both against time.

    labeling.displayed_bodyparts says which joints are drawn, labeling.colormap in which colours.
    """
    look = Look(
        f"{where['session']}{where['video']}",
        options.colours(pose.joints),
        options.shown(pose.joints),
        options.pcutoff,
    )
    return tuple(png(picture(pose, look)) for picture in _PICTURES_2D)


def previews_2d_filtered(pose: Pose2D, where: Names, *, options: CutoffOptions) -> tuple[bytes, ...]:
    """Draw filtered 2D poses for a quick look."""
    return previews_2d(pose, {**where, "video": f"{where['video']}, filtered"}, options=options)


def preview_3d(pose: Pose3D, where: Names, *, options: UnitsOptions) -> bytes:
    """Draw the 3D pose of each trial against time, its reprojection errors and numbers of cameras."""
    title = f"{where['session']}{where['trial']}"
    look = Look(title, options.colours(pose.joints), options.shown(pose.joints))
    return png(pose_3d_picture(pose, look, options.units))


def preview_3d_filtered(pose: Pose3D, where: Names, *, options: UnitsOptions) -> bytes:
    """Draw the filtered 3D pose of each trial against time."""
    return preview_3d(pose, {**where, "trial": f"{where['trial']}, filtered"}, options=options)


def preview_angles(angles: Table, where: Names, *, options: AngleColours) -> bytes:
    """Draw the angles of each trial against time."""
    colours = joint_colours(list(angles), (), options.colormap)
    look = Look(f"{where['session']}{where['trial']}", colours, np.ones(len(angles), dtype=np.bool_))
    return png(angles_picture(angles, look))


def _stage(
    name: str,
    run: Callable[..., bytes | tuple[bytes, ...]],
    reads: tuple[str, Artifact],
    writes: Artifact | tuple[Artifact, ...],
    options: type[SettingsOptions],
) -> Stage:
    role, artifact = reads
    return picture_stage(
        name,
        run,
        {role: artifact, "where": THIS_UNIT},
        writes,
        options,
        kinds=("previews",),
        command="previews",
    )


STAGES = [
    _stage("previews-2d", previews_2d, ("pose", POSE_2D), PREVIEWS_2D, CutoffOptions),
    _stage(
        "previews-2d-filter",
        previews_2d_filtered,
        ("pose", POSE_2D_FILTERED),
        PREVIEWS_2D_FILTERED,
        CutoffOptions,
    ),
    _stage("previews-3d", preview_3d, ("pose", POSE_3D), POSE_3D_PREVIEW, UnitsOptions),
    _stage(
        "previews-3d-filter",
        preview_3d_filtered,
        ("pose", POSE_3D_FILTERED),
        POSE_3D_FILTERED_PREVIEW,
        UnitsOptions,
    ),
    _stage("previews-angles", preview_angles, ("angles", ANGLES), ANGLES_PREVIEW, AngleColours),
]
