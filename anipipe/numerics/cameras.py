"""Cameras, rigs of cameras, and the way from points in space to pixels and back.

A camera looks along +z of its own frame, x to the right and y downwards (OpenCV's convention). Its pose is
*world_to_camera*: ``x_camera = R x_world + t``, R given as a Rodrigues vector. Pixel (0, 0) is the centre of
the upper left pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from anipipe.errors import DataError
from anipipe.numerics.lenses import Floats, distort, slopes, slopes_by_coefficients, straighten


@dataclass(frozen=True, eq=False)
class Camera:
    """One calibrated camera; the arrays are copied, checked and made read-only.

    Parameters
    ----------
    name
        What the videos call it; cameras are matched by it, never by position.
    size
        Width and height of the calibration's images in pixels, or None where unknown.
    matrix
        (3, 3) intrinsics in pixels, without skew (OpenCV's models have none).
    distortions
        (5,) or (4,) ``k1, k2, p1, p2[, k3]``; (4,) ``k1 .. k4`` for a fisheye lens.
    rotation
        (3,) Rodrigues vector, world_to_camera, radians.
    translation
        (3,) world_to_camera, in the board's length unit.
    fisheye
        Whether the lens follows OpenCV's fisheye model.

    Raises
    ------
    DataError
        If an array has another shape, is not finite, or the matrix has skew or no positive focal length.
    """

    name: str
    size: tuple[int, int] | None
    matrix: Floats
    distortions: Floats
    rotation: Floats
    translation: Floats
    fisheye: bool = False

    def __post_init__(self) -> None:
        lengths = (4,) if self.fisheye else (5, 4)
        shapes: dict[str, tuple[tuple[int, ...], ...]] = {
            "matrix": ((3, 3),),
            "distortions": tuple((length,) for length in lengths),
            "rotation": ((3,),),
            "translation": ((3,),),
        }
        for key, allowed in shapes.items():
            value = np.array(getattr(self, key), dtype=np.float64)
            if key != "matrix":
                value = value.ravel()
            if value.shape not in allowed:
                expected = " or ".join(str(shape) for shape in allowed)
                raise DataError(f"camera {self.name!r}: {key} has shape {value.shape}, expected {expected}")
            if not np.isfinite(value).all():
                raise DataError(f"camera {self.name!r}: {key} holds values that are not finite")
            if key == "distortions" and not self.fisheye:
                value = np.concatenate([value, np.zeros(5 - len(value))])
            value.setflags(write=False)
            object.__setattr__(self, key, value)
        if self.size is not None:
            object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))
        fx, fy = self.matrix[0, 0], self.matrix[1, 1]
        if not (fx > 0 and fy > 0):
            raise DataError(f"camera {self.name!r}: the focal lengths {fx}, {fy} must be positive")
        rest = np.array([self.matrix[0, 1], self.matrix[1, 0], *self.matrix[2] - (0, 0, 1)])
        if np.abs(rest).max() > 1e-9 * fx:
            raise DataError(
                f"camera {self.name!r}: the matrix must read [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] (no skew)"
            )

    @cached_property
    def rotation_matrix(self) -> Floats:
        """(3, 3) rotation, world_to_camera."""
        return rodrigues(self.rotation)

    @cached_property
    def extrinsics(self) -> Floats:
        """(3, 4) ``[R | t]``: projection to normalised coordinates."""
        return np.column_stack([self.rotation_matrix, self.translation])

    @cached_property
    def projection(self) -> Floats:
        """(3, 4) ``K [R | t]``: projection to pixels, were there no distortion."""
        return np.asarray(self.matrix @ self.extrinsics)

    @cached_property
    def centre(self) -> Floats:
        """(3,) the camera's place in the world, in the board's length unit."""
        return np.asarray(-self.rotation_matrix.T @ self.translation)


@dataclass(frozen=True, eq=False)
class Rig:
    """The cameras of one calibration, told apart by their names.

    Parameters
    ----------
    cameras
        In the order in which arrays hold them along their first axis.
    metadata
        What else the calibration says (error, units, ..); not used here.

    Raises
    ------
    DataError
        If two cameras have one name.
    """

    cameras: tuple[Camera, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cameras", tuple(self.cameras))
        double = sorted({name for name in self.names if self.names.count(name) > 1})
        if double:
            raise DataError(f"the calibration names a camera more than once: {', '.join(double)}")

    def __len__(self) -> int:
        return len(self.cameras)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras, in order."""
        return tuple(camera.name for camera in self.cameras)

    def camera(self, name: str) -> Camera:
        """Return the camera of that name.

        Raises
        ------
        DataError
            If there is none; the message lists those that there are.
        """
        return self.subset([name]).cameras[0]

    def subset(self, names: Iterable[str]) -> Rig:
        """Return a rig of the cameras of these names, in their order.

        Raises
        ------
        DataError
            If some are missing; the message lists the missing ones and those that there are.
        """
        wanted = list(names)
        known = {camera.name: camera for camera in self.cameras}
        missing = [name for name in wanted if name not in known]
        if missing:
            there = ", ".join(self.names) or "no cameras"
            raise DataError(f"not in the calibration: camera {', '.join(missing)}; it has {there}")
        return Rig(tuple(known[name] for name in wanted), self.metadata)


def rodrigues(vector: ArrayLike) -> Floats:
    """Turn a rotation vector into a matrix (Rodrigues' formula).

    Parameters
    ----------
    vector
        (3,) axis times angle, radians.

    Returns
    -------
    (3, 3) rotation matrix.
    """
    x, y, z = (float(value) for value in np.asarray(vector, dtype=np.float64).ravel())
    angle = float(np.sqrt(x * x + y * y + z * z))
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # np.sinc keeps both quotients exact at 0: sin(a)/a and (1 - cos(a))/a^2 = 2 (sin(a/2)/a)^2.
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def apply_matrix(matrix: Floats, points: Floats) -> Floats:
    """Multiply each point by a matrix, element by element.

    A BLAS product rounds differently for different numbers of points; this one does not, so that a recording
    gives the same bytes alone and among others.

    Parameters
    ----------
    matrix
        (3, 3).
    points
        (..., 3).

    Returns
    -------
    ``matrix @ point``, (..., 3).
    """
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix], axis=-1)


