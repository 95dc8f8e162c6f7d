from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anipipe.errors import DataError, Notice
from anipipe.formats._csv_text import texts
from anipipe.formats.poses3d import Pose3D, pose_3d_columns, read_pose_3d, write_pose_3d

from .helpers import assert_prefixes_refused

ARRAYS = ("points", "error", "ncams", "score", "rotation", "center")


def make_pose(frames=5, joints=("a", "b_x", "c d,e"), seed=0):
    rng = np.random.default_rng(seed)
    shape = (frames, len(joints))
    pose = Pose3D(
        tuple(joints),
        rng.normal(size=(*shape, 3)) * 100,
        rng.gamma(1.0, size=shape),
        rng.integers(2, 5, size=shape),
        rng.random(shape),
        np.linalg.qr(rng.normal(size=(3, 3)))[0],
        rng.normal(size=3),
    )
    if frames > 2:
        pose.points[1, 0] = np.nan
        pose.error[1, 0] = np.nan
        pose.ncams[1, 0] = 0
    return pose


def assert_same(one: Pose3D, two: Pose3D) -> None:
    assert one.joints == two.joints
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), strict=True)


def anipose_frame(pose: Pose3D) -> pd.DataFrame:
    """The table as Anipose builds it (its triangulate.py)."""
    columns = {}
    for at, joint in enumerate(pose.joints):
        for axis, name in enumerate("xyz"):
            columns[f"{joint}_{name}"] = pose.points[:, at, axis]
        columns[f"{joint}_error"] = pose.error[:, at]
        columns[f"{joint}_ncams"] = pose.ncams[:, at]
        columns[f"{joint}_score"] = pose.score[:, at]
    for row in range(3):
        for column in range(3):
            columns[f"M_{row}{column}"] = pose.rotation[row, column]
    for axis in range(3):
        columns[f"center_{axis}"] = pose.center[axis]
    columns["fnum"] = np.arange(len(pose.points))
    return pd.DataFrame(columns)


@pytest.mark.parametrize("frames", [1, 5, 45_000])
def test_round_trip(folder, frames):
    pose = make_pose(frames)
    write_pose_3d(pose, folder / "trial.csv")
    assert_same(pose, read_pose_3d(folder / "trial.csv"))


def test_without_frames(folder):
    write_pose_3d(make_pose(0), folder / "trial.csv")
    read = read_pose_3d(folder / "trial.csv")
    assert read.points.shape == (0, 3, 3)
    np.testing.assert_array_equal(read.rotation, np.eye(3))


def test_golden(tmp_path):
    pose = Pose3D(
        ("nose",),
        np.array([[[1.5, -0.25, 1e-05]], [[np.nan] * 3]]),
        np.array([[0.1], [np.nan]]),
        np.array([[2.0], [np.nan]]),
        np.array([[1.0], [np.nan]]),
    )
    write_pose_3d(pose, tmp_path / "t.csv")
    axes = b"1.0,0.0,0.0,0.0,1.0,0.0,0.0,0.0,1.0,0.0,0.0,0.0"
    assert (tmp_path / "t.csv").read_bytes() == (
        b"nose_x,nose_y,nose_z,nose_error,nose_ncams,nose_score,"
        b"M_00,M_01,M_02,M_10,M_11,M_12,M_20,M_21,M_22,center_0,center_1,center_2,fnum\n"
        b"1.5,-0.25,1e-05,0.1,2.0,1.0," + axes + b",0\n,,,,,," + axes + b",1\n"
    )


def test_same_bytes_as_anipose(tmp_path):
    pose = make_pose(300)
    anipose_frame(pose).to_csv(tmp_path / "anipose.csv", index=False, lineterminator="\n")
    write_pose_3d(pose, tmp_path / "ours.csv")
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "anipose.csv").read_bytes()
    assert_same(pose, read_pose_3d(tmp_path / "anipose.csv"))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(), frames=st.integers(1, 6), joints=st.lists(st.text(min_size=1), max_size=3, unique=True)
)
def test_any_number_reads_back_equal(tmp_path, data, frames, joints):
    joints = [f"j{at}" for at in range(len(joints) or 1)]
    cells = data.draw(hnp.arrays(np.float64, (frames, len(joints), 6)))
    axes = data.draw(hnp.arrays(np.float64, 12))
    pose = Pose3D(
        tuple(joints),
        cells[..., :3],
        cells[..., 3],
        cells[..., 4],
        cells[..., 5],
        axes[:9].reshape(3, 3),
        axes[9:],
    )
    write_pose_3d(pose, tmp_path / "t.csv")
    read = read_pose_3d(tmp_path / "t.csv")
    assert_same(pose, read)
    assert not np.any(np.signbit(read.points) != np.signbit(pose.points), where=np.isfinite(pose.points))


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.integers(0, 30)))
def test_numbers_are_spelled_as_python_does(values):
    assert texts(values).to_pylist() == [
        None if np.isnan(value) else repr(value) for value in values.tolist()
    ]


