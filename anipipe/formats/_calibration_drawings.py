"""Drawings of a calibration's report: SVG as text, colours from the page's style."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.calibration.coverage import cell_of

Floats = NDArray[np.float64]

DOTS = 4000  # drawn per camera and colour
ARROW_CELLS = 16  # across a picture
ARROW_CORNERS = 3  # in a cell, from which on its mean is drawn
COLUMNS = 600  # across the drawing of errors over time
BINS = 36


def escape(text: object) -> str:
    """Return text for HTML; names of files may be no valid text in any encoding."""
    return html.escape(str(text).encode("utf-8", "backslashreplace").decode(), quote=True)


def nice(value: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that does not exceed a value."""
    if not np.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9)))


def coverage_drawing(
    size: tuple[int, int], pixels: Floats, kept: NDArray[np.bool_], picture: bytes | None, label: str
) -> str:
    """Draw where in a camera's picture corners were seen.

    Parameters
    ----------
    size
        Width and height of the picture, px.
    pixels
        (n, 2) corners, px.
    kept
        (n,) whether they took part in the solution.
    picture
        A JPEG of that size to draw on, or None.
    label
        What it shows, for those who cannot see it.
    """
    width, height = size
    back = f'<rect x="-0.5" y="-0.5" width="{width}" height="{height}" class="blank"/>'
    if picture:
        data = base64.b64encode(picture).decode("ascii")
        back += (
            f'<image x="-0.5" y="-0.5" width="{width}" height="{height}" preserveAspectRatio="none" '
            f'href="data:image/jpeg;base64,{data}"/>'
        )
    lines = "".join(
        f"M{width * step / 5:.1f} 0V{height}M0 {height * step / 5:.1f}H{width}" for step in range(1, 5)
    )
    back += f'<path d="{lines}" class="cells"/>'
    dot = max(size) / 150
    dots = "".join(
        f'<path d="{_dots(_thinned(pixels[chosen]))}" class="{name}" stroke-width="{dot * factor:.1f}"/>'
        for name, chosen, factor in (("kept", kept, 1.0), ("left", ~kept, 1.5))
    )
    return _svg(f"-0.5 -0.5 {width} {height}", back + dots, label)


def _thinned(points: Floats) -> Floats:
    return np.asarray(points[np.linspace(0, len(points) - 1, min(len(points), DOTS)).astype(int)])


def _dots(points: Floats) -> str:
    """Return lines of no length, which round caps make dots: the shortest way to write many."""
    return "".join(f"M{x:.0f} {y:.0f}h0" for x, y in points.tolist())


def _svg(box: str, content: str, label: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(label)}"{named}>{content}</svg>'


def arrow_drawing(size: tuple[int, int], pixels: Floats, residuals: Floats, label: str) -> str:
    """Draw the mean residual in each cell of a grid over the picture, many times enlarged.

    Parameters
    ----------
    size
        Width and height of the picture, px.
    pixels, residuals
        (n, 2) px: where corners were detected, and how far from there they are projected.
    label
        What it shows.
    """
    width, height = size
    cells = (ARROW_CELLS, max(1, round(ARROW_CELLS * height / max(width, 1))))
    content = f'<rect x="-0.5" y="-0.5" width="{width}" height="{height}" class="frame"/>'
    column, row = cell_of(pixels, size, cells).T
    number = row * cells[0] + column
    count = np.bincount(number, minlength=cells[0] * cells[1])
    taken = np.flatnonzero(count >= ARROW_CORNERS)
    if not taken.size:
        return _svg(f"-0.5 -0.5 {width} {height}", content, label)

    def means(values: Floats) -> Floats:
        sums = [np.bincount(number, weights=values[:, axis], minlength=count.size) for axis in range(2)]
        return np.stack(sums, axis=-1)[taken] / count[taken, None]

    start, arrow = means(pixels), means(residuals)
    pitch = width / cells[0]
    usual = float(np.percentile(np.linalg.norm(arrow, axis=-1), 90))
    unit = nice(usual) if usual > 0 else 1.0
    gain = 0.8 * pitch / max(usual, np.finfo(float).tiny)
    end = start + np.clip(gain * arrow, -2 * pitch, 2 * pitch)  # some cells may hold mistaken corners
    lines = "".join(
        f"M{x:.0f} {y:.0f}L{u:.0f} {v:.0f}"
        for (x, y), (u, v) in zip(start.tolist(), end.tolist(), strict=True)
    )
    thick = width / 260
    content += f'<path d="{lines}" class="arrow" stroke-width="{thick:.1f}"/>'
    content += f'<path d="{_dots(start)}" class="tail" stroke-width="{2.2 * thick:.1f}"/>'
    bar, left, low = gain * unit, 0.03 * width, 0.95 * height
    content += (
        f'<path d="M{left:.0f} {low:.0f}h{bar:.0f}" class="bar" stroke-width="{2 * thick:.1f}"/>'
        f'<text x="{left:.0f}" y="{low - 0.02 * height:.0f}" font-size="{width / 22:.0f}">{unit:g} px</text>'
    )
    return _svg(f"-0.5 -0.5 {width} {height}", content, label)


