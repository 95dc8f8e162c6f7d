"""Detection against rendered boards whose corners are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from board_pictures import (
    BOARDS,
    CHECKERS,
    GRID,
    LEGACY_EVEN,
    NEW_EVEN,
    SLANTED,
    STRAIGHT,
    TURNED,
    VIEWS,
    Drawn,
    as_board,
    render,
    see,
    view,
)

from anipipe.errors import DataError
from anipipe.numerics.boards.checkers import CheckerFinder
from anipipe.numerics.boards.corners import are_saddles, refine_quads, refine_saddles, sample
from anipipe.numerics.boards.detection import detect_board
from anipipe.numerics.boards.geometry import marker_patterns
from anipipe.numerics.boards.markers import MarkerFinder, apply, consistent, homographies
from anipipe.numerics.boards.reading import _merged


def errors(ids, corners, truth):
    return np.linalg.norm(corners - truth[ids], axis=1)


@pytest.mark.parametrize("angle", VIEWS)
@pytest.mark.parametrize("name", BOARDS)
def test_all_corners_to_a_tenth_of_a_pixel(name, angle):
    drawn = BOARDS[name]
    picture, truth = render(drawn, view(drawn, VIEWS[angle]))
    ids, corners, found = see(picture, drawn)
    assert ids.tolist() == list(range(len(truth)))
    off = corners - truth
    assert np.linalg.norm(off, axis=1).max() < 0.1
    assert np.abs(off.mean(axis=0)).max() < 0.03, "a shift of all corners"
    assert found.mirrored is False
    assert found.legacy is (None if name not in ("new", "legacy") else name == "legacy")
    assert (found.size, found.count, found.diagnosis) == ((640, 480), len(truth), "")


@pytest.mark.parametrize("name", ["new", "grid", "checkers"])
def test_bent_by_a_lens(name):
    drawn = BOARDS[name]
    picture, truth = render(
        drawn, view(drawn, [(20, 15), (620, 25), (610, 465), (30, 455)]), k1=-0.3, samples=4
    )
    ids, corners, _ = see(picture, drawn)
    assert len(ids) == len(truth)
    assert errors(ids, corners, truth).max() < 0.12


@pytest.mark.parametrize("name", BOARDS)
def test_inverted(name):
    drawn = BOARDS[name]
    picture, truth = render(drawn, view(drawn, SLANTED))
    ids, corners, _ = see(255 - picture, drawn, inverted=True)
    assert len(ids) == len(truth)
    assert errors(ids, corners, truth).max() < 0.1
    if drawn.kind != "checkerboard":  # which has no other look
        ids, _, found = see(255 - picture, drawn)
        assert len(ids) == 0
        assert "`calibration.board_inverted = true`" in found.diagnosis


@pytest.mark.parametrize("mirrored", [True, "auto"])
@pytest.mark.parametrize("name", BOARDS)
def test_mirrored(name, mirrored):
    drawn = BOARDS[name]
    if drawn.kind == "checkerboard" and mirrored == "auto":
        pytest.skip("a mirrored checkerboard looks like one that is not")
    picture, truth = render(drawn, view(drawn, TURNED))
    flipped = np.ascontiguousarray(picture[:, ::-1])
    ids, corners, found = see(flipped, drawn, mirrored=mirrored)
    assert len(ids) == len(truth)
    assert errors(ids, corners, np.column_stack([639 - truth[:, 0], truth[:, 1]])).max() < 0.1
    assert found.mirrored is True
    if drawn.kind != "checkerboard":
        ids, _, found = see(flipped, drawn, mirrored=False)
        assert len(ids) == 0
        assert "`calibration.board_mirrored = true`" in found.diagnosis


def test_the_recording_decides_what_is_mirrored():
    picture, _ = render(NEW_EVEN, view(NEW_EVEN, SLANTED))
    flipped = np.ascontiguousarray(picture[:, ::-1])
    frames = [(3, picture), (5, flipped), (6, None), (9, picture), (12, np.full_like(picture, 90))]
    found = detect_board(frames, as_board(NEW_EVEN))
    assert [sighting.frame for sighting in found.sightings] == [3, 9]
    assert (found.mirrored, found.looked, found.unreadable) == (False, 5, 1)


def test_a_marker_whose_mirror_image_is_another_one():
    bits = list(marker_patterns("DICT_4X4_1000", 10))
    twins = [
        i
        for i, one in enumerate(bits)
        if any(np.array_equal(np.fliplr(one), np.rot90(other, k)) for other in bits for k in range(4))
    ]
    assert twins, "the first ten markers of 4 bits have some"
    drawn = Drawn("charuco", (4, 5))
    picture, truth = render(drawn, view(drawn, SLANTED))
    markers = MarkerFinder("DICT_4X4_1000", 10).find(np.ascontiguousarray(picture[:, ::-1]))
    seen = markers.only(markers.mirrored)
    assert sorted(seen.ids.tolist()) == list(range(10))
    assert markers.only(~markers.mirrored).ids.size
    ids, _, found = see(np.ascontiguousarray(picture[:, ::-1]), drawn)
    assert len(ids) == len(truth) and found.mirrored


def test_second_readings_have_their_corners_in_order():
    patterns = marker_patterns("DICT_4X4_1000", 250)
    finder = MarkerFinder("DICT_4X4_1000", 250)
    turns = set()
    for one, pattern in enumerate(patterns):
        for turn in range(4):
            same = [
                j
                for j, other in enumerate(patterns)
                if np.array_equal(pattern[:, ::-1], np.rot90(other, turn))
            ]
            if not same or turn in turns:
                continue
            turns.add(turn)
            cells = np.pad(pattern, 1)[:, ::-1] * np.uint8(255)
            picture = np.pad(np.kron(cells, np.ones((10, 10), np.uint8)), 30, constant_values=255)
            found = finder.find(picture)
            quads = found.quads[found.mirrored & (found.ids == one)]
            assert np.allclose(quads[0], [[89.5, 29.5], [29.5, 29.5], [29.5, 89.5], [89.5, 89.5]], atol=1.5)
    assert len(turns) > 1 and turns & {1, 3}, turns


def test_layout_as_told():
    picture, truth = render(LEGACY_EVEN, view(LEGACY_EVEN, SLANTED))
    ids, _, found = see(picture, LEGACY_EVEN, legacy=True)
    assert len(ids) == len(truth) and found.legacy
    picture, _ = render(NEW_EVEN, view(NEW_EVEN, SLANTED))
    ids, _, found = see(picture, NEW_EVEN, legacy=True)
    assert len(ids) == 0
    assert "`calibration.board_legacy = false`" in found.diagnosis


@pytest.mark.parametrize("name", ["new", "legacy", "grid"])
def test_half_hidden_boards_with_markers(name):
    drawn = BOARDS[name]
    picture, truth = render(drawn, view(drawn, SLANTED))
    picture[:, 300:] = 110
    ids, corners, _ = see(picture, drawn, legacy=drawn.legacy)
    assert 0.25 * len(truth) < len(ids) < 0.6 * len(truth)
    assert errors(ids, corners, truth).max() < 0.15
    assert (truth[ids, 0] < 300).all()


@pytest.mark.parametrize("hide", [np.s_[:, 300:], np.s_[:, :140], np.s_[300:], np.s_[200:260, 300:360]])
def test_part_of_a_checkerboard_is_nothing(hide):
    picture, _ = render(CHECKERS, view(CHECKERS, SLANTED))
    picture[hide] = 110
    assert len(see(picture, CHECKERS)[0]) == 0


@pytest.mark.parametrize("size", [(7, 5), (8, 4), (7, 4), (6, 5), (9, 5)])
def test_another_checkerboard_is_nothing(size):
    picture, _ = render(CHECKERS, view(CHECKERS, SLANTED))
    ids, _, found = see(picture, Drawn("checkerboard", size))
    assert len(ids) == 0
    assert "`calibration.board_size = [8, 5]`" in found.diagnosis


@pytest.mark.parametrize("part", [np.s_[:, 1:], np.s_[:, :-1], np.s_[1:], np.s_[:-1]])
def test_a_part_that_opencv_takes_for_the_whole(monkeypatch, part):
    picture, truth = render(CHECKERS, view(CHECKERS, SLANTED))
    corners = truth.reshape(5, 8, 2)[part]
    shape = (corners.shape[1], corners.shape[0])
    answer = (True, corners.reshape(-1, 1, 2).astype(np.float32))
    monkeypatch.setattr(cv2, "findChessboardCornersSB", lambda *_: answer)
    assert CheckerFinder(shape).find(picture) is None


def test_corners_that_opencv_makes_up(monkeypatch):
    picture, truth = render(CHECKERS, view(CHECKERS, SLANTED))
    answer = (True, truth.reshape(-1, 1, 2).astype(np.float32))
    monkeypatch.setattr(cv2, "findChessboardCornersSB", lambda *_: answer)
    assert CheckerFinder((8, 5)).find(picture) is not None
    x, y = truth[19].astype(int)
    picture[y - 25 : y + 25, x - 25 : x + 25] = 110
    assert CheckerFinder((8, 5)).find(picture) is None


def test_large_pictures_are_searched_smaller():
    larger = np.diag([2.3, 2.3, 1.0]) @ view(CHECKERS, SLANTED)
    picture, truth = render(CHECKERS, larger, (1472, 1104), samples=4)
    ids, corners, _ = see(picture, CHECKERS)
    assert len(ids) == len(truth)
    assert errors(ids, corners, truth).max() < 0.15


@pytest.mark.parametrize("quarter", range(4))
def test_corner_0_of_a_checkerboard_is_the_same_from_everywhere(quarter):
    picture, truth = render(CHECKERS, view(CHECKERS, np.roll(np.array(STRAIGHT), quarter, axis=0).tolist()))
    ids, corners, _ = see(picture, CHECKERS)
    assert len(ids) == len(truth)
    assert errors(ids, corners, truth).max() < 0.15
    assert not as_board(CHECKERS).ambiguous


@pytest.mark.parametrize(("size", "quarters"), [((7, 5), (0, 2)), ((5, 5), (0, 2)), ((6, 6), (0, 1, 2, 3))])
def test_a_checkerboard_that_looks_the_same_turned(size, quarters):
    drawn = Drawn("checkerboard", size)
    assert as_board(drawn).ambiguous
    picture, truth = render(drawn, view(drawn, SLANTED))
    _, corners, _ = see(picture, drawn)
    grid = truth.reshape(size[1], size[0], 2)
    turned = [np.rot90(grid, quarter).reshape(-1, 2) for quarter in quarters]
    assert min(np.linalg.norm(corners - turn, axis=1).max() for turn in turned) < 0.1


def test_wrong_markers_are_dropped():
    places = as_board(GRID).marker_corners
    homography = view(GRID, SLANTED)
    quads = cv2.perspectiveTransform(places.reshape(-1, 1, 2), homography).reshape(-1, 4, 2)
    assert consistent(places, quads).all()
    wrong = quads.copy()
    wrong[[3, 10]] = wrong[[10, 3]]
    wrong[17] = np.roll(wrong[17], 1, axis=0)
    wrong[20] += 40
    assert np.flatnonzero(~consistent(places, wrong)).tolist() == [3, 10, 17, 20]
    assert not consistent(places[[0, 5]], quads[[0, 9]]).any(), "none of two that disagree"
    assert consistent(places[:6], quads[:6]).all(), "one row is kept"
    assert not consistent(places[:1], quads[:1]).any()
    assert consistent(places[:0], quads[:0]).shape == (0,)


def test_a_marker_of_the_board_elsewhere_in_the_scene():
    picture, truth = render(NEW_EVEN, view(NEW_EVEN, SLANTED))
    book = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_1000)
    picture[210:270, 575:635] = 200
    picture[216:264, 581:629] = cv2.aruco.generateImageMarker(book, 3, 48)
    ids, corners, _ = see(picture, NEW_EVEN)
    assert errors(ids, corners, truth).max() < 0.1


def test_a_single_marker():
    drawn = Drawn("aruco", (1, 1))
    picture, truth = render(drawn, view(drawn, SLANTED))
    ids, corners, _ = see(picture, drawn)
    assert ids.tolist() == [0, 1, 2, 3]
    assert errors(ids, corners, truth).max() < 0.1


@pytest.mark.parametrize("drawn", [NEW_EVEN, GRID, CHECKERS])
def test_nothing_there(drawn):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320), dtype=np.uint8)
    for picture in (noise, np.zeros((240, 320), np.uint8), np.full((6, 5), 200, np.uint8)):
        ids, _, found = see(picture, drawn)
        assert len(ids) == 0
        assert (found.mirrored, found.legacy, found.count) == (None, None, 0)
        assert "none is visible in 1 picture" in found.diagnosis
    found = detect_board([(0, None)], as_board(drawn))
    assert (found.size, found.unreadable) == (None, 1)
    assert found.diagnosis == "no picture of the recording could be read"


def test_pictures_of_different_size():
    frames = [(0, np.zeros((20, 30), np.uint8)), (4, np.zeros((30, 20), np.uint8))]
    with pytest.raises(DataError, match="frame 4 has 20 x 30 pixels, those before 30 x 20"):
        detect_board(frames, as_board(NEW_EVEN))


def test_progress_and_laziness():
    steps = []
    frames = ((i, np.zeros((20, 30), np.uint8)) for i in range(100))
    detect_board(frames, as_board(CHECKERS), progress=steps.append)
    assert steps == list(range(1, 101))


def test_homographies_of_squares():
    rng = np.random.default_rng(1)
    quads = np.array([[0, 0], [50, 3], [55, 48], [-4, 60]]) + rng.normal(0, 4, (20, 4, 2))
    unit = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    assert np.allclose(apply(homographies(quads), np.broadcast_to(unit, quads.shape)), quads)
    expected = cv2.getPerspectiveTransform(unit.astype(np.float32), quads[0].astype(np.float32))
    assert np.allclose(homographies(quads[:1])[0], expected, atol=1e-4)


def test_opencv_corners_are_moved_to_the_edges():
    picture, truth = render(GRID, view(GRID, SLANTED), noise=0)
    markers = MarkerFinder("DICT_5X5_100", 24).find(picture)
    quads = truth.reshape(-1, 4, 2)[markers.ids]
    outward = quads - quads.mean(axis=1, keepdims=True)
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    assert abs(((markers.quads - quads) * outward).sum(axis=-1).mean()) < 0.15


def test_quads_are_refined_from_a_pixel_away():
    picture, truth = render(GRID, view(GRID, TURNED))
    quads = truth.reshape(-1, 4, 2)
    start = quads + np.random.default_rng(0).uniform(-1, 1, quads.shape)
    fine = refine_quads(picture, start, np.full(len(quads), 6.0))
    assert np.abs(fine - quads).max() < 0.08
    away = refine_quads(picture, quads + 300, np.full(len(quads), 6.0))
    assert not (np.abs(away - quads - 300) > 10).any()


def test_saddles_outside_of_the_picture():
    picture, truth = render(NEW_EVEN, view(NEW_EVEN, SLANTED))
    given = np.array([truth[0] + 0.7, [-3.0, 5.0], [np.nan, 1.0], [700.0, 100.0]])
    fine = refine_saddles(picture, given, np.full(4, 4.0))
    assert np.linalg.norm(fine[0] - truth[0]) < 0.1
    assert np.isnan(fine[1:]).all()


def test_a_corner_that_two_markers_see_apart_is_dropped():
    ids, places = _merged(
        np.array([7, 3, 7, 3, 5]), np.array([[1.0, 1.0], [9, 9], [1.2, 1.0], [15, 9], [4, 0]])
    )
    assert ids.tolist() == [3, 5, 7]
    assert np.allclose(places, [[np.nan] * 2, [4, 0], [1.1, 1.0]], equal_nan=True)


def test_what_looks_like_a_corner():
    picture, truth = render(NEW_EVEN, view(NEW_EVEN, STRAIGHT), noise=0)
    ahead, aside = np.array([[4.0, 4.0]]), np.array([[4.0, -4.0]])
    there = truth[:1]
    seen = [
        bool(are_saddles(picture, place, *ways)[0])
        for place in (there, there + 30, there + np.array([0, 20]), there - 3000)
        for ways in ((ahead, aside), (aside, ahead))
    ]
    assert sum(seen) == 1 and any(seen[:2])
    faint = np.round(100 + (picture - 30.0) / 170 * 3).astype(np.uint8)
    assert not are_saddles(faint, there, ahead, aside) and not are_saddles(faint, there, aside, ahead)


def test_values_between_pixels():
    grey = np.array([[0, 10], [20, 50]], np.uint8)
    points = np.array([[0, 0], [0.5, 0], [1, 1], [0.5, 0.5], [-0.1, 0], [np.nan, 0]])
    assert sample(grey, points)[:4].tolist() == [0, 5, 50, 20]
    assert np.isnan(sample(grey, points)[4:]).all()
