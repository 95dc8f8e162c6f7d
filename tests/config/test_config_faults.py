"""What a wrong configuration is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from anipipe.config import Layer, nearest, resolve
from anipipe.errors import ConfigError

FILE = Path("exp/config.toml")


def faults(values):
    with pytest.raises(ConfigError) as caught:
        resolve([Layer(FILE, values)])
    head, *more = str(caught.value).split("\n  ")
    if not more:
        return [head]
    assert head == f"{len(more)} faults in the configuration:"
    return more


def nested(path, value):
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


PATTERN = "regular expression with the camera's name in parentheses"
ANGLE = '["flex" | "axis" | "cross-axis", a, b, c] or ["chain", a, b, c, ...]'


@pytest.mark.parametrize(
    ("path", "value", "shown", "answer"),
    [
        # types: nothing is converted, and a boolean is no number
        ("nesting", True, "true", "must be a whole number >= -1"),
        ("nesting", -2, "-2", "must be a whole number >= -1"),
        ("nesting", 1.0, "1.0", "must be a whole number >= -1"),
        ("nesting", "1", '"1"', "must be a whole number >= -1"),
        ("project", 3, "3", "must be text"),
        ("model_type", "dlc", '"dlc"', 'must be "deeplabcut", "lightning-pose" or "import"'),
        ("converted_video_speed", 0, "0", "must be a number > 0"),
        ("filter.enabled", 1, "1", "must be true or false"),
        ("filter.score_threshold", True, "true", "must be a number >= 0"),
        ("filter.score_threshold", float("nan"), "nan", "must be a number >= 0"),
        ("filter.score_threshold", -0.1, "-0.1", "must be a number >= 0"),
        ("filter.offset_threshold", "25", '"25"', "must be a number > 0"),
        ("filter.medfilt", 14, "14", "must be odd: 13 or 15"),
        ("filter3d.medfilt", 2, "2", "must be odd: 1 or 3"),
        ("filter.medfilt", 0, "0", "must be an odd whole number >= 1"),
        ("filter.type", "median", '"median"', '"medfilt", "viterbi", "autoencoder", "autoencoder_points"'),
        ("filter.type", ["medfilt", "x"], '["medfilt", "x"]', "must be one or a list of"),
        ("filter.type", [], "[]", "must be one or a list of"),
        ("filter.n_proc", 0, "0", "must be a whole number >= 1"),
        (
            "calibration.board_type",
            "chessboard",
            '"chessboard"',
            'must be "charuco", "aruco" or "checkerboard"',
        ),
        ("calibration.board_size", [6], "[6]", "must be two whole numbers >= 1"),
        ("calibration.board_size", [6, "x"], '[6, "x"]', "must be two whole numbers >= 1"),
        ("calibration.board_marker_bits", 8, "8", "must be 4, 5, 6 or 7"),
        ("calibration.board_marker_dict_number", 51, "51", "must be 50, 100, 250 or 1000"),
        ("calibration.board_mirrored", 1, "1", 'must be true, false or "auto"'),
        ("calibration.board_legacy", "yes", '"yes"', 'must be true, false or "auto"'),
        ("calibration.fix", ["intrinsics", "intrinsics"], '["intrinsics", "intrinsics"]', "twice"),
        ("triangulation.cam_regex", "cam([0-9]", '"cam([0-9]"', "is not a regular expression (missing )"),
        (
            "triangulation.cam_regex",
            "cam[0-9]",
            '"cam[0-9]"',
            "parentheses around the part that is the camera's name",
        ),
        ("triangulation.cam_regex", "cam[0-9]", '"cam[0-9]"', "an example: 'cam([0-9])'"),
        ("triangulation.cam_regex", 3, "3", PATTERN),
        ("triangulation.min_cams", 1, "1", "must be a whole number >= 2"),
        ("triangulation.weights", "scores", '"scores"', 'must be "score" or "error-model"'),
        ("triangulation.constraints", [["a"]], '[["a"]]', "must be a list of pairs of joints"),
        ("triangulation.constraints", [["a", "a"]], '[["a", "a"]]', "must not name anything twice"),
        ("triangulation.reference_point", "L1A", '"L1A"', "needs triangulation.axes too"),
        ("labeling.scheme", ["a", "b"], '["a", "b"]', "must be a list of lines through joints"),
        ("summaries.csv", ["pose_4d"], '["pose_4d"]', 'must be a list of "pose_2d"'),
        ("network.batch_size", 0, "0", 'must be a whole number >= 1 or "auto"'),
        ("network.batch_size", True, "true", 'must be a whole number >= 1 or "auto"'),
        ("network.crop", [0, 0, 0, 9], "[0, 0, 0, 9]", "must be [x, y, width, height] in whole pixels"),
        ("network.crop.A", [0, 0, 9], "[0, 0, 9]", "must be [x, y, width, height] in whole pixels"),
        ("cameras.A.offset", [1], "[1]", "must be two numbers, [x, y]"),
        ("cameras.A.frame_offset", 0.5, "0.5", "must be a whole number"),
        ("cameras.offset", [1, 2], "[1, 2]", "must be a section of its own for each camera, [cameras.NAME]"),
        ("angles.knee", ["a", "b"], '["a", "b"]', ANGLE),
        ("angles.knee", ["a", "b", "c", "d"], '["a", "b", "c", "d"]', ANGLE),
        ("angles.knee", ["bend", "a", "b", "c"], '["bend", "a", "b", "c"]', ANGLE),
        ("angles.knee", ["flex", "a", "b", "c", "d"], '["flex", "a", "b", "c", "d"]', ANGLE),
        ("angles.knee", ["axis", "a", "b"], '["axis", "a", "b"]', "'axis' needs three joints after it"),
        (
            "angles.knee",
            ["chain", "a", "b"],
            '["chain", "a", "b"]',
            "'chain' needs at least three joints after it",
        ),
        ("angles.knee", ["a", "b", "a"], '["a", "b", "a"]', "none of them twice"),
        ("angles.knee", ["chain", "a", "a/", "b"], '["chain", "a", "a/", "b"]', "none of them twice"),
        ("angles.knee", [1, 2, 3], "[1, 2, 3]", ANGLE),
        ("filter", 3, "3", "must be a section, [filter]"),
        ("angles", [], "[]", "must be a section, [angles]"),
        ("cameras", 3, "3", "must be a section of its own for each camera, [cameras.NAME]"),
    ],
)
def test_wrong_value(path, value, shown, answer):
    (line,) = faults(nested(path, value))
    assert line.startswith(f"{FILE}: {path} = {shown}: ")
    assert answer in line


@pytest.mark.parametrize(
    ("axes", "answer"),
    [
        ([["x", "a", "b"]], "must be exactly two axes"),
        ([["x", "a", "b"], ["y", "a", "b"], ["z", "a", "b"]], "must be exactly two axes"),
        ([["x", "a", "b"], ["w", "a", "c"]], "must be exactly two axes"),
        ([["x", "a", "b"], ["x", "a", "c"]], "two different axes"),
        ([["x", "a", "b"], ["y", "c", "c"]], "not from 'c' to itself"),
    ],
)
def test_wrong_axes(axes, answer):
    (line,) = faults({"triangulation": {"axes": axes, "reference_point": "a"}})
    assert line.startswith(f"{FILE}: triangulation.axes = [[")
    assert answer in line


def test_axes_need_a_reference_point():
    (line,) = faults({"triangulation": {"axes": [["x", "a", "b"], ["y", "a", "c"]]}})
    assert line.endswith("needs triangulation.reference_point too: both or neither")


@pytest.mark.parametrize(
    "folder", ["", " ", ".", "..", "../x", "/abs", "a/b", "a\\b", "C:", "C:\\x", ".hidden", "x."]
)
def test_folders_must_be_plain_names(folder):
    (line,) = faults({"pipeline": {"pose_3d": folder}})
    assert line.startswith(f"{FILE}: pipeline.pose_3d = ")
    assert "must be the plain name of a folder inside the session" in line


def test_folders_must_differ():
    (line,) = faults({"pipeline": {"angles": "Pose-3D"}})
    assert line == (
        f'{FILE}: pipeline.angles = "Pose-3D": is the folder of pipeline.pose_3d too; each needs its own'
    )
    lines = faults({"pipeline": {"angles": "a", "previews": "a", "summaries": "config"}})
    assert [line.split(" = ")[0] for line in lines] == [
        f"{FILE}: pipeline.{key}" for key in ("summaries", "previews")
    ]


def test_folders_of_the_calibration_may_be_one_or_two_but_no_other():
    resolve([Layer(FILE, {"pipeline": {"calibration_results": "calibration-results"}})])
    resolve([Layer(FILE, {"pipeline": {"calibration_results": "cal", "calibration_videos": "cal"}})])
    (line,) = faults({"pipeline": {"calibration_results": "angles"}})
    assert "pipeline.angles" in line
    (line,) = faults({"pipeline": {"calibration_videos": "angles", "calibration_results": "angles"}})
    assert "pipeline.calibration_videos" in line


def test_markers_must_fit_into_the_squares_of_a_charuco_board_only():
    board = {"board_type": "charuco", "board_marker_length": 4, "board_square_side_length": 4}
    (line,) = faults({"calibration": board})
    assert line.startswith(f"{FILE}: calibration.board_marker_length = 4: must be less than")
    resolve([Layer(FILE, {"calibration": {**board, "board_type": "aruco"}})])


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"filter": {"medfil": 3}}, "filter.medfil = 3: unknown key, did you mean 'medfilt'?"),
        (
            {"pipeline": {"Videos-Raw": "v"}},
            "pipeline.Videos-Raw = \"v\": unknown key, did you mean 'videos_raw'?",
        ),
        ({"nestng": 1}, "nestng = 1: unknown key, did you mean 'nesting'?"),
        (
            {"score_threshold": 0.5},
            "score_threshold = 0.5: unknown key, "
            "did you mean filter.score_threshold or triangulation.score_threshold?",
        ),
        ({"cam_regx": "x"}, 'cam_regx = "x": unknown key, did you mean triangulation.cam_regex?'),
        (
            {"filter": {"nesting": 1}},
            "filter.nesting = 1: unknown key, did you mean 'nesting' above the first section?",
        ),
        ({"filter": {"offset": 1}}, "filter.offset = 1: unknown key, did you mean cameras.NAME.offset?"),
        ({"filtr": {"medfilt": 3}}, "[filtr]: unknown section, did you mean [filter]?"),
        ({"triangulate": {"optim": True}}, "[triangulate]: unknown section, did you mean [triangulation]?"),
        ({"zzz": {"a": 1}}, "[zzz]: unknown section"),
        ({"filtr": {}}, "[filtr]: unknown section, did you mean [filter]?"),
        ({"filter": {"zzz": 1}}, "filter.zzz = 1: unknown key"),
        ({"filter": {"a b": 1}}, 'filter."a b" = 1: unknown key'),
        (
            {"cameras": {"A": {"ofset": [0, 0]}}},
            "cameras.A.ofset = [0, 0]: unknown key, did you mean 'offset'?",
        ),
        (
            {"cameras": {"cam 1.x": {"ofset": 0}}},
            "cameras.\"cam 1.x\".ofset = 0: unknown key, did you mean 'offset'?",
        ),
        ({"cameras": {"": {}}}, '[cameras.""]: needs a name'),
    ],
)
def test_unknown_names(values, line):
    assert faults(values) == [f"{FILE}: {line}"]


def test_sleap_networks_are_pointed_to_import():
    (line,) = faults({"model_type": "sleap"})
    assert 'model_type = "import"' in line


def test_long_values_are_cut():
    (line,) = faults({"labeling": {"scheme": ["joint"] * 1000}})
    assert len(line) < 300


def test_all_faults_are_listed_at_once():
    lines = faults(
        {"nesting": "1", "filter": {"medfilt": 2, "x": 1}, "angles": {"a": ["b"]}, "cameras": {"A": 1}}
    )
    assert len(lines) == 5
    assert all(line.startswith(f"{FILE}: ") for line in lines)


@pytest.mark.parametrize(
    ("word", "guess"), [("MEDFILT", "medfilt"), ("board-size", "board_size"), ("qqqq", None)]
)
def test_nearest(word, guess):
    assert nearest(word, ["medfilt", "board_size", "optim"]) == guess
