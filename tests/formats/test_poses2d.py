from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anipipe.errors import DataError, Notice
from anipipe.formats.poses2d import Pose2D, read_pose_2d, write_pose_2d

from .helpers import assert_prefixes_refused, assert_same_pose, make_pose


def frame_of(pose: Pose2D, individual: str | None = None) -> pd.DataFrame:
    """The table as DeepLabCut builds it."""
    names, columns = [], []
    for joint, name in enumerate(pose.joints):
        for hypothesis in range(pose.scores.shape[2]):
            suffix = "" if hypothesis == 0 else str(hypothesis + 1)
            for coord in ("x", "y", "likelihood"):
                animal = () if individual is None else (individual,)
                names.append((pose.scorer, *animal, name, coord + suffix))
            columns += [pose.points[:, joint, hypothesis, 0], pose.points[:, joint, hypothesis, 1]]
            columns += [pose.scores[:, joint, hypothesis]]
    levels = ["scorer", "bodyparts", "coords"]
    if individual is not None:
        levels.insert(1, "individuals")
    return pd.DataFrame(np.array(columns).T, columns=pd.MultiIndex.from_tuples(names, names=levels))


@pytest.mark.parametrize("hypotheses", [1, 3])
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("frames", [0, 1, 7])
def test_round_trip(folder, frames, filled, hypotheses):
    pose = make_pose(frames, 3, hypotheses, filled)
    write_pose_2d(pose, folder / "vid.h5")
    read = read_pose_2d(folder / "vid.h5")
    assert_same_pose(pose, read)
    assert read.video == "vid"


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    scorer=st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=20),
    data=st.data(),
)
def test_round_trip_of_anything(tmp_path, names, scorer, data):
    frames = data.draw(st.integers(0, 4))
    hypotheses = data.draw(st.integers(1, 3))
    cells = data.draw(hnp.arrays(np.float64, (frames, len(names), hypotheses, 3)))
    pose = Pose2D(tuple(names), cells[..., :2], cells[..., 2], scorer)
    write_pose_2d(pose, tmp_path / "any.h5")
    assert_same_pose(pose, read_pose_2d(tmp_path / "any.h5"))


def test_same_bytes_at_another_time_and_place(tmp_path, folder, monkeypatch):
    pose = make_pose(50, 4, 2, filled=True)
    write_pose_2d(pose, tmp_path / "one.h5")
    first = (tmp_path / "one.h5").read_bytes()
    time.sleep(1.1)  # HDF5 counts seconds
    monkeypatch.chdir(folder)
    # the same texts as other objects: pickle tells them apart unless the writer does not
    joints = tuple("".join(list(joint)) for joint in pose.joints)
    again = Pose2D(
        joints, pose.points.copy(), pose.scores.copy(), "".join(list(pose.scorer)), pose.filled, "v", "c"
    )
    write_pose_2d(again, Path("another name.h5"))
    assert Path("another name.h5").read_bytes() == first


def test_same_bytes_in_another_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from anipipe.formats.poses2d import Pose2D, write_pose_2d\n"
        "points = np.arange(24.0).reshape(3, 2, 2, 2)\n"
        "pose = Pose2D(('x', 'scorer'), points, points[..., 0], 'x', points[:, :, 0, 0] > 9)\n"
        "write_pose_2d(pose, Path(sys.argv[1]))\n"
    )
    files = [tmp_path / "1.h5", tmp_path / "2.h5"]
    for file in files:
        subprocess.run([sys.executable, "-c", code, str(file)], check=True, cwd=Path(__file__).parents[2])
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("frames", [0, 5])
def test_pandas_reads_it_as_its_own(folder, frames):
    pose = make_pose(frames, 3, 2, filled=True)
    path = folder / "vid.h5"
    write_pose_2d(pose, path)
    frame = pd.read_hdf(path)
    pd.testing.assert_frame_equal(frame, frame_of(pose), check_column_type=False)
    assert list(frame.columns.names) == ["scorer", "bodyparts", "coords"]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["anipipe/filled"][()].astype(bool), pose.filled)


