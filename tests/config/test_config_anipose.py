"""Configurations of Anipose load as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from anipipe.config import KEYS, Config, lookup, read_layer, resolve

TWO_D = """
project = "flypose"
model_folder = '/Data/flypose/network'
nesting = 1

[pipeline]
videos_raw = "videos-raw"

[labeling]
scheme = [
  ["head", "thorax", "abdomen"],
  ["thorax", "leg-1"],
]

[filter]
enabled = true
medfilt = 13
offset_threshold = 25
score_threshold = 0.8
spline = true
"""

THREE_D = """
[triangulation]
cam_regex = 'cam([0-9])'
axes = [
    ["x", "L1A", "L3A"],
    ["z", "L1B", "L1A"]
]
reference_point = "L1A"

[calibration]
board_type = "{board}"
board_size = [6, 6]
board_marker_bits = 4
board_marker_dict_number = 50
board_marker_length = 3
board_marker_separation_length = 1
board_square_side_length = 4

[manual_verification]
manually_verify = true

[angles]
L1_CF = ["L1A", "L1B", "L1C"]
"""

# The keys of Anipose 1.1.24 and the defaults that it uses; None where it has none.
ANIPOSE = {
    "project": None,
    "path": None,
    "model_folder": None,
    "nesting": None,
    "video_extension": "avi",
    "converted_video_speed": 1,
    "pipeline.videos_raw": "videos-raw",
    "pipeline.videos_raw_mp4": "videos-raw-mp4",
    "pipeline.pose_2d": "pose-2d",
    "pipeline.pose_2d_filter": "pose-2d-filtered",
    "pipeline.pose_2d_projected": "pose-2d-proj",
    "pipeline.pose_3d": "pose-3d",
    "pipeline.pose_3d_filter": "pose-3d-filtered",
    "pipeline.videos_labeled_2d": "videos-labeled",
    "pipeline.videos_labeled_2d_filter": "videos-labeled-filtered",
    "pipeline.calibration_videos": "calibration",
    "pipeline.calibration_results": "calibration",
    "pipeline.videos_labeled_3d": "videos-3d",
    "pipeline.videos_labeled_3d_filter": "videos-3d-filtered",
    "pipeline.angles": "angles",
    "pipeline.summaries": "summaries",
    "pipeline.videos_combined": "videos-combined",
    "pipeline.videos_compare": "videos-compare",
    "pipeline.videos_2d_projected": "videos-2d-proj",
    "calibration.board_type": None,
    "calibration.board_size": None,
    "calibration.board_square_side_length": None,
    "calibration.board_marker_length": None,
    "calibration.board_marker_bits": None,
    "calibration.board_marker_dict_number": None,
    "calibration.board_marker_separation_length": None,
    "calibration.animal_calibration": False,
    "calibration.calibration_init": None,
    "calibration.fisheye": False,
    "manual_verification.manually_verify": False,
    "filter.enabled": False,
    "filter.type": ["medfilt"],
    "filter.medfilt": 13,
    "filter.offset_threshold": 25,
    "filter.score_threshold": 0.05,
    "filter.spline": True,
    "filter.n_back": 5,
    "filter.multiprocessing": False,
    "filter.n_proc": None,
    "filter.autoencoder_path": None,
    "filter.autoencoder_points_path": None,
    "filter3d.enabled": False,
    "filter3d.medfilt": 17,
    "filter3d.offset_threshold": 15,
    "triangulation.cam_regex": None,
    "triangulation.ransac": False,
    "triangulation.optim": False,
    "triangulation.score_threshold": 0.8,
    "triangulation.scale_smooth": 2,
    "triangulation.scale_length": 2,
    "triangulation.scale_length_weak": 1,
    "triangulation.reproj_error_threshold": 5,
    "triangulation.n_deriv_smooth": 3,
    "triangulation.constraints": [],
    "triangulation.constraints_weak": [],
    "triangulation.optim_chunking": False,
    "triangulation.optim_chunking_size": 1000,
    "triangulation.axes": None,
    "triangulation.reference_point": None,
    "triangulation.cam_align": None,
    "labeling.scheme": [],
    "cameras.*.offset": None,  # the whole picture, as Anipose's [0, 0]
}


@pytest.mark.parametrize(("path", "value"), ANIPOSE.items())
def test_key_and_default(path, value):
    assert KEYS[path].default == value
    if "*" not in path:
        assert lookup(Config(), path) == value


def test_2d_example(tmp_path: Path):
    (tmp_path / "config.toml").write_text(TWO_D, encoding="utf-8")
    resolved = resolve([read_layer(tmp_path / "config.toml")])
    config = resolved.config
    assert resolved.warnings == ()
    assert (config.project, config.model_folder, config.nesting) == ("flypose", "/Data/flypose/network", 1)
    assert config.labeling.scheme == (("head", "thorax", "abdomen"), ("thorax", "leg-1"))
    assert config.filter.offset_threshold == 25.0 and config.filter.score_threshold == 0.8


@pytest.mark.parametrize("board", ["charuco", "aruco"])
def test_3d_example(tmp_path: Path, board: str):
    (tmp_path / "config.toml").write_text(TWO_D + THREE_D.format(board=board), encoding="utf-8")
    resolved = resolve([read_layer(tmp_path / "config.toml")])
    config = resolved.config
    assert ["manually_verify" in warning for warning in resolved.warnings] == [True]
    assert config.triangulation.cam_regex == "cam([0-9])"
    assert config.triangulation.axes == (("x", "L1A", "L3A"), ("z", "L1B", "L1A"))
    assert config.calibration.board_type == board
    assert config.calibration.board_size == (6, 6)
    assert config.calibration.board_marker_separation_length == 1
    assert config.angles == {"L1_CF": ("L1A", "L1B", "L1C")}


def test_joints_called_like_a_mode_need_the_mode_written_out():
    config = resolve([]).config.model_validate({"angles": {"neck": ["flex", "axis", "C3", "C4"]}})
    assert config.angles["neck"] == ("flex", "axis", "C3", "C4")
