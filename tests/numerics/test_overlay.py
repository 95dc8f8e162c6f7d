"""What is drawn of a pose: in its place to a fraction of a pixel, in its colour, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from anipipe.numerics.drawing.overlay import Overlay, Pen, caption, no_picture

COLOURS = np.array([[250, 40, 40], [40, 250, 40], [40, 40, 250], [250, 250, 40]], np.uint8)
GREY = 128
PLAIN = Pen(COLOURS, dot_size=6.0)


def canvas(size: tuple[int, int] = (160, 120), level: int = GREY) -> np.ndarray:
    return np.full((size[1], size[0], 3), level, np.uint8)


def drawn(
    points: np.ndarray, pen: Pen = PLAIN, *, frame: int = 0, hollow: np.ndarray | None = None, **options
) -> np.ndarray:
    """The picture, of floats, that comes of points (frames, joints, 2) or (joints, 2)."""
    points = np.asarray(points, dtype=float)
    points = points[None] if points.ndim == 2 else points
    pen = dataclasses.replace(pen, colours=COLOURS[: points.shape[1]])
    picture = canvas(**options)
    Overlay(points, pen, hollow).draw(picture, frame)
    return picture.astype(float)


def like(picture: np.ndarray, joint: int) -> np.ndarray:
    """How much of each pixel, 0 to 1, has a joint's colour, before grey and dark."""
    colour = COLOURS[joint, ::-1].astype(float)
    strong = colour > 100
    return np.clip((picture[..., strong].min(axis=-1) - picture[..., ~strong].max(axis=-1)) / 210, 0, 1)


def changed(picture: np.ndarray, level: int = GREY) -> np.ndarray:
    return np.abs(picture - level).max(axis=-1) > 3