def test_anipose_reads_it(folder):
    """What anipose.common.load_pose_2d does with a file."""
    pose = make_pose(5, 3, 2)
    write_pose_2d(pose, folder / "vid.h5")
    data = pd.read_hdf(folder / "vid.h5")
    assert data.columns.levels[0][0] == pose.scorer
    of_scorer = data[pose.scorer]
    parts = list(dict.fromkeys(of_scorer.columns.get_level_values(0)))
    values = np.array(of_scorer).reshape(len(data), len(parts), 2, 3)
    np.testing.assert_array_equal(values[..., :2], pose.points)
    np.testing.assert_array_equal(values[..., 2], pose.scores)


def test_no_time_stamps_and_no_index(folder):
    write_pose_2d(make_pose(5, filled=True), folder / "vid.h5")
    with tables.open_file(str(folder / "vid.h5")) as file:
        assert not any("_i_" in node._v_pathname for node in file.walk_nodes())
    with h5py.File(folder / "vid.h5") as file:
        for name in ("df_with_missing/table", "anipipe/filled"):
            assert h5py.h5o.get_info(file[name].id).mtime == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", ["table", "fixed"])
def test_reads_what_deeplabcut_writes(folder, dtype, form):
    pose = make_pose(9, 3, 2)
    frame = frame_of(pose).astype(dtype)
    if form == "fixed":
        frame.columns = frame.columns.remove_unused_levels()
    frame.to_hdf(folder / "vid.h5", key="df_with_missing", format=form, mode="w")
    read = read_pose_2d(folder / "vid.h5")
    np.testing.assert_array_equal(read.points, pose.points.astype(dtype).astype(float))
    assert read.points.dtype == np.float64
    assert read.joints == pose.joints


def test_columns_by_name_and_surplus_ones_ignored(folder):
    pose = make_pose(4, 3)
    frame = frame_of(pose)
    frame[(pose.scorer, "joint 0", "x_ens_median")] = 7.0
    order = np.random.default_rng(3).permutation(frame.shape[1])
    frame.iloc[:, order].to_hdf(folder / "vid.h5", key="df_with_missing", format="table", mode="w")
    read = read_pose_2d(folder / "vid.h5")
    for at, joint in enumerate(pose.joints):
        np.testing.assert_array_equal(read.points[:, read.joints.index(joint)], pose.points[:, at])
        np.testing.assert_array_equal(read.scores[:, read.joints.index(joint)], pose.scores[:, at])


def test_frames_without_a_row_are_nan_and_said(folder):
    pose = make_pose(6, 2)
    frame = frame_of(pose).iloc[[5, 0, 3]]
    frame.to_hdf(folder / "vid.h5", key="df_with_missing", format="table", mode="w")
    with pytest.warns(Notice, match=r"no row for 3 of 6 frames \(1, 2, 4\)"):
        read = read_pose_2d(folder / "vid.h5")
    assert read.points.shape[0] == 6
    np.testing.assert_array_equal(read.points[[0, 3, 5]], pose.points[[0, 3, 5]])
    assert np.isnan(read.points[[1, 2, 4]]).all()


def test_unsorted_rows_are_sorted_without_a_word(folder):
    pose = make_pose(4, 2)
    frame_of(pose).iloc[::-1].to_hdf(folder / "vid.h5", key="df_with_missing", format="table", mode="w")
    np.testing.assert_array_equal(read_pose_2d(folder / "vid.h5").points, pose.points)


def broken_frames():
    frame = frame_of(make_pose(4, 2))
    flat = frame.copy()
    flat.columns = ["_".join(name) for name in frame.columns]
    text = frame.astype(object).map(str)
    labels = frame.copy()
    labels.index = [f"labeled-data/v/img{at}.png" for at in range(4)]
    yield "levels", flat
    yield "levels", frame.rename_axis(columns=["scorer", "parts", "coords"])
    yield "lacks likelihood", frame.drop(columns=[("DLC_net", "joint 0", "likelihood")])
    yield (
        "no body part",
        frame.rename(columns=lambda name: "q" + name if name in ("x", "y", "likelihood") else name),
    )
    yield "not numbers", text.map(lambda cell: "a" + cell)
    yield "not numbered by frame", labels
    yield "more than once", frame.set_axis([0, 1, 1, 2])
    yield "should be", frame.set_axis([-1, 0, 1, 2])
    yield "time stamp", frame.set_axis([0, 1, 2, 10**12])


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
@pytest.mark.parametrize(("message", "frame"), list(broken_frames()))
def test_wrong_tables(folder, message, frame):
    path = folder / "vid.h5"
    frame.to_hdf(path, key="df_with_missing", format="fixed", mode="w")
    with pytest.raises(DataError, match=message) as raised:
        read_pose_2d(path)
    assert str(path) in str(raised.value)


