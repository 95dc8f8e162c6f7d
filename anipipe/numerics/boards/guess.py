"""Which board is it: kind, dictionary and size from a few pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from anipipe.numerics.boards.checkers import CheckerFinder
from anipipe.numerics.boards.geometry import DICTIONARIES, Floats, Kind
from anipipe.numerics.boards.markers import Bools, Grey, Ints, MarkerFinder, Markers, apply, homographies

#: One dictionary of each family: those of fewer markers hold the first of those of more.
_FAMILIES = tuple(
    name
    for name in DICTIONARIES
    if not name.startswith("DICT_") or name[5] not in "4567" or name.endswith("_1000")
)
_MOST = 250  # markers of each that are looked for: boards begin with the first
_WIDEST = 40  # squares or markers across that are thought of
_CERTAIN = 40  # pairs of markers that fit together, beyond any doubt
_NEAR = 4.5  # sides of a marker within which others are asked where they are
_RATIOS = (1.0, 3.0)  # between one square, or marker and gap, and the side of a marker


@dataclass(frozen=True)
class BoardGuess:
    """What a board seems to be.

    Attributes
    ----------
    kind, size, dictionary
        As in :class:`~anipipe.numerics.boards.geometry.Board`; the smallest dictionary that holds all markers
        that were seen, and the rows down to the last of them. Across and down of a checkerboard: the larger
        number first.
    inverted, mirrored
        White on black; seen in a mirror or from behind. False where it cannot be told (checkerboard).
    legacy
        charuco: the layout of OpenCV before 4.6; always False where the number of rows is odd.
    ratio
        A marker's side over a square's (charuco), a gap over a marker's side (aruco), 0 for checkerboard.
    last
        The highest marker seen; -1 for checkerboard.
    pictures
        How many pictures show it.
    """

    kind: Kind
    size: tuple[int, int]
    dictionary: str
    inverted: bool
    mirrored: bool
    legacy: bool
    ratio: float
    last: int
    pictures: int

    @property
    def bits_and_number(self) -> tuple[int, int] | None:
        """The dictionary in Anipose's keys, where these can name it."""
        bits, number = DICTIONARIES.get(self.dictionary, (0, 0))
        return (bits, number) if self.dictionary == f"DICT_{bits}X{bits}_{number}" else None


@dataclass(frozen=True)
class _Pairs:
    """Markers near each other: (n,) picture, first and second, (n, 2) where the first sees the second."""

    picture: Ints
    first: Ints
    second: Ints
    offset: Floats


@dataclass(frozen=True)
class _Fit:
    """How well a way to lay out markers explains where they are."""

    kind: Kind
    across: int
    legacy: bool
    pitch: float
    agree: Bools


def guess_board(frames: Sequence[Grey]) -> BoardGuess | None:
    """Find out which board a few pictures show.

    Parameters
    ----------
    frames
        (height, width) uint8 grey values; two or three that show the whole board are enough.

    Returns
    -------
    BoardGuess or None
        None where no board is seen: at least two markers beside each other, or a whole checkerboard.
    """
    best: tuple[int, BoardGuess] | None = None
    for inverted, family in product((False, True), _FAMILIES):
        finder = MarkerFinder(family, min(DICTIONARIES[family][1], _MOST))
        found = [finder.find(np.asarray(255 - frame if inverted else frame, np.uint8)) for frame in frames]
        for mirrored in (False, True):
            seen = [markers.only(markers.mirrored == mirrored) for markers in found]
            result = _fitting(seen, family, inverted, mirrored)
            if result is not None and (best is None or result[0] > best[0]):
                best = result
        if best is not None and best[0] >= _CERTAIN:
            break
    return best[1] if best is not None else _guess_checkerboard(frames)


def _fitting(
    seen: Sequence[Markers], family: str, inverted: bool, mirrored: bool
) -> tuple[int, BoardGuess] | None:
    """Return the board that explains most pairs of markers, and how many it explains."""
    pairs = _pairs(seen)
    fits = [fit for kind, legacy in _KINDS for fit in _fits(pairs, kind, legacy)]
    # The first of those that explain the same: the narrowest, charuco before aruco.
    fit = max(fits, key=lambda fit: int(fit.agree.sum()), default=None)
    count = 0 if fit is None else int(fit.agree.sum())
    # A few squares of a scene are taken for markers now and then, but hardly for two that fit together twice.
    if fit is None or count < 4:
        return None
    last = int(max(pairs.first[fit.agree].max(), pairs.second[fit.agree].max()))
    down = int(_places(fit.kind, fit.across, fit.legacy, np.array([last]))[0, 1]) + 1
    legacy = fit.legacy
    if legacy and down % 2:
        down += 1  # only boards of an even number of rows come in this layout
    ratio = 1 / fit.pitch if fit.kind == "charuco" else fit.pitch - 1
    shown = len(np.unique(pairs.picture[fit.agree]))
    guess = BoardGuess(
        fit.kind, (fit.across, down), _smallest(family, last), inverted, mirrored, legacy, ratio, last, shown
    )
    return count, guess


