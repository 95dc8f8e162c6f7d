"""Previews: what is in the data is found in the pictures, at its place and in its colour."""

from __future__ import annotations

import struct
from dataclasses import replace

import cv2
import matplotlib
import numpy as np
import pytest

from anipipe.errors import DataError
from anipipe.formats._preview_series import alone, beside, cell_counts, envelope, unbroken
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.poses3d import Pose3D
from anipipe.formats.preview_pictures import (
    Look,
    angles_picture,
    check_png,
    differences,
    hist_picture,
    likelihood_picture,
    plot_picture,
    png,
    pose_3d_picture,
    trajectory_picture,
)

RED, GREEN, BLUE = (220, 20, 20), (20, 160, 20), (20, 20, 220)
PICTURES_2D = (trajectory_picture, plot_picture, likelihood_picture, hist_picture)


def look(colours=(RED, GREEN, BLUE), shown=None, pcutoff=0.6, title="session/video"):
    shown = np.ones(len(colours), bool) if shown is None else np.array(shown)
    return Look(title, np.array(colours, np.uint8).reshape(-1, 3), shown, pcutoff)


def pose(points, scores=None, **more) -> Pose2D:
    """One hypothesis; ``points`` is (frames, joints, 2)."""
    points = np.asarray(points, dtype=float)
    scores = np.ones(points.shape[:2]) if scores is None else np.asarray(scores, dtype=float)
    joints = tuple(f"joint{at}" for at in range(points.shape[1]))
    return Pose2D(joints, points[:, :, None], scores[:, :, None], "net", **more)


def still(frames=10, size=(200, 100)) -> Pose2D:
    """Three joints that stay where they are."""
    return pose(np.tile([[20.0, 30.0], [150.0, 40.0], [60.0, 80.0]], (frames, 1, 1)), size=size)


