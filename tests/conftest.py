"""Small synthetic experiments for the tests."""

from __future__ import annotations

import contextlib
import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from anipipe.cli import invoke
from anipipe.formats.calibrations import write_calibration
from anipipe.numerics.cameras import Camera, Rig, project

JOINTS = ("nose", "neck", "hip", "tail")


def make_rig(names: tuple[str, ...] = ("A", "B", "C")) -> Rig:
    """Cameras on a circle around the origin, looking at it."""
    cameras = []
    for index, name in enumerate(names):
        angle = 0.5 + index * 1.1
        cameras.append(
            Camera(
                name=name,
                size=(640, 480),
                matrix=np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]),
                distortions=np.array([-0.1, 0, 0, 0, 0]),
                rotation=np.array([0.0, angle, 0.0]),
                translation=np.array([0.0, 0.0, 400.0]),
            )
        )
    return Rig(tuple(cameras), {})


def motion(frames: int, seed: int, joints: tuple[str, ...] = JOINTS) -> np.ndarray:
    """Smooth positions of joints in mm, (frames, joints, 3)."""
    rng = np.random.default_rng(seed)
    start = rng.normal(scale=30, size=(1, len(joints), 3))
    return start + np.cumsum(rng.normal(scale=0.5, size=(frames, len(joints), 3)), axis=0)


def write_dlc_csv(
    path: Path, points: np.ndarray, joints: tuple[str, ...] = JOINTS, scores: np.ndarray | None = None
) -> None:
    """A prediction as DeepLabCut writes it; ``points`` is (frames, joints, 2)."""
    scores = np.full(points.shape[:2], 0.95) if scores is None else scores
    lines = ["scorer" + ",net" * (3 * len(joints))]
    lines.append("bodyparts," + ",".join(f"{joint},{joint},{joint}" for joint in joints))
    lines.append("coords" + ",x,y,likelihood" * len(joints))
    for frame, (xy, score) in enumerate(zip(points, scores, strict=True)):
        cells = [f"{x!r},{y!r},{p!r}" for (x, y), p in zip(xy.tolist(), score.tolist(), strict=True)]
        lines.append(f"{frame}," + ",".join(cells))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


CONFIG = """\
project = "test"
labeling.pictures = []

[triangulation]
cam_regex = '_([A-Z])$'
score_threshold = 0.5

[angles]
back = ["nose", "neck", "hip"]
tail = ["neck", "hip", "tail"]
"""


#: Commands that run no jobs.
NO_JOBS = ("status", "config", "init", "adopt", "clean", "runs", "log", "draw-board", "calibration")


@dataclass
class Lab:
    """An experiment on disk with its truth."""

    root: Path
    rig: Rig
    truth: dict[str, np.ndarray] = field(default_factory=dict)

    def run(self, *arguments: str, check: int | None = 0) -> str:
        """Run a command in the experiment's folder; return all that it printed.

        In this process and serially, unless the arguments say otherwise: that is quickest.
        """
        command = arguments[0]
        if command not in NO_JOBS and not any(a.startswith("-j") for a in arguments):
            arguments = (*arguments, "-j1")
        printed = io.StringIO()
        with contextlib.chdir(self.root), redirect_stdout(printed), redirect_stderr(printed):
            status = invoke(arguments)
        if check is not None:
            assert status == check, printed.getvalue()
        return printed.getvalue()

    def add_session(self, name: str, trials: tuple[str, ...] = ("t1",), frames: int = 6) -> None:
        for trial in trials:
            truth = motion(frames, seed=sum(map(ord, name + trial)))
            self.truth[f"{name}/{trial}"] = truth
            for camera in self.rig.cameras:
                path = self.root / name / "predictions" / f"{trial}_{camera.name}DLC_net_x1.csv"
                write_dlc_csv(path, project(truth, camera))

    def files(self, *folders: str) -> dict[str, bytes]:
        """Everything but anipipe's own notes, by path."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".anipipe" not in path.parts
        }


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two groups, three sessions, four trials, one shared calibration, one override in the last session."""
    return make_lab(tmp_path / "experiment")


def make_lab(root: Path) -> Lab:
    rig = make_rig()
    lab = Lab(root, rig)
    lab.add_session("control/mouse1", ("t1", "t2"))
    lab.add_session("control/mouse2")
    lab.add_session("treated/mouse3")
    (root / "config.toml").write_text(CONFIG)
    (root / "treated/mouse3/config.toml").write_text("[triangulation]\nscore_threshold = 0.4\n")
    (root / "calibration").mkdir()
    write_calibration(rig, root / "calibration/calibration.toml")
    return lab
