"""3D poses of one trial: ``pose-3d/TRIAL.csv``, as Anipose writes it.

Per joint ``J_x, J_y, J_z, J_error, J_ncams, J_score``; then ``M_00`` to ``M_22`` (row by row) and
``center_0`` to ``center_2``, the same in each row; then ``fnum``, counting from 0. Where it is known, anipipe
adds ``J_filled`` (1 where no camera saw the joint, and its place follows from its neighbours in time alone)
and ``J_excluded`` (names of the cameras that saw it elsewhere and were left out, separated by spaces).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._csv_text import quoted, write_lines
from anipipe.formats._frames import by_frame, frame_numbers, source_rows
from anipipe.formats._number_csv import read_number_columns

JOINT_COLUMNS = ("x", "y", "z", "error", "ncams", "score")
ROTATION_COLUMNS = tuple(f"M_{row}{column}" for row in range(3) for column in range(3))
CENTER_COLUMNS = tuple(f"center_{axis}" for axis in range(3))
FRAME_COLUMN = "fnum"
FILLED, EXCLUDED = "filled", "excluded"


@dataclass(frozen=True, eq=False)
class Pose3D:
    """Where each joint was in space.

    The points are in the user's axes: ``out = rotation @ p - center``, p being the point in the
    calibration's frame (``p = rotation^-1 (out + center)``).

    Attributes
    ----------
    joints
        Names, each once.
    points
        (frames, joints, 3), the calibration's length unit; NaN where missing.
    error
        (frames, joints), mean reprojection distance in pixels over the cameras that contributed.
    ncams
        (frames, joints), how many contributed.
    score
        (frames, joints), the lowest score among them.
    rotation
        (3, 3), the calibration's axes to the user's.
    center
        (3,), the origin, in the user's axes.
    filled
        (frames, joints): no camera saw the joint, its place rests on other frames alone; None if not told.
    excluded
        (frames, joints), by camera: it saw the joint, but elsewhere than the others did, and was left out.
        None if not told; not read back from files.

    Raises
    ------
    ValueError
        Shapes that do not agree, or a joint named twice.
    """

    joints: tuple[str, ...]
    points: NDArray[np.float64]
    error: NDArray[np.float64]
    ncams: NDArray[np.float64]
    score: NDArray[np.float64]
    rotation: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    center: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    filled: NDArray[np.bool_] | None = None
    excluded: Mapping[str, NDArray[np.bool_]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", tuple(self.joints))
        for name in ("points", "error", "ncams", "score", "rotation", "center"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        count = len(self.joints)
        if self.points.ndim != 3 or self.points.shape[1:] != (count, 3):
            raise ValueError(f"points have shape {self.points.shape}, expected (frames, {count} joints, 3)")
        expected: dict[str, tuple[int, ...]] = dict.fromkeys(
            ("error", "ncams", "score"), self.points.shape[:2]
        )
        for name, shape in (expected | {"rotation": (3, 3), "center": (3,)}).items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        for flags in (*([] if self.filled is None else [self.filled]), *(self.excluded or {}).values()):
            if flags.shape != self.points.shape[:2]:
                raise ValueError(f"flags have shape {flags.shape}, expected {self.points.shape[:2]}")
        if len(set(self.joints)) < count:
            raise ValueError(f"a joint is named twice: {', '.join(self.joints)}")


def pose_3d_columns(joints: Sequence[str]) -> list[str]:
    """Return the names of the columns of a file with these joints, in order."""
    of_joints = [f"{joint}_{what}" for joint in joints for what in JOINT_COLUMNS]
    return [*of_joints, *ROTATION_COLUMNS, *CENTER_COLUMNS, FRAME_COLUMN]


def write_pose_3d(pose: Pose3D, path: Path) -> None:
    """Write poses; every number reads back exactly equal, NaN is an empty cell.

    Parameters
    ----------
    pose
        What to write.
    path
        The file; replaced if it exists.
    """
    frames, joints = pose.error.shape
    cells = np.empty((joints, 6, frames))
    cells[:, :3] = pose.points.transpose(1, 2, 0)
    for at, values in enumerate((pose.error, pose.ncams, pose.score), start=3):
        cells[:, at] = values.T
    constant = [*pose.rotation.ravel().tolist(), *pose.center.tolist()]
    columns: list[Any] = [
        *cells.reshape(joints * 6, frames),
        ",".join("" if np.isnan(value) else repr(value) for value in constant),
        np.arange(frames),
    ]
    names = pose_3d_columns(pose.joints)
    for index, joint in enumerate(pose.joints):
        if pose.filled is not None:
            names.append(f"{joint}_{FILLED}")
            columns.append(pose.filled[:, index].astype(np.int64))
        if pose.excluded is not None:
            names.append(f"{joint}_{EXCLUDED}")
            columns.append(_listed({camera: flags[:, index] for camera, flags in pose.excluded.items()}))
    with path.open("wb") as file:
        file.write((quoted(names) + "\n").encode())
        write_lines(file, columns)


def _listed(flags: Mapping[str, NDArray[np.bool_]]) -> NDArray[Any]:
    """Return the names of the flagged cameras in each frame, separated by spaces."""
    out = np.full(len(next(iter(flags.values()))), "", dtype=object)
    for camera, flagged in flags.items():
        out[flagged] = [f"{text} {camera}".lstrip() for text in out[flagged]]
    return out


def read_pose_3d(path: Path) -> Pose3D:
    """Read poses written by anipipe or Anipose.

    Parameters
    ----------
    path
        The file; columns in any order, further ones are ignored.

    Returns
    -------
    Joints in the order of the file, one row per frame from 0 to the file's last ``fnum``; frames without a
    row are NaN and said so in a Notice. A file without frames has the identity for its axes.

    Raises
    ------
    DataError
        Empty, cut off (except exactly at the end of a line, which no reader can see), columns missing, cells
        that are not numbers.
    """
    names, read = read_number_columns(path)
    joints = _joints(names)
    wanted = pose_3d_columns(joints)
    lacking = [name for name in wanted if name not in names]
    if lacking or not joints:
        shown = (
            ", ".join(lacking[:6]) + (", ..." if len(lacking) > 6 else "")
            if joints
            else "JOINT_x, JOINT_y, ..."
        )
        raise DataError(f"{path}: lacks the columns {shown} of a table of 3D poses. Triangulate again.")
    marked = all(f"{joint}_{FILLED}" in names for joint in joints)
    values = read([*wanted, *(f"{joint}_{FILLED}" for joint in joints if marked)])
    rows = source_rows(frame_numbers(values[FRAME_COLUMN], path), path)
    stacked = np.stack([values[name] for name in wanted[: 6 * len(joints)]], axis=-1)
    cells = by_frame(stacked.reshape(-1, len(joints), 6), rows, np.nan)
    return Pose3D(
        joints,
        cells[..., :3],
        cells[..., 3],
        cells[..., 4],
        cells[..., 5],
        _constant(path, [values[name] for name in ROTATION_COLUMNS], np.eye(3)),
        _constant(path, [values[name] for name in CENTER_COLUMNS], np.zeros(3)),
        _flags(values, joints, rows) if marked else None,
    )


def _flags(values: Mapping[str, NDArray[np.float64]], joints: Sequence[str], rows: Any) -> NDArray[np.bool_]:
    """Return (frames, joints): the point was filled in; frames without a row are not."""
    stacked = np.stack([values[f"{joint}_{FILLED}"] for joint in joints], axis=-1)
    return np.asarray(by_frame(stacked[..., None], rows, 0.0)[..., 0] > 0)


def _joints(names: Iterable[str]) -> tuple[str, ...]:
    """Return the joints, in the order of their first columns."""
    every = set(names)
    stems = dict.fromkeys(name.rpartition("_")[0] for name in names if name.endswith(("_x", "_ncams")))
    return tuple(
        stem
        for stem in stems
        if f"{stem}_ncams" in every or all(f"{stem}_{axis}" in every for axis in ("x", "y", "z"))
    )


def _constant(
    path: Path, columns: list[NDArray[np.float64]], default: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the values that a group of columns has in each of its rows."""
    if not len(columns[0]):
        return default
    for column in columns:
        if not np.array_equal(column, np.full(len(column), column[0]), equal_nan=True):
            raise DataError(
                f"{path}: M_00 to center_2 differ between rows, as if trials with axes of their own had been "
                "put together. Keep one trial per file."
            )
    return np.array([column[0] for column in columns]).reshape(default.shape)
