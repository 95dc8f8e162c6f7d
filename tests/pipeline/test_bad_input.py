"""Bad input: each has its own message, nothing is lost, and other work goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anipipe.formats.calibrations import write_calibration
from anipipe.formats.poses3d import read_pose_3d
from anipipe.numerics.cameras import project
from tests.conftest import CONFIG, JOINTS, Lab, make_lab, make_rig, motion, write_dlc_csv

OTHERS = ("control/mouse1/pose-3d/t1.csv", "control/mouse1/pose-3d/t2.csv", "treated/mouse3/pose-3d/t1.csv")


def others_are_done(lab: Lab) -> bool:
    table = pd.read_csv(lab.root / "summaries/pose_3d.csv")
    rows = set(zip(table["folder_2"], table["filename"], strict=True))
    return all((lab.root / path).exists() for path in OTHERS) and rows == {
        ("mouse1", "t1"),
        ("mouse1", "t2"),
        ("mouse3", "t1"),
    }


def prediction(lab: Lab, camera: str = "A") -> Path:
    return lab.root / f"control/mouse2/predictions/t1_{camera}DLC_net_x1.csv"


# ---- configuration


def test_no_config(tmp_path: Path):
    text = Lab(tmp_path, make_rig()).run("run-all", check=2)
    assert "no config.toml here" in text
    assert "anipipe init" in text


def test_no_such_folder(lab: Lab):
    assert "there is no such folder" in lab.run("run-all", "elsewhere", check=2)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[triangulation\n", ["config.toml", "line 1"]),
        ("[filter]\nmedfilt = = 3\n", ["line 2", "column"]),
        (
            "[triangulation]\nscore_treshold = 0.5\n",
            ["triangulation.score_treshold", "did you mean", "score_threshold"],
        ),
        ("[triangulation]\nscore_threshold = 'high'\n", ["triangulation.score_threshold", "high"]),
        ("[triangulation]\nscore_threshold = -1\n", ["triangulation.score_threshold", "-1"]),
        ("[filter]\nmedfilt = 12\n", ["filter.medfilt", "12", "11", "13"]),
        ("[triangulation]\ncam_regex = 'cam[0-9]'\n", ["triangulation.cam_regex", "cam([0-9])"]),
        ("[triangulation]\ncam_regex = 'cam([0-9'\n", ["triangulation.cam_regex"]),
        ("path = 'not/there'\n", ["there is no such folder"]),
    ],
)
def test_wrong_experiment_config_stops_the_experiment(lab: Lab, line: str, words: list[str]):
    (lab.root / "config.toml").write_text(line)
    for command in ("run-all", "status"):
        text = lab.run(command, check=2)
        assert all(word in text for word in [*words, str(lab.root / "config.toml")]), text
        assert "Traceback" not in text


def test_wrong_session_config_fails_that_session_alone(lab: Lab):
    (lab.root / "control/mouse2/config.toml").write_text("[triangulation]\nscore_threshold = 'high'\n")
    text = lab.run("run-all", check=1)
    assert "control/mouse2" in text
    assert "triangulation.score_threshold" in text
    assert others_are_done(lab)
    missing = pd.read_csv(lab.root / "summaries/missing.csv")
    assert list(missing["session"]) == ["control/mouse2"]
    lab.run("run-all", "--only", "treated")
    (lab.root / "control/mouse2/config.toml").unlink()
    lab.run("run-all")


def test_one_wrong_experiment_among_two(lab: Lab):
    wrong = make_lab(lab.root.parent / "wrong")
    (wrong.root / "config.toml").write_text("projct = 'x'\n")
    text = lab.run("run-all", "..", check=2)
    assert "projct" in text
    assert (lab.root / "summaries/pose_3d.csv").exists()


def test_calibration_settings_below_a_shared_calibration(lab: Lab):
    (lab.root / "control/mouse2/config.toml").write_text("[calibration]\nfisheye = true\n")
    text = lab.run("run-all", check=1)
    assert "calibration.fisheye" in text
    assert "shared with other sessions" in text
    assert others_are_done(lab)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('back = ["nose", "neck", "hip"]', 'back = ["nose", "nek", "hip"]', "back"),
        (
            "[angles]",
            'axes = [["x", "nose", "nek"], ["z", "hip", "tail"]]\nreference_point = "nose"\n[angles]',
            "axes",
        ),
        ("[angles]", 'constraints = [["nose", "nek"]]\n[angles]', "triangulation.constraints"),
        ("[]", '[]\nlabeling.scheme = [["nose", "nek"]]', "labeling.scheme"),
    ],
)
def test_unknown_joint(lab: Lab, old: str, new: str, key: str):
    (lab.root / "config.toml").write_text(CONFIG.replace(old, new))
    text = lab.run("run-all", check=1)
    assert key in text
    assert "'nek'" in text
    assert "did you mean" in text
    assert "neck" in text
    assert "Traceback" not in text


# ---- folders and names


def test_empty_session(lab: Lab):
    (lab.root / "control/mouse9/videos-raw").mkdir(parents=True)
    text = lab.run("run-all")
    assert "control/mouse9: an empty session" in text


def test_experiment_without_sessions(tmp_path: Path):
    lab = Lab(tmp_path, make_rig())
    (tmp_path / "config.toml").write_text("")
    assert "no session" in lab.run("status")
    assert "no session" in lab.run("run-all", "-q", check=1)


def test_name_without_a_camera(lab: Lab):
    prediction(lab).rename(prediction(lab).with_name("t1DLC_net_x1.csv"))
    text = lab.run("run-all", check=1)
    assert "'t1'" in text
    assert "cam_regex" in text
    assert others_are_done(lab)


def test_two_videos_of_one_camera(lab: Lab):
    (lab.root / "config.toml").write_text(CONFIG.replace("'_([A-Z])$'", "'_(?:[a-z]-)?([A-Z])$'"))
    shutil.copy(prediction(lab), prediction(lab).with_name("t1_x-ADLC_net_x1.csv"))
    text = lab.run("run-all", check=1)
    assert "'t1_A'" in text
    assert "'t1_x-A'" in text
    assert others_are_done(lab)


def test_two_predictions_of_one_video(lab: Lab):
    shutil.copy(prediction(lab), prediction(lab).with_name("t1_ADLC_other_x1.csv"))
    text = lab.run("run-all", check=1)
    assert "t1_ADLC_other_x1.csv" in text
    assert "t1_ADLC_net_x1.csv" in text
    assert others_are_done(lab)


def test_camera_1_does_not_take_the_files_of_camera_10(tmp_path: Path):
    names = ("1", "10", "2")
    lab = Lab(tmp_path, make_rig(names))
    truth = motion(5, seed=3)
    for camera in lab.rig.cameras:
        path = tmp_path / f"s/predictions/vid cam{camera.name}DLC_net.csv"
        write_dlc_csv(path, project(truth, camera))
    (tmp_path / "config.toml").write_text("[triangulation]\ncam_regex = 'cam([0-9]+)'\n")
    (tmp_path / "calibration").mkdir()
    write_calibration(lab.rig, tmp_path / "calibration/calibration.toml")
    lab.run("run-all")
    pose = read_pose_3d(tmp_path / "s/pose-3d/vid.csv")
    assert np.allclose(pose.points, truth, atol=1e-6)
    assert np.all(pose.ncams == 3)


def test_odd_names(tmp_path: Path):
    lab = make_lab(tmp_path / "Käfig [1] & co")
    lab.add_session("Gruppe ü/Maus [2] {x} 100%~a", ("träl [a]{0}",))
    lab.run("run-all", "-j2")
    pose = read_pose_3d(lab.root / "Gruppe ü/Maus [2] {x} 100%~a/pose-3d/träl [a]{0}.csv")
    assert np.allclose(pose.points, lab.truth["Gruppe ü/Maus [2] {x} 100%~a/träl [a]{0}"], atol=1e-6)
    table = pd.read_parquet(lab.root / "summaries/pose_3d.parquet")
    assert "Maus [2] {x} 100%~a" in set(table["folder_2"])
    assert "0 jobs done" in lab.run("run-all")


# ---- files


@pytest.mark.parametrize("damage", ["empty", "truncated", "foreign"])
def test_bad_prediction_h5(lab: Lab, damage: str):
    good = lab.root / "good.h5"
    table = pd.read_csv(prediction(lab), header=[0, 1, 2], index_col=0)
    table.to_hdf(good, key="df_with_missing" if damage != "foreign" else "something_else", format="table")
    content = {"empty": b"", "truncated": good.read_bytes()[:3000], "foreign": good.read_bytes()}[damage]
    good.unlink()
    prediction(lab).unlink()
    bad = prediction(lab).with_suffix(".h5")
    bad.write_bytes(content)
    text = lab.run("run-all", check=1)
    assert bad.name in text
    assert "Traceback" not in text
    assert others_are_done(lab)
    missing = pd.read_csv(lab.root / "summaries/missing.csv")
    assert set(missing["session"]) == {"control/mouse2"}
    assert bad.read_bytes() == content


@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n" + b"\0" * 900, b"not an h5 file at all"])
def test_bad_given_pose_2d_is_kept_and_named(lab: Lab, content: bytes):
    path = lab.root / "control/mouse2/pose-2d/t1_A.h5"
    path.parent.mkdir()
    path.write_bytes(content)
    text = lab.run("run-all", check=1)
    assert str(path) in text
    assert path.read_bytes() == content
    assert others_are_done(lab)


def test_cameras_of_different_length(lab: Lab):
    lines = prediction(lab).read_text().splitlines(keepends=True)
    prediction(lab).write_text("".join(lines[:-2]))
    text = lab.run("run-all")
    assert "different length (A 4, B 6, C 6 frames)" in text
    pose = read_pose_3d(lab.root / "control/mouse2/pose-3d/t1.csv")
    assert len(pose.points) == 6
    assert np.all(pose.ncams[:4] == 3)
    assert np.all(pose.ncams[4:] == 2)


def test_joints_that_some_cameras_lack(lab: Lab):
    truth = lab.truth["control/mouse2/t1"]
    keep = [0, 3, 1]
    points = project(truth[:, keep], lab.rig.camera("A"))
    write_dlc_csv(prediction(lab), points, tuple(JOINTS[index] for index in keep))
    text = lab.run("run-all")
    assert "camera A lacks hip" in text
    pose = read_pose_3d(lab.root / "control/mouse2/pose-3d/t1.csv")
    order = [pose.joints.index(joint) for joint in JOINTS]
    assert np.allclose(pose.points[:, order], truth, atol=1e-6)
    assert np.all(pose.ncams[:, pose.joints.index("hip")] == 2)


def test_calibration_without_a_needed_camera(lab: Lab):
    (lab.root / "treated/calibration").mkdir()
    write_calibration(make_rig(("A", "B")), lab.root / "treated/calibration/calibration.toml")
    text = lab.run("run-all", check=1)
    assert "camera C" in text
    assert "treated/calibration/calibration.toml" in text
    table = pd.read_csv(lab.root / "summaries/pose_3d.csv")
    assert set(table["folder_2"]) == {"mouse1", "mouse2"}


def test_no_calibration_at_all(lab: Lab):
    shutil.rmtree(lab.root / "calibration")
    text = lab.run("run-all", check=1)
    assert "no calibration anywhere" in text
    assert "triangulation.triangulate = false" in text
    assert len(pd.read_parquet(lab.root / "summaries/pose_2d.parquet")) == 4 * 3 * 6
    (lab.root / "config.toml").write_text(CONFIG.replace("[angles]", "triangulate = false\n[angles]"))
    assert "3D" not in lab.run("run-all")


@pytest.mark.parametrize("content", ["", "[cam_0]\nname = 'A'\n", "[cam_0\n"])
def test_unusable_calibration(lab: Lab, content: str):
    (lab.root / "calibration/calibration.toml").write_text(content)
    text = lab.run("run-all", check=1)
    assert "calibration/calibration.toml" in text
    assert "Traceback" not in text


def test_a_camera_without_video_is_said(lab: Lab):
    prediction(lab).unlink()
    text = lab.run("run-all")
    assert "no video of camera A" in text
    assert np.all(read_pose_3d(lab.root / "control/mouse2/pose-3d/t1.csv").ncams == 2)


def test_a_single_camera_cannot_make_3d(lab: Lab):
    prediction(lab).unlink()
    prediction(lab, "B").unlink()
    text = lab.run("run-all", check=1)
    assert "at least two cameras" in text
    assert others_are_done(lab)


def test_one_bad_trial_among_twenty(tmp_path: Path):
    lab = make_lab(tmp_path / "experiment")
    for index in range(16):
        lab.add_session(f"more/mouse{index + 10}")
    bad = lab.root / "more/mouse12/predictions/t1_BDLC_net_x1.csv"
    whole = bad.read_text()
    bad.write_text(whole[: len(whole) // 2])
    text = lab.run("run-all", check=1)
    assert bad.name in text
    assert len(set(pd.read_csv(lab.root / "summaries/pose_3d.csv")["folder_2"])) == 18
    assert len(list((lab.root / "summaries/pose_3d.parquet").glob("part-*"))) == 19
    missing = pd.read_csv(lab.root / "summaries/missing.csv")
    assert set(missing["session"]) == {"more/mouse12"}
    # The next run tries that one alone again; once mended it joins the tables.
    text = lab.run("run-all", check=1)
    assert "0 jobs done" in text
    assert text.count("failed pose-2d") == 1
    bad.write_text(whole)
    lab.run("run-all")
    assert len(set(pd.read_csv(lab.root / "summaries/pose_3d.csv")["folder_2"])) == 19


# ---- the disk


def small_disk(path: Path, size: str) -> bool:
    return sys.platform == "linux" and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], stderr=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that nothing came in the way of."""
    lab = make_lab(tmp_path_factory.mktemp("finished") / "experiment")
    lab.run("run-all")
    return lab.files()


