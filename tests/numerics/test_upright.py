"""Which way is up, found from trajectories of which it is known."""

import warnings

import numpy as np
import pytest

from anipipe.numerics.cameras import rodrigues
from anipipe.numerics.drawing.upright import up_direction, upright_axes

Z = np.array([0.0, 0.0, 1.0])
UNTURNED = np.eye(3)


def walk(frames=400, seed=1):
    """An animal of eight joints, 60 long and 25 high, that walks all over a level floor, z up."""
    rng = np.random.default_rng(seed)
    body = rng.uniform([-30, -12, 0], [30, 12, 25], (8, 3))
    heading = np.cumsum(rng.normal(0, 0.2, frames))
    way = np.cumsum(3 * np.stack([np.cos(heading), np.sin(heading)], axis=-1), axis=0)
    way = 150 * np.sin(way / 80)  # stays within the arena
    turned = np.stack(
        [
            np.cos(heading)[:, None] * body[:, 0] - np.sin(heading)[:, None] * body[:, 1] + way[:, :1],
            np.sin(heading)[:, None] * body[:, 0] + np.cos(heading)[:, None] * body[:, 1] + way[:, 1:],
            np.broadcast_to(body[:, 2], (frames, len(body))),
        ],
        axis=-1,
    )
    return turned + rng.normal(0, 0.5, turned.shape)


def looking(eye, target=(0, 0, 0), up=Z):
    """A camera at a place that looks at another, what is up in its picture being up."""
    eye = np.asarray(eye, float)
    forwards = np.asarray(target, float) - eye
    forwards /= np.linalg.norm(forwards)
    right = np.cross(forwards, up)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forwards, right), forwards]), eye


def around(elevation, tilt=UNTURNED):
    """Centres and image ups of three cameras about the origin, all turned by tilt."""
    poses = [
        looking(
            800 * np.array([np.cos(a) * np.cos(elevation), np.sin(a) * np.cos(elevation), np.sin(elevation)])
        )
        for a in (0.3, 2.2, 4.5)
    ]
    return (
        np.array([eye for _, eye in poses]) @ tilt.T,
        np.array([-axes[1] for axes, _ in poses]) @ tilt.T,
    )


def degrees(a, b):
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def test_axes_of_the_user_are_kept():
    centres, ups = around(-0.5)
    up = up_direction(walk(), standardised=True, on_board=False, centres=centres, image_ups=ups)
    assert up.tolist() == [0, 0, 1]


@pytest.mark.parametrize("side", [1, -1])
def test_board_is_looked_at_from_where_the_cameras_are(side):
    centres, _ = around(0.6)
    tilted = walk() @ rodrigues(np.array([0.9, 0, 0])).T  # whatever the animal does
    up = up_direction(tilted, standardised=False, on_board=True, centres=centres * [1, 1, side])
    assert up.tolist() == [0, 0, side]
    assert up_direction(tilted, standardised=False, on_board=True).tolist() == [0, 0, 1]


@pytest.mark.parametrize("tilt", [[0, 0, 0], [1.1, 0.4, -0.3], [2.9, 0.5, 0.2], [-0.2, 1.7, 0.9]])
@pytest.mark.parametrize("elevation", [0.0, 0.5, 1.4])
def test_ground_is_found_on_a_tilted_floor_seen_by_tilted_cameras(tilt, elevation):
    turn = rodrigues(np.array(tilt, float))
    centres, ups = around(elevation, turn)
    shift = np.array([40.0, -900.0, 77.0])
    points = walk() @ turn.T + shift
    up = up_direction(points, standardised=False, on_board=False, centres=centres + shift, image_ups=ups)
    assert np.linalg.norm(up) == pytest.approx(1)
    assert degrees(up, turn @ Z) < 1
    if elevation > 0:  # where the cameras are is enough then
        alone = up_direction(points, standardised=False, on_board=False, centres=centres + shift)
        assert alone == pytest.approx(up)


def test_ground_is_found_among_outliers_and_gaps():
    rng = np.random.default_rng(3)
    turn = rodrigues(np.array([0.7, -0.5, 0.1]))
    points = walk() @ turn.T
    wrong = rng.random(points.shape[:2]) < 0.02
    points[wrong] += rng.normal(0, 5000, (wrong.sum(), 3))
    points[rng.random(points.shape[:2]) < 0.2] = np.nan
    points[5, 2] = [np.inf, 0, 1e308]
    centres, ups = around(0.6, turn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        up = up_direction(points, standardised=False, on_board=False, centres=centres, image_ups=ups)
    assert degrees(up, turn @ Z) < 1


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_ground_is_the_same_in_every_unit(scale):
    turn = rodrigues(np.array([0.7, -0.5, 0.1]))
    centres, _ = around(0.6, turn)
    up = up_direction(scale * walk() @ turn.T, standardised=False, on_board=False, centres=scale * centres)
    assert degrees(up, turn @ Z) < 1


def test_tethered_animal_stands_as_in_the_pictures():
    rng = np.random.default_rng(4)
    legs = rng.normal(0, 1, (1, 40, 3)) + rng.normal(0, 0.1, (200, 40, 3))  # about as wide as it is high
    turn = rodrigues(np.array([2.0, 0.3, 0.4]))
    centres, ups = around(0.2, turn)
    up = up_direction(legs @ turn.T, standardised=False, on_board=False, centres=centres, image_ups=ups)
    expected = ups.mean(axis=0)
    assert up == pytest.approx(expected / np.linalg.norm(expected))
    assert degrees(up, turn @ Z) < 15


@pytest.mark.parametrize(
    "points",
    [
        np.empty((0, 3, 3)),
        np.empty((4, 0, 3)),
        np.full((5, 2, 3), np.nan),
        np.ones((1, 1, 3)),
        np.full((30, 4, 3), 7.0),
        np.linspace([0, 0, 0], [5, 6, 7], 50)[:, None],
    ],
)
def test_without_a_plane_it_is_what_is_up_in_the_pictures(points):
    ups = np.array([[0.0, 0.6, 0.8], [0.0, -0.6, 0.8]])
    given = dict(standardised=False, on_board=False)
    assert up_direction(points, **given, image_ups=ups) == pytest.approx(Z)
    assert up_direction(points, **given).tolist() == [0, -1, 0]
    assert up_direction(points, **given, image_ups=np.array([[0.0, 0, 1], [0, 0, -1]])).tolist() == [0, -1, 0]
    assert up_direction(points, **given, image_ups=np.full((2, 3), np.nan)).tolist() == [0, -1, 0]


def test_ground_without_cameras_has_down_as_in_a_picture():
    """A world that is the first camera: x to the right, y down."""
    points = walk()[..., [0, 2, 1]]  # y vertical
    assert degrees(up_direction(points, standardised=False, on_board=False), np.array([0, -1.0, 0])) < 1


@pytest.mark.parametrize("up", [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, -1, 0], [0.2, -3, 0.9], [5, 0.1, 0]])
def test_axes_stand_upright(up):
    axes = upright_axes(up)
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[2] == pytest.approx(np.array(up) / np.linalg.norm(up))


def test_axes_are_the_poses_own_where_z_is_up():
    assert upright_axes([0, 0, 2.0]).tolist() == np.eye(3).tolist()
