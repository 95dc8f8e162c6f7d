"""From recordings of the board to a calibration, and what is said where none can come of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from anipipe.formats.board_detections import read_board_detections
from anipipe.formats.calibrations import read_calibration, write_calibration
from anipipe.formats.poses3d import read_pose_3d
from anipipe.numerics.boards.geometry import make_board
from anipipe.numerics.cameras import project
from tests.conftest import Lab
from tests.formats.videos import INTRA, record

from .films import BOARD, CONFIG, board_poses, film, picture, rig

POSES = board_poses(12)
BLIND = [None] * 6


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One board recording of each of four cameras, made once."""
    folder = tmp_path_factory.mktemp("films")
    return {
        camera.name: film(folder / f"board_{camera.name}.mp4", camera, POSES)
        for camera in rig("ABCD").cameras
    }


@pytest.fixture
def empty(tmp_path: Path) -> Lab:
    """An experiment of one session whose cameras are to be calibrated."""
    lab = Lab(tmp_path / "experiment", rig())
    lab.add_session("s1")
    (lab.root / "config.toml").write_text(CONFIG)
    (lab.root / "calibration").mkdir()
    return lab


@pytest.fixture
def lab(empty: Lab, films: dict[str, Path]) -> Lab:
    for name in "ABC":
        shutil.copy(films[name], empty.root / "calibration")
    return empty


def failure(lab: Lab) -> str:
    """Run; return what is said of a calibration that fails."""
    said = lab.run("run-all", check=1)
    assert "failed calibrate" in said or "failed detect-boards" in said, said
    assert not (lab.root / "calibration/calibration.toml").exists()
    return said


def test_cameras_are_where_they_were_and_points_too(lab: Lab):
    lab.run("run-all")
    found = read_calibration(lab.root / "calibration/calibration.toml")
    true = rig()
    for a, b in (("A", "B"), ("A", "C"), ("B", "C")):
        apart = [np.linalg.norm(r.camera(a).centre - r.camera(b).centre) for r in (found, true)]
        assert apart[0] == pytest.approx(apart[1], rel=0.01)
    assert np.allclose(found.cameras[0].rotation, 0) and np.allclose(found.cameras[0].translation, 0)
    report = json.loads((lab.root / "calibration/report.json").read_text())
    assert report["overall"]["median"] < 0.1 and set(report["cameras"]) == set("ABC")
    detections = read_board_detections(lab.root / "calibration/detections/board_B.csv")
    where = true.camera("B")
    for number in range(12):
        rows = detections.numbers == number
        world = POSES[number][:3, :3] @ _points(detections.corners[rows]).T + POSES[number][:3, 3:]
        assert np.abs(project(world.T, where) - detections.points[rows]).max() < 0.35
    first = (lab.root / "calibration/calibration.toml").read_bytes()
    assert "0 jobs done" in lab.run("run-all")
    lab.run("calibrate", "--force", "calibration/calibration.toml")
    assert (lab.root / "calibration/calibration.toml").read_bytes() == first


def _points(corners: np.ndarray) -> np.ndarray:
    return BOARD.points[corners]


def test_a_given_calibration_is_used_and_the_recordings_beside_it_are_not(lab: Lab):
    given = lab.root / "calibration/calibration.toml"
    write_calibration(rig(), given)
    before = given.read_bytes()
    said = lab.run("run-all")
    assert "calibration.toml was not made by anipipe and is used as it is" in said
    assert f"--force {'calibration/calibration.toml'}" in said
    assert given.read_bytes() == before and not (lab.root / "calibration/detections").exists()
    film_ = lab.root / "calibration/board_A.mp4"
    film_.write_bytes(film_.read_bytes() + b"more")
    said = lab.run("run-all")
    assert "conflict calibrate" in said and "board_A.mp4 changed" in said
    lab.run("run-all", "--force", "calibration/calibration.toml")
    assert given.read_bytes() != before and "0 jobs done" in lab.run("run-all")


def test_a_board_that_nobody_saw(empty: Lab):
    for camera in empty.rig.cameras:
        film(empty.root / f"calibration/board_{camera.name}.mp4", camera, BLIND)
    said = failure(empty)
    assert "no camera" in said or "never seen" in said