def project(points: ArrayLike, camera: Camera) -> Floats:
    """Project points to a camera's image.

    Parameters
    ----------
    points
        World coordinates, (..., 3), in the board's length unit.
    camera
        The camera.

    Returns
    -------
    Pixels, (..., 2); NaN where the point is, and for points in the plane of the camera's centre. As in
    OpenCV, a point behind the camera is projected through its centre and the image has no border.
    """
    world = np.asarray(points, dtype=np.float64)
    rotated = apply_matrix(camera.rotation_matrix, world)
    tx, ty, tz = camera.translation
    depth = rotated[..., 2] + tz
    depth = np.where(depth == 0, np.nan, depth)
    x, y = distort(
        (rotated[..., 0] + tx) / depth,
        (rotated[..., 1] + ty) / depth,
        camera.distortions,
        fisheye=camera.fisheye,
    )
    fx, fy, cx, cy = camera.matrix[[0, 1, 0, 1], [0, 1, 2, 2]]
    return np.stack([x * fx + cx, y * fy + cy], axis=-1)


def project_with_slopes(points: ArrayLike, camera: Camera) -> tuple[Floats, Floats]:
    """Project points, and differentiate their pixels by their places.

    Parameters
    ----------
    points
        World coordinates, (..., 3).
    camera
        The camera.

    Returns
    -------
    pixels
        (..., 2), as :func:`project` gives them.
    by_point
        (2, 3, ...): change of pixel coordinate i with world coordinate k, px per length unit.
    """
    pixels, by_place, _ = _differentiated(points, camera, whole=False)
    return pixels, _turned(by_place, camera.rotation_matrix)


