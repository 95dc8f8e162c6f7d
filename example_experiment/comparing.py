"""How far what anipipe made of the example is from the truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from warnings import catch_warnings

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from anipipe.config import Resolved
from anipipe.config.schema import Config
from anipipe.errors import AnipipeError, Notice
from anipipe.formats.board_detections import read_board_detections
from anipipe.formats.poses2d import Pose2D, read_pose_2d
from anipipe.formats.poses3d import Pose3D, read_pose_3d
from anipipe.formats.tables import read_angles
from anipipe.numerics.alignment import unstandardise
from anipipe.numerics.angles import compute_angles
from anipipe.numerics.boards.geometry import make_board
from anipipe.numerics.calibration.solver import calibrate
from anipipe.numerics.calibration.start import Wish
from anipipe.numerics.calibration.views import pair_views
from anipipe.numerics.cameras import Rig, apply_matrix, project
from anipipe.stages.pose_3d import TriangulationOptions, triangulate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cameras:
    """How far found cameras are from the true ones.

    Attributes
    ----------
    names : tuple of str
    focal : ndarray
        (cameras,), per cent.
    axis : ndarray
        (cameras,), where the optical axis meets the picture, px.
    place : ndarray
        (cameras,), mm, after they were laid on the true ones.
    apart : dict
        Error of the distance between two cameras, mm.
    turn, shift : ndarray
        (3, 3), (3,): what lays them on the true ones, ``turn @ x + shift``.
    """

    names: tuple[str, ...]
    focal: Floats
    axis: Floats
    place: Floats
    apart: dict[str, float]
    turn: Floats
    shift: Floats


def compare_cameras(found: Rig, true: Rig) -> Cameras:
    """Compare cameras by name."""
    true = true.subset(found.names)
    one, other = (np.array([camera.centre for camera in rig.cameras]) for rig in (found, true))
    middle, goal = one.mean(axis=0), other.mean(axis=0)
    turn = Rotation.align_vectors(other - goal, one - middle)[0].as_matrix()
    matrices = [np.array([camera.matrix for camera in rig.cameras]) for rig in (found, true)]
    focals = [matrix[:, 0, 0] for matrix in matrices]
    pairs = [(i, j) for i in range(len(found)) for j in range(i)]
    return Cameras(
        names=found.names,
        focal=100 * np.abs(focals[0] / focals[1] - 1),
        axis=np.linalg.norm(matrices[0][:, :2, 2] - matrices[1][:, :2, 2], axis=1),
        place=np.linalg.norm((one - middle) @ turn.T - (other - goal), axis=1),
        apart={
            f"{found.names[j]}-{found.names[i]}": float(
                abs(np.linalg.norm(one[i] - one[j]) - np.linalg.norm(other[i] - other[j]))
            )
            for i, j in pairs
        },
        turn=turn,
        shift=goal - turn @ middle,
    )


def calibrate_exactly(folder: Path, config: Config, true: Rig) -> Rig:
    """Calibrate with the corners that were found, but where they truly were."""
    settings = config.calibration
    board = make_board(
        settings.board_type,
        settings.board_size,
        square=settings.board_square_side_length,
        marker=settings.board_marker_length,
        dictionary=settings.board_dictionary,
    )
    found = [
        read_board_detections(path) for path in sorted((folder / "calibration/detections").glob("*.csv"))
    ]
    views = pair_views(found, len(board.points))
    poses = np.loadtxt(folder / "truth" / "board.csv", delimiter=",", skiprows=1)[:, 1:]
    exact = np.full_like(views.pixels, np.nan)
    for index, (_, number) in enumerate(views.instants):
        points = Rotation.from_rotvec(poses[number, :3]).apply(board.points) + poses[number, 3:]
        exact[:, index] = [project(points, true.camera(name)) for name in views.cameras]
    exact[~views.seen] = np.nan
    return calibrate(replace(views, pixels=exact), board.points, wish=Wish(axis=True)).rig


@dataclass(frozen=True)
class Trial:
    """How far a trial's results are from the truth.

    Attributes
    ----------
    name : str
    joints : tuple of str
    pixels : ndarray
        (cameras, frames, joints), of the network's points with a score of at least the threshold; px.
    unsure : float
        Share of its points with a lower score.
    filtered : ndarray
        The same of all points after the filter.
    places : ndarray
        (frames, joints), of the points in 3D; mm.
    exact : ndarray
        The same of exact 2D points.
    body : float
        Median length of the body, mm.
    angles : dict
        (frames,) of each angle, of the results and of exact 2D points; degrees.
    """

    name: str
    joints: tuple[str, ...]
    pixels: Floats
    unsure: float
    filtered: Floats
    places: Floats
    exact: Floats
    body: float
    angles: dict[str, tuple[Floats, Floats]]


def load(folder: Path, session: str, name: str, resolved: Resolved, found: Rig, true: Rig) -> Trial:
    """Read a trial's results and compare them with the truth."""
    settings, views = resolved.config, []
    result = read_pose_3d(folder / session / "pose-3d" / f"{name}.csv")
    points = _read_truth(folder / "truth" / session / f"{name}.csv", result.joints)
    if len(points) != len(result.points):
        raise AnipipeError(f"{session}/{name}: {len(result.points)} frames in 3D, {len(points)} in truth")
    laid = compare_cameras(found, true)
    exact_pixels = np.stack([project(points, camera) for camera in true.subset(found.names).cameras])
    off, unsure, filtered = [], [], []
    for camera, there in zip(found.names, exact_pixels, strict=True):
        own = settings.cameras.get(camera)
        corner = np.array((own and own.offset) or (0, 0))
        whole = (there - corner)[:, :, None]
        views.append(Pose2D(result.joints, whole, np.ones(whole.shape[:-1]), "truth", camera=camera))
        for kind, gathered in (("pose-2d", off), ("pose-2d-filtered", filtered)):
            seen = read_pose_2d(folder / session / kind / f"{name}-cam{camera}.h5")
            order = [seen.joints.index(joint) for joint in result.joints]
            distance = np.linalg.norm(seen.points[:, order, 0] + corner - there, axis=-1)
            if kind == "pose-2d":
                sure = seen.scores[:, order, 0] >= settings.triangulation.score_threshold
                unsure.append(1 - sure.mean())
                distance = np.where(sure, distance, np.nan)
            gathered.append(distance)
    body = points[:, result.joints.index("nose")] - points[:, result.joints.index("tail_base")]
    with catch_warnings(action="ignore", category=Notice):
        ideal = triangulate(views, found, options=TriangulationOptions.of(resolved))
    back, exact = (unstandardise(one.points, one.rotation, one.center) for one in (result, ideal))
    definitions = {name: list(value) for name, value in settings.angles.items()}
    return Trial(
        name=f"{session}/{name}",
        joints=result.joints,
        pixels=np.array(off),
        unsure=float(np.mean(unsure)),
        filtered=np.array(filtered),
        places=np.linalg.norm(_lay(back, laid) - points, axis=-1),
        exact=np.linalg.norm(_lay(exact, laid) - points, axis=-1),
        body=float(np.median(np.linalg.norm(body, axis=-1))),
        angles=_angle_errors(
            read_angles(folder / session / "angles" / f"{name}.csv"),
            result,
            (points - laid.shift) @ laid.turn,
            exact,
            definitions,
        ),
    )


