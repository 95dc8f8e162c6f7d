"""When the frames of a recording were taken, as far as its container tells. Nothing is decoded.

MP4, MOV and AVI files list all of their frames in an index of their own, so that even a long recording is
looked at in a moment; others have to be read from end to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from anipipe.formats._video_index import opened, place, read_index

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

#: Of a recording's frames; more is no rare accident: its file was cut off, or its computer does not keep up.
OFTEN_LOST = 0.01
_INDEXED = ("mov", "avi")
_TICK = 1e-6  # seconds, to which time stamps are rounded when they are looked at a second time


@dataclass(frozen=True, eq=False)
class Times:
    """When the frames of a recording were taken.

    Attributes
    ----------
    seconds
        (rows,), from the first frame; NaN where a frame is missing. Rows are those of
        :class:`~anipipe.formats.video.Video`.
    regular
        The time stamps keep step, so that a missing frame shows as a gap; else rows are frames as they come.
    start
        Seconds on the container's clock at the first frame.
    counted
        ``"index"``: as the file's own index lists them; ``"reading"``: by reading the whole file.
    beyond
        Frames that the index lists past the end of the file, as in one that was cut off.
    """

    seconds: NDArray[np.float64]
    regular: bool
    start: float
    counted: Literal["index", "reading"]
    beyond: int = 0

    @property
    def rows(self) -> int:
        """How many frames there are, missing ones included."""
        return len(self.seconds)

    @property
    def steps(self) -> NDArray[np.float64]:
        """Seconds between frames that follow one another, (rows - 1,); NaN beside missing ones."""
        return np.diff(self.seconds)

    @property
    def step(self) -> float:
        """Seconds between two frames, on average; NaN of a single one."""
        known = np.flatnonzero(np.isfinite(self.seconds))
        if len(known) < 2:
            return float("nan")
        return float(self.seconds[known[-1]] - self.seconds[known[0]]) / int(known[-1] - known[0])

    def gaps(self) -> list[tuple[int, int]]:
        """Return the first row and the number of frames of each gap."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], np.isnan(self.seconds).astype(int), [0]])))
        return [(int(first), int(end - first)) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def read_times(path: Path) -> Times:
    """Read when the frames of a recording were taken.

    Frames whose order of presentation is not that of the file are looked at in the file itself where their
    index shows a gap: it has only the order of decoding.

    Raises
    ------
    DataError
        The file is missing, empty, no video, cut off before its index, or holds only sound.
    """
    with opened(path) as (container, stream):
        start = float((stream.start_time or 0) * (stream.time_base or 0))
        listed = _listed(container, stream)
        reorders = bool(stream.codec_context.has_b_frames)
        tick = float(stream.time_base or 0)
    if listed is not None:
        stamps, ends = listed
        rows, step = place(stamps)
        simple = step is not None and int(rows[-1]) == len(rows) - 1
        if simple or not reorders or len(stamps) < 2:
            beyond = int((ends > path.stat().st_size).sum())
            return Times(_spread(rows, (stamps - stamps[0]) * tick), step is not None, start, "index", beyond)
    seconds = read_index(path).seconds
    known = seconds[np.isfinite(seconds)]
    regular = place(np.rint(known / _TICK).astype(np.int64))[1] is not None
    return Times(seconds, regular, start, "reading")


def _listed(
    container: InputContainer, stream: VideoStream
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return time stamp and end in the file, bytes, of each frame in the file's index; None without any."""
    if not any(name in container.format.name for name in _INDEXED):
        return None
    entries = [(e.timestamp, e.pos + e.size) for e in stream.index_entries if e.size and not e.is_discard]
    if not entries:
        return None
    both = np.array(entries, dtype=np.int64)
    return both[:, 0], both[:, 1]


def _spread(rows: NDArray[np.int64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = np.full(int(rows[-1]) + 1, np.nan)
    spread[rows] = seconds
    return spread
