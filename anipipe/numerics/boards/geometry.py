"""Calibration boards: where their corners and markers lie.

Three kinds, with Anipose's meaning of the size: "charuco" (markers in the white squares of a checkerboard;
the corners of the squares count), "aruco" (a grid of markers; their corners count) and "checkerboard" (inner
corners). Corner 0 is the origin of the board's coordinates, x runs across, y down as printed, z into the
board.

ChArUco boards come in two layouts. Since OpenCV 4.6 the top left square is dark; before, the bottom left one
was, which differs where the number of rows is even ("legacy", opencv/opencv issue 23152).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError

Floats = NDArray[np.float64]
Kind = Literal["charuco", "aruco", "checkerboard"]

#: Bits along a marker's side and number of markers of each predefined dictionary, by OpenCV's name.
DICTIONARIES: dict[str, tuple[int, int]] = {
    **{f"DICT_{n}X{n}_{count}": (n, count) for n in (4, 5, 6, 7) for count in (50, 100, 250, 1000)},
    "DICT_ARUCO_ORIGINAL": (5, 1024),
    "DICT_APRILTAG_16h5": (4, 30),
    "DICT_APRILTAG_25h9": (5, 35),
    "DICT_APRILTAG_36h10": (6, 2320),
    "DICT_APRILTAG_36h11": (6, 587),
    "DICT_ARUCO_MIP_36h12": (6, 250),
}
_SPELLINGS = {name.upper(): name for name in DICTIONARIES}


def dictionary_name(bits: int, number: int) -> str:
    """Return OpenCV's name of the dictionary that Anipose's keys mean.

    Parameters
    ----------
    bits
        Squares along a marker's side, without its border: 4 to 7.
    number
        Markers in the dictionary: 50, 100, 250 or 1000.

    Raises
    ------
    DataError
        If there is no such dictionary.
    """
    name = f"DICT_{bits}X{bits}_{number}"
    if name not in DICTIONARIES:
        raise DataError(
            f"no dictionary has {number} markers of {bits} bits: calibration.board_marker_bits is one of "
            "4, 5, 6, 7 and calibration.board_marker_dict_number one of 50, 100, 250, 1000"
        )
    return name


@dataclass(frozen=True)
class Board:
    """A calibration board; made by :func:`make_board`, which checks it.

    Attributes
    ----------
    kind
        What it is.
    size
        Across and down: squares (charuco), markers (aruco), inner corners (checkerboard).
    square
        Side of a square; 0 for aruco.
    marker
        Side of a marker; 0 for checkerboard.
    separation
        Gap between two markers; 0 but for aruco.
    dictionary
        OpenCV's name; empty for checkerboard.
    legacy
        charuco: the layout of OpenCV before 4.6. It changes which squares are dark, not the corners.
    """

    kind: Kind
    size: tuple[int, int]
    square: float = 0.0
    marker: float = 0.0
    separation: float = 0.0
    dictionary: str = ""
    legacy: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """How many corners across and down (charuco, checkerboard), or how many markers (aruco)."""
        return (self.size[0] - 1, self.size[1] - 1) if self.kind == "charuco" else self.size

    @property
    def squares(self) -> tuple[int, int]:
        """How many squares across and down; (0, 0) for aruco."""
        if self.kind == "aruco":
            return (0, 0)
        return (self.grid[0] + 1, self.grid[1] + 1)

    @property
    def bits(self) -> int:
        """Squares along a marker's side, without its border; 0 for checkerboard."""
        return DICTIONARIES[self.dictionary][0] if self.dictionary else 0

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is printed, in the board's coordinates."""
        (across, down), pitch = self.size, self.marker + self.separation
        if self.kind == "aruco":
            return (0.0, 0.0, across * pitch - self.separation, down * pitch - self.separation)
        return (-self.square, -self.square, self.grid[0] * self.square, self.grid[1] * self.square)

    @property
    def two_layouts(self) -> bool:
        """Whether ``legacy`` makes a difference: a charuco with an even number of rows."""
        return self.kind == "charuco" and self.size[1] % 2 == 0

    @property
    def ambiguous(self) -> bool:
        """Whether the board turned by 180 degrees looks the same, so that cameras may disagree on corner 0.

        A checkerboard does, unless one of its numbers of squares is odd and the other even.
        """
        return self.kind == "checkerboard" and sum(self.size) % 2 == 0

    @cached_property
    def points(self) -> Floats:
        """(n, 3) places of the corners by id, in the board's length unit, z = 0.

        charuco, checkerboard: along the rows from the top left. aruco: id = 4 * marker + k with k clockwise
        from the marker's top left.
        """
        if self.kind == "aruco":
            flat = np.asarray(self.marker_corners, dtype=np.float64).reshape(-1, 2)
        else:
            flat = np.asarray(lattice(self.grid) * self.square, dtype=np.float64).reshape(-1, 2)
        return np.concatenate([flat, np.zeros((len(flat), 1))], axis=1)

    @cached_property
    def marker_squares(self) -> NDArray[np.int64]:
        """(markers, 2) column and row of each marker: of its square (charuco) or in the grid (aruco)."""
        if self.kind == "checkerboard":
            return np.empty((0, 2), dtype=np.int64)
        places = lattice(self.size)
        if self.kind == "charuco":
            places = places[places.sum(axis=1) % 2 != self.dark_parity]
        return places

    @cached_property
    def marker_corners(self) -> Floats:
        """(markers, 4, 2) corners of the markers, clockwise from the top left, in the board's length unit."""
        if self.kind == "aruco":
            start = self.marker_squares * (self.marker + self.separation)
        else:
            start = (self.marker_squares - 1) * self.square + (self.square - self.marker) / 2
        return start[:, None] + self.marker * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])

    @property
    def dark_parity(self) -> int:
        """Squares whose column and row add up to an even (0) or odd (1) number are dark."""
        return int(self.legacy and self.two_layouts)


