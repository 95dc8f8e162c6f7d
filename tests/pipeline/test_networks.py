"""``pose-2d`` by a network: right rows, redone when the model or what is asked of it changes, bad input."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from anipipe.formats.poses2d import read_pose_2d
from anipipe.formats.video import Video
from anipipe.networks.decoding import decode
from anipipe.networks.loading import load_model
from anipipe.networks.sources import find_model
from anipipe.project import walk
from anipipe.stages.labeling import OverlayOptions
from tests.conftest import CONFIG, Lab, make_rig, write_dlc_csv
from tests.formats.videos import REORDERED, colourful, record
from tests.pipeline.models import JOINTS, write_model
from tests.pipeline.test_redo import last_report

SIZE = (160, 128)
TWO_D = """\
project = "test"
model_folder = "networks/mouse"
labeling.pictures = []
[triangulation]
cam_regex = "_([A-Z])$"
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two sessions with a video of each of two cameras, and a network."""
    root = tmp_path / "experiment"
    for session in ("s1", "s2"):
        (root / session / "videos-raw").mkdir(parents=True)
        for camera in "AB":
            record(
                root / f"{session}/videos-raw/t_{camera}.mp4",
                12,
                size=SIZE,
                paint=colourful,
                options=REORDERED,
            )
    write_model(root / "networks/mouse")
    (root / "config.toml").write_text(TWO_D)
    return Lab(root, make_rig())


def by_hand(model: Path, video: Path) -> np.ndarray:
    """What a plain loop over the frames finds, (frames, joints, 3)."""
    trained = load_model(find_model(model))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    rows = []
    for _, picture in Video(video).frames():
        assert picture is not None
        image = ((picture[..., ::-1] / 255 - mean) / deviation).astype(np.float32)
        with torch.inference_mode():
            outputs = trained.network(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
            points, scores = decode(trained.decoding, outputs)
        rows.append(torch.cat([points[0, :, 0], scores[0, :, 0, None]], dim=-1).numpy())
    return np.array(rows)


def test_points_are_those_of_a_plain_loop_and_a_second_run_does_nothing(lab: Lab) -> None:
    lab.run("pose-2d", "-j2")
    pose = read_pose_2d(lab.root / "s2/pose-2d/t_B.h5")
    expected = by_hand(lab.root / "networks/mouse", lab.root / "s2/videos-raw/t_B.mp4")
    assert pose.joints == JOINTS and pose.size == SIZE
    assert np.abs(pose.points[:, :, 0] - expected[..., :2]).max() < 0.01
    assert np.abs(pose.scores[:, :, 0] - expected[..., 2]).max() < 1e-4
    assert len(np.unique(pose.points[:, 0, 0, 0])) > 3  # the network does look at the frames
    lab.run("pose-2d")
    assert not last_report(lab)
    assert "cpu, float32" in (lab.root / "s1/.anipipe/records.jsonl").read_text()


def test_what_is_done_again_after_which_change(lab: Lab) -> None:
    lab.run("pose-2d")
    everything = {f"pose-2d {session}/t_{camera}" for session in ("s1", "s2") for camera in "AB"}
    config = lab.root / "config.toml"

    config.write_text(TWO_D + "[network]\nbatch_size = 3\ndevice = 'cpu'\n")
    assert "pose-2d" not in lab.run("status", "--why").split("session")[0]
    lab.run("pose-2d")
    assert not last_report(lab)

    (lab.root / "networks").rename(lab.root / "models")
    config.write_text(TWO_D.replace("networks/mouse", "models/mouse"))
    lab.run("pose-2d")
    assert not last_report(lab)

    config.write_text(
        TWO_D.replace("networks/mouse", "models/mouse") + "[network.crop]\nB = [32, 32, 96, 64]\n"
    )
    lab.run("pose-2d")
    assert last_report(lab) == {job for job in everything if job.endswith("_B")}
    cropped = read_pose_2d(lab.root / "s1/pose-2d/t_B.h5").points
    assert cropped[..., 0].min() > 0 and (cropped.reshape(-1, 2).mean(axis=0) > 40).all()

    write_model(lab.root / "models/mouse", seed=5)
    assert "model changed" in lab.run("status", "--why")
    lab.run("pose-2d")
    assert last_report(lab) == everything


def test_a_model_on_a_share_that_is_not_mounted_makes_nothing_stale(lab: Lab) -> None:
    lab.run("pose-2d")
    (lab.root / "networks").rename(lab.root / "elsewhere")
    (lab.root / "model").mkdir()  # of the name that the network has among the facts
    told = lab.run("pose-2d")
    assert "is not there; if it lies on another disk or on a share, is that mounted?" in told
    assert not last_report(lab)
    record(lab.root / "s1/videos-raw/new_A.mp4", 5, size=SIZE)
    told = lab.run("pose-2d", check=1)
    assert "s1/new_A" in told and "is that mounted?" in told
    (lab.root / "elsewhere").rename(lab.root / "networks")
    lab.run("pose-2d")
    assert last_report(lab) == {"pose-2d s1/new_A"}


def test_poses_of_videos_that_were_archived_stay(lab: Lab) -> None:
    lab.run("pose-2d")
    shutil.rmtree(lab.root / "s1/videos-raw")
    (lab.root / "model").mkdir()
    lab.run("pose-2d")
    assert not last_report(lab)
    told = lab.run("status", "--why")
    assert "archived pose-2d s1/t_A\n    input s1/videos-raw/t_A.mp4 is gone\n" in told


def test_a_network_that_makes_no_numbers_fails_and_counts_no_damage(lab: Lab) -> None:
    snapshot = lab.root / "networks/mouse/train/snapshot-001.pt"
    content = torch.load(snapshot)
    content["model"]["heads.bodypart.heatmap_head.deconv_layers.0.bias"][0] = float("nan")
    torch.save(content, snapshot)
    told = lab.run("pose-2d", check=1)
    assert "in 12 frames the network's answer is no number (cpu, float32)" in told and "damaged" not in told


@pytest.mark.parametrize("victim", ["run", "worker"])
def test_a_killed_run_leaves_no_partial_pose_and_ends_like_one_never_killed(lab: Lab, victim: str) -> None:
    record(
        lab.root / "s1/videos-raw/t_A.mp4", 150, size=SIZE, paint=lambda row, size: colourful(row % 12, size)
    )
    command = [sys.executable, "-m", "anipipe.cli", "pose-2d", "-j2", str(lab.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    meters = Path(tempfile.gettempdir())
    while not list(meters.glob(f"anipipe-{process.pid}-*")) and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None
    if victim == "run":
        process.kill()
    else:
        for worker in children(process.pid):
            os.kill(worker, signal.SIGKILL)
    process.wait(120)
    found = list((lab.root / "s1").rglob("pose-2d/*.h5"))
    assert all(len(read_pose_2d(path).points) in (12, 150) for path in found)
    lab.run("pose-2d")
    assert not list(lab.root.rglob(".anipipe-*"))
    expected = by_hand(lab.root / "networks/mouse", lab.root / "s1/videos-raw/t_A.mp4")
    points = read_pose_2d(lab.root / "s1/pose-2d/t_A.h5").points
    assert np.abs(points[:, :, 0] - expected[..., :2]).max() < 0.01


def children(process: int) -> list[int]:
    """The worker processes of a run."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(process)], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "LokyProcess" in line]


