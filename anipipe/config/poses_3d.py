"""From 2D poses to 3D: calibration, triangulation, filtering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from anipipe.config.values import (
    AutoFlag,
    Axes,
    BoardSize,
    Fixed,
    KeyFaults,
    Kind,
    Name,
    Odd,
    Pairs,
    Pattern,
    Section,
    key,
)
from anipipe.suggest import nearest

#: The names of OpenCV's marker dictionaries; both of its spellings of the last ones.
DICTIONARY_NAMES = (
    *(f"DICT_{bits}X{bits}_{number}" for bits in (4, 5, 6, 7) for number in (50, 100, 250, 1000)),
    "DICT_ARUCO_ORIGINAL",
    *("DICT_APRILTAG_16h5", "DICT_APRILTAG_25h9", "DICT_APRILTAG_36h10", "DICT_APRILTAG_36h11"),
    *("DICT_APRILTAG_16H5", "DICT_APRILTAG_25H9", "DICT_APRILTAG_36H10", "DICT_APRILTAG_36H11"),
    *("DICT_ARUCO_MIP_36h12", "DICT_ARUCO_MIP_36H12"),
)


def _check_dictionary(value: str) -> str:
    if value in DICTIONARY_NAMES:
        return value
    near = nearest(value, DICTIONARY_NAMES)
    raise ValueError(
        "must be the name of one of OpenCV's dictionaries"
        + (f"; did you mean {near!r}?" if near else f": {', '.join(DICTIONARY_NAMES[:21])}")
    )


_Dictionary = Annotated[
    str, AfterValidator(_check_dictionary), Kind("the name of one of OpenCV's predefined dictionaries")
]


class CalibrationSettings(Section):
    """``[calibration]``: the board and how cameras are calibrated with it."""

    board_type: Literal["charuco", "aruco", "checkerboard"] | None = key(
        None, "Kind of calibration board", example="charuco"
    )
    board_size: BoardSize | None = key(
        None,
        "Across and down: squares (charuco), markers (aruco), inner corners (checkerboard)",
        example=[10, 7],
    )
    board_marker_bits: Literal[4, 5, 6, 7] | None = key(
        None, "charuco, aruco: squares along a marker's side, without its border", example=4
    )
    board_marker_dict_number: Literal[50, 100, 250, 1000] | None = key(
        None, "charuco, aruco: markers in the dictionary", example=50
    )
    board_dictionary: _Dictionary | None = key(
        None,
        "charuco, aruco: OpenCV's name of the dictionary, also DICT_APRILTAG_36h11 and others; "
        "instead of board_marker_bits and board_marker_dict_number",
        example="DICT_4X4_50",
    )
    board_marker_length: float | None = key(
        None, "charuco, aruco: side of a marker", unit="calibration.units", example=3.75, gt=0
    )
    board_marker_separation_length: float | None = key(
        None, "aruco: gap between two markers", unit="calibration.units", example=1.0, gt=0
    )
    board_square_side_length: float | None = key(
        None,
        "charuco, checkerboard: side of a square; the scale of all 3D results",
        unit="calibration.units",
        example=5.0,
        gt=0,
    )
    board_inverted: bool = key(False, "The board is printed white on black")
    board_mirrored: AutoFlag = key("auto", "The board is seen in a mirror")
    board_legacy: AutoFlag = key("auto", "charuco: printed with the layout of OpenCV before 4.6")
    units: Name = key(
        "mm", "Unit of the board's lengths, and so of 3D results; named in reports", example="mm"
    )
    animal_calibration: bool = key(False, "Refine the calibration with the animal's 2D poses")
    calibration_init: str | None = key(
        None,
        "Calibration to start from, relative to the experiment; used as it is where there are no recordings",
        example="calibration-init.toml",
    )
    fisheye: bool = key(False, "Fisheye lenses in all cameras")
    engine: Literal["anipipe", "aniposelib"] = key("anipipe", "Which program calibrates")
    distortion: Literal["none", "k1", "k1k2", "full"] = key(
        "k1k2", "Distortion of the lens that is estimated; full: k1, k2, p1, p2, k3"
    )
    optical_axis: Literal["free", "centre"] = key(
        "free",
        "Where the axis of each lens meets the picture: found if the recordings tell, or held in its middle",
    )
    fix: Fixed = key((), "Parts of calibration_init that are kept as they are")
    world: Literal["camera", "board"] = key(
        "camera",
        "Origin of 3D space: the first camera, or the board, with z up towards the cameras (see world_frame)",
    )
    world_recording: str | None = key(
        None,
        'With world = "board": the recording in which the board lies at the origin, its name without the '
        "camera; left out: the first",
        example="floor",
    )
    world_frame: int | None = key(
        None,
        'With world = "board": the frame in it; left out: the first in which the board was found',
        unit="frame",
        ge=0,
        example=12,
    )

    @model_validator(mode="after")
    def _check_one_dictionary(self) -> CalibrationSettings:
        bits, number, name = self.board_marker_bits, self.board_marker_dict_number, self.board_dictionary
        if name is None:
            return self
        wrong = []
        if bits is not None and not name.startswith(f"DICT_{bits}X{bits}_"):
            wrong.append(f"board_marker_bits = {bits}")
        if number is not None and not name.endswith(f"_{number}"):
            wrong.append(f"board_marker_dict_number = {number}")
        if wrong:
            raise KeyFaults(("board_dictionary", f"contradicts {' and '.join(wrong)}: leave these out"))
        return self

    @model_validator(mode="after")
    def _check_marker_fits(self) -> CalibrationSettings:
        marker, square = self.board_marker_length, self.board_square_side_length
        if self.board_type == "charuco" and marker is not None and square is not None and marker >= square:
            raise KeyFaults(
                (
                    "board_marker_length",
                    f"must be less than board_square_side_length = {square:g}, markers lie in squares",
                )
            )
        return self


class ManualVerificationSettings(Section):
    """``[manual_verification]``: Anipose's window for board detections."""

    manually_verify: bool = key(
        False,
        "Anipose's: look at each detection of the board; not needed here",
        notice="detections are not shown one by one: look at the calibration's report instead",
        notice_when=True,
    )