def _lay(points: Floats, laid: Cameras) -> Floats:
    return points @ laid.turn.T + laid.shift


def _read_truth(path: Path, joints: Iterable[str]) -> Floats:
    """Return the true points of these joints, (frames, joints, 3)."""
    with path.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    columns = [[names.index(f"{joint}_{axis}") for axis in "xyz"] for joint in joints]
    return values[:, columns]


def _angle_errors(
    measured: dict[str, Floats],
    result: Pose3D,
    true: Floats,
    exact: Floats,
    definitions: dict[str, list[str]],
) -> dict[str, tuple[Floats, Floats]]:
    """Return how far measured angles, and those of exact 2D points, are from the true ones, degrees."""

    def angles(points: Floats) -> dict[str, Floats]:
        # Some kinds of angles count from the axes, so the truth is brought to the result's.
        placed = apply_matrix(result.rotation, points) - result.center
        names, values = compute_angles(placed, result.joints, definitions)
        return dict(zip(names, values.T, strict=True))

    wanted, ideal = angles(true), angles(exact)
    lacking = [name for name in wanted if name not in measured]
    if lacking:
        raise AnipipeError(f"the angles {', '.join(lacking)} are missing")
    return {
        name: (_turn(measured[name] - values), _turn(ideal[name] - values)) for name, values in wanted.items()
    }


def _turn(difference: Floats) -> Floats:
    """Return differences of directions without sign, 0 to 180 degrees."""
    return np.abs((difference + 180) % 360 - 180)