def histogram(values: Sequence[Floats], names: Sequence[str], limits: tuple[float, float], label: str) -> str:
    """Draw how often values occur, of several groups on each other; those beyond the limits in the end bins.

    Parameters
    ----------
    values
        Groups of (n,) values, the lowest first.
    names
        The groups' classes in the page's style.
    limits
        Of the axis.
    label
        What it shows; its unit stands at the axis.
    """
    low, high = limits
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(np.clip(group, low, high), edges)[0] for group in values]
    tallest = max(int(np.sum(counts, axis=0).max(initial=0)), 1)
    content, base = "", np.zeros(BINS)
    for count, name in zip(counts, names, strict=True):
        for index in np.flatnonzero(count).tolist():
            top, deep = 100 * (base[index] + count[index]) / tallest, 100 * count[index] / tallest
            x = 10 + 280 * index / BINS
            content += f'<rect x="{x:.1f}" y="{104 - top:.1f}" width="{280 / BINS - 0.6:.1f}" '
            content += f'height="{deep:.1f}" class="{name}"/>'
        base = base + count
    content += '<path d="M10 104H290" class="axis"/>'
    for value in _ticks(low, high):
        x = 10 + 280 * (value - low) / (high - low)
        content += f'<path d="M{x:.1f} 104v3" class="axis"/>'
        content += f'<text x="{x:.1f}" y="117" text-anchor="middle" font-size="10">{value:g}</text>'
    return _svg("0 0 300 121", content, label)


def _ticks(low: float, high: float) -> list[float]:
    step = nice((high - low) / 4)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [round(number * step, 12) for number in range(first, last + 1)]


def time_drawing(errors: Mapping[str, Floats], starts: Sequence[int]) -> str:
    """Draw each camera's error over the instants, on a logarithmic scale.

    Parameters
    ----------
    errors
        (instants,) px by camera; NaN where it saw no board.
    starts
        The instants at which recordings begin.
    """
    rows, instants = len(errors), max((len(row) for row in errors.values()), default=0)
    known = np.concatenate([row[np.isfinite(row) & (row > 0)] for row in errors.values()] or [np.empty(0)])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.1, 1.0)
    low, high = np.log10(min(max(low, 0.01), 0.1)), np.log10(max(high, 1.0)) + 0.05
    left, width, tall = 90.0, 900.0, 84.0
    content = ""
    for number, (camera, row) in enumerate(errors.items()):
        top = number * tall + 6
        content += f'<text x="{left - 38:.0f}" y="{top + 38:.0f}" text-anchor="end" font-size="13">'
        content += f'{escape(camera)}</text><rect x="{left}" y="{top}" width="{width}" height="{tall - 14}" '
        content += 'class="frame"/>'
        for power in range(int(np.ceil(low)), int(np.floor(high)) + 1):
            y = top + (tall - 14) * (1 - (power - low) / (high - low))
            content += (
                f'<path d="M{left} {y:.1f}h{width}" class="grid"/><text x="{left - 5}" y="{y + 3:.1f}" '
            )
            content += f'text-anchor="end" font-size="10">{10.0**power:g}</text>'
        for start in starts:
            if start:
                content += f'<path d="M{left + width * start / instants:.1f} {top}v{tall - 14}" class="cut"/>'
        at, value = _worst_per_column(row)
        x = left + width * (at + 0.5) / max(instants, 1)
        y = top + (tall - 14) * (1 - (np.clip(np.log10(value), low, high) - low) / (high - low))
        dots = "".join(f"M{u:.1f} {v:.1f}h0" for u, v in zip(x.tolist(), y.tolist(), strict=True))
        content += f'<path d="{dots}" class="kept" stroke-width="4.5"/>'
    label = "error in px over time, one row per camera"
    return _svg(f"0 0 1000 {rows * tall + 4:.0f}", content, label, "wide")


def _worst_per_column(row: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return where and how large the errors above 0 are; of very many instants the worst in each column."""
    at = np.flatnonzero(np.isfinite(row) & (row > 0))
    if at.size > COLUMNS:
        column = at * COLUMNS // len(row)
        order = np.lexsort((-row[at], column))
        at = at[order[np.unique(column[order], return_index=True)[1]]]
    return at, row[at]