def test_each_camera_may_have_a_network_of_its_own(lab: Lab) -> None:
    write_model(lab.root / "networks/side", joints=("nose", "tail"), seed=3)
    (lab.root / "config.toml").write_text(TWO_D + "[cameras.B]\nmodel_folder = 'networks/side'\n")
    lab.run("pose-2d")
    assert read_pose_2d(lab.root / "s1/pose-2d/t_A.h5").joints == JOINTS
    assert read_pose_2d(lab.root / "s1/pose-2d/t_B.h5").joints == ("nose", "tail")
    # a joint has one colour in all pictures, also of the trial
    for unit in (unit for unit in walk(lab.root).units if unit.kind in ("video", "trial")):
        options = OverlayOptions.of(unit.settings).for_unit(unit)
        assert options.colours(["tail", "nose"]).tolist() == [[255, 0, 0], [128, 0, 255]], unit.label
        assert options.facts()["joints of all cameras"] == list(JOINTS)


def test_predictions_come_before_the_network_unless_a_kind_is_named(lab: Lab) -> None:
    write_dlc_csv(lab.root / "s1/predictions/t_ADLC_net_x1.csv", np.full((12, 3, 2), 7.0), JOINTS)
    told = lab.run("pose-2d")
    assert "s1: there are predictions for t_A, which are taken instead of running the network" in told
    assert (read_pose_2d(lab.root / "s1/pose-2d/t_A.h5").points == 7).all()
    assert (read_pose_2d(lab.root / "s1/pose-2d/t_B.h5").points != 7).all()
    (lab.root / "config.toml").write_text('model_type = "deeplabcut"\n' + TWO_D)
    lab.run("pose-2d")
    assert last_report(lab) == {"pose-2d s1/t_A"}


