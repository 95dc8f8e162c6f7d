"""What one recording showed of the calibration board: a csv that people can look at and edit.

Comment lines ``# key = value`` (TOML) say what holds for the whole recording, then comes one row per corner
that was seen, under the header ``trial,frame,corner,x,y``, then the comment ``# end``, without which a file
counts as cut off. Rows may be removed at will: a bad frame's, or a bad corner's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.config import toml_text
from anipipe.config.toml_text import dotted, inline
from anipipe.errors import DataError
from anipipe.formats._csv_text import write_lines
from anipipe.formats._files import REMEDY, read_text

HEADER = ("trial", "frame", "corner", "x", "y")
END = "# end"
UNKNOWN = "unknown"  # in place of a flag
_LARGEST = 2**31  # of frame and corner numbers: beyond it, a cell is something else
_ROWS = "Correct the row or remove it."


@dataclass(frozen=True, eq=False)
class BoardDetections:
    """The corners of the calibration board that one camera saw, in one video or in its still images.

    Attributes
    ----------
    camera
        Its name.
    size
        Width and height of the images, px.
    frames
        How many frames or images were looked at.
    trials
        (m,) text: name of the recording, or of the still image, with the camera taken out of it; what is
        named alike and has the same number was seen at the same instant.
    numbers
        (m,) frame in the recording, from 0; 0 for still images.
    corners
        (m,) number of the corner on the board, from 0.
    points
        (m, 2) where it was seen, px.
    mirrored
        Whether the board was seen in a mirror or from behind.
    legacy
        Whether the board has the layout of OpenCV before 4.6. None where that cannot be told from what was
        seen: then corners are numbered as in the layout since 4.6, and each has the number before in the
        other one.
    board
        The board that was looked for, as plain TOML values, or None where unknown.
    remark
        What may be the reason if nothing was seen, else empty.

    Raises
    ------
    ValueError
        Shapes that do not agree, numbers below 0, points that are not finite.
    """

    camera: str
    size: tuple[int, int]
    frames: int
    trials: NDArray[Any]
    numbers: NDArray[np.int64]
    corners: NDArray[np.int64]
    points: NDArray[np.float64]
    mirrored: bool = False
    legacy: bool | None = False
    board: Mapping[str, Any] | None = None
    remark: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))
        trials = np.empty(len(self.trials), dtype=object)
        trials[:] = [str(trial) for trial in self.trials]
        object.__setattr__(self, "trials", trials)
        for name in ("numbers", "corners"):
            object.__setattr__(self, name, _whole(name, getattr(self, name), len(trials)))
        points = np.asarray(self.points, dtype=np.float64).reshape(-1, 2)
        if len(points) != len(trials) or not np.isfinite(points).all():
            raise ValueError(f"points must be ({len(trials)}, 2) and finite, not {np.shape(self.points)}")
        object.__setattr__(self, "points", points)


def _whole(name: str, values: ArrayLike, count: int) -> NDArray[np.int64]:
    given = np.asarray(values)
    whole = given.astype(np.int64)
    if whole.shape != (count,) or (whole != given).any() or (whole < 0).any():
        raise ValueError(f"{name} must be {count} whole numbers from 0 on")
    return whole


def write_board_detections(value: BoardDetections, path: Path) -> None:
    """Write detections; every number reads back exactly equal.

    Parameters
    ----------
    value
        The detections; rows are written in their order.
    path
        The file; replaced if it exists.
    """
    scalars = {
        "camera": value.camera,
        "size": value.size,
        "frames": value.frames,
        "mirrored": value.mirrored,
        "legacy": UNKNOWN if value.legacy is None else value.legacy,
        "board": None if value.board is None else dict(value.board),
        "remark": value.remark,
    }
    lines = [f"# {dotted([key])} = {inline(item)}\n" for key, item in scalars.items() if item is not None]
    x, y = value.points.T
    with path.open("wb") as file:
        file.write("".join([*lines, ",".join(HEADER), "\n"]).encode())
        if len(value.trials):
            columns = (value.numbers, value.corners, np.ascontiguousarray(x), np.ascontiguousarray(y))
            write_lines(file, [value.trials, *columns])
        file.write(f"{END}\n".encode())


def read_board_detections(path: Path) -> BoardDetections:
    """Read detections, also such as were edited by hand or in a spreadsheet.

    Parameters
    ----------
    path
        A file of :func:`write_board_detections`.

    Returns
    -------
    The detections, rows in the file's order.

    Raises
    ------
    DataError
        Not such a file, cut off, a row that makes no sense or stands there twice; the message names the line.
    """
    text = read_text(path)
    comments, body, start = _split(text, path)
    scalars = _scalars(comments, path)
    trials, numbers, corners, points = _rows(body, start, path)
    try:
        return BoardDetections(trials=trials, numbers=numbers, corners=corners, points=points, **scalars)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: {error}. {REMEDY}") from error


def _split(text: str, path: Path) -> tuple[list[tuple[int, str]], str, int]:
    """Take the comments at the top, each with its line's number, and the end's mark from the rows."""
    body = text.rstrip("\r\n, ")
    last = max(body.rfind("\n"), body.rfind("\r")) + 1
    if _comment(body[last:]) != END.removeprefix("#").strip():
        raise DataError(
            f'{path}: the last line is not "{END}", as in a file that was cut off while being written or '
            f'copied. {REMEDY} If you are sure that it is complete, add the line "{END}".'
        )
    comments: list[tuple[int, str]] = []
    at = number = 0
    while at < last:
        end = text.find("\n", at) + 1 or last
        number += 1
        comment = _comment(text[at:end])
        if comment is None:
            break
        comments.append((number, comment))
        at = end
    return comments, body[at:last], max(number, 1)


def _comment(line: str) -> str | None:
    """Return a comment's content, None if the line is none; spreadsheets quote lines and pad them."""
    line = line.strip()
    if line.startswith('"#') or (line.startswith("#") and line.endswith(",")):
        line = ",".join(next(csv.reader([line]))).rstrip(", ")
    return line[1:].strip() if line.startswith("#") else None


