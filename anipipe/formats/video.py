"""Recordings: the one reader of videos, and of sequences of pictures, for every stage.

One row per frame, in presentation order. A frame that is missing from a recording of constant rate, or that
is damaged, is a row of its own, whose picture is None, and nothing after it shifts.

After a frame that the decoder reports as damaged, those up to the next key frame are None too: they build on
it, show older pictures in part, and come out differently from one decoding to the next. What no decoder
reports is given as it is: most of all what follows packets that were taken out of a finished file. (A camera
that fails to deliver a frame does no such harm: the encoder has never seen it.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._video_decoding import Decoder, decoded, thread_count
from anipipe.formats._video_index import Index, announced, opened, packets, read_index
from anipipe.formats._video_pictures import Pictures
from anipipe.guards import read_regular

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_LARGEST_STILL = 2**30  # bytes
Picture = tuple[int, NDArray[np.uint8] | None]


@dataclass(frozen=True)
class VideoInfo:
    """What the head of a recording says.

    Attributes
    ----------
    size
        Width and height of the picture as it is seen, pixels; after rotation.
    frames
        Rows: as many as the container announces; counted, where it announces none (MKV, MPEG, raw streams).
        Frames that were never recorded are known to :meth:`Video.count` only.
    rate
        Frames per second; NaN for pictures in files.
    codec, pixel_format
        FFmpeg's names of them.
    rotation
        By how many degrees (0, 90, 180, 270) pictures are turned counterclockwise after decoding.
    """

    size: tuple[int, int]
    frames: int
    rate: float
    codec: str
    pixel_format: str
    rotation: int


class _Rows:
    """What videos and sequences of pictures share: checked ranges of rows."""

    if TYPE_CHECKING:

        @property
        def path(self) -> Path: ...
        def count(self) -> int: ...
        def _pick(self, rows: Sequence[int], grey: bool) -> Iterator[Picture]: ...

    def frames(
        self, *, grey: bool = False, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[Picture]:
        """Yield the frames in presentation order.

        Parameters
        ----------
        grey
            Brightness only. Where it is stored in a plane of its own it is taken from there: much quicker
            than, and mostly within 2 levels of, a conversion from colours (saturated colours differ more).
        start, stop, step
            As in ``range``; none may be negative, and rows past the end are left out.

        Yields
        ------
        The row, and the picture, uint8, (height, width, 3) in the order blue, green, red or (height, width);
        None where the frame is missing or damaged. Colours equal those of ``cv2.VideoCapture``.

        Raises
        ------
        DataError
            The file is missing, empty, no video, cut off before its index, holds only sound, or no frame
            of it can be decoded; or its frames differ in size.
        """
        if start < 0 or (stop or 0) < 0 or step < 1:
            raise ValueError(f"frames {start} to {stop} in steps of {step}: none may be negative")
        end = self.count() if stop is None else min(stop, self.count())
        return self._pick(range(start, end, step), grey)

    def read(self, indices: Iterable[int], *, grey: bool = False) -> Iterator[Picture]:
        """Yield single frames, the same bit for bit as :meth:`frames` does.

        Parameters
        ----------
        indices
            Rows, in any order. Each is given once, in ascending order: what lies between two close ones is
            decoded on the way, what lies between distant ones is jumped over.
        grey
            As in :meth:`frames`.

        Yields
        ------
        As in :meth:`frames`.

        Raises
        ------
        DataError
            As in :meth:`frames`; or there is no such row.
        """
        rows = sorted({int(row) for row in indices})
        count = self.count()
        outside = [row for row in rows if not 0 <= row < count]
        if outside:
            raise DataError(
                f"{self.path}: frame {outside[0]} is wanted, and there are {count} (0 to {count - 1}). "
                "Check that what names the frame belongs to this recording."
            )
        return self._pick(rows, grey)


@dataclass(frozen=True)
class Video(_Rows):
    """A video file; nothing is read before it is needed, and only the path is pickled.

    Rows follow the time stamps, where there are any. At a constant rate a gap of k steps means k - 1 missing
    frames. At a variable rate, and in streams whose stamps do not tell the order of presentation (raw H.264,
    AVI with B-frames), frames are counted as they come. Decoding takes OMP_NUM_THREADS threads, or as many
    as there are cores.

    Parameters
    ----------
    path
        The file.
    threads
        Another number of threads.
    """

    path: Path
    threads: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Video, (self.path, self.threads)

    @cached_property
    def info(self) -> VideoInfo:
        """What the head of the file and its first frame say; raises as :meth:`frames` does."""
        with opened(self.path) as (container, stream):
            promised = announced(container, stream)
            first = self._first(decoded(stream.codec_context, one) for one in packets(container, stream))
            if first is None:
                first = self._first([decoded(stream.codec_context, None)])
            if first is None:
                raise DataError(
                    f"{self.path}: no frame of it can be decoded: it holds none, or all are damaged. "
                    "Copy it anew from where it was recorded, or take it out of the folder."
                )
            mean, nominal = float(stream.average_rate or 0), float(stream.guessed_rate or 0)
            codec = stream.codec_context.name
        rotation = _rotation(first)
        return VideoInfo(
            size=_seen(first, rotation),
            frames=self._index.count if promised is None else len(promised),
            # lost frames lower the mean; a variable rate leaves no nominal one near it
            rate=nominal if mean <= nominal <= 1.25 * mean else mean or nominal,
            codec=codec,
            pixel_format=first.format.name,
            rotation=rotation,
        )

    def check(self) -> None:
        """Make sure that the file can be opened as a video, which takes its index where there is one.

        Raises
        ------
        DataError
            As :meth:`frames` does, save what only decoding tells.
        """
        with opened(self.path):
            pass

    @staticmethod
    def _first(batches: Iterable[list[VideoFrame] | None]) -> VideoFrame | None:
        return next((frame for batch in batches for frame in batch or ()), None)

    @cached_property
    def _index(self) -> Index:
        return read_index(self.path)

    def count(self) -> int:
        """Return the number of rows, exactly, missing and damaged ones included; reads the whole file.

        A file that is cut off behind a readable index (MP4, MOV, AVI) has the rows which that announces.
        """
        return self._index.count

    def timestamps(self) -> NDArray[np.float64]:
        """Return when each frame is shown, in seconds from the first, (frames,); NaN for missing ones.

        Streams without time stamps are given those of their rate.
        """
        return self._index.seconds.copy()

    def _pick(self, rows: Sequence[int], grey: bool) -> Iterator[Picture]:
        info, threads = self.info, thread_count() if self.threads is None else self.threads
        pictures = Pictures(info.rotation, grey, threads)
        for row, frame in Decoder(self.path, self._index, threads).pick(rows):
            if frame is None:
                yield row, None
                continue
            if _seen(frame, info.rotation) != info.size:
                raise DataError(
                    f"{self.path}: frame {row} has {_times(_seen(frame, info.rotation))} pixels, those "
                    f"before it have {_times(info.size)}. Cut the recording where its size changes."
                )
            yield row, pictures(frame)


@dataclass(frozen=True)
class Stills(_Rows):
    """Pictures in files, one per frame, with the interface of :class:`Video`.

    16-bit pictures come down to 8 bits by their upper byte; an orientation noted by the camera is applied.
    A damaged file is a row without a picture. At edges of colour, JPEG files differ from what OpenCV reads.

    Parameters
    ----------
    paths
        The files, in the order of the frames: PNG, JPEG, TIFF, BMP.
    """

    paths: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The folder that the first picture lies in."""
        return self.paths[0].parent if self.paths else Path()

    @cached_property
    def info(self) -> VideoInfo:
        """What the first readable picture says; raises as :meth:`frames` does."""
        first = next((frame for frame in map(_still, self.paths) if frame is not None), None)
        if first is None:
            raise DataError(
                f"{self.path}: none of {len(self.paths)} pictures can be read. Check that they are PNG, "
                "JPEG, TIFF or BMP files, and whole."
            )
        rotation = _rotation(first)
        codec = first.format.name
        return VideoInfo(_seen(first, rotation), len(self.paths), math.nan, "stills", codec, rotation)

    def count(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def _pick(self, rows: Sequence[int], grey: bool) -> Iterator[Picture]:
        size = self.info.size
        turned: dict[int, Pictures] = {}
        for row in rows:
            frame = _still(self.paths[row])
            if frame is None:
                yield row, None
                continue
            rotation = _rotation(frame)
            if _seen(frame, rotation) != size:
                raise DataError(
                    f"{self.paths[row]}: {_times(_seen(frame, rotation))} pixels, where the pictures before "
                    f"it, from {self.paths[0]} on, have {_times(size)}. Pictures of one recording must be of "
                    "one size: take out those of another."
                )
            if rotation not in turned:
                turned[rotation] = Pictures(rotation, grey, thread_count())
            yield row, turned[rotation](frame)


def _still(path: Path) -> VideoFrame | None:
    """Return the picture in a file, None if it is damaged."""
    import av

    try:
        content = read_regular(path, limit=_LARGEST_STILL)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. Check the name, or copy the file there.") from error
    try:
        # not by its name, in which FFmpeg takes % for the number of a picture
        with av.open(BytesIO(content), mode="r") as container:
            return next((frame for frame in container.decode(video=0) if not frame.is_corrupt), None)
    except (av.error.FFmpegError, IndexError):
        return None


def _rotation(frame: VideoFrame) -> int:
    """Return by how many degrees to turn a frame counterclockwise; only whole quarters are turned."""
    return 0 if frame.rotation % 90 else frame.rotation % 360


def _seen(frame: VideoFrame, rotation: int) -> tuple[int, int]:
    """Return the width and height of a frame once it is turned."""
    return (frame.height, frame.width) if rotation % 180 else (frame.width, frame.height)


def _times(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"
