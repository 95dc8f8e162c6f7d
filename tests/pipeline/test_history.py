"""Past runs, also those that were killed, and the story of a session."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anipipe.commands.history import past_runs
from anipipe.engine.lock import Lock
from tests.conftest import Lab, make_lab


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = make_lab(tmp_path_factory.mktemp("first") / "experiment")
    lab.run("run-data")
    return lab


@pytest.fixture
def ran(first: Lab, tmp_path: Path) -> Lab:
    """A copy of an experiment in which all data has been made, in one run."""
    shutil.copytree(first.root, tmp_path / "ran")
    return replace(first, root=tmp_path / "ran")


def listed(lab: Lab) -> list[dict[str, Any]]:
    (told,) = json.loads(lab.run("runs", "--json"))
    return told["runs"]


def log(lab: Lab, *arguments: str) -> list[dict[str, Any]]:
    return json.loads(lab.run("log", "--json", *arguments))


def break_prediction(lab: Lab) -> tuple[Path, bytes]:
    path = lab.root / "control/mouse2/predictions/t1_BDLC_net_x1.csv"
    content = path.read_bytes()
    path.write_bytes(b"scorer,net\nbodyparts,nose\n")
    return path, content


def test_runs_are_listed_with_what_they_did(lab: Lab, ran: Lab):
    assert "nothing has been run here yet" in lab.run("runs")
    ran.run("run-data")
    path, content = break_prediction(ran)
    ran.run("run-data", check=1)
    path.write_bytes(content)
    first, second, third = listed(ran)
    assert first["done"] == 46 and first["exit_status"] == 0 and first["state"] == "ended"
    assert (second["done"], second["failed"], second["exit_status"]) == (0, 0, 0)
    assert third["failed"] == 1 and third["blocked"] > 0 and third["exit_status"] == 1
    assert first["host"] and first["version"] and first["started"] < third["started"]
    assert 0 < second["seconds"] < first["seconds"]
    lines = ran.run("runs", "-n", "1").splitlines()
    assert len(lines) == 2 and lines[0].split()[:3] == ["started", "command", "time"]
    assert lines[1].split()[-1] == "1"


def test_the_story_of_a_session_is_told_in_order_with_reasons_and_tracebacks(ran: Lab):
    path, content = break_prediction(ran)
    ran.run("run-data", check=1)
    ran.run("run-data", check=1)
    path.write_bytes(content.replace(b"0.95", b"0.96"))
    config = ran.root / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.6"))
    ran.run("run-data")
    events = log(ran, "control/mouse2", "--stage", "triangulate", "--stage", "pose-2d")
    told = [(event["job"], event["state"]) for event in events]
    job, other = "pose-2d control/mouse2/t1_B", "pose-3d control/mouse2/t1"
    assert [state for name, state in told if name == job] == ["fresh", "failed", "failed", "fresh"]
    assert [state for name, state in told if name == other] == ["fresh", "blocked", "blocked", "fresh"]
    assert {event["session"] for event in events} == {"control/mouse2"}
    assert [event["when"] for event in events] == sorted(event["when"] for event in events)
    failed = [event for event in events if event["state"] == "failed"]
    assert all("DataError" in event["traceback"] and len(event["traceback"]) <= 4000 for event in failed)
    assert "triangulation.score_threshold: 0.5 -> 0.6" in events[-1]["reasons"]

    lines = ran.run("log", "control/mouse2", "--stage", "pose-2d").splitlines()
    assert sum(line.startswith("    | ") for line in lines) == 12, "the end of the traceback, once"
    assert [line for line in lines if "failed" in line][1].endswith("as the time before")
    assert "done pose-2d control/mouse2/t1_B" in lines[-1] and "failed the time before" in lines[-1]
    assert sum("exit status" in line for line in lines) == 4, "a heading for each run"
    assert len(log(ran, "control/mouse2", "-n", "2")) == 2


def test_the_story_of_what_is_gone_and_of_everything(ran: Lab):
    everything = log(ran, ".")
    assert len(everything) == 46
    shutil.rmtree(ran.root / "treated")
    gone = log(ran, "treated/mouse3")
    assert gone and {event["session"] for event in gone} == {"treated/mouse3"}
    assert log(ran, "treated") == gone, "a folder stands for the sessions that are, or were, in it"
    (ran.root / "nothing").mkdir()
    assert "no run that is kept has done anything for nothing" in ran.run("log", "nothing")
    assert "no session here, and no run that is kept has one" in ran.run("log", "nowhere", check=2)
    assert "did you mean control/mouse1?" in ran.run("log", "mouse1", check=2)
    assert "there is no such stage; there are" in ran.run("log", ".", "--stage", "nonsense", check=2)
    assert "did you mean pose-3d?" in ran.run("log", ".", "--stage", "pose3d", check=2)


def test_a_run_from_before_this_was_noted_is_listed(ran: Lab):
    (report,) = (ran.root / ".anipipe/runs").glob("*.json")
    content = json.loads(report.read_text())
    for key in ("host", "version", "pid", "executor", "put_off"):
        content.pop(key)
    for job in content["jobs"]:
        job.pop("session")
        job.pop("at")
    report.write_text(json.dumps(content))
    assert listed(ran)[0]["done"] == 46
    assert {event["job"] for event in log(ran, "treated/mouse3")} >= {"pose-3d treated/mouse3/t1"}
    assert ran.run("runs") and ran.run("log", "treated/mouse3")


@pytest.mark.skipif(sys.platform == "win32", reason="kills with POSIX signals")
def test_a_killed_run_is_told_from_one_that_is_running(lab: Lab):
    process = subprocess.Popen(
        [sys.executable, "-m", "anipipe.cli", "run-data", "-j1"],
        cwd=lab.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = lab.root / ".anipipe/runs"
    while not any(path.read_text().count("\n") > 3 for path in folder.glob("*.jsonl")):
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGSTOP)
    assert [run.state for run in past_runs(lab.root)] == ["running"]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (run,) = listed(lab)
    assert (run["state"], run["exit_status"]) == ("killed", None)
    assert run["done"] >= 2 and run["command"] == ["run-data", "-j1"] and run["seconds"] > 0
    assert len(log(lab, ".")) == run["done"]
    with next(folder.glob("*.jsonl")).open("a") as file:
        file.write('{"job": "half a li')
    lab.run("run-data")
    first, second = listed(lab)
    assert (first["state"], second["state"]) == ("killed", "ended")
    assert first["done"] == run["done"] and "killed" in lab.run("runs")
    assert not list(folder.glob(f"{second['name']}.jsonl")), "it is only for runs without a report"


WHOLE = {"started": "2024-03-01T02:00:00+01:00", "exit_status": 0, "seconds": 1.0}
JOB = {"job": "pose-2d s1/t", "session": "s1", "state": "fresh", "ran": True, "at": 1.0, "seconds": 1.0}
ODD = [
    *({"a": 1}, [], None, {**WHOLE, "exit_status": None}, {**WHOLE, "exit_status": []}),
    *(
        {**WHOLE, "started": wrong}
        for wrong in ("2024-03-01T02:00:00", "soon", "0001-01-01", "9999-12-31", 1)
    ),
    *({**WHOLE, key: wrong} for key in ("jobs", "command") for wrong in (1, None, "text", [1])),
    *({**WHOLE, key: wrong} for key in ("seconds", "put_off") for wrong in ("text", [], float("nan"), 1e300)),
    *({**WHOLE, "jobs": [{**JOB, key: wrong}]} for key in ("at", "seconds") for wrong in ("x", [], 1e300)),
    *({**WHOLE, "jobs": [{**JOB, key: 1}]} for key in ("reasons", "notices", "job", "traceback", "session")),
]


def test_whatever_lies_among_the_reports_all_else_is_listed(lab: Lab):
    folder = lab.root / ".anipipe/runs"
    folder.mkdir(parents=True)
    lines = json.dumps(WHOLE | {"exit_status": 7}) + "\n" + json.dumps(JOB)
    odd = [*map(json.dumps, ODD), "[" * 100_000, "{"]
    names = [f"2024-03-01T02-00-00-{number:02d}" for number in range(len(odd))]
    for name, text in zip(names, odd, strict=True):
        (folder / f"{name}.json").write_text(text)
    for name, text in (("ba", "\n".join(odd)), ("bb", lines), ("bc", json.dumps(JOB | {"at": "x"}))):
        (folder / f"2024-03-01T02-00-00-{name}.jsonl").write_text(text)
    (folder / "2024-99-99T99-99-99-dd.json").write_text("[]")
    (folder / "0001-01-01T00-00-00-dd.json").write_text(json.dumps(WHOLE | {"jobs": [JOB]}))
    told = {run["name"]: run for run in listed(lab)}
    assert len(told) == len(names) + 5
    assert [told[name]["state"] for name in names[:5]] == ["killed"] * 5, "they do not say how they ended"
    assert told["2024-03-01T02-00-00-bb"]["seconds"] == 1.0
    assert told["0001-01-01T00-00-00-dd"]["started"] == WHOLE["started"]
    assert all(told[name]["started"].startswith("2024-03-01T02:00:00") for name in names)
    assert lab.run("runs").count("2024-03-01 02:00:00") == len(told) - 1
    events = log(lab, ".")
    assert len(events) == len(log(lab, "s1")) + 1, "one job does not tell its session"
    assert lab.run("log", ".").count("done pose-2d s1/t") == len(events)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_pipes_are_not_waited_for(lab: Lab):
    folder = lab.root / ".anipipe/runs"
    folder.mkdir(parents=True)
    for path in ("runs/2024-03-01T02-00-00-aa.json", "runs/2024-03-01T02-00-00-aa.jsonl", "lock"):
        os.mkfifo(lab.root / ".anipipe" / path)
    (run,) = listed(lab)
    assert (run["state"], run["done"]) == ("killed", 0) and log(lab, ".") == []


def test_a_lock_that_is_no_runs_makes_none_look_as_if_it_ran(ran: Lab):
    with Lock(ran.root):
        assert [run.state for run in past_runs(ran.root)] == ["ended"]