def _scalars(comments: Sequence[tuple[int, str]], path: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number, comment in comments:
        try:
            values |= toml_text.parse(comment)
        except ValueError as error:
            raise DataError(
                f"{path}: line {number}: {comment[:80]!r} is not of the form key = value ({error}). {REMEDY}"
            ) from error
    kinds: dict[str, type] = {
        **{"camera": str, "size": list, "frames": int, "mirrored": bool, "legacy": bool},
        **{"board": dict, "remark": str},
    }
    values = {key: values[key] for key in kinds if key in values}
    lacking = [key for key in kinds if key not in values and key != "board"]
    if lacking:
        raise DataError(
            f"{path}: not a file of board detections: at its top, the lines # {', # '.join(lacking)} = ... "
            f"are missing. {REMEDY}"
        )
    for key, value in values.items():
        fits = isinstance(value, kinds[key]) and (kinds[key] is bool or not isinstance(value, bool))
        if key == "size" and fits:
            fits = len(value) == 2 and all(type(side) is int and side > 0 for side in value)
        fits = fits or (key == "legacy" and value == UNKNOWN)
        if not fits or (key == "frames" and value < 0):
            raise DataError(f"{path}: {key} = {value!r} makes no sense. {REMEDY}")
    return values | {"legacy": None if values["legacy"] == UNKNOWN else values["legacy"]}


def _rows(body: str, start: int, path: Path) -> tuple[Any, Any, Any, Any]:
    trials: list[str] = []
    numbers: list[int] = []
    corners: list[int] = []
    points: list[list[float]] = []
    seen: set[tuple[str, int, int]] = set()
    for line, cells in _cells(body, start, path):
        try:
            trial, frame, corner, x, y = cells
            key = (trial, int(frame), int(corner))
            point = [float(x), float(y)]
        except ValueError:
            raise _wrong(path, line, cells, "should be a name, a frame, a corner, x and y") from None
        if not (0 <= key[1] < _LARGEST and 0 <= key[2] < _LARGEST):
            raise _wrong(path, line, cells, "has a frame or corner that cannot be")
        if not (abs(point[0]) < np.inf and abs(point[1]) < np.inf):
            raise _wrong(path, line, cells, "has no place in the image")
        seen.add(key)
        if len(seen) == len(trials):
            raise _wrong(
                path, line, cells, "stands there a second time, with the same trial, frame and corner"
            )
        trials.append(trial)
        numbers.append(key[1])
        corners.append(key[2])
        points.append(point)
    return trials, numbers, corners, points


def _cells(body: str, start: int, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header with their line's number; empty ones are left out."""
    reader = csv.reader(io.StringIO(body, newline=""), strict=True)
    try:
        header = next(reader, [])
        if tuple(header) != HEADER:
            raise DataError(
                f"{path}: line {start} should be {','.join(HEADER)!r}, the names of the columns, not "
                f"{','.join(header)[:60]!r}. {REMEDY}"
            )
        for cells in reader:
            if any(cells):
                yield start + reader.line_num - 1, cells
    except csv.Error as error:
        line = start + reader.line_num - 1
        raise DataError(f"{path}: line {line} is not csv ({error}). {_ROWS}") from error


def _wrong(path: Path, line: int, cells: Sequence[str], what: str) -> DataError:
    return DataError(f"{path}: line {line}: {','.join(cells)[:80]!r} {what}. {_ROWS}")
