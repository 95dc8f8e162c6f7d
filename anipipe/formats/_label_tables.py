"""Tables of labels as they stand in csv and HDF5 files, whichever program and pandas wrote them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._files import open_hdf5, read_text, translated
from anipipe.formats._hdf_pickles import no_code, refuse_code

FOLDER = "labeled-data"
_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_BLANK = ("", "nan", "na", "none", "null")

Table = tuple[list[str], list[list[str]], list[str], NDArray[np.float64]]


def read_csv(path: Path) -> Table:
    """Return the header's levels, its cells per level, the pictures, and the numbers (rows, columns).

    Raises
    ------
    DataError
        It is no table of labels, or damaged.
    """
    lines = [row for row in csv.reader(read_text(path).splitlines()) if any(cell.strip() for cell in row)]
    count = next((at for at, row in enumerate(lines) if row[0].strip() not in _LEVELS), len(lines))
    levels = [row[0].strip() for row in lines[:count]]
    if levels not in ([*_LEVELS], ["scorer", "bodyparts", "coords"]):
        raise DataError(
            f"{path}: does not start with the header rows scorer, bodyparts, coords, separated by commas. "
            "Give the csv that DeepLabCut wrote."
        )
    coords = [cell.strip() for cell in lines[count - 1]]
    first = next((at for at, cell in enumerate(coords) if cell in ("x", "y", "likelihood")), len(coords))
    columns = [[cell.strip() for cell in row[first:]] for row in lines[:count]]
    rows = lines[count:]
    if rows and not any(map(re.compile(r"[/\\.]").search, rows[0][:first])):
        rows = rows[1:]  # pandas gives names of the index, if it has any, a row of their own
    cells = np.full((len(rows), len(coords) - first), np.nan)
    for at, row in enumerate(rows):
        if len(row) != len(coords):
            raise DataError(
                f"{path}: the row of {'/'.join(row[:first])} has {len(row)} cells, the header {len(coords)}. "
                "Open it in an editor for text and mend the row."
            )
        cells[at] = [_number(cell, row, path) for cell in row[first:]]
    return levels, columns, ["/".join(row[:first]) for row in rows], cells


def _number(cell: str, row: Sequence[str], path: Path) -> float:
    if cell.strip().lower() in _BLANK:
        return np.nan
    try:
        return float(cell)
    except ValueError:
        raise DataError(f"{path}: {cell!r} in the row of {row[0]} is no number.") from None


def read_h5(path: Path) -> Table:
    """Return the same of an HDF5 table; raises DataError where it is none."""
    import pandas as pd

    with open_hdf5(path) as file:
        refuse_code(file, path)
    with translated(path, "a table of labels"), no_code():
        frame: Any = pd.read_hdf(path)
        names = ["/".join(map(str, row)) if isinstance(row, tuple) else str(row) for row in frame.index]
        levels = [str(level) for level in frame.columns.names]
        columns = [[str(cell) for cell in frame.columns.get_level_values(level)] for level in levels]
        cells = frame.to_numpy(dtype=np.float64)
    if not {"bodyparts", "coords"} <= set(levels):
        raise DataError(f"{path}: holds no labels: its columns are called {', '.join(levels)}.")
    lost = frame.index.name
    if isinstance(lost, str) and FOLDER in lost:
        # pandas reads a csv whose first row is blank as if that row named the index
        names.insert(0, lost)
        cells = np.vstack([np.full((1, cells.shape[1]), np.nan), cells])
    return levels, columns, names, cells
