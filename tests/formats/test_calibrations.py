from __future__ import annotations

import tomllib

import numpy as np
import pytest
import toml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anipipe.errors import DataError
from anipipe.formats.calibrations import read_calibration, write_calibration
from anipipe.numerics.cameras import Camera, Rig

from .helpers import assert_prefixes_refused

# as Anipose wrote it, with the toml package
GOLDEN = """\
[cam_0]
name = "A"
size = [ 832, 632,]
matrix = [ [ 20003.023008090135, 0.0, 416.0,], [ 0.0, 20003.023008090135, 316.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ -58.1898806599525, 0.0, 0.0, 0.0, 0.0,]
rotation = [ -0.27221844817360985, 1e-9, 0.06007236378908297,]
translation = [ -1.2882079512493625, -1.0604344484725183, 54.050719886340794,]

[cam_1]
name = "B"
size = [ 832, 632,]
matrix = [ [ 900.0, 0.0, 416.0,], [ 0.0, 900.0, 316.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ 0.5, 0.0, 0.0, 0.0,]
rotation = [ 0.0, 0.0, 0.0,]
translation = [ 0.0, 0.0, 0.0,]
fisheye = true

[metadata]
adjusted = false
error = 0.2650305297927336
"""


def make_rig(count=3, seed=0, metadata=None):
    rng = np.random.default_rng(seed)
    cameras = []
    for at in range(count):
        fx, fy = rng.uniform(500, 1000, 2)
        matrix = [[fx, 0, 320], [0, fy, 240], [0, 0, 1]]
        fisheye = at == 1
        cameras.append(
            Camera(
                f"cam {at}",
                None if at == 2 else (640, 480),
                np.array(matrix),
                rng.normal(size=4 if fisheye else 5) * 1e-6,
                rng.normal(size=3),
                rng.normal(size=3) * 100,
                fisheye,
            )
        )
    return Rig(tuple(cameras), metadata or {})


def assert_same(one, two):
    assert len(one.cameras) == len(two.cameras)
    for a, b in zip(one.cameras, two.cameras, strict=True):
        assert (a.name, a.size, a.fisheye) == (b.name, b.size, b.fisheye)
        for name in ("matrix", "distortions", "rotation", "translation"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


METADATA = {
    "adjusted": True,
    "error": 0.1 + 0.2,
    "note": 'a\\xb "quoted"\n\tü\x7f\x01',
    "odd key ü": [1, [2.5, 3.0]],
    "nested": {"deep": {"x": 1}, "list": ["a", "b"], "empty": []},
    "tiny": 1e-12,
    "huge": 2.5e22,
}


@pytest.mark.parametrize("count", [1, 3, 12])
def test_round_trip(folder, count):
    rig = make_rig(count, metadata=METADATA)
    write_calibration(rig, folder / "calibration.toml")
    read = read_calibration(folder / "calibration.toml")
    assert_same(rig, read)
    assert read.metadata == METADATA
    first = (folder / "calibration.toml").read_bytes()
    write_calibration(read, folder / "again.toml")
    assert (folder / "again.toml").read_bytes() == first
    assert b"\r" not in first


def test_golden(tmp_path):
    path = tmp_path / "calibration.toml"
    path.write_text(GOLDEN)
    rig = read_calibration(path)
    assert rig.names == ("A", "B")
    assert rig.cameras[0].rotation[1] == 1e-9
    write_calibration(rig, tmp_path / "again.toml")
    assert (tmp_path / "again.toml").read_text() == GOLDEN
    assert toml.dumps(toml.loads(GOLDEN)) == GOLDEN


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), VALUES, max_size=4))
def test_any_metadata_reads_back_equal(tmp_path, metadata):
    write_calibration(Rig(make_rig(1).cameras, metadata), tmp_path / "c.toml")
    assert read_calibration(tmp_path / "c.toml").metadata == metadata


def test_numpy_and_none_in_metadata(tmp_path):
    metadata = {"error": np.float64(0.5), "count": np.int64(3), "list": np.array([1.0, 2.0]), "absent": None}
    write_calibration(Rig(make_rig(1).cameras, metadata), tmp_path / "c.toml")
    assert read_calibration(tmp_path / "c.toml").metadata == {"error": 0.5, "count": 3, "list": [1.0, 2.0]}


@pytest.mark.parametrize("metadata", [{}, {"adjusted": False, "error": 1e-07}])
def test_aniposelib_reads_it(tmp_path, metadata):
    cameras = pytest.importorskip("aniposelib.cameras")
    rig = make_rig(3, metadata=metadata)
    rig = Rig(tuple(c for c in rig.cameras if c.size), metadata)
    write_calibration(rig, tmp_path / "c.toml")
    group = cameras.CameraGroup.load(str(tmp_path / "c.toml"))
    assert group.get_names() == list(rig.names)
    for theirs, ours in zip(group.cameras, rig.cameras, strict=True):
        np.testing.assert_array_equal(theirs.get_camera_matrix(), ours.matrix)
        np.testing.assert_array_equal(theirs.get_distortions(), ours.distortions)
        np.testing.assert_array_equal(theirs.get_rotation(), ours.rotation)
        np.testing.assert_array_equal(theirs.get_translation(), ours.translation)
    group.dump(str(tmp_path / "theirs.toml"))
    assert_same(rig, read_calibration(tmp_path / "theirs.toml"))


