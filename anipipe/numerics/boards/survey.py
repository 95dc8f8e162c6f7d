"""Why a board is not seen: what pictures show instead of it, in words."""

from __future__ import annotations

from collections.abc import Sequence

from anipipe.numerics.boards.geometry import DICTIONARIES, Board
from anipipe.numerics.boards.guess import BoardGuess, guess_board
from anipipe.numerics.boards.markers import Grey

#: Why there are no corners where a board was seen in part, and only rows that fit both of its layouts.
UNDECIDED = (
    "the part of the board that was seen does not tell which of two layouts it has, and so not which corners "
    "these are: set `calibration.board_legacy = true` if there is a marker in its top left square (printed "
    "by OpenCV before 4.6, or by calib.io), `calibration.board_legacy = false` if that square is black; or "
    "record it with two or more rows of markers in the image"
)

_PARTS = {"charuco": "squares", "aruco": "markers", "checkerboard": "inner corners"}


def diagnose(
    frames: Sequence[Grey],
    board: Board,
    *,
    inverted: bool = False,
    mirrored: bool | None = None,
    legacy: bool | None = None,
) -> str:
    """Say what may be wrong with a recording in which a board is never seen.

    Parameters
    ----------
    frames
        A sample of its pictures, (height, width) uint8 grey values.
    board
        The board as configured.
    inverted
        Whether it was looked for white on black.
    mirrored, legacy
        Whether it was looked for only in the mirror and only in the layout of OpenCV before 4.6; None where
        both were tried.

    Returns
    -------
    str
        Plain words; they name the key to change where one is wrong.
    """
    if not frames:
        return "no picture of the recording could be read"
    guess = guess_board(frames)
    if guess is None:
        return (
            f"no board was seen, and none is visible in {_count(len(frames), 'picture')} of the recording: "
            "no markers of any dictionary, dark or inverted, and no checkerboard. Is it the right recording? "
            "The board must be sharp, evenly lit, without glare, and its smallest squares some pixels wide."
        )
    wrong = _faults(guess, board, inverted, mirrored, legacy)
    shown = f"{_count(guess.pictures, 'picture')} of {len(frames)}"
    what = f"the board was not seen, but {_described(guess)} in {shown}"
    if wrong:
        return f"{what}: {'; '.join(wrong)}"
    return (
        f"{what}, as configured: it may be too small, blurred or hidden too often. "
        "Record it nearer, slower and in better light."
    )


def _faults(
    guess: BoardGuess, board: Board, inverted: bool, mirrored: bool | None, legacy: bool | None
) -> list[str]:
    """List what to change in the configuration so that it says what is seen."""
    wrong = []
    if guess.kind != board.kind:
        size = f"[{guess.size[0]}, {guess.size[1]}]"
        wrong.append(f'set `calibration.board_type = "{guess.kind}"` and `calibration.board_size = {size}`')
    if guess.kind != "checkerboard":
        if guess.inverted != inverted:
            wrong.append(f"set `calibration.board_inverted = {_toml(guess.inverted)}`")
        if mirrored is not None and guess.mirrored != mirrored:
            wrong.append(f"set `calibration.board_mirrored = {_toml(guess.mirrored)}`")
        if board.dictionary and not _holds(board.dictionary, guess):
            wrong.append(f"its markers are not those of {board.dictionary}: set {_dictionary(guess)}")
    if guess.kind == board.kind:
        wrong += _wrong_size(guess, board)
        even = guess.kind == "charuco" and guess.size[1] % 2 == 0
        if legacy is not None and even and guess.legacy != legacy:
            wrong.append(f"set `calibration.board_legacy = {_toml(guess.legacy)}`")
    return wrong


def _wrong_size(guess: BoardGuess, board: Board) -> list[str]:
    (across, down), configured = guess.size, f"[{board.size[0]}, {board.size[1]}]"
    key = f"`calibration.board_size = [{across}, {down}]`"
    if board.kind == "checkerboard":
        if sorted(guess.size) == sorted(board.size):
            return []
        return [f"calibration.board_size is {configured}: set {key} (inner corners, one fewer than squares)"]
    # The lowest rows may never have been in the picture.
    if across == board.size[0] and down <= board.size[1]:
        return []
    if across == board.size[1] and across != board.size[0]:
        return [f"calibration.board_size is {configured}, across and down are swapped: set {key}"]
    held = len(board.marker_squares)
    if guess.last >= held:
        return [
            f"markers up to number {guess.last} are visible, and calibration.board_size = {configured} has "
            f"{held}: is it right? What is seen fits {key}"
        ]
    return [f"calibration.board_size is {configured}, what is seen fits {key}"]


def _described(guess: BoardGuess) -> str:
    ways = [word for word, there in (("inverted", guess.inverted), ("mirrored", guess.mirrored)) if there]
    how = f" ({', '.join(ways)})" if ways else ""
    markers = f" with markers 0 to {guess.last} of {_family(guess)}" if guess.dictionary else ""
    size = f"{guess.size[0]} x {guess.size[1]} {_PARTS[guess.kind]}"
    return f"a {guess.kind} of {size}{markers}{how} is visible"


def _family(guess: BoardGuess) -> str:
    both = guess.bits_and_number
    return f"{both[0]} bits" if both else guess.dictionary


def _holds(dictionary: str, guess: BoardGuess) -> bool:
    """Whether a dictionary has the markers that are seen: it, or a larger one of its family."""
    bits, number = DICTIONARIES[dictionary]
    both = guess.bits_and_number
    if both is None or dictionary != f"DICT_{bits}X{bits}_{number}":
        return dictionary == guess.dictionary
    return both[0] == bits and guess.last < number


def _dictionary(guess: BoardGuess) -> str:
    both = guess.bits_and_number
    if both is None:
        return f'`calibration.board_dictionary = "{guess.dictionary}"`'
    return (
        f"`calibration.board_marker_bits = {both[0]}` and `calibration.board_marker_dict_number = {both[1]}`"
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _toml(flag: bool) -> str:
    return "true" if flag else "false"
