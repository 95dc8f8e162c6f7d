"""Labelled frames in DeepLabCut's layout: ``labeled-data/FOLDER/CollectedData_SCORER.csv`` and ``.h5``.

Header rows scorer, bodyparts, coords; one row per picture, its path in one column (old) or in three (new);
x and y of each joint in pixels, blank where it is not labelled. Paths may come from another computer: what
counts is the picture's name, and the folder that the table lies in.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError, Notice
from anipipe.formats._csv_text import quoted
from anipipe.formats._label_tables import FOLDER, read_csv, read_h5
from anipipe.suggest import no_joint

KEY = "df_with_missing"
_NAME = re.compile(r"CollectedData_(?P<scorer>.+)\.(csv|h5)")
#: Pixels by which csv and h5 may differ before that is told.
_SAME = 1e-3


@dataclass(frozen=True)
class Labels:
    """Labelled frames.

    Attributes
    ----------
    pictures : tuple of (str, str)
        Folder in ``labeled-data``, and file, of each frame.
    points : ndarray
        (frames, joints, 2), x and y in pixels, the centre of the first one at (0, 0); NaN: not labelled.
    joints : tuple of str
    scorer : str
        Who labelled.
    """

    pictures: tuple[tuple[str, str], ...]
    points: NDArray[np.float64]
    joints: tuple[str, ...]
    scorer: str

    def __len__(self) -> int:
        return len(self.pictures)

    def paths(self, project: Path) -> list[Path]:
        """Return the pictures' paths."""
        return [project / FOLDER / folder / name for folder, name in self.pictures]

    def take(self, rows: Iterable[int]) -> Labels:
        """Return some of the frames."""
        chosen = list(rows)
        return replace(self, pictures=tuple(self.pictures[row] for row in chosen), points=self.points[chosen])


def scorers(project: Path) -> list[str]:
    """Return who has labelled frames of a project."""
    names = (_NAME.fullmatch(path.name) for path in (project / FOLDER).glob("*/CollectedData_*"))
    return sorted({match["scorer"] for match in names if match})


def read_project(project: Path, scorer: str, joints: Sequence[str] | None = None) -> Labels:
    """Read all labelled frames of a project, folder by folder in the order of their names.

    What is odd, and does not stand in the way, is told as a Notice: csv and h5 that differ (the csv counts:
    it is what people edit), rows that come twice, joints that the project has not, or the tables have not.

    Parameters
    ----------
    project
        The folder that holds ``labeled-data``.
    scorer
        Whose labels.
    joints
        Those that the project has, in its order; None: those of the tables, in theirs.

    Raises
    ------
    DataError
        There are none; several animals; a table that cannot be read; no joint that the project has.
    """
    stems = {
        path.with_suffix("")
        for path in (project / FOLDER).glob("*/CollectedData_*")
        if _NAME.fullmatch(path.name)
    }
    chosen = sorted(stem for stem in stems if stem.name == f"CollectedData_{scorer}")
    if not chosen:
        others = ", ".join(scorers(project))
        raise DataError(
            f"{project / FOLDER}: there are no labels of {scorer!r} (CollectedData_{scorer}.csv in a folder "
            "there)" + (f"; there are those of {others}: correct scorer in config.yaml." if others else ".")
        )
    tables = [_read_stem(stem) for stem in chosen]
    if joints is None:
        joints = list(dict.fromkeys(joint for table in tables for joint in table.joints))
    ordered = [_in_order(table, joints, stem) for table, stem in zip(tables, chosen, strict=True)]
    pictures = tuple(picture for table in ordered for picture in table.pictures)
    if not pictures:
        raise DataError(f"{chosen[0]}.csv: holds no labelled frame. Label some frames first.")
    return Labels(pictures, np.concatenate([table.points for table in ordered]), tuple(joints), scorer)


def _read_stem(stem: Path) -> Labels:
    """Read one folder's table from its csv, its h5, or both."""
    paths = [path for ending in (".csv", ".h5") if (path := stem.with_name(stem.name + ending)).is_file()]
    tables = [read_labels(path, stem.parent.name) for path in paths]
    if len(tables) == 2 and (difference := _difference(*tables)):
        _tell(f"{paths[0]} and {paths[1].name} differ: {difference}. The csv is used.")
    return tables[0]


