"""A lab with little recordings, in which every kind of job but that of calibrating has something to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from anipipe.formats.calibrations import write_calibration
from anipipe.numerics.cameras import Rig, project
from tests.conftest import make_rig, motion, write_dlc_csv
from tests.formats.videos import colourful, record
from tests.pipeline.models import JOINTS, write_model

SIZE = (160, 120)
CONFIG = """\
project = "films"

[filter]
enabled = true
type = "medfilt"
medfilt = 3

[filter3d]
enabled = true

[triangulation]
cam_regex = '_([A-Z])$'
score_threshold = 0.5

[angles]
back = ["nose", "neck", "tail"]

[labeling]
scheme = [["nose", "neck", "tail"]]
preset = "ultrafast"
"""
DRAWN = ("label-2d", "label-2d-filter", "project-2d", "label-2d-proj", "label-3d", "label-combined")
FILMS = f"pictures = {list(DRAWN)}\n"


def small_rig(names: str) -> Rig:
    """Cameras whose pictures are of SIZE."""
    matrix = np.array([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
    cameras = make_rig(tuple(names)).cameras
    return Rig(tuple(replace(camera, size=SIZE, matrix=matrix) for camera in cameras), {})


def film_lab(
    root: Path, sessions: Sequence[str], *, frames: int = 6, cameras: str = "AB", pictures: str = FILMS
) -> Path:
    """Make an experiment: in each session one trial, filmed by all cameras, with predictions."""
    rig = small_rig(cameras)
    for seed, session in enumerate(sessions):
        truth = motion(frames, seed, JOINTS)
        for camera in rig.cameras:
            film(root / session, camera.name, frames)
            predicted = root / session / f"predictions/t_{camera.name}DLC_net_x1.csv"
            write_dlc_csv(predicted, project(truth, camera), JOINTS)
    (root / "config.toml").write_text(CONFIG + pictures)
    (root / "calibration").mkdir()
    write_calibration(rig, root / "calibration/calibration.toml")
    return root


def film(session: Path, camera: str, frames: int) -> None:
    """Record something."""
    path = session / f"videos-raw/t_{camera}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    record(path, frames, size=SIZE, paint=lambda number, size: colourful(number % 12, size))


def add_network_session(root: Path, session: str, *, frames: int = 6) -> None:
    """Add a trial with one camera, whose poses a network finds."""
    write_model(root / "networks/mouse", JOINTS)
    film(root / session, "A", frames)
    (root / session / "config.toml").write_text(
        "model_folder = 'networks/mouse'\ntriangulation.triangulate = false\n"
    )


def files(root: Path) -> dict[str, bytes]:
    """Everything but anipipe's own notes, by path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".anipipe" not in path.parts
    }
