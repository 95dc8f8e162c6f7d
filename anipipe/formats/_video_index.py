"""Where each frame of a recording stands: rows by time stamps, key frames, gaps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._files import check_not_empty

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    Opened = tuple[InputContainer, VideoStream]

_INDEXED = ("mov", "matroska", "avi")  # packets have their true time stamps and positions after a seek
_MP4_STARTS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_REMEDY = "Copy it anew from where it was recorded, or take it out of the folder."


@contextmanager
def opened(path: Path, threads: int = 1) -> Iterator[Opened]:
    """Open a recording's container and its video stream, or raise DataError."""
    import av

    _check_file(path)
    try:
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise DataError(_unreadable(path, error.strerror)) from error
    with container:
        # a cover picture of a sound file is a video stream, too
        streams = [one for one in container.streams.video if not one.disposition & 0x400]
        if not streams:
            sound = "only sound" if container.streams.audio else "neither pictures nor sound"
            raise DataError(f"{path}: holds {sound}, no video. {_REMEDY}")
        stream = streams[0]
        if stream.codec_context is None:
            raise DataError(f"{path}: its video codec is unknown here. Convert it to H.264 with ffmpeg.")
        claimed, size = max(stream.frames, len(stream.index_entries)), path.stat().st_size
        if claimed > size:  # what it announces would be believed, in gigabytes
            raise DataError(f"{path}: it announces {claimed} frames, and has {size} bytes. {_REMEDY}")
        stream.thread_type = "AUTO"
        stream.thread_count = threads
        yield container, stream


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a video file. Name the file.")
    try:
        check_not_empty(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. Check the name, or copy the file there.") from error


def _unreadable(path: Path, reason: str | None) -> str:
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] in _MP4_STARTS:
        return (
            f"{path}: an MP4 or MOV file without a readable index (moov): recording or copying it was cut "
            "off. Copy it anew; if the original is like this, repair it with a tool such as untrunc."
        )
    return f"{path}: not a video, whatever its name says, or damaged at its start ({reason}). {_REMEDY}"


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield the packets that hold something, as far as the container can be read."""
    import av

    try:
        for packet in container.demux(stream):
            if packet.size:  # an empty one would end the decoder's work
                yield packet
    except (av.error.InvalidDataError, av.error.EOFError):
        return


def announced(container: InputContainer, stream: VideoStream) -> NDArray[np.int64] | None:
    """Return the decoding times of all frames that the header promises, or None where it promises none."""
    if "mov" in container.format.name:
        times = [entry.timestamp for entry in stream.index_entries if not entry.is_discard]
        return np.array(times, dtype=np.int64) if times else None
    if container.format.name == "avi" and stream.frames:
        return np.arange(stream.frames)
    return None


@dataclass(frozen=True)
class Index:
    """The frames of a recording.

    Attributes
    ----------
    count
        Rows: frames in presentation order, those that are missing included.
    seconds : (rows,)
        Time from the first frame; NaN where the frame is missing.
    rows : (packets,)
        The row of each packet in the file's order, -1 if it is not shown; if `by_order`, the row of each
        frame in the order in which the decoder returns them.
    by_order
        Time stamps do not tell the order of presentation; the decoder does.
    packets : (rows,)
        The packet of each row, -1 where the frame is missing; unused if `by_order`.
    keys
        Packets that hold key frames.
    times
        The time stamp under which the container finds each key frame; empty where it cannot be searched.
    numbers
        The packet at each position in the file, in bytes.
    """

    count: int
    seconds: NDArray[np.float64]
    rows: NDArray[np.int64]
    by_order: bool
    packets: NDArray[np.int64]
    keys: list[int]
    times: list[int]
    numbers: dict[int, int]

    def start(self, row: int) -> int:
        """Return which of `keys` decoding has to start from for a row; -1 is the file's beginning."""
        if not self.times:
            return -1
        at = bisect_right(self.keys, self.packets[row]) - 1
        while at >= 0 and self.rows[self.keys[at]] > row:  # shown before the key frame, stored after it
            at -= 1
        return at

    def safe_key(self, packet: int) -> int:
        """Return which of `keys` decoding has to start from for all that comes after a packet."""
        return max(bisect_right(self.keys, packet) - 2, -1) if self.times else -1

    def is_shown(self, packet: int) -> bool:
        """Tell whether a packet's frame is to come out of the decoder."""
        return self.by_order or bool(self.rows[packet] >= 0)

    @cached_property
    def delay(self) -> int:
        """How many frames later than its packet's turn a frame may come; H.264's most if not known."""
        if self.by_order:
            return 16
        shown = self.rows[self.rows >= 0]
        return int((np.maximum.accumulate(shown) - shown).max(initial=0))

    def tainted(self, packet: int) -> tuple[int, int]:
        """Return what a damaged packet spoils: packets from it on whose rows come before that of this end."""
        after = bisect_right(self.keys, packet)
        if after == len(self.keys):
            return packet, self.count
        key = self.keys[after]
        return packet, key if self.by_order else int(self.rows[key])

    def is_missing(self, row: int) -> bool:
        """Tell whether there is no packet for a row."""
        return not self.by_order and bool(self.packets[row] < 0)


