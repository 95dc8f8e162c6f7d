"""``detect-boards``: where each recording shows the corners of the calibration board."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from anipipe.artifacts import BOARD_DETECTIONS, BOARD_RECORDING, BoardRecording
from anipipe.engine.declare import Stage
from anipipe.engine.progress import tell
from anipipe.errors import Notice
from anipipe.formats.board_detections import BoardDetections
from anipipe.numerics.boards.detection import Detections, detect_board
from anipipe.numerics.boards.geometry import Board
from anipipe.project.naming import split_name
from anipipe.stages.boards import BoardOptions
from anipipe.stages.options import setting
from anipipe.stages.pose_3d import in_three_dimensions

#: Lengths of a board, of which pictures show only how they compare: measuring a print changes no detection.
_LENGTHS = tuple(
    f"calibration.board_{name}"
    for name in ("square_side_length", "marker_length", "marker_separation_length")
)
_SHARES = "calibration.board: square, marker, separation"
Flag = bool | Literal["auto"]


@dataclass(frozen=True)
class DetectionOptions(BoardOptions):
    """What the board looks like in the recordings."""

    inverted: bool = setting("calibration.board_inverted")
    mirrored: Flag = setting("calibration.board_mirrored")
    legacy: Flag = setting("calibration.board_legacy")
    cam_regex: str = setting("triangulation.cam_regex")

    def facts(self) -> dict[str, Any]:
        """Return every key with its value, but of the lengths only how they compare."""
        facts = super().facts()
        lengths = [facts.pop(key) for key in _LENGTHS]
        known = [length for length in lengths if length is not None]
        shares = [None if length is None else round(length / known[0], 9) for length in lengths]
        return {**facts, _SHARES: shares}

    @classmethod
    def introduced(cls) -> dict[str, Any]:
        """Return the defaults."""
        return {**super().introduced(), _SHARES: [None] * len(_LENGTHS)}


def detect_boards(recording: BoardRecording, *, options: DetectionOptions) -> BoardDetections:
    """Find the corners of the calibration board in each recording of it: videos, or still images of a camera.

    calibration.board_type and the keys after it describe the board. What was seen is written as one csv per
    recording into calibration/detections/, where rows of a bad frame can be deleted by hand.
    """
    board = options.board()
    frames = recording.open()
    count = frames.count()
    found = detect_board(
        frames.frames(grey=True),
        board,
        inverted=options.inverted,
        mirrored=options.mirrored,
        legacy=options.legacy,
        progress=lambda done: tell(done, count),
    )
    if found.diagnosis:
        warnings.warn(found.diagnosis, Notice, stacklevel=2)
    if found.unreadable:
        text = f"{found.unreadable} of {found.looked} frames cannot be decoded and count as showing no board"
        warnings.warn(text, Notice, stacklevel=2)
    return _as_rows(found, recording, options)


def _as_rows(found: Detections, recording: BoardRecording, options: DetectionOptions) -> BoardDetections:
    """Put one row per corner below each other; each still image is a recording of its own."""
    pattern = re.compile(options.cam_regex)
    names = [split_name(path.stem, pattern, str(path))[1] for path in recording.paths]
    instants = [
        (names[seen.frame], 0) if recording.stills else (names[0], seen.frame) for seen in found.sightings
    ]
    board = options.board()
    counts = [len(seen.ids) for seen in found.sightings]
    empty = np.empty((0, 2))
    return BoardDetections(
        camera=recording.camera,
        size=found.size or (0, 0),
        frames=found.looked,
        trials=np.repeat(np.array([trial for trial, _ in instants], dtype=object), counts),
        numbers=np.repeat(np.array([number for _, number in instants], dtype=np.int64), counts),
        corners=np.concatenate([np.empty(0, dtype=np.int64), *(seen.ids for seen in found.sightings)]),
        points=np.concatenate([empty, *(seen.corners for seen in found.sightings)]),
        mirrored=bool(found.mirrored),
        legacy=found.legacy if board.two_layouts else False,
        board=_looks(board),
        remark=found.diagnosis,
    )


def _looks(board: Board) -> dict[str, Any]:
    """Return what a board looks like; its lengths do not show in pictures, and may be measured later."""
    looks = {"kind": board.kind, "size": list(board.size), "dictionary": board.dictionary}
    return {key: value for key, value in looks.items() if value}


STAGE = Stage(
    name="detect-boards",
    per="board",
    run=detect_boards,
    reads={"recording": BOARD_RECORDING},
    writes=BOARD_DETECTIONS,
    options=DetectionOptions,
    version=2,
    enabled=in_three_dimensions,
    on_demand=True,
    libraries=("opencv-contrib-python",),
)
