"""3D views: where things appear, what hides what, what stays as it is, and what bad input does."""

import warnings

import cv2
import numpy as np
import pytest

from anipipe.numerics.drawing._floor import Axis, number, round_step
from anipipe.numerics.drawing.scene import Scene, Viewpoint

COLOURS = np.array([[230, 60, 40], [40, 200, 70], [70, 110, 240], [240, 200, 30], [200, 60, 220]], np.uint8)
BOX = np.array([[x, y, z] for x in (-30.0, 30.0) for y in (-40.0, 40.0) for z in (0.0, 50.0)])
RADIUS = 50.0  # of the upright cylinder about it


def scene(points, edges=(), *, up=(0, 0, 1), unit="mm", colours=COLOURS, **options):
    view = {name: options.pop(name) for name in ("size", "azimuth", "elevation", "step") if name in options}
    points = np.asarray(points, float)
    shades = np.resize(colours, (points.shape[1], 3))
    return Scene(points, edges, shades, up=up, unit=unit, viewpoint=Viewpoint(**view), **options)


def framed(points):
    """Poses (n, 3) or (n, joints, 3) as frames 100 and on, after frames of 8 joints that set the scale."""
    rows = np.asarray(points, float)
    rows = rows[:, None] if rows.ndim == 2 else rows
    frames = np.full((100 + len(rows), 8, 3), np.nan)
    frames[:100] = BOX
    frames[100:, : rows.shape[1]] = rows
    return frames


def direction(azimuth, elevation):
    """Towards the eye."""
    a, e = np.radians([azimuth, elevation])
    return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])


def projected(view, points, azimuth, elevation):
    """A pinhole camera as textbooks have it: from the eye, the target and what is up."""
    target = np.array([0, 0, view.height])
    eye = target + view.distance * direction(azimuth, elevation)
    forwards = (target - eye) / view.distance
    right = np.cross(forwards, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forwards, right)
    places = np.stack([right, down, forwards]) @ (points - eye).T
    return (view.focal * places[:2] / places[2]).T + view.middle


def walk(frames=120, joints=6, seed=1):
    rng = np.random.default_rng(seed)
    way = np.cumsum(rng.normal(0, 4, (frames, 1, 3)), axis=0) * [1, 1, 0]
    return (
        way + rng.uniform([-40, -40, 0], [40, 40, 30], (joints, 3)) + rng.normal(0, 0.5, (frames, joints, 3))
    )


CHAIN = tuple((joint, joint + 1) for joint in range(5))


@pytest.mark.parametrize("azimuth", [-60.0, 0.0, 90.0, 137.0, 250.0])
@pytest.mark.parametrize("elevation", [-15.0, 0.0, 25.0, 80.0])
def test_projection_is_that_of_a_pinhole_camera(azimuth, elevation):
    at = np.array([[12.0, -20.0, 31.0], [-3.0, 17.0, 8.0], [0.0, 0.0, 44.0]])
    drawn = scene(framed(at), azimuth=azimuth, elevation=elevation)
    expected = projected(drawn.view, at / (1.06 * RADIUS), azimuth, elevation)
    pixels = np.array([drawn.pixels(frame)[0] for frame in (100, 101, 102)])
    assert pixels == pytest.approx(expected, abs=1e-6)
    found = []
    for frame, (column, row) in zip((100, 101, 102), expected, strict=True):
        picture = drawn.draw(frame)
        assert np.abs(picture[round(row), round(column)].astype(int) - COLOURS[0][::-1]).max() <= 16
        redness = np.maximum(picture[..., 2].astype(float) - picture[..., 0], 0)
        middle = [redness.sum(axis=axis) @ np.arange(length) for axis, length in ((0, 640), (1, 480))]
        found.append(np.array(middle) / redness.sum() - [column, row])
    assert np.abs(found).max() < 2  # the bright side counts more
    assert np.ptp(found, axis=0).max() < 0.5  # with all in the same way