def _pairs(seen: Sequence[Markers]) -> _Pairs:
    picture, first, second, offset = [], [], [], []
    for number, markers in enumerate(seen):
        if len(markers) < 2:
            continue
        centres = apply(homographies(markers.quads), np.full((len(markers), 1, 2), 0.5))[:, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            back = np.linalg.pinv(np.nan_to_num(homographies(markers.quads)))
        where = apply(back / back[:, 2:, 2:], np.broadcast_to(centres, (len(markers), *centres.shape))) - 0.5
        with np.errstate(invalid="ignore"):
            near = np.linalg.norm(where, axis=-1) < _NEAR
        np.fill_diagonal(near, False)
        one, two = np.nonzero(near)
        picture.append(np.full(len(one), number))
        first.append(markers.ids[one])
        second.append(markers.ids[two])
        offset.append(where[one, two])
    if not picture:
        none = np.empty(0, dtype=np.int64)
        return _Pairs(none, none, none, np.empty((0, 2)))
    return _Pairs(*(np.concatenate(part) for part in (picture, first, second, offset)))


_KINDS: tuple[tuple[Kind, bool], ...] = (("charuco", False), ("charuco", True), ("aruco", False))


def _fits(pairs: _Pairs, kind: Kind, legacy: bool) -> Iterator[_Fit]:
    """Try all widths."""
    if not len(pairs.first):
        return
    length = np.linalg.norm(pairs.offset, axis=1)
    for across in range(1 if kind == "aruco" else 2, _WIDEST + 1):
        step = _places(kind, across, legacy, pairs.second) - _places(kind, across, legacy, pairs.first)
        cells = np.linalg.norm(step, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            pitch = length / cells
            usable = (cells > 0) & (cells < 3) & (pitch > _RATIOS[0]) & (pitch < _RATIOS[1])
            along = np.sum(step * pairs.offset, axis=1) > 0.9 * length * cells
        if not (usable & along).any():
            continue
        middle = float(np.median(pitch[usable & along]))
        off = np.linalg.norm(pairs.offset - middle * step, axis=1)
        yield _Fit(kind, across, legacy, middle, (cells > 0) & (off < 0.25 + 0.05 * length**2 / 2))


def _places(kind: Kind, across: int, legacy: bool, ids: Ints) -> Ints:
    """(n, 2) column and row of markers on a board that goes on downwards without end."""
    if kind == "aruco":
        return np.stack([ids % across, ids // across], axis=1)
    # Two rows of a charuco hold as many markers as it has columns.
    pair, rest = np.divmod(ids, across)
    first = (across + 1) // 2 if legacy else across // 2
    second = rest >= first
    column = 2 * (rest - first * second) + (second == legacy)
    return np.stack([column, 2 * pair + second], axis=1)


def _smallest(family: str, last: int) -> str:
    """Return the smallest dictionary of a family that holds a marker."""
    if not family.endswith("_1000"):
        return family
    return next(f"{family.removesuffix('1000')}{size}" for size in (50, 100, 250, 1000) if last < size)


def _guess_checkerboard(frames: Sequence[Grey]) -> BoardGuess | None:
    """Return the size of checkerboard that most pictures show as a whole."""
    votes: Counter[tuple[int, int]] = Counter()
    for frame in frames:
        size = _checkers(frame)
        if size is not None and CheckerFinder(size).find(np.asarray(frame, dtype=np.uint8)) is not None:
            votes[max(size), min(size)] += 1
    if not votes:
        return None
    size, count = max(votes.items(), key=lambda item: (item[1], item[0]))
    return BoardGuess("checkerboard", size, "", False, False, False, 0.0, -1, count)


def _checkers(grey: Grey) -> tuple[int, int] | None:
    """Inner corners across and down of the largest checkerboard in a picture."""
    import cv2

    found, _, meta = cv2.findChessboardCornersSBWithMeta(grey, (3, 3), cv2.CALIB_CB_LARGER)
    if not found or meta is None or np.ndim(meta) != 2:
        return None
    down, across = np.shape(meta)
    return int(across), int(down)
