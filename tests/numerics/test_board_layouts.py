"""Which of its two layouts a ChArUco board has, by all or a part of it: corners never get wrong numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from board_pictures import SLANTED, TURNED, Drawn, as_board, render, see, view

from anipipe.numerics.boards.detection import detect_board
from anipipe.numerics.boards.reading import _beyond, _numbers

SIZES = [(7, 6), (8, 6), (5, 4), (6, 8), (3, 6), (9, 4)]
LAYOUTS = [False, True]
HIDDEN = {"grey": 110.0, "paper": 200.0, "dark": 20.0}


@cache
def whole(size, legacy, corners=tuple(SLANTED)) -> tuple[Drawn, np.ndarray, np.ndarray, np.ndarray]:
    """A board, board_to_pixels, its picture, and its corners in it."""
    drawn = Drawn("charuco", size, legacy=legacy)
    homography = view(drawn, list(corners))
    return drawn, homography, *render(drawn, homography, samples=4)


def part(size, legacy, across=None, down=None, hidden=HIDDEN["grey"], corners=tuple(SLANTED)):
    """The board, and its picture with only these columns and rows of squares; and its corners."""
    drawn, homography, picture, truth = whole(size, legacy, corners)
    (left, right), (top, bottom) = across or (-1, size[0] + 1), down or (-1, size[1] + 1)
    frame = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) * drawn.square
    place = cv2.perspectiveTransform(frame[None].astype(float), homography)[0]
    mask = cv2.fillConvexPoly(np.zeros_like(picture), np.round(place).astype(np.int32), 1)
    return drawn, np.where(mask == 1, picture, np.uint8(hidden)), truth


def near(ids, corners, truth) -> None:
    """Tell wrong numbers; where a cover passes through a corner, this may be a pixel off."""
    assert (np.linalg.norm(corners - truth[ids], axis=1) < 3).all()


def check(picture, drawn, truth, **options):
    """Look for the board; corners have their numbers, or are told to have one of two."""
    ids, corners, found = see(picture, drawn, **options)
    if found.legacy is None and drawn.legacy:
        ids = ids - 1
    else:
        assert found.legacy in (None, drawn.legacy)
    assert (ids >= 0).all()
    near(ids, corners, truth)
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("legacy", LAYOUTS)
def test_whole_boards(size, legacy):
    drawn, _, picture, truth = whole(size, legacy)
    found = check(picture, drawn, truth)
    assert (found.legacy, found.count) == (legacy, len(truth))
    flipped = np.ascontiguousarray(picture[:, ::-1])
    found = check(flipped, drawn, np.array([639, 0]) + truth * [-1, 1])
    assert (found.legacy, found.count, found.mirrored) == (legacy, len(truth), True)


@pytest.mark.parametrize("size", SIZES[:3])
@pytest.mark.parametrize("legacy", LAYOUTS)
@pytest.mark.parametrize("hidden", list(HIDDEN)[:2])
@pytest.mark.parametrize("cut", [1, 1.5])
def test_boards_cut_at_one_side(size, legacy, hidden, cut):
    columns, rows = size
    for across, down in [
        ((cut, columns), None),
        ((0, columns - cut), None),
        (None, (cut, rows)),
        (None, (0, rows - cut)),
    ]:
        drawn, picture, truth = part(size, legacy, across, down, HIDDEN[hidden])
        found = check(picture, drawn, truth)
        if columns % 2 == 0 and len(truth) > 20:
            assert found.legacy is legacy, "two rows of markers are enough"
        if columns % 2 and down and rows - cut >= 3:
            assert found.legacy is legacy, "the whole of some rows is enough"


@pytest.mark.parametrize(("across", "down"), [((1, 6), (1, 5)), ((2, 6), None), ((1, 5), (0, 4))])
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("mirrored", [False, True])
def test_an_inner_part_of_an_odd_number_of_columns_fits_both(across, down, hidden, mirrored):
    counted = []
    for legacy in LAYOUTS:
        drawn, picture, truth = part((7, 6), legacy, across, down, HIDDEN[hidden])
        if mirrored:
            picture, truth = np.ascontiguousarray(picture[:, ::-1]), np.array([639, 0]) + truth * [-1, 1]
        found = check(picture, drawn, truth)
        counted.append((found.legacy, found.count > 4, found.diagnosis))
        told = check(picture, drawn, truth, legacy=legacy)
        assert told.legacy is legacy and told.count >= found.count
    assert counted == [(None, True, "")] * 2


@pytest.mark.parametrize("legacy", LAYOUTS)
def test_corners_beyond_a_layouts_end_rule_it_out(legacy):
    """The marker that differs is hidden, but not all of the squares at this end of the board."""
    across = (0, 6.5) if legacy else (0.5, 7)
    drawn, picture, truth = part((7, 6), legacy, across)
    assert check(picture, drawn, truth).legacy is legacy


@pytest.mark.parametrize("legacy", LAYOUTS)
def test_what_is_seen_once_counts_for_all_of_the_recording(legacy):
    drawn, inner, truth = part((7, 6), legacy, (1, 6))
    outer = part((7, 6), legacy, corners=tuple(TURNED))[1]
    found = detect_board([(0, inner), (1, outer), (2, inner)], as_board(drawn))
    assert found.legacy is legacy
    first = found.sightings[0]
    near(first.ids, first.corners, truth)


@pytest.mark.parametrize("legacy", LAYOUTS)
def test_a_single_row_of_an_even_number_of_columns(legacy):
    rows = [part((8, 6), legacy, (1, 7), (top - 0.5, top + 1.5))[1] for top in (2, 3, 2)]
    board = as_board(Drawn("charuco", (8, 6)))
    found = detect_board(list(enumerate(rows)), board)
    assert (found.legacy, found.count, found.mirrored) == (None, 0, False)
    assert "does not tell which of two layouts" in found.diagnosis
    assert "`calibration.board_legacy = true` if there is a marker in its top left" in found.diagnosis
    for top, picture in zip((2, 3, 2), rows, strict=True):
        drawn, _, truth = part((8, 6), legacy, (1, 7), (top - 0.5, top + 1.5))
        told = check(picture, drawn, truth, legacy=legacy)
        assert told.count >= 4 and told.diagnosis == ""
    # A row's end settles it, seen often enough.
    ends = [part((8, 6), legacy, None, (top - 0.5, top + 1.5))[1] for top in (2, 3)]
    assert detect_board(list(enumerate(ends)), board).legacy is legacy


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("legacy", LAYOUTS)
def test_board_cut_out_to_its_edge_before_a_pattern(legacy, seed):
    """Something that looks like a corner at the board's edge now and then does not rule a layout out."""
    rng = np.random.default_rng(seed)
    drawn, homography, picture, truth = whole((7, 6), legacy)
    pattern = cv2.GaussianBlur(rng.normal(0, 1, picture.shape), (0, 0), 2.0 + seed)
    pattern = np.clip(90 + pattern / pattern.std() * 50, 0, 255).astype(np.uint8)
    columns = (2, 7) if not legacy else (0, 5)
    frame = np.array([[x, y] for x, y in zip(np.repeat(columns, 2), (0, 6, 6, 0), strict=True)]) * 24.0
    place = cv2.perspectiveTransform(frame[None], homography)[0]
    mask = cv2.fillConvexPoly(np.zeros_like(picture), np.round(place).astype(np.int32), 1)
    found = check(np.where(mask == 1, picture, pattern), drawn, truth)
    assert found.legacy is None and found.count > 8


@pytest.mark.parametrize("size", SIZES)
def test_what_the_layouts_have_in_common(size):
    """All but one marker in two rows are one square further left in the legacy layout; or rows alternate."""
    new = as_board(Drawn("charuco", size))
    old = replace(new, legacy=True)
    assert new.two_layouts and old.two_layouts
    markers = np.arange(len(new.marker_squares))
    moved = old.marker_squares - new.marker_squares
    if size[0] % 2:
        other = markers % size[0] == size[0] // 2
        assert (moved[~other] == [-1, 0]).all() and (moved[other] == [size[0] - 1, -1]).all()
        ids, known = _numbers((new, old), markers[~other])
        legacy, known_there = _numbers((old, new), markers[~other])
        assert (known == known_there).all() and (legacy[known] == ids[known] - 1).all()
    else:
        step = np.where(new.marker_squares[:, 1] % 2, 1, -1)
        assert (moved == np.stack([step, 0 * step], axis=1)).all()
    for board in (new, old):
        on_end = np.isin(board.marker_squares[:, 0], (0, size[0] - 1))
        assert (_beyond(board, markers).any(axis=1) == on_end).all()
