"""Pictures made through the command line: labelled videos, projected poses, converted videos."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from anipipe.formats.calibrations import write_calibration
from anipipe.formats.poses2d import read_pose_2d
from anipipe.formats.poses3d import Pose3D
from anipipe.formats.video import Video
from anipipe.numerics.cameras import Camera, Rig, project
from anipipe.numerics.drawing.colours import joint_colours
from anipipe.stages.project_2d import ViewOptions, project_pose
from tests.conftest import Lab, make_rig, write_dlc_csv
from tests.formats.videos import INTRA, REORDERED, number_in, numbers, opencv, record
from tests.pipeline.models import JOINTS as NETWORK_JOINTS
from tests.pipeline.models import write_model
from tests.pipeline.test_networks import children
from tests.pipeline.test_redo import last_report

JOINTS = ("nose", "neck", "tail")
SIZE, FRAMES = (160, 120), 12
KEYS = "[labeling]\nscheme = [['nose', 'neck', 'tail']]\ndot_size = 5\nquality = 8\n"
RAW, LABELED = "s1/videos-raw/t_A.mp4", "s1/videos-labeled/t_A.mp4"


def grey(number: int, size: tuple[int, int]) -> np.ndarray:
    return np.full((size[1], size[0], 3), 80 + 4 * (number % 20), np.uint8)


def walk(frames: int = FRAMES, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Places of joints that drift to the right, well apart, (frames, joints, 2)."""
    start = np.array([[0.2, 0.25], [0.5, 0.55], [0.75, 0.35]]) * size
    return start + np.array([0.6, 0.2]) * np.arange(frames)[:, None, None]


