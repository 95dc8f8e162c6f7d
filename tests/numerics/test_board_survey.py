"""Which board is it, and why is it not seen."""

from __future__ import annotations

import numpy as np
import pytest
from board_pictures import (
    APRIL,
    BOARDS,
    CHECKERS,
    NEW_EVEN,
    ODD,
    SLANTED,
    TURNED,
    Drawn,
    as_board,
    render,
    see,
    view,
)

from anipipe.numerics.boards.guess import guess_board
from anipipe.numerics.boards.survey import diagnose


@pytest.mark.parametrize(("inverted", "mirrored"), [(False, False), (True, True)])
@pytest.mark.parametrize("name", ["new", "legacy", "odd", "april", "grid"])
def test_guess(name, inverted, mirrored):
    drawn = BOARDS[name]
    pictures = []
    for corners in (SLANTED, TURNED):
        picture, _ = render(drawn, view(drawn, corners))
        picture = 255 - picture if inverted else picture
        pictures.append(np.ascontiguousarray(picture[:, ::-1] if mirrored else picture))
    guess = guess_board(pictures)
    assert guess is not None
    assert (guess.kind, guess.size, guess.legacy) == (drawn.kind, drawn.size, drawn.legacy)
    assert (guess.inverted, guess.mirrored, guess.pictures) == (inverted, mirrored, 2)
    ratio = drawn.separation / drawn.marker if name == "grid" else drawn.marker / drawn.square
    assert guess.ratio == pytest.approx(ratio, abs=0.03)
    smallest = {"grid": "DICT_5X5_50", "odd": "DICT_6X6_50", "april": "DICT_APRILTAG_36h11"}
    assert guess.dictionary == smallest.get(name, "DICT_4X4_50")
    expected = {"grid": (5, 50), "odd": (6, 50), "april": None}
    assert guess.bits_and_number == expected.get(name, (4, 50))


def test_guess_of_a_checkerboard_and_of_nothing():
    picture, _ = render(CHECKERS, view(CHECKERS, TURNED))
    guess = guess_board([picture, np.full_like(picture, 100)])
    assert guess is not None
    assert (guess.kind, guess.size, guess.dictionary, guess.pictures) == ("checkerboard", (8, 5), "", 1)
    assert guess_board([np.full_like(picture, 100)]) is None
    assert guess_board([]) is None


@pytest.mark.parametrize(
    ("name", "configured", "words"),
    [
        (
            "new",
            Drawn("charuco", (6, 8)),
            "across and down are swapped: set `calibration.board_size = [8, 6]`",
        ),
        (
            "new",
            Drawn("charuco", (5, 4)),
            "markers up to number 23 are visible, and calibration.board_size = [5, 4] has 10",
        ),
        ("new", Drawn("charuco", (8, 6), dictionary="DICT_6X6_250"), "`calibration.board_marker_bits = 4`"),
        ("april", ODD, '`calibration.board_dictionary = "DICT_APRILTAG_36h11"`'),
        ("odd", APRIL, "`calibration.board_marker_bits = 6` and `calibration.board_marker_dict_number = 50`"),
        ("checkers", NEW_EVEN, '`calibration.board_type = "checkerboard"`'),
        ("new", CHECKERS, '`calibration.board_type = "charuco"` and `calibration.board_size = [8, 6]`'),
        ("grid", Drawn("charuco", (6, 4), dictionary="DICT_5X5_100"), '`calibration.board_type = "aruco"`'),
        ("new", NEW_EVEN, "as configured"),
    ],
)
def test_diagnosis(name, configured, words):
    picture, _ = render(BOARDS[name], view(BOARDS[name], SLANTED))
    text = diagnose([picture], as_board(configured))
    assert words in text
    if words != "as configured":
        assert len(see(picture, configured)[0]) == 0, "and nothing is seen"