def test_numeric_order(tmp_path):
    sections = {f"cam_{at}": section(f"n{at}") for at in (10, 2, 0, 1, 11)} | {"side": section("side")}
    (tmp_path / "c.toml").write_text(toml.dumps(sections))
    assert read_calibration(tmp_path / "c.toml").names == ("n0", "n1", "n2", "n10", "n11", "side")


def section(name="a", **changed):
    base = {
        "name": name,
        "size": [640, 480],
        "matrix": [[900.0, 0.0, 320.0], [0.0, 900.0, 240.0], [0.0, 0.0, 1.0]],
        "distortions": [0.1, 0.0, 0.0, 0.0, 0.0],
        "rotation": [0.0, 0.0, 0.0],
        "translation": [1, 2, 3],
    }
    return {key: value for key, value in (base | changed).items() if value is not None}


@pytest.mark.parametrize(
    ("given", "fisheye", "expected"),
    [
        ([], False, [0] * 5),
        (None, False, [0] * 5),
        ([0.1], False, [0.1, 0, 0, 0, 0]),
        ([1.0, 2.0, 3.0, 4.0], False, [1, 2, 3, 4, 0]),
        ([1.0, 2.0, 3.0, 4.0, 5.0], False, [1, 2, 3, 4, 5]),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 0.0, 0.0], False, [1, 2, 3, 4, 5]),
        ([1.0, 2.0, 3.0, 4.0], True, [1, 2, 3, 4]),
        ([1.0, 2.0, 3.0, 4.0, 0.0], True, [1, 2, 3, 4]),
    ],
)
def test_distortions(tmp_path, given, fisheye, expected):
    content = {"cam_0": section(distortions=given, fisheye=fisheye)}
    (tmp_path / "c.toml").write_text(toml.dumps(content))
    np.testing.assert_array_equal(read_calibration(tmp_path / "c.toml").cameras[0].distortions, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "empty"),
        ({"metadata": {"error": 1.0}}, "no camera"),
        ({"cam_0": section(name=None)}, r"\[cam_0\] lacks name"),
        ({"cam_0": section(name=True)}, "no name"),
        ({"cam_7": section(matrix=None, rotation=None)}, r"\[cam_7\] lacks matrix, rotation"),
        ({"cam_0": section(translation=None)}, "lacks translation"),
        ({"cam_0": section(), "cam_1": section()}, "two cameras are called 'a'"),
        ({"cam_0": section(rotation=[0.0, float("nan"), 0.0])}, "rotation .* not finite"),
        ({"cam_0": section(translation=[0.0, float("inf"), 0.0])}, "translation .* not finite"),
        ({"cam_0": section(rotation=[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])}, "not the matrix"),
        ({"cam_0": section(matrix=[[1.0, 0.0], [0.0, 1.0]])}, "3 x 3"),
        ({"cam_0": section(matrix=[[1.0, 0.0], [0.0]])}, "not made of numbers"),
        ({"cam_0": section(matrix=[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])}, "focal"),
        ({"cam_0": section(translation="here")}, "not made of numbers"),
        ({"cam_0": section(size=[0, 480])}, "whole pixels"),
        ({"cam_0": section(size=[640.5, 480.0])}, "whole pixels"),
        ({"cam_0": section(size=[640])}, "2 numbers"),
        ({"cam_0": section(fisheye="yes")}, "true or false"),
        ({"cam_0": section(distortions=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])}, "has 6 distortions"),
        ({"cam_0": section(distortions=[1.0, 2.0, 3.0, 4.0, 5.0], fisheye=True)}, "knows 4"),
    ],
)
def test_wrong_cameras(folder, content, message):
    path = folder / "c.toml"
    path.write_text(toml.dumps(content))
    with pytest.raises(DataError, match=message) as raised:
        read_calibration(path)
    assert str(path) in str(raised.value)


def test_not_toml(folder):
    path = folder / "c.toml"
    path.write_text("[cam_0]\nname = a\n")
    with pytest.raises(DataError, match="line 2, column 8"):
        read_calibration(path)
    path.write_bytes(b"name = '\xff'\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_calibration(path)
    path.write_text("metadata = 3\n")
    with pytest.raises(DataError, match="metadata"):
        read_calibration(path)
    with pytest.raises(FileNotFoundError):
        read_calibration(folder / "absent.toml")


def test_cut_off(tmp_path):
    write_calibration(make_rig(3, metadata={"error": 0.25}), tmp_path / "c.toml")

    def whole(prefix):
        """A camera, or a section's header or line, ends here: the file is a whole one with less in it."""
        try:
            content = tomllib.loads(prefix.decode())
        except tomllib.TOMLDecodeError:
            return False
        needed = {"name", "matrix", "rotation", "translation"}
        cameras = [value for key, value in content.items() if key != "metadata"]
        return prefix.endswith(b"\n") and bool(cameras) and all(needed <= set(camera) for camera in cameras)

    assert_prefixes_refused(tmp_path / "c.toml", read_calibration, whole)
