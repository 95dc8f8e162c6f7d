from __future__ import annotations

import pickle
import pickletools
import string
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anipipe.errors import DataError, Notice
from anipipe.formats._meta import read_crop
from anipipe.formats.importing import import_pose
from anipipe.formats.prediction_names import meta_for, video_of

from .helpers import assert_prefixes_refused, make_pose
from .test_poses2d import frame_of

SCORER = "DLC_Resnet50_reachJan1shuffle1_snapshot_10"


@pytest.mark.parametrize(
    ("filename", "video"),
    [
        ("cam1DLC_resnet50_reachJan1shuffle1_500.h5", "cam1"),
        ("cam10DLC_resnet50_reachJan1shuffle1_500_filtered.h5", "cam10"),
        ("m3v1mp4DeepCut_resnet50_openfieldOct30shuffle1_15001.h5", "m3v1mp4"),
        (f"a{SCORER}_full.pickle", "a"),
        (f"a{SCORER}_meta.pickle", "a"),
        (f"a{SCORER}_el.h5", "a"),
        (f"DLC_test_DLC_aDLC_b{SCORER}.csv", "DLC_test_DLC_aDLC_b"),
        ("DLC_cam1.csv", "DLC_cam1"),
        ("mouse_back.analysis.h5", "mouse_back"),
        ("mouse_back.slp", "mouse_back"),
        ("clip.predictions.slp", "clip"),
        ("clip.mp4.predictions.slp", "clip"),
        ("clip.mp4.predictions.analysis.h5", "clip"),
        ("labels.v001.000_mouse_back.analysis.h5", "mouse_back"),
        ("fly4_Cam-A.csv", "fly4_Cam-A"),
        ("2024.01.02 cam A.h5", "2024.01.02 cam A"),
        ("noextension", "noextension"),
    ],
)
def test_video_of(filename, video):
    assert video_of(filename) == video


NAMES = st.text(string.ascii_letters + string.digits + " -_[]äé", min_size=1, max_size=15)


@given(
    NAMES,
    st.sampled_from([SCORER, "DeepCut_resnet50_xshuffle1_5"]),
    st.sampled_from(["", "_filtered", "_el"]),
)
def test_video_of_deeplabcut(video, scorer, step):
    for suffix in (".h5", ".csv"):
        assert video_of(video + scorer + step + suffix) == video
    assert meta_for(Path("p") / f"{video}{scorer}{step}.h5") == Path("p") / f"{video}{scorer}_meta.pickle"


@given(
    NAMES,
    st.sampled_from([".analysis.h5", ".slp", ".predictions.slp", ".predictions.analysis.h5", ".h5", ".csv"]),
)
def test_video_of_others(video, ending):
    if "DLC_" not in video and "DeepCut_" not in video:
        assert video_of(video + ending) == video


def write(pose, path, individual=None):
    frame = frame_of(pose, individual)
    if path.suffix == ".csv":
        frame.to_csv(path)
    else:
        frame.to_hdf(path, key="df_with_missing", format="table", mode="w")
    return path


def assert_points(read, pose, decimals=None):
    np.testing.assert_array_equal(read.points, pose.points)
    np.testing.assert_array_equal(read.scores, pose.scores)
    assert read.joints == pose.joints


@pytest.mark.parametrize("hypotheses", [1, 3])
@pytest.mark.parametrize("suffix", [".h5", ".csv"])
@pytest.mark.parametrize("individual", [None, "mouse 1"])
def test_deeplabcut(folder, suffix, hypotheses, individual):
    pose = make_pose(8, 3, hypotheses, scorer=SCORER)
    path = write(pose, folder / f"cam1{SCORER}{suffix}", individual)
    read = import_pose([path])
    assert_points(read, pose)
    assert (read.scorer, read.video) == (SCORER, "cam1")
    assert_points(import_pose([path], track=individual), pose)


