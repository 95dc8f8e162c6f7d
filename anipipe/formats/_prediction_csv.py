"""Predictions as csv: DeepLabCut, Lightning Pose, EKS.

Header rows ``scorer``, (``individuals``,) ``bodyparts``, ``coords``, named in the first column; below them
the frame number and one cell per column, blank where missing.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from anipipe.errors import DataError
from anipipe.formats._columns import LEVELS_MULTI, Content, name_columns
from anipipe.formats._files import check_last_line, read_lines, translated

MISSING = ["", "nan", "NaN", "NAN", "-nan", "NA", "N/A", "#N/A", "null", "NULL", "None", "<NA>"]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _header(path: Path) -> tuple[list[list[str]], int]:
    """Return the header rows and how many lines to skip before the data."""
    try:
        start = list(csv.reader(read_lines(path, 6)))
    except csv.Error as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}). Save it as UTF-8 text.") from error
    header: list[list[str]] = []
    for row in start:
        if not row or row[0].strip() not in LEVELS_MULTI:
            break
        header.append(row)
    if not header or header[-1][0].strip() != "coords":
        semicolons = bool(start) and bool(start[0]) and ";" in start[0][0]
        raise DataError(
            f"{path}: does not start with the header rows scorer, (individuals,) bodyparts, coords"
            + (
                " separated by commas (it has semicolons: save it with commas and decimal points)."
                if semicolons
                else "."
            )
            + " Give the csv that DeepLabCut, Lightning Pose or EKS wrote."
        )
    skip = len(header)
    after = start[skip] if len(start) > skip else []
    # pandas writes the name of the index, if it has one, in a row of its own
    if after and not any(after[1:]) and not _is_number(after[0]):
        skip += 1
    return header, skip


def read_content(path: Path) -> Content:
    """Read a prediction csv as it stands.

    Rows without any number stay rows; pandas would take the first of them for the name of the index.

    Raises
    ------
    DataError
        Empty, cut off (except exactly at the end of a line, which no reader can see), other columns, cells
        that are not numbers.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    check_last_line(path)
    header, skip = _header(path)
    width = len(header[0])
    if any(len(row) != width for row in header):
        raise DataError(f"{path}: its header rows differ in length. Copy the file anew.")
    levels = [row[0].strip() for row in header]
    columns = name_columns(list(zip(*(row[1:] for row in header), strict=True)), levels, path)
    if not columns:
        raise DataError(f"{path}: holds no body part. Predict the video again.")
    names = [str(at) for at in range(width)]
    types = {name: pa.float64() for name in names[1:]} | {"0": pa.string()}
    if len(read_lines(path, skip + 1)) <= skip:
        raise DataError(f"{path}: has a header but no frame. Predict the video again, or copy the file anew.")
    with translated(path, "a csv of predictions"):
        table = pc.read_csv(
            path,
            read_options=pc.ReadOptions(skip_rows=skip, column_names=names),
            convert_options=pc.ConvertOptions(column_types=types, null_values=MISSING),
        )
    values = np.empty((table.num_rows, width - 1))
    for at, name in enumerate(names[1:]):
        values[:, at] = table[name].to_numpy()
    try:
        index = table["0"].cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:  # names of images, or numbers that only Python reads; judged with the frames
        index = table["0"].to_pylist()
    return Content(columns, index, values)
