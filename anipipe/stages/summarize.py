"""``summarize``: one table per kind over all sessions, in one part per trial; some also as one csv."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import (
    ANGLES,
    PARTS,
    POSE_2D,
    POSE_2D_FILTERED,
    POSE_3D,
    POSE_3D_FILTERED,
    ROW_LABELS,
    TABLE_COLUMNS,
    TABLE_CSV,
)
from anipipe.config import Resolved
from anipipe.engine.declare import THIS_UNIT, Artifact, Names, Read, Stage, each, optional
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.poses3d import FILLED, Pose3D, pose_3d_columns
from anipipe.formats.tables import Table
from anipipe.stages.options import SettingsOptions, setting
from anipipe.stages.pose_3d import common_frames

Floats = NDArray[np.float64]
_COORDS = ("x", "y", "likelihood")


@dataclass(frozen=True)
class LabelOptions(SettingsOptions):
    """What the rows of a table are labelled with, beside folders and file name."""

    project: str | None = setting("project")


@dataclass(frozen=True)
class ErrorOptions(LabelOptions):
    """What brings the frames of a trial's cameras together."""

    frame_offsets: dict[str, int] = setting("cameras.*.frame_offset")


def summarize_2d(views: Iterable[Pose2D], where: Names, *, options: LabelOptions) -> Table:
    """Gather the 2D poses of all videos in summaries/pose_2d.parquet."""
    tables = []
    for view in views:
        table: dict[str, Any] = {}
        for number in range(view.points.shape[2]):
            suffix = "" if number == 0 else str(number + 1)
            for index, joint in enumerate(view.joints):
                values = (*view.points[:, index, number].T, view.scores[:, index, number])
                table |= {f"{joint}_{coord}{suffix}": v for coord, v in zip(_COORDS, values, strict=True)}
        table["fnum"] = np.arange(len(view.points))
        tables.append(_labelled(table, where, view.video))
    return _concatenated(tables)


def summarize_2d_filtered(views: Iterable[Pose2D], where: Names, *, options: LabelOptions) -> Table:
    """Gather the filtered 2D poses of all videos in summaries/pose_2d_filtered.parquet."""
    return summarize_2d(views, where, options=options)


def summarize_3d(pose: Pose3D, where: Names, *, options: LabelOptions) -> Table:
    """Gather the 3D poses of all trials in summaries/pose_3d.parquet and .csv."""
    rows = len(pose.points)
    of_joints = np.concatenate(
        [pose.points, np.stack([pose.error, pose.ncams, pose.score], axis=-1)], axis=-1
    )
    constant = np.concatenate([pose.rotation.ravel(), pose.center])
    columns = [
        *of_joints.reshape(rows, -1).T,
        *np.broadcast_to(constant[:, None], (12, rows)),
        np.arange(rows),
    ]
    table = dict(zip(pose_3d_columns(pose.joints), columns, strict=True))
    if pose.filled is not None:
        table |= {
            f"{joint}_{FILLED}": pose.filled[:, at].astype(float) for at, joint in enumerate(pose.joints)
        }
    return _labelled(table, where, where["trial"])


def summarize_3d_filtered(pose: Pose3D, where: Names, *, options: LabelOptions) -> Table:
    """Gather the filtered 3D poses of all trials in summaries/pose_3d_filtered.parquet."""
    return summarize_3d(pose, where, options=options)


def summarize_angles(angles: Table, where: Names, *, options: LabelOptions) -> Table:
    """Gather the joint angles of all trials in summaries/angles.parquet and .csv."""
    rows = max((len(values) for values in angles.values()), default=0)
    return _labelled({**angles, "fnum": np.arange(rows)}, where, where["trial"])


def summarize_errors(
    pose: Pose3D | None, views: Sequence[Pose2D], where: Names, *, options: ErrorOptions
) -> Table:
    """Gather each joint's reprojection error (px), cameras and filled 2D points in summaries/errors.

    JOINT_filled is the share of the cameras in which a filter filled the 2D point of that frame in; its mean
    over frames is the share of filled frames.
    """
    filled = filled_share(list(views), options.frame_offsets)
    if pose is not None:  # one that was edited may have lost rows
        filled = {joint: _with_rows(share, len(pose.points)) for joint, share in filled.items()}
    joints = dict.fromkeys([*(pose.joints if pose is not None else ()), *filled])
    table: dict[str, Any] = {}
    for joint in joints:
        if pose is not None and joint in pose.joints:
            table[f"{joint}_error"] = pose.error[:, pose.joints.index(joint)]
            table[f"{joint}_ncams"] = pose.ncams[:, pose.joints.index(joint)]
        if joint in filled:
            table[f"{joint}_filled"] = filled[joint]
    table["fnum"] = np.arange(len(next(iter(table.values()), ())))
    return _labelled(table, where, where["trial"])