def test_ordinary_numbers_are_spelled_as_python_does():
    rng = np.random.default_rng(1)
    values = 10 ** rng.uniform(-8, 18, 50_000) * rng.choice([-1, 1], 50_000)
    for some in (values, values.round(2), values.astype(np.float32).astype(float), values.round()):
        assert texts(some).to_pylist() == [repr(value) for value in some.tolist()]


def test_columns_in_any_order_further_ones_ignored(tmp_path):
    pose = make_pose(4)
    frame = anipose_frame(pose)
    frame["note"] = "hello, you"
    frame["a_spread"] = 1.0
    frame = frame[list(frame.columns[::-1])]
    frame.to_csv(tmp_path / "t.csv", index=False)
    read = read_pose_3d(tmp_path / "t.csv")
    assert set(read.joints) == set(pose.joints)
    for at, joint in enumerate(pose.joints):
        np.testing.assert_array_equal(read.points[:, read.joints.index(joint)], pose.points[:, at])


def test_frames_by_number(tmp_path):
    pose = make_pose(5)
    anipose_frame(pose).iloc[[4, 0, 2]].to_csv(tmp_path / "t.csv", index=False)
    with pytest.warns(Notice, match="2 of 5 frames"):
        read = read_pose_3d(tmp_path / "t.csv")
    np.testing.assert_array_equal(read.points[[0, 2, 4]], pose.points[[0, 2, 4]])
    assert np.isnan(read.points[[1, 3]]).all()


@pytest.mark.parametrize("column", ["a_error", "a_z", "M_12", "center_1", "fnum"])
def test_missing_columns(tmp_path, column):
    anipose_frame(make_pose(4)).drop(columns=column).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=f"lacks the columns {column}") as raised:
        read_pose_3d(tmp_path / "t.csv")
    assert "t.csv" in str(raised.value)


def test_wrong_content(tmp_path):
    path = tmp_path / "t.csv"
    frame = anipose_frame(make_pose(4))
    for text, message in [
        ("", "empty"),
        ("hello\n", "lacks the columns"),
        ("\n", "lacks the columns"),
        ("a,a\n1,2\n", "two columns 'a'"),
        (frame.to_csv(index=False).replace(",0\n", ",zero\n"), "csv of numbers"),
        (frame.assign(M_00=[1.0, 1.0, 1.0, 2.0]).to_csv(index=False), "differ between rows"),
        (frame.to_csv(index=False)[:-1], "not ended"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=message) as raised:
            read_pose_3d(path)
        assert str(path) in str(raised.value)
    path.write_bytes(b"\xff\xfe\x00a\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_pose_3d(path)
    with pytest.raises(FileNotFoundError):
        read_pose_3d(tmp_path / "absent.csv")


def test_cut_off(tmp_path):
    write_pose_3d(make_pose(20), tmp_path / "t.csv")
    assert_prefixes_refused(tmp_path / "t.csv", read_pose_3d, lambda prefix: prefix.endswith(b"\n"), step=7)


def test_shapes_are_checked():
    pose = make_pose(3)
    with pytest.raises(ValueError, match="points"):
        Pose3D(("a",), pose.points, pose.error, pose.ncams, pose.score)
    with pytest.raises(ValueError, match="score"):
        Pose3D(pose.joints, pose.points, pose.error, pose.ncams, pose.score[:1])
    with pytest.raises(ValueError, match="twice"):
        Pose3D(("a", "a", "b"), pose.points, pose.error, pose.ncams, pose.score)
    assert pose_3d_columns(["n"])[:6] == ["n_x", "n_y", "n_z", "n_error", "n_ncams", "n_score"]


def test_flags_are_added_after_all_other_columns(tmp_path):
    points = np.arange(24.0).reshape(4, 2, 3)
    ones = np.ones((4, 2))
    filled = np.array([[1, 0], [0, 0], [0, 1], [0, 0]], dtype=bool)
    excluded = {"A": filled, "cam, B": np.array([[1, 1], [0, 0], [0, 0], [0, 0]], dtype=bool)}
    path = tmp_path / "pose.csv"
    write_pose_3d(Pose3D(("a", "b"), points, ones, ones, ones, filled=filled, excluded=excluded), path)
    table = pd.read_csv(path)
    assert list(table.columns[-5:]) == ["fnum", "a_filled", "a_excluded", "b_filled", "b_excluded"]
    assert table.a_filled.tolist() == [1, 0, 0, 0] and table.b_filled.tolist() == [0, 0, 1, 0]
    assert table.a_excluded.fillna("").tolist() == ["A cam, B", "", "", ""]
    assert table.b_excluded.fillna("").tolist() == ["cam, B", "", "A", ""]
    again = read_pose_3d(path)
    assert np.array_equal(again.filled, filled) and again.excluded is None
    assert np.array_equal(again.points, points)
    plain = tmp_path / "plain.csv"
    write_pose_3d(Pose3D(("a", "b"), points, ones, ones, ones), plain)
    assert read_pose_3d(plain).filled is None and "filled" not in plain.read_text()
    with pytest.raises(ValueError, match="flags"):
        Pose3D(("a", "b"), points, ones, ones, ones, filled=filled[:3])
