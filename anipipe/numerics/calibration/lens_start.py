"""A first estimate of each camera's lens, by itself, from a spread of its views of the board.

``cv2.initCameraMatrix2D``, Anipose's start, may return NaN or a hundred times the focal length without a
word, and ``cv2.calibrateCamera`` without a guess may end in a bad minimum. Here the latter starts from a
guess, and its result must be plausible.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.errors import DataError
from anipipe.numerics.cameras import Camera, project, undistort
from anipipe.numerics.lenses import Floats

LENS_VIEWS = 40  # more hardly change a lens, and take time
PLAUSIBLE = (0.3, 5.0)  # focal length over the longer side: 120 to 11 degrees of view
WORTH = 0.8  # share of the error left, from which on an odd focal length is believed
TRIMS = 4  # rounds of leaving out corners that cannot be
FARTHEST = (5.0, 1.0)  # times the median error, and px, beyond which a corner cannot be
VIEW_CORNERS, VIEWS = 6, 3  # that must be left over

#: Which distortion coefficients each model estimates, ordinary lenses and fisheyes.
ESTIMATED = {
    "none": ((), ()),
    "k1": ((0,), (0,)),
    "k1k2": ((0, 1), (0, 1)),
    "full": ((0, 1, 2, 3, 4), (0, 1, 2, 3)),
}


def start_lens(
    name: str,
    size: tuple[int, int],
    pixels: ArrayLike,
    board_points: ArrayLike,
    *,
    distortion: str,
    fisheye: bool,
) -> Camera:
    """Estimate one camera's focal length and distortion; its centre stays that of the image.

    Parameters
    ----------
    name, size
        Of the camera; the size in px.
    pixels
        (views, corners, 2) with enough corners for a pose each; NaN where a corner was not seen.
    board_points
        (corners, 3), on the board, flat.
    distortion
        ``none``, ``k1``, ``k1k2`` or ``full``; one that folds the image over gives way to a simpler one.
    fisheye
        Whether the lens follows the fisheye model.

    Returns
    -------
    The camera at the world's origin. Where the views do not tell the focal length (all taken head-on), it is
    the longer side of the image.
    """
    image, board = np.asarray(pixels, dtype=np.float64), np.asarray(board_points, dtype=np.float64)
    image = image[spread_views(image, board, size, LENS_VIEWS)]
    models = list(ESTIMATED)[list(ESTIMATED).index(distortion) :: -1]
    with one_thread():
        for model in models:
            found = _plausible_fit(_guess(name, size, fisheye), image, board, model)
            if found is not None and np.isfinite(undistort(found.image, found.camera)[found.seen]).all():
                return found.camera
    return _guess(name, size, fisheye)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A lens, the corners that it was fitted to, and how far off they are."""

    camera: Camera
    image: Floats
    off: Floats

    @property
    def seen(self) -> NDArray[np.bool_]:
        return np.isfinite(self.image[..., 0])

    @property
    def error(self) -> float:
        return float(np.sqrt(np.nanmean(self.off**2)))


def _guess(name: str, size: tuple[int, int], fisheye: bool) -> Camera:
    """Return a camera that sees about 53 degrees, without distortion."""
    focal = float(max(size))
    matrix = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])
    return Camera(name, size, matrix, np.zeros(4 if fisheye else 5), np.zeros(3), np.zeros(3), fisheye)


def _plausible_fit(guess: Camera, image: Floats, board: Floats, model: str) -> _Fit | None:
    """Fit the lens; an odd focal length must explain the views far better than the guess does."""
    found = _trimmed_fit(guess, image, board, model)
    if found is None or PLAUSIBLE[0] <= found.camera.matrix[0, 0] / guess.matrix[0, 0] <= PLAUSIBLE[1]:
        return found
    if guess.fisheye:
        return None  # OpenCV cannot hold the focal length of a fisheye, so there is nothing to compare with
    held = _trimmed_fit(guess, image, board, model, fix_focal=True)
    return found if held is None or found.error < WORTH * held.error else held