@pytest.mark.parametrize(("size", "jobs"), [("120k", 1), ("240k", 2)])
def test_full_disk(tmp_path: Path, size: str, jobs: int, finished: dict[str, bytes]):
    disk = tmp_path / "disk"
    disk.mkdir()
    if not small_disk(disk, size):
        pytest.skip("a small file system cannot be mounted here")
    try:
        small = make_lab(disk / "e")
        text = small.run("run-all", f"-j{jobs}", check=None)
        assert "the disk is full" in text or "No space left" in text
        assert "Traceback" not in text
        assert not [path for path in small.root.rglob(".anipipe-*")]
        # With more room it goes on, and ends as if nothing had been.
        subprocess.check_call(["mount", "-o", "remount,size=20m", str(disk)])
        small.run("run-all")
        assert small.files() == finished
    finally:
        # Lazily: a helper process of the worker pool may still have it as its current folder.
        subprocess.call(["umount", "-l", str(disk)])


def test_no_write_permission(lab: Lab):
    if sys.platform == "win32" or os.geteuid() != 0:
        for folder in ("control/mouse2", "."):
            (lab.root / folder).chmod(0o555)
            text = lab.run("run-all", check=1 if folder != "." else 2)
            assert "permission" in text
            (lab.root / folder).chmod(0o755)
        return
    # Root may write anywhere but in a read-only file system.
    for folder, status in (("control/mouse2", 1), (".", 2)):
        target = str(lab.root / folder)
        if subprocess.call(["mount", "--bind", target, target], stderr=subprocess.DEVNULL):
            pytest.skip("a read-only file system cannot be mounted here")
        try:
            subprocess.check_call(["mount", "-o", "remount,bind,ro", target])
            text = lab.run("run-all", check=status)
            assert "permission" in text or "Read-only" in text
            assert "Traceback" not in text
            assert lab.run("status")
        finally:
            subprocess.call(["umount", "-l", target])


