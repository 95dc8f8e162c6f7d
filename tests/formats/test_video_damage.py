from __future__ import annotations

import pickle
import subprocess
import sys

import av
import numpy as np
import pytest

from anipipe.errors import DataError
from anipipe.formats.video import Video

from .videos import INTRA, REORDERED, cut, number_in, numbers, record


@pytest.fixture(autouse=True)
def silent(capfd, monkeypatch):
    """Whatever is wrong with a recording, nothing is printed."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    assert capfd.readouterr() == ("", "")


# damage


def same(one, two):
    return one is two is None or (one is not None and two is not None and np.array_equal(one, two))


@pytest.mark.parametrize("name", ["j.avi", "j.mkv", "j.mov"])
def test_damaged_pictures_are_empty_rows(tmp_path, name):
    video = Video(record(tmp_path / name, codec="mjpeg", pixels="yuvj420p", hurt=(7, 33, 89)))
    assert numbers(video) == [None if row in (7, 33, 89) else row for row in range(90)]
    assert np.isfinite(video.timestamps()).all()


@pytest.mark.parametrize(("kept", "torn"), [(0.5, False), (0.5, True), (0, False)])
@pytest.mark.parametrize("name", ["d.mp4", "d.mkv", "d.avi"])
def test_damage_spoils_frames_up_to_the_next_key_frame(tmp_path, name, kept, torn, monkeypatch):
    path = record(tmp_path / name, options=REORDERED, hurt=(24, 60), kept=kept, torn=torn)
    seen = {}
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        seen[threads] = [picture for _, picture in Video(path).frames()]
        assert all(map(same, seen["1"], seen[threads]))
        for row in (22, 24, 30, 45, 60, 79, 80):
            ((_, alone),) = Video(path).read([row])
            assert same(alone, seen["1"][row])
    empty = [row for row in range(90) if seen["1"][row] is None]
    if kept:
        assert set(empty) >= {*range(24, 40), *range(60, 80)}
        assert set(empty) <= {*range(21, 40), *range(60, 80)}
    shown = [*range(21), *range(40, 60), *range(80, 90)]
    assert [number_in(seen["1"][row]) for row in shown] == shown


@pytest.mark.parametrize(
    ("name", "moved"), [("c.mp4", {"movflags": "faststart"}), ("c.avi", {}), ("c.mkv", {})]
)
@pytest.mark.parametrize("threads", ["1", "4"])
def test_cut_off_files(tmp_path, name, moved, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    path = cut(record(tmp_path / name, options=REORDERED, container=moved, lost=(26,)), 0.6)
    video = Video(path)
    shown = numbers(video)
    readable = [row for row, number in enumerate(shown) if number is not None]
    assert 40 < len(readable) < 60
    assert all(shown[row] == row or (name == "c.avi" and row >= 25) for row in readable)
    assert shown[: readable[-1] + 1].count(None) <= 2
    if name == "c.mkv":
        assert video.count() == readable[-1] + 1  # its header promises nothing
    else:
        assert video.count() == 90
        assert np.isnan(video.timestamps()[readable[-1] + 6 :]).all()
        assert dict(video.read([85])) == {85: None}


def test_frames_after_one_that_the_decoder_refuses(tmp_path):
    options = {"deadline": "realtime", "cpu-used": "8", "g": "20", "keyint_min": "20"}
    video = Video(record(tmp_path / "v.mkv", codec="libvpx-vp9", options=options, hurt=(24,), kept=0))
    assert numbers(video) == [None if 24 <= row < 40 else row for row in range(90)]


@pytest.mark.parametrize("share", [0.35, 0.5, 0.65, 0.8, 0.95])
def test_the_end_of_a_cut_off_file_is_the_same_whatever_the_threads(tmp_path, share, monkeypatch):
    options = {"x264-params": "b-adapt=0:bframes=3:keyint=200:scenecut=0"}
    path = cut(record(tmp_path / "c.mp4", options=options, container={"movflags": "faststart"}), share)
    seen = {}
    for threads in "1234":
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        seen[threads] = [picture for _, picture in Video(path).frames()]
        assert all(map(same, seen["1"], seen[threads]))


def test_chunk_that_an_avi_has_lost(tmp_path):
    path = record(tmp_path / "h.avi", codec="mjpeg", pixels="yuvj420p")
    content = bytearray(path.read_bytes())
    at = -1
    for _ in range(31):
        at = content.index(b"00dc", at + 1)
    content[at : at + 100] = bytes(100)
    path.write_bytes(content)
    shown = numbers(Video(path))
    assert shown.count(None) == 1
    assert all(number in (None, row) for row, number in enumerate(shown))


def test_search_that_leads_astray(tmp_path):
    video = Video(record(tmp_path / "v.mp4", options=REORDERED))
    index = video._index
    index.times[:] = [index.times[-1]] * len(index.times)
    assert [(row, number_in(picture)) for row, picture in video.read([30, 50, 70])] == [
        (row, row) for row in (30, 50, 70)
    ]


def test_hole_in_a_file(tmp_path):
    path = record(tmp_path / "h.mkv", options=INTRA)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    shown = numbers(Video(path))
    assert len(shown) == 90
    assert all(number in (None, row) for row, number in enumerate(shown))
    assert 1 <= shown.count(None) < 20


# files that are none


def message(path, read=lambda video: video.info):
    with pytest.raises(DataError) as raised:
        read(Video(path))
    assert str(raised.value).startswith(str(path))
    with pytest.raises(DataError):
        list(Video(path).frames())
    return str(raised.value)


def test_files_that_are_no_videos(folder):
    assert "no such file" in message(folder / "absent.mp4")
    assert "is a folder" in message(folder)
    (folder / "empty.mp4").touch()
    assert "empty (0 bytes)" in message(folder / "empty.mp4")
    (folder / "text.mp4").write_text("frames\n" * 500)
    assert "not a video" in message(folder / "text.mp4")
    whole = record(folder / "whole.mp4")
    assert "(moov)" in message(cut(whole, 0.6))
    with av.open(str(folder / "sound.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), dtype=np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    assert "only sound" in message(folder / "sound.mp4")
    hurt = record(folder / "hurt.avi", 5, codec="mjpeg", pixels="yuvj420p", hurt=range(5))
    assert "no frame of it can be decoded" in message(hurt)
    assert Video(hurt).count() == 5
    for name, fault in [
        ("none.mp4", "neither pictures nor sound"),
        ("none.avi", "no frame of it can be decoded"),
        ("none.mkv", "damaged at its start"),
    ]:
        with av.open(str(folder / name), "w") as output:
            stream = output.add_stream("mpeg4", rate=30)
            stream.width, stream.height = 64, 48
            output.start_encoding()
        assert fault in message(folder / name)
    assert Video(folder / "none.avi").count() == 0


@pytest.mark.parametrize("name", ["w.mp4", "w.mov", "w.mkv", "w.avi", "w.mpg"])
def test_every_cut_is_refused_or_read(tmp_path, name):
    codec = {"codec": "mpeg2video"} if name == "w.mpg" else {"options": INTRA}
    moved = {"movflags": "faststart"} if name in ("w.mp4", "w.mov") else {}
    path = record(tmp_path / name, 20, container=moved, **codec)
    for share in np.linspace(0.01, 0.99, 40):
        shorter = cut(path, share)
        try:
            shown = numbers(Video(shorter))
        except DataError as error:
            assert str(shorter) in str(error)
        else:
            assert len(shown) == 20 or name in ("w.mkv", "w.mpg")
            assert all(number in (None, row) for row, number in enumerate(shown))


def test_rows_that_do_not_exist(tmp_path):
    video = Video(record(tmp_path / "v.mp4", 10))
    for row in (-1, 10):
        with pytest.raises(DataError, match=rf"frame {row} is wanted, and there are 10"):
            video.read([3, row])
    with pytest.raises(ValueError, match="negative"):
        video.frames(start=-1)


def test_size_that_changes(tmp_path):
    one = record(tmp_path / "one.h264", 10, options=INTRA).read_bytes()
    two = record(tmp_path / "two.h264", 10, options=INTRA, size=(192, 96)).read_bytes()
    (tmp_path / "both.h264").write_bytes(one + two)
    with pytest.raises(DataError, match="frame 10 has 192 x 96 pixels, those before it have 128 x 64"):
        list(Video(tmp_path / "both.h264").frames())


def test_only_the_path_is_pickled(tmp_path):
    video = Video(tmp_path / "absent.mp4")  # not opened before it is needed
    assert pickle.loads(pickle.dumps(video)) == video
    video = Video(record(tmp_path / "v.mp4", 50))
    assert video.count() == 50
    assert len(pickle.dumps(video)) < 500


def test_importing_loads_no_decoder():
    code = "import sys, anipipe.formats.video; print({'av', 'cv2'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_memory_stays_flat(tmp_path):
    resource = pytest.importorskip("resource")
    video = Video(record(tmp_path / "m.mp4", 120, size=(640, 480)))
    frames = video.frames()
    for row, _ in frames:
        if row == 40:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 40 * 640 * 480 * 3
