"""draw-board: pictures that are detected, and pages of the true size."""

from __future__ import annotations

import re
import struct
import zlib

import cv2
import numpy as np
import pytest

from anipipe.commands.draw_board import describe, draw
from anipipe.errors import UsageError
from anipipe.numerics.boards.detection import detect_board
from anipipe.numerics.boards.geometry import make_board

BOARDS = {
    "charuco": make_board("charuco", (7, 6), square=12, marker=9, dictionary="DICT_4X4_50"),
    "legacy": make_board("charuco", (7, 6), square=12, marker=9, dictionary="DICT_4X4_50", legacy=True),
    "aruco": make_board("aruco", (5, 4), marker=12, separation=3, dictionary="DICT_APRILTAG_36h11"),
    "checkerboard": make_board("checkerboard", (6, 5), square=10),
}


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("name", BOARDS)
def test_picture_is_detected_where_it_was_drawn(tmp_path, name, inverted):
    board, path = BOARDS[name], tmp_path / "deep" / "board.png"
    message = draw(board, path, inverted=inverted, dpi=254)
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert message.startswith(f"{path}: {picture.shape[1]} x {picture.shape[0]} pixels")
    found = detect_board([(0, picture)], board, inverted=inverted)
    assert found.count == len(board.points)
    # 10 pixels a mm; the board's edge is that of a pixel, half a pixel from its centre.
    left, top = board.bounds[:2]
    margin = board.square / 2 if board.square else board.separation
    truth = (board.points[:, :2] - [left, top] + margin) * 10 - 0.5
    assert np.abs(found.sightings[0].corners - truth).max() < 0.1
    if name in ("charuco", "legacy"):
        assert found.legacy is (name == "legacy")


def chunks(data: bytes) -> dict[bytes, bytes]:
    at, found = 8, {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + body)
        found[name] = body
        at += 12 + length
    return found


def test_picture_knows_its_resolution(tmp_path):
    path = tmp_path / "board.png"
    message = draw(BOARDS["charuco"], path, dpi=254)
    assert struct.unpack(">IIB", chunks(path.read_bytes())[b"pHYs"]) == (10000, 10000, 1)
    assert "96.0 x 84.0 mm at 254 dpi" in message
    before = path.read_bytes()
    draw(BOARDS["charuco"], path, dpi=254)
    assert path.read_bytes() == before


def test_picture_in_units_of_unknown_size(tmp_path):
    path = tmp_path / "board.png"
    message = draw(BOARDS["charuco"], path, units="parasangs")
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (1750, 2000)
    assert b"pHYs" not in chunks(path.read_bytes()) and "print it at any size" in message
    with pytest.raises(UsageError, match=r'calibration\.units = "parasangs"'):
        draw(BOARDS["charuco"], tmp_path / "board.pdf", units="parasangs")


def content(data: bytes) -> str:
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL)
    texts = []
    for stream in streams:
        try:
            texts.append(zlib.decompress(stream).decode("latin-1"))
        except zlib.error:
            continue
    return next(text for text in texts if "BT" in text)


def subpaths(text: str) -> np.ndarray:
    """(n, 4) left, bottom, right, top of the closed shapes, in points of 1/72 inch."""
    boxes = []
    for shape in re.findall(r"((?:[\d.-]+ [\d.-]+ [ml]\n)+)h", text):
        points = np.array([line.split()[:2] for line in shape.strip().splitlines()], dtype=float)
        boxes.append([*points.min(axis=0), *points.max(axis=0)])
    return np.array(boxes)


@pytest.mark.parametrize(("units", "scale"), [("mm", 1.0), ("cm", 10.0), ("inch", 25.4)])
@pytest.mark.parametrize("name", BOARDS)
def test_page_has_the_true_size(tmp_path, name, units, scale):
    board, path = BOARDS[name], tmp_path / "board.pdf"
    message = draw(board, path, units=units)
    data = path.read_bytes()
    width, height = (
        float(x) / 72 * 25.4 for x in re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+)", data).groups()
    )
    boxes = subpaths(content(data)) / 72 * 25.4
    left, top, right, bottom = board.bounds
    inner = boxes[(boxes[:, 2] - boxes[:, 0] < width - 1)]
    assert inner[:, 2].max() - inner[:, 0].min() == pytest.approx((right - left) * scale, abs=0.01)
    assert inner[:, 3].max() - inner[:, 1].min() == pytest.approx((bottom - top) * scale, abs=0.01)
    assert inner[:, 0].min() > 5 and inner[:, 2].max() < width - 5 and inner[:, 3].max() < height - 5
    large = min(width, height) > 210 or max(width, height) > 297
    assert f"page of {width:.0f} x {height:.0f} mm" in message
    assert ("larger than A4" in message) is large
    assert large is (units != "mm")


def test_page_has_a_ruler(tmp_path):
    path = tmp_path / "board.pdf"
    draw(make_board("checkerboard", (3, 3), square=2), path)
    lines = re.findall(r"([\d.]+) ([\d.]+) m\n([\d.]+) ([\d.]+) l\s+S", content(path.read_bytes()))
    lengths = [(float(x1) - float(x0)) / 72 * 25.4 for x0, _, x1, _ in lines]
    assert max(lengths) == pytest.approx(100, abs=0.01)
    assert len(lines) == 12


def test_page_is_the_same_each_time(tmp_path):
    for name in ("a.pdf", "b.pdf"):
        draw(BOARDS["aruco"], tmp_path / name, inverted=True)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_what_a_board_is():
    assert describe(BOARDS["legacy"], "mm") == (
        "charuco 7 x 6, square 12 mm, marker 9 mm, DICT_4X4_50, layout of OpenCV before 4.6"
    )
    assert describe(BOARDS["aruco"]) == "aruco 5 x 4, marker 12, gap 3, DICT_APRILTAG_36h11"


def test_refuses(tmp_path):
    with pytest.raises(UsageError, match=r"as \.png or \.pdf"):
        draw(BOARDS["aruco"], tmp_path / "board.jpg")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        draw(BOARDS["aruco"], tmp_path / "folder.png")
