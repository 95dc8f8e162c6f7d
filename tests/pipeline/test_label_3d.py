"""Videos of 3D poses, alone and beside the cameras: how many frames, of which instants, what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anipipe.formats.calibrations import write_calibration
from anipipe.formats.video import Video
from anipipe.numerics.cameras import project
from anipipe.numerics.drawing.colours import joint_colours
from tests.conftest import JOINTS, Lab, make_rig, motion, write_dlc_csv
from tests.formats.videos import number_in, record

SIZE = (640, 480)
KEYS = """\
[triangulation]
cam_regex = '_([A-Z])$'
score_threshold = 0.5
[labeling]
pictures = ["label-3d", "label-combined"]
scheme = [["nose", "neck", "hip", "tail"]]
dot_size = 6
quality = 10
"""


def make(root: Path, frames: dict[str, int], *, late: dict[str, int], videos: str = "ABC") -> Lab:
    """A trial whose cameras start and end at different instants of one motion."""
    lab = Lab(root, make_rig())
    truth = motion(20, seed=1)
    for camera in lab.rig.cameras:
        start, count = late.get(camera.name, 0), frames[camera.name]
        seen = project(truth[start : start + count], camera)
        write_dlc_csv(root / f"s/predictions/t_{camera.name}DLC_net_x1.csv", seen)
        if camera.name in videos:
            (root / "s/videos-raw").mkdir(exist_ok=True)
            record(root / f"s/videos-raw/t_{camera.name}.mp4", count, size=SIZE, options={"crf": "18"})
    keys = "".join(f"[cameras.{name}]\nframe_offset = {count}\n" for name, count in late.items())
    (root / "config.toml").write_text(KEYS + keys)
    (root / "calibration").mkdir()
    write_calibration(lab.rig, root / "calibration/calibration.toml")
    return lab


def pictures(path: Path) -> list[np.ndarray]:
    found = [picture for _, picture in Video(path).frames()]
    assert all(picture is not None for picture in found)
    return found


def shares(picture: np.ndarray, colour: np.ndarray, within: int = 60) -> int:
    """Count pixels of about this colour, given red first."""
    return int((np.abs(picture[..., ::-1].astype(int) - colour).max(axis=-1) < within).sum())


def test_the_cameras_and_the_3d_view_show_one_instant(tmp_path: Path) -> None:
    lab = make(tmp_path, {"A": 8, "B": 6, "C": 5}, late={"B": 3})
    text = lab.run("run-viz")
    assert "jobs done" in text
    film = Video(tmp_path / "s/videos-combined/t.mp4")
    assert film.info.size == (1280, 960)
    assert film.info.rate == pytest.approx(30)
    found = pictures(film.path)
    assert len(found) == 9  # the trial's: camera B ends last
    for frame, picture in enumerate(found):
        a, b, c = picture[:480, :640], picture[:480, 640:], picture[480:, :640]
        assert number_in(a) == (frame if frame < 8 else 0)
        assert number_in(b) == (frame - 3 if frame >= 3 else 0)
        assert number_in(c) == (frame if frame < 5 else 0)
        assert (a[100:].max() > 60) == (frame < 8)  # one that does not record is black
        assert (b[100:].max() > 60) == (frame >= 3)
    # joints are where the camera saw them, and have the same colours in the 3D view
    colours = joint_colours(JOINTS, [JOINTS], "rainbow")
    seen = project(motion(20, seed=1)[4], make_rig().camera("B"))
    x, y = np.round(seen[3]).astype(int)  # the last is drawn on top
    assert shares(found[4][y - 1 : y + 2, 640 + x - 1 : 640 + x + 2], colours[3]) >= 5
    assert all(shares(found[4][480:, 640:], colour, within=80) > 15 for colour in colours[[0, 3]])
    # every frame that has a pose shows it: two cameras at least until frame 7
    views = [picture[480:, 640:] for picture in found]
    assert all(shares(view, colours[3], within=80) > 15 for view in views[:8])


def test_a_3d_video_has_a_frame_per_row_and_the_pace_of_the_recordings(tmp_path: Path) -> None:
    lab = make(tmp_path, {"A": 7, "B": 7, "C": 7}, late={})
    lab.run("label-3d", "--upstream")
    film = Video(tmp_path / "s/videos-3d/t.mp4")
    assert (film.count(), film.info.size) == (7, (640, 480))
    assert film.info.rate == pytest.approx(30)
    config = tmp_path / "config.toml"
    config.write_text(config.read_text() + "\n")
    assert "0 jobs done" in lab.run("label-3d") or "up to date" in lab.run("label-3d")
    config.write_text(
        config.read_text().replace("dot_size", "size_3d = [320, 200]\noutput_frame_rate = 7.5\ndot_size")
    )
    lab.run("label-3d")
    film = Video(film.path)
    assert (film.count(), film.info.size) == (7, (320, 200))
    assert film.info.rate == pytest.approx(7.5)


def test_without_a_video_the_3d_pose_is_drawn_at_a_usual_pace(tmp_path: Path) -> None:
    lab = make(tmp_path, {"A": 4, "B": 4, "C": 4}, late={}, videos="")
    text = lab.run("run-viz")
    assert "plays at 30" in text
    assert Video(tmp_path / "s/videos-3d/t.mp4").count() == 4
    assert not (tmp_path / "s/videos-combined").exists()
    assert "combined" not in lab.run("status", "--why")


def test_a_camera_whose_video_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    lab = make(tmp_path, {"A": 5, "B": 5, "C": 5}, late={})
    (tmp_path / "s/videos-raw/t_C.mp4").write_bytes(b"no video at all" * 100)
    text = lab.run("run-viz")
    assert "left out" in text
    assert "t_C.mp4" in text
    film = Video(tmp_path / "s/videos-combined/t.mp4")
    assert film.info.size == (1920, 480)
    assert film.count() == 5


def test_a_trial_without_any_3d_point_has_a_video_all_the_same(tmp_path: Path) -> None:
    lab = make(tmp_path, {"A": 3, "B": 3, "C": 3}, late={})
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.99"))
    text = lab.run("run-viz")
    assert "no 3D point at all" in text
    assert Video(tmp_path / "s/videos-3d/t.mp4").count() == 3
    assert Video(tmp_path / "s/videos-combined/t.mp4").count() == 3


def test_an_unknown_joint_to_show_is_named(tmp_path: Path) -> None:
    lab = make(tmp_path, {"A": 3, "B": 3, "C": 3}, late={})
    config = tmp_path / "config.toml"
    config.write_text(config.read_text() + "")
    config.write_text(config.read_text().replace("dot_size", 'displayed_bodyparts = ["nsoe"]\ndot_size'))
    text = lab.run("run-viz", check=1)
    assert "labeling.displayed_bodyparts" in text
    assert "did you mean 'nose'" in text