def test_a_board_that_one_camera_alone_saw(empty: Lab, films: dict[str, Path]):
    shutil.copy(films["A"], empty.root / "calibration")
    for camera in empty.rig.cameras[1:]:
        film(empty.root / f"calibration/board_{camera.name}.mp4", camera, BLIND)
    said = failure(empty)
    assert "B" in said and "C" in said and "A" in said


def test_two_groups_of_cameras_that_never_share_it(empty: Lab, films: dict[str, Path]):
    empty.rig = rig("ABCD")
    empty.add_session("s1")
    for camera in empty.rig.cameras:
        half = [*POSES[:6], *BLIND] if camera.name in "AB" else [*BLIND, *POSES[6:]]
        film(empty.root / f"calibration/board_{camera.name}.mp4", camera, half)
    said = failure(empty)
    assert "A, B" in said and "C, D" in said


def test_another_board_than_the_configured_one(lab: Lab):
    config = lab.root / "config.toml"
    config.write_text(config.read_text().replace("board_marker_bits = 4", "board_marker_bits = 5"))
    said = failure(lab)
    assert "set `calibration.board_marker_bits = 4`" in said


def test_a_missing_key_of_the_board_is_named(lab: Lab):
    config = lab.root / "config.toml"
    config.write_text(config.read_text().replace("board_square_side_length = 20.0\n", ""))
    said = lab.run("run-all", check=1)
    assert "calibration.board_square_side_length" in said


def test_recordings_without_a_board_in_the_configuration(lab: Lab):
    (lab.root / "config.toml").write_text("[triangulation]\ncam_regex = '_([A-D])$'\n")
    assert "calibration.board_type is missing" in failure(lab)


@pytest.mark.parametrize("damage", ["empty", "cut", "sound", "text"])
def test_a_recording_that_cannot_be_read_is_named_and_other_work_goes_on(lab: Lab, damage: str):
    path = lab.root / "calibration/board_B.mp4"
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("not a video at all, though it is called one")
    else:
        _sound_only(path)
    said = failure(lab)
    assert "board_B.mp4" in said
    assert (lab.root / "s1/pose-2d/t1_A.h5").exists()
    assert (lab.root / "calibration/detections/board_A.csv").exists()


def _sound_only(path: Path) -> None:
    import av

    path.unlink()
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def test_still_images_are_paired_by_name_and_a_missing_one_shifts_nothing(empty: Lab):
    for camera in empty.rig.cameras:
        for number, pose in enumerate(POSES):
            if (camera.name, number) not in {("A", 3), ("C", 9)}:
                name = f"pose{number}_{camera.name}.png"
                cv2.imwrite(str(empty.root / "calibration" / name), picture(camera, pose))
    empty.run("run-all")
    report = json.loads((empty.root / "calibration/report.json").read_text())
    assert report["overall"]["median"] < 0.1 and report["cameras"]["A"]["frames"] == 11
    listed = read_board_detections(empty.root / "calibration/detections/images_B.csv").trials
    assert list(dict.fromkeys(listed)) == [f"pose{number}" for number in range(12)]


def test_several_recordings_are_paired_by_name(empty: Lab):
    for camera in empty.rig.cameras:
        for trial, poses in (("one", POSES[:4]), ("three", POSES[4:8]), ("two", POSES[8:])):
            if (camera.name, trial) != ("B", "three"):
                film(empty.root / f"calibration/{trial}_{camera.name}.mp4", camera, poses)
    empty.run("run-all")
    report = json.loads((empty.root / "calibration/report.json").read_text())
    assert report["overall"]["median"] < 0.1 and report["cameras"]["B"]["frames_looked_at"] == 8


def test_rows_deleted_by_hand_are_left_out(lab: Lab):
    lab.run("run-all")
    path = lab.root / "calibration/detections/board_B.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("board,5,")))
    said = lab.run("run-all")
    assert "1 edited" in said
    report = json.loads((lab.root / "calibration/report.json").read_text())
    assert report["cameras"]["B"]["frames"] == 11


def _start_from(lab: Lab, name: str) -> None:
    config = lab.root / "config.toml"
    key = f'calibration_init = "{name}"'
    config.write_text(config.read_text().replace("[triangulation]", f"{key}\n[triangulation]"))


def test_a_starting_calibration_that_is_not_there(lab: Lab):
    _start_from(lab, "old.toml")
    assert "calibration_init = 'old.toml': there is no such file" in failure(lab)


