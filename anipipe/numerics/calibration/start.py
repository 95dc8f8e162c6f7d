"""Where a calibration starts: lenses, places of the cameras, places of the board, and what is asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from anipipe.errors import DataError
from anipipe.numerics.calibration.lens_start import ESTIMATED, guess_lens, start_lens
from anipipe.numerics.calibration.links import check_links
from anipipe.numerics.calibration.pose_start import (
    agreed_boards,
    board_poses,
    start_extrinsics,
    to_matrix,
    to_vectors,
)
from anipipe.numerics.calibration.views import BoardViews, check_views, shared_corners, usable
from anipipe.numerics.calibration.world import World, board_axes
from anipipe.numerics.cameras import Camera, Rig
from anipipe.numerics.lenses import Floats


@dataclass(frozen=True)
class Wish:
    """What a calibration is asked for.

    Attributes
    ----------
    fisheye
        Fisheye lenses, where there are no cameras to start from; else the lenses are of their kinds.
    distortion
        What is estimated: ``none``, ``k1``, ``k1k2`` or ``full`` (k1, k2, p1, p2, k3; fisheye k1 .. k4). The
        other coefficients stay 0, or what they start from.
    axis
        Estimate where each lens's axis meets the picture, too; else it is the middle of the picture, or as
        the cameras to start from have it.
    fix
        ``intrinsics``, ``extrinsics`` or both, of the cameras to start from.
    world
        The position of the board that is to be the world; None for the first camera, or for the world of the
        cameras to start from where their extrinsics are fixed.
    units
        Name of the board's length unit, for the metadata.

    Raises
    ------
    DataError
        If there is no such thing.
    """

    fisheye: bool = False
    distortion: str = "k1k2"
    axis: bool = False
    fix: Collection[str] = ()
    world: World | None = None
    units: str = "mm"

    def __post_init__(self) -> None:
        if self.distortion not in ESTIMATED:
            raise DataError(f"distortion = {self.distortion!r} is none of {', '.join(ESTIMATED)}")
        unknown = sorted(set(self.fix) - {"intrinsics", "extrinsics"})
        if unknown:
            raise DataError(f"cannot fix {', '.join(unknown)}; there are intrinsics and extrinsics")


@dataclass(frozen=True, eq=False)
class Start:
    """A first solution.

    Attributes
    ----------
    cameras
        In the views' order.
    boards
        (instants, 4, 4) board_to_world; NaN where no view gives a pose.
    pixels
        (cameras, instants, corners, 2): corners in usable views that lie where their view's pose has them.
    held
        Cameras whose lenses are as they stay where the recordings do not determine them.
    given
        Whether these were given, and are no mere guess.
    """

    cameras: tuple[Camera, ...]
    boards: Floats
    pixels: Floats
    held: tuple[Camera, ...]
    given: bool


def check_start(views: BoardViews, board: Floats, init: Rig | None, wish: Wish) -> tuple[Camera, ...] | None:
    """Refuse what no calibration can come of; return the cameras to start from, None if none are given.

    Raises
    ------
    DataError
        Nothing to keep what ``fix`` names, views that do not suffice (see
        :func:`~anipipe.numerics.calibration.views.check_views` and
        :func:`~anipipe.numerics.calibration.links.check_links`), cameras that are lacking or of another size.
    """
    if wish.fix and init is None:
        raise DataError(
            f"calibration.fix keeps the {' and '.join(sorted(wish.fix))} of calibration_init, but there is "
            "none. Name the file in calibration.calibration_init."
        )
    known, placed = ("intrinsics" in wish.fix), ("extrinsics" in wish.fix)
    check_views(views, board, frames=1 if known else 3, linked=not placed)
    if not known and not placed:  # a known lens tells the board's place from any one view
        check_links(views, board)
    return None if init is None else _matched(init, views)


def _matched(init: Rig, views: BoardViews) -> tuple[Camera, ...]:
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
    return tuple(cameras)


def start(views: BoardViews, board: Floats, given: tuple[Camera, ...] | None, wish: Wish) -> Start:
    """Estimate every lens by itself, then link the cameras by the board's poses.

    Parameters
    ----------
    views
        The board's corners in the cameras' images.
    board
        (corners, 3), on the board, flat.
    given
        Cameras whose lenses are taken; their places too if ``wish`` fixes these.
    wish
        What is asked for.
    """
    pixels = np.where(usable(views, board)[..., None, None], views.pixels, np.nan)
    cameras = _start_lenses(views, board, pixels, wish) if given is None else given
    found = [board_poses(view, board, camera) for view, camera in zip(pixels, cameras, strict=True)]
    poses = np.stack([pose for pose, _ in found])
    # two cameras cannot tell an error along their epipolar lines, but each knows its own view of the board
    pixels = np.where(np.stack([good for _, good in found])[..., None], pixels, np.nan)
    if "extrinsics" not in wish.fix:
        shared = shared_corners(views, np.isfinite(poses[..., 0, 0]))
        placed = start_extrinsics(poses, shared, views.cameras)
        cameras = tuple(moved(camera, place) for camera, place in zip(cameras, placed, strict=True))
    held = given or tuple(
        guess_lens(camera.name, size, wish.fisheye) for camera, size in zip(cameras, views.sizes, strict=True)
    )
    return Start(cameras, agreed_boards(poses, cameras, pixels, board), pixels, held, given is not None)


def _start_lenses(views: BoardViews, board: Floats, pixels: Floats, wish: Wish) -> tuple[Camera, ...]:
    return tuple(
        start_lens(
            name,
            size,
            view[np.isfinite(view[..., 0]).any(axis=1)],
            board,
            distortion=wish.distortion,
            fisheye=wish.fisheye,
        )
        for name, size, view in zip(views.cameras, views.sizes, pixels, strict=True)
    )


def moved(camera: Camera, place: Floats) -> Camera:
    """Return the camera at another place, (4, 4) world_to_camera."""
    rotation, translation = to_vectors(place)
    return replace(camera, rotation=rotation, translation=translation)


def in_world(
    cameras: tuple[Camera, ...], boards: Floats, views: BoardViews, wish: Wish
) -> tuple[tuple[Camera, ...], Floats, Floats]:
    """Describe a solution in the world that is wished for.

    Parameters
    ----------
    cameras, boards
        The cameras, and (instants, 4, 4) board_to_world, in one world.
    views
        The views, which tell the instants.
    wish
        What is asked for.

    Returns
    -------
    The cameras and the boards in the new world, and the (4, 4) transform of the old world to it.
    """
    if wish.world is not None:
        axes = board_axes(views, boards, cameras, wish.world)
    elif "extrinsics" in wish.fix:
        return cameras, boards, np.eye(4)
    else:
        axes = np.asarray(
            np.linalg.inv(to_matrix(cameras[0].rotation, cameras[0].translation)), dtype=np.float64
        )
    places = (to_matrix(camera.rotation, camera.translation) @ axes for camera in cameras)
    there = tuple(moved(camera, place) for camera, place in zip(cameras, places, strict=True))
    if wish.world is None:  # without the rounding
        there = (replace(there[0], rotation=np.zeros(3), translation=np.zeros(3)), *there[1:])
    back = np.asarray(np.linalg.inv(axes), dtype=np.float64)
    return there, back @ boards, back
