"""Videos that are written: as many frames, as quick, as large and as coloured as asked; others read them."""

from __future__ import annotations

import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from anipipe.errors import DataError, Notice
from anipipe.formats.films import Film, ahead, playing_rate, write_film
from anipipe.formats.video import Video
from tests.formats.videos import colourful, number_in, opencv, picture_of

SIZE = (64, 48)
COLOURS = {  # blue, green, red
    "red": (0, 0, 255),
    "green": (0, 160, 0),
    "blue": (255, 40, 20),
    "orange": (30, 140, 250),
    "white": (255, 255, 255),
    "grey": (90, 90, 90),
}


def coloured(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Six patches of one colour each, side by side."""
    patches = np.array(list(COLOURS.values()), np.uint8)[np.arange(size[0]) * len(COLOURS) // size[0]]
    return np.repeat(patches[None], size[1], axis=0)


def numbered(count: int, size: tuple[int, int] = (128, 64)) -> Iterator[np.ndarray]:
    return (np.repeat(picture_of(number, size)[..., None], 3, axis=2) for number in range(count))


def film(
    count: int = 10, *, size: tuple[int, int] = SIZE, rate: float = 30.0, pictures=None, quality: int = 10
) -> Film:
    pictures = (colourful(number % 12, size) for number in range(count)) if pictures is None else pictures
    return Film(pictures, size, count, rate, quality, "veryfast")


def written(path: Path, **options) -> Path:
    write_film(film(**options), path)
    return path


def boxes(path: Path) -> list[str]:
    """The names of an MP4's outermost parts, in order."""
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        found.append(content[at + 4 : at + 8].decode())
        at += int.from_bytes(content[at : at + 4])
    return found


def test_frames_come_out_as_they_went_in_and_in_order(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", count=40, size=(128, 64), pictures=numbered(40))
    video = Video(path)
    assert video.count() == 40 == len(opencv(path))
    assert [number_in(picture) for _, picture in video.frames()] == list(range(40))
    info = video.info
    assert (info.size, info.codec, info.pixel_format, info.rotation) == ((128, 64), "h264", "yuv420p", 0)
    assert boxes(path).index("moov") < boxes(path).index("mdat")


@pytest.mark.parametrize(
    ("rate", "exact"),
    [
        (29.97, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94005994005994, Fraction(60000, 1001)),
        (30.0, Fraction(30)),
        (30.0003, Fraction(300003, 10000)),
        (7.5, Fraction(15, 2)),
        (1 / 60, Fraction(1, 60)),
        (1000.0, Fraction(1000)),
        (349.98, Fraction(17499, 50)),
    ],
)
def test_the_pace_is_exact_and_players_can_jump_each_second(
    tmp_path: Path, rate: float, exact: Fraction
) -> None:
    assert playing_rate(rate) == exact
    still = (coloured() for _ in range(61))  # nothing moves: without being asked x264 makes one key frame
    with av.open(str(written(tmp_path / "a.mp4", count=61, rate=rate, pictures=still))) as container:
        stream = container.streams.video[0]
        assert abs(stream.average_rate - exact) < exact / 10**5 and stream.frames == 61
        assert abs(stream.duration * stream.time_base - 61 / exact) < 1e-3 / exact
        packets = [packet for packet in container.demux(stream) if packet.dts is not None]
        stamps = sorted(packet.pts * packet.time_base for packet in packets)
        assert np.abs(np.diff([float(stamp) for stamp in stamps]) * rate - 1).max() < 1e-3
        keys = sorted(packet.pts * packet.time_base for packet in packets if packet.is_keyframe)
    ends = [*keys, stamps[-1]]
    longest = max(float(later - sooner) for sooner, later in pairwise(ends))
    assert longest <= max(1.0, 1 / rate) + 1e-6


@pytest.mark.parametrize("rate", [1 / 86400, 1 / 30000, 2400.0, 4999.0, 20000.0])
def test_very_slow_and_quick_ones_keep_their_pace_and_frames(tmp_path: Path, rate: float) -> None:
    path = written(tmp_path / "a.mp4", count=13, rate=rate)
    assert abs(Video(path).info.rate / rate - 1) < 1e-4
    assert len(opencv(path)) == 13 and all(picture is not None for _, picture in Video(path).frames())


@pytest.mark.parametrize("rate", [1e-6, 1e6])
def test_paces_out_of_all_reason_are_refused_in_words(tmp_path: Path, rate: float) -> None:
    with pytest.raises(DataError, match=re.escape(f"{rate:g} frames per second")):
        written(tmp_path / "a.mp4", count=3, rate=rate)
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("size", [(65, 49), (64, 49), (65, 48), (1, 1), (3, 200)])
def test_odd_sizes_grow_by_their_own_border(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 2, (size[1], 1, 1)) * 150 + rng.integers(0, 2, (1, size[0], 1)) * 100
    picture = np.repeat(rough, 3, axis=2).astype(np.uint8)
    path = written(tmp_path / "a.mp4", count=2, size=size, pictures=iter([picture] * 2), quality=1)
    whole = opencv(path)[0]
    grown = (size[1] + size[1] % 2, size[0] + size[0] % 2)
    assert whole.shape[:2] == grown and Video(path).info.size == grown[::-1]
    rows, columns = (np.minimum(np.arange(new), old - 1) for new, old in zip(grown, size[::-1], strict=True))
    assert np.abs(whole.astype(int) - picture[rows][:, columns]).max() < 12


def test_colours_are_those_drawn_for_anipipe_and_opencv_alike(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", count=3, pictures=iter([coloured((96, 32))] * 3), size=(96, 32))
    for picture in (opencv(path)[1], list(Video(path).frames())[1][1]):
        for place, colour in enumerate(COLOURS.values()):
            patch = picture[8:24, 16 * place + 5 : 16 * place + 11].reshape(-1, 3)
            assert np.abs(patch.astype(int) - colour).max() <= 6, colour


def test_a_thin_line_has_its_colour_wherever_it_runs(tmp_path: Path) -> None:
    """Colours are stored for blocks of 2 x 2 pixels: they are those of all four, not of one among them."""
    seen = []
    for shift in range(2):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, 20 + shift] = picture[20 + shift] = (0, 0, 255)
        path = written(tmp_path / "a.mp4", count=2, pictures=iter([picture] * 2), quality=1)
        shown = opencv(path)[0].astype(int)
        red = shown[..., 2] - shown[..., :2].mean(axis=-1)
        seen.append((red[:12, 18:24].sum(axis=1).mean(), red[18:24, 40:].sum(axis=0).mean()))
    even, odd = np.array(seen)
    assert (np.minimum(even, odd) > 0.6 * np.maximum(even, odd)).all()


@pytest.mark.parametrize("size", [(64, 48), (96, 64), (128, 64), (480, 360)])
def test_the_same_pictures_make_the_same_file(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    noise = [
        cv2.GaussianBlur(rng.integers(0, 255, (size[1], size[0], 3), np.uint8), (0, 0), 3) for _ in range(25)
    ]
    one, *others = (
        written(tmp_path / f"{n}.mp4", count=25, size=size, pictures=iter(noise)).read_bytes()
        for n in range(4)
    )
    assert all(other == one for other in others)


def test_less_quality_makes_smaller_files(tmp_path: Path) -> None:
    fine = written(tmp_path / "a.mp4", count=25, size=(128, 64))
    coarse = written(tmp_path / "b.mp4", count=25, size=(128, 64), quality=40)
    assert coarse.stat().st_size < fine.stat().st_size / 2


def test_what_is_to_be_known_is_told_once_it_is_drawn(tmp_path: Path) -> None:
    made = film(3)

    def pictures() -> Iterator[np.ndarray]:
        yield from (coloured() for _ in range(3))
        made.remarks.append("seen on the way")

    object.__setattr__(made, "pictures", pictures())
    with pytest.warns(Notice, match="seen on the way"):
        write_film(made, tmp_path / "a.mp4")


def test_one_frame_is_a_video_too_and_none_is_not(tmp_path: Path) -> None:
    path = written(tmp_path / "one.mp4", count=1)
    assert Video(path).count() == 1 == len(opencv(path))
    with pytest.raises(DataError, match=r"none\.mp4: there is no frame"):
        written(tmp_path / "none.mp4", count=0)
    assert not (tmp_path / "none.mp4").exists()


@pytest.mark.parametrize("drawn", [3, 5])
def test_more_or_fewer_pictures_than_promised_are_an_error(tmp_path: Path, drawn: int) -> None:
    with pytest.raises(ValueError, match=f"{drawn} pictures were drawn for a video of 4 frames"):
        written(tmp_path / "a.mp4", count=4, pictures=(coloured() for _ in range(drawn)))


def test_what_h264_cannot_hold_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"H\.264 cannot encode 20000 x 16 pixels"):
        written(tmp_path / "a.mp4", count=2, size=(20000, 16))


def fails_at(frame: int, *, ended: list[str]) -> Iterator[np.ndarray]:
    """Pictures of which one cannot be drawn; their own source is a thread as well."""
    try:
        for number, picture in enumerate(ahead(coloured() for _ in range(1000))):
            if number == frame:
                raise DataError("a picture that cannot be drawn")
            yield picture
    finally:
        ended.append("ended")


def test_a_picture_that_cannot_be_drawn_ends_it_all(tmp_path: Path) -> None:
    before, ended = threading.active_count(), list[str]()
    with pytest.raises(DataError, match="cannot be drawn"):
        written(tmp_path / "a.mp4", count=1000, pictures=fails_at(7, ended=ended))
    assert ended == ["ended"] and threading.active_count() == before


def test_an_encoder_that_fails_ends_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, while the error with all that it holds is still at hand."""
    calls, ended = [], list[str]()
    whole = av.VideoFrame.from_ndarray

    def failing(*arguments, **options):
        calls.append(1)
        if len(calls) == 5:
            raise OSError("no space left")
        return whole(*arguments, **options)

    made = film(1000, pictures=fails_at(10**6, ended=ended))
    before = threading.active_count()
    monkeypatch.setattr(av.VideoFrame, "from_ndarray", failing, raising=True)
    with pytest.raises(OSError, match="no space left"):
        write_film(made, tmp_path / "a.mp4")
    assert ended == ["ended"] and threading.active_count() == before


def test_many_videos_leave_no_threads_and_no_memory(tmp_path: Path) -> None:
    before = threading.active_count()
    large = (640, 480)

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096 / 2**20

    picture = np.zeros((480, 640, 3), np.uint8)

    def once(count: int) -> None:
        pictures = (picture.copy() for _ in range(count))
        write_film(film(count, size=large, pictures=pictures, quality=40), tmp_path / "a.mp4")

    once(40)
    used = resident() if sys.platform == "linux" else 0.0
    once(240)  # frames of 200 and more MB
    assert threading.active_count() == before
    if sys.platform == "linux":
        assert resident() - used < 60


# ---- ahead


def test_items_come_in_order_and_errors_after_those_before_them() -> None:
    assert list(ahead(range(500), 3)) == list(range(500))
    assert list(ahead([])) == []
    seen = []

    def failing() -> Iterator[int]:
        yield from range(6)
        raise KeyError("seventh")

    with pytest.raises(KeyError, match="seventh"):
        for item in ahead(failing(), 2):
            seen.append(item)
    assert seen == list(range(6))


def test_an_iterable_that_cannot_begin_is_an_error_and_no_wait() -> None:
    class Broken:
        def __iter__(self):
            raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        list(ahead(Broken()))


def test_a_source_that_cannot_be_closed_is_an_error_and_no_wait() -> None:
    class Odd:
        def __init__(self) -> None:
            self.left = 3

        def __iter__(self):
            return self

        def __next__(self) -> int:
            self.left -= 1
            if self.left < 0:
                raise StopIteration
            return self.left

        def close(self) -> None:
            raise OSError("cannot close")

    with pytest.raises(OSError, match="cannot close"):
        list(ahead(Odd()))


def test_it_works_ahead_but_not_further_than_asked() -> None:
    done = []

    def source() -> Iterator[int]:
        for item in range(100):
            done.append(item)
            yield item

    items = ahead(source(), 4)
    assert next(items) == 0
    deadline = time.monotonic() + 5
    while len(done) < 6 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert len(done) == 6  # the one that was taken, four that wait, one in hand
    items.close()


def test_who_stops_early_ends_the_thread_and_the_source() -> None:
    before, closed = threading.active_count(), []

    def source() -> Iterator[int]:
        try:
            yield from range(10**6)
        finally:
            closed.append(threading.current_thread())

    items = ahead(source())
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    items.close()
    assert threading.active_count() == before
    assert len(closed) == 1 and closed[0] is not threading.main_thread()


def test_nothing_is_begun_before_the_first_item_is_asked_for() -> None:
    before = threading.active_count()
    items = ahead(iter([1]))
    assert threading.active_count() == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        items.close()