def test_a_starting_calibration_without_recordings_is_the_calibration(empty: Lab):
    _start_from(empty, "old.toml")
    write_calibration(rig(), empty.root / "old.toml")
    empty.run("run-all")
    assert (empty.root / "s1/pose-3d/t1.csv").exists()
    found = read_calibration(empty.root / "calibration/calibration.toml")
    assert all(np.array_equal(a.matrix, b.matrix) for a, b in zip(found.cameras, rig().cameras, strict=True))


def test_a_recording_without_a_camera_in_its_name_is_told(lab: Lab):
    shutil.copy(lab.root / "calibration/board_A.mp4", lab.root / "calibration/holiday.mp4")
    assert "calibration/holiday.mp4: passed over" in lab.run("status")


def _with_videos(lab: Lab, size: tuple[int, int], frames: int = 6) -> None:
    (lab.root / "s1/videos-raw").mkdir(exist_ok=True)
    for camera in lab.rig.cameras:
        record(lab.root / f"s1/videos-raw/t1_{camera.name}.mp4", frames, size=size)


@pytest.fixture
def calibrated(empty: Lab) -> Lab:
    write_calibration(rig(), empty.root / "calibration/calibration.toml")
    return empty


def test_a_recording_of_another_size_needs_to_say_which_part_it_is(calibrated: Lab):
    _with_videos(calibrated, (320, 240))
    said = calibrated.run("run-all", check=1)
    assert "recorded 320 x 240 px but was calibrated with 640 x 480 px" in said
    assert "set cameras.A.offset" in said
    config = calibrated.root / "config.toml"
    plain = config.read_text()
    offsets = "".join(f"[cameras.{name}]\noffset = [{{}}, 100]\n" for name in "ABC")
    config.write_text(plain + offsets.format(400, 400, 400))
    assert "reaches beyond" in calibrated.run("run-all", check=1)
    config.write_text(plain + offsets.format(200, 200, 200))
    calibrated.run("run-all")


def test_a_recording_of_the_calibrated_size_needs_nothing(calibrated: Lab):
    _with_videos(calibrated, (640, 480))
    calibrated.run("run-all")


@pytest.mark.parametrize(("frames", "said"), [(9, "end after 6"), (4, "go on for 6 frames")])
def test_predictions_of_another_length_than_the_video(calibrated: Lab, frames: int, said: str):
    _with_videos(calibrated, (640, 480), frames)
    assert said in calibrated.run("run-all")
    from anipipe.formats.poses2d import read_pose_2d

    pose = read_pose_2d(calibrated.root / "s1/pose-2d/t1_A.h5")
    assert len(pose.points) == max(frames, 6) and pose.size == (640, 480)
    assert np.isnan(pose.points[6:]).all()


def test_a_video_that_cannot_be_read_does_not_keep_its_predictions_back(calibrated: Lab):
    _with_videos(calibrated, (640, 480))
    (calibrated.root / "s1/videos-raw/t1_A.mp4").write_bytes(b"")
    said = calibrated.run("run-all")
    assert "t1_A.mp4" in said and "predictions are used all the same" in said
    assert (calibrated.root / "s1/pose-3d/t1.csv").exists()


def test_an_even_median_is_refused_with_key_and_value(calibrated: Lab):
    config = calibrated.root / "config.toml"
    config.write_text("[filter]\nmedfilt = 4\n" + config.read_text())
    said = calibrated.run("run-all", check=2)
    assert "filter.medfilt = 4" in said and "odd" in said


def test_poses_that_were_made_elsewhere_are_checked_against_their_videos(calibrated: Lab):
    calibrated.run("pose-2d")
    shutil.rmtree(calibrated.root / "s1/.anipipe")
    shutil.rmtree(calibrated.root / "s1/predictions")
    _with_videos(calibrated, (320, 240))
    assert "recorded 320 x 240 px but was calibrated with" in calibrated.run("run-all", check=1)


def test_recordings_that_went_to_the_archive_leave_all_as_it_was(lab: Lab):
    _start_from(lab, "old.toml")
    write_calibration(rig(), lab.root / "old.toml")
    _with_videos(lab, (640, 480))
    lab.run("run-all")
    before = (lab.root / "calibration/calibration.toml").read_bytes()
    for path in [*(lab.root / "calibration").glob("*.mp4"), *(lab.root / "s1/videos-raw").iterdir()]:
        path.unlink()
    assert "0 jobs done" in lab.run("run-all")
    config = lab.root / "config.toml"
    config.write_text(
        config.read_text().replace("side_length = 20.0", "side_length = 40.0").replace("15.0", "30.0")
    )
    said = lab.run("run-all")
    assert "done calibrate" in said and "done detect-boards" not in said
    assert (lab.root / "calibration/calibration.toml").read_bytes() != before