def test_csv_rows_of_nan_stay(folder):
    """pandas takes a first row without numbers for the name of the index."""
    pose = make_pose(5, 2)
    for rows in ([0], [0, 1, 4], [4], range(5)):
        pose.points[rows], pose.scores[rows] = np.nan, np.nan
        assert_points(import_pose([write(pose, folder / "v.csv")]), pose)


def test_csv_with_a_named_index(folder):
    pose = make_pose(5, 2)
    pose.points[0], pose.scores[0] = np.nan, np.nan
    frame_of(pose).rename_axis(index="frame").to_csv(folder / "v.csv")
    assert_points(import_pose([folder / "v.csv"]), pose)


def test_golden_csv_of_lightning_pose(tmp_path):
    (tmp_path / "v.csv").write_bytes(
        b"scorer,heatmap_tracker,heatmap_tracker,heatmap_tracker\r\n"
        b"bodyparts,paw,paw,paw\r\ncoords,x,y,likelihood\r\n0,194.6980,161.2993,0.9946\r\n1,,,\r\n2,1e2,nan,1\r\n"
    )
    read = import_pose([tmp_path / "v.csv"])
    np.testing.assert_array_equal(read.points[:, 0, 0], [[194.698, 161.2993], [np.nan] * 2, [100, np.nan]])
    np.testing.assert_array_equal(read.scores[:, 0, 0], [0.9946, np.nan, 1])
    assert (read.scorer, read.joints) == ("heatmap_tracker", ("paw",))


def test_csv_of_eks(tmp_path):
    """Nine columns per body part."""
    names = ["x", "y", "likelihood", "x_ens_median", "y_ens_median", "x_ens_var", "y_ens_var"]
    names += ["x_posterior_var", "y_posterior_var"]
    columns = pd.MultiIndex.from_product(
        [["ensemble-kalman_tracker"], ["a", "b"], names], names=["scorer", "bodyparts", "coords"]
    )
    values = np.arange(4 * 18.0).reshape(4, 18)
    pd.DataFrame(values, columns=columns).to_csv(tmp_path / "v.csv")
    read = import_pose([tmp_path / "v.csv"])
    np.testing.assert_array_equal(read.points[:, :, 0], values.reshape(4, 2, 9)[..., :2])
    np.testing.assert_array_equal(read.scores[:, :, 0], values.reshape(4, 2, 9)[..., 2])


@pytest.mark.parametrize("suffix", [".h5", ".csv"])
def test_several_individuals(folder, suffix):
    one, two = make_pose(6, 2, seed=1), make_pose(6, 2, seed=2)
    two.points[2:] = np.nan
    unique = make_pose(6, 1, seed=3)
    frame = pd.concat([frame_of(one, "ann"), frame_of(two, "bob"), frame_of(unique, "single")], axis=1)
    path = folder / f"v{suffix}"
    if suffix == ".csv":
        frame.to_csv(path)
    else:
        frame.to_hdf(path, key="df_with_missing", format="table", mode="w")
    with pytest.raises(DataError, match=r"'ann' \(6 frames\), 'bob' \(2 frames\), 'single' \(5 frames\)"):
        import_pose([path])
    with pytest.raises(DataError, match="no individual or track 'eve'"):
        import_pose([path], track="eve")
    for name, pose in (("ann", one), ("bob", two), ("single", unique)):
        assert_points(import_pose([path], track=name), pose)


def test_unique_parts_are_not_mixed_in(folder):
    one, unique = make_pose(6, 2, seed=1), make_pose(6, 1, seed=3)
    frame = pd.concat([frame_of(one, "ann"), frame_of(unique, "single")], axis=1)
    frame.to_csv(folder / "v.csv")
    assert_points(import_pose([folder / "v.csv"]), one)


def test_track_of_a_file_without_individuals(folder):
    with pytest.raises(DataError, match="names no individuals"):
        import_pose([write(make_pose(), folder / "v.csv")], track="ann")