@dataclass(frozen=True)
class _Scan:
    """What all packets say of themselves, in the file's order."""

    pts: list[int | None]
    dts: list[int | None]
    positions: list[int | None]
    is_key: list[bool]
    shown: NDArray[np.bool_]
    tick: float  # seconds
    rate: float
    container: str
    reorders: bool
    promised: NDArray[np.int64] | None


def _scan(path: Path) -> _Scan:
    with opened(path) as (container, stream):
        promised = announced(container, stream)
        found = [
            (one.pts, one.dts, one.pos, one.is_keyframe, one.is_discard) for one in packets(container, stream)
        ]
        pts, dts, positions, is_key, discarded = map(list, zip(*found, strict=True)) if found else [[]] * 5
        if container.format.name == "avi":
            # over damage the demuxer counts on; the file's index knows better
            times = {entry.pos + 8: entry.timestamp for entry in stream.index_entries}  # after a chunk's head
            pts, dts = ([times.get(*one) for one in zip(positions, old, strict=True)] for old in (pts, dts))
        return _Scan(
            *(pts, dts, positions, is_key, ~np.array(discarded, dtype=bool)),
            tick=float(stream.time_base or 0),
            rate=float(stream.guessed_rate or stream.average_rate or 25),
            container=container.format.name,
            reorders=bool(stream.codec_context.has_b_frames),
            promised=promised,
        )


def read_index(path: Path) -> Index:
    """Read all packets of a recording, without decoding them; DataError if it cannot be opened."""
    scan = _scan(path)
    stamps, tick, by_order = _stamps(scan)
    packet_order = np.flatnonzero(scan.shown)[np.argsort(stamps[scan.shown], kind="stable")]
    stamps = stamps[packet_order]
    places, step = place(stamps)
    count = _count(places, scan.promised, step)
    rows = np.full(len(scan.pts), -1, dtype=np.int64)
    rows[packet_order] = places
    seconds, packet_of = np.full(count, np.nan), np.full(count, -1, dtype=np.int64)
    seconds[places] = (stamps - stamps[:1]) * tick
    packet_of[places] = packet_order
    keys = [number for number, is_key in enumerate(scan.is_key) if is_key and scan.shown[number]]
    numbers = {at: number for number, at in enumerate(scan.positions) if at is not None}
    is_searchable = any(name in scan.container for name in _INDEXED) and len(numbers) == len(rows)
    times = []
    if is_searchable and not by_order:
        both = [[time for time in (scan.pts[key], scan.dts[key]) if time is not None] for key in keys]
        times = [min(known) for known in both]
    return Index(count, seconds, places if by_order else rows, by_order, packet_of, keys, times, numbers)


def _stamps(scan: _Scan) -> tuple[NDArray[np.int64], float, bool]:
    """Return time stamps that order the packets, their tick in seconds, and whether the order is a guess."""
    # AVI keeps no order of presentation: what stands as such is a guess, wrong for H.264 with B-frames
    tells_order = scan.container != "avi" or not scan.reorders
    for times, by_order in ((scan.pts if tells_order else [None], False), (scan.dts, scan.reorders)):
        if None not in times and len(set(times)) == len(times):
            return np.array(times, dtype=np.int64), scan.tick, by_order
    return np.arange(len(scan.pts)), 1 / scan.rate, scan.reorders


def place(stamps: NDArray[np.int64]) -> tuple[NDArray[np.int64], float | None]:
    """Return the row of each time stamp.

    Parameters
    ----------
    stamps : (frames,)
        Ascending, in the ticks of the stream's clock.

    Returns
    -------
    The rows, (frames,), and the step between rows in ticks. At a constant rate (nine of ten steps alike,
    the others whole multiples of them to 20 % of a step or one tick), a step of k leaves k - 1 rows empty.
    Else, or if more were missing than are there, the frames are simply counted and the step is None.
    """
    counted = np.arange(len(stamps))
    steps = np.diff(stamps)
    if not len(steps) or steps.min() <= 0:
        return counted, None
    step = float(steps[steps <= 1.5 * np.median(steps)].mean())
    multiples = np.rint(steps / step)
    # the clock's own rounding, where it is fine enough to tell one step from two
    tolerance = max(0.2 * step, 1.0) if step > 2.5 else 0.2 * step
    regular = np.mean(multiples == 1) >= 0.9 and np.all(np.abs(steps - multiples * step) <= tolerance)
    if not regular or multiples.min() < 1 or multiples.sum() > 2 * len(stamps):
        return counted, None
    return np.concatenate([[0], np.cumsum(multiples)]).astype(np.int64), step


def _count(places: NDArray[np.int64], promised: NDArray[np.int64] | None, step: float | None) -> int:
    """Return the number of rows, those promised and not found at the end of the file included."""
    found = int(places[-1]) + 1 if len(places) else 0
    if promised is None or len(promised) <= len(places):
        return found
    if step is None:
        return max(found, len(promised))
    return max(found, round(float(promised[-1] - promised[0]) / step) + 1)