def test_one_recording_of_several_in_the_archive_takes_no_camera_away(lab: Lab):
    lab.run("run-all")
    (lab.root / "calibration/board_C.mp4").unlink()
    assert "0 jobs done" in lab.run("run-all")
    (lab.root / "calibration/detections/board_C.csv").unlink()
    assert "1 archived" in lab.run("run-all")
    calibration = "calibration/calibration.toml"
    assert "done calibrate" in lab.run("run-all", "--force", calibration, check=1)  # 3D now lacks the camera


def test_measuring_the_print_again_detects_nothing_again(lab: Lab):
    lab.run("run-all")
    config = lab.root / "config.toml"
    config.write_text(config.read_text().replace("20.0", "20.2").replace("15.0", "15.15"))
    said = lab.run("run-all")
    assert "done calibrate" in said and "done detect-boards" not in said


def test_a_fault_in_the_recordings_is_the_calibrations_alone(lab: Lab):
    shutil.copy(lab.root / "calibration/board_A.mp4", lab.root / "calibration/board_A.avi")
    said = lab.run("run-all", check=1)
    assert "are both board recording 'board_A'" in said
    assert (lab.root / "s1/pose-2d/t1_A.h5").exists()
    write_calibration(rig(), lab.root / "calibration/calibration.toml")
    lab.run("run-all")


def test_recordings_without_any_camera_in_their_names(empty: Lab, films: dict[str, Path]):
    _start_from(empty, "old.toml")
    write_calibration(rig(), empty.root / "old.toml")
    shutil.copy(films["A"], empty.root / "calibration/first.mp4")
    said = empty.run("run-all", check=1)
    assert "first.mp4: passed over" in said
    assert not (empty.root / "calibration/calibration.toml").exists()


def test_a_calibration_cannot_start_from_itself(lab: Lab):
    _start_from(lab, "calibration/calibration.toml")
    assert "is the file that is to be made from it" in lab.run("run-all", check=1)


def test_an_empty_folder_hides_no_calibration(calibrated: Lab):
    (calibrated.root / "s1/calibration").mkdir()
    _start_from(calibrated, "old.toml")
    write_calibration(rig(), calibrated.root / "old.toml")
    calibrated.run("run-all")
    assert not (calibrated.root / "s1/calibration/calibration.toml").exists()


@pytest.mark.parametrize(("size", "told"), [((8, 6), True), ((9, 6), False)])
def test_a_checkerboard_that_looks_the_same_turned_round_is_told(
    empty: Lab, size: tuple[int, int], told: bool
):
    board = make_board("checkerboard", size, square=20.0)
    config = f'[calibration]\nboard_type = "checkerboard"\nboard_size = {list(size)}\n'
    rest = "board_square_side_length = 20.0\n\n[triangulation]\ncam_regex = '_([A-D])$'\n"
    (empty.root / "config.toml").write_text(config + rest)
    for camera in empty.rig.cameras:
        film(empty.root / f"calibration/board_{camera.name}.mp4", camera, POSES, board)
    assert ("looks the same turned by 180 degrees" in empty.run("calibrate", "--upstream")) == told
    report = json.loads((empty.root / "calibration/report.json").read_text())
    assert report["overall"]["median"] < 0.2


def test_predictions_of_a_video_that_lacks_frames_are_moved_to_their_frames(calibrated: Lab):
    calibrated.add_session("s2", frames=57)
    (calibrated.root / "s2/videos-raw").mkdir()
    for camera in calibrated.rig.cameras:
        path = calibrated.root / f"s2/videos-raw/t1_{camera.name}.mp4"
        record(path, 60, size=(640, 480), options=INTRA, lost={20, 21, 22})
    assert "lacks 3 frames" in calibrated.run("run-all")
    pose = read_pose_3d(calibrated.root / "s2/pose-3d/t1.csv")
    assert np.flatnonzero(np.isnan(pose.points).all(axis=(1, 2))).tolist() == [20, 21, 22]
    assert len(pose.points) == 60


