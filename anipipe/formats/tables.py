"""Angles of a trial, and the tables of all sessions.

``angles/TRIAL.csv`` is Anipose's: a column per angle in degrees, ``fnum`` last. The summaries are put
together from one parquet part per trial, which are then streamed into one csv. A table is a mapping from a
column's name to its values, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._csv_text import ROWS_AT_ONCE, quoted, write_lines
from anipipe.formats._files import check_not_empty, translated
from anipipe.formats._frames import by_frame, frame_numbers, source_rows
from anipipe.formats._number_csv import read_number_columns
from anipipe.formats.poses3d import FRAME_COLUMN

Table = Mapping[str, NDArray[Any]]


def write_angles(angles: Table, path: Path) -> None:
    """Write angles, (frames,) each in degrees, with the frame number as last column; NaN is an empty cell.

    Raises
    ------
    ValueError
        Angles of different length, or one called ``fnum``.
    """
    lengths = {len(values) for values in angles.values()}
    if len(lengths) > 1 or FRAME_COLUMN in angles:
        raise ValueError(f"angles of lengths {sorted(lengths)}, named {', '.join(angles)}")
    frames = lengths.pop() if lengths else 0
    with path.open("wb") as file:
        file.write((quoted([*angles, FRAME_COLUMN]) + "\n").encode())
        write_lines(
            file, [*(np.asarray(values, dtype=np.float64) for values in angles.values()), np.arange(frames)]
        )


def read_angles(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read angles written by anipipe or Anipose.

    Returns
    -------
    (frames,) per angle in degrees, in the file's order, one row per frame; ``fnum`` is not among them.

    Raises
    ------
    DataError
        Empty, cut off (except exactly at the end of a line, which no reader can see), no ``fnum``, cells that
        are not numbers.
    """
    names, read = read_number_columns(path)
    if FRAME_COLUMN not in names:
        raise DataError(
            f"{path}: lacks the column {FRAME_COLUMN!r} of a table of angles. Compute the angles again."
        )
    values = read(names)
    rows = source_rows(frame_numbers(values.pop(FRAME_COLUMN), path), path)
    return {name: by_frame(column, rows, np.nan) for name, column in values.items()}


def write_parquet(table: Table, path: Path) -> None:
    """Write a table with the same bytes each time.

    Parameters
    ----------
    table
        Columns of one length: float64 (NaN stays NaN), int64, bool, or text (None is missing).
    path
        The file; replaced if it exists.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: _arrow(np.asarray(values)) for name, values in table.items()}
    text = [name for name, array in arrays.items() if pa.types.is_string(array.type)]
    pq.write_table(
        pa.table(arrays),
        path,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        row_group_size=1 << 20,
        use_dictionary=text,
        write_statistics=True,
        store_schema=False,
    )


def _arrow(values: NDArray[Any]) -> Any:
    import pyarrow as pa

    kinds = {"f": pa.float64(), "i": pa.int64(), "u": pa.int64(), "b": pa.bool_()}
    return pa.array(values, kinds.get(values.dtype.kind, pa.string()))


def read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    """Read a table: float64, int64 or bool columns, text as objects (None where missing).

    Raises
    ------
    DataError
        Empty, cut off, or no parquet file.
    """
    import pyarrow.parquet as pq

    check_not_empty(path)
    with translated(path, "a parquet table"), pq.ParquetFile(path) as file:
        table = file.read()
        return {name: table[name].to_numpy() for name in table.column_names}


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a table's columns, reading nothing but the file's end.

    Raises
    ------
    DataError
        Empty, cut off, or no parquet file.
    """
    return list(_schema(path).names)


def _schema(path: Path) -> Any:
    import pyarrow.parquet as pq

    check_not_empty(path)
    with translated(path, "a parquet table"):
        return pq.read_schema(path)


def write_csv_from_parts(
    parts: Iterable[Path], path: Path, *, last: Sequence[str] = (), two_header_rows: bool = False
) -> None:
    """Put parquet parts below each other in one csv, holding a few thousand rows at a time.

    Parameters
    ----------
    parts
        The parts, in order. They may have different columns; cells that a part lacks are empty.
    path
        The csv; replaced if it exists.
    last
        Columns that come after all others, in this order, such as ``folder_1``, ``filename``, ``project``;
        those that no part has are left out. The others stand in the order in which the parts bring them.
    two_header_rows
        Write Anipose's header of 2D poses: body part above coordinate. A column's name is split at its last
        underscore, except those of ``last``, which have an empty cell in the second row.

    Raises
    ------
    DataError
        A part that is damaged. ValueError if ``two_header_rows`` meets a name without underscore.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    every = list(parts)
    columns: dict[str, bool] = {}  # name -> whether some part has fractions in it
    for part in every:
        for column in _schema(part):
            columns[column.name] = columns.get(column.name, False) or pa.types.is_floating(column.type)
    names = [name for name in columns if name not in last] + [name for name in last if name in columns]
    with path.open("wb") as file:
        for header in _headers(names, set(last), two_header_rows):
            file.write((quoted(header) + "\n").encode())
        for part in every:
            with translated(part, "a parquet table"), pq.ParquetFile(part) as source:
                for batch in source.iter_batches(batch_size=ROWS_AT_ONCE):
                    write_lines(file, [_column(batch, name, columns[name]) for name in names])


def write_columns(parts: Iterable[Path], path: Path, *, last: Sequence[str] = ()) -> None:
    """Write a parquet table without rows that has the columns of all parts.

    Readers of a folder of parquet files take its columns from the file whose name comes first. With this
    file there, under such a name, they read all columns of all parts, missing where a part lacks one.

    Parameters
    ----------
    parts, last
        As in :func:`write_csv_from_parts`.
    path
        The file; replaced if it exists.

    Raises
    ------
    DataError
        A part that is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = {}
    for part in parts:
        for column in _schema(part):
            if column.name not in kinds or pa.types.is_floating(column.type):
                kinds[column.name] = column.type
    names = [name for name in kinds if name not in last] + [name for name in last if name in kinds]
    schema = pa.schema([(name, kinds[name]) for name in names])
    pq.write_table(schema.empty_table(), path, version="2.6", store_schema=False)


def _headers(names: list[str], last: set[str], two_rows: bool) -> list[list[str]]:
    if not two_rows:
        return [names]
    split = [(name, "") if name in last else tuple(name.rsplit("_", 1)) for name in names]
    single = next((name for name, pair in zip(names, split, strict=True) if len(pair) < 2), None)
    if single is not None:
        raise ValueError(f"column {single!r} has no coordinate after an underscore")
    return [[pair[0] for pair in split], [pair[1] for pair in split]]


def _column(batch: Any, name: str, fractions: bool) -> Any:
    """Return a batch's column, whole numbers as fractions where another part has fractions."""
    import pyarrow as pa

    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    column = batch.column(name)
    return column.cast(pa.float64()) if fractions and pa.types.is_integer(column.type) else column
