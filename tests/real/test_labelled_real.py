"""Labelled videos of real recordings: frame for frame, and drawn where the data says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from anipipe.cli import invoke
from anipipe.formats.poses2d import read_pose_2d
from anipipe.formats.video import Video
from anipipe.numerics.drawing.colours import joint_colours
from tests.real.videos import cut

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
CLIP = DATA / "openfield/project/reference"
FRAMES = 60
pytestmark = pytest.mark.skipif(not CLIP.is_dir(), reason=f"{DATA} holds no real recordings")


def test_openfield_frame_for_frame_with_its_joints_in_their_places(tmp_path: Path) -> None:
    session = tmp_path / "session"
    (session / "videos-raw").mkdir(parents=True)
    cut(CLIP / "clip.mp4", session / "videos-raw/clip.mp4", frames=FRAMES)
    (session / "predictions").mkdir()
    (session / "predictions/clip.h5").symlink_to(CLIP / "clip.h5")
    (tmp_path / "config.toml").write_text("[labeling]\npcutoff = 0.6\ndot_size = 6\n")
    assert invoke(["label-2d", "--upstream", "-j1", str(tmp_path)]) == 0
    source, made = Video(session / "videos-raw/clip.mp4"), Video(session / "videos-labeled/clip.mp4")
    pose = read_pose_2d(session / "pose-2d/clip.h5")
    assert made.count() == source.count() and made.info.size == source.info.size
    assert abs(made.info.rate - source.info.rate) < 1e-3 * source.info.rate
    colours = joint_colours(pose.joints, (), "rainbow").astype(float)[:, ::-1]
    before = dict(source.frames(stop=FRAMES - 6))
    sure = 0
    for frame, picture in made.frames(stop=FRAMES - 6):
        assert picture is not None and before[frame] is not None
        for joint, (x, y) in enumerate(pose.points[frame, :, 0]):
            if not pose.scores[frame, joint, 0] > 0.65:
                continue
            others = np.delete(pose.points[frame, :, 0], joint, axis=0)
            if np.hypot(*(others - (x, y)).T).min() < 16:
                continue  # another dot may cover it
            row, column = round(y), round(x)
            patch = picture[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3)
            if len(patch) == 25:
                assert np.abs(patch.mean(axis=0) - colours[joint]).max() < 30, (frame, joint)
                sure += 1
    assert sure > FRAMES // 2