def make_board(
    kind: str | None,
    size: tuple[int, int] | None,
    *,
    square: float | None = None,
    marker: float | None = None,
    separation: float | None = None,
    dictionary: str | None = None,
    legacy: bool = False,
) -> Board:
    """Make a board from what is known of it; lengths that its kind does not have are left aside.

    Parameters
    ----------
    kind
        "charuco", "aruco" or "checkerboard".
    size
        Across and down: squares (charuco), markers (aruco), inner corners (checkerboard).
    square, marker, separation
        Lengths, all in one unit; see :class:`Board`.
    dictionary
        OpenCV's name of the dictionary.
    legacy
        charuco: the layout of OpenCV before 4.6.

    Returns
    -------
    Board

    Raises
    ------
    DataError
        If something is missing or does not fit; the message names the key.
    """
    if kind is None or kind not in get_args(Kind):
        raise DataError('calibration.board_type is missing: "charuco", "aruco" or "checkerboard"')
    needed = {
        "charuco": ("board_square_side_length", "board_marker_length", "board_dictionary"),
        "aruco": ("board_marker_length", "board_marker_separation_length", "board_dictionary"),
        "checkerboard": ("board_square_side_length",),
    }[kind]
    given = {
        "board_size": size,
        "board_square_side_length": square,
        "board_marker_length": marker,
        "board_marker_separation_length": separation,
        "board_dictionary": dictionary,
    }
    missing = [name for name in ("board_size", *needed) if given[name] is None]
    if missing:
        raise DataError(f"a board of type {kind} needs {' and '.join(map(_described, missing))}")
    assert size is not None
    for name in needed:
        value = given[name]
        if isinstance(value, int | float) and not (np.isfinite(value) and value > 0):
            raise DataError(f"calibration.{name} = {value}: must be greater than 0")
    kept = {name: value for name, value in given.items() if name in needed}
    board = Board(
        kind=kind,  # type: ignore[arg-type]
        size=(int(size[0]), int(size[1])),
        square=float(kept.get("board_square_side_length") or 0.0),  # type: ignore[arg-type]
        marker=float(kept.get("board_marker_length") or 0.0),  # type: ignore[arg-type]
        separation=float(kept.get("board_marker_separation_length") or 0.0),  # type: ignore[arg-type]
        dictionary=canonical(str(kept["board_dictionary"])) if "board_dictionary" in kept else "",
        legacy=legacy and kind == "charuco",
    )
    _check(board)
    return board


def canonical(dictionary: str) -> str:
    """Return a dictionary's name as :data:`DICTIONARIES` spells it.

    Raises
    ------
    DataError
        If OpenCV has none of this name.
    """
    if dictionary.upper() not in _SPELLINGS:
        raise DataError(
            f'calibration.board_dictionary = "{dictionary}": OpenCV has no such dictionary; '
            f"it has {', '.join(DICTIONARIES)}"
        )
    return _SPELLINGS[dictionary.upper()]


def marker_patterns(dictionary: str, count: int) -> NDArray[np.uint8]:
    """Return the first markers of a dictionary.

    Parameters
    ----------
    dictionary
        A name in :data:`DICTIONARIES`.
    count
        How many.

    Returns
    -------
    (count, bits, bits): 1 where a marker is white; without its border.
    """
    import cv2

    book = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
    size = book.markerSize
    bits = [cv2.aruco.Dictionary.getBitsFromByteList(book.bytesList[i : i + 1], size) for i in range(count)]
    return np.asarray(bits, dtype=np.uint8).reshape(count, size, size)


def _described(name: str) -> str:
    also = " (or board_marker_bits and board_marker_dict_number)" if name == "board_dictionary" else ""
    return f"calibration.{name}{also}"


def _check(board: Board) -> None:
    """Raise where the parts of a board do not fit each other."""
    across, down = board.size
    fewest = {"charuco": 2, "aruco": 1, "checkerboard": 3}[board.kind]
    if min(across, down) < fewest:
        raise DataError(
            f"calibration.board_size = [{across}, {down}]: a {board.kind} needs at least {fewest} each way"
        )
    if board.kind == "charuco" and board.marker >= board.square:
        raise DataError(
            f"calibration.board_marker_length = {board.marker:g}: must be less than "
            f"board_square_side_length = {board.square:g}, markers lie in squares"
        )
    if not board.dictionary:
        return
    held, needed = DICTIONARIES[board.dictionary][1], len(board.marker_squares)
    if needed > held:
        raise DataError(
            f"calibration.board_size = [{across}, {down}] has {needed} markers, and {board.dictionary} holds "
            f"{held}: the board's dictionary must be a larger one"
        )


def lattice(size: tuple[int, int]) -> NDArray[np.int64]:
    """Return the (n, 2) columns and rows of a grid, along the rows."""
    rows, columns = np.divmod(np.arange(size[0] * size[1], dtype=np.int64), size[0])
    return np.stack([columns, rows], axis=1)