def test_cameras_that_do_not_fit_are_refused(lab: Lab):
    film(lab.root / "calibration/board_B.mp4", lab.rig.camera("B"), POSES[::-1])
    assert "no cameras fit what was seen of the board" in failure(lab)


def test_the_animal_takes_part_where_its_poses_are_current(lab: Lab):
    write = lab.root / "config.toml"
    lab.run("run-all")
    alone = (lab.root / "calibration/calibration.toml").read_text()
    assert "0 jobs done" in lab.run("run-all")
    write.write_text(CONFIG.replace('distortion = "k1"', 'distortion = "k1"\nanimal_calibration = true'))
    said = lab.run("run-all")
    assert "done calibrate" in said
    together = (lab.root / "calibration/calibration.toml").read_text()
    assert "adjusted = true" in together and "adjusted = false" in alone
    lab.add_session("s2")
    broken = lab.root / "s2/predictions/t1_BDLC_net_x1.csv"
    broken.write_text("not a prediction\n")
    said = lab.run("run-all", check=1)
    # the broken one is left out, and the others of its session take part
    assert "calibrate calibration does without pose-2d s2/t1_B: failed" in said
    assert "failed pose-2d s2/t1_B" in said and "done calibrate" in said and "failed calibrate" not in said
    assert (lab.root / "calibration/calibration.toml").read_text() != together
    assert "pose-3d s1/t1" in lab.run("status", "--why") or "0 jobs done" in lab.run("run-all", check=1)


def test_the_report_is_a_page_with_a_picture_of_each_camera(lab: Lab):
    said = lab.run("run-all")
    page = (lab.root / "calibration/report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert all(f"note calibrate calibration: camera {name}: mean 0." in said for name in "ABC")
    first = page
    lab.run("calibrate", "--force", "calibration/report.html")
    assert (lab.root / "calibration/report.html").read_text() == first
    for name in "ABC":
        (lab.root / f"calibration/board_{name}.mp4").unlink()
    assert "0 jobs done" in lab.run("run-all")  # the recordings went to the archive
    lab.run("calibrate", "--force", "calibration/report.html")
    assert "data:image/jpeg" not in (lab.root / "calibration/report.html").read_text()


def test_the_board_can_be_the_world_and_a_wrong_frame_is_told(lab: Lab):
    key = 'distortion = "k1"\nworld = "board"\nworld_frame = '
    (lab.root / "config.toml").write_text(CONFIG.replace('distortion = "k1"', key + "3"))
    lab.run("run-all")
    found = read_calibration(lab.root / "calibration/calibration.toml")
    assert all(camera.centre[2] > 500 for camera in found.cameras)
    true = rig()
    middle = np.linalg.inv(POSES[3]) @ [*true.camera("B").centre, 1]
    assert (
        abs(middle[0] - found.camera("B").centre[0]) < 3 and abs(middle[2]) - found.camera("B").centre[2] < 8
    )
    (lab.root / "config.toml").write_text(CONFIG.replace('distortion = "k1"', key + "99"))
    said = lab.run("run-all", check=1)
    assert (
        "the board was not found in frame 99 of any recording (it was in 'board' in frames 0 to 11)" in said
    )


def test_one_camera_that_contradicts_three_is_named_and_nothing_is_made_of_it(
    empty: Lab, films: dict[str, Path]
):
    for name in "ABD":
        shutil.copy(films[name], empty.root / "calibration")
    late = [POSES[-1], *POSES[:-1]]
    film(empty.root / "calibration/board_C.mp4", rig("ABCD").camera("C"), late)
    said = failure(empty)
    assert "camera C " in said and "Without camera C the others agree" in said
    assert "at the same time, frame by frame" in said


def test_an_animal_that_only_one_calibrated_camera_saw(lab: Lab):
    write = CONFIG.replace('distortion = "k1"', 'distortion = "k1"\nanimal_calibration = true')
    (lab.root / "config.toml").write_text(write)
    for name in "BC":
        next((lab.root / "s1/predictions").glob(f"*_{name}DLC*")).unlink()
    said = lab.run("calibrate", "--upstream")
    assert "there are no joints that two cameras saw at one time" in said
    assert "adjusted = false" in (lab.root / "calibration/calibration.toml").read_text()
