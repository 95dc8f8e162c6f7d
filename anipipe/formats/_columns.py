"""DeepLabCut's column layout: scorer, (individual,) body part, coordinate.

DeepLabCut, Lightning Pose, EKS and Anipose share it, in HDF5 and in csv. Columns are picked by name; those
beside x, y and likelihood (such as EKS's ``x_ens_median``) are left alone. The 2nd, 3rd, ... hypothesis of
a body part are ``x2, y2, likelihood2``, ``x3, ...``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._files import REMEDY
from anipipe.formats._frames import by_frame, frame_numbers, source_rows
from anipipe.guards import check_names

LEVELS = ("scorer", "bodyparts", "coords")
LEVELS_MULTI = ("scorer", "individuals", "bodyparts", "coords")
UNIQUE_PARTS = "single"  # DeepLabCut's individual for body parts that exist once, beside the animals

_MOST_COLUMNS = 20_000
_COORD = re.compile(r"(x|y|likelihood)(\d*)")


class Column(NamedTuple):
    """The name of a column, level by level; ``individual`` is None where a file has no such level."""

    scorer: str
    individual: str | None
    joint: str
    coord: str


@dataclass(frozen=True, eq=False)
class Content:
    """A prediction file as it stands.

    Attributes
    ----------
    columns
        One name per column.
    index
        What the rows are called, (rows,).
    values
        (rows, columns), float64.
    """

    columns: list[Column]
    index: Any
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Extracted:
    """One animal's points, one row per frame; shapes as in :class:`~anipipe.formats.poses2d.Pose2D`."""

    scorer: str
    joints: tuple[str, ...]
    points: NDArray[np.float64]
    scores: NDArray[np.float64]
    rows: NDArray[np.intp] | None


def check_width(columns: int, path: Path) -> None:
    """Raise DataError for a table with more columns than any animal has joints."""
    if columns > _MOST_COLUMNS:
        raise DataError(f"{path}: has {columns} columns, and at most {_MOST_COLUMNS} are read. {REMEDY}")


def name_columns(
    tuples: Sequence[Sequence[Any]], levels: Sequence[Any], path: Path, known: bool = True
) -> list[Column]:
    """Return the columns' names, whatever order their levels stand in.

    Parameters
    ----------
    tuples
        One tuple per column.
    levels
        The levels' names; only their number counts where they are not ``known``.
    path
        The file, for messages.
    known
        Whether the levels have names.
    """
    expected = {3: LEVELS, 4: LEVELS_MULTI}.get(len(levels))
    if expected is None or (known and set(levels) != set(expected)):
        raise DataError(
            f"{path}: its columns have the levels {', '.join(map(str, levels)) or 'none'}; expected "
            f"{', '.join(LEVELS)} (or {', '.join(LEVELS_MULTI)}), as DeepLabCut writes them."
        )
    check_width(len(tuples), path)
    place = {name: (list(levels).index(name) if known else at) for at, name in enumerate(expected)}
    individual = place.get("individuals")
    check_names(dict.fromkeys(str(name) for names in tuples for name in names), path)
    return [
        Column(
            str(names[place["scorer"]]),
            None if individual is None else str(names[individual]),
            str(names[place["bodyparts"]]),
            str(names[place["coords"]]),
        )
        for names in tuples
    ]


def no_single_track(path: Path, counts: dict[str, int], track: str | None) -> DataError:
    """Return the error for a file whose animal is not determined, listing tracks and their frames."""
    listed = ", ".join(f"{name!r} ({count} frames)" for name, count in counts.items()) or "none"
    if track is None:
        return DataError(
            f"{path}: holds {len(counts)} individuals or tracks: {listed}. Say which one to use with "
            "`track` in [predictions] of config.toml."
        )
    return DataError(
        f"{path}: has no individual or track {track!r}; it holds {listed}. Correct predictions.track."
    )


def extract(content: Content, path: Path, track: str | None = None) -> Extracted:
    """Pick one animal's points by column name.

    Parameters
    ----------
    content
        The file as it stands.
    path
        The file, for messages.
    track
        The individual to take; None takes the only one.

    Returns
    -------
    The points of each frame from 0 to the last one of the file.
    """
    chosen = _of_one_animal(content, path, track)
    cells: dict[str, dict[int, dict[str, int]]] = {}
    for at in chosen:
        column = content.columns[at]
        match = _COORD.fullmatch(column.coord)
        if match is None:
            continue
        hypothesis = cells.setdefault(column.joint, {}).setdefault(int(match[2] or 1), {})
        if match[1] in hypothesis:
            raise DataError(
                f"{path}: {column.joint!r} has the column {column.coord!r} twice. Keep one of them."
            )
        hypothesis[match[1]] = at
    if not cells:
        raise DataError(f"{path}: holds no body part with columns x, y, likelihood. Predict the video again.")
    scorers = list(dict.fromkeys(content.columns[at].scorer for at in chosen))
    if len(scorers) > 1:
        raise DataError(
            f"{path}: holds columns of several scorers ({', '.join(scorers)}). Keep those of one."
        )

    count = max(len(by_number) for by_number in cells.values())
    places = np.full((len(cells), count, 3), -1)
    for joint, (name, by_number) in enumerate(cells.items()):
        for rank, number in enumerate(sorted(by_number)):
            lacking = [coord for coord in ("x", "y", "likelihood") if coord not in by_number[number]]
            if lacking:
                suffix = number if number > 1 else ""
                raise DataError(
                    f"{path}: body part {name!r} lacks {', '.join(f'{coord}{suffix}' for coord in lacking)}. "
                    "Predictions need x, y and likelihood for each body part; hand labels are no predictions."
                )
            places[joint, rank] = [by_number[number][coord] for coord in ("x", "y", "likelihood")]
    rows = source_rows(frame_numbers(content.index, path), path)
    values = content.values[:, places]
    values[:, places < 0] = np.nan
    values = by_frame(values, rows, np.nan)
    return Extracted(scorers[0], tuple(cells), values[..., :2], values[..., 2], rows)


def _of_one_animal(content: Content, path: Path, track: str | None) -> list[int]:
    """Return the positions of the columns of the individual asked for, or of the only one."""
    every = list(range(len(content.columns)))
    individuals = list(dict.fromkeys(c.individual for c in content.columns if c.individual is not None))
    if not individuals:
        if track is not None:
            raise DataError(
                f"{path}: names no individuals, so {track!r} cannot be picked. Remove predictions.track."
            )
        return every
    animals = [name for name in individuals if name != UNIQUE_PARTS] or individuals
    wanted = track if track is not None else animals[0]
    if wanted not in individuals or (track is None and len(animals) > 1):
        counts = {name: _frames_with_points(content, name) for name in individuals}
        raise no_single_track(path, counts, track)
    return [at for at in every if content.columns[at].individual == wanted]


def _frames_with_points(content: Content, individual: str) -> int:
    places = [at for at, c in enumerate(content.columns) if c.individual == individual and c.coord == "x"]
    return int(np.isfinite(content.values[:, places]).any(axis=1).sum())
