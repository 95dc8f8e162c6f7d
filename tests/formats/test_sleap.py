from __future__ import annotations

import builtins
import json
import sys

import h5py
import numpy as np
import pytest

from anipipe.errors import DataError
from anipipe.formats.importing import import_pose

from .helpers import assert_prefixes_refused

NODES = ["nose", "tail ü"]


def arrays(frames=6, tracks=1, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 100, size=(frames, tracks, 2, 2))
    scores = rng.uniform(0, 1.2, size=(frames, tracks, 2))
    points[1, 0, 1], scores[1, 0, 1] = np.nan, 0
    return points, scores


def write_analysis(path, points, scores, names=None, preset=None):
    """The file as SLEAP writes it: (tracks, 2, nodes, frames)."""
    axes = ("frame", "track", "node", "xy") if preset == "standard" else ("track", "xy", "node", "frame")
    order = [("frame", "track", "node", "xy").index(axis) for axis in axes]
    without_xy = [at for at in order if at < 3]
    with h5py.File(path, "w") as file:
        file["tracks"] = points.transpose(order)
        file["point_scores"] = scores.transpose(without_xy)
        file["node_names"] = [node.encode() for node in NODES]
        if names is None:
            names = [f"track_{at}" for at in range(points.shape[1])]
        file.create_dataset("track_names", data=np.array([name.encode() for name in names], "S20"))
        file["track_occupancy"] = np.isfinite(points).any(axis=(2, 3)).astype("u1")
        if preset is not None:
            file["tracks"].attrs["dims"] = json.dumps(axes)
    return path


@pytest.mark.parametrize("preset", [None, "matlab", "standard"])
@pytest.mark.parametrize("name", ["clip.analysis.h5", "clip.h5"])
def test_analysis(folder, preset, name):
    points, scores = arrays()
    read = import_pose([write_analysis(folder / name, points, scores, preset=preset)])
    np.testing.assert_array_equal(read.points[:, :, 0], points[:, 0])
    np.testing.assert_array_equal(read.scores[:, :, 0], scores[:, 0])
    assert read.joints == tuple(NODES)
    assert (read.video, read.scorer) == ("clip", "SLEAP")


def test_analysis_of_one_unnamed_track(folder):
    points, scores = arrays()
    path = write_analysis(folder / "clip.analysis.h5", points, scores, names=[])
    np.testing.assert_array_equal(import_pose([path]).points[:, :, 0], points[:, 0])


def test_points_set_by_a_person_have_score_1(folder):
    points, scores = arrays()
    scores[2:4] = np.nan
    read = import_pose([write_analysis(folder / "clip.analysis.h5", points, scores)])
    assert (read.scores[2:4] == 1).all()
    assert read.scores[1, 1, 0] == 0


def test_several_tracks(folder):
    points, scores = arrays(tracks=2)
    points[3:, 0] = np.nan
    points[:3, 1] = np.nan  # the tracks never overlap
    path = write_analysis(folder / "clip.analysis.h5", points, scores, ["ann", "bob"])
    with pytest.raises(DataError, match=r"2 individuals or tracks: 'ann' \(3 frames\), 'bob' \(3 frames\)"):
        import_pose([path])
    np.testing.assert_array_equal(import_pose([path], track="bob").points[:, :, 0], points[:, 1])
    with pytest.raises(DataError, match="'eve'"):
        import_pose([path], track="eve")
    write_analysis(path, points, scores, ["ann", "ann"])
    with pytest.raises(DataError, match=r"number 1"):
        import_pose([path], track="ann")


def test_analysis_that_does_not_fit(folder):
    points, scores = arrays()
    path = write_analysis(folder / "clip.analysis.h5", points, scores)
    with h5py.File(path, "a") as file:
        del file["node_names"]
        file["node_names"] = [b"nose"]
    with pytest.raises(DataError, match="do not fit"):
        import_pose([path])
    with h5py.File(path, "a") as file:
        del file["point_scores"]
    with pytest.raises(DataError, match="lacks point_scores"):
        import_pose([path])


def test_analysis_cut_off(folder):
    points, scores = arrays()
    path = write_analysis(folder / "clip.analysis.h5", points, scores)
    assert_prefixes_refused(path, lambda cut: import_pose([cut]), step=509)


# projects


