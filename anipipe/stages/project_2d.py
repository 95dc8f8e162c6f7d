"""``project-2d``: the 3D pose of a trial as each of its cameras would see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import CALIBRATION, POSE_2D, POSE_2D_PROJECTED, POSE_3D, POSE_3D_FILTERED
from anipipe.engine.declare import THIS_UNIT, Names, first_enabled, optional
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.poses3d import Pose3D
from anipipe.numerics.alignment import unstandardise
from anipipe.numerics.cameras import Camera, Rig, apply_matrix, project
from anipipe.numerics.lenses import within_reach
from anipipe.stages.labeling import picture_stage
from anipipe.stages.options import SettingsOptions, setting

#: Who has made these poses, where a file of 2D poses names its network.
SCORER = "anipipe-projection"


@dataclass(frozen=True)
class ViewOptions(SettingsOptions):
    """What part of a camera's picture was recorded, and when it began."""

    offsets: dict[str, list[float]] = setting("cameras.*.offset")
    frame_offsets: dict[str, int] = setting("cameras.*.frame_offset")


def project_pose(
    pose: Pose3D, rig: Rig, view: Pose2D | None, where: Names, *, options: ViewOptions
) -> Pose2D:
    """Project the 3D pose of each trial back into its cameras, in pixels of the recorded picture.

    A point's score is that of its 3D point. Points behind a camera, and beyond what its lens
    model holds for, have no projection.
    """
    camera = rig.camera(where["camera"])
    late = options.frame_offsets.get(camera.name, 0)
    frames = max(0, len(pose.points) - late) if view is None else len(view.points)
    own = np.arange(frames)
    rows = own + late  # of the trial
    there = (rows >= 0) & (rows < len(pose.points))
    points = np.full((frames, len(pose.joints), 1, 2), np.nan)
    scores = np.full((frames, len(pose.joints), 1), np.nan)
    world = unstandardise(pose.points[rows[there]], pose.rotation, pose.center)
    points[own[there], :, 0] = _seen(world, camera) - np.asarray(options.offsets.get(camera.name, (0.0, 0.0)))
    scores[own[there], :, 0] = pose.score[rows[there]]
    scores[np.isnan(points[..., 0])] = np.nan
    return Pose2D(pose.joints, points, scores, SCORER, size=None if view is None else view.size)


def _seen(world: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    placed = apply_matrix(camera.rotation_matrix, world) + camera.translation
    x, y, depth = np.moveaxis(placed, -1, 0)
    ahead = depth > 0
    depth = np.where(ahead, depth, np.nan)
    visible = ahead & within_reach(x / depth, y / depth, camera.distortions, fisheye=camera.fisheye)
    return np.where(visible[..., None], project(world, camera), np.nan)


STAGE = picture_stage(
    "project-2d",
    project_pose,
    {
        "pose": first_enabled(POSE_3D_FILTERED, POSE_3D),
        "rig": CALIBRATION,
        "view": optional(POSE_2D),
        "where": THIS_UNIT,
    },
    POSE_2D_PROJECTED,
    ViewOptions,
    kinds=("project-2d", "label-2d-proj"),
    in_3d=True,
)
