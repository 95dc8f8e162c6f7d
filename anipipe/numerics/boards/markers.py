"""Markers in a picture: which, where, and whether they fit together.

OpenCV finds the markers' quadrilaterals and reads their codes (Garrido-Jurado et al. 2014). Here it looks for
the codes that a board has, and no others, and at the same time for their mirror images, which a board shows
in a mirror or through glass from behind: that costs next to nothing, where a second look at the flipped
picture would double the time.

Pixels: (0, 0) is the centre of the top left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.boards.geometry import DICTIONARIES, Floats, marker_patterns

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Grey = NDArray[np.uint8]
Flag = bool | Literal["auto"]

_CORRECTED = 0.6  # share of the wrong bits that a dictionary can mend that are mended; OpenCV's default
_INWARDS = 0.3  # pixels: half a pixel, less what blur adds
_NEIGHBOURS = 4
_UNIT = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@dataclass(frozen=True)
class Markers:
    """Markers found in one picture.

    Attributes
    ----------
    ids
        (m,) their numbers in the dictionary.
    mirrored
        (m,) whether the code is the mirror image of the marker's.
    quads
        (m, 4, 2) pixels of the corners in the order in which they are printed, clockwise from the top left.

    A quadrilateral stands here twice where the mirror image of one marker looks like another marker.
    """

    ids: Ints
    mirrored: Bools
    quads: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, keep: Bools) -> Markers:
        """Return the markers of a mask."""
        return Markers(self.ids[keep], self.mirrored[keep], self.quads[keep])


class MarkerFinder:
    """Looks for the first markers of a dictionary.

    Parameters
    ----------
    dictionary
        A name in :data:`~anipipe.numerics.boards.geometry.DICTIONARIES`.
    count
        How many of its markers to look for.
    mirrored
        Whether to look for their mirror images instead; "auto": for both.
    """

    def __init__(self, dictionary: str, count: int, mirrored: Flag = "auto") -> None:
        import cv2

        patterns = marker_patterns(dictionary, count)
        book = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
        mended = int(book.maxCorrectionBits * _CORRECTED)
        ids = np.arange(count)
        flipped = patterns[:, :, ::-1]
        self._twins = np.empty((0, 3), dtype=np.int64)
        if mirrored == "auto":
            apart, twin, turn = _nearest(flipped, patterns)
            # OpenCV takes the first code that fits.
            clear, shared = np.flatnonzero(apart > mended), np.flatnonzero(apart <= mended)
            self._twins = np.stack([shared, twin[shared], turn[shared]], axis=1)
            self._ids = np.concatenate([ids, clear])
            self._mirrored = np.arange(len(self._ids)) >= count
            codes = np.concatenate([patterns, flipped[clear]])
        else:
            self._ids, self._mirrored = ids, np.full(count, mirrored)
            codes = flipped if mirrored else patterns
        bytes_of = cv2.aruco.Dictionary.getByteListFromBits
        shelf = np.concatenate([bytes_of(np.ascontiguousarray(code)) for code in codes])
        limited = cv2.aruco.Dictionary(shelf, DICTIONARIES[dictionary][0], book.maxCorrectionBits)
        self._detector = cv2.aruco.ArucoDetector(limited, _parameters())

    def find(self, grey: Grey) -> Markers:
        """Return the markers in a picture of uint8 grey values, dark markers on light paper.

        Parameters
        ----------
        grey
            (height, width).

        Returns
        -------
        Their corners are off by up to about a pixel; see
        :func:`~anipipe.numerics.boards.corners.refine_quads`.
        """
        found, which, *_ = self._detector.detectMarkers(grey)
        if which is None or len(which) == 0:
            return Markers(np.empty(0, np.int64), np.empty(0, bool), np.empty((0, 4, 2)))
        index = np.asarray(which, dtype=np.int64).reshape(-1)
        quads = _widened(np.asarray(found, dtype=np.float64).reshape(-1, 4, 2))
        mirrored = self._mirrored[index]
        # The left of a mirror image is the right of the marker.
        quads = np.where(mirrored[:, None, None], quads[:, [1, 0, 3, 2]], quads)
        return self._with_twins(Markers(self._ids[index], mirrored, quads))

    def _with_twins(self, markers: Markers) -> Markers:
        """Add the second reading of markers that look like the mirror image of a marker."""
        ids, quads = [markers.ids], [markers.quads]
        for marker, twin, turn in self._twins:
            same = markers.quads[~markers.mirrored & (markers.ids == twin)]
            ids.append(np.full(len(same), marker))
            quads.append(np.roll(same, -turn, axis=1)[:, [1, 0, 3, 2]])
        count = sum(map(len, ids)) - len(markers)
        mirrored = np.concatenate([markers.mirrored, np.ones(count, dtype=bool)])
        return Markers(np.concatenate(ids), mirrored, np.concatenate(quads))


def homographies(quads: Floats) -> Floats:
    """Return the maps from the unit square to quadrilaterals.

    Parameters
    ----------
    quads
        (m, 4, 2) images of (0, 0), (1, 0), (1, 1), (0, 1).

    Returns
    -------
    (m, 3, 3), with 1 in the last corner (Heckbert 1989, section 2.2.3).
    """
    p0, p1, p2, p3 = (quads[:, k] for k in range(4))
    right, below, rest = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    with np.errstate(divide="ignore", invalid="ignore"):
        area = _cross(right, below)
        g, h = _cross(rest, below) / area, _cross(right, rest) / area
    out = np.empty((len(quads), 3, 3))
    out[:, :2, 0] = p1 - p0 + g[:, None] * p1
    out[:, :2, 1] = p3 - p0 + h[:, None] * p3
    out[:, :2, 2] = p0
    out[:, 2, 0], out[:, 2, 1], out[:, 2, 2] = g, h, 1.0
    return out


def apply(maps: Floats, points: Floats) -> Floats:
    """Map points, (..., n, 2), by homographies, (..., 3, 3); NaN for points beyond the horizon."""
    mapped = points @ np.swapaxes(maps[..., :2], -1, -2) + maps[..., None, :, 2]
    depth = np.where(mapped[..., 2:] > 0, mapped[..., 2:], np.nan)
    return np.asarray(mapped[..., :2] / depth)


def consistent(places: Floats, quads: Floats) -> Bools:
    """Tell which markers lie where their neighbours say that they should.

    Each marker alone gives a map from the board to the picture, good enough to say where the next markers
    are. Only neighbours are asked, so that lens distortion does no harm. Markers that most of their
    neighbours disagree with are dropped, the worst first; what remains agrees with at least one other.

    Parameters
    ----------
    places
        (m, 4, 2) corners on the board, clockwise from the top left as printed.
    quads
        (m, 4, 2) pixels of the same corners.

    Returns
    -------
    (m,)
    """
    keep = np.ones(len(quads), dtype=bool)
    if len(quads) < 2:
        return np.zeros(len(quads), dtype=bool)
    agree, apart = _agreement(places, quads)
    while keep.any():
        left = np.flatnonzero(keep)
        nearest = np.argsort(apart[np.ix_(left, left)], axis=1, kind="stable")[:, 1 : _NEIGHBOURS + 1]
        share = (
            np.take_along_axis(agree[np.ix_(left, left)], nearest, axis=1).mean(axis=1)
            if nearest.size
            else [0]
        )
        worst = int(np.argmin(share))
        if share[worst] >= 0.5:
            break
        keep[left[worst]] = False
    return keep


def _widened(quads: Floats) -> Floats:
    """Move each side outwards: OpenCV's corners are the centres of the outermost dark pixels."""
    ahead, back = np.roll(quads, -1, axis=1) - quads, np.roll(quads, 1, axis=1) - quads
    ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-9)
    back /= np.maximum(np.linalg.norm(back, axis=-1, keepdims=True), 1e-9)
    sine = np.maximum(np.abs(_cross(ahead, back)), 0.3)[..., None]
    return np.asarray(quads - _INWARDS * (ahead + back) / sine)