def test_up_may_be_any_axis():
    """The same pose in other axes, up being told, gives the same picture but for what numbers say."""
    pose = framed([[12.0, -20.0, 31.0]])
    plain = scene(pose)
    turned = scene(pose[..., [1, 2, 0]], up=(0, 1, 0))  # upright axes begin along x, which was y
    spots = [
        projected(plain.view, np.array([[12.0, -20, 31]]) / (1.06 * RADIUS), azimuth, 25)[0]
        for azimuth in range(360)
    ]
    assert min(np.abs(turned.pixels(100)[0] - spot).max() for spot in spots) < 1.5
    assert turned.view.distance == pytest.approx(plain.view.distance)


@pytest.mark.parametrize("azimuth", [-60.0, 33.0, 180.0])
@pytest.mark.parametrize("nearer", [0, 1])
def test_nearer_sphere_hides_the_farther_one_and_is_larger(azimuth, nearer):
    middle, towards = np.array([0, 0, 25.0]), direction(azimuth, 25.0)
    places = np.stack([middle + 20 * towards, middle - 20 * towards])
    places = places if nearer == 0 else places[::-1]
    alone = np.full((2, 2, 3), np.nan)
    alone[0, 0], alone[1, 1] = places
    drawn = scene(framed(np.concatenate([places[None], alone])), azimuth=azimuth, dot_size=8.0)
    # The eye looks at the axis at another height: the two lie nearly, not quite, behind each other.
    column, row = np.round(drawn.pixels(100)[nearer]).astype(int)
    assert np.abs(drawn.draw(100)[row, column].astype(int) - COLOURS[nearer][::-1]).max() <= 12
    first, second = (
        (np.abs(drawn.draw(frame).astype(int) - COLOURS[joint][::-1]).max(axis=-1) < 40).sum()
        for frame, joint in ((101, 0), (102, 1))
    )
    assert (first > second) == (nearer == 0)


def test_rod_before_a_sphere_hides_it_and_behind_it_is_hidden():
    towards = direction(-60.0, 25.0)
    side = np.array([np.sin(np.radians(60)), np.cos(np.radians(60)), 0]) * 30
    for shift, colour in ((15.0, COLOURS[0]), (-15.0, COLOURS[2])):
        middle = np.array([0, 0, 25.0])
        pose = np.stack([middle + shift * towards - side, middle + shift * towards + side, middle])
        shades = COLOURS[[0, 0, 2, 2, 2]]
        drawn = scene(framed(pose[None]), [(0, 1)], colours=shades, dot_size=10.0)
        column, row = np.round(drawn.pixels(100)[:2].mean(axis=0)).astype(int)
        assert np.abs(drawn.draw(100)[row, column].astype(int) - colour[::-1]).max() <= 40


@pytest.mark.parametrize("elevation", [-30.0, 0.0, 25.0, 60.0])
def test_up_is_up_from_all_sides(elevation):
    points = framed([[[10.0, 5.0, 10.0], [10.0, 5.0, 20.0]]] * 36)
    drawn = scene(points, step=10.0, elevation=elevation)
    for frame in range(100, 136):
        low, high = drawn.pixels(frame)[:2]
        assert high[1] < low[1] - 5
        assert abs(high[0] - low[0]) < 0.3 * (low[1] - high[1])


def test_fixed_view_is_the_same_in_all_frames():
    drawn = scene(walk(), CHAIN)
    assert (drawn.draw(-1) == drawn.draw(10**6)).all()
    rng = np.random.default_rng(0)
    constant = scene(np.repeat(rng.uniform(0, 50, (1, 5, 3)), 30, axis=0), ((0, 1),))
    assert (constant.draw(0) == constant.draw(29)).all()


def test_orbit_comes_back_and_the_floor_turns_with_it():
    pose = np.repeat(np.random.default_rng(0).uniform(0, 50, (1, 5, 3)), 200, axis=0)
    drawn = scene(pose, ((0, 1), (1, 2)), step=7.5)
    assert (drawn.draw(0) == drawn.draw(48)).all()
    assert (drawn.draw(3) == drawn.draw(147)).all()
    assert (drawn.draw(0) != drawn.draw(24)).any(axis=-1).sum() > 500
    assert (drawn.draw(-2) != drawn.draw(-26)).any(axis=-1).sum() > 500  # the grid alone
    still = scene(pose, ((0, 1), (1, 2)), azimuth=-60 + 7.5 * 5)
    assert (drawn.draw(5) == still.draw(0)).all()


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1280, 400)])
@pytest.mark.parametrize("elevation", [0.0, 25.0, 90.0])
def test_everything_stays_in_the_picture_and_fills_it(size, elevation):
    points = walk(360)
    drawn = scene(points, CHAIN, step=1.0, size=size, elevation=elevation)
    pixels = np.array([drawn.pixels(frame) for frame in range(360)])
    assert (pixels > 5).all() and (pixels < np.array(size) - 6).all()
    low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
    assert ((high - low) / size).max() > 0.4


