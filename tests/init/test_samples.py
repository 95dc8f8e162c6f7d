"""``anipipe init``: what it sees in predictions and in recordings of the board."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from anipipe.commands.init.samples import lines_through, spread
from tests.conftest import write_dlc_csv
from tests.init.test_drafting import VIEWS, above, line, put, started, videos


def test_joints_of_predictions(tmp_path: Path):
    points = np.zeros((2, 4, 2))
    for camera in VIEWS:
        write_dlc_csv(tmp_path / f"s1/predictions/t1_{camera}DLC_net.csv", points)
    write_dlc_csv(tmp_path / "s1/predictions/t2_topDLC_net.csv", points[:, :3], ("nose", "neck", "hip"))
    config = started(tmp_path)
    assert config.predictions.track is None
    for key in ("L1_CF", "scheme"):
        assert "4 predictions" in above(tmp_path, key) and "nose, neck, hip, tail." in above(tmp_path, key)
        assert "Not in all of them: tail." in above(tmp_path, key)


def test_tracks_and_skeleton_of_sleap(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import h5py

    (tmp_path / "s1/predictions").mkdir(parents=True)
    for camera in VIEWS:
        with h5py.File(tmp_path / f"s1/predictions/t1_{camera}.analysis.h5", "w") as file:
            file["node_names"] = [b"nose", b"neck", b"tail"]
            file["track_names"] = [b"resident", b"intruder"]
            file["edge_inds"] = [[0, 1], [1, 2]]
            file["tracks"] = np.zeros((2, 2, 3, 4))
    started(tmp_path)
    assert line(tmp_path, "# track") == '# track = "resident"'
    assert "several animals: resident, intruder" in above(tmp_path, "track")
    assert line(tmp_path, "scheme") == 'scheme = [["nose", "neck", "tail"]]'
    assert "predictions.track" in capsys.readouterr().out


def draw(root: Path, cameras: Sequence[str], *, inverted: bool = False, kind: str = "charuco") -> None:
    """Pictures of a board, one per camera."""
    import cv2

    from anipipe.numerics.boards.drawing import draw_board
    from anipipe.numerics.boards.geometry import make_board

    (root / "calibration").mkdir(parents=True)
    if kind == "aruco":
        board = make_board("aruco", (4, 3), marker=10, separation=4, dictionary="DICT_5X5_100")
    elif kind == "checkerboard":
        board = make_board("checkerboard", (7, 5), square=10)
    else:
        board = make_board("charuco", (6, 5), square=10, marker=7, dictionary="DICT_4X4_50")
    picture = draw_board(board, 8, margin=20, inverted=inverted)
    for camera in cameras:
        for shot in (1, 2):
            cv2.imwrite(str(root / f"calibration/shot{shot}_{camera}.png"), picture)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_charuco_board(tmp_path: Path, inverted: bool, capsys: pytest.CaptureFixture[str]):
    draw(tmp_path, VIEWS, inverted=inverted)
    put(tmp_path, *videos("s1/videos-raw/x{t}_{c}.mp4"))
    config = started(tmp_path)
    board = config.calibration
    assert (board.board_type, board.board_size, board.board_inverted) == ("charuco", (6, 5), inverted)
    assert (board.board_marker_bits, board.board_marker_dict_number) == (4, 50)
    assert board.board_square_side_length is None and board.board_marker_length is None
    assert "TO BE SET: measure" in above(tmp_path, "board_square_side_length")
    assert re.search(r"0\.(69|70|71) of a square", above(tmp_path, "board_marker_length"))
    assert line(tmp_path, "board_type").endswith("# seen in 6 of 6 pictures")
    shown = capsys.readouterr()
    assert "looking for the board in" in shown.err
    assert (
        "To be set first: calibration.board_square_side_length, calibration.board_marker_length" in shown.out
    )
    assert line(tmp_path, "cam_regex").endswith("found in 6 of 6 videos, 6 of 6 board recordings")


@pytest.mark.parametrize(
    ("kind", "size", "length"),
    [
        ("aruco", (4, 3), "board_marker_separation_length"),
        ("checkerboard", (7, 5), "board_square_side_length"),
    ],
)
def test_other_boards(tmp_path: Path, kind: str, size: tuple[int, int], length: str):
    draw(tmp_path, VIEWS, kind=kind)
    config = started(tmp_path)
    assert (config.calibration.board_type, config.calibration.board_size) == (kind, size)
    assert "TO BE SET" in above(tmp_path, length)
    # without videos, the names of board recordings tell the cameras
    assert config.triangulation.cam_regex == "_(back|side|top)$"


def test_board_recordings_that_show_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path / "a", "calibration/board_cam1.mp4", "calibration/board_cam2.avi", "calibration/cam3.png")
    assert started(tmp_path / "a").calibration.board_type is None
    assert "None of 3 recordings" in above(tmp_path / "a", "board_type")
    draw(tmp_path / "b", VIEWS)
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert started(tmp_path / "b").calibration.board_type is None
    assert "were not looked at" in above(tmp_path / "b", "board_type")


def test_board_pictures_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from anipipe.formats import video

    read: list[int] = []

    class Long(video.Video):
        def count(self) -> int:
            return 1_000_000

        def read(self, indices, *, grey=False):
            read.extend(indices)
            return iter([(index, np.zeros((40, 60), np.uint8)) for index in indices])

    monkeypatch.setattr(video, "Video", Long)
    put(tmp_path, *(f"calibration/board_cam{number}.mp4" for number in range(50)))
    assert started(tmp_path).calibration.board_type is None
    assert len(read) == 12 and min(read) > 100_000 and max(read) < 900_000
    assert "No board was seen in 12 pictures" in above(tmp_path, "board_type")


def test_only_boards_need_opencv(tmp_path: Path):
    put(tmp_path, *videos("s1/videos-raw/x{t}_{c}.mp4"))
    write_dlc_csv(tmp_path / "s1/predictions/x1_topDLC_n.csv", np.zeros((2, 4, 2)))
    script = (
        "import sys, anipipe.cli\n"
        f"assert anipipe.cli.invoke(['init', {str(tmp_path)!r}]) == 0\n"
        "print('LOADED', sorted({'cv2', 'av', 'torch', 'h5py', 'pandas', 'aniposelib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout


def test_small_helpers():
    assert spread(range(100), 4) == [12, 37, 62, 87]
    assert spread([1, 2], 4) == [1, 2]
    assert lines_through([("a", "b"), ("b", "c"), ("b", "d")]) == [["a", "b", "c"], ["b", "d"]]
