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
from dataclasses import dataclass, replace

import numpy as np

from anipipe.errors import DataError
from anipipe.numerics.boards.checkers import CheckerFinder
from anipipe.numerics.boards.corners import refine_quads
from anipipe.numerics.boards.geometry import Board, Floats
from anipipe.numerics.boards.markers import (
    Bools,
    Flag,
    Grey,
    Ints,
    MarkerFinder,
    Markers,
    consistent,
)
from anipipe.numerics.boards.squares import AROUND, sides_of, square_corners
from anipipe.numerics.boards.survey import diagnose

_SAMPLE = 6  # pictures, up to twice as many, that are kept for a diagnosis
_FITTING = 0.65  # of the markers in a picture
_APART = 1.0  # pixels between what two markers say of the corner between them


@dataclass(frozen=True)
class Sighting:
    """The board in one picture.

    Attributes
    ----------
    frame
        The picture's number.
    ids
        (m,) corners of the board, ascending, as in :attr:`Board.points`.
    corners
        (m, 2) their pixels.
    """

    frame: int
    ids: Ints
    corners: Floats


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
        Whether it has the layout of OpenCV before 4.6; None where that makes no difference or was not seen.
    diagnosis
        Where nothing was seen: what may be wrong. Else empty.
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


@dataclass(frozen=True)
class _Seen:
    """The markers of one picture, and (m, 4, 2) refined corners: their own, or those of their squares."""

    frame: int
    markers: Markers
    corners: Floats


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
    sightings, is_mirrored, is_legacy = finder.reading()
    diagnosis = ""
    if not sightings:
        diagnosis = diagnose(
            kept.pictures,
            board,
            inverted=inverted,
            mirrored=None if mirrored == "auto" else mirrored,
            legacy=None if legacy == "auto" else legacy,
        )
    return Detections(tuple(sightings), size, looked, unreadable, is_mirrored, is_legacy, diagnosis)


class _Checkerboard:
    """Collects sightings of a checkerboard."""

    def __init__(self, board: Board, mirrored: bool) -> None:
        self._finder = CheckerFinder(board.grid, mirrored=mirrored)
        self._mirrored = mirrored
        self._sightings: list[Sighting] = []

    def look(self, frame: int, grey: Grey) -> None:
        """Note what a picture shows."""
        corners = self._finder.find(grey)
        if corners is not None:
            self._sightings.append(Sighting(frame, np.arange(len(corners)), corners))

    def reading(self) -> tuple[list[Sighting], bool | None, bool | None]:
        """Sightings, mirrored, and legacy, which checkerboards are not."""
        return self._sightings, self._mirrored if self._sightings else None, None


class _MarkerBoard:
    """Collects what pictures show of a board with markers, and reads it once all are seen."""

    def __init__(self, board: Board, mirrored: Flag, legacy: Flag) -> None:
        self._board = board
        self._layouts = layouts(board, legacy)
        self._mirrored = (False, True) if mirrored == "auto" else (mirrored,)
        self._finder = MarkerFinder(board.dictionary, len(board.marker_squares), mirrored)
        self._seen: list[_Seen] = []

    def look(self, frame: int, grey: Grey) -> None:
        """Note what a picture shows."""
        markers = self._finder.find(grey)
        if self._board.kind == "charuco":
            corners = square_corners(grey, markers.quads, self._board.square / self._board.marker)
        else:
            corners = refine_quads(grey, markers.quads, sides_of(markers.quads) / (self._board.bits + 2))
        if len(markers):
            self._seen.append(_Seen(frame, markers, corners))

    def reading(self) -> tuple[list[Sighting], bool | None, bool | None]:
        """Sightings, mirrored and legacy of the reading that most markers agree on."""
        readings = [
            (*self._read(layout, mirrored), mirrored, layout.legacy)
            for mirrored in self._mirrored
            for layout in self._layouts
        ]
        # Where the lowest of markers' numbers in each row are all that is seen, both layouts may explain
        # these: then the better one misses fewer corners that should be there.
        agreeing, _, sightings, mirrored, legacy = max(
            readings, key=lambda reading: (reading[0], -reading[1])
        )
        matters = self._board.kind == "charuco" and self._board.size[1] % 2 == 0
        seen = bool(agreeing)
        return sightings, mirrored if seen else None, legacy if seen and matters else None

    def _read(self, layout: Board, mirrored: bool) -> tuple[int, int, list[Sighting]]:
        """Count the markers that fit a layout and the corners that they miss, and return what they show."""
        agreeing, missed, sightings = 0, 0, []
        for seen in self._seen:
            fitting = seen.markers.mirrored == mirrored
            markers, corners = seen.markers.only(fitting), seen.corners[fitting]
            keep = fits(layout, markers)
            agreeing += int(keep.sum())
            ids, places = _numbered(layout, markers.ids[keep], corners[keep])
            there = np.isfinite(places).all(axis=1)
            missed += int((~there).sum())
            if there.any():
                sightings.append(Sighting(seen.frame, ids[there], places[there]))
        return agreeing, missed, sightings


def layouts(board: Board, legacy: Flag) -> list[Board]:
    """Return a board in each layout that it may have: one, or the new and the legacy one."""
    if board.kind != "charuco" or board.size[1] % 2:
        return [replace(board, legacy=False)]
    return [replace(board, legacy=kind) for kind in ((False, True) if legacy == "auto" else (legacy,))]


def fits(layout: Board, markers: Markers) -> Bools:
    """Tell which markers agree with others on where the board is, (m,).

    None does where many do not: then it is another board, of which every other row may fit. A board of one
    marker needs no other.
    """
    if len(layout.marker_corners) == 1:
        return np.asarray(np.arange(len(markers)) == 0)
    keep = consistent(layout.marker_corners[markers.ids], markers.quads)
    return keep if keep.sum() >= _FITTING * len(keep) else np.zeros_like(keep)


def _numbered(layout: Board, markers: Ints, corners: Floats) -> tuple[Ints, Floats]:
    """Give corners found at markers their ids on the board.

    Parameters
    ----------
    layout
        The board.
    markers
        (m,) numbers of markers.
    corners
        (m, 4, 2) pixels, as :class:`_Seen` has them.

    Returns
    -------
    (n,) ids of the corners of these markers, ascending, and (n, 2) pixels, NaN where a corner was not found.
    """
    if layout.kind == "aruco":
        ids = (4 * markers[:, None] + np.arange(4)).reshape(-1)
        known = np.ones(len(ids), dtype=bool)
    else:
        place = (layout.marker_squares[markers][:, None] + AROUND - 1).reshape(-1, 2)
        known = ((place >= 0) & (place < layout.grid)).all(axis=1)
        ids = place[:, 1] * layout.grid[0] + place[:, 0]
    return _merged(ids[known], corners.reshape(-1, 2)[known])


def _merged(ids: Ints, places: Floats) -> tuple[Ints, Floats]:
    """Take the mean of what was found twice; NaN where the two differ."""
    unique, number = np.unique(ids, return_inverse=True)
    seen = np.isfinite(places).all(axis=1)
    of, found = number[seen], places[seen]
    count = np.bincount(of, minlength=len(unique))
    total = np.stack([np.bincount(of, found[:, k], len(unique)) for k in range(2)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count[:, None]
    far = np.linalg.norm(found - mean[of], axis=1) > _APART / 2
    mean[of[far]] = np.nan
    return unique, mean


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
