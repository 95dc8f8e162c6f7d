from __future__ import annotations

import csv
import io
import re
import time
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.errors import DataError
from anipipe.formats.board_detections import (
    BoardDetections,
    read_board_detections,
    write_board_detections,
)

from .helpers import assert_prefixes_refused

BOARD = {"kind": "charuco", "size": [8, 11], "square": 24.0, "marker": 18.75, "odd key": "a'\"\\b"}


def make(rows: int = 40, seed: int = 0, **changed) -> BoardDetections:
    rng = np.random.default_rng(seed)
    values = {
        "camera": "back",
        "size": (1280, 1024),
        "frames": 21,
        "trials": np.array(["board one" if row % 3 else 'odd, "two"' for row in range(rows)], dtype=object),
        "numbers": np.arange(rows) // 5,
        "corners": np.arange(rows) % 5,
        "points": rng.uniform(0, 1280, (rows, 2)),
        "board": BOARD,
    }
    return BoardDetections(**(values | changed))


def assert_same(one: BoardDetections, two: BoardDetections) -> None:
    for field in fields(BoardDetections):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype and left.shape == right.shape
            assert left.tolist() == right.tolist(), field.name
        else:
            assert left == right and type(left) is type(right), field.name


@pytest.fixture
def path(folder):
    return folder / "back.csv"


def refused(path, *words: str) -> None:
    with pytest.raises(DataError) as raised:
        read_board_detections(path)
    for word in (str(path), *words):
        assert word in str(raised.value), str(raised.value)


def test_round_trip_and_layout(path):
    value = make(mirrored=True, legacy=True, remark='so "it" is\nin two lines')
    value.points[:3] = [[-0.0, 1e-300], [0.1 + 0.2, 1e22], [1 / 3, 5.0]]
    write_board_detections(value, path)
    assert_same(read_board_detections(path), value)
    data = path.read_bytes()
    write_board_detections(read_board_detections(path), path)
    assert path.read_bytes() == data
    assert b"\r" not in data and data.endswith(b"\n# end\n")
    lines = data.decode().split("\n")
    assert lines[:5] == [
        '# camera = "back"',
        "# size = [1280, 1024]",
        "# frames = 21",
        "# mirrored = true",
        "# legacy = true",
    ]
    assert lines[7] == "trial,frame,corner,x,y"
    assert lines[8].startswith('"odd, ""two""",0,0,') and lines[9].startswith("board one,0,1,")


def test_a_layout_that_is_not_known(path):
    value = make(legacy=None)
    write_board_detections(value, path)
    assert '\n# legacy = "unknown"\n' in path.read_text()
    assert_same(read_board_detections(path), value)


def test_a_file_of_the_first_version(path):
    path.write_text(
        '# camera = "top"\n# size = [1280, 1024]\n# frames = 21\n# mirrored = false\n# legacy = true\n'
        '# board = { kind = "charuco", size = [8, 10], square = 24.0 }\n# remark = ""\n'
        "trial,frame,corner,x,y\nboard,0,3,868.47,428.25\n# end\n"
    )
    read = read_board_detections(path)
    assert (read.camera, read.legacy, read.corners.tolist()) == ("top", True, [3])
    assert read.points.tolist() == [[868.47, 428.25]]


def test_nothing_seen(path):
    value = make(0, board=None, remark="markers of DICT_5X5_50 were seen")
    write_board_detections(value, path)
    assert_same(read_board_detections(path), value)
    assert value.points.shape == (0, 2)


@settings(max_examples=60, deadline=None)
@given(
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12),
    remark=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    point=st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
)
def test_any_name_and_number(tmp_path_factory, name, remark, point):
    path = tmp_path_factory.mktemp("any") / "a.csv"
    value = make(2, camera=name, trials=np.array([name, "b"]), points=np.array([point, point]), remark=remark)
    write_board_detections(value, path)
    assert_same(read_board_detections(path), value)


def test_a_bad_frame_is_removed_by_hand(path):
    value = make()
    write_board_detections(value, path)
    kept = [line for line in path.read_text().split("\n") if not re.match(r"board one,3,", line)]
    path.write_text("\n".join(kept))
    left = (value.numbers != 3) | (value.trials != "board one")
    read = read_board_detections(path)
    assert 0 < left.sum() < 40
    assert read.points.tolist() == value.points[left].tolist()
    assert read.corners.tolist() == value.corners[left].tolist()


