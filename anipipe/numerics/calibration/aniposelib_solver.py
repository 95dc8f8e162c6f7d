"""Calibration by aniposelib's bundle adjustment, freed of what goes wrong around it.

The solver itself is aniposelib's ``CameraGroup.bundle_adjust_iter``: rounds of bundle adjustment on the
points that fit, ever more strictly, corners held to the board's shape. What is ours: where it starts from
(``lens_start``, ``pose_start``), which parameters of a camera it may move, matching of cameras by name, and
that two runs give the same bits, as long as BLAS has the same number of threads.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.errors import DataError
from anipipe.numerics.calibration.lens_start import ESTIMATED, one_thread, start_lens
from anipipe.numerics.calibration.pose_start import (
    agreed_boards,
    board_poses,
    start_extrinsics,
    to_matrix,
    to_vectors,
)
from anipipe.numerics.calibration.views import BoardViews, check_views, shared_corners, usable
from anipipe.numerics.cameras import Camera, Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.triangulation import dlt, reprojection_errors

SEED = 0
ENGINE = "aniposelib"


@dataclass(frozen=True, eq=False)
class Solution:
    """A calibration and what it rests on.

    Attributes
    ----------
    rig
        The cameras, in the views' order. Metadata: ``adjusted`` (false: no animal took part), ``error`` (px),
        ``engine``, ``units``.
    error
        Median over the solver's points of their mean reprojection error, px.
    points
        How many points the solver had: corners at an instant, seen by two cameras or more.
    instants
        At how many instants.
    """

    rig: Rig
    error: float
    points: int
    instants: int


def calibrate(
    views: BoardViews,
    board_points: ArrayLike,
    *,
    init: Rig | None = None,
    fisheye: bool = False,
    distortion: str = "k1k2",
    fix: Collection[str] = (),
    units: str = "mm",
    seed: int = SEED,
) -> Solution:
    """Calibrate cameras by the board that they saw.

    Parameters
    ----------
    views
        The board's corners in the cameras' images.
    board_points
        (corners, 3), on the board, flat, in the board's length unit.
    init
        Cameras to start from, matched by name; others in it are left out. Lenses start from it, and whatever
        ``fix`` names stays as it is. Places that are not fixed start from the board's poses.
    fisheye
        Fisheye lenses, where there is no ``init``; else the lenses are of its kinds.
    distortion
        What is estimated: ``none``, ``k1``, ``k1k2`` or ``full`` (k1, k2, p1, p2, k3; fisheye k1 .. k4). The
        other coefficients stay 0, or what ``init`` says.
    fix
        ``intrinsics``, ``extrinsics`` or both; with both, nothing is solved and ``init`` is measured.
    units
        Name of the board's length unit, for the metadata.
    seed
        Of the solver's samples.

    Returns
    -------
    The cameras. The first of them is the world, unless the extrinsics of ``init`` were kept.

    Raises
    ------
    DataError
        Views or an ``init`` that no calibration can come of, or a solver that fails; see
        :func:`~anipipe.numerics.calibration.views.check_views`.
    """
    board = np.asarray(board_points, dtype=np.float64)
    _check_options(distortion, fix, init)
    check_views(views, board, frames=1 if "intrinsics" in fix else 3)
    good = usable(views, board)
    pixels = np.where(good[..., None, None], views.pixels, np.nan)
    given = None if init is None else _matched(init, views)
    if given is not None and {"intrinsics", "extrinsics"} <= set(fix):
        rig, error = given, _median_error(given, pixels)
    else:
        rig, error, pixels = _solve(views, board, pixels, given, fisheye, distortion, fix, seed)
    both = np.isfinite(pixels[..., 0]).sum(axis=0) >= 2
    metadata = {"adjusted": False, "error": error, "engine": ENGINE, "units": units}
    return Solution(Rig(rig.cameras, metadata), error, int(both.sum()), int(both.any(axis=1).sum()))


def _check_options(distortion: str, fix: Collection[str], init: Rig | None) -> None:
    if distortion not in ESTIMATED:
        raise DataError(f"distortion = {distortion!r} is none of {', '.join(ESTIMATED)}")
    unknown = sorted(set(fix) - {"intrinsics", "extrinsics"})
    if unknown:
        raise DataError(f"cannot fix {', '.join(unknown)}; there are intrinsics and extrinsics")
    if fix and init is None:
        raise DataError(
            f"calibration.fix keeps the {' and '.join(sorted(fix))} of calibration_init, but there is none. "
            "Name the file in calibration.calibration_init."
        )


def _matched(init: Rig, views: BoardViews) -> Rig:
    """Return the cameras of the views as init has them."""
    missing = [name for name in views.cameras if name not in init.names]
    if missing:
        raise DataError(
            f"calibration_init lacks camera {', '.join(missing)}; it has {', '.join(init.names)}. Cameras "
            "are matched by name: rename them there, or add the missing ones."
        )
    cameras = []
    for name, size in zip(views.cameras, views.sizes, strict=True):
        camera = init.camera(name)
        if camera.size not in (None, size):
            raise DataError(
                f"camera {name}: calibration_init holds for images of {camera.size[0]}x{camera.size[1]} px, "
                f"the board recordings have {size[0]}x{size[1]}. Use a calibration_init of that size."
            )
        cameras.append(replace(camera, size=size))
    return Rig(tuple(cameras))


def _solve(
    views: BoardViews,
    board: Floats,
    pixels: Floats,
    given: Rig | None,
    fisheye: bool,
    distortion: str,
    fix: Collection[str],
    seed: int,
) -> tuple[Rig, float, Floats]:
    """Start, adjust, make the first camera the world; return also the pixels that were used."""
    cameras = _start_lenses(views, board, pixels, fisheye, distortion) if given is None else given.cameras
    found = [board_poses(view, board, camera) for view, camera in zip(pixels, cameras, strict=True)]
    poses = np.stack([pose for pose, _ in found])
    # two cameras cannot tell an error along their epipolar lines, but each knows its own view of the board
    pixels = np.where(np.stack([good for _, good in found])[..., None], pixels, np.nan)
    if "extrinsics" not in fix:
        shared = shared_corners(views, np.isfinite(poses[..., 0, 0]))
        placed = start_extrinsics(poses, shared, views.cameras)
        cameras = tuple(_moved(camera, place) for camera, place in zip(cameras, placed, strict=True))
    points, extra = _observations(poses, cameras, pixels, board)
    rig, error = _adjust(cameras, points, extra, distortion, fix, seed)
    return (rig if "extrinsics" in fix else _first_is_world(rig)), error, pixels


def _start_lenses(
    views: BoardViews, board: Floats, pixels: Floats, fisheye: bool, distortion: str
) -> tuple[Camera, ...]:
    return tuple(
        start_lens(
            name,
            size,
            view[np.isfinite(view[..., 0]).any(axis=1)],
            board,
            distortion=distortion,
            fisheye=fisheye,
        )
        for name, size, view in zip(views.cameras, views.sizes, pixels, strict=True)
    )


def _moved(camera: Camera, place: Floats) -> Camera:
    rotation, translation = to_vectors(place)
    return replace(camera, rotation=rotation, translation=translation)


def _first_is_world(rig: Rig) -> Rig:
    """Move the rig so that its first camera is at the origin and looks along z."""
    places = [to_matrix(camera.rotation, camera.translation) for camera in rig.cameras]
    back = np.linalg.inv(places[0])
    first = replace(rig.cameras[0], rotation=np.zeros(3), translation=np.zeros(3))
    others = (_moved(camera, at @ back) for camera, at in zip(rig.cameras[1:], places[1:], strict=True))
    return Rig((first, *others))


def _observations(
    poses: Floats, cameras: tuple[Camera, ...], pixels: Floats, board: Floats
) -> tuple[Floats, dict[str, Any]]:
    """Arrange corners that two cameras or more saw as aniposelib wants them.

    Returns
    -------
    (cameras, points, 2) px, and what aniposelib calls extra: per point the corner on the board, the instant,
    and per camera the board's pose. All cameras are given the one pose that fits them best: aniposelib draws
    one of them by lot, and a mistaken pose would bend the whole solution.
    """
    boards = agreed_boards(poses, cameras, pixels, board)
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
    distortion: str,
    fix: Collection[str],
    seed: int,
) -> tuple[Rig, float]:
    """Run aniposelib; return the cameras where it leaves them, and its error, px."""
    with _undisturbed(seed):
        group_class, ordinary, bent = _classes()
        group = group_class(
            [(bent if camera.fisheye else ordinary)(camera, distortion, fix) for camera in cameras],
            metadata={},
        )
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
    silence = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(silence))
        stack.enter_context(contextlib.redirect_stderr(silence))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(one_thread())
        warnings.simplefilter("ignore")
        import jax

        # an accelerator's sums come in another order each time
        stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


@cache
def _classes() -> tuple[type, type, type]:
    """Return aniposelib's camera group, and its two kinds of cameras with our choice of parameters."""
    from aniposelib.cameras import Camera as Ordinary
    from aniposelib.cameras import CameraGroup, FisheyeCamera

    class Chosen:
        """The parameters that may move; aniposelib's own choice erases k2 .. k3 and fx != fy."""

        matrix: Floats
        dist: Floats

        def __init__(self, camera: Camera, distortion: str, fix: Collection[str]) -> None:
            super().__init__(  # type: ignore[call-arg]
                matrix=camera.matrix,
                dist=camera.distortions,
                size=camera.size,
                rvec=camera.rotation,
                tvec=camera.translation,
                name=camera.name,
            )
            self.turning = "extrinsics" not in fix
            self.bending = "intrinsics" not in fix
            self.estimated = list(ESTIMATED[distortion][camera.fisheye])
            self.aspect = camera.matrix[1, 1] / camera.matrix[0, 0]

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

    return (
        CameraGroup,
        type("OrdinaryLens", (Chosen, Ordinary), {}),
        type("FisheyeLens", (Chosen, FisheyeCamera), {}),
    )


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