def test_damaged_frames_are_empty_rows_and_nothing_shifts(lab: Lab) -> None:
    video = lab.root / "s1/videos-raw/t_A.mp4"
    lab.run("pose-2d")
    whole = read_pose_2d(lab.root / "s1/pose-2d/t_A.h5").points
    record(video, 12, size=SIZE, paint=colourful, options=REORDERED, lost=(5,), torn=True)
    missing = [row for row, picture in Video(video).frames() if picture is None]
    told = lab.run("pose-2d")
    points = read_pose_2d(lab.root / "s1/pose-2d/t_A.h5").points
    assert len(points) == 12 and missing
    assert f"{len(missing)} of 12 frames are missing or damaged" in told
    assert np.isnan(points).all(axis=(1, 2, 3)).nonzero()[0].tolist() == missing
    after = slice(max(missing) + 1, None)
    off = np.abs(points[after] - whole[after])
    assert np.mean(off < 0.01) > 0.8  # peaks of equal height may change places
    assert "what 1 job noted" in lab.run("status")
    told = lab.run("status", "--why")
    assert f"noted pose-2d s1/t_A\n    t_A.mp4: {len(missing)} of 12 frames are missing or damaged" in told


def test_several_candidates_are_kept_for_the_filter_to_choose_from(lab: Lab) -> None:
    (lab.root / "config.toml").write_text(TWO_D + "[network]\nnum_outputs = 3\n")
    lab.run("pose-2d")
    pose = read_pose_2d(lab.root / "s1/pose-2d/t_A.h5")
    assert pose.points.shape == (12, 3, 3, 2)
    assert (np.diff(np.nan_to_num(pose.scores), axis=2) <= 0).all()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("[network]\ncrop = [100, 0, 100, 100]", "network.crop = [100, 0, 100, 100] reaches to (200, 100)"),
        ("[network]\nprecision = 'float16'\ndevice = 'cpu'", '"bfloat16" is the quick one'),
        ("[network.crop]\nC = [0, 0, 9, 9]", "network.crop.C: no video is of a camera 'C'"),
    ],
)
def test_settings_that_cannot_be_are_told(lab: Lab, keys: str, words: str) -> None:
    (lab.root / "config.toml").write_text(TWO_D + keys + "\n")
    assert words in lab.run("pose-2d", check=1)


def test_joints_that_the_network_does_not_know_are_told_before_it_is_run(lab: Lab) -> None:
    (lab.root / "config.toml").write_text(TWO_D + "[angles]\nback = ['nose', 'nack', 'tail']\n")
    told = lab.run("run-all", "--dry-run", check=None)
    assert "angles.back: " in told and "did you mean 'neck'" in told
    assert not (lab.root / "s1/pose-2d").exists()


def test_a_gpu_that_is_not_there_fails_its_jobs_and_says_what_to_do(lab: Lab) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (lab.root / "config.toml").write_text(TWO_D + "[network]\ndevice = 'cuda'\n")
    assert '"auto" ' in lab.run("pose-2d", check=1)


def test_bad_models_and_videos_fail_their_own_jobs(lab: Lab) -> None:
    (lab.root / "s1/videos-raw/t_A.mp4").write_bytes(b"")
    told = lab.run("pose-2d", check=1)
    assert "t_A.mp4" in told and (lab.root / "s1/pose-2d/t_B.h5").exists()
    snapshot = lab.root / "networks/mouse/train/snapshot-001.pt"
    snapshot.write_bytes(snapshot.read_bytes()[:5000])
    shutil.rmtree(lab.root / "s2/pose-2d")
    assert "snapshot-001.pt" in lab.run("pose-2d", check=1)
    snapshot.unlink()
    assert "snapshot" in lab.run("pose-2d", check=1)


def test_the_networks_joints_go_on_to_3d_and_tables(lab: Lab) -> None:
    keys = 'model_folder = "networks/mouse"\n' + CONFIG.partition("[angles]")[0]
    (lab.root / "config.toml").write_text(keys + "triangulate = false\n")
    lab.run("run-all", check=0)
    assert (lab.root / "summaries/pose_2d.parquet").exists()
