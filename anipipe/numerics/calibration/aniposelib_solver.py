"""Calibration by aniposelib's bundle adjustment, freed of what goes wrong around it.

The solver itself is aniposelib's ``CameraGroup.bundle_adjust_iter``: rounds of bundle adjustment on the
points that fit, ever more strictly, corners held to the board's shape. What is ours: where it starts from
(``lens_start``, ``pose_start``), which parameters of a camera it may move, matching of cameras by name, and
that two runs give the same bits, as long as BLAS has the same number of threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.errors import DataError
from anipipe.numerics.aniposelib_cameras import Kinds, camera_group, quiet
from anipipe.numerics.calibration.lens_start import ESTIMATED, one_thread
from anipipe.numerics.calibration.placing import board_residuals, place_boards
from anipipe.numerics.calibration.pose_start import to_matrix, to_vectors
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.start import Start, Wish, check_start, in_world, start
from anipipe.numerics.calibration.views import BoardViews, usable
from anipipe.numerics.cameras import Camera, Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.triangulation import dlt, reprojection_errors

SEED = 0
ENGINE = "aniposelib"


def calibrate(
    views: BoardViews,
    board_points: ArrayLike,
    *,
    init: Rig | None = None,
    wish: Wish | None = None,
    seed: int = SEED,
) -> Solution:
    """Calibrate cameras by the board that they saw.

    Parameters
    ----------
    views, board_points, init, wish
        As for :func:`anipipe.numerics.calibration.solver.calibrate`.
    seed
        Of the solver's samples.

    Returns
    -------
    The cameras; the first of them is the world, unless the extrinsics of ``init`` were kept. What it says of
    the boards is ours: aniposelib moves corners one by one, here the rigid board is placed before its
    cameras. Its ``error`` is the median over its points of their mean reprojection error, px.

    Raises
    ------
    DataError
        Views or an ``init`` that no calibration can come of, or a solver that fails.
    """
    wish = wish or Wish()
    board = np.asarray(board_points, dtype=np.float64)
    given = check_start(views, board, init, wish)
    if given is not None and {"intrinsics", "extrinsics"} <= set(wish.fix):
        rig, pixels = Rig(given), np.where(usable(views, board)[..., None, None], views.pixels, np.nan)
        error = _median_error(rig, pixels)
    else:
        with one_thread():
            begun = start(views, board, given, wish)
        points, extra = _observations(begun, board)
        rig, error = _adjust(begun.cameras, points, extra, wish, seed)
        pixels = begun.pixels
    boards = place_boards(views, rig.cameras, board)
    cameras, boards, _ = in_world(rig.cameras, boards, views, wish)
    return Solution(
        Rig(cameras, {"adjusted": False, "error": error, "engine": ENGINE, "units": wish.units}),
        boards,
        board_residuals(views.pixels, cameras, boards, board),
        np.isfinite(pixels[..., 0]),
    )


def _observations(begun: Start, board: Floats) -> tuple[Floats, dict[str, Any]]:
    """Arrange corners that two cameras or more saw as aniposelib wants them.

    Returns
    -------
    (cameras, points, 2) px, and what aniposelib calls extra: per point the corner on the board, the instant,
    and per camera the board's pose. All cameras are given the one pose that fits them best: aniposelib draws
    one of them by lot, and a mistaken pose would bend the whole solution.
    """
    cameras, boards, pixels = begun.cameras, begun.boards, begun.pixels
    both = (np.isfinite(pixels[..., 0]).sum(axis=0) >= 2) & np.isfinite(boards[:, :1, 0])
    instant, corner = np.nonzero(both)
    turns, shifts = np.zeros((2, len(cameras), len(boards), 3))
    for index, camera in enumerate(cameras):
        place = to_matrix(camera.rotation, camera.translation)
        for at in np.unique(instant):
            turns[index, at], shifts[index, at] = to_vectors(place @ boards[at])
    extra = {
        "objp": board[corner],
        "ids": instant,
        "rvecs": turns[:, instant],
        "tvecs": shifts[:, instant],
    }
    return pixels[:, instant, corner], extra


def _adjust(
    cameras: tuple[Camera, ...],
    points: Floats,
    extra: dict[str, Any],
    wish: Wish,
    seed: int,
) -> tuple[Rig, float]:
    """Run aniposelib; return the cameras where it leaves them, and its error, px."""
    with _undisturbed(seed):
        ordinary, fisheye = _kinds()
        group = camera_group(Rig(cameras), (partial(ordinary, wish=wish), partial(fisheye, wish=wish)))
        try:
            error = float(group.bundle_adjust_iter(points, extra))
        except (ValueError, IndexError, np.linalg.LinAlgError) as problem:
            raise DataError(f"{_FAILED} (aniposelib: {str(problem).strip()}). {_REMEDY}") from problem
    found = [(camera.matrix, camera.dist, camera.rvec, camera.tvec) for camera in group.cameras]
    if not (np.isfinite(error) and all(np.isfinite(part).all() for parts in found for part in parts)):
        raise DataError(f"{_FAILED} (aniposelib's result is not finite). {_REMEDY}")
    solved = (
        replace(camera, matrix=matrix, distortions=bends, rotation=turn, translation=shift)
        for camera, (matrix, bends, turn, shift) in zip(cameras, found, strict=True)
    )
    return Rig(tuple(solved)), error


_FAILED = "the solver found no cameras that fit the board's corners"
_REMEDY = (
    "Check that the board's settings are those of the board that was filmed, and that recordings named alike "
    "were made at the same time."
)


@contextlib.contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """Seed and give back numpy's global generator, which aniposelib draws from; keep it from talking."""
    state = np.random.get_state()
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet())
        stack.enter_context(one_thread())
        import jax

        # an accelerator's sums come in another order each time
        stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


