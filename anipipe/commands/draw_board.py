"""``anipipe draw-board``: the calibration board as a picture, or as a page at its true size."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from anipipe.errors import UsageError
from anipipe.numerics.boards.drawing import dark_rectangles, draw_board, quiet_margin
from anipipe.numerics.boards.geometry import Board, Floats

#: Millimetres in the units of length that are known.
MILLIMETRES = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("um", "µm", "μm", "micrometer", "micrometers", "micron", "microns"), 0.001),
    **dict.fromkeys(("in", "inch", "inches", '"'), 25.4),
}
_A4 = (210.0, 297.0)
_INCH = 25.4
_EDGE = 12.0  # mm of empty paper around everything; printers leave out up to 5
_RULER = 100.0  # mm
_FOOT = 24.0  # mm below the board, for ruler and text
_LETTER = 1.4  # mm, the mean width of a letter of 7 points
_PIXELS = 2000  # along the longer side of a picture whose board has no known size


def draw(board: Board, path: Path, *, units: str = "mm", inverted: bool = False, dpi: int = 300) -> str:
    """Write a board as a PNG picture or a PDF page.

    Parameters
    ----------
    board
        The board.
    path
        Ends in .png or .pdf. Replaced if it is there.
    units
        What the board's lengths are in, ``calibration.units``.
    inverted
        White on black.
    dpi
        Pixels per inch of a PNG; not used where the units have no known size, nor for a PDF, which has no
        pixels.

    Returns
    -------
    What was written, for the user.

    Raises
    ------
    UsageError
        If the file is of another kind or cannot be written, or a PDF is asked for in units of unknown size.
    DataError
        If the picture would be too small to show every detail, or too large.
    """
    writers = {".png": _draw_png, ".pdf": _draw_pdf}
    if path.suffix.lower() not in writers:
        raise UsageError(f"{path}: boards are drawn as .png or .pdf")
    if millimetres(units) is None and path.suffix.lower() == ".pdf":
        raise UsageError(
            f'{path}: a page needs a true size, and calibration.units = "{units}" is no known unit of length '
            "(mm, cm, m, um, inch); a .png needs none"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return writers[path.suffix.lower()](board, path, units, inverted, dpi)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error


def millimetres(units: str) -> float | None:
    """Return how many millimetres one unit has, None where the unit is not known."""
    return MILLIMETRES.get(units.strip().lower())


def describe(board: Board, units: str = "") -> str:
    """Say in one line what a board is."""
    parts = [f"{board.kind} {board.size[0]} x {board.size[1]}"]
    unit = f" {units}" if units else ""
    for name, value in (("square", board.square), ("marker", board.marker), ("gap", board.separation)):
        if value:
            parts.append(f"{name} {value:g}{unit}")
    if board.dictionary:
        parts.append(board.dictionary)
    if board.legacy:
        parts.append("layout of OpenCV before 4.6")
    return ", ".join(parts)


def _draw_png(board: Board, path: Path, units: str, inverted: bool, dpi: int) -> str:
    scale = millimetres(units)
    left, top, right, bottom = board.bounds
    longer = max(right - left, bottom - top) + 2 * quiet_margin(board)
    pixels_per_unit = _PIXELS / longer if scale is None else dpi * scale / _INCH
    picture = draw_board(board, pixels_per_unit, inverted=inverted)
    path.write_bytes(_png(picture, None if scale is None else dpi))
    size = f"{picture.shape[1]} x {picture.shape[0]} pixels"
    if scale is None:
        return f"{path}: {size}; print it at any size and measure the squares"
    true = " x ".join(f"{side / dpi * _INCH:.1f}" for side in picture.shape[::-1])
    return f"{path}: {size}, {true} mm at {dpi} dpi; measure the printed squares"


def _png(picture: np.ndarray, dpi: int | None) -> bytes:
    """Encode a grey picture, with its resolution, by which programs know how large to print it."""
    import cv2

    done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise OSError("OpenCV cannot encode it")
    encoded = bytes(data)
    if dpi is None:
        return encoded
    per_metre = round(dpi / _INCH * 1000)
    body = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    after_header = 8 + 4 + 4 + 13 + 4
    return encoded[:after_header] + chunk + encoded[after_header:]


def _draw_pdf(board: Board, path: Path, units: str, inverted: bool, dpi: int) -> str:
    """Draw the board on a page that holds it, with a ruler and what it is below."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure

    scale = millimetres(units)
    assert scale is not None
    left, top, right, bottom = (edge * scale for edge in board.bounds)
    quiet = quiet_margin(board) * scale
    width = max(right - left + 2 * quiet, _RULER) + 2 * _EDGE
    height = bottom - top + 2 * quiet + 2 * _EDGE + _FOOT
    figure = Figure(figsize=(width / _INCH, height / _INCH), facecolor="white")
    FigureCanvasPdf(figure)
    # Page coordinates in mm, downwards, from the page's top left.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    origin = np.array([(width - (right - left)) / 2 - left, _EDGE + quiet - top])
    rectangles = dark_rectangles(board) * scale + np.tile(origin, 2)
    if inverted:
        around = np.array([[left, top, right, bottom]]) + np.tile(origin, 2) + [-quiet, -quiet, quiet, quiet]
        _fill(axes, around, "black")
    _fill(axes, rectangles, "white" if inverted else "black")
    _foot(axes, width, height, describe(board, units))
    with rc_context({"pdf.compression": 9}):
        figure.savefig(
            path, format="pdf", metadata={"CreationDate": None, "Creator": "anipipe", "Producer": None}
        )
    return f"{path}: {_page(width, height)}; print it at 100 %, and check the 100 mm line"


def _page(width: float, height: float) -> str:
    size = f"page of {width:.0f} x {height:.0f} mm"
    fits = min(width, height) <= _A4[0] and max(width, height) <= _A4[1]
    return size if fits else f"{size}, larger than A4 ({_A4[0]:.0f} x {_A4[1]:.0f} mm): it needs larger paper"


def _fill(axes: Any, rectangles: Floats, colour: str) -> None:
    """Fill rectangles, (n, 4), as one shape: between shapes that touch, viewers show hairlines."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    x0, y0, x1, y1 = rectangles.T
    corners = np.stack([x0, y0, x1, y0, x1, y1, x0, y1, x0, y0], axis=1).reshape(-1, 2)
    codes = [Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY]
    axes.add_patch(
        PathPatch(Outline(corners, codes * len(rectangles)), facecolor=colour, linewidth=0, edgecolor="none")
    )


def _foot(axes: Any, width: float, height: float, about: str) -> None:
    """Draw the ruler and say what is on the page."""
    from textwrap import wrap

    start, line = _EDGE, height - _EDGE - _FOOT + 7
    for tick in range(11):
        x = start + 10 * tick
        axes.plot([x, x], [line, line - (3 if tick % 5 == 0 else 2)], color="black", linewidth=0.5)
    axes.plot([start, start + _RULER], [line, line], color="black", linewidth=0.5)
    axes.text(
        start, line + 4.5, "This line is 100 mm: print at 100 %, without fitting to the page.", fontsize=8
    )
    for row, text in enumerate(wrap(about, int((width - 2 * _EDGE) / _LETTER))):
        axes.text(start, line + 9 + 3.2 * row, text, fontsize=7)
