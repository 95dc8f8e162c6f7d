"""The filters' stages: what they hand on, what they say, and that settings reach them."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from anipipe.errors import DataError, Notice
from anipipe.formats.poses2d import Pose2D, read_pose_2d
from anipipe.formats.poses3d import Pose3D, read_pose_3d
from anipipe.stages import filter_3d as stage_3d
from anipipe.stages.filter import FilterOptions, filter_2d
from tests.conftest import Lab

OPTIONS = FilterOptions(["medfilt"], 13, 25.0, 0.05, True, 5)
OPTIONS_3D = stage_3d.Filter3dOptions(5, 15.0)


def pose_2d(frames: int = 100, hypotheses: int = 1) -> Pose2D:
    time = np.arange(frames)[:, None, None, None]
    points = np.broadcast_to(200 + 50 * np.sin(time / 20), (frames, 3, hypotheses, 2)).copy()
    points += 100 * np.arange(hypotheses)[:, None]
    scores = np.broadcast_to(0.9 / (1 + np.arange(hypotheses)), points.shape[:-1]).copy()
    return Pose2D(("nose", "ear", "tail"), points, scores, "net", video="v1_A", camera="A")


def heard(run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        result = run()
    return result, [str(one.message) for one in caught]


def test_medfilt_marks_what_it_fills_and_keeps_the_rest():
    pose = pose_2d()
    pose.points[50:55, 0] += 100
    pose.scores[0, 1] = 0.0
    found, said = heard(lambda: filter_2d(pose, options=OPTIONS))
    assert (found.scorer, found.video, found.camera, found.joints) == ("net", "v1_A", "A", pose.joints)
    assert np.array_equal(found.scores, pose.scores)
    changed = (found.points != pose.points).any(axis=-1)[:, :, 0]
    assert np.flatnonzero(found.filled).tolist() == [3 * frame for frame in range(50, 55)]
    assert np.flatnonzero(changed).tolist() == [1, *np.flatnonzero(found.filled).tolist()]
    assert np.abs(found.points - pose_2d().points)[found.filled].max() < 0.1
    assert np.isnan(found.points[0, 1]).all() and not found.filled[0, 1]
    assert said and "0.3 % dropped" in said[0]


def test_a_notice_names_the_joints_that_changed_notably():
    pose = pose_2d()
    pose.points[40:46, 2] += 100
    pose.points[70, 0] += 100
    found, said = heard(lambda: filter_2d(pose, options=OPTIONS))
    assert found.filled.sum() == 7
    assert said == ["medfilt: of the points, 2.3 % filled (tail 6.0 %)"]


def test_nothing_changed_nothing_said():
    pose = pose_2d()
    for kind in ("medfilt", "viterbi"):
        found, said = heard(lambda kind=kind: filter_2d(pose, options=replace(OPTIONS, type=[kind])))
        assert np.array_equal(found.points, pose.points) and not found.filled.any() and said == []


def test_viterbi_leaves_one_candidate_and_says_where_it_is_another_one():
    pose = pose_2d(hypotheses=2)
    pose.points[30:33, 1] = pose.points[30:33, 1, ::-1]
    pose.scores[60:70, 2] = 0.01
    found, said = heard(lambda: filter_2d(pose, options=replace(OPTIONS, type=["viterbi"])))
    assert found.points.shape == (100, 3, 1, 2) and found.scores.shape == (100, 3, 1)
    assert np.array_equal(found.points[30:33, 1, 0], pose.points[30:33, 1, 1])
    assert np.flatnonzero(found.filled[:, 2]).tolist() == [60, 61, 62, 63]
    assert np.flatnonzero(np.isnan(found.points[:, 2, 0, 0])).tolist() == list(range(64, 70))
    assert np.isnan(found.scores[64:70, 2]).all()
    assert said == [
        "viterbi: of the points, 1.3 % filled, 2.0 % dropped (tail 6.0 %), 1.0 % taken from another candidate"
    ]


def test_filters_in_a_list_come_one_after_another_and_marks_stay():
    pose = pose_2d(hypotheses=2)
    pose.points[20, 0, 0] += 60
    pose.scores[50:52, 1] = 0.01
    before = np.zeros((100, 3), dtype=bool)
    before[5, 2] = True
    pose = replace(pose, filled=before)
    (found, _), (other, _) = (
        heard(lambda kinds=kinds: filter_2d(pose, options=replace(OPTIONS, type=kinds)))
        for kinds in (["viterbi", "medfilt"], ["medfilt", "viterbi"])
    )
    for one in (found, other):
        assert one.filled[5, 2] and one.filled[20, 0] and one.filled[50:52, 1].all() and one.filled.sum() == 4
    assert (found.points[50:52, 1, 0] == pose.points[49, 1, 0]).all()  # held, then no outlier
    # filled, but its score is as low as it was, so that viterbi drops it and holds
    assert (other.points[50:52, 1, 0] == pose.points[49, 1, 0]).all()
    assert np.abs(other.points[20, 0, 0] - pose_2d().points[20, 0, 0]).max() < 1


@pytest.mark.parametrize("kinds", [["autoencoder"], ["medfilt", "autoencoder_points"]])
def test_filters_that_are_not_there(kinds):
    with pytest.raises(DataError, match=f"{kinds[-1]}; there are medfilt and viterbi"):
        filter_2d(pose_2d(), options=replace(OPTIONS, type=kinds))


def test_no_frames():
    for kind in ("medfilt", "viterbi"):
        found, said = heard(lambda kind=kind: filter_2d(pose_2d(0), options=replace(OPTIONS, type=[kind])))
        assert found.points.shape == (0, 3, 1, 2) and said == []
    empty = Pose3D(("a",), np.zeros((0, 1, 3)), *np.zeros((3, 0, 1)))
    assert heard(lambda: stage_3d.filter_3d(empty, options=OPTIONS_3D))[1] == []


def pose_3d() -> Pose3D:
    points = np.cumsum(np.random.default_rng(0).normal(0, 0.2, (200, 3, 3)), axis=0)
    ones = np.ones((200, 3))
    return Pose3D(("nose", "ear", "tail"), points, 2 * ones, 3 * ones, 0.9 * ones, 2 * np.eye(3), np.ones(3))


def test_3d_keeps_everything_but_the_points():
    pose = pose_3d()
    pose.error[20:30, 1], pose.points[20:30, 1] = 40, 1e3
    pose.error[:, 2] = 99
    found, said = heard(lambda: stage_3d.filter_3d(pose, options=OPTIONS_3D))
    for name in ("error", "ncams", "score", "rotation", "center"):
        assert np.array_equal(getattr(found, name), getattr(pose, name))
    assert np.abs(found.points[:, :2]).max() < 20
    assert np.array_equal(found.points[:, 2], pose.points[:, 2])
    text = said[0]
    assert len(said) == 1 and text.startswith("replaced 5 % of ear; moved the other points by 0.")
    assert "left tail unfiltered: over 85 %" in text and "filter3d.offset_threshold = 15 px" in text


def test_3d_says_nothing_of_what_it_does_not_change():
    pose = replace(pose_3d(), points=np.ones((200, 3, 3)))
    assert heard(lambda: stage_3d.filter_3d(pose, options=OPTIONS_3D))[1] == []


def test_in_an_experiment(lab: Lab):
    config = lab.root / "config.toml"
    plain = config.read_text()
    assert "filter" not in lab.run("run-all", "--dry-run")
    filters = "[filter]\nenabled = true\nmedfilt = 3\n[filter3d]\nenabled = true\nmedfilt = 3\n"
    config.write_text(plain + filters)
    for path in lab.root.rglob("*.csv"):
        table = pd.read_csv(path, header=[0, 1, 2], index_col=0)
        table.iloc[2, 0] += 70.0
        table.to_csv(path)
    lab.run("run-all")
    done = lab.run("run-all")
    assert done.startswith("0 jobs done")
    raw = sorted(lab.root.rglob("pose-2d/*.h5"))
    assert len(raw) == 12
    for path in raw:
        before = read_pose_2d(path)
        after = read_pose_2d(path.parents[1] / "pose-2d-filtered" / path.name)
        assert after.scorer == before.scorer and np.array_equal(after.scores, before.scores)
        assert np.isnan(after.points[2, 0]).all()  # 5 good points are too few to fill
        assert np.array_equal(np.delete(after.points, 2, 0), np.delete(before.points, 2, 0))
    for path in lab.root.rglob("pose-3d/*.csv"):
        after = read_pose_3d(path.parents[1] / "pose-3d-filtered" / path.name)
        before = read_pose_3d(path)
        assert np.isnan(before.points[2, 0]).all() and np.isfinite(after.points[2, 0]).all()
        assert np.array_equal(after.error, before.error, equal_nan=True)
    config.write_text(plain + filters.replace("medfilt = 3", "medfilt = 5", 1))
    assert "12 jobs" in lab.run("filter")