def filled_share(views: Sequence[Pose2D], frame_offsets: Mapping[str, int]) -> dict[str, Floats]:
    """Return, by joint, the share of a trial's cameras in which the point was filled in.

    Returns
    -------
    dict of (frames,) arrays
        From 0 to 1, NaN in frames that no camera recorded.
    """
    places, frames = common_frames(views, frame_offsets)
    joints = dict.fromkeys(joint for view in views for joint in view.joints)
    filled = {joint: np.zeros(frames) for joint in joints}
    there = {joint: np.zeros(frames) for joint in joints}
    for view, (own, common) in zip(views, places, strict=True):
        for index, joint in enumerate(view.joints):
            there[joint][common] += 1
            if view.filled is not None:
                filled[joint][common] += view.filled[own, index]
    return {
        joint: np.where(there[joint], filled[joint] / np.maximum(there[joint], 1), np.nan) for joint in joints
    }


def gather_csv(parts: Iterable[Path], *, options: Any) -> Iterable[Path]:
    """Write a table into one csv as well; its parts are read one after another."""
    return parts


def gather_columns(parts: Iterable[Path], *, options: Any) -> Iterable[Path]:
    """Write the columns of all parts into a file of their own, so that reading the folder finds them all."""
    return parts


def _with_rows(values: Floats, rows: int) -> Floats:
    return np.append(values[:rows], np.full(max(0, rows - len(values)), np.nan))


def _concatenated(tables: Sequence[Table]) -> Table:
    """Put tables below each other; a column that one of them lacks is NaN there."""
    names = dict.fromkeys(name for table in tables for name in table if name not in ROW_LABELS)
    labels = dict.fromkeys(name for table in tables for name in table if name in ROW_LABELS)

    def column(table: Table, name: str) -> Any:
        return table[name] if name in table else np.full(len(table["fnum"]), np.nan)

    return {name: np.concatenate([column(table, name) for table in tables]) for name in (*names, *labels)}


def _labelled(table: Table, where: Names, filename: str) -> Table:
    rows = len(table["fnum"])
    folders = [part for part in where["session"].split("/") if part]
    labels = {f"folder_{level}": folder for level, folder in enumerate(folders, start=1)}
    labels |= {"filename": filename, "project": where["project"]}
    return {**table, **{name: np.full(rows, value, dtype=object) for name, value in labels.items()}}


def _in_csv(table: str) -> Callable[[Resolved], bool]:
    def enabled(settings: Resolved) -> bool:
        return table in settings.config.summaries.csv

    return enabled


def _stages(
    table: str,
    name: str,
    run: Callable[..., Table],
    reads: Mapping[str, Artifact | Read],
    options: type[LabelOptions] = LabelOptions,
) -> list[Stage]:
    part, csv = PARTS[table], TABLE_CSV[table]
    return [
        Stage(
            name=name,
            per="trial",
            run=run,
            reads={**reads, "where": THIS_UNIT},
            writes=part,
            options=options,
            group="tables",
        ),
        Stage(
            name=f"{name}-columns",
            command=name,
            per="experiment",
            run=gather_columns,
            reads={"parts": each(part)},
            writes=TABLE_COLUMNS[table],
            group="tables",
            fan_in=True,
        ),
        Stage(
            name=f"{name}-csv",
            command=name,
            per="experiment",
            run=gather_csv,
            reads={"parts": each(part)},
            writes=csv,
            group="tables",
            fan_in=True,
            enabled=_in_csv(table),
        ),
    ]


STAGES = [
    *_stages("pose_2d", "summarize-2d", summarize_2d, {"views": each(POSE_2D)}),
    *_stages(
        "pose_2d_filtered", "summarize-2d-filter", summarize_2d_filtered, {"views": each(POSE_2D_FILTERED)}
    ),
    *_stages("pose_3d", "summarize-3d", summarize_3d, {"pose": POSE_3D}),
    *_stages("pose_3d_filtered", "summarize-3d-filter", summarize_3d_filtered, {"pose": POSE_3D_FILTERED}),
    *_stages("angles", "summarize-angles", summarize_angles, {"angles": ANGLES}),
    *_stages(
        "errors",
        "summarize-errors",
        summarize_errors,
        {"pose": optional(POSE_3D), "views": optional(each(POSE_2D_FILTERED))},
        ErrorOptions,
    ),
]
