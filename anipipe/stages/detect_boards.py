"""``detect-boards``: where each recording shows the corners of the calibration board."""

from __future__ import annotations

import re
import warnings
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from anipipe.artifacts import BOARD_DETECTIONS, BOARD_RECORDING, BoardRecording
from anipipe.config import Resolved
from anipipe.engine.declare import Stage
from anipipe.errors import Notice
from anipipe.formats.board_detections import BoardDetections
from anipipe.numerics.boards.detection import Detections, detect_board
from anipipe.project.naming import split_name
from anipipe.stages.boards import BoardOptions
from anipipe.stages.options import setting
from anipipe.stages.pose_3d import in_three_dimensions

Flag = bool | Literal["auto"]


@dataclass(frozen=True)
class DetectionOptions(BoardOptions):
    """What the board looks like in the recordings."""

    inverted: bool = setting("calibration.board_inverted")
    mirrored: Flag = setting("calibration.board_mirrored")
    legacy: Flag = setting("calibration.board_legacy")
    cam_regex: str = setting("triangulation.cam_regex")


def detect_boards(recording: BoardRecording, *, options: DetectionOptions) -> BoardDetections:
    """Find the corners of the calibration board in each recording of it: videos, or still images of a camera.

    calibration.board_type and the keys after it describe the board. What was seen is written as one csv per
    recording into calibration/detections/, where rows of a bad frame can be deleted by hand.
    """
    board = options.board()
    frames = recording.open()
    found = detect_board(
        frames.frames(grey=True),
        board,
        inverted=options.inverted,
        mirrored=options.mirrored,
        legacy=options.legacy,
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
        legacy=bool(found.legacy),
        board={key: value for key, value in asdict(options.board()).items() if value not in ("", 0.0)},
        remark=found.diagnosis,
    )


def _enabled(settings: Resolved) -> bool:
    return in_three_dimensions(settings) and settings.config.calibration.board_type is not None


STAGE = Stage(
    name="detect-boards",
    per="board",
    run=detect_boards,
    reads={"recording": BOARD_RECORDING},
    writes=BOARD_DETECTIONS,
    options=DetectionOptions,
    enabled=_enabled,
    on_demand=True,
    libraries=("opencv-contrib-python",),
)
