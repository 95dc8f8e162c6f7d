from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from anipipe.formats import _video_decoding
from anipipe.formats._video_index import place
from anipipe.formats.video import Video

from .videos import INTRA, REORDERED, number_in, numbers, opencv, record


@pytest.fixture(autouse=True)
def silent(capfd, monkeypatch):
    """Whatever is wrong with a recording, nothing is printed."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    assert capfd.readouterr() == ("", "")


# rows


CONTAINERS = {
    "h264.mp4": {"options": REORDERED},
    "h264.mov": {"options": REORDERED},
    "h264.mkv": {"options": REORDERED},
    "h264.avi": {"options": REORDERED},
    "raw.h264": {"options": REORDERED},
    "open.mp4": {"options": {"x264-params": REORDERED["x264-params"] + ":open-gop=1"}},
    "refresh.mp4": {"options": {"x264-params": "keyint=20:scenecut=0:intra-refresh=1"}},
    "h265.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=20:bframes=3:log-level=none"}},
    "intra.mp4": {"options": INTRA},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "plain.avi": {"codec": "mpeg4"},
    "jpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "raw.mjpeg": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "sound.mp4": {"options": REORDERED, "sound": True},
    "sound.mkv": {"options": REORDERED, "sound": True},
    "late.mp4": {"options": REORDERED, "times": range(50, 140)},
    "ffv1.mkv": {"codec": "ffv1", "size": (127, 63)},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_rows_of_whole_recordings(folder, name):
    path = record(folder / name, **CONTAINERS[name])
    video = Video(path)
    assert video.info.frames == video.count() == 90
    assert video.info.size == CONTAINERS[name].get("size", (128, 64))
    assert numbers(video) == list(range(90))
    rate = 25 if name == "raw.mjpeg" else 30
    assert video.info.rate == rate
    np.testing.assert_allclose(video.timestamps(), np.arange(90) / rate, atol=1e-3)


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_random_access_equals_sequential(folder, name, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    video = Video(record(folder / name, **CONTAINERS[name]))
    whole = [picture.copy() for _, picture in video.frames()]
    rng = np.random.default_rng(0)
    for count in (1, 1, 1, 2, 5, 30):
        wanted = rng.choice(90, count, replace=False).tolist()
        read = dict(video.read([*wanted, wanted[0]]))
        assert list(read) == sorted(wanted)
        assert all(np.array_equal(picture, whole[row]) for row, picture in read.items())
    every = dict(video.frames(start=7, stop=1000, step=13))
    assert list(every) == list(range(7, 90, 13))
    assert all(np.array_equal(picture, whole[row]) for row, picture in every.items())
    assert list(video.frames(start=5, stop=5)) == list(video.frames(start=500)) == []


@pytest.mark.parametrize("extra", ["", ":open-gop=1"])
def test_seeking_decodes_little(tmp_path, extra, monkeypatch):
    options = {"x264-params": REORDERED["x264-params"] + extra}
    video = Video(record(tmp_path / "long.mp4", 250, options=options))
    assert video.info.size == (128, 64)
    fed, decoded = [], _video_decoding.decoded
    monkeypatch.setattr(_video_decoding, "decoded", lambda *what: fed.append(what) or decoded(*what))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert [(row, number_in(picture)) for row, picture in video.read([199, 30, 200, 31])] == [
        (row, row) for row in (30, 31, 199, 200)
    ]
    assert len(fed) < 60


@pytest.mark.parametrize(
    ("name", "options"), [("a.mp4", INTRA), ("a.mkv", INTRA), ("b.mp4", REORDERED), ("b.mkv", REORDERED)]
)
def test_lost_packets_are_empty_rows(tmp_path, name, options):
    lost = (26, 41, 42)  # with REORDERED these are B-frames, on which none builds
    video = Video(record(tmp_path / name, options=options, lost=lost))
    assert video.count() == 90
    assert numbers(video) == [None if row in lost else row for row in range(90)]
    assert [number_in(picture) for _, picture in video.read([43, 26, 27])] == [None, 27, 43]
    assert np.flatnonzero(np.isnan(video.timestamps())).tolist() == list(lost)
    assert video.timestamps()[-1] == pytest.approx(89 / 30, abs=1e-3)
    assert video.info.rate == 30


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_frames_that_were_never_recorded(tmp_path, name):
    times = [*range(40), *range(43, 93)]
    video = Video(record(tmp_path / name, codec="mpeg4", times=times))
    assert numbers(video) == [times.index(row) if row in times else None for row in range(93)]


def test_variable_rate_goes_by_order(tmp_path):
    times = np.cumsum(np.random.default_rng(0).integers(20, 70, 90)).tolist()
    video = Video(record(tmp_path / "v.mkv", options=REORDERED, times=times, clock=Fraction(1, 1000)))
    assert numbers(video) == list(range(90))
    np.testing.assert_allclose(video.timestamps(), (np.array(times) - times[0]) / 1000, atol=1e-3)


@pytest.mark.parametrize("rate", [29.97, 60, 144, 240, 399])
def test_gaps_on_a_coarse_clock(rate):
    rows = np.delete(np.arange(5000), [70, 71, 72, 1500, 4000])
    places, step = place(np.floor(rows * 1000 / rate).astype(np.int64))
    np.testing.assert_array_equal(places, rows)
    assert step == pytest.approx(1000 / rate, rel=1e-3)


@pytest.mark.parametrize(
    "stamps",
    [
        np.arange(100) ** 2,  # no rate
        np.repeat(np.arange(50), 2),  # twice the same
        np.cumsum(np.where(np.arange(100) % 3, 10, 20)),  # two rates in turn
        np.r_[0:100, 10**9],  # a jump of the clock
        np.r_[0:1000:10, 1005:2005:10],  # half a step
        np.array([], dtype=np.int64),
        np.array([7]),
    ],
)
def test_stamps_that_are_no_rate_are_counted(stamps):
    places, step = place(stamps)
    assert step is None
    np.testing.assert_array_equal(places, np.arange(len(stamps)))


def test_edit_list_hides_frames_as_in_opencv(tmp_path):
    path = record(
        tmp_path / "e.mp4",
        options=REORDERED,
        times=range(-7, 83),
        container={"avoid_negative_ts": "disabled"},
    )
    video = Video(path)
    assert video.info.frames == video.count() == 83
    assert numbers(video) == list(range(7, 90)) == [number_in(frame) for frame in opencv(path)]
    assert [number_in(picture) for _, picture in video.read([0, 60])] == [7, 67]
