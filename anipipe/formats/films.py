"""Videos that anipipe makes: H.264 in MP4, which browsers, players and OpenCV read.

One frame per picture, at an even pace; yuv420p; a key frame each second, so that players jump quickly; the
index at the head of the file (faststart), so that browsers begin at once. Sizes that are odd are rounded up,
the last row or column of pixels repeated, unless they are to be exact. x264's options: https://trac.ffmpeg.org/wiki/Encode/H.264.
"""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from anipipe.engine.progress import tell
from anipipe.errors import DataError, Notice
from anipipe.formats._video_decoding import thread_count

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Image = NDArray[np.uint8]
T = TypeVar("T")

_END = object()
# FFmpeg notes how long an MP4 plays in these parts of a second; in its own, 1/1000, the last frames of
# high-speed recordings are cut off.
_CONTAINER = {"movflags": "+faststart", "movie_timescale": "90000"}
_AHEAD = 4  # pictures that may wait between two steps of the work
_SLOWEST, _QUICKEST = 1e-5, 1e5  # frames per second that MP4 can note
_BT601 = 6  # FFmpeg's AVCOL_SPC_SMPTE170M: the matrix of OpenCV's conversion
_CHROMA = 224 / 255  # range of what is limited, of that of all
_LIMITED = 1  # FFmpeg's AVCOL_RANGE_MPEG


@dataclass(frozen=True)
class Film:
    """A video that is to be written, and drawn meanwhile.

    Attributes
    ----------
    pictures
        (height, width, 3), blue first; all of one size. Taken once, one after another. None leaves a frame
        out: its instant passes without a picture, which readers of this package take for a missing frame.
    size
        Their width and height.
    count
        How many there are.
    rate
        Frames per second.
    quality
        x264's constant rate factor, 0 to 51.
    preset
        x264's preset.
    remarks
        What the user should know of it; may grow while it is drawn.
    exact
        Keep odd sizes, at the price of a format (yuv444p) that not every browser shows.
    """

    pictures: Iterable[Image | None]
    size: tuple[int, int]
    count: int
    rate: float
    quality: int
    preset: str
    remarks: list[str] = field(default_factory=list)
    exact: bool = False

    @property
    def pixels(self) -> str:
        """FFmpeg's name of how its colours are stored."""
        odd = self.size[0] % 2 or self.size[1] % 2
        return "yuv444p" if odd and self.exact else "yuv420p"


def write_film(film: Film, path: Path) -> None:
    """Write a video; drawing and encoding overlap.

    Parameters
    ----------
    film
    path
        The file, ``.mp4``; replaced if it exists.

    Raises
    ------
    DataError
        There is no picture, it is too large for H.264, or MP4 knows no such rate.
    """
    import av

    if not film.count:
        raise DataError(f"{path.name}: there is no frame to draw")
    if not _SLOWEST <= film.rate <= _QUICKEST:
        raise DataError(
            f"no video plays at {film.rate:g} frames per second (see labeling.output_frame_rate for labelled "
            "videos, converted_video_speed for converted ones)"
        )
    done = 0
    with av.open(str(path), "w", format="mp4", options=_CONTAINER) as container:
        stream = _stream(container, film)
        with closing(ahead(_frames(film))) as frames:
            for frame in frames:
                if frame is not None:
                    frame.pts, frame.time_base = done, stream.codec_context.time_base
                    container.mux(stream.encode(frame))
                done += 1
                tell(done, film.count)
        container.mux(stream.encode(None))
    if done != film.count:
        raise ValueError(f"{done} pictures were drawn for a video of {film.count} frames")
    for text in film.remarks:
        warnings.warn(text, Notice, stacklevel=2)


def check_film(path: Path) -> None:
    """Look whether a video that was written here is whole.

    Raises
    ------
    DataError
        The file ends before its last box does (ISO/IEC 14496-12, 4.2): it was cut short.
    """
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # the length proper follows
                length = int.from_bytes(head[8:16], "big")
            if length < 8:  # 0: up to the end of the file, whichever that is; less: no box at all
                break
            place += length
    if place != size:
        raise DataError(f"{path}: was cut short, or is no MP4 file")


