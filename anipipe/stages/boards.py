"""The calibration board as the configuration describes it."""

from __future__ import annotations

from dataclasses import dataclass

from anipipe.numerics.boards.geometry import Board, dictionary_name, make_board
from anipipe.stages.options import SettingsOptions, setting


@dataclass(frozen=True)
class BoardOptions(SettingsOptions):
    """What the configuration says of the board."""

    kind: str | None = setting("calibration.board_type")
    size: tuple[int, int] | None = setting("calibration.board_size")
    square: float | None = setting("calibration.board_square_side_length")
    marker: float | None = setting("calibration.board_marker_length")
    separation: float | None = setting("calibration.board_marker_separation_length")
    bits: int | None = setting("calibration.board_marker_bits")
    number: int | None = setting("calibration.board_marker_dict_number")
    dictionary: str | None = setting("calibration.board_dictionary")

    def board(self, *, legacy: bool = False) -> Board:
        """Return the board, in the layout of OpenCV before 4.6 if ``legacy``.

        Raises
        ------
        DataError
            If something about it is not told, or does not fit.
        """
        dictionary = self.dictionary
        if dictionary is None and self.bits is not None and self.number is not None:
            dictionary = dictionary_name(self.bits, self.number)
        return make_board(
            self.kind,
            self.size,
            square=self.square,
            marker=self.marker,
            separation=self.separation,
            dictionary=dictionary,
            legacy=legacy,
        )
