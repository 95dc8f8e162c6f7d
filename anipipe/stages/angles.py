"""``angles``: joint angles of a trial's 3D pose."""

from __future__ import annotations

from dataclasses import dataclass

from anipipe.artifacts import ANGLES, POSE_3D, POSE_3D_FILTERED
from anipipe.config import Resolved
from anipipe.engine.declare import Stage, first_enabled
from anipipe.formats.poses3d import Pose3D
from anipipe.formats.tables import Table
from anipipe.numerics.angles import compute_angles
from anipipe.stages.options import SettingsOptions, setting
from anipipe.stages.pose_3d import in_three_dimensions


@dataclass(frozen=True)
class AngleOptions(SettingsOptions):
    """Which angles."""

    angles: dict[str, list[str]] = setting("angles")


def angles(pose: Pose3D, *, options: AngleOptions) -> Table:
    """Compute the joint angles that [angles] names, in degrees."""
    names, values = compute_angles(pose.points, pose.joints, options.angles)
    return dict(zip(names, values.T, strict=True))


def _enabled(settings: Resolved) -> bool:
    return bool(settings.config.angles) and in_three_dimensions(settings)


STAGE = Stage(
    name="angles",
    per="trial",
    run=angles,
    reads={"pose": first_enabled(POSE_3D_FILTERED, POSE_3D)},
    writes=ANGLES,
    options=AngleOptions,
    enabled=_enabled,
)