def _stream(container: OutputContainer, film: Film) -> VideoStream:
    import av

    rate = playing_rate(film.rate)
    options = x264_options(film.quality, film.preset)
    stream = container.add_stream("libx264", rate=rate, options=options)
    context = stream.codec_context
    whole = 2 if film.pixels == "yuv420p" else 1
    context.width, context.height = (side + side % whole for side in film.size)
    context.pix_fmt, context.time_base = film.pixels, 1 / rate
    context.gop_size = max(1, int(rate))
    context.colorspace, context.color_range = _BT601, _LIMITED
    context.thread_count = thread_count()
    try:
        context.open()
    except av.error.FFmpegError as error:
        width, height = film.size
        raise DataError(
            f"H.264 cannot encode {width} x {height} pixels at {film.rate:g} frames per second: it ends at "
            "16384 pixels a side"
        ) from error
    return stream


def x264_options(quality: int, preset: str) -> dict[str, str]:
    """Return how x264 is asked to encode.

    Without its mbtree, whose AVX-512 code gives other pictures from run to run: the same frames have to
    become the same video.
    """
    return {"crf": str(quality), "preset": preset, "mbtree": "0"}


def playing_rate(rate: float) -> Fraction:
    """Return frames per second as a fraction that MP4 can note: 29.97 as 30000/1001."""
    exact = Fraction(rate)
    broadcast = Fraction(round(exact * 1001 / 1000) * 1000, 1001)
    if broadcast and abs(broadcast - exact) < exact * Fraction(1, 10**5):
        return broadcast
    return exact.limit_denominator(10**4) if exact > 1 else 1 / (1 / exact).limit_denominator(10**4)


def _frames(film: Film) -> Generator[VideoFrame | None]:
    import av

    iterator = iter(film.pictures)
    try:
        for picture in iterator:
            if picture is None:
                yield None
            elif film.pixels == "yuv420p":
                yield av.VideoFrame.from_ndarray(_planes(picture), format="yuv420p")
            else:
                yield av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=film.pixels)
    finally:
        _close(iterator)


def _close(iterator: Iterator[object]) -> None:
    """End a generator, which may hold files, and threads of its own."""
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


def _planes(picture: Image) -> Image:
    """Return a picture's brightness and colours as yuv420p, (height * 3 / 2, width)."""
    import cv2

    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.asarray(
            cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), dtype=np.uint8
        )
        height, width = picture.shape[:2]
    planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), dtype=np.uint8)
    # OpenCV gives 2 x 2 pixels the colour of one of them: thin lines would lose theirs on every other row.
    half = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(half, cv2.COLOR_BGR2YCrCb)
    for plane, channel in zip(planes[height:].reshape(2, height // 2, width // 2), (2, 1), strict=True):
        scaled = cv2.convertScaleAbs(
            cv2.extractChannel(colours, channel), alpha=_CHROMA, beta=128 * (1 - _CHROMA)
        )
        plane[:] = scaled
    return planes


def ahead(items: Iterable[T], depth: int = _AHEAD) -> Generator[T]:
    """Yield the items of an iterable that a thread of its own works off meanwhile.

    What libraries do outside Python's lock (decoding, drawing, encoding) then happens at the same time.

    Parameters
    ----------
    items
        What to yield; what it raises is raised here.
    depth
        How many items may wait.
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    ending, errors = threading.Event(), list[BaseException]()

    def put(item: Any) -> bool:
        while not ending.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            iterator = iter(items)
            try:
                while put(next(iterator)):
                    pass
            except StopIteration:
                pass
            finally:
                _close(iterator)
        except BaseException as error:
            errors.append(error)
        put(_END)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            yield item
        if errors:
            raise errors[0]
    finally:
        ending.set()
        thread.join()
