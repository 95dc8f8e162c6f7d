"""What previews show of long recordings: as much as their pixels can, and single outliers always."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: What lies farther out is no place that a picture could show, and is left out as if it were missing.
FARTHEST = 1e9


class Envelope(NamedTuple):
    """A series in parts of equal length: where each is in time, and its least, middle and largest value."""

    frames: Floats
    low: Floats
    middle: Floats
    high: Floats


class Histograms(NamedTuple):
    """Counts (series, bins), and the (bins + 1,) edges of the bins."""

    counts: NDArray[np.int64]
    edges: Floats


def drawable(values: Floats) -> Flags:
    """Return which values can be drawn: those that are there, finite and not beyond all bounds."""
    return np.abs(values) <= FARTHEST


def envelope(values: Floats, parts: int) -> Envelope:
    """Thin a series out to what a picture of so many columns can show.

    Parameters
    ----------
    values
        (frames,), NaN where missing.
    parts
        How many parts at most.

    Returns
    -------
    Per part the extremes and the middle one of its values, so that a single outlier among millions is still
    there; NaN in parts without any.
    """
    length = max(1, -(-len(values) // parts))
    starts = np.arange(0, len(values), length)
    rows = np.full((len(starts), length), np.nan)
    rows.reshape(-1)[: len(values)] = values
    rows.sort(axis=1)  # NaN comes last
    last = np.maximum(np.count_nonzero(~np.isnan(rows), axis=1) - 1, 0)
    each = np.arange(len(rows))
    ends = np.minimum(starts + length, len(values)) - 1
    return Envelope((starts + ends) / 2, rows[:, 0], rows[each, last // 2], rows[each, last])


def unbroken(frames: Floats, values: Floats, largest_step: float) -> tuple[Floats, Floats]:
    """Return frames and values of a line that is interrupted where it would step further than that."""
    breaks = np.flatnonzero(np.abs(np.diff(values)) > largest_step) + 1
    return np.insert(frames, breaks, np.nan), np.insert(values, breaks, np.nan)


def alone(values: Floats) -> Flags:
    """Return which values have no neighbour, so that no line leads to them."""
    there = ~np.isnan(values)
    padded = np.pad(there, 1)
    return np.asarray(there & ~padded[:-2] & ~padded[2:])


def beside(flags: Flags) -> Flags:
    """Return the flagged ones and their neighbours."""
    padded = np.pad(flags, 1)
    return np.asarray(padded[:-2] | flags | padded[2:])


def histograms(series: list[Floats], bins: int) -> Histograms:
    """Count values in bins that lie symmetrically about 0, and reach as far as the largest value.

    Parameters
    ----------
    series
        Values of each, any number.
    bins
        How many; of an odd number, the middle one is about 0.
    """
    reach = max((float(np.abs(values).max()) for values in series if len(values)), default=0.0) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)
    counts = [np.histogram(values, bins, (-reach, reach))[0] for values in series]
    return Histograms(np.array(counts, dtype=np.int64).reshape(len(series), bins), edges)


def cell_counts(points: Floats, size: tuple[int, int], corner: Floats, far_corner: Floats) -> Floats:
    """Count points in the cells of a grid.

    Parameters
    ----------
    points
        (points, 2), x and y.
    size
        Columns and rows of the grid.
    corner, far_corner
        (2,) each, where the grid begins and ends.

    Returns
    -------
    (rows, columns)
    """
    columns, rows = size
    places = (points - corner) / (far_corner - corner) * size
    inside = ((places >= 0) & (places < size)).all(axis=1)
    column, row = places[inside].astype(np.int64).T
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns).astype(float)