def read_labels(path: Path, folder: str | None = None) -> Labels:
    """Read one table, csv or h5; joints in its order.

    Parameters
    ----------
    path
        The table.
    folder
        In ``labeled-data``, where the pictures are; None: where the rows say.

    Raises
    ------
    DataError
        It cannot be read, has other columns, or is about several animals.
    """
    match = _NAME.fullmatch(path.name)
    levels, columns, names, cells = read_h5(path) if path.suffix == ".h5" else read_csv(path)
    if "individuals" in levels:
        animals = sorted(set(columns[levels.index("individuals")]))
        raise DataError(
            f"{path}: labels of several animals ({', '.join(animals)}), for which anipipe trains no "
            "networks. Train it with DeepLabCut; its predictions can be imported."
        )
    bodyparts, coords = (columns[levels.index(level)] for level in ("bodyparts", "coords"))
    joints = tuple(dict.fromkeys(bodyparts))
    points = np.full((len(names), len(joints), 2), np.nan)
    for column, (joint, coord) in enumerate(zip(bodyparts, coords, strict=True)):
        if coord in ("x", "y"):  # a likelihood that strayed into labels says nothing
            points[:, joints.index(joint), "xy".index(coord)] = cells[:, column]
    points[~np.isfinite(points).all(axis=-1)] = np.nan
    parts = [["", *re.split(r"[/\\]", name)] for name in names]
    pictures = [(folder or part[-2], part[-1]) for part in parts]
    scorer = match["scorer"] if match else columns[0][0]
    return _once(Labels(tuple(pictures), points, joints, scorer), path)


def _once(table: Labels, path: Path) -> Labels:
    """Return a table in which each picture comes once, as at first."""
    first = {picture: row for row, picture in reversed(list(enumerate(table.pictures)))}
    rows = sorted(first.values())
    if len(rows) < len(table):
        twice = next(one for row, one in enumerate(table.pictures) if first[one] != row)
        _tell(
            f"{path}: {len(table) - len(rows)} of {len(table)} rows are about a picture that an earlier row "
            f"is about, such as {twice[1]}; the earlier ones count."
        )
    return table.take(rows)


def _in_order(table: Labels, joints: Sequence[str], stem: Path) -> Labels:
    """Return a table with the project's joints, in its order."""
    unknown = [joint for joint in table.joints if joint not in joints]
    if len(unknown) == len(table.joints):
        raise DataError(
            f"{stem}.csv: {no_joint(unknown[0], joints)}; none of its joints is among the bodyparts of "
            "config.yaml. Correct the names in either."
        )
    if unknown:
        _tell(
            f"{stem}.csv: {'; '.join(no_joint(joint, joints) for joint in unknown)}. Its labels are left out."
        )
    lacking = [joint for joint in joints if joint not in table.joints]
    if lacking:
        _tell(f"{stem}.csv: has no labels of {', '.join(lacking)}.")
    points = np.full((len(table), len(joints), 2), np.nan)
    for at, joint in enumerate(joints):
        if joint in table.joints:
            points[:, at] = table.points[:, table.joints.index(joint)]
    return replace(table, points=points, joints=tuple(joints))


def _difference(one: Labels, other: Labels) -> str:
    """Say how two tables differ first; nothing, if they do not."""
    if set(one.joints) != set(other.joints):
        return f"the joints {', '.join(sorted(set(one.joints) ^ set(other.joints)))} are in one of them"
    if set(one.pictures) != set(other.pictures):
        alone = sorted(set(one.pictures) ^ set(other.pictures))
        return f"{len(alone)} pictures are in one of them, such as {alone[0][1]}"
    rows = {picture: row for row, picture in enumerate(other.pictures)}
    order = [other.joints.index(joint) for joint in one.joints]
    points = other.points[[rows[picture] for picture in one.pictures]][:, order]
    other_place = ~np.isclose(one.points, points, rtol=0, atol=_SAME, equal_nan=True).all(axis=-1)
    if not other_place.any():
        return ""
    row, joint = np.argwhere(other_place)[0]
    (x, y), (u, v) = one.points[row, joint], points[row, joint]
    place = f"{one.joints[joint]} in {one.pictures[row][1]} is at ({x:g}, {y:g}) and ({u:g}, {v:g})"
    return f"{place}; {other_place.sum()} points in all"