def recording(path: Path, frames: int = FRAMES, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return record(path, frames, **{"size": SIZE, "paint": grey, "options": INTRA, **options})


def predict(root: Path, name: str, points: np.ndarray, scores: np.ndarray | None = None) -> None:
    session, _, video = name.rpartition("/")
    write_dlc_csv(root / session / f"predictions/{video}DLC_net_x1.csv", points, JOINTS, scores)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """One video with its prediction, and no cameras to speak of."""
    root = tmp_path / "experiment"
    recording(root / RAW)
    predict(root, "s1/t_A", walk())
    (root / "config.toml").write_text(KEYS)
    return Lab(root, make_rig())


def configure(lab: Lab, text: str) -> None:
    (lab.root / "config.toml").write_text(KEYS + text)


def shown(path: Path) -> np.ndarray:
    """Pictures, (frames, height, width, 3), red first."""
    return opencv(path)[..., ::-1].astype(int)


def where(picture: np.ndarray, colour: np.ndarray) -> np.ndarray | None:
    """The middle of what has about a colour, and None where there is nothing of it."""
    near = np.abs(picture - colour.astype(int)).max(axis=-1) < 40
    rows, columns = np.nonzero(near)
    return np.array([np.median(columns), np.median(rows)]) if len(rows) > 8 else None


def assert_drawn(pictures: np.ndarray, points: np.ndarray, joints=JOINTS, scheme=(JOINTS,)) -> None:
    """Each joint's colour is where it should be; where there is no point, it is nowhere."""
    for frame, (picture, pose) in enumerate(zip(pictures, points, strict=True)):
        for joint, (place, colour) in enumerate(
            zip(pose, joint_colours(joints, scheme, "rainbow"), strict=True)
        ):
            found = where(picture, colour)
            if np.isnan(place).any():
                assert found is None, (frame, joint, found)
            else:
                assert found is not None and np.abs(found - place).max() < 1.6, (frame, joint, place, found)


# ---- label-2d


def test_each_frame_comes_out_once_with_its_joints_in_their_places(lab: Lab) -> None:
    configure(lab, "draw_skeleton = false\n")
    lab.run("label-2d", "--upstream")
    made = Video(lab.root / LABELED)
    assert made.count() == FRAMES and made.info.size == SIZE and made.info.rate == 30
    pictures = shown(lab.root / LABELED)
    assert_drawn(pictures, walk())
    ground = pictures[:, 5:20, -30:-5].mean(axis=(1, 2, 3))
    source = shown(lab.root / RAW)[:, 5:20, -30:-5].mean(axis=(1, 2, 3))
    assert np.diff(source).min() > 2.5 and np.abs(ground - source).max() < 2.2  # each pose on its own frame
    lab.run("label-2d", "--upstream")
    assert last_report(lab) == set()


@pytest.mark.parametrize("command", ["videos-labeled", "label-videos"])
def test_it_goes_by_its_other_names(lab: Lab, command: str) -> None:
    lab.run(command, "--upstream")
    assert (lab.root / LABELED).exists()


def test_points_of_low_scores_and_joints_not_asked_for_are_not_drawn(lab: Lab) -> None:
    scores = np.full((FRAMES, 3), 0.9)
    scores[::2, 0], scores[5, 1] = 0.4, 0.599
    predict(lab.root, "s1/t_A", walk(), scores)
    points = np.where(scores[..., None] >= 0.6, walk(), np.nan)
    configure(lab, "draw_skeleton = false\n")
    lab.run("label-2d", "--upstream")
    assert_drawn(shown(lab.root / LABELED), points)
    configure(lab, "draw_skeleton = false\npcutoff = 0.3\ndisplayed_bodyparts = ['tail', 'nose']\n")
    lab.run("label-2d", "--upstream")
    points = walk()
    points[:, 1] = np.nan
    assert_drawn(shown(lab.root / LABELED), points)  # the others keep their colours


def test_joints_are_joined_as_the_scheme_says(lab: Lab) -> None:
    configure(lab, "skeleton_color = 'white'\nline_width = 4\n")
    lab.run("label-2d", "--upstream")
    picture = shown(lab.root / LABELED)[6]
    nose, neck, tail = walk()[6]
    for one, other, joined in ((nose, neck, True), (neck, tail, True), (nose, tail, False)):
        x, y = np.round(0.6 * one + 0.4 * other).astype(int)
        assert (picture[y, x].min() > 200) == joined


def test_drawn_on_black_and_at_another_pace(lab: Lab) -> None:
    configure(lab, "keypoints_only = true\noutput_frame_rate = 7.5\ndraw_skeleton = false\n")
    lab.run("label-2d", "--upstream")
    made = Video(lab.root / LABELED)
    assert made.info.rate == 7.5 and made.count() == FRAMES and made.info.size == SIZE
    pictures = shown(lab.root / LABELED)
    assert_drawn(pictures, walk())
    assert pictures[:, :15].max() < 12


def test_videos_that_are_odd_turned_or_of_one_frame(lab: Lab) -> None:
    cases = {
        "odd": ({"size": (141, 99), "pixels": "yuv444p"}, (141, 99), 6),
        "turned": ({"rotation": 90}, (120, 160), 6),
        "portrait": ({"size": (96, 160)}, (96, 160), 6),
        "single": ({"frames": 1}, SIZE, 1),
    }
    for name, (options, size, frames) in cases.items():
        recording(lab.root / f"s1/videos-raw/{name}_A.mp4", **{"frames": frames, **options})
        predict(lab.root, f"s1/{name}_A", walk(frames, size))
    configure(lab, "draw_skeleton = false\n")
    lab.run("label-2d", "--upstream")
    for name, (_, size, frames) in cases.items():
        path = lab.root / f"s1/videos-labeled/{name}_A.mp4"
        even = tuple(side + side % 2 for side in size)
        assert Video(path).info.size == even and Video(path).count() == frames
        assert_drawn(shown(path), walk(frames, size))


def test_poses_shorter_and_longer_than_their_video_are_told(lab: Lab) -> None:
    predict(lab.root, "s1/t_A", walk(8))
    recording(lab.root / "s1/videos-raw/u_A.mp4", 9)
    predict(lab.root, "s1/u_A", walk(15))
    configure(lab, "draw_skeleton = false\n")
    told = lab.run("label-2d", "--upstream")
    assert "t_A.mp4 has 12 frames, but the predictions end after 8" in told
    assert "u_A.mp4 has 9 frames, its pose goes on for 15" in told
    points = np.concatenate([walk(8), np.full((4, 3, 2), np.nan)])
    assert_drawn(shown(lab.root / LABELED), points)
    assert_drawn(shown(lab.root / "s1/videos-labeled/u_A.mp4"), walk(9))


def test_a_pose_without_any_point_is_a_video_without_dots(lab: Lab) -> None:
    predict(lab.root, "s1/t_A", np.full((FRAMES, 3, 2), np.nan), np.full((FRAMES, 3), np.nan))
    lab.run("label-2d", "--upstream")
    pictures = shown(lab.root / LABELED)
    assert len(pictures) == FRAMES and np.abs(pictures - shown(lab.root / RAW)).max() < 6


def test_damaged_frames_are_crossed_out_and_nothing_shifts(lab: Lab) -> None:
    recording(lab.root / RAW, 30, lost=(17,), options={**INTRA, "crf": "5"}, container={})
    predict(lab.root, "s1/t_A", walk(30))
    configure(lab, "draw_skeleton = false\n")
    missing = [row for row, picture in Video(lab.root / RAW).frames() if picture is None]
    told = lab.run("label-2d", "--upstream")
    assert missing == [17] and "t_A.mp4: 1 of 30 frames are missing or damaged: crossed out" in told
    pictures = shown(lab.root / LABELED)
    assert len(pictures) == 30
    assert_drawn(pictures, walk(30))  # the pose is drawn there too
    crossed = [np.median(picture) < 40 for picture in pictures]
    assert np.nonzero(crossed)[0].tolist() == missing
    ground = pictures[:, 5:20, -30:-5].mean(axis=(1, 2, 3))
    source = {row: picture for row, picture in Video(lab.root / RAW).frames() if picture is not None}
    assert max(abs(ground[row] - picture[5:20, -30:-5].mean()) for row, picture in source.items()) < 2.5


def test_a_video_that_breaks_off_is_crossed_out_from_there(lab: Lab) -> None:
    whole = recording(
        lab.root / "s1/whole.mp4", 40, options=REORDERED, paint=coarse, container={"movflags": "faststart"}
    )
    content = whole.read_bytes()
    whole.unlink()
    at = len(content) * 2 // 3
    (lab.root / RAW).write_bytes(content[:at] + bytes(len(content) - at))
    missing = [row for row, picture in Video(lab.root / RAW).frames() if picture is None]
    if not missing:
        pytest.skip("this build of FFmpeg reads on")
    predict(lab.root, "s1/t_A", walk(40))
    told = lab.run("label-2d", "--upstream", check=None)
    assert f"{len(missing)} of 40 frames are missing or damaged" in told
    assert len(shown(lab.root / LABELED)) == 40


def coarse(number: int, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def test_no_video_no_labelled_video_and_no_word_of_it(lab: Lab) -> None:
    predict(lab.root, "s2/t_A", walk())
    told = lab.run("run-all")
    assert not (lab.root / "s2/videos-labeled").exists() and (lab.root / LABELED).exists()
    assert "blocked" not in told and "3D" not in told and "calibrat" not in told
    (described,) = json.loads(lab.run("status", "--json"))
    assert not [job for job in described["jobs"] if "s2/t_A" in job.values() and "label" in job["stage"]]


def test_without_any_settings_for_it(lab: Lab) -> None:
    (lab.root / "config.toml").write_text("")
    lab.run("run-all")
    pictures = shown(lab.root / LABELED)
    assert len(pictures) == FRAMES
    for (x, y), colour in zip(
        np.round(walk()[3]).astype(int), joint_colours(JOINTS, (), "rainbow"), strict=True
    ):
        assert np.abs(pictures[3, y, x] - colour).max() < 100  # dots are small in so small a picture


def test_labelled_videos_of_archived_recordings_stay(lab: Lab) -> None:
    lab.run("label-2d", "--upstream")
    before = (lab.root / LABELED).read_bytes()
    (lab.root / RAW).unlink()
    assert "archived" in lab.run("status")
    told = lab.run("run-all")
    assert "label-2d" not in {job.split()[0] for job in last_report(lab)} and "blocked" not in told
    assert (lab.root / LABELED).read_bytes() == before


def test_a_change_of_colours_redoes_pictures_and_nothing_else(lab: Lab) -> None:
    configure(lab, "[filter]\nenabled = true\n")
    lab.run("run-all")
    configure(lab, "colormap = 'viridis'\n[filter]\nenabled = true\n")
    assert "labeling.colormap: 'rainbow' -> 'viridis'" in lab.run("status", "--why")
    lab.run("run-all")
    stages = {job.split()[0] for job in last_report(lab)}
    assert {"label-2d", "label-2d-filter", "label-compare"} <= stages
    assert all(stage.startswith(("label-", "preview")) for stage in stages - {"write-config"})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("colormap = 'rainbw'\n", ("labeling.colormap", "'rainbw'", "did you mean 'rainbow'")),
        ("skeleton_color = 'wite'\n", ("labeling.skeleton_color", "did you mean 'white'")),
        ("dot_size = 0\n", ("labeling.dot_size", "> 0")),
    ],
)
def test_wrong_settings_are_told_before_anything_is_done(lab: Lab, keys: str, words: tuple[str, ...]) -> None:
    (lab.root / "config.toml").write_text("[labeling]\n" + keys)
    told = lab.run("run-all", check=2)
    assert all(word in told.replace('"', "'") for word in words), told
    assert not (lab.root / "s1/pose-2d").exists()


