"""Sheets that previews are drawn on: panels below each other, a heading, and the joints' names beside them.

Drawn with matplotlib's own fonts and without any of the user's settings, so that the same data give the same
bytes. Nothing of matplotlib's that is global is touched.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
#: Pixels: of sheets, of the panels on them at least, and of what is around the panels.
WIDTH, PANEL = 1320, 700
LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 82, 26, 66, 52, 16
#: Pixels: of a row of the legend, of the line before a name, and of the space between columns.
ROW, SWATCH, GUTTER = 18, 16, 22
_ROWS = 20  # so many names stand below each other at least, before there is another column
INK, SOFT, GRID = "#222222", "#666666", "#dddddd"

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names may hold any character
    "font.family": ["DejaVu Sans"],  # comes with matplotlib
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": [-5, 7],
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 0.9,
    "lines.solid_joinstyle": "round",
    "xtick.color": "#999999",
    "ytick.color": "#999999",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True)
class Legend:
    """Names and their colours, (names, 3), 0 to 255."""

    names: Sequence[str]
    colours: NDArray[np.uint8]


@contextmanager
def style() -> Iterator[None]:
    """Draw in our style, whatever the user's matplotlibrc says."""
    from matplotlib import rc_context, rcParamsDefault

    # a user's backend is not ours to look up: that would choose one
    plain: dict[Any, Any] = {key: rcParamsDefault[key] for key in rcParamsDefault if "backend" not in key}
    with warnings.catch_warnings(), rc_context(plain | _STYLE):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box is shown for it
        yield


def sheet(
    title: str, note: str, legend: Legend, heights: Sequence[int], width: int | None = None
) -> tuple[Figure, list[Axes]]:
    """Make a sheet with empty panels. To be called, and drawn on, in :func:`style`.

    Parameters
    ----------
    title, note
        The heading, and a smaller line below it.
    legend
        What stands on the right of the panels, in as many columns as it takes.
    heights
        Of the panels, from top to bottom, in pixels.
    width
        Of the panels, in pixels; left out: as the sheet's usual width leaves room for.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    high = sum(heights) + BETWEEN * (len(heights) - 1)
    figure = Figure(dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    rows = max(_ROWS, high // ROW)
    columns = _columns(legend, rows, canvas)
    beside = sum(column.width for column in columns)
    wide = width or max(PANEL, WIDTH - LEFT - RIGHT - beside)
    texts = [
        figure.text(0, 0, title, fontsize=11, fontweight="bold"),
        figure.text(0, 0, note, color=SOFT),
    ]
    longest = max(round(text.get_window_extent().width) for text in texts)
    total_wide = LEFT + max(wide + RIGHT + beside, longest + RIGHT)
    total_high = TOP + max(high, ROW * min(rows, len(legend.names))) + BOTTOM
    figure.set_size_inches(total_wide / DPI, total_high / DPI)
    for text, y in zip(texts, (24, 46), strict=True):
        text.set_position((LEFT / total_wide, 1 - y / total_high))
    axes = []
    top = TOP
    for height in heights:
        place = LEFT / total_wide, 1 - (top + height) / total_high, wide / total_wide, height / total_high
        axes.append(figure.add_axes(place))
        top += height + BETWEEN
    _draw_legend(figure, columns, LEFT + wide + RIGHT)
    return figure, axes


def png(figure: Figure) -> bytes:
    """Return a sheet as a PNG file; the same sheet gives the same bytes."""
    content = io.BytesIO()
    with style():
        how = {"compress_level": 4}  # nearly as small as by PIL's default, and quicker
        figure.canvas.print_png(content, metadata={"Software": None}, pil_kwargs=how)  # type: ignore[attr-defined]
    return content.getvalue()


def panel_width(axes: Axes) -> int:
    """Return the width of a panel in pixels."""
    return round(axes.get_window_extent().width)


@dataclass(frozen=True)
class _Column:
    names: Sequence[str]
    colours: NDArray[np.float64]
    width: int


def _columns(legend: Legend, rows: int, canvas: object) -> list[_Column]:
    from matplotlib.font_manager import FontProperties

    font, renderer = FontProperties(), canvas.get_renderer()  # type: ignore[attr-defined]
    columns = []
    for start in range(0, len(legend.names), rows):
        names = legend.names[start : start + rows]
        width = max(renderer.get_text_width_height_descent(name, font, False)[0] for name in names)
        colours = legend.colours[start : start + rows] / 255
        columns.append(_Column(names, colours, round(width) + SWATCH + GUTTER))
    return columns


def _draw_legend(figure: Figure, columns: Sequence[_Column], left: int) -> None:
    from matplotlib.lines import Line2D

    wide, high = figure.get_size_inches() * DPI
    for column in columns:
        for row, (name, colour) in enumerate(zip(column.names, column.colours, strict=True)):
            y = 1 - (TOP + ROW * (row + 0.5)) / high
            ends = [left / wide, (left + SWATCH - 5) / wide]
            figure.add_artist(Line2D(ends, [y, y], color=colour, linewidth=3, solid_capstyle="butt"))
            figure.text((left + SWATCH) / wide, y, name, verticalalignment="center_baseline")
        left += column.width
