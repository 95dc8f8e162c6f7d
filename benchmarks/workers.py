"""How much quicker two workers are than one, on stages that take processors."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from anipipe.formats.calibrations import write_calibration
from anipipe.numerics.cameras import project
from benchmarks.measure import process, show
from benchmarks.rigs import around

CAMERAS, FRAMES, SESSIONS, JOINTS = 3, 5000, 40, tuple(f"joint{number}" for number in range(8))
AIM = 1.8
CONFIG = """\
model_type = "import"

[triangulation]
cam_regex = "-cam([0-9])$"
optim = true
constraints = [["joint0", "joint1"], ["joint1", "joint2"], ["joint2", "joint3"]]

[labeling]
pictures = []
"""


def run() -> None:
    """Print the wall time of a stage that takes processors, with one worker and with two."""
    how = [("in one process", ["-j1"]), ("two processes", ["-j2"])]
    if importlib.util.find_spec("distributed"):
        how.append(("Dask, two workers", ["-j2", "--executor", "dask"]))
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="anipipe-workers-") as name:
        made = Path(name) / "made"
        make(made)
        process([sys.executable, "-m", "anipipe.cli", "pose-2d", "-j2", made], Path(name) / "log")
        alone = 0.0
        for label, options in how:
            root = Path(name) / "lab"
            shutil.copytree(made, root)
            ended = process(
                [sys.executable, "-m", "anipipe.cli", "pose-3d", *options, root], Path(name) / "log"
            )
            if ended.status:
                print(f"warning: exit status {ended.status}: {ended.output[-500:]}")
            alone = alone or ended.seconds
            jobs = ended.output.strip().rpartition("\n")[2].partition(",")[0]
            rows.append([label, jobs, f"{ended.seconds:.1f}", f"{alone / ended.seconds:.2f}"])
            shutil.rmtree(root)
    show(
        f"workers: {SESSIONS} sessions of {CAMERAS} cameras, {FRAMES} frames, {len(JOINTS)} joints:\n"
        f"pose-3d with optimisation in time; aim for two workers: {AIM} times one, their start included",
        ["", "", "s", "times one"],
        rows,
    )


def make(root: Path) -> None:
    """Write an experiment of joints that move smoothly, seen with noise."""
    rng = np.random.default_rng(2)
    rig = around(CAMERAS)
    (root / "calibration").mkdir(parents=True)
    write_calibration(rig, root / "calibration" / "calibration.toml")
    (root / "config.toml").write_text(CONFIG, encoding="utf-8")
    columns = [f"{joint}_{part}" for joint in JOINTS for part in ("x", "y", "likelihood")]
    header = [["scorer", *["DLC"] * len(columns)], ["bodyparts"], ["coords"]]
    for column in columns:
        joint, _, part = column.partition("_")
        header[1].append(joint)
        header[2].append(part)
    top = "\n".join(",".join(row) for row in header)
    for number in range(SESSIONS):
        folder = root / f"session-{number}" / "predictions"
        folder.mkdir(parents=True)
        start = rng.uniform(-60, 60, (1, len(JOINTS), 3))
        points = start + np.cumsum(rng.normal(scale=0.5, size=(FRAMES, len(JOINTS), 3)), axis=0)
        for index, camera in enumerate(rig.cameras):
            pixels = project(points, camera) + rng.normal(size=(FRAMES, len(JOINTS), 2))
            cells = np.dstack([pixels.round(2), np.full(pixels.shape[:2], 0.9)]).reshape(FRAMES, -1)
            lines = [f"{frame}," + ",".join(map(str, row.tolist())) for frame, row in enumerate(cells)]
            (folder / f"walk-cam{index}DLC_x.csv").write_text(
                "\n".join([top, *lines]) + "\n", encoding="utf-8"
            )
