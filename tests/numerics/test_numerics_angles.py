from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anipipe.errors import DataError, Notice
from anipipe.numerics.angles import compute_angles

JOINTS = list("abcdef")


def one(places, definition):
    """Angle of a single frame of joints a, b, c, .."""
    places = np.array(places, dtype=float)
    return compute_angles(places[None], JOINTS[: len(places)], {"angle": definition})[1][0]


@pytest.fixture
def limbs():
    return np.random.default_rng(4).uniform(-10, 10, (300, 6, 3))


@pytest.mark.parametrize(
    ("c", "expected"),
    [((5, 0, 0), 0), ((0, 2, 0), 90), ((-3, 0, 0), 180), ((1, 1, 0), 45), ((-1, 0, 1), 135)],
)
def test_flex_by_hand(c, expected):
    for definition in (["a", "b", "c"], ["flex", "a", "b", "c"], ["flex", "c", "b", "a"]):
        assert one([(2, 0, 0), (0, 0, 0), c], definition) == pytest.approx(expected, abs=1e-12)


def test_flex_of_straight_and_folded_limbs_is_never_nan():
    rng = np.random.default_rng(0)
    start, way = rng.normal(size=(2, 2000, 3))
    straight = np.stack([start - 0.1 * way, start, start + way / 3], axis=1)
    folded = np.stack([start + 0.1 * way, start, start + way / 3], axis=1)
    for points, expected in ((straight, 180), (folded, 0)):
        _, values = compute_angles(points, "abc", {"k": ["a", "b", "c"]})
        assert np.abs(values - expected).max() < 1e-10


def test_flex_is_exact_where_the_arc_cosine_is_not():
    tiny = 1e-7
    assert one([(1, 0, 0), (0, 0, 0), (np.cos(tiny), np.sin(tiny), 0)], ["a", "b", "c"]) == pytest.approx(
        np.degrees(tiny), rel=1e-8
    )


def test_rotation_of_the_world_leaves_flex_unchanged(limbs):
    turned = limbs @ Rotation.random(rng=np.random.default_rng(1)).as_matrix().T + [3, 4, 5]
    definitions = {
        "k": ["a", "b", "c"],
        "m": ["flex", "d", "e", "f"],
        "chain": ["chain", "a", "b", "c", "d/", "e"],
    }
    names, before = compute_angles(limbs, JOINTS, definitions)
    _, after = compute_angles(turned, JOINTS, definitions)
    relative = [i for i, name in enumerate(names) if not name.startswith("a_")]  # a_ refers to the world
    off = (after - before + 180) % 360 - 180
    assert np.abs(off[:, relative]).max() < 1e-9
    assert np.abs(off).max() > 1


@pytest.mark.parametrize(
    ("direction", "expected"),
    [((1, 0, 0), 0), ((0, 1, 0), 90), ((-1, 0, 5), 180), ((0, -2, 1), -90), ((1, 1, 9), 45)],
)
def test_axis_by_hand(direction, expected):
    """The bone b -> a points to z: the direction c -> b counts from x over y."""
    b = np.array([1.0, 2, 3])
    value = one([b + np.array([0, 0, 4]), b, b - np.array(direction, dtype=float)], ["axis", "a", "b", "c"])
    assert value == pytest.approx(expected)


def test_axis_along_the_worlds_x_counts_from_y():
    b = np.zeros(3)
    for tilt in (0.0, 1e-9):
        for end in (1.0, -1.0):
            bone = np.array([end, tilt, -tilt])
            assert one([bone, b, (0, -1, 0)], ["axis", "a", "b", "c"]) == pytest.approx(0, abs=1e-6)
            assert one([bone, b, (0, 0, -1)], ["axis", "a", "b", "c"]) == pytest.approx(90 * end, abs=1e-6)
    # The mark agrees with that of bones that reach x from below (y < 0), and -x from above.
    for bone in [(1.0, -1e-4, 0), (-1.0, 1e-4, 0)]:
        assert one([bone, b, (0, -1, 0)], ["axis", "a", "b", "c"]) == pytest.approx(0, abs=1e-9)


def test_axis_of_a_straight_limb_is_undefined():
    assert np.isnan(one([(0, 0, 1), (0, 0, 0), (0, 0, -1)], ["axis", "a", "b", "c"]))


