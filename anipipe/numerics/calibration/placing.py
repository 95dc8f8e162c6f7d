"""Where boards are, before cameras that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.calibration.bodies import Bodies, Freedom, Sights, State, sights_of
from anipipe.numerics.calibration.bundle import FIRST_DAMPING, MOST_DAMPING, System, damped
from anipipe.numerics.calibration.pose_start import agreed_boards, pose_along, to_matrix
from anipipe.numerics.calibration.views import BoardViews, usable
from anipipe.numerics.cameras import Camera, project, undistort
from anipipe.numerics.lenses import Floats

STEPS = 60
SCALE = 1.0  # px: corners are found to a fraction of it, and what is off by more is more likely wrong
SETTLED = 1e-10  # relative decrease of a body's cost
BEST = 2  # views of an instant from which its pose starts: those of most corners
_FIXED = Freedom(placed=False, focal=False)


def place_boards(
    views: BoardViews, cameras: Sequence[Camera], board: Floats, *, known: Floats | None = None
) -> Floats:
    """Find the board's pose at each instant that fits all cameras best.

    Parameters
    ----------
    views
        The board's corners in the cameras' images.
    cameras
        In the views' order.
    board
        (corners, 3), on the board.
    known
        (instants, 4, 4) board_to_world to start from; NaN where a start is to be found.

    Returns
    -------
    board_to_world, (instants, 4, 4); NaN where no view shows enough of the board.
    """
    start = np.full((len(views.instants), 4, 4), np.nan) if known is None else known.copy()
    lacking = np.flatnonzero(np.isnan(start[:, 0, 0]))
    if lacking.size:
        pixels = _best_views(views, board)[:, lacking]
        poses = [_roughly(view, board, camera) for view, camera in zip(pixels, cameras, strict=True)]
        start[lacking] = agreed_boards(np.stack(poses), cameras, views.pixels[:, lacking], board)
    there = np.flatnonzero(np.isfinite(start[:, 0, 0]))
    sights = [sights_of(view[there], board) for view in views.pixels]
    fitted = fit_bodies(Bodies(start[there, :3, 3], start[there, :3, :3]), cameras, sights, scale=SCALE)
    out = np.full_like(start, np.nan)
    out[there] = transforms(fitted)
    return out


def _roughly(pixels: Floats, board: Floats, camera: Camera) -> Floats:
    """Return board_to_camera of (views, corners, 2) px, (views, 4, 4); NaN where there is none."""
    rays = undistort(pixels, camera)
    poses = np.full((len(pixels), 4, 4), np.nan)
    for view in np.flatnonzero(np.isfinite(rays[..., 0]).any(axis=1)):
        seen = np.isfinite(rays[view, :, 0])
        vectors = pose_along(rays[view, seen], board[seen], refined=False)
        if vectors is not None:
            poses[view] = to_matrix(*vectors)
    return poses


def transforms(boards: Bodies) -> Floats:
    """Return body_to_world, (bodies, 4, 4)."""
    out = np.tile(np.eye(4), (len(boards.places), 1, 1))
    out[:, :3, 3] = boards.places
    if boards.turns is not None:
        out[:, :3, :3] = boards.turns
    return out


def board_residuals(pixels: Floats, cameras: Sequence[Camera], boards: Floats, board: Floats) -> Floats:
    """Return how far each corner is projected from where it was detected.

    Takes (cameras, instants, corners, 2) px and (instants, 4, 4) board_to_world; gives as many px, NaN where
    a corner was not seen or the board's pose is not known.
    """
    corners = np.einsum("iab,kb->ika", boards[:, :3, :3], board) + boards[:, None, :3, 3]
    return np.stack([project(corners, camera) - view for camera, view in zip(cameras, pixels, strict=True)])


def _best_views(views: BoardViews, board: Floats) -> Floats:
    """Return the pixels of each instant's usable views of most corners, NaN elsewhere."""
    count = np.where(usable(views, board), views.seen.sum(axis=-1), 0)
    rank = np.argsort(np.argsort(-count, axis=0, kind="stable"), axis=0, kind="stable")
    return np.where(((rank < BEST) & (count > 0))[..., None, None], views.pixels, np.nan)


def fit_bodies(
    bodies: Bodies, cameras: Sequence[Camera], sights: Sequence[Sights], *, scale: float
) -> Bodies:
    """Move each body by itself to where its images fit best, all at once.

    Levenberg-Marquardt steps as in :func:`anipipe.numerics.calibration.bundle.adjust`, each body with a
    damping of its own.
    """
    damping = np.full(len(bodies.places), FIRST_DAMPING)
    going = np.ones(len(bodies.places), dtype=bool)
    cost, block, pull = _equations(bodies, cameras, sights, scale)
    for _ in range(STEPS):
        step = -np.linalg.solve(damped(block, damping), pull[..., None])[..., 0]
        trial = bodies.moved(np.where(going[:, None], step, 0.0))
        # bodies that have come to rest are not looked at again
        new_cost, new_block, new_pull = _equations(
            trial, cameras, [_of(seen, going) for seen in sights], scale
        )
        better = going & (new_cost <= cost)
        gain = np.where(better, cost - new_cost, 0.0)
        bodies = _chosen(better, trial, bodies)
        block = np.where(better[:, None, None], new_block, block)
        pull = np.where(better[:, None], new_pull, pull)
        cost = np.where(better, new_cost, cost)
        damping = np.where(better, damping / 10, damping * 10)
        going &= ~(better & (gain <= SETTLED * cost)) & (damping < MOST_DAMPING)
        if not going.any():
            break
    return bodies


def _of(seen: Sights, some: NDArray[np.bool_]) -> Sights:
    """Return what was seen of some bodies."""
    rows = some[seen.bodies]
    return replace(seen, bodies=seen.bodies[rows], marks=seen.marks[rows], pixels=seen.pixels[rows])


def _chosen(which: NDArray[np.bool_], one: Bodies, other: Bodies) -> Bodies:
    places = np.where(which[:, None], one.places, other.places)
    if one.turns is None or other.turns is None:
        return Bodies(places)
    return Bodies(places, np.where(which[:, None, None], one.turns, other.turns))


def _equations(
    bodies: Bodies, cameras: Sequence[Camera], sights: Sequence[Sights], scale: float
) -> tuple[Floats, Floats, Floats]:
    """Return each body's cost, (bodies,), normal matrix and pull."""
    state = State(tuple(cameras), (bodies,))
    system = System.of(state, (sights,), [_FIXED] * len(state.cameras), scale)
    return system.costs[0], system.blocks[0], system.pulls[0]