# ---- what would be silently without effect


def test_settings_of_a_camera_that_is_not_there(lab: Lab):
    (lab.root / "config.toml").write_text(CONFIG + "\n[cameras.camA]\noffset = [5, 0]\n")
    text = lab.run("run-all", check=1)
    assert "cameras.camA: no video is of a camera 'camA'" in text
    assert "(cameras: A, B, C)" in text


def test_angles_called_like_columns_of_every_table(lab: Lab):
    for name in ("fnum", "filename", "project", "folder_1"):
        (lab.root / "config.toml").write_text(f'{CONFIG}{name} = ["nose", "neck", "hip"]\n')
        assert f"{name!r} is a column of every table" in lab.run("run-all", check=2)


def test_what_only_the_experiment_can_set(lab: Lab):
    for line in ("nesting = 2", "path = '..'", "[summaries]\ncsv = []", "[pipeline]\nsummaries = 'tables'"):
        (lab.root / "control/mouse2/config.toml").write_text(line + "\n")
        text = lab.run("run-all", check=1)
        assert "can only be set in the experiment's own config.toml" in text


def test_a_session_called_like_results_and_a_link_that_leads_nowhere(lab: Lab):
    (lab.root / "treated/mouse3").rename(lab.root / "treated/angles")
    (lab.root / "gone").symlink_to(lab.root / "nowhere")
    (lab.root / "loop").symlink_to("loop")
    (lab.root / ".#config.toml").symlink_to("editor@host")
    text = lab.run("run-all")
    assert ".#config" not in text
    assert "treated/angles looks like a session, but is called like a folder of results" in text
    assert "gone: a link that leads nowhere" in text
    assert "loop: a link that leads nowhere" in text


