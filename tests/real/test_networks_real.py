"""Trained networks against what the programs that trained them predict: DeepLabCut 3 and Lightning Pose."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from anipipe.cli import invoke
from anipipe.formats.poses2d import read_pose_2d
from anipipe.formats.video import Video
from anipipe.networks.dynamic_crop import follow
from anipipe.networks.opening import open_tracker
from anipipe.networks.sources import find_model
from tests.real.videos import cut

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
PROJECT = DATA / "openfield/project"
MIRROR = DATA / "mirror-mouse"
#: Of the openfield clip; all 300 take minutes on a processor.
FRAMES = int(os.environ.get("ANIPIPE_FRAMES", "16"))
pytestmark = pytest.mark.skipif(not PROJECT.is_dir(), reason=f"{DATA} holds no real recordings")


def deeplabcuts() -> np.ndarray:
    """DeepLabCut's own predictions, (300, 4, 3)."""
    return pd.read_hdf(PROJECT / "reference/clip.h5").to_numpy().reshape(300, 4, 3)


def tracked(root: Path, model: Path, video: Path, keys: str = "") -> np.ndarray:
    """What ``pose-2d`` finds, (frames, joints, 3)."""
    (root / "session/videos-raw").mkdir(parents=True)
    (root / "session/videos-raw/clip.mp4").symlink_to(video)
    (root / "config.toml").write_text(f'model_folder = "{model.as_posix()}"\n{keys}')
    assert invoke(["pose-2d", "-j1", str(root)]) == 0
    pose = read_pose_2d(root / "session/pose-2d/clip.h5")
    return np.concatenate([pose.points[:, :, 0], pose.scores[:, :, 0, None]], axis=-1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    cut(PROJECT / "reference/clip.mp4", path, frames=FRAMES)
    return path


def test_deeplabcuts_points_come_out_of_its_project(tmp_path: Path, clip: Path) -> None:
    found = tracked(tmp_path / "experiment", PROJECT, clip)
    shown = np.isfinite(found).all(axis=(1, 2))  # the last ones need packets that were cut off
    assert shown.sum() > FRAMES - 6
    off = np.abs(found - deeplabcuts()[: len(found)])[shown]
    assert off[..., :2].max() < 0.01 and off[..., 2].max() < 1e-4


def test_the_zip_and_the_exported_file_give_the_same(tmp_path: Path) -> None:
    source = find_model(PROJECT)
    assert source.config is not None
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.write(PROJECT / "config.yaml", "config.yaml")
        for path in (source.config, source.weights):
            archive.write(path, path.relative_to(PROJECT))
    exported = {
        "config": yaml.safe_load(source.config.read_text()),
        "pose": torch.load(source.weights, weights_only=True)["model"],
    }
    torch.save(exported, tmp_path / "exported.pt")
    frame = next(picture for _, picture in Video(PROJECT / "reference/clip.mp4").read([150]))
    for model in (tmp_path / "model.zip", tmp_path / "exported.pt"):
        values = open_tracker(find_model(model), "cpu")(torch.from_numpy(frame)[None])[0, :, 0].numpy()
        off = np.abs(values - deeplabcuts()[150])
        assert off[:, :2].max() < 0.01 and off[:, 2].max() < 1e-4


def test_lightning_poses_points_come_out_of_its_folder(tmp_path: Path) -> None:
    cut(MIRROR / "clip.mp4", tmp_path / "clip.mp4", frames=FRAMES)
    found = tracked(tmp_path / "experiment", MIRROR / "model", tmp_path / "clip.mp4")
    expected = pd.read_csv(MIRROR / "reference/clip.csv", header=[0, 1, 2], index_col=0)
    off = np.abs(found - expected.to_numpy()[:FRAMES].reshape(found.shape))
    assert off[..., :2].max() < 0.01 and off[..., 2].max() < 1e-4


def test_following_the_mouse_gives_nearly_the_same(tmp_path: Path, clip: Path) -> None:
    video, tracker = Video(clip), open_tracker(find_model(PROJECT), "cpu")
    found = follow(tracker, video.frames(), video.count(), video.info.size, read=video.read).values[:, :, 0]
    expected = deeplabcuts()[: len(found)]
    moved = np.hypot(*np.moveaxis(found[..., :2] - expected[..., :2], -1, 0))
    assert np.nanmedian(moved) <= 0.5
    assert np.nanmax(moved[expected[..., 2] >= 0.6]) <= 5
