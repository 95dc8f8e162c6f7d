"""Calibration boards in recordings: which corners are seen where.

What a whole recording shows decides how the board is read: whether it is mirrored, and which of the two
layouts of ChArUco boards it has. Pictures are looked at once; what they show is kept for each reading, and
the reading that most markers agree on is taken.

Pixels: (0, 0) is the centre of the top left pixel. OpenCV's own ChArUco detector has returned corners that
are off by half a pixel in some versions; here only its markers are used, and corners are refined in the
picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from anipipe.errors import DataError
from anipipe.numerics.boards.checkers import CheckerFinder
from anipipe.numerics.boards.corners import refine_quads
from anipipe.numerics.boards.geometry import Board
from anipipe.numerics.boards.markers import Flag, Grey, MarkerFinder
from anipipe.numerics.boards.reading import Reading, Seen, Sighting, read_board
from anipipe.numerics.boards.squares import sides_of, square_corners
from anipipe.numerics.boards.survey import UNDECIDED, diagnose

_SAMPLE = 6  # pictures, up to twice as many, that are kept for a diagnosis


@dataclass(frozen=True)
class Detections:
    """What a recording shows of a board.

    Attributes
    ----------
    sightings
        The pictures that show corners, in the order in which they came.
    size
        Width and height of the pictures; None if none could be read.
    looked, unreadable
        How many pictures there were, and how many of them were missing.
    mirrored
        Whether the board is seen in a mirror or from behind; None where nothing was seen.
    legacy
        Whether it has the layout of OpenCV before 4.6; None where that makes no difference or cannot be told
        from what was seen. If there are sightings all the same, their corners are numbered as in the layout
        since 4.6, and each has the number before in the legacy one.
    diagnosis
        Where there are no sightings: what may be wrong. Else empty.
    """

    sightings: tuple[Sighting, ...]
    size: tuple[int, int] | None
    looked: int
    unreadable: int
    mirrored: bool | None
    legacy: bool | None
    diagnosis: str

    @property
    def count(self) -> int:
        """How many corners were seen in all pictures together."""
        return sum(len(sighting.ids) for sighting in self.sightings)


def detect_board(
    frames: Iterable[tuple[int, Grey | None]],
    board: Board,
    *,
    inverted: bool = False,
    mirrored: Flag = "auto",
    legacy: Flag = "auto",
    progress: Callable[[int], None] | None = None,
) -> Detections:
    """Find a board's corners in the pictures of one camera.

    Parameters
    ----------
    frames
        Number and (height, width) uint8 grey values of each picture, all of one size; None where a picture
        cannot be read. Each is looked at once.
    board
        The board; its ``legacy`` is not looked at.
    inverted
        The board is white on black.
    mirrored
        The board is seen in a mirror or from behind; "auto": find out, which checkerboards do not allow (they
        count as not mirrored).
    legacy
        charuco: it has the layout of OpenCV before 4.6; "auto": find out.
    progress
        Called with the number of pictures so far, after each.

    Returns
    -------
    Detections
        A marker counts if it agrees with its neighbours on where the board is, so that at least two are
        needed; a checkerboard is seen as a whole or not at all.

    Raises
    ------
    DataError
        If pictures differ in size.
    """
    finder: _MarkerBoard | _Checkerboard
    if board.kind == "checkerboard":
        finder = _Checkerboard(board, mirrored is True)
    else:
        finder = _MarkerBoard(board, mirrored, legacy)
    kept = _Spread(_SAMPLE)
    size: tuple[int, int] | None = None
    looked = unreadable = 0
    for frame, grey in frames:
        looked += 1
        if grey is None:
            unreadable += 1
        else:
            shape = (grey.shape[1], grey.shape[0])
            if size is not None and shape != size:
                raise DataError(
                    f"frame {frame} has {shape[0]} x {shape[1]} pixels, those before {size[0]} x {size[1]}"
                )
            size = shape
            finder.look(frame, np.asarray(255 - grey if inverted else grey, dtype=np.uint8))
            kept.add(grey)
        if progress is not None:
            progress(looked)
    reading = finder.reading()
    diagnosis = ""
    if reading.undecided and not reading.sightings:
        diagnosis = UNDECIDED
    elif not reading.sightings:
        diagnosis = diagnose(
            kept.pictures,
            board,
            inverted=inverted,
            mirrored=None if mirrored == "auto" else mirrored,
            legacy=None if legacy == "auto" else legacy,
        )
    is_mirrored = reading.mirrored if reading.agreeing else None
    return Detections(reading.sightings, size, looked, unreadable, is_mirrored, reading.legacy, diagnosis)


class _Checkerboard:
    """Collects sightings of a checkerboard."""

    def __init__(self, board: Board, mirrored: bool) -> None:
        self._finder = CheckerFinder(board.grid, mirrored=mirrored)
        self._board = board
        self._mirrored = mirrored
        self._sightings: list[Sighting] = []

    def look(self, frame: int, grey: Grey) -> None:
        """Note what a picture shows."""
        corners = self._finder.find(grey)
        if corners is not None:
            self._sightings.append(Sighting(frame, np.arange(len(corners)), corners))

    def reading(self) -> Reading:
        """Return what they show: every corner or none."""
        count = sum(len(sighting.ids) for sighting in self._sightings)
        return Reading((self._board,), self._mirrored, count, 0, 0, tuple(self._sightings))


class _MarkerBoard:
    """Collects what pictures show of a board with markers, and reads it once all are seen."""

    def __init__(self, board: Board, mirrored: Flag, legacy: Flag) -> None:
        self._board = board
        self._mirrored, self._legacy = mirrored, legacy
        self._finder = MarkerFinder(board.dictionary, len(board.marker_squares), mirrored)
        self._seen: list[Seen] = []

    def look(self, frame: int, grey: Grey) -> None:
        """Note what a picture shows."""
        markers = self._finder.find(grey)
        if self._board.kind == "charuco":
            corners = square_corners(grey, markers.quads, self._board.square / self._board.marker)
        else:
            corners = refine_quads(grey, markers.quads, sides_of(markers.quads) / (self._board.bits + 2))
        if len(markers):
            self._seen.append(Seen(frame, markers, corners))

    def reading(self) -> Reading:
        """Return what they show, read in the way that most markers agree on."""
        return read_board(self._seen, self._board, mirrored=self._mirrored, legacy=self._legacy)


class _Spread:
    """Keeps a few pictures spread over a recording of unknown length."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._every = 1
        self._count = 0
        self.pictures: list[Grey] = []

    def add(self, grey: Grey) -> None:
        if self._count % self._every == 0:
            self.pictures.append(np.array(grey, dtype=np.uint8))
            if len(self.pictures) == 2 * self._most:
                self.pictures = self.pictures[::2]
                self._every *= 2
        self._count += 1