def test_which_file(folder):
    pose, other = make_pose(4, 2, seed=1, scorer=SCORER), make_pose(4, 2, seed=2, scorer=SCORER)
    h5 = write(pose, folder / f"v{SCORER}.h5")
    csv = write(other, folder / f"v{SCORER}.csv")
    assert_points(import_pose([csv, h5, folder / f"v{SCORER}_full.pickle"]), pose)
    filtered = write(other, folder / f"v{SCORER}_filtered.h5")
    with pytest.raises(DataError, match="more than one prediction") as raised:
        import_pose([h5, filtered])
    assert h5.name in str(raised.value)
    assert filtered.name in str(raised.value)
    with pytest.raises(DataError, match="No predictions among"):
        import_pose([folder / "v_meta.pickle"])
    with pytest.raises(DataError, match="no file"):
        import_pose([])


def test_likelihoods_all_zero_are_unknown(folder):
    pose = make_pose(4, 2)
    pose.scores[:] = 0
    with pytest.warns(Notice, match="all likelihoods are 0"):
        read = import_pose([write(pose, folder / "v.csv")])
    np.testing.assert_array_equal(read.scores == 1, np.isfinite(pose.points[..., 0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("x,y\n1,2\n", "header rows"),
        ("scorer;a;a\nbodyparts;n;n\n", "semicolons"),
        ("scorer,a,a,a\nbodyparts,n,n\ncoords,x,y,likelihood\n0,1,2,3\n", "differ in length"),
        ("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\n", "no frame"),
        ("scorer,a,a\nbodyparts,n,n\ncoords,x,y\n0,1,2\n", "lacks likelihood"),
        ("scorer,a,b,b\nbodyparts,n,n,n\ncoords,x,y,likelihood\n0,1,2,3\n", "several scorers"),
        ("scorer,a,a,a,a\nbodyparts,n,n,n,n\ncoords,x,y,x,likelihood\n0,1,2,3,4\n", "twice"),
        ("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\n0,1,2\n", "csv of predictions"),
        ("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\n0,1,2,no\n", "csv of predictions"),
        ("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\nimg1.png,1,2,3\n", "numbered by frame"),
        ("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\n0,1,2,3", "not ended"),
        ("scorer\nbodyparts\ncoords\n0\n", "no body part"),
    ],
)
def test_wrong_csv(folder, text, message):
    path = folder / "v.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as raised:
        import_pose([path])
    assert str(path) in str(raised.value)


def test_cut_off(tmp_path):
    path = write(make_pose(10, 2), tmp_path / "v.csv")
    header = 3

    def whole_lines(prefix):
        return prefix.endswith((b"\n", b"\r")) and prefix.count(b"\n") > header

    assert_prefixes_refused(path, lambda cut: import_pose([cut]), whole_lines, step=5)
    path = write(make_pose(10, 2), tmp_path / "v.h5")
    assert_prefixes_refused(path, lambda cut: import_pose([cut]), step=2503)


# DeepLabCut's record of the crop


def meta_of(cropping, parameters=None, **more):
    return {
        "data": {
            "Scorer": SCORER,
            "cropping": cropping,
            "cropping_parameters": parameters,
            "fps": 30.0,
            **more,
        }
    }


@pytest.mark.parametrize("suffix", [".h5", ".csv", "_filtered.h5"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_crop_is_added_once(folder, suffix, protocol):
    pose = make_pose(5, 2, 2, scorer=SCORER)
    path = write(pose, folder / f"v{SCORER}{suffix}")
    meta = meta_for(path)
    meta.write_bytes(pickle.dumps(meta_of(True, [10, 110, np.int64(20), np.float64(220)]), protocol))
    read = import_pose([path, meta], cropped=True)
    np.testing.assert_array_equal(read.points, pose.points + np.array([10, 20]))
    np.testing.assert_array_equal(read.scores, pose.scores)
    assert_points(import_pose([path]), pose)  # the caller says which files belong to it


def test_not_cropped(folder):
    pose = make_pose(5, 2, scorer=SCORER)
    path = write(pose, folder / f"v{SCORER}.h5")
    meta_for(path).write_bytes(pickle.dumps(meta_of(False, [10, 110, 20, 220])))
    assert_points(import_pose([path, meta_for(path)], cropped=True), pose)


def test_crop_that_is_not_recorded_is_refused(folder):
    path = write(make_pose(5, 2, scorer=SCORER), folder / f"v{SCORER}.h5")
    with pytest.raises(DataError, match=r"_meta\.pickle, which says where, is missing"):
        import_pose([path], cropped=True)
    stranger = folder / f"v2{SCORER}_meta.pickle"
    stranger.write_bytes(pickle.dumps(meta_of(True, [1, 2, 3, 4])))
    with pytest.raises(DataError, match="is missing"):
        import_pose([path, stranger], cropped=True)


@pytest.mark.parametrize(
    "content", [meta_of(True), meta_of(True, [1, 2, 3]), meta_of(True, ["a"] * 4), {"data": {}}, [1], None]
)
def test_meta_without_a_crop(folder, content):
    path = folder / "v_meta.pickle"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"v_meta\.pickle"):
        read_crop(path)


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_meta_runs_nothing(folder, protocol):
    import os
    import subprocess

    trap = folder / "trap"
    path = folder / "v_meta.pickle"
    content = meta_of(
        True,
        np.array([1, 2, 3, 4]),
        config={"path": PurePosixPath("/a/b"), "frame": pd.Series([1, 2])},
        evil=[
            Evil(os.mkdir, str(trap)),
            Evil(subprocess.call, ["mkdir", str(trap)]),
            Evil(eval, f"__import__('os').mkdir({str(trap)!r})"),
            Evil(getattr, os, "name") if protocol > 5 else Evil(exec, f"open({str(trap)!r}, 'w')"),
            Evil(__import__, "antigravity"),
        ],
    )
    data = pickle.dumps(content, protocol)
    assert any(code.name == "REDUCE" for code, _, _ in pickletools.genops(data))
    path.write_bytes(data)
    assert read_crop(path) == (1.0, 3.0)
    assert not trap.exists()


def test_meta_with_objects_of_deeplabcut(folder):
    """Classes that are not installed here become empty objects."""
    path = folder / "v_meta.pickle"
    # {"data": {"cropping": True, "cropping_parameters": [1, 2, 3, 4], "m": ruamel.yaml.CommentedMap(a=1)}}
    path.write_bytes(
        b"(dS'data'\n(dS'cropping'\nI01\nsS'cropping_parameters'\n(lI1\naI2\naI3\naI4\nasS'm'\n"
        b"cruamel.yaml.comments\nCommentedMap\n(tR(dS'a'\nI1\nsbss."
    )
    assert read_crop(path) == (1.0, 3.0)


@pytest.mark.parametrize("protocol", [0, 4])
def test_meta_cut_off(folder, protocol):
    path = folder / "v_meta.pickle"
    path.write_bytes(pickle.dumps(meta_of(True, np.array([1.0, 2, 3, 4])), protocol))
    assert_prefixes_refused(path, read_crop)


def test_meta_with_damaged_bytes(folder):
    path = folder / "v_meta.pickle"
    rng = np.random.default_rng(0)
    for protocol in (0, 2, 4):
        whole = pickle.dumps(meta_of(True, np.array([1, 2, 3, 4]), fraction=np.float64(0.5)), protocol)
        for _ in range(150):
            damaged = bytearray(whole)
            damaged[rng.integers(len(whole))] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                read_crop(path)
            except DataError as error:
                assert "v_meta.pickle" in str(error)


def test_meta_of_nonsense(folder):
    path = folder / "v_meta.pickle"
    for data in (b"", b"hello", b"\x80\x04}\x94", b"cos\nsystem\n.", b"Pabc\n."):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"v_meta\.pickle"):
            read_crop(path)