@cache
def _kinds() -> Kinds:
    """Return aniposelib's two kinds of cameras with our choice of parameters."""
    from aniposelib.cameras import Camera, FisheyeCamera

    class Chosen:
        """The parameters that may move; aniposelib's own choice erases k2 .. k3 and fx != fy."""

        matrix: Floats
        dist: Floats

        def __init__(self, *, wish: Wish, **parts: Any) -> None:
            super().__init__(**parts)
            self.turning = "extrinsics" not in wish.fix
            self.bending = "intrinsics" not in wish.fix
            self.estimated = list(ESTIMATED[wish.distortion][isinstance(self, FisheyeCamera)])
            self.aspect = self.matrix[1, 1] / self.matrix[0, 0]

        def get_params(self, only_extrinsics: bool = False) -> Floats:
            parts = [self.rvec, self.tvec] if self.turning else []
            if self.bending:
                parts += [self.matrix[:1, 0], self.dist[self.estimated]]
            return np.concatenate(parts)

        def set_params(self, params: Floats, only_extrinsics: bool = False) -> None:
            if self.turning:
                self.rvec, self.tvec, params = params[:3].copy(), params[3:6].copy(), params[6:]
            if self.bending:
                self.matrix[0, 0], self.matrix[1, 1] = params[0], params[0] * self.aspect
                self.dist[self.estimated] = params[1:]

    return type("OrdinaryLens", (Chosen, Camera), {}), type("FisheyeLens", (Chosen, FisheyeCamera), {})


def _median_error(rig: Rig, pixels: Floats) -> float:
    """Return the median over points of their mean reprojection error, px."""
    world = dlt(pixels, rig)
    off = reprojection_errors(world, pixels, rig)[:, np.isfinite(world[..., 0])]
    if not off.size:
        raise DataError(
            "calibration_init has a ray for none of the corners; its lenses are not those of these cameras."
        )
    means: NDArray[np.float64] = np.nanmean(off, axis=0)
    return float(np.median(means))
