"""Boards: where their corners lie, against OpenCV's own boards; what they look like."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from board_pictures import Drawn

from anipipe.config.layers import Layer
from anipipe.config.poses_3d import DICTIONARY_NAMES
from anipipe.config.resolve import resolve
from anipipe.errors import ConfigError, DataError
from anipipe.numerics.boards.detection import detect_board
from anipipe.numerics.boards.drawing import dark_rectangles, draw_board, quiet_margin
from anipipe.numerics.boards.geometry import (
    DICTIONARIES,
    Board,
    canonical,
    dictionary_name,
    make_board,
    marker_patterns,
)

LENGTHS = {"square": 24.0, "marker": 18.0, "separation": 6.0, "dictionary": "DICT_4X4_50"}
SIZES = [(7, 5), (6, 5), (7, 6), (6, 6), (2, 2)]


def board_of(kind: str, size: tuple[int, int], **changes) -> Board:
    return make_board(kind, size, **{**LENGTHS, **changes})


def opencv_charuco(board: Board):
    book = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    other = cv2.aruco.CharucoBoard(board.size, board.square, board.marker, book)
    other.setLegacyPattern(board.legacy)
    return other


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_charuco_as_opencv_has_it(size, legacy):
    board = board_of("charuco", size, legacy=legacy)
    other = opencv_charuco(board)
    shift = [board.square, board.square]
    assert np.allclose(board.points[:, :2] + shift, np.array(other.getChessboardCorners())[:, :2])
    assert np.allclose(board.marker_corners + shift, np.array(other.getObjPoints())[..., :2])
    assert (board.points[0] == 0).all() and (board.points[:, 2] == 0).all()


@pytest.mark.parametrize("size", [(5, 3), (1, 1), (1, 4)])
def test_aruco_as_opencv_has_it(size):
    board = board_of("aruco", size)
    book = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    other = cv2.aruco.GridBoard(size, board.marker, board.separation, book)
    assert np.allclose(board.marker_corners, np.array(other.getObjPoints())[..., :2])
    assert np.allclose(board.points.reshape(-1, 4, 3)[:, :, :2], board.marker_corners)


def test_checkerboard():
    board = board_of("checkerboard", (4, 3))
    assert board.points[:5].tolist() == [[0, 0, 0], [24, 0, 0], [48, 0, 0], [72, 0, 0], [0, 24, 0]]
    assert (board.squares, board.grid, board.bits, board.bounds) == ((5, 4), (4, 3), 0, (-24, -24, 96, 72))
    assert board.marker_squares.shape == (0, 2)


@pytest.mark.parametrize(("size", "ambiguous"), [((4, 3), False), ((5, 3), True), ((4, 4), True)])
def test_which_checkerboards_look_the_same_turned(size, ambiguous):
    assert board_of("checkerboard", size).ambiguous is ambiguous
    assert not board_of("charuco", size).ambiguous
    picture = draw_board(board_of("checkerboard", size), 1.0)
    assert np.array_equal(picture, picture[::-1, ::-1]) is ambiguous


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_charuco_is_drawn_as_opencv_draws_it(size, legacy):
    board = board_of("charuco", size, legacy=legacy)
    picture = draw_board(board, 1.0, margin=0)
    expected = opencv_charuco(board).generateImage((size[0] * 24, size[1] * 24), marginSize=0)
    assert np.array_equal(picture, expected)


def test_drawn_as_defined():
    for drawn in (
        Drawn("aruco", (4, 3)),
        Drawn("checkerboard", (4, 3)),
        Drawn("charuco", (5, 4), legacy=True),
    ):
        board = make_board(
            drawn.kind,
            drawn.size,
            square=drawn.square,
            marker=drawn.marker,
            separation=drawn.separation,
            dictionary=drawn.dictionary,
            legacy=drawn.legacy,
        )
        x, y = np.meshgrid(*(np.arange(0.25, side, 0.5) for side in drawn.extent))
        assert np.array_equal(draw_board(board, 2.0, margin=0) == 0, drawn.dark(x, y))


def test_margin_and_inversion():
    board = board_of("aruco", (2, 1))
    plain, inverted = draw_board(board, 2.0), draw_board(board, 2.0, inverted=True)
    assert plain.shape == (2 * (18 + 12), 2 * (42 + 12)) and quiet_margin(board) == 6
    assert np.array_equal(inverted, 255 - plain)
    assert (plain[:12] == 255).all() and (plain[12] == 0).any()
    assert draw_board(board, 2.0, margin=1.0).shape == (40, 88)


def test_rectangles_do_not_overlap():
    for kind in ("charuco", "aruco", "checkerboard"):
        board = board_of(kind, (4, 3))
        boxes = dark_rectangles(board)
        area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum()
        assert area == pytest.approx((draw_board(board, 1.0) == 0).sum())


@pytest.mark.parametrize(("scale", "words"), [(0.5, "raise the dpi"), (2000.0, "lower the dpi")])
def test_pictures_of_impossible_size(scale, words):
    with pytest.raises(DataError, match=words):
        draw_board(board_of("charuco", (5, 4)), scale)


@pytest.mark.parametrize("name", DICTIONARIES)
def test_every_dictionary_is_opencvs_and_can_be_seen(name):
    bits, count = DICTIONARIES[name]
    book = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    assert (book.markerSize, len(book.bytesList)) == (bits, count)
    picture = cv2.aruco.generateImageMarker(book, 17, bits + 2)[1:-1, 1:-1]
    assert np.array_equal(marker_patterns(name, 18)[17], (picture > 0).astype(np.uint8))
    for kind, size in (("charuco", (5, 4)), ("aruco", (4, 3))):
        board = board_of(kind, size, dictionary=name)
        found = detect_board([(0, draw_board(board, 4.0))], board)
        assert found.count == len(board.points)


def test_names_of_dictionaries():
    assert dictionary_name(5, 250) == "DICT_5X5_250"
    assert canonical("DICT_APRILTAG_36H11") == "DICT_APRILTAG_36h11"
    for bits, number in ((8, 50), (4, 51)):
        with pytest.raises(DataError, match="board_marker_bits"):
            dictionary_name(bits, number)
    with pytest.raises(DataError, match="no such dictionary"):
        canonical("DICT_9X9_50")
    known = {name for name in dir(cv2.aruco) if name.startswith("DICT_")}
    assert set(DICTIONARY_NAMES) == known
    assert {canonical(name) for name in DICTIONARY_NAMES} == set(DICTIONARIES)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("charuco", ["size", "square", "marker", "dictionary"]),
        ("aruco", ["size", "marker", "separation", "dictionary"]),
        ("checkerboard", ["size", "square"]),
    ],
)
def test_what_is_missing_is_named(kind, missing):
    keys = {
        "size": "board_size",
        "square": "board_square_side_length",
        "marker": "board_marker_length",
        "separation": "board_marker_separation_length",
        "dictionary": "board_dictionary",
    }
    given = {"size": (5, 4), **LENGTHS}
    for name in given:
        less = {key: value for key, value in given.items() if key != name}
        size = less.pop("size", None)
        if name in missing:
            with pytest.raises(DataError, match=rf"needs calibration\.{keys[name]}\b"):
                make_board(kind, size, **less)
        else:
            make_board(kind, size, **less)
    with pytest.raises(DataError, match=r"board_size and .*board_(square_side|marker)_length"):
        make_board(kind, None)


@pytest.mark.parametrize(
    ("kind", "size", "changes", "words"),
    [
        (None, (5, 4), {}, "calibration.board_type is missing"),
        ("chess", (5, 4), {}, "calibration.board_type"),
        ("charuco", (1, 4), {}, "board_size = .1, 4.: a charuco needs at least 2"),
        ("checkerboard", (4, 2), {}, "at least 3"),
        ("charuco", (5, 4), {"marker": 24.0}, "board_marker_length = 24: must be less"),
        ("charuco", (5, 4), {"square": 0.0}, "board_square_side_length = 0"),
        ("aruco", (5, 4), {"separation": float("nan")}, "board_marker_separation_length = nan"),
        ("aruco", (10, 6), {}, "60 markers, and DICT_4X4_50 holds 50"),
        ("aruco", (5, 4), {"dictionary": "nope"}, "board_dictionary"),
    ],
)
def test_what_does_not_fit(kind, size, changes, words):
    with pytest.raises(DataError, match=words):
        board_of(kind, size, **changes)


def test_lengths_of_other_kinds_are_left_aside():
    assert board_of("checkerboard", (4, 3)) == make_board("checkerboard", (4, 3), square=24.0)
    assert board_of("aruco", (4, 3), legacy=True) == board_of("aruco", (4, 3), square=None)
    make_board("checkerboard", (4, 3), square=24.0, marker=30.0)


# ---------------------------------------------------------------- the key


def configured(tmp_path, **values):
    return resolve([Layer(tmp_path / "config.toml", {"calibration": values})])


@pytest.mark.parametrize("name", ["DICT_4X4_1000", "DICT_APRILTAG_36h11", "DICT_APRILTAG_36H11"])
def test_key_takes_opencvs_names(tmp_path, name):
    assert configured(tmp_path, board_dictionary=name).config.calibration.board_dictionary == name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"board_dictionary": "DICT_APRILTAG_36h12"}, "did you mean"),
        ({"board_dictionary": "4x4"}, "must be the name of one of OpenCV's dictionaries: DICT_4X4_50, "),
        ({"board_dictionary": "DICT_4X4_50", "board_marker_bits": 5}, "contradicts board_marker_bits = 5"),
        (
            {
                "board_dictionary": "DICT_APRILTAG_36h11",
                "board_marker_bits": 6,
                "board_marker_dict_number": 50,
            },
            "contradicts board_marker_bits = 6 and board_marker_dict_number = 50: leave these out",
        ),
    ],
)
def test_key_refuses(tmp_path, values, words):
    with pytest.raises(ConfigError, match=r"calibration\.board_dictionary") as error:
        configured(tmp_path, **values)
    assert words in str(error.value)


def test_key_may_repeat_what_the_others_say(tmp_path):
    configured(tmp_path, board_dictionary="DICT_4X4_50", board_marker_bits=4, board_marker_dict_number=50)
