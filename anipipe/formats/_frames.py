"""One row per frame, whatever the index of a file looks like."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError, Notice

_UNSUSPICIOUS = 2**30  # bytes


def frame_numbers(index: Any, path: Path) -> NDArray[np.int64]:
    """Turn a file's index into frame numbers.

    Parameters
    ----------
    index
        One entry per row: whole numbers, in any numeric type or as text.
    path
        The file, for messages.

    Returns
    -------
    Frame numbers, shape (rows,), each at least 0 and none twice, in the file's order.

    Raises
    ------
    DataError
        The index holds names of images, fractions, negative or repeated numbers.
    """
    try:
        numbers = np.asarray(index, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{path}: its rows are not numbered by frame (the first is {next(iter(index))!r}). Labelled "
            "images cannot be used as poses of a video; give the predictions for the whole video."
        ) from None
    if numbers.ndim != 1:
        raise DataError(
            f"{path}: its rows have an index of several levels; write it with frame numbers only."
        )
    frames = np.full(len(numbers), -1, dtype=np.int64)
    usable = np.isfinite(numbers) & (np.abs(numbers) < 2**53)
    frames[usable] = numbers[usable].astype(np.int64)
    wrong = np.flatnonzero((frames < 0) | (frames != numbers))
    if len(wrong):
        raise DataError(
            f"{path}: row {wrong[0] + 1} has {numbers[wrong[0]]} where the frame number should be "
            "(0 for the first frame of the video). Number the rows by frame."
        )
    unique, counts = np.unique(frames, return_counts=True)
    if len(unique) < len(frames):
        raise DataError(
            f"{path}: frame {unique[counts > 1][0]} occurs more than once. Keep one row per frame."
        )
    if len(frames):
        check_span(int(unique[-1]), len(frames), path)
    return frames


def check_span(last: int, rows: int, path: Path) -> None:
    """Raise DataError if the last frame's number cannot be one of a video with so many rows."""
    if last > 1000 * rows + 1_000_000:
        raise DataError(
            f"{path}: has {rows} rows but frame numbers up to {last}. Number the rows by frame, "
            "not by time stamp."
        )


def source_rows(frames: NDArray[np.int64], path: Path) -> NDArray[np.intp] | None:
    """Say which row of the file holds each frame.

    Parameters
    ----------
    frames
        Frame number of each row, as :func:`frame_numbers` returns them.
    path
        The file, for the notice.

    Returns
    -------
    None if the rows are the frames 0, 1, 2, ... already; else shape (frames,), the row of each frame, -1 for
    a frame without one. Such frames are said to the user in a :class:`~anipipe.errors.Notice`.
    """
    if np.array_equal(frames, np.arange(len(frames))):
        return None
    rows = np.full(int(frames.max()) + 1, -1, dtype=np.intp)
    rows[frames] = np.arange(len(frames))
    absent = np.flatnonzero(rows < 0)
    if len(absent):
        shown = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
        message = f"{path}: no row for {len(absent)} of {len(rows)} frames ({shown}); they are missing (NaN)."
        warnings.warn(Notice(message), stacklevel=3)
    return rows


def by_frame(values: NDArray[Any], rows: NDArray[np.intp] | None, missing: Any) -> NDArray[Any]:
    """Return ``values`` (rows, ...) with one row per frame, ``missing`` where a frame has none."""
    if rows is None:
        return values
    size = len(rows) * values.nbytes // max(len(values), 1)
    if size > max(_UNSUSPICIOUS, 100 * values.nbytes):
        raise DataError(
            f"{len(values)} rows with frame numbers up to {len(rows) - 1} would unfold to "
            f"{size / 2**30:,.1f} GiB. Number the rows by frame, not by time stamp."
        )
    result = np.full((len(rows), *values.shape[1:]), missing, dtype=values.dtype)
    result[rows >= 0] = values[rows[rows >= 0]]
    return result
