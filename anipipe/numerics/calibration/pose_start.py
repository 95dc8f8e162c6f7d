"""First estimates of where the board and the cameras are, without any guess.

The board's pose in each view links the cameras: along the strongest links (maximum spanning tree), each
camera is placed by the transform that most of the instants which it shares with its neighbour agree on. A
pose that was mistaken for its mirror image, as happens when a board is seen from afar, is outvoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.errors import DataError
from anipipe.numerics.cameras import Camera, project, rodrigues, undistort
from anipipe.numerics.lenses import Floats

TRIMS = 4  # rounds of leaving out corners that cannot be
FARTHEST = (5.0, 1.0)  # times the median error, and px, beyond which a corner cannot be
VOTERS = 200  # shared instants that a transform is chosen from
OUTVOTED = 10.0  # degrees off the chosen rotation


def board_poses(
    pixels: ArrayLike, board_points: ArrayLike, camera: Camera
) -> tuple[Floats, NDArray[np.bool_]]:
    """Find where the board is in the camera's frame, and which corners cannot have been there.

    Parameters
    ----------
    pixels
        (views, corners, 2), NaN where a corner was not seen; views of fewer than 4 corners get no pose.
    board_points
        (corners, 3), on the board, flat.
    camera
        Its lens; its place does not matter.

    Returns
    -------
    board_to_camera, (views, 4, 4), NaN where there is none; and (views, corners), whether a corner was seen
    and lies where its view's pose has it (within :data:`FARTHEST`).
    """
    image, board = np.asarray(pixels, dtype=np.float64), np.asarray(board_points, dtype=np.float64)
    rays = undistort(image, camera)
    good = np.isfinite(rays[..., 0])
    poses = np.full((len(image), 4, 4), np.nan)
    for view in range(len(image)):
        for _ in range(TRIMS):
            vectors = pose_along(rays[view, good[view]], board[good[view]])
            if vectors is None:
                break
            poses[view] = to_matrix(*vectors)
            posed = replace(camera, rotation=vectors[0], translation=vectors[1])
            off = np.linalg.norm(project(board, posed) - image[view], axis=-1)
            wrong = good[view] & (off > max(FARTHEST[0] * float(np.median(off[good[view]])), FARTHEST[1]))
            if not wrong.any():
                break
            good[view] &= ~wrong
    good &= np.isfinite(poses[:, :1, 0])
    return poses, good


def pose_along(rays: Floats, board: Floats, *, refined: bool = True) -> tuple[Floats, Floats] | None:
    """Find the board's pose from straight rays to its corners.

    Parameters
    ----------
    rays
        (n, 2) normalised coordinates.
    board
        (n, 3), on the board, flat.
    refined
        Move it to the smallest reprojection error; else it is what two homographies tell (Collins & Bartoli
        2014, "Infinitesimal plane-based pose estimation").

    Returns
    -------
    Rotation vector and translation, board_to_camera; None where there is no pose.
    """
    import cv2

    if len(rays) < 4:
        return None
    # no lens any more, so that fisheyes are treated alike
    arguments = (board, rays, np.eye(3), None)
    try:
        found, turn, shift = cv2.solvePnP(*arguments, flags=cv2.SOLVEPNP_IPPE)
        if not found:
            return None
        if refined:
            turn, shift = cv2.solvePnPRefineLM(*arguments, turn, shift)
    except cv2.error:
        return None
    turn, shift = np.asarray(turn, dtype=np.float64).ravel(), np.asarray(shift, dtype=np.float64).ravel()
    return (turn, shift) if np.isfinite([*turn, *shift]).all() and shift[2] > 0 else None


def to_matrix(rotation: ArrayLike, translation: ArrayLike) -> Floats:
    """Return a (4, 4) transform of a Rodrigues vector (3,) and a translation (3,)."""
    out = np.eye(4)
    out[:3, :3] = rodrigues(rotation)
    out[:3, 3] = np.asarray(translation, dtype=np.float64).ravel()
    return out


def to_vectors(transform: ArrayLike) -> tuple[Floats, Floats]:
    """Return the Rodrigues vector (3,) and the translation (3,) of a (4, 4) transform."""
    from scipy.spatial.transform import Rotation

    matrix = np.asarray(transform, dtype=np.float64)
    return Rotation.from_matrix(matrix[:3, :3]).as_rotvec(), matrix[:3, 3].copy()


def start_extrinsics(poses: Floats, shared: ArrayLike, names: Sequence[str]) -> Floats:
    """Place the cameras by the poses of the board that they share.

    Parameters
    ----------
    poses
        board_to_camera, (cameras, instants, 4, 4); NaN where there is none.
    shared
        (cameras, cameras), how strongly each two are linked (shared corners).
    names
        Of the cameras, for messages.

    Returns
    -------
    world_to_camera, (cameras, 4, 4); the first camera is the world.

    Raises
    ------
    DataError
        Some cameras share no instant with the others, not even by way of a third camera.
    """
    good = np.isfinite(poses[..., 0, 0])
    both = (good[:, None] & good[None]).sum(axis=-1)
    weights = np.where(both > 0, np.maximum(np.asarray(shared), 1), 0)
    out = np.full((len(poses), 4, 4), np.nan)
    out[0] = np.eye(4)
    placed = [0]
    while len(placed) < len(poses):
        free = [index for index in range(len(poses)) if index not in placed]
        links = weights[np.ix_(placed, free)]
        if not links.any():
            raise DataError(
                f"the board's poses link no other camera to {', '.join(names[at] for at in placed)}: their "
                "views contradict each other, or show too little of it. Record the board once more where "
                "cameras of both groups see all of it."
            )
        at = np.unravel_index(int(links.argmax()), links.shape)
        old, new = placed[int(at[0])], free[int(at[1])]
        instants = np.flatnonzero(good[old] & good[new])
        instants = instants[np.linspace(0, len(instants) - 1, min(len(instants), VOTERS)).astype(int)]
        transforms = poses[new, instants] @ np.linalg.inv(poses[old, instants])
        out[new] = agreed_transform(transforms) @ out[old]
        placed.append(new)
    return out


def agreed_transform(transforms: Floats) -> Floats:
    """Return the transform that most agree on.

    Parameters
    ----------
    transforms
        (n, 4, 4) rigid transforms, n at least 1.

    Returns
    -------
    (4, 4): mean rotation (of matrices, as rotations near 180 degrees ask for) and median translation of those
    whose rotation is near that with the smallest median angle to all.
    """
    rotations = transforms[:, :3, :3]
    cosines = (np.einsum("iab,jab->ij", rotations, rotations) - 1) / 2
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    middle = int(np.median(angles, axis=1).argmin())
    near = angles[middle] <= max(OUTVOTED, float(np.median(angles[middle])))
    left, _, right = np.linalg.svd(rotations[near].sum(axis=0))
    out = np.eye(4)
    out[:3, :3] = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    out[:3, 3] = np.median(transforms[near, :3, 3], axis=0)
    return out


def agreed_boards(
    poses: Floats, cameras: Sequence[Camera], pixels: ArrayLike, board_points: ArrayLike
) -> Floats:
    """Choose for each instant, among the poses that the cameras saw, the one that fits all of them best.

    Parameters
    ----------
    poses
        board_to_camera, (cameras, instants, 4, 4); NaN where there is none.
    cameras
        In the world.
    pixels
        (cameras, instants, corners, 2).
    board_points
        (corners, 3), on the board.

    Returns
    -------
    board_to_world, (instants, 4, 4); NaN where no camera has a pose.
    """
    image, board = np.asarray(pixels, dtype=np.float64), np.asarray(board_points, dtype=np.float64)
    out = np.full((poses.shape[1], 4, 4), np.nan)
    best = np.full(poses.shape[1], np.inf)
    for index, camera in enumerate(cameras):
        to_world = np.linalg.inv(to_matrix(camera.rotation, camera.translation)) @ poses[index]
        corners = np.einsum("iab,kb->ika", to_world[:, :3, :3], board) + to_world[:, None, :3, 3]
        off = np.stack([project(corners, other) - view for other, view in zip(cameras, image, strict=True)])
        # sums of distances, not of squares: one misplaced camera must not decide
        total = np.nansum(np.linalg.norm(off, axis=-1), axis=(0, 2))
        total[~np.isfinite(to_world[:, 0, 0])] = np.inf
        closer = total < best
        out[closer], best[closer] = to_world[closer], total[closer]
    return out