@dataclass(frozen=True)
class Usable:
    """Labelled frames with a picture each.

    Attributes
    ----------
    labels : Labels
    rows : ndarray
        (frames,), which of the frames that there were these are.
    sizes : ndarray
        (frames, 2), width and height of the pictures.
    """

    labels: Labels
    rows: NDArray[np.int64]
    sizes: NDArray[np.int64]


def usable(labels: Labels, project: Path, size_of: Callable[[Path], tuple[int, int] | None]) -> Usable:
    """Leave out frames without a picture and points outside theirs, and tell which.

    As in DeepLabCut, points at 0 or below are outside: they stand for "not labelled" in old files.

    Parameters
    ----------
    labels
        Labelled frames.
    project
        Where their pictures are.
    size_of
        Width and height of a picture, pixels; None, if it cannot be read.

    Raises
    ------
    DataError
        No frame is left, or no point.
    """
    paths = labels.paths(project)
    found = [size_of(path) if path.is_file() else None for path in paths]
    rows = [row for row, size in enumerate(found) if size is not None]
    for what, missing in (
        ("missing", [path for path in paths if not path.is_file()]),
        (
            "unreadable",
            [path for path, size in zip(paths, found, strict=True) if path.is_file() and not size],
        ),
    ):
        if missing:
            _tell(
                f"{len(missing)} of {len(paths)} labelled pictures are {what}, and left out: {_some(missing)}"
            )
    if not rows:
        raise DataError(
            f"{project / FOLDER}: none of {len(paths)} labelled pictures can be read: {_some(paths)}"
        )
    labels = labels.take(rows)
    sizes = np.array([found[row] for row in rows], dtype=np.int64)
    inside = np.all((labels.points > 0) & (labels.points < sizes[:, None]), axis=-1)
    outside = np.argwhere(np.isfinite(labels.points).all(axis=-1) & np.logical_not(inside))
    if len(outside):
        row, joint = outside[0]
        x, y = labels.points[row, joint]
        _tell(
            f"{len(outside)} labelled points lie outside their pictures, and count as not labelled: "
            f"{labels.joints[joint]} in {'/'.join(labels.pictures[row])} at ({x:g}, {y:g}) of "
            f"{sizes[row][0]} x {sizes[row][1]} pixels" + (", and others" if len(outside) > 1 else "")
        )
    if not inside.any():
        raise DataError(f"{project / FOLDER}: in {len(labels)} frames no point is labelled. Label some.")
    labels = replace(labels, points=np.where(inside[..., None], labels.points, np.nan))
    return Usable(labels, np.array(rows, dtype=np.int64), sizes)


def write_labels(labels: Labels, stem: Path) -> None:
    """Write a table as DeepLabCut does, to ``STEM.csv`` and ``STEM.h5``; replaces them.

    Paths are relative to the project and in three columns.
    """
    import pandas as pd

    columns = [(labels.scorer, joint, coord) for joint in labels.joints for coord in ("x", "y")]
    index = [(FOLDER, *picture) for picture in labels.pictures]
    cells = labels.points.reshape(len(labels), -1)
    lines = [
        quoted([level, "", "", *values])
        for level, values in zip(("scorer", "bodyparts", "coords"), zip(*columns, strict=True), strict=True)
    ]
    for row, values in zip(index, cells, strict=True):
        lines.append(quoted([*row, *("" if np.isnan(value) else repr(float(value)) for value in values)]))
    stem.with_name(stem.name + ".csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    frame = pd.DataFrame(
        cells,
        index=pd.MultiIndex.from_tuples(index),
        columns=pd.MultiIndex.from_tuples(columns, names=["scorer", "bodyparts", "coords"]),
    )
    frame.to_hdf(stem.with_name(stem.name + ".h5"), key=KEY, mode="w")


def _some(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def _tell(text: str) -> None:
    warnings.warn(text, Notice, stacklevel=3)
