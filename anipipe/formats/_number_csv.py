"""A csv with one header row and numbers below: 3D poses and angles."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._columns import check_width
from anipipe.formats._files import check_last_line, read_lines, translated
from anipipe.formats._prediction_csv import MISSING
from anipipe.guards import check_names

Columns = dict[str, NDArray[np.float64]]


def read_number_columns(path: Path) -> tuple[list[str], Callable[[Sequence[str]], Columns]]:
    """Return the names of a file's columns, and a function that reads some of them.

    Raises
    ------
    DataError
        Empty, cut off within a line, not UTF-8, a column named twice; and on reading, cells that are
        not numbers.
    """
    check_last_line(path)
    try:
        names = next(csv.reader(read_lines(path, 1)), [])
    except csv.Error as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}). Save it as UTF-8 text.") from error
    check_width(len(names), path)
    check_names(names, path)
    double = next((name for name, count in Counter(names).items() if count > 1), None)
    if double is not None:
        raise DataError(f"{path}: has two columns {double!r}. Make the file again, or remove one of them.")

    def read(wanted: Sequence[str]) -> Columns:
        import pyarrow as pa
        import pyarrow.csv as pc

        with translated(path, "a csv of numbers"):
            table = pc.read_csv(
                path,
                read_options=pc.ReadOptions(column_names=[str(at) for at in range(len(names))], skip_rows=1),
                convert_options=pc.ConvertOptions(
                    include_columns=[str(names.index(name)) for name in wanted],
                    column_types={str(names.index(name)): pa.float64() for name in wanted},
                    null_values=MISSING,
                ),
            )
        return {name: table[str(names.index(name))].to_numpy() for name in wanted}

    return names, read