def make_labels(points, scores, track_names, by_hand=(), videos=("D:\\data\\clip.mp4",)):
    sio = pytest.importorskip("sleap_io")
    skeleton = sio.Skeleton(list(NODES))
    tracks = [None if name is None else sio.Track(name) for name in track_names]
    files = [sio.Video(filename=name, open_backend=False) for name in videos]
    frames = []
    for at in range(len(points)):
        instances = []
        for slot, track in enumerate(tracks):
            if np.isfinite(points[at, slot]).any():
                instances.append(
                    sio.PredictedInstance.from_numpy(
                        points[at, slot],
                        skeleton=skeleton,
                        point_scores=scores[at, slot],
                        score=1.0,
                        track=track,
                    )
                )
            if (at, slot) in by_hand:
                instances.append(
                    sio.Instance.from_numpy(points[at, slot] + 1, skeleton=skeleton, track=track)
                )
        frames.append(sio.LabeledFrame(video=files[-1], frame_idx=at, instances=instances))
    return sio.Labels(frames, videos=files, skeletons=[skeleton], tracks=[t for t in tracks if t is not None])


def save(labels, path):
    labels.save(str(path), embed=False, verbose=False)
    return path


@pytest.mark.parametrize("track", [None, "ann"])
def test_project(folder, track):
    points, scores = arrays()
    path = save(make_labels(points, scores, [track]), folder / "clip.predictions.slp")
    read = import_pose([path])
    np.testing.assert_array_equal(read.points[:, :, 0], points[:, 0])
    np.testing.assert_allclose(read.scores[:, :, 0], scores[:, 0], rtol=1e-6)
    assert (read.joints, read.video) == (tuple(NODES), "clip")


@pytest.mark.parametrize("track", [None, "ann"])
def test_project_corrected_by_hand(folder, track):
    points, scores = arrays()
    path = save(make_labels(points, scores, [track], by_hand=[(3, 0)]), folder / "clip.slp")
    read = import_pose([path])
    np.testing.assert_array_equal(read.points[3, :, 0], points[3, 0] + 1)
    assert (read.scores[3] == 1).all()
    np.testing.assert_array_equal(read.points[4, :, 0], points[4, 0])


def test_project_of_several_animals(folder):
    points, scores = arrays(tracks=2)
    path = save(make_labels(points, scores, ["ann", "bob"]), folder / "clip.slp")
    with pytest.raises(DataError, match=r"'ann' \(6 frames\), 'bob' \(6 frames\)"):
        import_pose([path])
    np.testing.assert_array_equal(import_pose([path], track="bob").points[:, :, 0], points[:, 1])
    path = save(make_labels(points, scores, [None, None]), folder / "clip.slp")
    with pytest.raises(DataError, match=r"no track 2"):
        import_pose([path])
    path = save(make_labels(points, scores, ["ann", None]), folder / "clip.slp")
    with pytest.raises(DataError, match=r"'ann' .*no track"):
        import_pose([path])


def test_project_of_several_videos(folder):
    points, scores = arrays()
    labels = make_labels(points, scores, ["ann"], videos=("/x/other.mp4", "C:\\y\\clip.mp4"))
    path = save(labels, folder / "clip.slp")
    np.testing.assert_array_equal(import_pose([path]).points[:, :, 0], points[:, 0])
    with pytest.raises(DataError, match="not exactly one is called 'project'"):
        import_pose([save(labels, folder / "project.slp")])
    with pytest.raises(DataError, match="no predicted frame"):
        import_pose([save(labels, folder / "other.slp")])


def test_analysis_is_taken_before_the_project(folder):
    points, scores = arrays()
    project = save(make_labels(points + 1, scores, ["ann"]), folder / "clip.slp")
    analysis = write_analysis(folder / "clip.analysis.h5", points, scores)
    np.testing.assert_array_equal(import_pose([project, analysis]).points[:, :, 0], points[:, 0])


def test_project_without_sleap_io(folder, monkeypatch):
    points, scores = arrays()
    path = save(make_labels(points, scores, ["ann"]), folder / "clip.slp")
    real = builtins.__import__

    def absent(name, *arguments, **options):
        if name == "sleap_io":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "sleap_io")
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(DataError, match=r'pip install "anipipe\[sleap\]"'):
        import_pose([path])


def test_project_that_is_none(folder):
    with h5py.File(folder / "clip.slp", "w") as file:
        file["a"] = 1
    with pytest.raises(DataError, match="no SLEAP project"):
        import_pose([folder / "clip.slp"])


def test_project_cut_off(folder):
    points, scores = arrays()
    path = save(make_labels(points, scores, ["ann"]), folder / "clip.slp")
    assert_prefixes_refused(path, lambda cut: import_pose([cut]), step=1009)
