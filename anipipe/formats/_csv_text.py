"""Columns of numbers to the lines of a csv file, fast and exactly.

The text is Python's ``repr``, as pandas writes it: the shortest that reads back equal, ``1.0`` for whole
numbers, ``1e-05`` below 0.0001; NaN is an empty cell. Arrow makes such text ten times faster and the same for
fractions of ordinary size; the others are spelled as Python does.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

ROWS_AT_ONCE = 20_000


def quoted(cells: Iterable[str]) -> str:
    """Return cells as one line of csv without its end, quoted where needed."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def texts(values: Any) -> Any:
    """Return one cell per value.

    Parameters
    ----------
    values
        An Arrow array, or a numpy array of float, int, bool or text, (rows,).

    Returns
    -------
    Arrow array of strings, null where missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_floating(array.type):
        return _float_texts(array.to_numpy(zero_copy_only=False).astype(np.float64))
    if pa.types.is_dictionary(array.type):
        return texts(array.dictionary).take(array.indices)
    if pa.types.is_boolean(array.type):
        return pc.if_else(array, "True", "False")
    cells = array.cast(pa.string())
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        special = pc.fill_null(pc.match_substring_regex(cells, '[",\r\n]'), False)
        if pc.any(special).as_py():
            cells = pa.array([quoted([cell]) if cell else cell for cell in cells.to_pylist()], pa.string())
    return cells


def _float_texts(values: NDArray[np.float64]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    size = np.abs(values)
    missing = np.isnan(values)
    whole = (np.trunc(values) == values) & (size < 1e15) & ~((values == 0) & np.signbit(values))
    odd = ~missing & ~whole & ~((size >= 1e-4) & (size < 1e9))
    if whole.all():
        return _whole_texts(values)
    cells = pc.cast(pa.array(values, mask=missing), pa.string())
    if whole.any():
        cells = pc.replace_with_mask(cells, pa.array(whole), _whole_texts(values[whole]))
    if odd.any():
        spelled = pa.array([repr(value) for value in values[odd].tolist()], pa.string())
        cells = pc.replace_with_mask(cells, pa.array(odd), spelled)
    return cells


def _whole_texts(values: NDArray[np.float64]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(pc.cast(pa.array(values.astype(np.int64)), pa.string()), ".0", "")


def write_lines(file: IO[bytes], columns: Sequence[Any]) -> None:
    """Write columns below each other's cells, each line ended by a line feed.

    Parameters
    ----------
    file
        Open for bytes.
    columns
        At least one column as :func:`texts` accepts them, all of one length; a ``str`` stands for a cell, or
        several joined by commas, that is the same in each line.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    count = next((len(column) for column in columns if not isinstance(column, str)), 0)
    for start in range(0, count, ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, count))
        cells = [column if isinstance(column, str) else texts(column[rows]) for column in columns]
        if isinstance(cells[0], str):
            cells[0] = pa.array([cells[0]] * (rows.stop - rows.start), pa.string())
        joined = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
        file.write(_bytes(pc.binary_join_element_wise(joined, "\n", "")))


def _bytes(strings: Any) -> bytes:
    """Return the characters of an Arrow array of strings, one after the other."""
    import pyarrow as pa

    _, offsets, data = strings.cast(pa.large_string()).buffers()
    bounds = np.frombuffer(offsets, np.int64)
    first, last = int(bounds[strings.offset]), int(bounds[strings.offset + len(strings)])
    return bytes(data[first:last]) if data is not None else b""
