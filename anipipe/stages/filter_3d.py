"""``filter-3d``: the 3D pose of each trial without its outliers, smoothed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import POSE_3D, POSE_3D_FILTERED
from anipipe.config import Resolved
from anipipe.engine.declare import Stage
from anipipe.errors import Notice
from anipipe.formats.poses3d import Pose3D
from anipipe.numerics.filtering import SPARSE, smooth_in_space
from anipipe.stages.options import SettingsOptions, setting
from anipipe.stages.pose_3d import in_three_dimensions

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Filter3dOptions(SettingsOptions):
    """Which points are replaced, and how long the median filter is."""

    medfilt: int = setting("filter3d.medfilt")
    offset_threshold: float = setting("filter3d.offset_threshold")


def filter_3d(pose: Pose3D, *, options: Filter3dOptions) -> Pose3D:
    """Replace outliers in the 3D pose of each trial, and smooth it by a running median.

    Points whose reprojection error is above filter3d.offset_threshold, and missing ones, are replaced along a
    straight line between their neighbours; before the first and after the last good point, by that one.
    Points that triangulation.optim placed without a camera's help stay, as they follow from the others. Then
    each point becomes the median of the filter3d.medfilt frames around it. Joints of which more than 85 %
    would be replaced stay as they are. The columns error, ncams and score are still those of the points
    before filtering, and so tell which ones were replaced.
    """
    error = pose.error
    if pose.filled is not None:  # optimised points stand on their neighbours, where few cameras saw them
        error = np.where(np.isfinite(pose.points[..., 0]), np.nan_to_num(error), error)
    points, replaced, left = smooth_in_space(
        pose.points, error, window=options.medfilt, offset_threshold=options.offset_threshold
    )
    _say_what_changed(pose, points, replaced, left, options)
    return replace(pose, points=points)


def _say_what_changed(
    pose: Pose3D, points: NDArray[np.float64], replaced: Flags, left: Flags, options: Filter3dOptions
) -> None:
    parts = []
    if replaced.any():
        parts.append(f"replaced {_shares(replaced, pose.joints)}")
    moved = np.linalg.norm(points - pose.points, axis=-1)[~replaced & ~left]
    moved = moved[np.isfinite(moved)]
    if moved.any():
        parts.append(
            f"moved the other points by {np.median(moved):.2g} (median; 1 in 20 by more than "
            f"{np.percentile(moved, 95):.2g}, in the calibration's unit)"
        )
    if left.any():
        names = ", ".join(joint for joint, flag in zip(pose.joints, left, strict=True) if flag)
        parts.append(
            f"left {names} unfiltered: over {100 * SPARSE:g} % of the points are missing or have an error "
            f"above filter3d.offset_threshold = {options.offset_threshold:g} px"
        )
    if parts:
        warnings.warn("; ".join(parts), Notice, stacklevel=3)


def _shares(flags: Flags, joints: Sequence[str]) -> str:
    """Return the share of each joint that has any, the largest first."""
    share = flags.mean(axis=0)
    order = [int(index) for index in np.argsort(-share, kind="stable") if share[index] > 0]
    return ", ".join(f"{100 * share[index]:.2g} % of {joints[index]}" for index in order)


def _enabled(settings: Resolved) -> bool:
    return settings.config.filter3d.enabled and in_three_dimensions(settings)


STAGE = Stage(
    name="filter-3d",
    per="trial",
    run=filter_3d,
    reads={"pose": POSE_3D},
    writes=POSE_3D_FILTERED,
    options=Filter3dOptions,
    enabled=_enabled,
)
