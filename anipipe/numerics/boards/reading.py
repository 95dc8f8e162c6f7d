"""What a recording's markers say: whether the board is mirrored, which layout it has, and its corners.

The two layouts of a ChArUco board with an even number of rows differ by less than it seems. With an odd
number of squares across, the legacy one has each marker one square further left; only one marker in two rows
moves from the left end of the lower row to the right end of the upper one. With an even number across, rows
move by one square, left and right in turn. So parts of the board fit both: those that show no such marker, or
single rows. Which one it is shows at its left and right ends: there are no corners beyond the last ones, and
where some are seen, the layout is the other one. That a corner is not seen says nothing, it may be hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anipipe.numerics.boards.geometry import Board, Floats
from anipipe.numerics.boards.markers import Bools, Flag, Ints, Markers, consistent
from anipipe.numerics.boards.squares import AROUND

_FITTING = 0.65  # of the markers in a picture
_APART = 1.0  # pixels between what two markers say of the corner between them
_FLUKES = 0.001  # of the markers that agree with one layout, by which the other may be ahead by chance
_CROSSED = 3  # corners beyond the board's ends that rule a layout out, and at least
_CROSSED_SHARE = 0.25  # of those that there would be; before a patterned background, one may look like one


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
class Seen:
    """The markers of one picture, and (m, 4, 2) refined corners: their own, or those of their squares."""

    frame: int
    markers: Markers
    corners: Floats


@dataclass(frozen=True)
class Reading:
    """What pictures show of a board, provided that it is mirrored or not and has one of some layouts.

    Attributes
    ----------
    layouts
        The layouts; corners are numbered as in the first.
    mirrored
        Whether it is seen in a mirror or from behind.
    agreeing
        How many markers fit all of the layouts.
    crossing, ends
        How many corners were seen beyond the board's left and right ends, and at how many places they could
        have been.
    sightings
        The pictures that show corners which all of the layouts have.
    """

    layouts: tuple[Board, ...]
    mirrored: bool
    agreeing: int
    crossing: int
    ends: int
    sightings: tuple[Sighting, ...]

    @property
    def undecided(self) -> bool:
        """Whether what was seen fits two layouts."""
        return len(self.layouts) > 1

    @property
    def legacy(self) -> bool | None:
        """Whether it is the legacy layout; None where that makes no difference or is not known."""
        matters = self.layouts[0].two_layouts and self.agreeing and not self.undecided
        return self.layouts[0].legacy if matters else None

    @property
    def crossed(self) -> bool:
        """Whether the board goes on where the layout ends."""
        return self.crossing >= max(_CROSSED, _CROSSED_SHARE * self.ends)


def read_board(seen: Sequence[Seen], board: Board, *, mirrored: Flag, legacy: Flag) -> Reading:
    """Return the reading of a recording that most markers agree on.

    Parameters
    ----------
    seen
        What its pictures show.
    board
        The board; its ``legacy`` is not looked at.
    mirrored, legacy
        As told; "auto": find out.

    Returns
    -------
    Reading
        If it is undecided, corners are numbered as in the layout since OpenCV 4.6, and in the legacy one each
        has the number before. Boards with an even number of squares across have no such rule: there, an
        undecided reading has no corners.
    """
    readings = [
        _read(seen, (layout,), way)
        for way in ((False, True) if mirrored == "auto" else (mirrored,))
        for layout in _layouts(board, legacy)
    ]
    best = max(readings, key=lambda reading: reading.agreeing)
    rivals = [reading for reading in readings if reading.mirrored == best.mirrored]
    if not best.agreeing or len(rivals) == 1:
        return best
    new, old = rivals
    decided = _better(new, old)
    if decided is not None:
        return decided
    both = _read(seen, (*new.layouts, *old.layouts), best.mirrored)
    return both if board.size[0] % 2 else replace(both, sightings=())


def _layouts(board: Board, legacy: Flag) -> list[Board]:
    """Return a board in each layout that it may have: one, or the new and the legacy one."""
    if not board.two_layouts:
        return [replace(board, legacy=False)]
    return [replace(board, legacy=kind) for kind in ((False, True) if legacy == "auto" else (legacy,))]


def _better(one: Reading, two: Reading) -> Reading | None:
    """Return the reading that is right; None where that cannot be told."""
    # Under the wrong layout, a marker that fits it alone would be in a dark square or off the board.
    if abs(one.agreeing - two.agreeing) > _FLUKES * max(one.agreeing, two.agreeing):
        return max(one, two, key=lambda reading: reading.agreeing)
    if one.crossed == two.crossed:
        return None
    return two if one.crossed else one


def _read(seen: Sequence[Seen], layouts: tuple[Board, ...], mirrored: bool) -> Reading:
    agreeing, crossing, ends, sightings = 0, 0, 0, []
    for each in seen:
        fitting = each.markers.mirrored == mirrored
        markers, corners = each.markers.only(fitting), each.corners[fitting]
        keep = np.logical_and.reduce([_fits(layout, markers) for layout in layouts])
        ids, beyond = markers.ids[keep], _beyond(layouts[0], markers.ids[keep])
        there = np.isfinite(corners[keep]).all(axis=-1)
        agreeing += len(ids)
        crossing += int((there & beyond).sum())
        ends += int(beyond.sum())
        numbers, known = _numbers(layouts, ids)
        merged, places = _merged(numbers[there & known], corners[keep][there & known])
        sure = np.isfinite(places).all(axis=1)
        if sure.any():
            sightings.append(Sighting(each.frame, merged[sure], places[sure]))
    return Reading(layouts, mirrored, agreeing, crossing, ends, tuple(sightings))


def _fits(layout: Board, markers: Markers) -> Bools:
    """Tell which markers agree with others on where the board is, (m,).

    None does where many do not: then it is another board, of which every other row may fit. A board of one
    marker needs no other.
    """
    if len(layout.marker_corners) == 1:
        return np.asarray(np.arange(len(markers)) == 0)
    keep = consistent(layout.marker_corners[markers.ids], markers.quads)
    return keep if keep.sum() >= _FITTING * len(keep) else np.zeros_like(keep)


def _places(layout: Board, markers: Ints) -> Ints:
    """(m, 4, 2) column and row, among a ChArUco's corners, of those of markers' squares; -1 at its edge."""
    return np.asarray(layout.marker_squares[markers][:, None] + AROUND - 1)


def _inside(layout: Board, markers: Ints) -> Bools:
    """(m, 4, 2) whether the corners of markers' squares are corners of a ChArUco, across and down."""
    place = _places(layout, markers)
    return np.asarray((place >= 0) & (place < layout.grid))