class TriangulationSettings(Section):
    """``[triangulation]``: from 2D poses to 3D poses."""

    triangulate: bool = key(True, "Make 3D poses and everything that follows from them")
    cam_regex: Pattern | None = key(
        None,
        "Finds the camera's name in the name of a video: what the first parentheses match",
        example="cam([0-9])",
    )
    engine: Literal["anipipe", "aniposelib"] = key("anipipe", "Which program triangulates")
    ransac: bool = key(False, "Try subsets of cameras, so that one wrong camera does not spoil a point")
    ransac_rule: Literal["agreement", "smallest-error"] = key(
        "agreement",
        "ransac: take the most cameras that agree within ransac_threshold, or, as Anipose, those of the "
        "smallest error, however few",
    )
    ransac_threshold: float = key(
        10.0,
        "ransac: cameras agree on a point that is projected this near to where they see it; about three "
        "times what 2D points are usually off by",
        unit="px",
        gt=0,
    )
    hypotheses: int = key(1, "ransac: how many candidates of each 2D point take part", ge=1)
    refine: bool = key(
        False, "Move each point to where its reprojection error is smallest, after the linear triangulation"
    )
    optim: bool = key(False, "Refine poses over all frames: smooth motion, constant lengths")
    score_threshold: float = key(0.8, "2D points with a lower score take no part", ge=0)
    min_cams: int = key(2, "How many cameras must see a point", ge=2)
    use_filled: bool = key(False, "2D points that a filter filled in take part too")
    weights: Literal["score", "error-model"] | None = key(
        None, "Weight of each 2D point's squared error; left out: all the same", example="score"
    )
    reproj_error_threshold: float = key(
        5.0, "optim: reprojection errors beyond this count less and less", unit="px", gt=0
    )
    scale_smooth: float = key(2.0, "optim: weight of smooth motion", ge=0)
    scale_length: float = key(2.0, "optim: weight of constraints", ge=0)
    scale_length_weak: float = key(1.0, "optim: weight of constraints_weak", ge=0)
    n_deriv_smooth: int = key(3, "optim: derivative of position that is kept small", ge=1)
    constraints: Pairs = key((), "optim: pairs of joints whose distance stays the same")
    constraints_weak: Pairs = key((), "optim: pairs of joints whose distance stays nearly the same")
    optim_chunking: bool = key(
        False,
        "Anipose's: not needed here",
        notice="has no effect: recordings of any length are optimised as a whole",
        notice_when=True,
    )
    optim_chunking_size: int = key(1000, "Anipose's: not needed here", unit="frames", ge=1)
    axes: Axes | None = key(
        None,
        "Two axes of 3D space, each along the line between two joints; needs reference_point",
        example=[["x", "L1A", "L3A"], ["z", "L1B", "L1A"]],
    )
    reference_point: Name | None = key(None, "Joint at the origin of 3D space; needs axes", example="L1A")
    cam_align: str | None = key(
        None,
        "Anipose's: read by nothing",
        example="A",
        notice="has no effect (nor in Anipose): set axes and reference_point to align 3D poses",
    )

    @model_validator(mode="after")
    def _check_frame_is_whole(self) -> TriangulationSettings:
        if (self.axes is None) != (self.reference_point is None):
            there, lacking = ("axes", "reference_point") if self.axes else ("reference_point", "axes")
            raise KeyFaults((there, f"needs triangulation.{lacking} too: both or neither"))
        return self


class Filter3dSettings(Section):
    """``[filter3d]``: filtering of 3D poses."""

    enabled: bool = key(False, "Filter 3D poses; later stages then use the filtered ones")
    medfilt: Odd = key(17, "Length of the median filter, odd", unit="frames")
    offset_threshold: float = key(
        15.0, "Points with a larger reprojection error are replaced", unit="px", gt=0
    )
