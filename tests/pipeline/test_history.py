"""Past runs, also those that were killed, and the story of a session."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from anipipe.commands.history import past_runs
from anipipe.engine.lock import Lock
from tests.conftest import Lab


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


def test_runs_are_listed_with_what_they_did(lab: Lab):
    assert "nothing has been run here yet" in lab.run("runs")
    lab.run("run-data")
    lab.run("run-data")
    path, content = break_prediction(lab)
    lab.run("run-data", check=1)
    path.write_bytes(content)
    first, second, third = listed(lab)
    assert first["done"] == 46 and first["exit_status"] == 0 and first["state"] == "ended"
    assert (second["done"], second["failed"], second["exit_status"]) == (0, 0, 0)
    assert third["failed"] == 1 and third["blocked"] > 0 and third["exit_status"] == 1
    assert first["host"] and first["version"] and first["started"] < third["started"]
    assert 0 < second["seconds"] < first["seconds"]
    lines = lab.run("runs", "-n", "1").splitlines()
    assert len(lines) == 2 and lines[0].split()[:3] == ["started", "command", "time"]
    assert lines[1].split()[-1] == "1"


def test_the_story_of_a_session_is_told_in_order_with_reasons_and_tracebacks(lab: Lab):
    lab.run("run-data")
    path, content = break_prediction(lab)
    lab.run("run-data", check=1)
    lab.run("run-data", check=1)
    path.write_bytes(content.replace(b"0.95", b"0.96"))
    config = lab.root / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.6"))
    lab.run("run-data")
    events = log(lab, "control/mouse2", "--stage", "triangulate", "--stage", "pose-2d")
    told = [(event["job"], event["state"]) for event in events]
    job, other = "pose-2d control/mouse2/t1_B", "pose-3d control/mouse2/t1"
    assert [state for name, state in told if name == job] == ["fresh", "failed", "failed", "fresh"]
    assert [state for name, state in told if name == other] == ["fresh", "blocked", "blocked", "fresh"]
    assert {event["session"] for event in events} == {"control/mouse2"}
    assert [event["when"] for event in events] == sorted(event["when"] for event in events)
    failed = [event for event in events if event["state"] == "failed"]
    assert all("DataError" in event["traceback"] and len(event["traceback"]) <= 4000 for event in failed)
    assert "triangulation.score_threshold: 0.5 -> 0.6" in events[-1]["reasons"]

    lines = lab.run("log", "control/mouse2", "--stage", "pose-2d").splitlines()
    assert sum(line.startswith("    | ") for line in lines) == 12, "the end of the traceback, once"
    assert [line for line in lines if "failed" in line][1].endswith("as the time before")
    assert "done pose-2d control/mouse2/t1_B" in lines[-1] and "failed the time before" in lines[-1]
    assert sum("exit status" in line for line in lines) == 4, "a heading for each run"
    assert len(log(lab, "control/mouse2", "-n", "2")) == 2


def test_the_story_of_what_is_gone_and_of_everything(lab: Lab):
    lab.run("run-data")
    everything = log(lab, ".")
    assert len(everything) == 46
    shutil.rmtree(lab.root / "treated")
    gone = log(lab, "treated/mouse3")
    assert gone and {event["session"] for event in gone} == {"treated/mouse3"}
    assert log(lab, "treated") == gone, "a folder stands for the sessions that are, or were, in it"
    assert "no run that is kept has done anything for nothing" in lab.run("log", "nothing")
    assert "there is no such stage" in lab.run("log", ".", "--stage", "nonsense", check=2)


def test_a_run_from_before_this_was_noted_is_listed(lab: Lab):
    lab.run("run-data")
    (report,) = (lab.root / ".anipipe/runs").glob("*.json")
    content = json.loads(report.read_text())
    for key in ("host", "version", "pid", "executor", "put_off"):
        content.pop(key)
    for job in content["jobs"]:
        job.pop("session")
        job.pop("at")
    report.write_text(json.dumps(content))
    assert listed(lab)[0]["done"] == 46
    assert {event["job"] for event in log(lab, "treated/mouse3")} >= {"pose-3d treated/mouse3/t1"}
    assert lab.run("runs") and lab.run("log", "treated/mouse3")


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


def test_a_lock_that_is_no_runs_makes_none_look_as_if_it_ran(lab: Lab):
    lab.run("run-data")
    with Lock(lab.root):
        assert [run.state for run in past_runs(lab.root)] == ["ended"]