def project_with_jacobians(points: ArrayLike, camera: Camera) -> tuple[Floats, Floats, Floats, Floats]:
    """Project points, and differentiate their pixels by all that they depend on.

    Parameters
    ----------
    points
        World coordinates, (..., 3).
    camera
        The camera.

    Returns
    -------
    pixels
        (..., 2), as :func:`project` gives them.
    by_point
        (2, 3, ...), by the world coordinates.
    by_pose
        (2, 6, ...), by a small turn w of the camera, ``R -> exp([w]x) R`` (radians), and by its translation.
    by_lens
        (2, 4 + coefficients, ...), by fx, fy, cx, cy and the distortion's coefficients in their order.
    """
    pixels, by_place, by_lens = _differentiated(points, camera, whole=True)
    x, y, z = np.moveaxis(apply_matrix(camera.rotation_matrix, np.asarray(points, dtype=np.float64)), -1, 0)
    # d (exp([w]x) R X) / d w = -[R X]x
    dx, dy, dz = by_place[:, 0], by_place[:, 1], by_place[:, 2]
    by_turn = np.stack([dz * y - dy * z, dx * z - dz * x, dy * x - dx * y], axis=1)
    by_pose = np.concatenate([by_turn, by_place], axis=1)
    return pixels, _turned(by_place, camera.rotation_matrix), by_pose, by_lens


def _turned(by_place: Floats, rotation: Floats) -> Floats:
    """Turn slopes by camera coordinates into slopes by world coordinates, element by element."""
    dx, dy, dz = by_place[:, 0], by_place[:, 1], by_place[:, 2]
    return np.stack(
        [dx * rotation[0, k] + dy * rotation[1, k] + dz * rotation[2, k] for k in range(3)], axis=1
    )


def _differentiated(points: ArrayLike, camera: Camera, *, whole: bool) -> tuple[Floats, Floats, Floats]:
    """Return pixels (..., 2), their slopes by camera coordinates (2, 3, ...), and, if whole, by the lens."""
    placed = apply_matrix(camera.rotation_matrix, np.asarray(points, dtype=np.float64)) + camera.translation
    depth = np.where(placed[..., 2] == 0, np.nan, placed[..., 2])
    x, y = placed[..., 0] / depth, placed[..., 1] / depth
    lens, fisheye = camera.distortions, camera.fisheye
    bent_x, bent_y = distort(x, y, lens, fisheye=fisheye)
    xx, xy, yy = slopes(x, y, lens, fisheye=fisheye)
    fx, fy, cx, cy = camera.matrix[[0, 1, 0, 1], [0, 1, 2, 2]]
    pixels = np.stack([bent_x * fx + cx, bent_y * fy + cy], axis=-1)
    inward = [-(xx * x + xy * y), -(xy * x + yy * y)]
    by_place = np.stack(
        [np.stack([fx * xx, fx * xy, fx * inward[0]]), np.stack([fy * xy, fy * yy, fy * inward[1]])]
    )
    by_place /= depth
    if not whole:
        return pixels, by_place, np.empty(0)
    slopes_x, slopes_y = slopes_by_coefficients(x, y, count=len(lens), fisheye=fisheye)
    zero, one = np.zeros_like(x), np.ones_like(x)
    by_lens = np.stack(
        [
            np.stack([bent_x, zero, one, zero, *(fx * slope for slope in slopes_x)]),
            np.stack([zero, bent_y, zero, one, *(fy * slope for slope in slopes_y)]),
        ]
    )
    return pixels, by_place, by_lens


def undistort(pixels: ArrayLike, camera: Camera) -> Floats:
    """Turn pixels into the rays that they look along.

    Parameters
    ----------
    pixels
        (..., 2).
    camera
        The camera.

    Returns
    -------
    Normalised coordinates ``(X / Z, Y / Z)`` in the camera's frame, (..., 2); NaN where a pixel is not finite
    in both coordinates or the lens model reaches it by no ray (see
    :func:`anipipe.numerics.lenses.straighten`).
    """
    image = np.asarray(pixels, dtype=np.float64)
    fx, fy, cx, cy = camera.matrix[[0, 1, 0, 1], [0, 1, 2, 2]]
    x, y = (image[..., 0].ravel() - cx) / fx, (image[..., 1].ravel() - cy) / fy
    bad = ~(np.isfinite(x) & np.isfinite(y))
    x, y = np.where(bad, np.nan, x), np.where(bad, np.nan, y)
    x, y = straighten(x, y, camera.distortions, fisheye=camera.fisheye)
    return np.stack([x, y], axis=-1).reshape(image.shape)