@pytest.mark.parametrize(("turn", "sign"), [(30, 1), (-120, 1), (75, -1)])
def test_cross_axis_by_hand(turn, sign):
    """In the plane z = 0: the normal is z or -z, and a -> c counts from x around it."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    b = np.array([sin, -cos, 0]) * sign * 0.4
    normal = np.cross(-b, b - np.array([cos, sin, 0]))
    value = one([(0, 0, 0), b, (cos, sin, 0)], ["cross-axis", "a", "b", "c"])
    assert value == pytest.approx(turn * np.sign(normal[2]))


@pytest.mark.parametrize("off", [0, 1e-12])
def test_cross_axis_of_joints_on_a_line_is_undefined(off):
    assert np.isnan(one([(0, 0, 0), (1, 2, 3), (2, 4, 6 + off)], ["cross-axis", "a", "b", "c"]))


def test_all_kinds_as_anipose_names_orders_and_computes_them():
    """Values that Anipose 1.1.24 computes from these points."""
    points = [
        [[-4, 2, -6], [5, 5, -8], [-2, -6, -1], [0, -4, -6], [-5, 6, 10], [8, -5, 8]],
        [[-5, 10, -4], [-4, -3, -8], [4, -7, 2], [5, 6, -7], [2, 7, 10], [-4, 4, -1]],
    ]
    expected = {
        "k": [39.944486342, 96.275213421],
        "f": [33.365567465, 50.91870142],
        "ax": [178.32727301, 126.399618384],
        "cr": [121.020311738, 134.233922344],
        "a_flex": [68.168131032, 4.204903975],
        "a_rot": [1.67272699, 53.600381616],
        "a_abduct": [-123.690067526, 107.102728969],
        "b_flex": [39.944486342, 96.275213421],
        "b_rot": [85.1519647, -45.376559628],
        "c_flex": [-33.365567465, -50.91870142],
        "c_rot": [-23.738347325, 115.305814086],
        "d_flex": [51.370727643, 58.534055341],
        "f_flex": [-37.475645901, -8.478713147],
        "f_abduct": [-153.434948823, -116.565051177],
    }
    definitions = {
        "k": ["a", "b", "c"],
        "f": ["flex", "b", "c", "d"],
        "ax": ["axis", "a", "b", "c"],
        "cr": ["cross-axis", "c", "d", "e"],
        "leg": ["chain", "a", "b", "c/", "d", "e"],
        "bone": ["chain", "f", "a"],
    }
    names, values = compute_angles(points, JOINTS, definitions)
    assert names == list(expected)
    assert np.allclose(values, np.array(list(expected.values())).T, rtol=0, atol=1e-8)


@pytest.mark.parametrize("slashes", ["", "b", "c", "bd", "bcd"])
def test_chain_angles_rebuild_the_limb(limbs, slashes):
    """Frames turned by a chain's angles, one after the other, point along its bones."""
    chain = list("abcde")
    written = [name + "/" * (name in slashes) for name in chain]
    names, values = compute_angles(limbs, JOINTS, {"leg": ["chain", *written]})
    column = dict(zip(names, values.T, strict=True))
    assert names == ["a_flex", "a_rot", "a_abduct", "b_flex", "b_rot", "c_flex", "c_rot", "d_flex"]
    frame = Rotation.identity()
    for i, name in enumerate(chain[:-1]):
        rot = column.get(f"{name}_rot", np.zeros(len(limbs)))
        first = column["a_abduct"] if i == 0 else np.full(len(limbs), 180.0)
        frame = frame * Rotation.from_euler(
            "zyx", np.stack([rot, column[f"{name}_flex"], first], axis=1), degrees=True
        )
        bone = limbs[:, i + 1] - limbs[:, i]
        bone /= np.linalg.norm(bone, axis=1, keepdims=True)
        assert np.allclose(frame.apply([0, 0, 1]), bone, rtol=0, atol=1e-9)
    for name in "bcd":
        i = chain.index(name)
        _, inner = compute_angles(limbs, JOINTS, {"k": chain[i - 1 : i + 2]})
        assert np.allclose(column[f"{name}_flex"], inner[:, 0] * (-1 if name in slashes else 1))


