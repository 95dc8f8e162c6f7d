"""A night over several experiments: what is done, what waits, what is reported, and what cannot stop it."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anipipe import night_views
from anipipe.cli import invoke
from anipipe.commands import _night_files, _night_record, night_templates, on_failure
from anipipe.commands import nightly as nights
from anipipe.commands.growing import Look
from anipipe.commands.night_places import find, next_time, vanished
from anipipe.commands.nightly import Morning, Night, nightly, overall
from anipipe.commands.run import Request
from anipipe.engine.journal import stamped
from anipipe.engine.lock import Lock
from anipipe.errors import UsageError
from anipipe.formats.night_page import tally
from anipipe.stages import REGISTRY
from tests.conftest import write_dlc_csv
from tests.formats.videos import record

CONFIG = """\
labeling.pictures = ["label-2d"]
triangulation.triangulate = false
summaries.csv = []
"""
OLD = 7200
posix = pytest.mark.skipif(sys.platform == "win32", reason="a script for a POSIX shell")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return record(tmp_path_factory.mktemp("film") / "a.mp4", 3).read_bytes()


@pytest.fixture
def base(tmp_path: Path, film: bytes) -> Path:
    """A lab with three experiments of two sessions with one video each, recorded some hours ago."""
    for name in ("one", "two", "three"):
        for session in ("s1", "s2"):
            write_dlc_csv(
                tmp_path / "lab" / name / session / "predictions/tDLC_x1.csv",
                np.full((3, 2, 2), 20.0),
                ("a", "b"),
            )
            put(video(tmp_path / "lab", name, session), film)
        (tmp_path / "lab" / name / "config.toml").write_text(CONFIG)
    return tmp_path / "lab"


def video(base: Path, name: str, session: str) -> Path:
    return base / name / session / "videos-raw/t.mp4"


def put(path: Path, content: bytes, age: float = OLD) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)


@pytest.fixture
def run_night(base: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Morning]:
    """Runs a night with all jobs in this process, which is quick; ``settling`` is done between two looks.

    Each has a second of its own, by which reports are put in order.
    """
    seconds = itertools.count()
    monkeypatch.setattr(_night_files, "stamp", lambda token: f"2030-03-01T02-00-{next(seconds):02d}-{token}")
    monkeypatch.setattr(nights, "Request", lambda *a, **k: replace(Request(*a, **k), apart=False, jobs=1))

    def run(*roots: Path, settling: Callable[[], object] = lambda: None, **more) -> Morning:
        clock = SimpleNamespace(sleep=lambda seconds: settling(), monotonic=time.monotonic)
        monkeypatch.setattr(nights, "time", clock)
        return nightly(Night(roots or (base,), **more), REGISTRY)

    return run


def records(morning: Morning) -> dict[str, dict]:
    return {Path(record["root"]).name: record for record in morning.report["experiments"]}


def verdicts(morning: Morning) -> dict[str, str]:
    return {name: record["verdict"] for name, record in records(morning).items()}


def done(morning: Morning) -> dict[str, int]:
    return {name: record["done"] for name, record in records(morning).items()}


def test_a_night_with_a_corrupt_video_a_growing_one_and_a_wrong_configuration(base, film, run_night):
    corrupt, growing = video(base, "one", "s1"), video(base, "two", "s2")
    put(corrupt, film[: len(film) // 2])  # the index of an MP4 file comes last
    put(growing, film[:1000], age=0)
    (base / "three/config.toml").write_text("[triangulation]\ncam_regexx = 'a'\n")

    def grow() -> None:
        with growing.open("ab") as file:
            file.write(film[1000:1100])

    first = run_night(settling=grow)
    assert first.exit_status == 1
    assert verdicts(first) == {"one": "failed", "two": "waiting", "three": "unusable"}
    found = records(first)
    (failure,) = found["one"]["failed"]
    assert failure["job"] == "label-2d s1/t" and "index" in failure["message"]
    assert "Traceback" in failure["traceback"] and failure["nights"] == 1
    (why,) = found["two"]["waiting"]["files"]
    assert why.startswith("s2/videos-raw/t.mp4 is still being written: 1")
    assert "cam_regex" in found["three"]["error"]
    # All that does not rest on the three is done: 2D poses and pictures of the other sessions, all tables.
    assert (base / "one/s2/videos-labeled/t.mp4").exists() and (base / "two/s1/videos-labeled/t.mp4").exists()
    assert not (base / "two/s2/videos-labeled/t.mp4").exists()
    assert not (base / "two/s2/pose-2d/t.h5").exists(), "it would have noted the size of half a video"
    page = first.page.read_text(encoding="utf-8")
    for text in (
        "2 of 3 experiments need a look",
        "label-2d s1/t",
        why,
        "cam_regexx",
        "end of the traceback",
    ):
        assert text in page

    put(growing, film)
    second = run_night()
    assert second.exit_status == 1
    assert verdicts(second) == {"one": "failed", "two": "done", "three": "unusable"}
    assert done(second)["one"] == 0 and records(second)["one"]["failed"][0]["nights"] == 2
    stages = records(second)["two"]["stages"]
    assert stages["pose-2d"]["jobs"] == stages["label-2d"]["jobs"] == 1, "what was done is not done again"

    put(corrupt, film)
    (base / "three/config.toml").write_text(CONFIG)
    third = run_night()
    assert third.exit_status == 0
    assert verdicts(third) == {"one": "done", "two": "up to date", "three": "done"}
    assert records(third)["one"]["changes"]["recovered"] == ["label-2d s1/t"]

    fourth = run_night(settling=lambda: pytest.fail("a night with nothing to do waits for nothing"))
    assert fourth.exit_status == 0 and set(done(fourth).values()) == {0}
    assert set(verdicts(fourth).values()) == {"up to date"}


def test_what_settles_while_others_are_done_is_done_in_the_same_night(base, film, run_night):
    growing, sleeps = video(base, "one", "s1"), []
    put(growing, film[:1000], age=0)

    def settle() -> None:
        sleeps.append(1)
        if len(sleeps) == 1:
            put(growing, film, age=0)

    put(video(base, "one", "s2"), film[:1000])  # an old one without an index fails, both times
    morning = run_night(settling=settle)
    assert len(sleeps) == 2 and verdicts(morning) == {"one": "failed", "two": "done", "three": "done"}
    told = records(morning)["one"]
    assert told["waiting"] == {} and [failure["session"] for failure in told["failed"]] == ["s2"]
    assert told["done"] == done(morning)["two"] - 1, "both runs are counted together"
    assert (base / "one/s1/videos-labeled/t.mp4").exists()


def test_a_recording_that_comes_in_bursts_does_not_keep_the_night_busy(base, film, run_night, monkeypatch):
    growing, runs, real = video(base, "one", "s1"), [], nights.run
    put(growing, film)

    def run(opened, request, **more):
        runs.append(opened.experiment.root.name)
        if runs[-1] == "one":
            with growing.open("ab") as file:  # after it was found to have settled
                file.write(b"more")
        if len(runs) > 10:
            pytest.fail("without end")
        return real(opened, request, **more)

    monkeypatch.setattr(nights, "run", run)
    morning = run_night(base / "one", base / "two")
    assert verdicts(morning) == {"one": "waiting", "two": "done"} and morning.exit_status == 0
    assert runs == ["one", "two", "one", "one"]


def test_an_experiment_that_is_locked_when_its_recording_has_settled_is_not_waited_for(base, film, run_night):
    put(video(base, "one", "s1"), film[:1000], age=0)
    lock, sleeps = Lock(base / "one"), []

    def settle() -> None:
        sleeps.append(1)
        if len(sleeps) == 1:
            put(video(base, "one", "s1"), film, age=0)
        elif len(sleeps) == 2:
            lock.__enter__()

    morning = run_night(base / "one", settling=settle)
    lock.__exit__(None, None, None)
    assert len(sleeps) == 2 and verdicts(morning) == {"one": "waiting"}, "what it did before counts"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda path, film: None, ""),
        (lambda path, film: path.write_bytes(film + b"more"), "bytes, then"),
        (lambda path, film: os.utime(path), "time has changed"),
        (lambda path, film: path.unlink(), ""),
    ],
)
def test_two_looks_tell_what_grows(tmp_path, film, change, why):
    path = tmp_path / "a.mp4"
    put(path, film)
    look = Look.at([path])
    change(path, film)
    assert why in look.growing(path) and bool(why) == bool(look.growing(path))


@pytest.mark.parametrize(
    ("age", "waits"), [(10, True), (3000, True), (4000, False), (-600, True), (-4000, False), (1e9, False)]
)
def test_only_a_young_recording_without_an_index_is_taken_for_unfinished(tmp_path, film, age, waits):
    whole, half, picture = (tmp_path / name for name in ("whole.mp4", "half.MP4", "half.png"))
    put(whole, film, age)
    put(half, film[: len(film) // 2], age)
    put(picture, b"half", age)
    look = Look.at([whole, half, picture])
    assert bool(look.growing(half)) == waits
    assert not look.growing(whole) and not look.growing(picture)


def test_a_share_that_shows_old_sizes_until_a_file_is_opened_hides_no_growing(tmp_path, film, monkeypatch):
    path = tmp_path / "a.mp4"
    put(path, film)
    look, old, real = Look.at([path]), os.stat(path), os.stat
    with path.open("ab") as file:
        file.write(b"more")
    monkeypatch.setattr(os, "stat", lambda name, **how: old if Path(name) == path else real(name, **how))
    assert f"{len(film)} bytes, then {len(film) + 4}" in look.growing(path)


def test_what_was_not_there_at_the_first_look_waits(tmp_path, film):
    put(tmp_path / "a.mp4", film)
    assert "just been found" in Look.at([]).growing(tmp_path / "a.mp4")


def test_a_fresh_copy_does_not_wait(base, film, run_night):
    for name in ("one", "two", "three"):
        for session in ("s1", "s2"):
            put(video(base, name, session), film, age=0)
    assert set(verdicts(run_night()).values()) == {"done"}


def test_after_the_time_nothing_is_begun_and_what_is_left_is_counted(base, run_night):
    over = datetime.now() - timedelta(minutes=1)
    morning = run_night(until=over, settling=lambda: pytest.fail("there is nothing to wait for"))
    assert morning.exit_status == 0 and set(verdicts(morning).values()) == {"unfinished"}
    assert set(done(morning).values()) == {0}
    left = records(morning)["one"]["put_off"]
    assert "Time was up" in morning.page.read_text(encoding="utf-8")
    assert run_night().report["experiments"][0]["done"] == left


def test_results_that_somebody_should_look_at_are_told_once(base, run_night):
    """Nothing has failed; but the predictions are of fewer frames than the recording."""
    write_dlc_csv(base / "one/s1/predictions/tDLC_x1.csv", np.full((1, 2, 2), 20.0), ("a", "b"))
    morning = run_night()
    assert morning.exit_status == 0 and night_views.asks_for_a_look(morning)
    said = "\n".join(night_views.summary_lines(morning))
    assert "Results of 1 job should be looked at; " in said
    assert "pose-2d s1/t: t.mp4 has 3 frames, but the predictions end after 1" in said
    concerns = {name: [note["session"] for note in r["concerns"]] for name, r in records(morning).items()}
    assert concerns == {"one": ["s1"], "two": [], "three": []}
    assert "To be looked at" in morning.page.read_text(encoding="utf-8")
    assert not night_views.asks_for_a_look(run_night())


def test_a_program_that_is_not_there_is_told_before_it_is_needed(tmp_path):
    status, _, err = anipipe("nightly", "--on-failure", "/nowhere/mail.sh -x", str(tmp_path / "gone"))
    assert status == 2 and "--on-failure /nowhere/mail.sh: there is no such program" in err


def test_a_failure_that_was_not_tried_again_for_lack_of_time_still_is_one(base, film, run_night):
    put(video(base, "one", "s1"), film[: len(film) // 2])
    assert run_night().exit_status == 1
    morning = run_night(until=datetime.now() - timedelta(minutes=1))
    assert morning.exit_status == 1 and verdicts(morning)["one"] == "failed"
    assert records(morning)["one"]["put_off"] and not records(morning)["one"]["done"]
    (failure,) = records(morning)["one"]["failed"]
    assert failure["nights"] == 1 and not failure["tried"]


def test_until_is_the_next_such_time():
    evening, night = datetime(2024, 3, 1, 22, 15), datetime(2024, 3, 2, 2, 0)
    assert next_time("07:00", evening) == next_time("7:00", night) == datetime(2024, 3, 2, 7, 0)
    assert next_time("23:00", evening) == datetime(2024, 3, 1, 23, 0)
    assert next_time("22:15", evening) == datetime(2024, 3, 2, 22, 15)
    for wrong in ("7", "24:00", "07:00:00", "soon"):
        with pytest.raises(UsageError, match="hours and minutes"):
            next_time(wrong, evening)


def test_a_locked_experiment_is_left_out_and_not_waited_for(base, run_night):
    with Lock(base / "two"):
        morning = run_night()
        assert morning.exit_status == 0
        assert verdicts(morning) == {"one": "done", "two": "locked", "three": "done"}
        assert "is being processed" in records(morning)["two"]["error"]
        assert run_night(base / "two").exit_status == 75
        (base / "one/config.toml").write_text("nightly.enabled = false\n")
        assert run_night(base / "one", base / "two").exit_status == 75, "what is left out is not done either"


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 75], 0),
        ([75, 75], 75),
        ([0, 1, 75], 1),
        ([0, 2], 1),
        ([2, 2], 2),
        ([2, 75], 2),
    ],
)
def test_exit_status_of_a_night(statuses, status):
    assert overall(statuses) == status


def test_a_defect_in_one_experiment_stops_no_other(base, run_night, monkeypatch):
    def run(opened, request, **more):
        if opened.experiment.root.name == "one":
            raise KeyError("unheard of")
        return real(opened, request, **more)

    real = nights.run
    monkeypatch.setattr(nights, "run", run)
    morning = run_night()
    assert morning.exit_status == 1
    assert verdicts(morning) == {"one": "failed", "two": "done", "three": "done"}
    told = records(morning)["one"]
    assert "unheard of" in told["error"] and "Traceback" in told["traceback"]


def test_jobs_are_done_in_processes_of_their_own(base, monkeypatch):
    asked = []
    monkeypatch.setattr(nights, "run", lambda opened, request, **more: asked.append(request) or 1 / 0)
    nightly(Night((base / "one",), jobs=1, settle=0), REGISTRY)
    assert [request.apart for request in asked] == [True]


def test_an_interrupted_night_leaves_a_report(base, run_night, monkeypatch):
    def run(opened, request, **more):
        if opened.experiment.root.name == "three":
            raise KeyboardInterrupt
        return real(opened, request, **more)

    real = nights.run
    monkeypatch.setattr(nights, "run", run)
    assert run_night().exit_status == 130
    report = json.loads(next((base / ".anipipe/nightly").glob("2*.json")).read_text())
    assert report["interrupted"] and report["exit_status"] == 130
    assert [record["exit_status"] for record in report["experiments"]] == [0, 130, 130]
    assert [record.get("done") for record in report["experiments"]][1:] == [0, None]
    assert report["experiments"][0]["done"] > 0
    assert [record["verdict"] for record in report["experiments"]] == ["done", "interrupted", "interrupted"]
    assert "Interrupted" in (base / ".anipipe/nightly/latest.html").read_text()


def test_a_folder_that_is_not_there_is_told_and_the_others_are_done(base, run_night, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    morning = run_night(base / "gone", base / "one")
    assert morning.exit_status == 1 and done(morning)["one"] > 0
    assert morning.report["problems"][0]["message"].endswith("gone: there is no such folder")
    assert morning.page.parent == base / "one/.anipipe/nightly"
    nothing = run_night(base / "gone")
    assert nothing.exit_status == 2 and "1 folder could not be used" in nothing.page.read_text()
    assert nothing.page.parent.parent == tmp_path, "there is no place of its own for the report"


def test_a_session_is_done_alone_and_reported_with_its_experiment(base, run_night):
    morning = run_night(base / "one/s2")
    assert morning.page.parent == base / "one/.anipipe/nightly"
    assert (base / "one/s2/pose-2d/t.h5").exists() and not (base / "one/s1/pose-2d").exists()
    assert [name for name in records(morning)["one"]["sessions"] if name != "(all sessions)"] == ["s2"]


def test_an_experiment_can_be_left_out_or_done_without_pictures(base, run_night):
    (base / "one/config.toml").write_text(CONFIG + "nightly.enabled = false\n")
    (base / "two/config.toml").write_text(CONFIG + 'nightly.stages = "data"\n')
    morning = run_night()
    assert verdicts(morning) == {"one": "left out", "two": "done", "three": "done"}
    assert not (base / "one/s1/pose-2d").exists() and (base / "two/s1/pose-2d").exists()
    assert not (base / "two/s1/videos-labeled").exists() and (base / "three/s1/videos-labeled").exists()
    assert "pictures" not in records(morning)["two"]["columns"]


def test_reports_are_kept_as_many_as_asked_and_listed(base, run_night, monkeypatch):
    minutes = itertools.count()
    monkeypatch.setattr(_night_files, "stamp", lambda token: f"2024-03-01T02-{next(minutes):02d}-00-{token}")
    (base / "one/config.toml").write_text(CONFIG + "nightly.keep = 2\n")
    folder = base / ".anipipe/nightly"
    folder.mkdir(parents=True)
    (folder / "2001-01-01T02-00-00-dead.log").write_text("02:00:00 begun by process 1\n")
    (folder / "notes.html").write_text("mine")
    names = [run_night(base / "one", folder=folder).report["name"]]
    listed = (folder / "index.html").read_text()
    assert "2001-01-01" in listed and "killed" in listed, "it left a log and no report"
    names += [run_night(base / "one", folder=folder).report["name"] for _ in range(2)]
    there = sorted(path.name for path in folder.iterdir())
    kept = [f"{name}.{end}" for name in sorted(names)[-2:] for end in ("html", "json", "log")]
    assert there == sorted([*kept, "index.html", "latest.html", "notes.html"])
    assert (folder / "latest.html").read_text() == (folder / f"{names[-1]}.html").read_text()
    listed = (folder / "index.html").read_text()
    assert listed.index(names[2]) < listed.index(names[1]) and names[0] not in listed


def test_a_folder_of_reports_is_not_used_to_write_elsewhere_and_is_kept_tidy(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "nights"
    folder.mkdir()
    for name in ("latest.html", "index.html"):
        for planted in (f".{name}.tmp", f".{name}.{os.getpid()}.tmp"):
            (folder / planted).symlink_to(victim)
    left, young, mine = folder / ".index.html.1.tmp", folder / ".index.html.2.tmp", folder / ".mine.tmp"
    for path in (left, young, mine):
        put(path, b"half a page", 0 if path == young else OLD)
    reports = _night_files.Reports(folder)
    page, _ = reports.write(REPORT, keep=9)
    assert victim.read_text() == "mine" and page.parent == folder and not reports.trouble
    assert young.exists() and mine.exists() and not left.exists()


def test_pages_of_somebody_else_are_not_replaced(base, run_night, tmp_path):
    for name in ("index.html", "latest.html"):
        site = tmp_path / name
        site.mkdir()
        (site / name).write_text("<html>my home page</html>")
        status, _, err = anipipe("nightly", str(base / "one"), "--report", str(site))
        said = " ".join(err.split())
        assert status == 2 and f"{name}: is not a page of anipipe nightly" in said and "--report" in said
        assert [path.read_text() for path in site.iterdir()] == ["<html>my home page</html>"]
    (base / "one/config.toml").write_text("nightly.enabled = false\n")
    ours = tmp_path / "ours"
    assert [run_night(base / "one", folder=ours).page.parent for _ in range(2)] == [ours, ours]


REPORT = {
    "name": "2024-03-01T02-00-00-abcd",
    "version": "1.0",
    "host": "gpubox",
    "command": ["nightly"],
    "started": "2024-03-01T02:00:00+0100",
    "ended": "2024-03-01T05:30:00+0100",
    "seconds": 12.0,
    "until": None,
    "interrupted": False,
    "exit_status": 0,
    "problems": [],
    "experiments": [{"root": "/lab", "verdict": "up to date", "seconds": 1.0}],
}
ODD = [
    {"a": 1},
    [],
    None,
    *({**REPORT, "roots": wrong} for wrong in (1, [[]])),
    *({**REPORT, key: "x"} for key in ("experiments", "seconds", "exit_status", "interrupted", "problems")),
    *({**REPORT, key: None} for key in ("started", "experiments", "seconds")),
    *({**REPORT, "seconds": wrong} for wrong in (float("inf"), float("nan"), 10**400)),
    *({**REPORT, "experiments": [wrong]} for wrong in (1, "text", None, {}, [])),
    *(
        {**REPORT, "experiments": [{"root": "/lab", "verdict": "failed", **wrong}]}
        for wrong in (
            *({"verdict": "of later"}, {"verdict": []}, {"root": {}}, {"done": "x"}, {"put_off": []}),
            *({"failed": 1}, {"failed": [1]}, {"failed": [{"job": []}]}, {"failed": [{"nights": "x"}]}),
            *({"failed": [{"job": "a", "nights": []}]}, {"sessions": 1}, {"carried": 1}),
            *({"carried": {"failed": [{"job": "a", "session": 1}]}}, {"carried": {"sessions": [[]]}}),
        )
    ),
]


def test_reports_that_are_none_end_no_night_and_are_not_compared_with(base, run_night):
    (base / "one/config.toml").write_text("nightly.enabled = false\n")
    folder = base / ".anipipe/nightly"
    folder.mkdir(parents=True)
    names = [f"2024-03-01T02-00-00-{number:02d}" for number in range(len(ODD) + 2)]
    texts = [*map(json.dumps, ODD), "[" * 100_000, "{"]
    for name, text in zip(names, texts, strict=True):
        (folder / f"{name}.json").write_text(text)
    morning = run_night(base / "one", folder=folder)
    assert morning.exit_status == 0 and morning.page.parent == folder
    listed = (folder / "index.html").read_text()
    assert all(name in listed for name in names)
    assert listed.count("its report cannot be read") == len(names)
    reports = _night_files.Reports(folder)
    assert [report["name"] for report in reports.earlier()] == [morning.report["name"]]


@posix
def test_a_pipe_among_the_reports_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "2024-03-01T02-00-00-aa.json")
    reports = _night_files.Reports(tmp_path)
    reports.write(REPORT, keep=9)
    assert [report["name"] for report in reports.earlier()] == []
    for name in ("index.html", "latest.html"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(UsageError, match=f"{name}: is not a page"):
            _night_files.check_ours(tmp_path)
        (tmp_path / name).unlink()


def test_an_entry_of_the_log_is_one_line(tmp_path):
    reports = _night_files.Reports(tmp_path)
    reports.say("lab\n02:00:00 all is well\x1b[2J\u202e")
    (log,) = tmp_path.glob("*.log")
    first, second = log.read_text().splitlines()
    assert "begun by" in first and second.endswith(r"lab\n02:00:00 all is well\x1b[2J\u202e")


def test_of_a_traceback_as_much_is_kept_as_the_documentation_says():
    told = _night_record.explained(KeyError("x" * 9000))
    docs = Path(__file__).parents[2] / "docs/nightly.md"
    (count,) = re.findall(r"Of every traceback the last (\d+)\s", docs.read_text(encoding="utf-8"))
    assert len(told["traceback"]) == int(count)


def test_the_report_tells_what_has_changed_and_what_disk_is_used(base, run_night):
    run_night(base / "one")
    shutil.copytree(base / "two/s1", base / "one/s3")
    shutil.rmtree(base / "one/s2")
    (base / "one/s1/pose-2d/t.h5").unlink()
    morning = run_night(base / "one")
    told = records(morning)["one"]
    assert told["changes"]["new_sessions"] == ["s3"] and told["changes"]["removed_sessions"] == ["s2"]
    assert told["stages"]["pose-2d"]["jobs"] == 2 and told["done_in"]["s3"] >= 2
    assert told["disk"]["outputs"]["label-2d"] == sum(
        path.stat().st_size for path in (base / "one").glob("*/videos-labeled/t.mp4")
    )
    assert 0 < told["disk"]["free"] < told["disk"]["size"]


def unfinished(base: Path, film: bytes) -> dict[str, object]:
    put(video(base, "one", "s1"), film[: len(film) // 2], age=0)
    return {}


def configured(where: str, text: str) -> Callable[[Path, bytes], dict[str, object]]:
    def change(base: Path, film: bytes) -> dict[str, object]:
        (base / where / "config.toml").write_text(text)
        return {}

    return change


HINDRANCES: dict[str, Callable[[Path, bytes], dict[str, object]]] = {
    "a wrong configuration": configured("one/s1", "nonsense"),
    "an unknown joint, so that it is blocked": configured("one/s1", "labeling.scheme = [['a', 'nose']]"),
    "a recording that grows": unfinished,
    "a night for another session": lambda base, film: {"roots": [base / "one/s2"]},
    "a night without pictures": configured("one", CONFIG + 'nightly.stages = "data"'),
    "no time": lambda base, film: {"until": datetime.now() - timedelta(minutes=1)},
}


@pytest.mark.parametrize("hindrance", HINDRANCES.values(), ids=HINDRANCES.keys())
def test_what_was_not_tried_has_not_recovered_and_what_was_not_looked_at_is_not_gone(
    base, film, run_night, hindrance
):
    label, folder = "label-2d s1/t", base / "nights"
    put(video(base, "one", "s1"), film[: len(film) // 2])
    (first,) = records(run_night(base / "one", folder=folder))["one"]["failed"]
    more = hindrance(base, film)
    roots = more.pop("roots", [base / "one"])
    for _ in range(2):
        told = records(run_night(*roots, folder=folder, **more))["one"]
        assert not any(told["changes"][key] for key in ("recovered", "newly_failing", "removed_sessions"))
        still = [failure["job"] for failure in told["failed"]]
        assert [*still, *told["changes"]["not_tried"]] == [label]

    put(video(base, "one", "s1"), film[: len(film) // 2])
    (base / "one/s1/config.toml").unlink(missing_ok=True)
    (base / "one/config.toml").write_text(CONFIG)
    told = records(run_night(base / "one", folder=folder))["one"]
    assert not any(told["changes"].values())
    (again,) = told["failed"]
    assert (again["job"], again["since"], again["nights"]) == (label, first["since"], 2)
    put(video(base, "one", "s1"), film)
    changes = records(run_night(base / "one", folder=folder))["one"]["changes"]
    assert changes.pop("recovered") == [label] and not any(changes.values())


def test_a_failure_in_a_session_that_is_gone_is_forgotten(base, film, run_night):
    put(video(base, "one", "s1"), film[: len(film) // 2])
    run_night(base / "one")
    shutil.rmtree(base / "one/s1")
    changes = records(run_night(base / "one"))["one"]["changes"]
    assert changes.pop("removed_sessions") == ["s1"] and not any(changes.values())
    assert not any(records(run_night(base / "one"))["one"]["changes"].values())


def test_only_a_night_that_looks_for_a_session_tells_that_it_is_gone(base, run_night):
    run_night(base / "one")
    for folder in ("videos-raw", "predictions", "pose-2d", "videos-labeled"):
        shutil.rmtree(base / "one/s2" / folder)
    told = records(run_night(base / "one"))["one"]
    assert "s2" not in told["sessions"] and not any(told["changes"].values()), "its folder is still there"
    shutil.rmtree(base / "one/s2")
    assert not any(records(run_night(base / "one/s1"))["one"]["changes"].values())
    changes = records(run_night(base / "one"))["one"]["changes"]
    assert changes.pop("removed_sessions") == ["s2"] and not any(changes.values())


def test_after_a_first_night_for_one_session_the_others_are_not_new(base, run_night):
    run_night(base / "one/s2")
    assert not any(records(run_night(base / "one"))["one"]["changes"].values())


def test_an_experiment_that_is_gone_is_told_once(base, run_night, tmp_path):
    run_night()
    (base / "two").rename(tmp_path / "elsewhere")
    morning = run_night()
    assert morning.exit_status == 1
    assert verdicts(morning) == {"one": "up to date", "three": "up to date", "two": "gone"}
    assert "is gone since the last night" in morning.page.read_text()
    assert "1 of 3 experiments needs a look" in (base / ".anipipe/nightly/latest.html").read_text()
    morning = run_night()
    assert morning.exit_status == 0 and set(verdicts(morning)) == {"one", "three"}
    (tmp_path / "elsewhere").rename(base / "two")
    assert verdicts(run_night())["two"] == "up to date"


def test_an_experiment_whose_place_is_kept_is_missed_every_night(base, run_night, tmp_path):
    """As that of a disk that is not mounted."""
    (base / "disk").mkdir()
    (base / "two").rename(base / "disk/two")
    run_night()
    (base / "disk").rename(tmp_path / "taken out")
    (base / "disk").mkdir()
    for _ in range(2):
        morning = run_night()
        assert morning.exit_status == 1 and verdicts(morning)["two"] == "gone"
        assert f"{base / 'disk'} is empty" in records(morning)["two"]["error"]
    (base / "disk").rmdir()
    assert run_night().exit_status == 0
    (tmp_path / "taken out").rename(base / "disk")
    assert verdicts(run_night())["two"] == "up to date"


@posix
def test_a_link_that_leads_nowhere_is_told_while_it_is_there(base, run_night, tmp_path):
    (base / "two").rename(tmp_path / "two")
    (base / "disk").symlink_to(tmp_path / "two")
    (base / "film.mp4").symlink_to(tmp_path / "not fetched")
    (base / "notes").symlink_to(tmp_path / "notes.txt")
    assert run_night().exit_status == 0
    (tmp_path / "two").rename(tmp_path / "away")
    for _ in range(2):
        morning = run_night()
        (problem,) = morning.report["problems"]
        assert morning.exit_status == 1 and "leads nowhere" in problem["message"]
        assert problem["where"] == str(base / "disk") and verdicts(morning)["disk"] == "gone"
    (base / "disk").unlink()
    assert verdicts(run_night())["disk"] == "gone", "until now it was only out of reach"
    assert run_night().exit_status == 0
    (base / "new").symlink_to(tmp_path / "nowhere")
    assert run_night().report["problems"][0]["where"] == str(base / "new")


def test_a_root_that_is_not_there_takes_its_experiments_along(base, run_night, tmp_path):
    roots = base / "one", base / "two"
    run_night(*roots)
    (base / "two").rename(tmp_path / "two")
    morning = run_night(*roots)
    assert morning.exit_status == 1 and len(morning.report["problems"]) == 1
    assert f"since {base / 'two'} cannot be used" in records(morning)["two"]["error"]
    assert verdicts(run_night(*roots))["two"] == "gone", "told as long as it is asked for"


def test_nights_over_other_roots_are_not_compared(base, run_night):
    folder = base / "nights"
    run_night(base / "one", folder=folder)
    run_night(folder=folder)
    shutil.rmtree(base / "two")
    assert verdicts(run_night(base / "one", folder=folder)) == {"one": "up to date"}
    morning = run_night(folder=folder)
    assert verdicts(morning)["two"] == "gone" and morning.report["roots"] == [str(base)]


def test_what_is_not_found_but_there_is_not_gone(base):
    records = [{"root": str(base / name), "verdict": "done"} for name in ("one", "two")]
    (base / "two/config.toml").unlink()
    part_of_larger = {base: []}
    assert vanished(records, part_of_larger, []) == []
    (told,) = vanished(records, {}, [])
    assert told["root"] == str(base / "two") and "without its config.toml" in told["error"]


@posix
def test_an_experiment_that_is_reached_twice_is_done_once(base, run_night):
    (base / "link").symlink_to(base / "one")
    assert list(verdicts(run_night(base, base / "link"))) == ["one", "three", "two"]
    assert find([base / "link", base / "one/s1"]) == ({base / "link": []}, [])
    parts = [base / "one/s1", base / "one/s2"]
    assert find([base / "one/s1", base / "link/s2", base / "link/s1"]) == ({base / "one": parts}, [])


def test_a_lock_that_is_taken_away_leaves_work_and_so_is_a_failure(base, run_night, monkeypatch):
    def begin(gathered: _night_record.Gathered, plan) -> None:
        if plan.disk.root.name == "two":
            (plan.disk.root / ".anipipe/lock").unlink()

    monkeypatch.setattr(_night_record.Gathered, "begin", begin)
    morning = run_night()
    assert morning.exit_status == 1
    assert verdicts(morning) == {"one": "done", "two": "failed", "three": "done"}
    told = records(morning)["two"]
    left = sum(told["counts"].get(state, 0) for state in ("stale", "pending"))
    assert left and told["error"].endswith(
        f"was taken away from this run; nothing more is written; what was "
        f"finished is kept, and the next night does what is left to do (jobs: {left})"
    )


def test_the_list_of_nights_does_not_need_the_memory_of_all_their_reports(tmp_path):
    failures = [{"job": f"pose-2d {n}", "traceback": "x" * 50} for n in range(4000)]
    large = {**REPORT, "experiments": [{"root": "/lab", "verdict": "failed", "failed": failures}]}
    for night in range(10):
        (tmp_path / f"2024-03-01T02-00-{night:02d}-ab.json").write_text(json.dumps(large))
    peaks = []
    for kept in (1, 10):
        reports = _night_files.Reports(tmp_path)
        reports._tallies = {name: tally(REPORT) for name in stamped(tmp_path)[kept:]}
        tracemalloc.start()
        reports.write(REPORT, keep=99)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
    listed = (tmp_path / "index.html").read_text()
    assert listed.count("<td>4000</td>") == 10


def test_a_report_that_cannot_be_written_where_it_should_be_goes_elsewhere(
    base, run_night, monkeypatch, tmp_path
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "file").write_text("in the way")
    morning = run_night(base / "one", folder=tmp_path / "file")
    assert morning.page.exists() and morning.page.parent.parent == tmp_path
    assert "no report can be written there" in morning.trouble and done(morning)["one"] > 0


def test_a_disk_that_is_full_at_the_end_leaves_the_report_elsewhere(base, run_night, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def full(path: Path, text: str) -> None:
        if path.is_relative_to(base):
            raise OSError(28, "No space left on device")
        real(path, text)

    real = _night_files._replace
    monkeypatch.setattr(_night_files, "_replace", full)
    morning = run_night(base / "one")
    assert "No space left" in morning.trouble and morning.page.exists() and morning.data.exists()


def anipipe(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = invoke(arguments)
    return status, out.getvalue(), err.getvalue()


def test_the_command_is_quiet_until_something_fails(base, film):
    put(video(base, "one", "s1"), film[: len(film) // 2])
    quiet = subprocess.run(
        [sys.executable, "-m", "anipipe.cli", "nightly", str(base / "two"), "-j1", "--settle", "0.01"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert (base / "two/s1/videos-labeled/t.mp4").exists()
    (base / "one/config.toml").write_text("nonsense")
    status, out, err = anipipe("nightly", str(base / "one"), str(base / "two"), "--settle", "0")
    assert (status, out) == (1, "")
    assert "1 of 2 experiments needs a look" in err and "one/config.toml" in err
    assert err.splitlines()[-1] == f"report: {max((base / 'one/.anipipe/nightly').glob('2*.html'))}"
    status, out, err = anipipe("nightly", str(base / "two"), "--verbose")
    assert status == 0 and "All well: nothing had to be done." in err


@posix
def test_the_command_for_failures_is_given_the_report(base, tmp_path):
    (base / "one/config.toml").write_text("nonsense")
    script = tmp_path / "tell me.sh"
    script.write_text(
        '#!/bin/sh\n{ echo "$#|$1|$2|$3|$ANIPIPE_STATUS|$ANIPIPE_REPORT"; cat; } > "$0.out"\nexit 3\n'
    )
    script.chmod(0o755)
    command = ("--settle", "0", "--on-failure", f"'{script}' 'chat room'")
    status, _, err = anipipe("nightly", str(base / "one"), *command)
    assert status == 2 and "exit status 3" in err
    head, *summary = Path(f"{script}.out").read_text().splitlines()
    count, word, page, data, told, shown = head.split("|")
    assert (count, word, told, page) == ("3", "chat room", "2", shown)
    assert Path(page).exists() and json.loads(Path(data).read_text())["exit_status"] == 2
    assert summary[-1] == f"report: {page}" and "\x1b" not in "".join(summary)
    Path(f"{script}.out").unlink()
    (base / "two/config.toml").write_text("nightly.enabled = false\n")
    assert anipipe("nightly", str(base / "two"), *command)[0] == 0
    assert not Path(f"{script}.out").exists(), "nothing failed"


@posix
def test_the_command_for_failures_is_called_if_the_night_was_refused(base, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "index.html").write_text("<html>my home page</html>")
    script = tmp_path / "tell"
    script.write_text('#!/bin/sh\n{ ls "$1" "$2"; cat; } > "$0.out"\n')
    script.chmod(0o755)
    status, _, _ = anipipe("nightly", str(base), "--report", str(tmp_path), "--on-failure", str(script))
    page, data, *summary = Path(f"{script}.out").read_text().splitlines()
    assert status == 2 and Path(page).parent.parent == tmp_path and page[:-4] == data[:-4]
    told = json.loads(Path(data).read_text())
    assert told["exit_status"] == 2 and told["experiments"] == []
    assert "could not be used; nothing was done" in summary[0] and "is not a page" in " ".join(summary)
    assert not (base / "one/.anipipe").exists()


@posix
def test_a_command_for_failures_that_hangs_is_ended_with_its_children(tmp_path):
    script = tmp_path / "hang.sh"
    script.write_text('#!/bin/sh\nsleep 60 &\necho $! > "$0.pid"\nwait\n')
    script.chmod(0o755)
    began = time.monotonic()
    trouble = on_failure.call([str(script)], tmp_path, tmp_path, 1, "text", patience=0.5)
    assert "longer than 0.5 s" in trouble and time.monotonic() - began < 10
    child = int(Path(f"{script}.pid").read_text())
    for _ in range(50):
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or ") Z " in stat.read_text():
            break
        time.sleep(0.05)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, 0)
            pytest.fail("a child of the command goes on")


def test_a_command_for_failures_that_is_not_there_is_told(tmp_path):
    assert "cannot be started" in on_failure.call([str(tmp_path / "none")], tmp_path, tmp_path, 1, "")
    for wrong in ("", "  ", "'open"):
        with pytest.raises(UsageError, match="--on-failure"):
            on_failure.parse(wrong)
    assert on_failure.parse("mail -s 'a b' $HOME") == ["mail", "-s", "a b", "$HOME"]


AWKWARD = Path('/data/my lab/50% & $HOME "quoted"')
PROGRAM = ["/opt/a venv/bin/anipipe"]


@posix
def test_the_line_for_cron_has_five_fields_and_the_command():
    lines = night_templates.filled("crontab", [Path("/data"), AWKWARD], PROGRAM).splitlines()
    (entry,) = [line for line in lines if line and line[0] != "#" and "=" not in line.split()[0]]
    *fields, command = entry.split(maxsplit=5)
    assert fields == ["0", "2", "*", "*", "*"]
    assert "%" not in command.replace(r"\%", ""), "cron takes it for a line break"
    said = subprocess.run(
        ["/bin/sh", "-c", 'printf "%s\\n" ' + command.replace(r"\%", "%")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == [*PROGRAM, "nightly", "--until", "07:00", "/data", str(AWKWARD)]


@posix
def test_the_script_for_slurm_is_one_for_bash():
    text = night_templates.filled("slurm", [AWKWARD], [sys.executable, "-m", "anipipe.cli"])
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert text.startswith("#!/bin/bash\n") and "#SBATCH --begin=02:00" in text
    last = text.splitlines()[-1].replace("exec ", "printf '%s\\n' ")
    said = subprocess.run(
        ["bash", "-c", last], capture_output=True, text=True, check=True, env={"SLURM_CPUS_PER_TASK": "16"}
    )
    expected = [
        sys.executable,
        "-m",
        "anipipe.cli",
        "nightly",
        "--until",
        "07:00",
        "--jobs",
        "16",
        str(AWKWARD),
    ]
    assert said.stdout.splitlines() == expected


def test_the_task_for_windows_is_xml():
    text = night_templates.filled("windows", [Path("/data"), AWKWARD], PROGRAM)
    task = ElementTree.fromstring(text.encode())
    names = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    assert task.findtext(".//t:Command", namespaces=names) == '"/opt/a venv/bin/anipipe"'
    arguments = task.findtext(".//t:Arguments", namespaces=names)
    assert arguments == f"nightly --until 07:00 {subprocess.list2cmdline(['/data', str(AWKWARD)])}"
    assert task.find(".//t:CalendarTrigger/t:ScheduleByDay", names) is not None


@posix
def test_the_units_for_systemd_are_valid(tmp_path):
    program = tmp_path / "a venv" / "anipipe"
    program.parent.mkdir()
    shutil.copy("/bin/true", program)
    text = night_templates.filled("systemd", [Path("/data"), AWKWARD], [str(program)])
    service, _, timer = text.partition("# anipipe every night, by systemd, second")
    assert (
        f'ExecStart="{program}" nightly --until 07:00 "/data" "/data/my lab/50%% & $$HOME \\"quoted\\""'
        in service
    )
    assert "OnCalendar=*-*-* 02:00:00" in timer and "WantedBy=timers.target" in timer
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here to check them")
    units = []
    for name, content in (("anipipe-nightly.service", service), ("anipipe-nightly.timer", f"#{timer}")):
        units.append(tmp_path / name)
        units[-1].write_text(content)
    checked = subprocess.run(
        ["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_templates_are_printed_for_this_installation(base):
    status, out, _ = anipipe("nightly", "--template", "crontab", str(base))
    assert status == 0 and out.splitlines()[-1].endswith(f"nightly --until 07:00 {base}")
    assert Path(out.splitlines()[-1].split()[5]).exists() and "{{" not in out
    assert not (base / ".anipipe").exists(), "nothing else is done"
    status, _, err = anipipe("nightly", "--template", "crontab", "--until", "06:00", str(base))
    assert status == 2 and "--template takes no --until" in err
    assert anipipe("nightly")[0] == 2, "not by mistake over whatever folder one is in"
    with pytest.raises(UsageError, match="control characters"):
        night_templates.filled("crontab", [Path("/data\n* * * * * rm")])