def centre(weights: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(weights.shape)
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


@pytest.mark.parametrize("offset", [(0, 0), (0.25, 0.75), (0.5, 0.5), (0.9, 0.1), (-0.3, 0.6)])
@pytest.mark.parametrize("radius", [1.5, 4.0, 9.5])
def test_dots_are_in_their_place_and_of_their_size(offset: tuple[float, float], radius: float) -> None:
    place = np.array([70.0, 50.0]) + offset
    picture = drawn([place], dataclasses.replace(PLAIN, dot_size=radius))
    dot = like(picture, 0)
    assert np.abs(centre(dot) - place).max() < (0.1 if radius > 2 else 0.15)
    assert abs(np.sqrt(dot.sum() / np.pi) - radius) < 0.75
    whole = changed(picture)
    assert np.abs(centre(whole.astype(float)) - place).max() < 0.2
    rows, columns = np.nonzero(whole)
    away = np.hypot(columns - place[0], rows - place[1])
    edge = max(1.0, radius / 5)
    assert away.max() < radius + edge + 1.5
    distance = np.hypot(*(np.indices(dot.shape)[::-1] - place[:, None, None])) - radius
    outline = picture[(distance > 0.5) & (distance < 0.5 + edge)].max(axis=-1)
    assert np.percentile(outline, 25) < 110  # darker than the ground


@pytest.mark.parametrize("level", [0, 128, 255])
def test_dots_read_on_any_ground(level: int) -> None:
    picture = drawn([[80, 60]], level=level)
    assert picture[60, 80].tolist() == COLOURS[0, ::-1].tolist()
    around = picture[60, 80 - 8 : 80 - 5]
    assert around.min() < 40


def test_points_that_are_filled_in_are_rings() -> None:
    pen = dataclasses.replace(PLAIN, dot_size=10.0)
    picture = drawn([[40, 60], [110, 60]], pen, hollow=np.array([[True, False]]))
    ring, dot = like(picture, 0), like(picture, 1)
    assert ring[60, 40] == 0 and (picture[60, 40] == GREY).all() and dot[60, 110] == 1
    assert np.abs(centre(ring) - (40, 60)).max() < 0.1
    assert ring[60, 48:53].max() > 0.9 and ring[48:53, 40].max() > 0.9
    assert picture[60, 40:54].min() < 60  # dark on both sides
    rings = drawn([[40, 60], [110, 60]], pen, hollow=np.array([[False, False]]))
    assert like(rings, 0)[60, 40] == 1


@pytest.mark.parametrize(
    "away", [(np.nan, 5), (5, np.nan), (np.inf, 5), (-np.inf, 5), (1e9, 5), (5, -1e9), (1e300, 1e300)]
)
def test_points_that_are_nowhere_draw_nothing(away: tuple[float, float]) -> None:
    pen = dataclasses.replace(PLAIN, edges=((0, 1),), trail=2)
    picture = drawn([[away, (80, 60)]] * 3, pen, frame=2)
    np.testing.assert_array_equal(picture, drawn([[(np.nan, np.nan), (80, 60)]] * 3, pen, frame=2))
    assert changed(picture).any() and like(picture, 0).max() == 0
    assert not changed(drawn([[away, away]] * 3, pen, frame=2)).any()


def test_points_beside_the_picture_show_what_of_them_lies_in_it() -> None:
    assert not changed(drawn([[-50, 60], [300, 60], [80, -1000], [80, 90000]])).any()
    edge = like(drawn([[0, 60]]), 0)
    assert edge[60, 0] == 1 and 0 < np.nonzero(edge.any(axis=0))[0].max() <= 7
    line = drawn([[-3920, 60], [4080, 60]], dataclasses.replace(PLAIN, edges=((0, 1),)))
    assert (like(line, 0)[60, 2:76] > 0.8).all() and (like(line, 1)[60, 86:158] > 0.8).all()


@pytest.mark.parametrize("frame", [-1, 2, 50])
def test_frames_without_a_pose_are_left_as_they_are(frame: int) -> None:
    pen = dataclasses.replace(PLAIN, trail=5, edges=((0, 1),))
    assert not changed(drawn(np.full((2, 2, 2), 50.0), pen, frame=frame)).any()
    assert not changed(drawn(np.zeros((0, 2, 2)), pen)).any()


def test_lines_take_their_joints_colours_half_and_half() -> None:
    picture = drawn([[20, 60], [140, 60]], dataclasses.replace(PLAIN, edges=((0, 1),)))
    assert (like(picture, 0)[60, 30:76] > 0.8).all() and (like(picture, 1)[60, 86:130] > 0.8).all()
    assert like(picture, 0)[60, 85:].max() == 0 and like(picture, 1)[60, :75].max() == 0
    across = picture[50:70, 50].max(axis=-1)
    assert across.min() < 60 and (across[[0, -1]] == GREY).all()


def test_lines_have_the_colour_that_they_are_given() -> None:
    pen = dataclasses.replace(PLAIN, edges=((0, 1),), line_colour=(255, 200, 10))
    picture = drawn([[20, 60], [140, 60]], pen)
    assert np.abs(picture[60, 35:125] - (10, 200, 255)).max() < 25
    assert (picture[60, 20] == COLOURS[0, ::-1]).all()  # dots lie above


def test_lines_need_both_their_joints_and_lie_below_all_dots() -> None:
    pen = dataclasses.replace(PLAIN, edges=((0, 1), (1, 2)))
    assert not changed(drawn([[20, 60], [np.nan, 60], [140, 60]], pen))[60, 40:120].any()
    picture = drawn([[20, 60], [80, 60], [140, 60]], pen)
    for joint, column in enumerate((20, 80, 140)):
        disc = like(picture, joint)[56:65, column - 4 : column + 5]
        rows, columns = np.indices(disc.shape) - 4
        assert (disc[np.hypot(rows, columns) < 4.5] > 0.99).all()


def test_lines_are_wider_in_larger_pictures_and_when_asked() -> None:
    def width(size: tuple[int, int], factor: float) -> float:
        pen = Pen(COLOURS, ((0, 1),), line_colour=(255, 255, 255), line_width=factor)
        middle = size[1] // 2
        picture = drawn([[0, middle], [size[0], middle]], pen, size=size)
        return float((picture[:, size[0] // 4, 0] > 190).sum())

    assert width((160, 120), 1) == 1
    assert abs(width((640, 480), 1) - 800 / 400) <= 1
    assert abs(width((1920, 1080), 1) - 2203 / 400) <= 2
    assert abs(width((1920, 1080), 3) - 3 * 2203 / 400) <= 3
    assert width((640, 480), 0.01) >= 1


def test_dots_are_larger_in_larger_pictures_unless_their_size_is_given() -> None:
    def radius(size: tuple[int, int], dot_size: float | None) -> float:
        picture = drawn([[size[0] / 2, size[1] / 2]], Pen(COLOURS, dot_size=dot_size), size=size)
        return float(np.sqrt(like(picture, 0).sum() / np.pi))

    assert abs(radius((640, 480), None) - 4) < 0.75 and abs(radius((1920, 1080), None) - 11) < 0.75
    assert abs(radius((640, 480), 7) - 7) < 0.75 and abs(radius((1920, 1080), 7) - 7) < 0.75
    assert like(drawn([[8, 8]], Pen(COLOURS), size=(16, 16)), 0).sum() > 2  # never lost


def spots(picture: np.ndarray) -> list[int]:
    """The columns in which something of the first joint begins."""
    row = like(picture, 0)[55:66].max(axis=0) > 0.3
    return (np.nonzero(np.diff(row.astype(int)) == 1)[0] + 1).tolist()


@pytest.mark.parametrize("trail", [0, 1, 3, 9])
def test_trails_are_exactly_as_long_as_asked(trail: int) -> None:
    """A joint goes 20 px to the right in each frame, so that each place stands alone."""
    points = np.array([[[20.0 + 20 * frame, 60]] for frame in range(7)])
    pen = dataclasses.replace(PLAIN, trail=trail, dot_size=5.0)
    for frame in (0, 2, 6):
        picture = drawn(points, pen, frame=frame)
        assert len(spots(picture)) == 1 + min(trail, frame)
        assert all(
            like(picture, 0)[60, 20 + 20 * (frame - ago)] > 0.9 for ago in range(min(trail, frame) + 1)
        )
    sizes = [like(drawn(points, pen, frame=6), 0)[:, 20 * at + 10 : 20 * at + 30].sum() for at in range(7)]
    shown = sizes[max(0, 6 - trail) :]
    assert shown == sorted(shown)  # the longer ago the smaller


def test_trails_leave_gaps_where_a_joint_was_not_seen() -> None:
    points = np.array([[[20.0 + 20 * frame, 60]] for frame in range(7)])
    points[4] = np.nan
    pen = dataclasses.replace(PLAIN, trail=3, dot_size=5.0)
    assert len(spots(drawn(points, pen, frame=6))) == 3
    points[6] = np.nan
    assert len(spots(drawn(points, pen, frame=6))) == 2


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (3, 3)])
def test_tiny_pictures_are_drawn_into(size: tuple[int, int]) -> None:
    pen = Pen(COLOURS, ((0, 1),), trail=1)
    picture = drawn([[[0, 0], [5, 5]]] * 2, pen, frame=1, size=size)
    assert changed(picture).any()
    assert no_picture(size).shape == (size[1], size[0], 3)
    caption(canvas(size), "a text that does not fit in")


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (480, 1920)])
def test_what_stands_for_a_lost_frame_is_a_red_cross_on_black(size: tuple[int, int]) -> None:
    picture = no_picture(size).astype(int)
    width, height = size
    red = picture[..., 2] - picture[..., 1] > 100
    assert red[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1].any()
    assert red[-1].all() and red[-height // 3 :, 0].all() and red[-height // 3 :, -1].all()
    assert red.mean() < 0.5 and (picture.max(axis=-1) < 20).mean() > 0.3


def test_captions_stand_in_the_upper_left_corner_on_any_ground() -> None:
    for level in (0, 128, 255):
        picture = canvas((320, 240), level)
        caption(picture, "camera Ä")
        rows, columns = np.nonzero(np.abs(picture[..., 0].astype(int) - level) > 3)
        assert rows.max() < 30 and columns.max() < 160
        corner = picture[:14, :60, 0]
        assert corner.max() > 200 and np.median(corner) < 90


@pytest.mark.parametrize("text", ["camera A", "Käfig", "上", "x" * 200])
def test_captions_are_written_in_the_corner_whatever_they_say(text: str) -> None:
    picture = np.full((120, 200, 3), 100, np.uint8)
    caption(picture, text)
    assert picture[:20, :40].max() > 200 and picture[2, 2].max() < 30  # light on dark
    assert (picture[40:] == 100).all()
    tiny = np.zeros((1, 1, 3), np.uint8)
    caption(tiny, text)