def test_missing_joints_take_only_what_needs_them(limbs):
    definitions = {
        "leg": ["chain", "a", "b", "c", "d", "e"],
        "k": ["a", "b", "c"],
        "ax": ["axis", "a", "b", "c"],
    }
    names, whole = compute_angles(limbs, JOINTS, definitions)
    gappy = limbs.copy()
    gappy[7, 4] = np.nan  # e
    gappy[9, 0, 1] = np.nan  # a, one coordinate
    _, values = compute_angles(gappy, JOINTS, definitions)
    lost = np.isnan(values)
    assert {names[i] for i in np.flatnonzero(lost[7])} == {"c_rot", "d_flex"}
    assert {names[i] for i in np.flatnonzero(lost[9])} == {
        "a_flex",
        "a_rot",
        "a_abduct",
        "b_flex",
        "b_rot",
        "k",
        "ax",
    }
    assert lost.sum() == 9
    assert np.array_equal(values[~lost], whole[~lost])


def test_coinciding_joints_are_missing_ones():
    points = np.array([[[0.0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0]]])
    names, values = compute_angles(points, "abcd", {"k": ["a", "b", "c"], "m": ["b", "c", "d"]})
    assert names == ["k", "m"] and np.isnan(values[0, 0]) and values[0, 1] == pytest.approx(90)


def test_straight_joint_of_a_chain_keeps_its_flex():
    points = np.array([[[0.0, 0, 0], [0, 1, 1], [0, 2, 2], [1, 2, 2], [1, 2, 5]]])
    names, values = compute_angles(points, "abcde", {"leg": ["chain", *"abcde"]})
    column = dict(zip(names, values[0], strict=True))
    assert column["b_flex"] == pytest.approx(180) and column["c_flex"] == pytest.approx(90)
    assert column["d_flex"] == pytest.approx(90) and np.isfinite(column["c_rot"])
    assert np.isnan(column["a_rot"]) and np.isnan(column["b_rot"])


@pytest.mark.parametrize("off", [0, 1e-12])
def test_first_bone_along_the_worlds_x(off):
    values = one([(0, 0, 0), (2, off, -off), (2, 1, 0)], ["chain", "a", "b", "c"])
    assert np.allclose(values, [90, 90, 0, 90])  # a_flex, a_rot, a_abduct, b_flex


def test_no_angles_and_no_frames(limbs):
    names, values = compute_angles(limbs, JOINTS, {})
    assert names == [] and values.shape == (300, 0)
    assert compute_angles(limbs[:0], JOINTS, {"k": ["a", "b", "c"], "l": ["chain", *"abc"]})[1].shape == (
        0,
        5,
    )
    assert np.isnan(compute_angles(limbs * np.nan, JOINTS, {"l": ["chain", *"abcd"]})[1]).all()


def test_a_joint_may_be_called_like_a_kind(limbs):
    joints = ["axis", *"bcdef"]
    assert np.array_equal(
        compute_angles(limbs, joints, {"k": ["axis", "b", "c"]})[1],
        compute_angles(limbs, JOINTS, {"k": ["a", "b", "c"]})[1],
    )


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (["ankle", "knee", "hop"], "angles.swing: there is no joint 'hop', did you mean 'hip'"),
        (["chain", "ankle", "kne/", "hip"], "angles.swing: there is no joint 'kne', did you mean 'knee'"),
        (["ankle", "knee"], "angle swing: .* should read"),
        (["flax", "ankle", "knee", "hip"], "angle swing: .* with kind flex, axis, cross-axis"),
        (["chain", "ankle"], "angle swing: a chain needs at least two"),
        ([], "angle swing"),
    ],
)
def test_faulty_definitions_are_refused_by_name(definition, message):
    with pytest.raises(DataError, match=message):
        compute_angles(np.zeros((2, 3, 3)), ["ankle", "knee", "hip"], {"swing": definition})


def test_two_chains_with_one_joint_are_reported(limbs):
    definitions = {"left": ["chain", "a", "b", "c"], "right": ["chain", "a", "e", "f"]}
    with pytest.warns(Notice) as caught:
        names, values = compute_angles(limbs, JOINTS, definitions)
    assert "angles left and right both give a column a_flex" in str(caught[0].message) and len(caught) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, right = compute_angles(limbs, JOINTS, {"right": definitions["right"]})
    assert names == ["a_flex", "a_rot", "a_abduct", "b_flex", "e_flex"]
    assert np.array_equal(values[:, :3], right[:, :3])


def test_wrong_shape_is_refused(limbs):
    with pytest.raises(DataError, match="expected"):
        compute_angles(limbs, JOINTS[:5], {})
