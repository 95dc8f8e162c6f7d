"""What ``anipipe init`` proposes for real recordings."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from anipipe.cli import invoke
from anipipe.config import Config, read_layer, resolve
from anipipe.formats.calibrations import read_calibration
from tests.real.videos import cut

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real recordings in {DATA}")


def started(root: Path) -> Config:
    assert invoke(["init", str(root)]) == 0
    return resolve([read_layer(root / "config.toml")]).config


def test_mouse(tmp_path: Path):
    for folder in ("videos-raw", "predictions"):
        shutil.copytree(DATA / "mouse-4cam" / folder, tmp_path / "s1" / folder)
    (tmp_path / "calibration").mkdir()
    for video in (DATA / "mouse-4cam/calibration").iterdir():
        cut(video, tmp_path / "calibration" / video.name, frames=8)
    config = started(tmp_path)
    assert (config.nesting, config.triangulation.cam_regex) == (1, "_(back|mid|side|top)$")
    board = config.calibration
    assert (board.board_type, board.board_size, board.board_inverted) == ("charuco", (8, 11), False)
    assert (board.board_marker_bits, board.board_marker_dict_number) == (4, 50)
    text = (tmp_path / "config.toml").read_text()
    ratio = re.search(r"It looks like ([0-9.]+) of a square", text)
    assert ratio is not None and abs(float(ratio[1]) - 18.75 / 24) < 0.04
    # ... and all that is lacking are the lengths
    text = re.sub(r"# (board_square_side_length) = .*", r"\1 = 24", text)
    text = re.sub(r"# (board_marker_length) = .*", r"\1 = 18.75", text)
    (tmp_path / "config.toml").write_text(text)
    assert invoke(["run-data", "-q", "-j1", str(tmp_path)]) == 0
    assert (tmp_path / "s1/pose-3d/mouse.csv").exists()
    rig = read_calibration(tmp_path / "calibration/calibration.toml")
    assert sorted(camera.name for camera in rig.cameras) == ["back", "mid", "side", "top"]


def test_an_inverted_board(tmp_path: Path):
    shutil.copytree(DATA / "charuco-4cam-inverted/calibration", tmp_path / "calibration")
    config = started(tmp_path)
    board = config.calibration
    assert (board.board_type, board.board_size, board.board_inverted) == ("charuco", (4, 5), True)
    assert (board.board_marker_bits, board.board_marker_dict_number) == (4, 50)
    assert config.triangulation.cam_regex == "_cam([0-9]+)$"


@pytest.mark.parametrize(("calibrated", "regex"), [(False, "_Cam-([A-C])$"), (True, "_(Cam-[A-C])$")])
def test_fly(tmp_path: Path, calibrated: bool, regex: str):
    shutil.copytree(DATA / "fly-3cam/predictions", tmp_path / "s1/predictions")
    if calibrated:
        (tmp_path / "calibration").mkdir()
        shutil.copy(DATA / "fly-3cam/calibration.toml", tmp_path / "calibration")
    assert started(tmp_path).triangulation.cam_regex == regex
    assert "L1A, L1B, L2A" in (tmp_path / "config.toml").read_text()
    if calibrated:
        assert invoke(["run-data", "-q", "-j1", str(tmp_path)]) == 0
        assert (tmp_path / "s1/pose-3d/fly4.csv").exists()