def _agreement(places: Floats, quads: Floats) -> tuple[Bools, Floats]:
    """(m, m) whether one of two markers says where the other is, and (m, m) their distance in sides."""
    side = np.linalg.norm(places[:, 1] - places[:, 0], axis=1)
    relative = (places[None] - places[:, None, :1]) / side[:, None, None, None]
    guess = apply(homographies(quads)[:, None], relative)
    size = np.sqrt(np.abs(_cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])) / 2)
    off = np.linalg.norm(guess - quads[None], axis=-1).max(axis=-1) / np.maximum(size, 1.0)
    off = np.where(np.isfinite(off), off, np.inf)
    centres = places.mean(axis=1)
    apart = np.linalg.norm(centres[None] - centres[:, None], axis=-1) / side[:, None]
    allowed = np.minimum(0.3 + 0.08 * apart**2, 0.8)
    agree = (np.minimum(off, off.T) <= allowed) & (apart > 0)
    np.fill_diagonal(apart, -1.0)
    return agree, apart


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _nearest(codes: NDArray[np.uint8], others: NDArray[np.uint8]) -> tuple[Ints, Ints, Ints]:
    """Compare codes with others, however these are turned.

    Returns
    -------
    (n,) bits by which each differs from the nearest, (n,) which that is, (n,) its quarter turns against the
    clock.
    """
    flat = codes.reshape(len(codes), -1).astype(np.int64)
    apart = np.empty((4, len(codes), len(others)), dtype=np.int64)
    for quarter in range(4):
        turned = np.rot90(others, quarter, axes=(1, 2)).reshape(len(others), -1).astype(np.int64)
        apart[quarter] = flat.sum(axis=1)[:, None] + turned.sum(axis=1)[None] - 2 * flat @ turned.T
    joined = apart.transpose(1, 2, 0).reshape(len(codes), -1)
    best = joined.argmin(axis=1)
    return joined.min(axis=1), best // 4, best % 4


def _parameters() -> Any:
    """Return settings of OpenCV's detector.

    Two windows with a small constant find as many markers as Anipose's fourteen windows, in dim, blurred,
    noisy, unevenly lit, small and large pictures of real boards, in a quarter of the time. Codes read from
    more pixels at the middle of each cell survive blur.
    """
    import cv2

    parameters = cv2.aruco.DetectorParameters()
    parameters.adaptiveThreshWinSizeMin = 9
    parameters.adaptiveThreshWinSizeMax = 37
    parameters.adaptiveThreshWinSizeStep = 28
    parameters.adaptiveThreshConstant = 3
    parameters.perspectiveRemovePixelPerCell = 6
    parameters.perspectiveRemoveIgnoredMarginPerCell = 0.25
    return parameters
