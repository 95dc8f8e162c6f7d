"""A run that is killed at any moment goes on as if nothing had been.

``ANIPIPE_KILLS`` sets how often runs are killed (default: once in each of four ways, which is quick).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Lab

KILLS = int(os.environ.get("ANIPIPE_KILLS", "4"))


def states(lab: Lab) -> Counter[str]:
    """Count the states of all jobs but that of the calibration, which is given."""
    (described,) = json.loads(lab.run("status", "--json"))
    return Counter(job["state"] for job in described["jobs"] if job["stage"] != "calibrate")


def start(root: Path, jobs: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "anipipe.cli", "run-all", f"-j{jobs}"],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="kills with POSIX signals")
def test_killed_runs_end_like_one_never_killed(lab: Lab, tmp_path: Path):
    whole = Lab(tmp_path / "whole", lab.rig)
    shutil.copytree(lab.root, whole.root)
    whole.run("run-all", "-j2")
    expected, config = whole.files(), (whole.root / "config.toml").read_text()
    other = config.replace("0.5", "0.99")
    report = json.loads(next((whole.root / ".anipipe/runs").glob("*.json")).read_text())
    rng = np.random.default_rng(KILLS)
    landed = tries = 0
    while landed < KILLS and tries < 3 * KILLS:
        tries += 1
        process = start(lab.root, jobs=1 + tries % 2)
        while not (lab.root / ".anipipe/lock").exists() and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, report["seconds"]))
        if process.poll() is None:
            # Half the time the workers are killed too; else they find themselves orphaned.
            (os.killpg if tries % 4 < 2 else os.kill)(process.pid, signal.SIGKILL)
            landed += 1
        process.wait()
        counts = states(lab)
        assert not {"given", "edited", "conflict", "archived"} & set(counts), counts
        if "stale" not in counts:  # it is complete: give the next one something to do
            now = (lab.root / "config.toml").read_text()
            (lab.root / "config.toml").write_text(config if now == other else other)
            shutil.rmtree(lab.root / "control/mouse1/pose-2d")
    (lab.root / "config.toml").write_text(config)
    lab.run("run-all", "-j2")
    assert landed == KILLS
    assert lab.files() == expected
    assert not list(lab.root.rglob(".anipipe-*"))
    assert not (lab.root / ".anipipe/lock").exists()
    assert "0 jobs done" in lab.run("run-all")


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
        assert set(states(lab)) <= {"fresh", "stale", "pending"}
        for folder in list(lab.root.rglob("pose-2d")):
            shutil.rmtree(folder)
    assert landed
    lab.run("run-all")
    assert "0 jobs done" in lab.run("run-all")