def test_single_outliers_do_not_shrink_the_animal():
    points = walk(200)
    clean = scene(points, CHAIN, step=1.0)
    rng = np.random.default_rng(5)
    wrong = points.copy()
    for frame in range(0, 200, 20):
        wrong[frame, frame // 20 % 6] = rng.normal(0, 10.0 ** rng.integers(4, 12), 3)
    spoilt = scene(wrong, CHAIN, step=1.0)
    assert spoilt.view.distance == pytest.approx(clean.view.distance, rel=0.02)
    assert np.abs(spoilt.pixels(7) - clean.pixels(7)).max() < 6
    assert spoilt.draw(0).shape == (480, 640, 3)
    one = scene(wrong[:1], CHAIN)  # a single frame is enough to see it
    right = np.delete(np.arange(6), 0)
    assert np.ptp(one.pixels(0)[right], axis=0).max() > 150


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e6, 1e12])
def test_unit_does_not_matter(scale):
    points = walk(20)
    drawn, scaled = scene(points, CHAIN), scene(scale * points, CHAIN)
    assert scaled.pixels(7) == pytest.approx(drawn.pixels(7), abs=1e-3)


def test_shadow_falls_straight_down():
    drawn = scene(framed([[0.0, 0.0, 40.0], [0.0, 0.0, 1e-9]]))
    column, row = np.round(drawn.pixels(101)[0]).astype(int)
    floor = drawn.draw(-1).astype(int)
    area = np.s_[row - 3 : row + 4, column - 3 : column + 4]
    assert (floor[area] - drawn.draw(100)[area]).mean() > 8
    assert (drawn.draw(100)[row + 60] == floor[row + 60]).all()


def test_points_that_rest_on_no_camera_are_rings():
    points = framed([[0.0, 0.0, 30.0], [0.0, 0.0, 30.0]])
    filled = np.zeros(points.shape[:2], bool)
    filled[101] = True
    drawn = scene(points, filled=filled, dot_size=12.0)
    column, row = np.round(drawn.pixels(100)[0]).astype(int)
    empty, plain, ring = (drawn.draw(frame).astype(int) for frame in (-1, 100, 101))
    contrast = [np.abs(picture - empty)[row, column].max() for picture in (plain, ring)]
    assert contrast[1] < 0.35 * contrast[0]
    edge = [np.abs(picture - empty)[row, column + 9].max() for picture in (plain, ring)]
    assert edge[1] > 0.3 * edge[0]


def test_lines_go_from_colour_to_colour_or_have_their_own():
    pose = framed([[[-20.0, -20, 25], [20, 20, 25]]])
    shaded, plain = scene(pose, [(0, 1)]), scene(pose, [(0, 1)], line_colour=(255, 250, 240))
    start, end = shaded.pixels(100)[:2]
    for part in (0.25, 0.5, 0.75):
        column, row = np.round(start + part * (end - start)).astype(int)
        expected = COLOURS[0] + part * (COLOURS[1].astype(int) - COLOURS[0])
        assert np.abs(shaded.draw(100)[row, column] - expected[::-1]).max() < 25
        assert plain.draw(100)[row, column].tolist() == [240, 250, 255]


def test_lines_are_as_wide_as_asked():
    pose = framed([[[-20.0, -20, 25], [20, 20, 25]]])

    def pixels(width):
        drawn = scene(pose, [(0, 1)], line_colour=(255, 255, 255), line_width=width, dot_size=3.0)
        return (drawn.draw(100).min(axis=-1) > 250).sum()

    assert pixels(2.0) == pytest.approx(2 * pixels(1.0), rel=0.25)