def _beyond(layout: Board, markers: Ints) -> Bools:
    """(m, 4) which corners of markers' squares lie at the left and right ends of a board's rows."""
    if layout.kind != "charuco":
        return np.zeros((len(markers), 4), dtype=bool)
    across, down = np.moveaxis(_inside(layout, markers), -1, 0)
    return np.asarray(~across & down)


def _numbers(layouts: Sequence[Board], markers: Ints) -> tuple[Ints, Bools]:
    """Give corners found at markers their ids on the board.

    Parameters
    ----------
    layouts
        The board; corners are numbered as in the first layout.
    markers
        (m,) numbers of markers.

    Returns
    -------
    (m, 4) ids of the corners that :class:`Seen` has of each marker, and (m, 4) which of them there are in all
    of the layouts.
    """
    if layouts[0].kind == "aruco":
        ids = 4 * markers[:, None] + np.arange(4)
        return ids, np.ones(ids.shape, dtype=bool)
    place = _places(layouts[0], markers)
    known = np.logical_and.reduce([_inside(layout, markers).all(axis=-1) for layout in layouts])
    return place[..., 1] * layouts[0].grid[0] + place[..., 0], known


def _merged(ids: Ints, places: Floats) -> tuple[Ints, Floats]:
    """Take the mean of what was found twice; NaN where the two differ."""
    unique, number = np.unique(ids, return_inverse=True)
    count = np.bincount(number, minlength=len(unique))
    total = np.stack([np.bincount(number, places[:, k], len(unique)) for k in range(2)], axis=1)
    mean = total / count[:, None]
    far = np.linalg.norm(places - mean[number], axis=1) > _APART / 2
    mean[number[far]] = np.nan
    return unique, mean
