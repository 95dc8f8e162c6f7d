from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from anipipe.errors import DataError
from anipipe.formats.video import Stills, Video

from .videos import colourful, opencv, record


@pytest.fixture(autouse=True)
def silent(capfd, monkeypatch):
    """Whatever is wrong with a recording, nothing is printed."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    assert capfd.readouterr() == ("", "")


# pictures


PIXELS = {
    "420": ("libx264", "yuv420p", None),
    "709": ("libx264", "yuv420p", (1, 1)),
    "full": ("libx264", "yuv420p", (2, 2)),
    "709full": ("libx264", "yuv420p", (1, 2)),
    "vp9full": ("libvpx-vp9", "yuv420p", (2, 2)),
    "422": ("libx264", "yuv422p", None),
    "444": ("libx264", "yuv444p", None),
    "ten": ("libx264", "yuv420p10le", None),
    "odd": ("ffv1", "yuv420p", None),
    "jpeg": ("mjpeg", "yuvj420p", (5, 2)),
    "grey": ("ffv1", "gray", None),
    "grey16": ("ffv1", "gray16le", None),
    "rgb": ("libx264rgb", "rgb24", None),
    "bgr0": ("ffv1", "bgr0", None),
    "yuyv": ("rawvideo", "yuyv422", None),
    "nv12": ("rawvideo", "nv12", None),
}


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("name", PIXELS)
def test_colours_equal_opencv(tmp_path, name, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    codec, pixels, colours = PIXELS[name]
    size = (161, 121) if name in ("odd", "grey", "grey16") else (162, 122)
    path = record(
        tmp_path / f"{name}.mkv", 8, codec=codec, pixels=pixels, size=size, paint=colourful, colours=colours
    )
    pictures = np.array([picture for _, picture in Video(path).frames()])
    assert pictures.dtype == np.uint8
    expected = opencv(path)
    assert pictures.shape == expected.shape == (8, *size[::-1], 3)
    assert np.abs(pictures.astype(int) - expected).max() <= 1
    greys = np.array([picture for _, picture in Video(path).frames(grey=True)])
    turned = np.array([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in expected]).astype(int)
    assert greys.shape == turned.shape
    if "709" not in name:  # OpenCV weighs these colours as if they were older television's
        assert np.abs(greys - turned).mean() < 2


@pytest.mark.parametrize("colours", [(2, 1), (2, 2)])
def test_grey_of_grey_scenes(tmp_path, colours):
    path = record(tmp_path / "g.mp4", 5, colours=colours)
    for (_, grey), picture in zip(Video(path).frames(grey=True), opencv(path), strict=True):
        assert np.abs(grey.astype(int) - cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)).max() <= 2


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_as_in_opencv(tmp_path, rotation):
    path = record(tmp_path / "r.mp4", 4, rotation=rotation, paint=colourful)
    video, expected = Video(path), opencv(path)
    assert video.info.rotation == rotation
    assert video.info.size == expected.shape[2:0:-1] == ((64, 128) if rotation % 180 else (128, 64))
    np.testing.assert_array_equal([picture for _, picture in video.frames()], expected)
    assert next(video.frames(grey=True))[1].shape == expected.shape[1:3]


def test_upside_down_storage(tmp_path):
    path = record(tmp_path / "u.avi", 5, codec="rawvideo", pixels="bgr24", paint=colourful)
    content = bytearray(path.read_bytes())
    at = content.index(b"strf") + 16
    height = int.from_bytes(content[at : at + 4], "little", signed=True)
    content[at : at + 4] = (-height).to_bytes(4, "little", signed=True)
    turned = tmp_path / "turned.avi"
    turned.write_bytes(content)
    # not against OpenCV: version 5 reads beyond its memory on such files
    for (_, one), (row, other) in zip(Video(path).frames(), Video(turned).frames(), strict=True):
        np.testing.assert_array_equal(one, colourful(row, one.shape[1::-1]))
        np.testing.assert_array_equal(other, one[::-1])


@pytest.mark.parametrize(("codec", "pixels"), [("rawvideo", "bgr24"), ("libx264", "yuvj420p")])
def test_pictures_are_the_callers_own(tmp_path, codec, pixels, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = {"bf": "0"} if codec == "libx264" else None
    name = "w.mp4" if options else "w.avi"
    video = Video(record(tmp_path / name, 30, codec=codec, pixels=pixels, options=options))
    for grey in (False, True):
        untouched = [picture.copy() for _, picture in video.frames(grey=grey)]
        for (_, picture), expected in zip(video.frames(grey=grey), untouched, strict=True):
            np.testing.assert_array_equal(picture, expected)
            assert picture.flags.c_contiguous
            picture[:] = 0


# pictures in files


def write_stills(folder, suffix, depth=np.uint8, count=4):
    paths = []
    for number in range(count):
        image = colourful(number, (61, 41))
        paths.append(folder / f"100% {number}{suffix}")
        scaled = image.astype(depth) * (257 if depth == np.uint16 else 1)
        paths[-1].write_bytes(cv2.imencode(suffix, scaled)[1].tobytes())
    return tuple(paths)


@pytest.mark.parametrize(
    ("suffix", "depth"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".bmp", np.uint8)]
)
def test_stills(folder, suffix, depth):
    stills = Stills(write_stills(folder, suffix, depth))
    assert (stills.count(), stills.info.frames, stills.info.size) == (4, 4, (61, 41))
    for row, picture in stills.frames():
        expected = colourful(row, (61, 41))
        assert np.abs(picture.astype(int) - expected).max() <= 1
    (_, grey), (row, _) = stills.read([3, 1], grey=True)
    assert row == 3
    expected = cv2.cvtColor(colourful(1, (61, 41)), cv2.COLOR_BGR2GRAY)
    assert np.abs(grey.astype(int) - expected).max() <= 1
    assert pickle.loads(pickle.dumps(stills)) == stills


def test_stills_of_jpeg_are_close_to_opencv(tmp_path):
    image = cv2.GaussianBlur(colourful(3, (320, 240)), (0, 0), 9)
    path = tmp_path / "still.jpg"
    path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    ((_, picture),) = Stills((path,)).frames()
    assert np.abs(picture.astype(int) - cv2.imread(str(path))).mean() < 1.5


def test_stills_that_are_damaged_missing_or_differ(tmp_path):
    paths = write_stills(tmp_path, ".png")
    paths[1].write_bytes(paths[1].read_bytes()[:40])
    paths[2].touch()
    paths[2].write_bytes(b"")
    assert [picture is None for _, picture in Stills(paths).frames()] == [False, True, True, False]
    with pytest.raises(DataError, match="none of 2 pictures can be read"):
        list(Stills(paths[1:3]).frames())
    with pytest.raises(DataError, match="there are 4"):
        Stills(paths).read([4])
    other = tmp_path / "other.png"
    other.write_bytes(cv2.imencode(".png", np.zeros((9, 8), dtype=np.uint8))[1].tobytes())
    with pytest.raises(DataError, match=r"8 x 9 pixels, where .* 61 x 41") as raised:
        list(Stills((paths[0], other)).frames())
    assert str(other) in str(raised.value)
    assert str(paths[0]) in str(raised.value)
    with pytest.raises(DataError, match="no such file"):
        list(Stills((paths[0], tmp_path / "absent.png")).frames())