def test_an_unknown_joint_is_told_with_its_likely_name(lab: Lab) -> None:
    configure(lab, "displayed_bodyparts = ['nose', 'nek']\n")
    told = lab.run("label-2d", "--upstream", check=1)
    assert "labeling.displayed_bodyparts" in told and "'nek'" in told and "did you mean 'neck'" in told
    # only once the prediction is read is it known; from then on nothing is drawn before that is mended
    assert "'nek'" in lab.run("label-2d", check=1)
    assert "blocked" in lab.run("status") and not list(lab.root.rglob(".anipipe-*"))


def test_a_crop_of_no_size_is_told(lab: Lab) -> None:
    configure(lab, "[network]\ncrop = [0, 0, 0, 100]\n")
    assert "network.crop" in lab.run("label-2d", "--upstream", check=2)


def test_a_labelled_video_that_was_cut_short_is_made_again(lab: Lab) -> None:
    lab.run("label-2d", "--upstream")
    content = (lab.root / LABELED).read_bytes()
    for kept in (len(content) // 2, 20, 0):
        (lab.root / LABELED).write_bytes(content[:kept])
        lab.run("label-2d", "--upstream")
        assert last_report(lab) == {"label-2d s1/t_A"}
        assert (lab.root / LABELED).stat().st_size == len(content)


# ---- filtered poses


def test_filled_points_are_rings_and_both_stand_side_by_side(lab: Lab) -> None:
    points, scores = walk(), np.full((FRAMES, 3), 0.9)
    points[4:7, 1], scores[4:7, 1] = 10.0, 0.01
    predict(lab.root, "s1/t_A", points, scores)
    keys = "draw_skeleton = false\ndot_size = 9\n[filter]\nenabled = true\nmedfilt = 3\n"
    (lab.root / "config.toml").write_text(KEYS.replace("dot_size = 5\n", "") + keys)
    lab.run("label-2d-filter", "--upstream")
    pose = read_pose_2d(lab.root / "s1/pose-2d-filtered/t_A.h5")
    assert pose.filled is not None and pose.filled[5, 1] and not pose.filled[1, 1]
    pictures = shown(lab.root / "s1/videos-labeled-filtered/t_A.mp4")
    colour = joint_colours(JOINTS, (JOINTS,), "rainbow")[1].astype(int)
    for frame, inside in ((5, False), (1, True)):
        x, y = np.round(pose.points[frame, 1, 0]).astype(int)
        assert (np.abs(pictures[frame, y, x] - colour).max() < 40) == inside
    lab.run("label-compare", "--upstream")
    path = lab.root / "s1/videos-compare/t_A.mp4"
    assert Video(path).info.size == (2 * SIZE[0], SIZE[1]) and Video(path).count() == FRAMES
    both = shown(path)
    raw = np.where(scores[..., None] > 0.6, walk(), np.nan)
    assert_drawn(both[:, :, : SIZE[0]], raw)
    assert_drawn(both[[1, 9], :, SIZE[0] :], pose.points[[1, 9], :, 0])


# ---- 3D projected back

OFFSET, LATE = (24, 10), 3


def rig_of_small_cameras() -> Rig:
    cameras = []
    for name, turn in (("A", -0.4), ("B", 0.3), ("C", 1.0)):
        matrix = np.array([[190.0, 0, 79.5], [0, 190.0, 59.5], [0, 0, 1]])
        lens = np.array([-0.08, 0, 0, 0, 0])
        cameras.append(Camera(name, SIZE, matrix, lens, np.array([0.1, turn, 0]), np.array([0, 0, 400.0])))
    return Rig(tuple(cameras), {})


@pytest.mark.parametrize("axes", [False, True])
def test_projected_poses_are_the_truth_in_the_pixels_of_each_recording(tmp_path: Path, axes: bool) -> None:
    """Camera B recorded a part of its picture, and began three frames late."""
    root, rig = tmp_path / "experiment", rig_of_small_cameras()
    lab = Lab(root, rig)
    start = np.array([[-70.0, -40, 0], [0, 15, 20], [60, 30, -30]])
    truth = start + np.array([1.5, 0.5, -1.0]) * np.arange(FRAMES)[:, None, None]
    expected = {}
    for camera in rig.cameras:
        points = project(truth, camera)
        size = SIZE
        if camera.name == "B":
            points, size = points[LATE:] - OFFSET, (120, 100)
        expected[camera.name] = points
        recording(root / f"s1/videos-raw/t_{camera.name}.mp4", len(points), size=size)
        predict(root, f"s1/t_{camera.name}", points)
    (root / "calibration").mkdir()
    write_calibration(rig, root / "calibration/calibration.toml")
    keys = "axes = [['x', 'neck', 'nose'], ['z', 'neck', 'tail']]\nreference_point = 'neck'\n" if axes else ""
    (root / "config.toml").write_text(
        f"{KEYS}draw_skeleton = false\n[triangulation]\ncam_regex = '_([A-Z])$'\n{keys}"
        f"[cameras.B]\noffset = {list(OFFSET)}\nframe_offset = {LATE}\n"
    )
    lab.run("label-2d-proj", "--upstream")
    for name, points in expected.items():
        pose = read_pose_2d(root / f"s1/pose-2d-proj/t_{name}.h5")
        seen = np.isfinite(points).all(axis=(1, 2))
        assert pose.joints == JOINTS and len(pose.points) == len(points)
        assert np.abs(pose.points[seen, :, 0] - points[seen]).max() < 1e-4
        assert_drawn(shown(root / f"s1/videos-2d-proj/t_{name}.mp4"), points)


def test_points_behind_a_camera_have_no_projection(tmp_path: Path) -> None:
    rig = rig_of_small_cameras()
    points = np.array([[[0.0, 0, 0], [0, 0, 5000.0], [0, 0, -5000.0]]])
    ones = np.ones((1, 3))
    blank = {name: ones for name in ("error", "ncams", "score")}
    pose = Pose3D(JOINTS, points, **blank, rotation=np.eye(3), center=np.zeros(3))
    depth = points[0] @ rig.camera("A").rotation_matrix.T + rig.camera("A").translation
    found = project_pose(pose, rig, None, {"camera": "A"}, options=ViewOptions({}, {}))
    assert np.isnan(found.points[0, :, 0]).all(axis=-1).tolist() == (depth[:, 2] <= 0).tolist()
    assert np.isnan(found.scores[0, :, 0]).tolist() == (depth[:, 2] <= 0).tolist()
    assert (depth[:, 2] <= 0).sum() == 1


def test_sessions_without_calibration_have_their_2d_videos(lab: Lab) -> None:
    for name in ("t_A", "t_B"):
        recording(lab.root / f"s1/videos-raw/{name}.mp4")
        predict(lab.root, f"s1/{name}", walk())
    configure(lab, "[triangulation]\ncam_regex = '_([A-Z])$'\n")
    told = lab.run("run-all", check=None)
    assert (lab.root / LABELED).exists() and "calibrat" in told
    assert not (lab.root / "s1/videos-2d-proj").exists()


# ---- killed


@pytest.mark.parametrize("victim", ["run", "worker"])
def test_a_killed_run_leaves_no_partial_video(lab: Lab, victim: str) -> None:
    recording(lab.root / RAW, 300)
    predict(lab.root, "s1/t_A", walk(300) % SIZE)
    lab.run("pose-2d")
    command = [sys.executable, "-m", "anipipe.cli", "label-2d", "-j2", str(lab.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(lab.root.rglob("videos-labeled/.anipipe-*")) and process.poll() is None:
        time.sleep(0.005)
    assert process.poll() is None
    if victim == "run":
        process.kill()
    else:
        for worker in children(process.pid):
            os.kill(worker, signal.SIGKILL)
    process.wait(120)
    if (lab.root / LABELED).exists():
        assert Video(lab.root / LABELED).count() == 300
    lab.run("label-2d", "--upstream")
    assert not list(lab.root.rglob(".anipipe-*")) and Video(lab.root / LABELED).count() == 300
    assert "0 jobs done" in lab.run("label-2d", "--upstream")


# ---- convert-videos

UNCOMPRESSED = "s1/videos-uncompressed/c_A.avi"
CONVERTED = "s1/videos-raw/c_A.mp4"


def numbered(path: Path, frames: int = 30, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return record(path, frames, **{"size": (128, 64), **options})


@pytest.fixture
def plain(tmp_path: Path) -> Lab:
    root = tmp_path / "experiment"
    numbered(root / UNCOMPRESSED, codec="ffv1", pixels="yuv420p")
    (root / "config.toml").write_text("")
    return Lab(root, make_rig())


def test_every_frame_is_converted_and_the_original_untouched(plain: Lab) -> None:
    original = plain.root / UNCOMPRESSED
    before = original.read_bytes(), original.stat().st_mtime_ns
    predict(plain.root, "s1/c_A", walk(30))
    plain.run("compress")
    assert (original.read_bytes(), original.stat().st_mtime_ns) == before
    made = Video(plain.root / CONVERTED)
    assert numbers(made) == list(range(30)) and made.info.codec == "h264" and made.info.rate == 30
    plain.run("run-all")
    assert Video(plain.root / "s1/videos-labeled/c_A.mp4").count() == 30
    plain.run("run-all")
    assert last_report(plain) == set()
    original.unlink()
    kept = (plain.root / CONVERTED).read_bytes()
    plain.run("run-all")
    assert last_report(plain) == set() and (plain.root / CONVERTED).read_bytes() == kept


def test_sources_of_all_kinds_keep_their_frames(plain: Lab) -> None:
    folder = (plain.root / UNCOMPRESSED).parent
    numbered(folder / "reordered_A.mp4", 50, options=REORDERED)
    times = np.cumsum(np.random.default_rng(0).integers(1, 9, 25)).tolist()
    numbered(folder / "variable_A.mkv", 25, times=times, clock=Fraction(1, 100))
    numbered(folder / "lost_A.mp4", 30, lost=(11, 12), options=INTRA)
    numbered(folder / "odd_A.mkv", 5, size=(125, 63), codec="ffv1", pixels="yuv444p")
    told = plain.run("convert-videos")
    raw = plain.root / "s1/videos-raw"
    assert numbers(Video(raw / "reordered_A.mp4")) == list(range(50))
    assert numbers(Video(raw / "variable_A.mp4")) == list(range(25))
    odd = Video(raw / "odd_A.mp4")
    assert odd.info.size == (125, 63) and numbers(odd) == list(range(5))  # as the cameras were calibrated
    kept = Video(raw / "lost_A.mp4")
    assert kept.count() == 30 and "lost_A.mp4: 2 of 30 frames are missing or damaged" in told
    assert numbers(kept) == [None if row in (11, 12) else row for row in range(30)]


def test_lost_frames_are_lost_in_the_conversion_too_and_nothing_shifts(plain: Lab) -> None:
    hurt = [0, 7, 8, 9, 29]
    numbered(plain.root / UNCOMPRESSED, 30, hurt=hurt, torn=True, codec="mjpeg", pixels="yuvj420p")
    source = [
        None if picture is None else number_in(picture)
        for _, picture in Video(plain.root / UNCOMPRESSED).frames()
    ]
    assert None in source
    plain.run("convert-videos")
    made = numbers(Video(plain.root / CONVERTED))
    assert len(made) == 30
    ends = [row for row in (0, 29) if source[row] is None]
    assert [
        0 if row in ends else number for row, number in enumerate(source)
    ] == made  # black holds the place


def test_a_ruin_is_not_converted(plain: Lab) -> None:
    path = plain.root / UNCOMPRESSED
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    told = plain.run("convert-videos", check=1)
    assert "c_A" in told and not (plain.root / CONVERTED).exists()


def test_converted_ones_play_as_quickly_as_asked(plain: Lab) -> None:
    (plain.root / "config.toml").write_text("converted_video_speed = 0.5\n[convert]\nquality = 40\n")
    plain.run("convert-videos")
    made = Video(plain.root / CONVERTED)
    assert made.info.rate == 15 and made.count() == 30
    size = (plain.root / CONVERTED).stat().st_size
    (plain.root / "config.toml").write_text("converted_video_speed = 0.5\n[convert]\nquality = 10\n")
    plain.run("convert-videos")
    assert (plain.root / CONVERTED).stat().st_size > 1.5 * size


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_raw_video_that_is_there_is_used_as_it_is(plain: Lab, suffix: str) -> None:
    raw = numbered((plain.root / CONVERTED).with_suffix(suffix), 20)
    before = raw.read_bytes()
    predict(plain.root, "s1/c_A", walk(20))
    assert "convert-videos" not in plain.run("status", "--why")
    plain.run("run-all")
    plain.run("run-all", "--force", "s1")
    plain.run("adopt")
    (plain.root / "config.toml").write_text("[convert]\nquality = 40\n")
    plain.run("run-all")
    assert raw.read_bytes() == before and len(list(raw.parent.iterdir())) == 1
    assert Video(plain.root / "s1/videos-labeled/c_A.mp4").count() == 20


def test_recordings_that_were_archived_altogether_are_no_obstacle(plain: Lab) -> None:
    predict(plain.root, "s1/c_A", walk(30))
    plain.run("run-all")
    kept = (plain.root / "s1/videos-labeled/c_A.mp4").read_bytes()
    (plain.root / UNCOMPRESSED).unlink()
    (plain.root / CONVERTED).unlink()
    plain.run("status")
    plain.run("run-all")
    assert (plain.root / "s1/videos-labeled/c_A.mp4").read_bytes() == kept


def test_a_conversion_that_was_cut_short_is_made_again(plain: Lab) -> None:
    plain.run("convert-videos")
    made = plain.root / CONVERTED
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) // 2])
    assert "cut short" in plain.run("status", "--why")
    plain.run("convert-videos")
    assert made.read_bytes() == whole


def test_a_network_sees_what_was_converted(plain: Lab) -> None:
    write_model(plain.root / "networks/mouse")
    (plain.root / "config.toml").write_text('model_folder = "networks/mouse"\n')
    with torch.random.fork_rng():
        plain.run("pose-2d", "--upstream")
    pose = read_pose_2d(plain.root / "s1/pose-2d/c_A.h5")
    assert pose.joints == NETWORK_JOINTS and len(pose.points) == 30 and (plain.root / CONVERTED).exists()
