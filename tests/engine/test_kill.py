from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anipipe.engine.freshness import State

from .textline import Lab, Watcher

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills process groups")

KILLS, PAUSE = 12, 0.03


def start(root: Path, workers: int) -> subprocess.Popen:
    script = Path(__file__).with_name("textline.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(root), str(workers), str(PAUSE)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def workers_end(group: int, seconds: float) -> bool:
    """Wait for the other processes of a killed run to end; say whether they did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        if all_zombies(group):
            return True
        time.sleep(0.01)
    return False


def kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def all_zombies(group: int) -> bool:
    if not Path("/proc").is_dir():
        return False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            return False
    return True


def fill(lab: Lab) -> None:
    for index in range(30):
        lab.put(f"{'abc'[index % 3]}/source/n{index}.txt", f"text {index}")
    lab.put("a/note.txt", "a note")
    lab.settings["pause"] = PAUSE


@pytest.mark.parametrize(("workers", "seed"), [(0, 1), (2, 2)])
def test_run_that_is_killed_again_and_again_ends_like_one_that_never_was(tmp_path, workers, seed):
    chance = random.Random(seed)
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    lab, whole = Lab(tmp_path / "killed"), Lab(tmp_path / "whole")
    fill(lab)
    fill(whole)
    whole.run()
    progress, groups = [], []
    for turn in range(KILLS // 2):
        known = recorded(lab)
        process = start(lab.root, workers)
        groups.append(process.pid)
        try:
            lock = lab.path(".anipipe/lock")
            before = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < before and not fresh_lock(lock, process.pid):
                time.sleep(0.002)
            if turn % 2:  # in the middle of work, which workers take a while to start with
                while process.poll() is None and time.monotonic() < before and recorded(lab) == known:
                    time.sleep(0.002)
            time.sleep(chance.uniform(0.0, 0.25))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
        states = lab.states().values()
        assert set(states) <= {State.FRESH, State.STALE, State.PENDING}, "nothing of ours looks foreign"
        progress.append(sum(state is State.FRESH for state in states))
        if turn == 2:  # what was done is stale now, and half of that may be done again when it is killed
            for target in (lab, whole):
                target.put("a/source/n0.txt", "changed")
                target.put("b/source/n1.txt", "changed too")
    time.sleep(0.5)  # what its workers are at, they finish, and throw it away
    for group in groups:
        kill_group(group)
    assert max(progress) > 0, "killed too early for anything to be done"
    done = lab.run()
    whole.run()
    assert not done.failed and not done.blocked
    assert lab.tree() == whole.tree()
    assert lab.leftovers() == []
    assert set(lab.states().values()) == {State.FRESH}
    assert lab.run().made == set()


def recorded(lab: Lab) -> int:
    return sum(path.stat().st_size for path in lab.root.glob("*/.anipipe/records.jsonl"))


def fresh_lock(lock: Path, pid: int) -> bool:
    try:
        return f'"pid": {pid}' in lock.read_text()
    except OSError:
        return False


def test_workers_of_a_killed_run_end_soon(tmp_path):
    """They hold memory, perhaps a GPU's, and cores that the next run needs."""
    lab = Lab(tmp_path)
    fill(lab)
    process = start(lab.root, 2)
    while process.poll() is None and not list(lab.root.glob("*/upper/n*.txt")):
        time.sleep(0.005)
    process.kill()
    process.wait()
    try:
        assert workers_end(process.pid, 5)
    finally:
        kill_group(process.pid)
    assert 0 < len(list(lab.root.glob("*/upper/n*.txt"))) < 30


def test_workers_that_are_in_the_middle_of_a_long_job_end_soon_and_the_next_run_cleans_up(tmp_path):
    """A job may take hours: nobody waits for it, and what it has begun to write must not stay."""
    lab = Lab(tmp_path)
    for name in ("one", "two"):
        lab.put(f"a/source/{name}.txt", "linger")
    process = start(lab.root, 2)
    try:
        end = time.monotonic() + 20
        while len(list(lab.root.glob("a/upper/.anipipe-*"))) < 2:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert workers_end(process.pid, 5)
    finally:
        process.kill()
        process.wait()
        kill_group(process.pid)
    assert len(list(lab.root.glob("a/upper/.anipipe-*"))) == 2
    assert lab.path(".anipipe/unfinished").exists()
    for name in ("one", "two"):
        lab.put(f"a/source/{name}.txt", "text")
    watcher = Looking(lab)
    done = lab.run(watcher=watcher)
    assert watcher.found == [".anipipe/lock", ".anipipe/unfinished"], "swept before anything is begun"
    assert len(done.made) == 6 and not done.failed
    assert lab.leftovers() == []


class Looking(Watcher):
    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab, self.found = lab, []

    def begin(self, plan) -> None:
        self.found = self.lab.leftovers()
