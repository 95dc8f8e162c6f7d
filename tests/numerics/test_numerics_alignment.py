from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anipipe.errors import DataError
from anipipe.numerics.alignment import standardise, unstandardise

JOINTS = ["nose", "tail", "left", "right", "never"]
AXES = [("x", "tail", "nose"), ("y", "right", "left")]


@pytest.fixture
def animal():
    """An animal whose length and width are not perpendicular, turned and moved, with noise and gaps."""
    rng = np.random.default_rng(8)
    shape = np.array([[40.0, 0, 0], [-40, 0, 0], [5, 12, 1], [-3, -11, 0], [0, 0, 0]])
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    points = shape @ turn.T + [100, -30, 500] + rng.normal(0, 0.5, (60, 5, 3))
    points[:, 4] = np.nan
    points[rng.random((60, 5)) < 0.1] = np.nan
    return points


def lengths(points):
    return np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)


@pytest.mark.parametrize("pair", ["xy", "yx", "yz", "zy", "zx", "xz"])
def test_axes_are_a_rotation_whichever_are_named(animal, pair):
    before = animal.copy()
    axes = [(pair[0], "tail", "nose"), (pair[1], "right", "left")]
    out, rotation, center = standardise(animal, JOINTS, axes, "tail")
    assert np.allclose(rotation @ rotation.T, np.eye(3), rtol=0, atol=1e-15)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert np.allclose(lengths(out), lengths(animal), rtol=0, atol=1e-10, equal_nan=True)
    assert np.array_equal(animal, before, equal_nan=True)
    assert np.allclose(out, animal @ rotation.T - center, equal_nan=True)
    median = np.nanmedian(animal[:, :4], axis=0)
    along = median[0] - median[1]
    first, second = "xyz".index(pair[0]), "xyz".index(pair[1])
    assert np.allclose(rotation[first], along / np.linalg.norm(along))  # the first as given
    across = rotation @ (median[2] - median[3])
    third = 3 - first - second
    assert across[second] > 0 and across[third] == pytest.approx(
        0, abs=1e-12
    )  # the second in the plane of both


def test_origin_is_the_median_of_the_turned_reference(animal):
    out, rotation, center = standardise(animal, JOINTS, AXES, "left")
    assert np.allclose(np.nanmedian(out[:, 2], axis=0), 0, atol=1e-12)
    assert np.allclose(center, np.nanmedian(animal[:, 2] @ rotation.T, axis=0))
    out, again, center = standardise(animal, JOINTS, AXES)
    assert np.array_equal(center, np.zeros(3)) and np.array_equal(again, rotation)


def test_inverse(animal):
    out, rotation, center = standardise(animal, JOINTS, AXES, "left")
    assert np.allclose(unstandardise(out, rotation, center), animal, rtol=0, atol=1e-11, equal_nan=True)
    skewed = np.array([[1.0, 0, 0], [0.5, 1, 0], [0, 0, 1]])  # as in files of today's Anipose
    assert np.allclose(unstandardise(animal @ skewed.T - 3, skewed, [3, 3, 3]), animal, equal_nan=True)
    with pytest.raises(DataError, match="no inverse"):
        unstandardise(out, np.zeros((3, 3)), center)


@pytest.mark.parametrize("axes", [None, []])
def test_without_axes_nothing_changes(animal, axes):
    out, rotation, center = standardise(animal, JOINTS, axes, "left")
    assert np.array_equal(out, animal, equal_nan=True) and out is not animal
    assert np.array_equal(rotation, np.eye(3)) and np.array_equal(center, np.zeros(3))


def test_entries_of_one_axis_are_averaged_as_directions():
    points = np.zeros((3, 4, 3))
    points[:, 1], points[:, 2], points[:, 3] = (10, 0, 0), (0, 1, 0), (0, 0, 5)
    axes = [("z", "a", "b"), ("z", "a", "c"), ("x", "a", "d")]
    _, rotation, _ = standardise(points, list("abcd"), axes)
    half = np.sqrt(0.5)
    assert np.allclose(rotation, [[0, 0, 1], [half, -half, 0], [half, half, 0]])
    # A third axis follows from the other two, whatever is said.
    _, same, _ = standardise(points, list("abcd"), [*axes, ("y", "a", "b")])
    assert np.array_equal(same, rotation)


@pytest.mark.parametrize(
    ("axes", "reference", "message"),
    [
        (
            [("x", "tail", "nose"), ("y", "never", "left")],
            None,
            "y from never to left: joint never is never seen",
        ),
        (AXES, "never", "reference_point: joint never is never seen"),
        (
            [("x", "tail", "nose"), ("y", "nose", "tail")],
            None,
            "x from tail to nose and y from nose to tail are parallel",
        ),
        ([("x", "tail", "nose"), ("y", "tail", "nos")], None, "y from tail to nos: there is no joint 'nos'"),
        ([("x", "tail", "nose"), ("x", "right", "left")], None, "two different axes are needed"),
        ([("x", "tail", "nose"), ("x", "nose", "tail"), ("y", "right", "left")], None, "cancel"),
        ([("x", "tail", "nose"), ("w", "right", "left")], None, "with axis x, y or z"),
        ([("x", "tail"), ("y", "right", "left")], None, r"\['x', 'tail'\] should read"),
        ([("x", "tail", "tail"), ("y", "right", "left")], None, "x from tail to tail: .* coincide"),
    ],
)
def test_impossible_axes_are_refused_by_name(animal, axes, reference, message):
    with pytest.raises(DataError, match=message):
        standardise(animal, JOINTS, axes, reference)


def test_wrong_shape_is_refused(animal):
    with pytest.raises(DataError, match="expected"):
        standardise(animal[:, :3], JOINTS, AXES)