def test_wrong_files(folder):
    path = folder / "vid.h5"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        read_pose_2d(path)
    path.write_bytes(b"scorer,a,b\n" * 500)
    with pytest.raises(DataError, match="not an HDF5 file"):
        read_pose_2d(path)
    with h5py.File(path, "w") as file:
        file["somewhere"] = [1, 2]
    with pytest.raises(DataError, match="somewhere"):
        read_pose_2d(path)
    with h5py.File(path, "w") as file:
        file["df_with_missing/table"] = [1, 2]
    with pytest.raises(DataError, match=r"vid\.h5"):
        read_pose_2d(path)
    with pytest.raises(FileNotFoundError):
        read_pose_2d(folder / "absent.h5")


def test_flags_that_do_not_fit(folder):
    path = folder / "vid.h5"
    write_pose_2d(make_pose(5, 3, filled=True), path)
    with h5py.File(path, "a") as file:
        del file["anipipe/filled"]
        file["anipipe/filled"] = np.zeros((4, 3), bool)
    with pytest.raises(DataError, match="flags"):
        read_pose_2d(path)


def test_cut_off(tmp_path):
    write_pose_2d(make_pose(40, 3, filled=True), tmp_path / "vid.h5")
    assert_prefixes_refused(tmp_path / "vid.h5", read_pose_2d, step=611)


def test_too_many_columns(tmp_path):
    with pytest.raises(DataError, match="fewer hypotheses"):
        write_pose_2d(make_pose(2, 2000), tmp_path / "vid.h5")


def test_a_folder_that_is_absent_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="absent"):
        write_pose_2d(make_pose(), tmp_path / "absent" / "vid.h5")


def test_shapes_are_checked():
    points = np.zeros((4, 2, 1, 2))
    with pytest.raises(ValueError, match="points"):
        Pose2D(("a",), points, points[..., 0], "s")
    with pytest.raises(ValueError, match="scores"):
        Pose2D(("a", "b"), points, points, "s")
    with pytest.raises(ValueError, match="filled"):
        Pose2D(("a", "b"), points, points[..., 0], "s", np.zeros(3, bool))
    with pytest.raises(ValueError, match="twice"):
        Pose2D(("a", "a"), points, points[..., 0], "s")
    assert pickle.loads(pickle.dumps(Pose2D(("a", "b"), points, points[..., 0], "s"))).joints == ("a", "b")


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("where", ["df_with_missing", "df_with_missing/table", "/"])
def test_runs_nothing(folder, protocol, where):
    path, trap = folder / "vid.h5", folder / "trap"
    write_pose_2d(make_pose(), path)
    data = pickle.dumps({"a": [Evil(os.mkdir, str(trap))]}, protocol)
    with h5py.File(path, "a") as file:
        file[where].attrs["nan_rep"] = np.bytes_(data)
    with pytest.raises(DataError, match="could run a program"):
        read_pose_2d(path)
    assert not trap.exists()


def test_links_and_objects_are_refused(folder):
    path, other = folder / "vid.h5", folder / "other.h5"
    write_pose_2d(make_pose(), other)
    with h5py.File(path, "w") as file:
        file["df_with_missing"] = h5py.ExternalLink(str(other), "df_with_missing")
    with pytest.raises(DataError, match="link"):
        read_pose_2d(path)
    with tables.open_file(str(path), "w") as file:
        group = file.create_group("/", "df_with_missing")
        file.create_vlarray(group, "block0_values", tables.ObjectAtom()).append([1])
    with pytest.raises(DataError, match="Python objects"):
        read_pose_2d(path)
