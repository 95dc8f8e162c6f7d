"""The page of a calibration's report: complete in itself, the same each time, true to the report."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "numerics"))

from synthetic_board import BOARD, NAMES, SIZE, Found, detect, make_rig, pair
from synthetic_solution import solution_of

from anipipe.formats._calibration_drawings import nice, time_drawing
from anipipe.formats.calibration_page import alike, calibration_page, verdict
from anipipe.numerics.calibration.errors import corner_errors
from anipipe.numerics.calibration.views import pair_views
from anipipe.numerics.cameras import Rig

EVIL = "cam<script>\"&'10"


class Checker(HTMLParser):
    """Counts elements, and objects to what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def make(rig: Rig, found, pictures=None, **changes) -> tuple[dict, str]:
    views = pair(found)
    solution = replace(solution_of(views, rig), **changes)
    report = corner_errors(views, solution, BOARD)
    return report, calibration_page(report, views, solution, BOARD, pictures or {})


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    for drawing in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(drawing)
        assert "nan" not in drawing.replace("nan<", "") and "inf" not in drawing
    return checker


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig(make_rig().cameras, {"units": "mm", "engine": "anipipe"})


@pytest.fixture(scope="module")
def found(rig) -> dict[str, Found]:
    made = detect(rig, 30)
    spoiled = made["cam9"]
    spoiled.points[spoiled.numbers == 7] += 8.0
    return made


@pytest.fixture(scope="module")
def picture() -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((SIZE[1], SIZE[0]), 90, np.uint8))[1])


@pytest.fixture(scope="module")
def made(rig, found, picture) -> tuple[dict, str]:
    deviations = {"cam2": {"focal_length": 0.42, "k1": 0.0123, "centre_x": 0.5}}
    return make(rig, found, {"cam1": picture}, deviations=deviations, remarks=("k3 was fixed",))


def test_it_is_whole_and_needs_nothing_else(made):
    report, page = made
    checker = checked(page)
    # coverage, arrows and histogram per camera, time, lengths, scene
    assert checker.counts["svg"] == 3 * len(NAMES) + 3
    assert checker.counts["image"] == 1 and checker.counts["script"] == 1
    assert all(link.startswith("data:image/jpeg;base64,") for link in checker.links)
    assert not re.search(r"https?://|@import|url\(", page)
    assert "k3 was fixed" in page
    for alarm in report["alarms"]:
        assert alarm["text"][1:10] in page


def test_the_same_bytes_each_time(made, rig, found, picture):
    deviations = {"cam2": {"focal_length": 0.42, "k1": 0.0123, "centre_x": 0.5}}
    again = make(rig, found, {"cam1": picture}, deviations=deviations, remarks=("k3 was fixed",))
    assert again == made


def test_numbers_of_the_report_are_in_it(made):
    report, page = made
    told = report["cameras"]["cam9"]
    row = re.search(r'<tr><th scope="row">cam9</th>(.*?)</tr>', page)[1]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    names = ("mean", "median", "rms", "p95", "max")
    expected = [f"{part[name]:.2f}" for part in (told["kept"], told) for name in names]
    assert cells[:5] + cells[6:11] == expected
    assert told["kept"]["corners"] < told["corners"]
    assert [cells[5], cells[11]] == [str(told["kept"]["corners"]), str(told["corners"])]
    assert "890.00 ± 0.42" in page and "k1 -0.300 ± 0.012" in page
    for pair_told in report["pairs"]:
        assert f"<b>{pair_told['shared_corners']}</b>" in page
        assert f"{pair_told['distance']:.4g} mm" in page
    worst = report["worst_frames"][0]
    assert worst["frame"] == 7 and f"<td>7</td><td>cam9</td><td>{worst['corners']}</td>" in page


def test_dots_are_what_was_seen(made, rig, found):
    views = pair(found)
    kept = solution_of(views, rig).kept[2]
    drawing = re.search(r'<svg[^>]*corners seen by camera cam9".*?</svg>', made[1])[0]
    dots = {
        name: body.count("M") for body, name in re.findall(r'<path d="([^"]*)" class="(kept|left)"', drawing)
    }
    assert dots == {"kept": kept.sum(), "left": (views.seen[2] & ~kept).sum()}


def test_many_corners_are_thinned(rig):
    found = detect(rig, 900, missing=0.0)
    _, page = make(rig, found)
    assert sum(len(each.points) for each in found.values()) > 80_000
    assert len(page) < 1_000_000
    checked(page)


def test_names_are_escaped(rig, found):
    cameras = (*rig.cameras[:3], replace(rig.cameras[3], name=EVIL))
    renamed = {name: replace(each, trials=np.full(len(each.trials), "<b>x")) for name, each in found.items()}
    renamed["cam10"] = replace(renamed["cam10"], camera=EVIL)
    _, page = make(Rig(cameras, {"units": "<i>"}), renamed)
    checked(page)
    assert "<b>x" not in page and "cam<script>" not in page and "<i>" not in page
    assert "cam&lt;script&gt;&quot;&amp;&#x27;10" in page


def test_names_that_are_no_text_can_be_written(rig, found):
    trials = {
        name: replace(each, trials=np.full(len(each.trials), "x\udcff")) for name, each in found.items()
    }
    make(rig, trials)[1].encode("utf-8")


def test_nothing_seen_at_all(rig):
    empty = [Found(n, SIZE, 5, *np.zeros((3, 0), int), np.empty((0, 2))) for n in NAMES]
    views = pair_views(empty, len(BOARD))
    shape = (len(NAMES), 0, len(BOARD))
    from anipipe.numerics.calibration.solution import Solution

    solution = Solution(rig, np.empty((0, 4, 4)), np.empty((*shape, 2)), np.zeros(shape, dtype=bool))
    report = corner_errors(views, solution, BOARD)
    page = calibration_page(report, views, solution, BOARD, {})
    checked(page)
    assert "no corner could be measured" in page


def test_verdicts():
    report = {"overall": {"median": 0.25}, "alarms": []}
    assert verdict(report) == (
        "good",
        "Good: corners fit to 0.25 px (median), and nothing is wrong with the cameras.",
    )
    levels = [{"level": level} for level in ("critical", "warning", "warning", "note")]
    assert verdict({**report, "alarms": levels})[1].startswith(
        "Do not use this calibration: 1 critical fault;"
    )
    assert verdict({**report, "alarms": levels[1:]})[1].startswith("Usable with care: 2 warnings;")
    assert verdict({**report, "alarms": levels[3:]})[1].endswith("cameras; 1 note below.")


def test_alarms_of_one_remedy_are_told_together():
    alarms = [{"level": "note", "text": text, "remedy": remedy} for text, remedy in ("ax", "by", "cx")]
    assert alike(alarms) == [("note", ["a", "c"], "x"), ("note", ["b"], "y")]


def test_steps_and_times():
    assert [nice(value) for value in (0.37, 1, 4.9, 70, 0, np.inf)] == [0.2, 1, 2, 50, 1, 1]
    row = np.full(5000, 0.2)
    row[4321], row[17] = 30.0, np.nan
    drawing = time_drawing({"a": row, "b": np.full(5000, np.nan)}, [0, 2500])
    ElementTree.fromstring(drawing)
    heights = np.array(re.findall(r"M[\d.]+ ([\d.]+)h0", drawing), dtype=float)
    assert len(heights) == 600 and (heights == heights.min()).sum() == 1
    assert drawing.count('class="cut"') == 2