def _trimmed_fit(
    guess: Camera, image: Floats, board: Floats, model: str, *, fix_focal: bool = False
) -> _Fit | None:
    """Fit the lens, leave out corners that were mistaken, and fit again: OpenCV believes every corner."""
    found = _fit(guess, image, board, model, fix_focal)
    for _ in range(TRIMS):
        if found is None:
            break
        wrong = found.off > max(FARTHEST[0] * float(np.nanmedian(found.off)), FARTHEST[1])
        image = np.where(wrong[..., None], np.nan, found.image)
        image = image[np.isfinite(image[..., 0]).sum(axis=1) >= VIEW_CORNERS]
        if not wrong.any() or len(image) < VIEWS:
            break
        found = _fit(guess, image, board, model, fix_focal) or found
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold OpenCV to one thread: its calibration adds up in another order each time when it has several."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _fit(guess: Camera, image: Floats, board: Floats, model: str, fix_focal: bool) -> _Fit | None:
    """Let OpenCV refine a guess; None where it fails."""
    import cv2

    seen = np.isfinite(image[..., 0])
    # (1, n, 2 or 3) of double precision: all that the fisheye functions take
    objects = [board[some][None].astype(np.float64 if guess.fisheye else np.float32) for some in seen]
    points = [
        view[some][None].astype(np.float64 if guess.fisheye else np.float32)
        for view, some in zip(image, seen, strict=True)
    ]
    run: Any = cv2.fisheye.calibrate if guess.fisheye else cv2.calibrateCamera
    flags = _fisheye_flags(model) if guess.fisheye else _flags(model)
    flags |= cv2.CALIB_FIX_FOCAL_LENGTH if fix_focal else 0
    straight = np.zeros((len(guess.distortions), 1))
    try:
        _, matrix, bends, turns, shifts = run(
            objects, points, guess.size, guess.matrix.copy(), straight, flags=flags
        )
    except cv2.error:
        return None
    even = guess.matrix.copy()
    even[0, 0] = even[1, 1] = 0.5 * (matrix[0, 0] + matrix[1, 1])
    try:
        # refuses what is not finite, and focal lengths below 0
        bends = np.asarray(bends, dtype=np.float64).ravel()[: len(guess.distortions)]
        camera = replace(guess, matrix=even, distortions=bends)
        posed = [
            replace(camera, rotation=np.ravel(turn), translation=np.ravel(shift))
            for turn, shift in zip(turns, shifts, strict=True)
        ]
    except DataError:
        return None
    off = np.stack([project(board, at) - view for at, view in zip(posed, image, strict=True)])
    return _Fit(camera, image, np.linalg.norm(off, axis=-1))


def _flags(model: str) -> int:
    import cv2

    flags = cv2.CALIB_USE_INTRINSIC_GUESS | cv2.CALIB_FIX_ASPECT_RATIO | cv2.CALIB_FIX_PRINCIPAL_POINT
    estimated = ESTIMATED[model][0]
    for order, flag in ((0, cv2.CALIB_FIX_K1), (1, cv2.CALIB_FIX_K2), (4, cv2.CALIB_FIX_K3)):
        flags |= 0 if order in estimated else flag
    return int(flags | (0 if model == "full" else cv2.CALIB_ZERO_TANGENT_DIST))


def _fisheye_flags(model: str) -> int:
    import cv2

    # OpenCV 5 moved the flags of its fisheye module, with other values
    there: Any = cv2.fisheye if hasattr(cv2.fisheye, "CALIB_FIX_SKEW") else cv2
    flags = there.CALIB_USE_INTRINSIC_GUESS | there.CALIB_FIX_SKEW | there.CALIB_RECOMPUTE_EXTRINSIC
    flags |= there.CALIB_FIX_PRINCIPAL_POINT
    for order in range(4):
        flags |= 0 if order in ESTIMATED[model][1] else getattr(there, f"CALIB_FIX_K{order + 1}")
    return int(flags)


def spread_views(
    pixels: ArrayLike, board_points: ArrayLike, size: tuple[int, int], count: int
) -> NDArray[np.intp]:
    """Choose views that differ as much as they can in the board's place, distance and tilt.

    Parameters
    ----------
    pixels
        (views, corners, 2), NaN where a corner was not seen; corners off one line in each.
    board_points
        (corners, 3), on the board, flat in x and y.
    size
        Of the images, px.
    count
        How many views to choose at most.

    Returns
    -------
    Their indices, ascending. The first choice is the view of most corners, each further one is that farthest
    from those already chosen.
    """
    image = np.asarray(pixels, dtype=np.float64)
    if len(image) <= count:
        return np.arange(len(image), dtype=np.intp)
    features = np.stack([_features(view, np.asarray(board_points, dtype=np.float64), size) for view in image])
    chosen = [int(np.isfinite(image[..., 0]).sum(axis=1).argmax())]
    distance = np.linalg.norm(features - features[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return np.array(sorted(chosen), dtype=np.intp)


def _features(view: Floats, board: Floats, size: tuple[int, int]) -> Floats:
    """Describe a view by where the board is, how large, and how foreshortened."""
    seen = np.isfinite(view[:, 0])
    ours = np.column_stack([board[seen, :2], np.ones(int(seen.sum()))])
    affine = np.linalg.lstsq(ours, view[seen])[0][:2]
    scale = max(float(np.linalg.norm(affine)), np.finfo(np.float64).tiny)
    return np.concatenate([view[seen].mean(axis=0) / max(size), [np.log(scale)], affine.ravel() / scale])
