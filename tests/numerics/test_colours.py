"""Which colour a joint has, and which lines are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps

from anipipe.numerics.drawing.colours import edges, joint_colours, named_colour

JOINTS = ("nose", "left ear", "right ear", "back", "tail")


def shades(colormap: str, places: np.ndarray) -> np.ndarray:
    return np.round(255 * colormaps[colormap](places)[:, :3])


@pytest.mark.parametrize("colormap", ["rainbow", "viridis", "tab10", "hsv_r"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_a_scheme_joints_are_spread_over_the_map_in_their_order(colormap: str, count: int) -> None:
    colours = joint_colours(JOINTS[:count], (), colormap)
    assert colours.dtype == np.uint8 and colours.shape == (count, 3)
    np.testing.assert_array_equal(colours, shades(colormap, np.linspace(0, 1, count)))


def test_red_comes_first() -> None:
    assert joint_colours(("one", "two"), (), "bwr").tolist() == [[0, 0, 255], [255, 0, 0]]


def test_a_scheme_sets_the_order_each_joint_counted_once() -> None:
    scheme = [["tail", "back", "nose"], ["left ear", "nose", "right ear"]]
    order = ["tail", "back", "nose", "left ear", "right ear"]
    colours = joint_colours(JOINTS, scheme, "viridis")
    expected = dict(zip(order, shades("viridis", np.linspace(0, 1, 5)), strict=True))
    np.testing.assert_array_equal(colours, [expected[joint] for joint in JOINTS])


def test_cameras_whose_networks_know_other_joints_besides_show_one_colour_for_a_joint() -> None:
    scheme = [["nose", "back", "tail"]]
    cameras = [
        ("nose", "back", "tail"),
        ("tail", "left ear", "nose", "right ear", "back"),
        ("whisker", "back", "paw", "nose"),
        (*(f"other {n}" for n in range(20)), "tail"),
    ]
    colours: dict[str, set[tuple[int, ...]]] = {}
    for joints in cameras:
        found = joint_colours(joints, scheme, "rainbow")
        assert len(np.unique(found, axis=0)) == len(joints)  # nor do any two joints share one
        for joint, colour in zip(joints, found.tolist(), strict=True):
            colours.setdefault(joint, set()).add(tuple(colour))
    assert all(len(colours[joint]) == 1 for joint in scheme[0])


def test_a_scheme_of_one_joint_leaves_the_map_to_the_others() -> None:
    found = joint_colours(JOINTS, [["back"]], "viridis")
    assert len(np.unique(found, axis=0)) == len(JOINTS)
    assert found[3].tolist() == shades("viridis", np.zeros(1))[0].tolist()


def test_no_joints_and_no_such_map() -> None:
    assert joint_colours((), (), "rainbow").shape == (0, 3)
    with pytest.raises(KeyError):
        joint_colours(JOINTS, (), "rainbw")


def test_colours_by_their_names() -> None:
    assert named_colour("white") == (255, 255, 255)
    assert named_colour("#ff8001") == (255, 128, 1)
    assert named_colour("tab:red") == (214, 39, 40)


def test_lines_are_pairs_of_neighbours_each_once_and_of_joints_that_there_are() -> None:
    scheme = [["nose", "back", "tail", "back"], ["tail", "back"], ["nose", "horn", "tail"], ["nose", "nose"]]
    assert set(edges(JOINTS, scheme)) == {(0, 3), (3, 4)}
    assert len(edges(JOINTS, scheme)) == 2
    assert edges(JOINTS, ()) == ()