def test_trail_is_as_long_as_asked():
    way = np.stack([np.linspace(-25, 25, 11), np.full(11, 30.0), np.full(11, 25.0)], axis=-1)
    points = framed(way)
    points[:100, 0] = np.nan
    for trail, frame, count in ((0, 110, 0), (4, 110, 4), (4, 102, 2), (40, 110, 10)):
        drawn = scene(points, trail=trail, azimuth=-90.0, colours=np.array([[255, 255, 255]]), dot_size=6.0)
        changed = np.abs(drawn.draw(frame).astype(int) - drawn.draw(-1)).max(axis=-1) > 30
        row = int(drawn.pixels(frame)[0][1])
        band = changed[row - 2 : row + 3].any(axis=0)
        assert (np.diff(band.astype(int)) == 1).sum() == count + 1  # and the joint itself


def test_picture_is_a_fresh_one():
    drawn = scene(walk(3), CHAIN)
    first = drawn.draw(1)
    kept = first.copy()
    first[:] = 0
    assert (drawn.draw(1) == kept).all()
    assert first.flags.writeable and first.flags.c_contiguous and first.dtype == np.uint8


def changed(*changes):
    points = walk(12)
    for place, value in changes:
        points[place] = value
    return points


BAD = {
    "missing": np.full((4, 6, 3), np.nan),
    "no frames": np.empty((0, 6, 3)),
    "no joints": np.empty((4, 0, 3)),
    "one point": np.full((1, 1, 3), 7.0),
    "one frame": walk(1),
    "one place": np.full((5, 6, 3), [1e6, -2e6, 7]),
    "line": walk(12) * [1, 0, 0],
    "post": walk(12) * [0, 0, 1],
    "infinite": changed((3, np.inf), ((5, 2), [-np.inf, 0, np.nan])),
    "far": changed(
        ((3, 1), 1.7e308), ((4, 2), [-1e40, 1e30, 3]), ((5, 3), 1e99), (6, 1e9), (7, [2e9, -3e12, 5])
    ),
    "immense": walk(12) * 1e97,
    "minute": walk(12) * 1e-200,
    "about the eye": changed(
        (3, 4000 * direction(-60, 25)), ((4, 2), 900 * direction(-60, 25)), (5, 300 * direction(-60, 25))
    ),
}


@pytest.mark.parametrize("size", [(640, 480), (33, 250), (2, 2)])
@pytest.mark.parametrize("points", BAD.values(), ids=BAD.keys())
def test_bad_input_gives_a_picture(points, size):
    edges = [(a, b) for a, b in CHAIN if b < points.shape[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = scene(points, edges, size=size, step=2.0, trail=3, filled=np.ones(points.shape[:2], bool))
        pictures = [drawn.draw(frame) for frame in range(-1, len(points) + 2)]
    assert {picture.shape for picture in pictures} == {(size[1], size[0], 3)}
    if size[0] == 640:
        assert np.ptp(pictures[0]) > 50  # a floor, with numbers


@pytest.mark.parametrize(
    "options", [dict(dot_size=300.0, line_width=50.0), dict(dot_size=0.01, line_width=0.01)]
)
def test_any_size_of_dots_and_lines_is_drawn(options):
    assert scene(walk(3), CHAIN, **options).draw(1).shape == (480, 640, 3)


def test_threads_of_opencv_are_left_alone():
    before = cv2.getNumThreads()
    scene(walk(3), CHAIN).draw(1)
    assert cv2.getNumThreads() == before


@pytest.mark.parametrize(
    ("length", "step"),
    [(0.9, 1), (1.0, 1), (1.1, 2), (2.0, 2), (4.9, 5), (5.1, 10), (0.013, 0.02), (3e5, 5e5)],
)
def test_steps_are_round(length, step):
    assert round_step(length) == pytest.approx(step)


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (150, 50, "150"),
        (-0.3, 0.1, "−0.3"),
        (0, 5, "0"),
        (2, 0.5, "2.0"),
        (3e8, 1e8, "3e+08"),
        (2e-9, 1e-9, "2e−09"),
    ],
)
def test_numbers_are_short(value, step, text):
    assert number(value, step) == text


def test_ticks_stand_at_their_numbers():
    ticks = Axis("y (mm)", start=7.0, rate=-20.0).ticks(-1, 1, 10.0)
    assert [text for _, text in ticks] == ["−10", "0", "10", "20"]
    assert [7 - 20 * at for at, _ in ticks] == pytest.approx([-10, 0, 10, 20])