def test_a_session_on_a_disk_that_is_not_mounted(lab: Lab):
    away = lab.root.parent / "disk"
    (lab.root / "treated").rename(away)
    (lab.root / "treated").symlink_to(away)
    lab.run("run-all")
    away.rename(lab.root.parent / "unmounted")
    assert "treated: a link that leads nowhere" in lab.run("run-all", check=1)
    missing = (lab.root / "summaries/missing.csv").read_text()
    assert "treated,,,failed,a link that leads nowhere" in missing, "the tables are without it"
    (lab.root.parent / "unmounted").rename(away)
    lab.run("run-all")
    assert set(pd.read_csv(lab.root / "summaries/pose_3d.csv")["folder_2"]) == {"mouse1", "mouse2", "mouse3"}


def test_joints_that_no_two_cameras_see(lab: Lab):
    for camera in "AB":
        truth = lab.truth["control/mouse2/t1"]
        scores = np.full(truth.shape[:2], 0.9)
        scores[:, JOINTS.index("hip")] = 0.1
        write_dlc_csv(prediction(lab, camera), project(truth, lab.rig.camera(camera)), scores=scores)
    text = lab.run("run-all")
    assert "no 3D at all for hip" in text


def test_two_cameras_in_one_place(lab: Lab):
    path = lab.root / "calibration/calibration.toml"
    rig = lab.rig
    copies = [
        rig.cameras[0],
        rig.cameras[1],
        type(rig.cameras[2])(**{**_fields(rig.cameras[1]), "name": "C"}),
    ]
    write_calibration(type(rig)(tuple(copies), {}), path)
    said = lab.run("run-all", check=1)
    assert "cameras B and C in one and the same place" in said and "failed pose-3d" in said


