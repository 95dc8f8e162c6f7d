"""The calibration board as several cameras saw it, put together by instant, and whether that is enough.

An instant is a recording's name, without the camera, and a frame's number in it. Cameras are put together by
instant alone: one that lacks a recording, or frames at its end, shifts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.errors import DataError
from anipipe.numerics.calibration.detections import Detections, common_layout, numbered
from anipipe.numerics.lenses import Floats

POSE_CORNERS = 8  # of a board that has enough of them; fewer leave its tilt to chance
SPREAD = 1e-6  # variance across a row of corners, relative to that along it, from which on it is no line


@dataclass(frozen=True, eq=False)
class BoardViews:
    """The board's corners in the images of several cameras.

    Attributes
    ----------
    cameras
        Names, in natural order (10 after 9).
    sizes
        Width and height of each camera's images, px.
    instants
        (trial, frame) of each instant at which some camera saw the board, in natural order.
    pixels
        (cameras, instants, corners, 2); NaN where a corner was not seen.
    frames
        How many frames of each camera were looked at.
    remarks
        What may be the reason if a camera saw nothing, else empty.
    """

    cameras: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    instants: tuple[tuple[str, int], ...]
    pixels: Floats
    frames: tuple[int, ...]
    remarks: tuple[str, ...]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(cameras, instants, corners): whether a corner was seen."""
        return np.asarray(np.isfinite(self.pixels).all(axis=-1))

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(cameras, instants): whether any corner was seen."""
        return np.asarray(self.seen.any(axis=-1))


def pair_views(detections: Iterable[Detections], corners: int) -> BoardViews:
    """Put the detections of several cameras together.

    Parameters
    ----------
    detections
        Of one recording each, in any order; several recordings of one camera are joined.
    corners
        How many corners the board has.

    Returns
    -------
    The views of all cameras, also of those that never saw the board.

    Raises
    ------
    DataError
        A camera's recordings differ in size, a corner that the board has not, two recordings of a camera that
        show the same instant, or cameras that read the board in different layouts.
    """
    by_camera: dict[str, list[Detections]] = {}
    for found in detections:
        by_camera.setdefault(found.camera, []).append(found)
    cameras = tuple(sorted(by_camera, key=_natural))
    legacy = common_layout([part for camera in cameras for part in by_camera[camera]])
    keys = {key for parts in by_camera.values() for part in parts for key in _keys(part)}
    instants = tuple(sorted(keys, key=lambda key: (_natural(key[0]), key[1])))
    column = {key: index for index, key in enumerate(instants)}
    pixels = np.full((len(cameras), len(instants), corners, 2), np.nan)
    for index, camera in enumerate(cameras):
        for part in by_camera[camera]:
            _place(part, numbered(part, legacy), column, pixels[index])
    return BoardViews(
        cameras,
        tuple(_one_size(camera, by_camera[camera]) for camera in cameras),
        instants,
        pixels,
        tuple(sum(part.frames for part in by_camera[camera]) for camera in cameras),
        tuple(_one_remark(by_camera[camera]) for camera in cameras),
    )


def of_cameras(views: BoardViews, some: Sequence[int]) -> BoardViews:
    """Return the views of some cameras alone, by their indices."""
    return replace(
        views,
        cameras=tuple(views.cameras[index] for index in some),
        sizes=tuple(views.sizes[index] for index in some),
        pixels=views.pixels[list(some)],
        frames=tuple(views.frames[index] for index in some),
        remarks=tuple(views.remarks[index] for index in some),
    )


def _natural(name: str) -> tuple[tuple[object, ...], str]:
    parts = re.split(r"(\d+)", name)
    return tuple(int(part) if index % 2 else part.casefold() for index, part in enumerate(parts)), name


def _keys(part: Detections) -> list[tuple[str, int]]:
    """Return the instant of each row."""
    return list(zip(map(str, part.trials.tolist()), map(int, part.numbers.tolist()), strict=True))


def _place(
    part: Detections, corners: NDArray[np.int64], column: Mapping[tuple[str, int], int], pixels: Floats
) -> None:
    """Write one recording's corners into its camera's (instants, corners, 2)."""
    if not len(corners):
        return
    if corners.max() >= pixels.shape[1]:
        raise DataError(
            f"camera {part.camera}: corner {corners.max()} was detected, but the board has {pixels.shape[1]} "
            "corners, counted from 0. If the board's settings were changed, detect it again."
        )
    instants = np.array([column[key] for key in _keys(part)], dtype=np.intp)
    taken = np.isfinite(pixels[instants, corners, 0])
    flat = instants * pixels.shape[1] + corners
    if taken.any() or len(np.unique(flat)) < len(flat):
        raise DataError(
            f"camera {part.camera}: two recordings show the board under one name and frame "
            f"({part.trials[int(np.argmax(taken))]}). Rename one of them, or remove it."
        )
    pixels[instants, corners] = part.points


def _one_size(camera: str, parts: Sequence[Detections]) -> tuple[int, int]:
    sizes = sorted({(int(part.size[0]), int(part.size[1])) for part in parts})
    if len(sizes) > 1:
        shown = " and ".join(f"{width}x{height}" for width, height in sizes)
        raise DataError(
            f"camera {camera}: its board recordings differ in size ({shown} px); one calibration holds for "
            "one size. Keep the recordings of the size that the experiment's videos have."
        )
    return sizes[0]


def _one_remark(parts: Sequence[Detections]) -> str:
    if any(len(part.corners) for part in parts):
        return ""
    return "; ".join(dict.fromkeys(part.remark for part in parts if part.remark))


def corners_needed(corners: int) -> int:
    """Return how many of a board's corners a view must show to give its pose: 8, fewer on small boards."""
    return min(POSE_CORNERS, max(4, -(-3 * corners // 4)))


def usable(views: BoardViews, board_points: ArrayLike) -> NDArray[np.bool_]:
    """Tell which views give the board's pose.

    Parameters
    ----------
    views
        The views.
    board_points
        (corners, 3), on the board.

    Returns
    -------
    (cameras, instants): enough corners were seen (:func:`corners_needed`), and they do not lie on a line.
    """
    enough = views.seen.sum(axis=-1) >= corners_needed(views.pixels.shape[2])
    return np.asarray(enough & _off_line(views, board_points))


def _off_line(views: BoardViews, board_points: ArrayLike) -> NDArray[np.bool_]:
    """Return (cameras, instants): the corners that were seen span more than a line."""
    board = np.asarray(board_points, dtype=np.float64)
    seen = views.seen.astype(np.float64)
    count = np.maximum(seen.sum(axis=-1), 1)[..., None]
    board = board - board.mean(axis=0)
    mean = (seen @ board) / count
    square = (seen @ (board[:, :, None] * board[:, None, :]).reshape(-1, 9)) / count
    spread = square.reshape(*square.shape[:2], 3, 3) - mean[..., :, None] * mean[..., None, :]
    values = np.linalg.eigvalsh(spread)
    return np.asarray(values[..., 1] > SPREAD * np.maximum(values[..., 2], np.finfo(np.float64).tiny))


def shared_corners(views: BoardViews, mask: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Count the corners that two cameras saw at the same instants.

    Parameters
    ----------
    views
        The views.
    mask
        (cameras, instants) that count; None for all.

    Returns
    -------
    (cameras, cameras); the diagonal holds how many each camera saw.
    """
    seen = views.seen if mask is None else views.seen & mask[..., None]
    flat = seen.reshape(len(views.cameras), -1).astype(np.float64)
    return np.asarray(np.rint(flat @ flat.T), dtype=np.int64)


def groups(shared: ArrayLike) -> list[list[int]]:
    """Find the cameras that hang together.

    Takes (cameras, cameras) of :func:`shared_corners`; gives the indices of each group's cameras, ascending.
    """
    linked = np.asarray(shared) > 0
    left = list(range(len(linked)))
    found: list[list[int]] = []
    while left:
        group, border = {left[0]}, [left[0]]
        while border:
            reached = set(np.flatnonzero(linked[border.pop()]).tolist()) - group
            group |= reached
            border += reached
        found.append(sorted(group))
        left = [index for index in left if index not in group]
    return found


def check_views(views: BoardViews, board_points: ArrayLike, *, frames: int = 3, linked: bool = True) -> None:
    """Refuse views that no calibration can come of.

    Parameters
    ----------
    views
        The views.
    board_points
        (corners, 3), on the board.
    frames
        How many usable views each camera must have (see :func:`usable`).
    linked
        Whether the cameras must hang together.

    Raises
    ------
    DataError
        For the first of: only one camera, a board that was never seen, by all or by some cameras, only one
        row of its corners seen, too few usable frames, cameras that do not hang together.
    """
    if len(views.cameras) < 2:
        there = f"only camera {views.cameras[0]} has" if views.cameras else "no camera has"
        raise DataError(
            f"{there} recordings of the board; calibrating takes at least 2 cameras. Add the others'; "
            "if they are there, check triangulation.cam_regex, which finds the camera in a name."
        )
    _check_seen(views)
    _check_usable(views, board_points, frames)
    apart = groups(shared_corners(views, usable(views, board_points)))
    if linked and len(apart) > 1:
        raise DataError(_apart(views, apart))


def _check_seen(views: BoardViews) -> None:
    blind = np.flatnonzero(~views.shown.any(axis=1)).tolist()
    if not blind:
        return
    alike: dict[str, list[str]] = {}  # most often all of them have the same to say
    for index in blind:
        remark = views.remarks[index].rstrip(".")
        alike.setdefault(remark, []).append(f"camera {views.cameras[index]}, {views.frames[index]} frames")
    facts = "; ".join(
        ", ".join(cameras) + (f" ({remark})" if remark else "") for remark, cameras in alike.items()
    )
    if len(blind) == len(views.cameras):
        raise DataError(
            f"no camera saw the calibration board: {facts}. Check that the settings in [calibration] "
            "describe the board that was filmed: its type, its size, its markers, whether it is inverted."
        )
    raise DataError(
        f"the calibration board was never seen by some cameras: {facts}. The others saw it: record it before "
        "these cameras too, or take their recordings out of the calibration folder."
    )


def _check_usable(views: BoardViews, board_points: ArrayLike, frames: int) -> None:
    good, off_line = usable(views, board_points), _off_line(views, board_points)
    needed = corners_needed(views.pixels.shape[2])
    for index, camera in enumerate(views.cameras):
        count, shown = int(good[index].sum()), int(views.shown[index].sum())
        if count >= frames:
            continue
        if not off_line[index].any():
            raise DataError(
                f"camera {camera}: in all {shown} frames with the board, the corners seen lie on one line, "
                "which says nothing of where the board is. Record it again, with more of it in the image."
            )
        raise DataError(
            f"camera {camera}: {count} of {shown} frames with the board are usable ({needed} corners or more "
            f"in two rows), {frames} are needed. Record it longer, all of it in the image, in many poses."
        )


def _apart(views: BoardViews, linked: Sequence[Sequence[int]]) -> str:
    """Say which cameras do not hang together, and why that may be."""
    names = " | ".join(", ".join(views.cameras[index] for index in group) for group in linked)
    trials = [
        {views.instants[at][0] for at in np.flatnonzero(views.shown[list(group)].any(axis=0))}
        for group in linked
    ]
    message = (
        "these groups of cameras never see the same corners of the board at one time (in frames with "
        f"{corners_needed(views.pixels.shape[2])} or more corners): {names}. "
    )
    if not set.intersection(*trials):
        examples = " and ".join(repr(min(found, key=_natural)) for found in trials[:2])
        return message + (
            "They have no recording of one name in common once the camera is taken out of it (there are "
            f"{examples}): name simultaneous recordings alike."
        )
    return message + (
        "Record the board once more where cameras of both groups see it at the same time; recordings count "
        "as simultaneous if their names agree but for the camera, frame by frame."
    )