def test_all_rows_removed_and_blank_lines_left(path):
    write_board_detections(make(), path)
    head = path.read_text().split("\n")[:8]
    path.write_text("\n".join([*head, "", "", "# end", ""]))
    assert len(read_board_detections(path).points) == 0


def test_a_spreadsheet_saved_it(path):
    value = make(remark="a, b")
    write_board_detections(value, path)
    rows = list(csv.reader(io.StringIO(path.read_text())))
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([*row, *[""] * (5 - len(row))] for row in rows)
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    assert '"# camera = ""back""",,,,' in path.read_text("utf-8-sig")
    assert_same(read_board_detections(path), value)


def test_every_cut_is_refused(path):
    write_board_detections(make(6, trials=np.array(["t"] * 6)), path)
    assert_prefixes_refused(path, read_board_detections, allow=lambda prefix: prefix.endswith(b"\n# end"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("board one,1,2,3.0", "should be a name, a frame, a corner"),
        ("board one,1,2,3.0,4.0,5.0", "should be a name"),
        ("board one,1.5,2,3.0,4.0", "should be a name"),
        ("board one,x,2,3.0,4.0", "should be a name"),
        ("board one,1,2,,4.0", "should be a name"),
        ("board one,-1,2,3.0,4.0", "cannot be"),
        ("board one,1,99999999999999999999,3.0,4.0", "cannot be"),
        ("board one,1,2,nan,4.0", "no place in the image"),
        ("board one,1,2,inf,4.0", "no place in the image"),
        ("board one,0,1,3.0,4.0", "a second time"),
        ('board "one",1,2,"3.0"x,4.0', "line 18"),
    ],
)
def test_a_bad_row_is_named_by_its_line(path, row, words):
    write_board_detections(make(12), path)
    lines = path.read_text().split("\n")
    lines.insert(17, row)
    path.write_text("\n".join(lines))
    refused(path, "line 18", words, "remove it")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('# camera = "back"\n', "", "# camera"),
        ('# camera = "back"\n', "# camera = 5\n", "camera = 5"),
        ("# size = [1280, 1024]", "# size = [1280]", "size"),
        ("# size = [1280, 1024]", "# size = [1280, -1024]", "size"),
        ("# size = [1280, 1024]", "# size = [1280.5, 1024]", "size"),
        ("# frames = 21", "# frames = -1", "frames"),
        ("# frames = 21", "# frames = true", "frames"),
        ("# mirrored = false", "# mirrored = 0", "mirrored"),
        ("# mirrored = false", '# mirrored = "unknown"', "mirrored"),
        ("# legacy = false", '# legacy = "maybe"', "legacy = 'maybe'"),
        ("# frames = 21", "# frames 21", "line 3"),
        ("trial,frame,corner,x,y", "trial,frame,corner,y,x", "line 8"),
        ("trial,frame,corner,x,y\n", "", "line 8"),
        ("# end", "# ended", "cut off"),
    ],
)
def test_a_spoiled_head_is_refused(path, old, new, words):
    write_board_detections(make(), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    refused(path, words)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\xff\xfe\x00", b"# end", b"# end\n", b"a,b\n1,2\n# end\n", b"\x00" * 50, b"# end,"]
)
def test_garbage_is_refused(path, data):
    path.write_bytes(data)
    refused(path)


def test_a_missing_file_stays_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        read_board_detections(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"numbers": np.arange(39)},
        {"corners": np.arange(40) - 1},
        {"corners": np.arange(40) + 0.5},
        {"points": np.zeros((39, 2))},
        {"points": np.full((40, 2), np.nan)},
    ],
)
def test_arrays_that_do_not_agree(changed):
    with pytest.raises(ValueError):
        make(**changed)


def test_half_a_million_rows_in_seconds(path):
    rows = 500_000
    value = make(rows, corners=np.arange(rows) % 50, numbers=np.arange(rows) // 50)
    start = time.perf_counter()
    write_board_detections(value, path)
    read = read_board_detections(path)
    assert time.perf_counter() - start < 30  # about 3 s on one core
    assert np.array_equal(read.points, value.points)
