"""A run that is interrupted keeps what it has; a second one at the same time is turned away."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import Lab


def states(lab: Lab) -> set[str]:
    """Return the states of all jobs but that of the calibration, which is given."""
    (described,) = json.loads(lab.run("status", "--json"))
    return {job["state"] for job in described["jobs"] if job["stage"] != "calibrate"}


def start(root: Path, jobs: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "anipipe.cli", "run-all", f"-j{jobs}"],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_a_second_run_at_the_same_time_is_turned_away(lab: Lab):
    process = start(lab.root, jobs=1)
    lock = lab.root / ".anipipe/lock"
    try:
        for _ in range(2000):
            if lock.exists():
                break
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGSTOP)  # so that it is surely still at it
        text = lab.run("run-all", check=75)
        assert f"process {process.pid} on" in text
        assert str(lab.root) in text
        assert lab.run("status")
    finally:
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait() == 0
    assert "0 jobs done" in lab.run("run-all")


def test_an_interrupted_run_keeps_what_was_done(lab: Lab):
    landed = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(lab.root, jobs=1)
        while not list(lab.root.rglob("pose-2d/*.h5")) and process.poll() is None:
            time.sleep(0.002)
        with contextlib.suppress(ProcessLookupError):  # it may have been quicker
            os.kill(process.pid, number)
        landed += process.wait() == 130
        assert process.returncode in (130, 0)
        assert not (lab.root / ".anipipe/lock").exists()
        assert not list(lab.root.rglob(".anipipe-*"))
        report = max((lab.root / ".anipipe/runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        assert json.loads(report.read_text())["exit_status"] == process.returncode
        assert states(lab) <= {"fresh", "stale", "pending"}
        for folder in list(lab.root.rglob("pose-2d")):
            shutil.rmtree(folder)
    assert landed
    lab.run("run-all")
    assert "0 jobs done" in lab.run("run-all")