def _fields(camera: object) -> dict[str, object]:
    names = ("name", "size", "matrix", "distortions", "rotation", "translation", "fisheye")
    return {name: getattr(camera, name) for name in names}


def test_a_network_that_is_gone_does_not_matter_where_only_predictions_are(lab: Lab):
    (lab.root / "config.toml").write_text('model_type = "deeplabcut"\nmodel_folder = "net"\n' + CONFIG)
    assert "net" not in lab.run("run-all")
    assert (lab.root / "summaries/pose_3d.csv").exists()


def test_a_file_of_ones_own_called_missing_csv(lab: Lab):
    (lab.root / "summaries").mkdir()
    (lab.root / "summaries/missing.csv").write_text("my,list\n1,2\n")
    assert "not replaced" in lab.run("run-all", check=1)
    assert (lab.root / "summaries/missing.csv").read_text() == "my,list\n1,2\n"


def test_unknown_joints_are_told_before_anything_is_tried(lab: Lab):
    lab.run("run-all")
    (lab.root / "config.toml").write_text(CONFIG.replace('["nose", "neck", "hip"]', '["nose", "nek", "hip"]'))
    text = lab.run("status")
    assert "blocked" in text
    text = lab.run("run-all", check=1)
    assert "blocked angles control/mouse1/t1 and 3 more" in text
    assert "failed" not in text
    (lab.root / "config.toml").write_text(CONFIG)
    assert "blocked" not in lab.run("run-all")
