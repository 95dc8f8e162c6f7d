"""Reading and writing poses, against plain pandas."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from anipipe.formats.importing import import_pose
from anipipe.formats.poses2d import Pose2D, read_pose_2d, write_pose_2d
from anipipe.formats.poses3d import Pose3D, pose_3d_columns, read_pose_3d, write_pose_3d
from anipipe.formats.tables import read_angles, write_angles
from benchmarks.measure import REPEATS, best, show

FRAMES, JOINTS, ANGLES = 5000, 15, 12


def run() -> None:
    """Time each pair on the same data, and print seconds."""
    with tempfile.TemporaryDirectory(prefix="anipipe-formats-") as folder:
        pairs = [*_poses_2d(Path(folder)), *_poses_3d(Path(folder)), *_angles(Path(folder))]
        rows = []
        for name, ours, plain in pairs:
            mine, other = best(ours), best(plain)
            rows.append([name, f"{1000 * mine:.1f}", f"{1000 * other:.1f}", f"{other / mine:.2f}"])
    show(
        f"formats: {FRAMES} frames, {JOINTS} joints, {ANGLES} angles; ms, best of {REPEATS};\n"
        "ratio: how much faster than pandas",
        ["", "anipipe", "pandas", "ratio"],
        rows,
    )


Pair = tuple[str, Callable[[], object], Callable[[], object]]


def _poses_2d(folder: Path) -> list[Pair]:
    rng = np.random.default_rng(3)
    joints = tuple(f"joint{number}" for number in range(JOINTS))
    pose = Pose2D(
        joints, rng.uniform(0, 1000, (FRAMES, JOINTS, 1, 2)), rng.random((FRAMES, JOINTS, 1)), "net"
    )
    columns = pd.MultiIndex.from_product(
        [["net"], joints, ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
    )
    cells = np.concatenate([pose.points[:, :, 0], pose.scores], axis=-1).reshape(FRAMES, -1)
    frame = pd.DataFrame(cells, columns=columns)
    ours, plain, text = folder / "ours.h5", folder / "plain.h5", folder / "clipDLC_net.csv"
    frame.to_csv(text)

    def write_plain() -> None:
        frame.to_hdf(plain, key="df_with_missing", format="table", mode="w")

    write_pose_2d(pose, ours)
    write_plain()
    return [
        ("2D h5, write", lambda: write_pose_2d(pose, ours), write_plain),
        ("2D h5, read", lambda: read_pose_2d(ours), lambda: pd.read_hdf(plain)),
        (
            "2D csv of DeepLabCut, read",
            lambda: import_pose([text]),
            lambda: pd.read_csv(text, header=[0, 1, 2], index_col=0),
        ),
    ]


def _poses_3d(folder: Path) -> list[Pair]:
    rng = np.random.default_rng(4)
    joints = tuple(f"joint{number}" for number in range(JOINTS))
    shape = (FRAMES, JOINTS)
    pose = Pose3D(
        joints, rng.normal(0, 100, (*shape, 3)), rng.random(shape), np.full(shape, 3.0), rng.random(shape)
    )
    per_joint = np.concatenate([pose.points, np.stack([pose.error, pose.ncams, pose.score], -1)], axis=-1)
    constant = np.broadcast_to([*pose.rotation.ravel(), *pose.center], (FRAMES, 12))
    names = pose_3d_columns(joints)
    frame = pd.DataFrame(np.hstack([per_joint.reshape(FRAMES, -1), constant]), columns=names[:-1])
    frame[names[-1]] = np.arange(FRAMES)
    ours, plain = folder / "ours-3d.csv", folder / "plain-3d.csv"
    write_pose_3d(pose, ours)
    frame.to_csv(plain, index=False)
    return [
        ("3D csv, write", lambda: write_pose_3d(pose, ours), lambda: frame.to_csv(plain, index=False)),
        ("3D csv, read", lambda: read_pose_3d(ours), lambda: pd.read_csv(plain)),
    ]


def _angles(folder: Path) -> list[Pair]:
    rng = np.random.default_rng(5)
    values = {f"angle{number}": rng.uniform(0, 180, FRAMES) for number in range(ANGLES)}
    frame = pd.DataFrame({**values, "fnum": np.arange(FRAMES)})
    ours, plain = folder / "ours-angles.csv", folder / "plain-angles.csv"
    write_angles(values, ours)
    frame.to_csv(plain, index=False)
    return [
        ("angles csv, write", lambda: write_angles(values, ours), lambda: frame.to_csv(plain, index=False)),
        ("angles csv, read", lambda: read_angles(ours), lambda: pd.read_csv(plain)),
    ]
