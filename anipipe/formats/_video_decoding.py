"""Decoding chosen rows of a recording."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

from anipipe.formats._video_index import Index, opened, packets

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from anipipe.formats._video_index import Opened

    Fed = tuple[VideoCodecContext, Packet[VideoStream] | None]

_FAR = 8  # packets that are sooner decoded than jumped over
_HELD = 64  # packets, more than decoders hold back


def thread_count() -> int:
    """Return how many threads decoding may take: OMP_NUM_THREADS, else 0 (as many as there are cores)."""
    found = re.match(r"\s*(\d+)", os.environ.get("OMP_NUM_THREADS", ""))
    return int(found[1]) if found else 0


def decoded(codec: VideoCodecContext, packet: Packet[VideoStream] | None) -> list[VideoFrame] | None:
    """Return the frames that a packet (None: the end of the file) brings out, None if it is damaged."""
    import av

    try:
        return codec.decode(packet)
    except MemoryError:
        raise
    except av.error.FFmpegError:
        return None


class Decoder:
    """Decodes rows in ascending order, jumping over what is not wanted.

    Parameters
    ----------
    path
        The recording.
    index
        Its index.
    threads
        How many to decode with; 0: as many as there are cores.
    """

    def __init__(self, path: Path, index: Index, threads: int) -> None:
        self._path, self._index, self._threads = path, index, threads
        self._stack = ExitStack()
        self._opened: Opened | None = None
        self._key = -1  # where the decoding that is under way began, among the index's keys
        self._packet = -1  # the last that went into the decoder
        self._jumps = True
        self._tainted: list[tuple[int, int]] = []
        self._output = self._judged(-1)

    def pick(self, rows: Iterable[int]) -> Iterator[tuple[int, VideoFrame | None]]:
        """Yield each of these ascending rows with its frame, None where it is missing or damaged."""
        row, frame = -1, None
        with self._stack:
            for wanted in rows:
                if row < wanted and not self._index.is_missing(wanted):
                    row, frame = self._reach(wanted)
                yield wanted, frame if row == wanted else None

    def _reach(self, wanted: int) -> tuple[int, VideoFrame | None]:
        """Return the first frame at or after a row, with its row."""
        start = self._index.start(wanted)
        if self._jumps and start > self._key and self._index.keys[start] > self._packet + _FAR:
            self._output = self._judged(start)
        row, frame = self._next(wanted)
        if start == self._key >= 0 and (row != wanted or frame is None):
            # Not everything that a container calls a key frame makes all earlier ones dispensable; where
            # only the beginning helps, no jump can be trusted.
            for earlier in dict.fromkeys((start - 1, -1)):
                self._output = self._judged(earlier)
                row, frame = self._next(wanted)
                if row == wanted and frame is not None:
                    self._jumps = earlier >= 0
                    break
        return row, frame

    def _next(self, wanted: int) -> tuple[int, VideoFrame | None]:
        return next((one for one in self._output if one[0] >= wanted), (self._index.count, None))

    def _judged(self, key: int) -> Iterator[tuple[int, VideoFrame | None]]:
        """Decode from a key frame on; None for what is damaged or built on something damaged.

        A damaged frame may be stored before others that are shown before it: frames are held back until it
        would have come.
        """
        held: deque[tuple[int, VideoFrame]] = deque()
        for row, frame in self._decode(key):
            if frame.is_corrupt:
                self._tainted.append(self._index.tainted(cast(int, frame.pts)))
            held.append((row, frame))
            if len(held) > self._index.delay:
                yield self._judge(*held.popleft())
        while held:
            yield self._judge(*held.popleft())

    def _judge(self, row: int, frame: VideoFrame) -> tuple[int, VideoFrame | None]:
        tainted = any(first <= cast(int, frame.pts) and row < end for first, end in self._tainted)
        return row, None if tainted else frame

    def _decode(self, key: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from a key frame, -1 for the file's beginning, to the end; yield rows with their frames."""
        index = self._index
        first = index.keys[key] if key >= 0 else 0
        self._key, self._packet, self._tainted = key, first - 1, []
        sent = outputs = place = 0
        for codec, packet in self._packets(first, key):
            frames = decoded(codec, packet)
            sent += packet is not None and index.is_shown(self._packet)
            is_short = packet is None and frames is not None and outputs + len(frames) < sent
            if self._threads != 1 and (frames is None or is_short):
                # of several threads, one that fails takes along what others hold: from here on with one
                self._threads, self._opened = 1, None
                yield from self._decode(max(key, index.safe_key(self._packet - _HELD)))
                return
            if frames is None:
                self._tainted.append(index.tainted(self._packet))
            for frame in frames or ():
                number = cast(int, frame.pts)
                # all that is stored before a key frame comes before it; a frame lost shifts none past it
                place = max(place, number) if frame.key_frame else place
                yield int(index.rows[min(place, len(index.rows) - 1) if index.by_order else number]), frame
                outputs, place = outputs + 1, place + 1

    def _packets(
        self, first: int, key: int
    ) -> Iterator[tuple[VideoCodecContext, Packet[VideoStream] | None]]:
        """Yield packets from one on with the decoder for them, None at the end; the key is its key frame."""
        index = self._index
        container, stream = self._at(key)
        for count, packet in enumerate(packets(container, stream)):
            number = index.numbers.get(cast(int, packet.pos), count) if index.times else count
            if key >= 0 and self._packet < first < number:
                yield from self._packets(first, -1)  # the container led past it
                return
            if number >= first:
                packet.pts = self._packet = number  # comes back with the frame, whatever the decoder's order
                yield stream.codec_context, packet
        yield stream.codec_context, None

    def _at(self, key: int) -> Opened:
        """Return the container, ready to be read from a key frame on."""
        if self._opened is None or key < 0:
            self._stack.close()
            self._opened = self._stack.enter_context(opened(self._path, self._threads))
        container, stream = self._opened
        if key >= 0:
            container.seek(self._index.times[key], stream=stream)
        return container, stream
