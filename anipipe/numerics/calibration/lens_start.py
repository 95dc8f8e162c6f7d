"""A first estimate of each camera's lens, by itself, from a spread of its views of the board.

``cv2.initCameraMatrix2D``, Anipose's start, may return NaN or a hundred times the focal length without a
word, and ``cv2.calibrateCamera`` believes every corner. Here several focal lengths are tried, each adjusted
robustly with the poses of the board that follow from it, and the best must be plausible.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.numerics.calibration.bodies import Bodies, Freedom, State, sights_of
from anipipe.numerics.calibration.bundle import Adjusted, adjust
from anipipe.numerics.calibration.pose_start import board_poses
from anipipe.numerics.cameras import Camera, undistort
from anipipe.numerics.lenses import Floats

LENS_VIEWS = 40  # more hardly change a lens, and take time
TRIED_VIEWS = 12  # for a first look at several focal lengths
TRIED = (1.0, 0.5, 3.0, 10.0)  # focal lengths over the longer side: 53, 90, 19 and 6 degrees of view
SCALES = (16.0, 4.0, 1.0)  # px: at first, while the lens is unknown, no corner is wrong for being off
PLAUSIBLE = (0.3, 5.0)  # focal length over the longer side: 120 to 11 degrees of view
WORTH = 0.6  # share of the cost left, from which on an odd focal length is believed
ROUGHLY = 1e-3  # relative decrease of the cost that ends each round

#: Which distortion coefficients each model estimates, ordinary lenses and fisheyes.
ESTIMATED: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
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
    guess = guess_lens(name, size, fisheye)
    models = list(ESTIMATED)[list(ESTIMATED).index(distortion) :: -1]
    for model in models:
        found = _plausible_fit(guess, image, board, ESTIMATED[model][fisheye])
        if found is not None and _reaches(found, image):
            return found
    return guess


def guess_lens(name: str, size: tuple[int, int], fisheye: bool) -> Camera:
    """Return a camera that sees about 53 degrees, without distortion."""
    focal = float(max(size))
    matrix = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])
    return Camera(name, size, matrix, np.zeros(4 if fisheye else 5), np.zeros(3), np.zeros(3), fisheye)


def _plausible_fit(guess: Camera, image: Floats, board: Floats, bends: tuple[int, ...]) -> Camera | None:
    """Fit the lens; an odd focal length must explain the views far better than the guess does."""
    few = image[spread_views(image, board, guess.size or (1, 1), TRIED_VIEWS)]
    tried = [_fit(_longer(guess, factor), few, board, bends) for factor in TRIED]
    best = min((fit for fit in tried if fit is not None), key=lambda fit: fit.cost, default=None)
    if best is None:
        return None
    found = _fit(best.state.cameras[0], image, board, bends)
    if found is None or _plausible(found.state.cameras[0], guess):
        return None if found is None else found.state.cameras[0]
    held = _fit(guess, image, board, bends, focal=False)
    return (found if held is None or found.cost < WORTH * held.cost else held).state.cameras[0]


def _plausible(camera: Camera, guess: Camera) -> bool:
    return bool(PLAUSIBLE[0] <= camera.matrix[0, 0] / guess.matrix[0, 0] <= PLAUSIBLE[1])


def _longer(camera: Camera, factor: float) -> Camera:
    return replace(camera, matrix=camera.matrix * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]]))


def _fit(
    guess: Camera, image: Floats, board: Floats, bends: tuple[int, ...], *, focal: bool = True
) -> Adjusted | None:
    """Adjust a lens and the board's poses that follow from it; None where there are no poses."""
    poses, _ = board_poses(image, board, guess)
    there = np.isfinite(poses[:, 0, 0])
    if not there.any():
        return None
    state = State((guess,), (Bodies(poses[there, :3, 3], poses[there, :3, :3]),))
    sights = [[sights_of(image[there], board)]]
    freedoms = (Freedom(placed=False, focal=focal, bends=bends),)
    for scale in SCALES:
        found = adjust(state, sights, freedoms, scale=scale, settled=ROUGHLY)
        state = found.state
    return found


def _reaches(camera: Camera, image: Floats) -> bool:
    """Say whether the lens has a ray for (nearly) every corner, so that it does not fold where they are."""
    seen = image[np.isfinite(image[..., 0])]
    return bool(np.isfinite(undistort(seen, camera)[:, 0]).mean() > 0.99)


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
