"""Two sessions with videos, recordings of the board and predictions: everything in one run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anipipe.formats.poses3d import read_pose_3d
from anipipe.numerics.cameras import Rig
from tests.conftest import Lab
from tests.pipeline.test_redo import last_report, whole
from tests.real.videos import cut

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real recordings in {DATA}")
MOUSE = DATA / "mouse-4cam"
CONFIG = """\
project = "mouse"

[calibration]
board_type = "charuco"
board_size = [8, 11]
board_square_side_length = 24.0
board_marker_length = 18.75
board_marker_bits = 4
board_marker_dict_number = 1000

[filter]
enabled = true
medfilt = 5
score_threshold = 0.1

[triangulation]
cam_regex = '_(back|mid|side|top)$'
score_threshold = 0.1

[angles]
neck = ["Nose", "Neck", "Trunk"]
"""
CAMERAS = ("back", "mid", "side", "top")
TABLES = whole("2d-filter", "3d", "angles", "errors") - {"summarize-2d-filter-csv"}


@pytest.fixture(scope="module")
def mice(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    root = tmp_path_factory.mktemp("whole") / "mice"
    for session in ("s1", "s2"):
        shutil.copytree(MOUSE / "videos-raw", root / session / "videos-raw")
        (root / session / "predictions").mkdir()
        for path in (MOUSE / "predictions").glob("*.analysis.h5"):
            shutil.copy(path, root / session / "predictions")
    (root / "calibration").mkdir()
    for video in (MOUSE / "calibration").iterdir():
        cut(video, root / "calibration" / video.name, frames=12)
    (root / "config.toml").write_text(CONFIG)
    (root / "s2/config.toml").write_text("[filter]\nmedfilt = 7\n")
    lab = Lab(root, Rig((), {}))
    lab.run("run-data", "-j2")
    return lab


def jobs(lab: Lab, *arguments: str) -> set[str]:
    lab.run("run-data", "-j2", *arguments)
    return last_report(lab)


def test_boards_are_detected_and_the_calibration_is_good(mice: Lab):
    report = json.loads((mice.root / "calibration/report.json").read_text())
    assert report["overall"]["kept"]["median"] <= 0.235
    assert 0 < report["overall"]["median"] < report["overall"]["mean"] < 0.3
    assert set(report["cameras"]) == set(CAMERAS)
    assert all(camera["corners"] > 700 for camera in report["cameras"].values())


def test_limbs_angles_and_tables(mice: Lab):
    for session in ("s1", "s2"):
        pose = read_pose_3d(mice.root / session / "pose-3d/mouse.csv")

        def length(a: str, b: str, pose=pose) -> float:
            there = pose.points[:, pose.joints.index(a)] - pose.points[:, pose.joints.index(b)]
            return float(np.nanmedian(np.linalg.norm(there, axis=-1)))

        assert len(pose.points) == 120
        assert length("Nose", "TTI") == pytest.approx(74.9, abs=1)
        assert length("Ear_L", "Ear_R") == pytest.approx(26.8, abs=1)
        assert length("TTI", "TailTip") == pytest.approx(90.0, abs=1)
    for table in ("pose_3d", "angles", "errors"):
        rows = pd.read_csv(mice.root / f"summaries/{table}.csv")
        assert list(rows.groupby("folder_1").size()) == [120, 120]
    for table in ("pose_2d", "pose_2d_filtered"):
        assert len(pd.read_parquet(mice.root / f"summaries/{table}.parquet")) == 2 * 4 * 120
    errors = pd.read_csv(mice.root / "summaries/errors.csv")
    assert errors.filter(like="_filled").to_numpy().mean() < 0.2


def test_a_second_run_does_nothing(mice: Lab):
    assert jobs(mice) == set()


def test_a_filter_key_redoes_the_filter_and_what_follows_but_no_calibration(mice: Lab):
    (mice.root / "s2/config.toml").write_text("[filter]\nmedfilt = 7\nscore_threshold = 0.8\n")
    trial = {f"{stage} s2/mouse" for stage in ("pose-3d", "angles")}
    tables = {f"summarize-{table} s2/mouse" for table in ("2d-filter", "3d", "angles", "errors")}
    filters = {f"filter s2/mouse_{camera}" for camera in CAMERAS}
    assert jobs(mice) == {"write-config s2", *filters, *trial, *tables, *TABLES}


def test_a_replaced_board_video_redoes_calibration_and_the_trials_under_it(mice: Lab):
    video = mice.root / "calibration/board_side.mov"
    video.replace(mice.root / "side.mov")
    cut(mice.root / "side.mov", video, frames=10)
    done = jobs(mice)
    assert {"detect-boards calibration/board_side", "calibrate calibration"} <= done
    assert not any(job.startswith(("pose-2d", "filter", "write-config")) for job in done)
    assert {f"pose-3d {session}/mouse" for session in ("s1", "s2")} <= done
    assert sum(job.startswith("detect-boards") for job in done) == 1