class Seen:
    """A figure with the pixels of its PNG."""

    def __init__(self, figure):
        self.panels = figure.axes
        self.texts = [text.get_text() for text in figure.texts]
        self.pixels = cv2.imdecode(np.frombuffer(png(figure), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]

    def place(self, panel, x, y):
        """Row and column of a place in the data."""
        across, up = self.panels[panel].transData.transform((x, y))
        return round(len(self.pixels) - 1 - up), round(across)

    def at(self, panel, x, y, around=1):
        """The most colourful pixel about a place in the data; the grid is grey."""
        row, column = self.place(panel, x, y)
        box = self.pixels[row - around : row + around + 1, column - around : column + around + 1]
        flat = box.reshape(-1, 3).astype(int)
        return tuple(flat[np.argmax(np.ptp(flat, axis=1))])


def said(figure):
    """What is written into the panels."""
    return [text.get_text() for panel in figure.axes for text in panel.texts]


def near(colour, expected, off=25):
    return max(abs(int(a) - b) for a, b in zip(colour, expected, strict=True)) <= off


def blank(colour):
    return np.ptp(colour) < 20


def test_trajectory_shows_joints_in_their_colours_where_they_were():
    seen = Seen(trajectory_picture(still(), look()))
    for (x, y), colour in zip(((20, 30), (150, 40), (60, 80)), (RED, GREEN, BLUE), strict=True):
        assert near(seen.at(0, x, y, 0), colour)
        assert blank(seen.at(0, x, 100 - y))  # y is not upside down
    assert seen.texts[0] == "session/video" and "30 of 30 points with p ≥ 0.6" in seen.texts[1]
    assert seen.texts[2:] == ["joint0", "joint1", "joint2"]


@pytest.mark.parametrize("size", [(200, 100), (300, 900), (100, 100), None])
def test_trajectory_has_the_axes_of_the_video(size):
    (panel,) = trajectory_picture(still(size=size), look()).axes
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    if size is None:
        assert left < 20 and right > 150 and top < 30 and bottom > 80
    else:
        assert (left, right, top, bottom) == (-0.5, size[0] - 0.5, -0.5, size[1] - 0.5)
    origin, across, down = panel.transData.transform([(0, 0), (50, 0), (0, 50)])
    assert abs((across - origin)[0] / (origin - down)[1] - 1) < 0.01  # up is positive in matplotlib


def test_plot_shows_x_above_y():
    seen = Seen(plot_picture(still(), look()))
    for (x, y), colour in zip(((20, 30), (150, 40), (60, 80)), (RED, GREEN, BLUE), strict=True):
        assert near(seen.at(0, 4.5, x), colour) and near(seen.at(1, 4.5, y), colour)
    assert blank(seen.at(0, 4.5, 85))


def test_likelihood_shows_all_scores_and_the_cutoff():
    scores = np.broadcast_to([0.9, 0.3, 1.4], (10, 3))
    seen = Seen(likelihood_picture(replace(still(), scores=scores[:, :, None]), look()))
    for score, colour in zip((0.9, 0.3, 1.4), (RED, GREEN, BLUE), strict=True):
        assert near(seen.at(0, 4.5, score), colour)
    grey = seen.pixels[seen.place(0, 0, 0.6)[0], slice(*(seen.place(0, x, 0)[1] for x in (0, 9)))]
    assert 0.4 < (grey < 150).all(axis=1).mean() < 0.8  # dashes


def test_what_is_below_the_cutoff_is_left_out_but_not_what_was_filled_in():
    scores = np.ones((10, 3))
    scores[:, 1:] = 0.5
    filled = np.zeros((10, 3), bool)
    filled[:, 2] = True
    low = replace(still(), scores=scores[:, :, None], filled=filled)
    seen = Seen(plot_picture(low, look()))
    assert near(seen.at(0, 4.5, 20), RED) and blank(seen.at(0, 4.5, 150))
    pale = seen.at(0, 4.5, 60)
    assert pale[2] > 200 and 120 < pale[0] < 220
    assert "10 of 30 points with p ≥ 0.6, and pale 10 that were filled in" in seen.texts[1]
    seen = Seen(trajectory_picture(low, look()))
    assert near(seen.at(0, 20, 30), RED) and blank(seen.at(0, 150, 40, 2))
    assert not blank(seen.at(0, 60, 80, 3)) and blank(seen.at(0, 60, 80, 0))  # hollow
    at_cutoff = Seen(plot_picture(low, look(pcutoff=0.5)))
    assert near(at_cutoff.at(0, 4.5, 150), GREEN)


def test_joints_that_are_not_displayed():
    seen = Seen(plot_picture(still(), look(shown=[True, False, True])))
    assert near(seen.at(0, 4.5, 20), RED) and near(seen.at(0, 4.5, 60), BLUE)
    assert blank(seen.at(0, 4.5, 150))
    assert seen.texts[2:] == ["joint0", "joint2"]


def test_a_point_between_gaps_is_seen():
    points = np.full((9, 1, 2), np.nan)
    points[4] = 50.0
    points[[0, 8]] = 0.0, 100.0
    seen = Seen(plot_picture(pose(points), look([RED])))
    assert not blank(seen.at(0, 4, 50, 0)) and blank(seen.at(0, 6, 75))


def test_differences_have_both_signs_and_only_neighbours_in_time():
    x = [0, 5, 0, 0, 100, 100, 70]
    points = np.zeros((7, 2, 2))
    points[:, 0, 0] = x
    points[:, 1, 1] = -np.array(x)
    scores = np.ones((7, 2))
    scores[4] = 0.1
    of_x, of_y = differences(pose(points, scores), look([RED, BLUE]))
    assert np.array_equal(of_x.edges, of_y.edges) and np.allclose(of_x.edges, -of_x.edges[::-1])
    middles = (of_x.edges[1:] + of_x.edges[:-1]) / 2

    def found(counts):
        half = (middles[1] - middles[0]) / 2
        return [(round(at), n) for at, n in zip(middles, counts, strict=True) if n and half > 0]

    assert of_x.edges[-1] == 30
    assert found(of_x.counts[0]) == [(-30, 1), (-5, 1), (0, 1), (5, 1)]
    assert found(of_y.counts[1]) == [(-5, 1), (0, 1), (5, 1), (30, 1)]
    assert found(of_x.counts[1]) == found(of_y.counts[0]) == [(0, 4)]


def test_histogram_shows_negative_jumps():
    points = np.zeros((200, 1, 2))
    points[100:, 0, 0] = -80
    points[:, 0, 1] = np.arange(200) % 2
    seen = Seen(hist_picture(pose(points), look([RED])))
    assert near(seen.at(0, -80, 1, 4), RED) and blank(seen.at(0, 80, 1, 4))
    assert seen.panels[0].get_yscale() == "log"


def test_filled_points_are_among_the_differences():
    points = np.array([[[0.0, 0.0]], [[8.0, 0.0]], [[16.0, 0.0]]])
    filled = np.array([[False], [True], [False]])
    of_x, _ = differences(pose(points, [[1], [0], [1]], filled=filled), look([RED]))
    assert of_x.counts.sum() == 2


@pytest.mark.parametrize(("frames", "parts"), [(1, 5), (10, 5), (11, 5), (1000, 7), (999, 1000), (0, 5)])
def test_envelope_keeps_the_extremes(frames, parts):
    rng = np.random.default_rng(frames)
    values = np.where(rng.random(frames) < 0.3, np.nan, rng.normal(size=frames))
    found = envelope(values, parts)
    length = max(1, -(-frames // parts))
    expected = [values[start : start + length] for start in range(0, frames, length)]
    assert len(found.frames) == len(expected) <= parts
    for at, part in enumerate(expected):
        known = np.sort(part[np.isfinite(part)])
        if len(known):
            assert (found.low[at], found.high[at]) == (known[0], known[-1])
            assert found.middle[at] == known[(len(known) - 1) // 2]
        else:
            assert np.isnan([found.low[at], found.middle[at], found.high[at]]).all()
        assert found.frames[at] == at * length + (len(part) - 1) / 2


def test_one_frame_among_many_stays_visible():
    points = np.full((60_000, 1, 2), 100.0)
    points[41_234] = 300.0, 20.0
    points[0] = points[1] = 0.0, 400.0
    long = pose(points, size=(400, 410))
    assert not blank(Seen(plot_picture(long, look([RED]))).at(0, 41_234, 300, 2))
    seen = Seen(trajectory_picture(long, look([RED])))
    assert not blank(seen.at(0, 300, 20, 2)) and blank(seen.at(0, 300, 390, 2))
    assert near(seen.at(0, 100, 100), RED)  # much stronger, as it was there all the time


def test_cells_are_counted_where_points_lie():
    points = np.array([[0.0, 0.0], [9.9, 0.1], [9.9, 0.2], [0.0, 4.9], [10.1, 1.0], [3.0, -0.1]])
    counts = cell_counts(points, (5, 2), np.array([0.0, 0.0]), np.array([10.0, 5.0]))
    assert counts.tolist() == [[1, 0, 0, 0, 2], [1, 0, 0, 0, 0]]


def test_lines_and_their_gaps():
    nan = np.nan
    frames, values = unbroken(np.arange(4.0), np.array([170.0, -170.0, -160.0, 175.0]), 180)
    assert np.array_equal(frames, [0, nan, 1, 2, nan, 3], equal_nan=True)
    assert np.array_equal(values, [170, nan, -170, -160, nan, 175], equal_nan=True)
    assert alone(np.array([1, nan, 1, 1, nan, 1])).tolist() == [True, False, False, False, False, True]
    assert beside(np.array([False, False, False, True])).tolist() == [False, False, True, True]


def test_pose_3d_shows_coordinates_errors_and_cameras():
    points = np.broadcast_to([[10.0, 20.0, 30.0], [-10.0, 0.0, 90.0]], (8, 2, 3))
    error, ncams = np.broadcast_to([1.0, 4.0], (8, 2)), np.broadcast_to([3.0, 2.0], (8, 2))
    filled = np.zeros((8, 2), bool)
    filled[2:, 1] = True
    seen = Seen(
        pose_3d_picture(
            Pose3D(("a", "b"), points, error, ncams, error, filled=filled), look([RED, BLUE]), "furlongs"
        )
    )
    labels = [panel.get_ylabel() for panel in seen.panels]
    assert labels == ["x (furlongs)", "y (furlongs)", "z (furlongs)", "error (px)", "cameras"]
    for axis in range(3):
        assert near(seen.at(axis, 4.5, points[0, 0, axis]), RED)
        assert near(seen.at(axis, 0.5, points[0, 1, axis]), BLUE)
        pale = seen.at(axis, 4.5, points[0, 1, axis])
        assert pale[2] > 200 and 120 < pale[0] < 220
    assert near(seen.at(3, 4.5, 1), RED) and near(seen.at(3, 4.5, 4), BLUE)
    assert near(seen.at(4, 4.5, 3, 8), RED) and near(seen.at(4, 4.5, 2, 8), BLUE)


def test_angles_do_not_cross_the_picture_when_they_wrap():
    values = np.array([170.0, 175.0, -175.0, -170.0])
    seen = Seen(angles_picture({"back": values, "knee": np.full(4, 50.0)}, look([RED, BLUE])))
    assert near(seen.at(0, 0.5, 172.5), RED, 70) and near(seen.at(0, 2.5, -172.5), RED, 70)
    assert near(seen.at(0, 0.5, 50), BLUE)
    assert blank(seen.at(0, 1.5, 0, 5))


STILL = still(4)
WILD = replace(STILL, scores=np.array([1, np.inf, 2.5, -1])[:, None, None] * np.ones((4, 3, 1)))
WILD.points[:3, 0, 0, 0] = np.inf, 1e300, -1e8
ODD = {
    "all missing": (
        replace(STILL, points=STILL.points * np.nan, scores=STILL.scores * np.nan),
        2,
        "no scores",
    ),
    "all low": (replace(STILL, scores=STILL.scores * 0.2), 2, None),
    "no frames": (still(0), 1, "no frames"),
    "one frame": (still(1), 0, None),
    "wild": (WILD, 0, None),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_poses_have_pictures_and_say_what_is_missing(case):
    odd, reason, of_scores = ODD[case]
    text = [None, "no frames", "no point with p ≥ 0.6"][reason]
    figures = [picture(odd, look()) for picture in PICTURES_2D]
    found = [said(figure) for figure in figures]
    assert found[:3] == [[text] if text else [], [text] * 2 if text else [], [of_scores] if of_scores else []]
    assert len(found[3]) == (2 if text or len(odd.points) < 2 else 0)
    for figure in figures if case != "all low" else ():
        png(figure)


def test_wild_points_where_the_size_of_the_video_is_unknown():
    png(trajectory_picture(replace(WILD, size=None), look()))


def test_odd_3d_poses_and_angles():
    empty = np.full((4, 1, 3), np.nan), *np.full((3, 4, 1), np.nan)
    figure = pose_3d_picture(Pose3D(("a",), *empty), look([RED]), "mm")
    assert said(figure) == ["no points"] and png(figure)
    none = (part[:0] for part in empty)
    assert said(pose_3d_picture(Pose3D(("a",), *none), look([RED]), "mm")) == ["no frames"]
    for angles, text in (
        ({}, ["no frames"]),
        ({"a": np.zeros(0)}, ["no frames"]),
        ({"a": np.full(3, np.nan)}, ["no angles"]),
        ({"a": np.array([1.0, np.inf, 3.0])}, []),
    ):
        figure = angles_picture(angles, look([RED] * len(angles)))
        assert said(figure) == text
    png(figure)


def test_points_outside_the_video_are_counted():
    assert (
        "; 10 lie outside the picture"
        in trajectory_picture(still(size=(100, 100)), look()).texts[1].get_text()
    )


def test_names_are_shown_as_they_are():
    names = ("$x_1$", "_hidden", "\N{CJK UNIFIED IDEOGRAPH-5C3E}\\frac{1}")
    title = "50$ and 60$"
    figure = plot_picture(replace(still(), joints=names), look(title=title))
    assert [text.get_text() for text in figure.texts[2:]] == list(names)
    assert not any(text.get_parse_math() for text in figure.texts)
    png(figure)


def test_many_joints_have_room_in_the_legend():
    points = np.random.default_rng(0).normal(100, 30, (5, 60, 2))
    colours = np.full((60, 3), 30)
    for size in ((640, 480), (800, 50)):
        figure = trajectory_picture(pose(points, size=size), look(colours))
        canvas = figure.bbox
        boxes = [text.get_window_extent() for text in figure.texts[2:]]
        assert len(boxes) == 60
        panel = figure.axes[0].get_window_extent()
        for at, box in enumerate(boxes):
            assert canvas.x0 < box.x0 and box.x1 < canvas.x1 and canvas.y0 < box.y0 and box.y1 < canvas.y1
            assert box.x0 > panel.x1
            assert not any(box.overlaps(other) for other in boxes[:at])


def test_bytes_are_the_same_whatever_the_users_settings():
    pictures = plot_picture, hist_picture
    plain = [png(picture(still(), look())) for picture in pictures]
    settings = {"lines.linewidth": 9, "axes.facecolor": "black", "text.usetex": True, "font.size": 30}
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context(settings):
        assert [png(picture(still(), look())) for picture in pictures] == plain
    assert dict(matplotlib.rcParams) == before
    for content in plain:
        assert set(chunks(content)) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}  # no date, no version


def chunks(content):
    at, found = 8, []
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        found.append(content[at + 4 : at + 8])
        at += length + 12
    return found


def test_a_picture_that_was_cut_short_is_noticed(folder):
    content = png(plot_picture(still(2), look()))
    path = folder / "a.png"
    path.write_bytes(content)
    check_png(path)
    for wrong in (b"", content[:3], content[:-1], content[: len(content) // 2], b"x" + content[1:]):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match=r"a\.png"):
            check_png(path)
