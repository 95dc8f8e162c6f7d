from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from anipipe.engine import executors
from anipipe.engine.executors import THREADS, InProcess, LocalProcesses, WorkersDied, limit_threads
from anipipe.engine.freshness import State

from .textline import END, Lab, Watcher


def thread_settings(_):
    return {name: os.environ.get(name) for name in THREADS}, os.getpid()


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def double(value):
    return value * 2


def test_in_process_runs_at_once_and_here():
    executor = InProcess()
    assert executor.submit(double, 4).result() == 8
    assert executor.submit(thread_settings, None).result()[1] == os.getpid()
    executor.restart()
    executor.close()


def test_workers_are_other_processes_with_one_thread_each():
    executor = LocalProcesses(1)
    try:
        environment, pid = executor.submit(thread_settings, None).result()
        assert pid != os.getpid()
        assert set(environment.values()) == {"1"}
        executor.restart()
        assert executor.submit(double, 4).result() == 8
    finally:
        executor.close(kill=True)


def test_pool_whose_worker_died_says_so_until_it_is_started_anew():
    executor = LocalProcesses(1)
    try:
        with pytest.raises(BrokenProcessPool):
            executor.submit(die, None).result()
        with pytest.raises(WorkersDied):
            executor.submit(double, 1)
        executor.restart()
        assert executor.submit(double, 4).result() == 8
    finally:
        executor.close(kill=True)


def test_limit_threads(monkeypatch):
    for name in THREADS:
        monkeypatch.setenv(name, "7")
    limit_threads()
    assert all(os.environ[name] == "1" for name in THREADS)


_ARRAYS = """
import resource, sys
import numpy as np
from anipipe.engine.executors import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
np.ones(500_000).sum()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    np.ones(500_000).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_arrays_reuse_memory_though_a_worker_is_told_to_give_it_back():
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}  # as Dask tells its workers
    faults = [
        int(subprocess.run([sys.executable, "-c", _ARRAYS, how], env=environment, capture_output=True).stdout)
        for how in ("keep", "give back")
    ]
    assert faults[0] < faults[1] / 100


def test_serial_and_parallel_make_identical_trees(lab, tmp_path):
    for index in range(8):
        lab.put(f"{'ab'[index % 2]}/source/n{index}.txt", f"text {index}")
    lab.put("a/note.txt", "a note")
    lab.put("c/source/x.txt", "FAIL")
    shutil.copytree(lab.root, tmp_path / "other")
    other = Lab(tmp_path / "other")
    one, two = lab.run(), other.run(LocalProcesses(2))
    assert one.made == two.made and one.failed == two.failed == {"upper c/x"}
    assert lab.tree() == other.tree()
    assert other.run().watcher.order == ["upper c/x"], "what failed is tried again, and nothing else"
    assert lab.leftovers() == other.leftovers() == []
    assert {k: str(v) for k, v in one.watcher.states.items()} == {
        k: str(v) for k, v in two.watcher.states.items()
    }


def test_many_short_jobs_into_one_folder_give_right_files(tmp_path):
    """A worker writes the next one's output beside one that still waits for its commit."""
    lab = Lab(tmp_path)
    for index in range(150):
        lab.put(f"a/source/n{index}.txt", f"text {index}")
    done = lab.run(LocalProcesses(2))
    assert done.failed == done.blocked == set()
    assert len(done.made) == 154
    for index in range(150):
        assert lab.text(f"a/upper/n{index}.txt") == f"<TEXT {index}>\n{END}"
    assert set(lab.states().values()) == {State.FRESH}, "and what is recorded is what is there"
    assert lab.run().made == set()
    assert lab.leftovers() == []


def test_failures_come_back_from_workers_with_their_traceback(lab):
    lab.put("a/source/one.txt", "CRASH")
    lab.put("a/source/two.txt", "NOTICE")
    done = lab.run(LocalProcesses(2))
    assert done.failed == {"upper a/one"}
    job = next(job for job in done.outcome.failed)
    assert "run_upper" in done.plan.claims(job).failure["traceback"]
    assert done.watcher.notices["upper a/two"] == ["an odd text"]


def test_worker_that_kills_itself_fails_its_job_and_no_other(lab):
    lab.put("a/source/one.txt", "DIE-RUNNING")
    done = lab.run(LocalProcesses(2))
    assert done.failed == {"upper a/one"}
    assert "died 3 times" in done.why("upper a/one")
    assert {"upper a/two", "upper b/one", "upper b/three", "join b", "count"} <= done.made
    assert done.state("join a") is State.BLOCKED


def test_slow_jobs_beside_one_that_kills_workers_are_done(lab):
    """They die with it each time, and are not to blame."""
    lab.put("a/source/one.txt", "DIE-RUNNING")
    lab.put("a/source/two.txt", "SLOW")
    lab.put("b/source/one.txt", "SLOW too")
    done = lab.run(LocalProcesses(2))
    assert done.failed == {"upper a/one"}
    assert {"upper a/two", "upper b/one", "upper b/three"} <= done.made
    assert done.workers_died
    assert lab.leftovers() == []


class Noting(LocalProcesses):
    """Notes, of each job that is submitted, which others are under way; ``(again)`` after workers died."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.noted: list[tuple[str, int]] = []
        self.running: list = []

    def submit(self, function, argument):
        future = super().submit(function, argument)
        self.running = [one for one in self.running if not one.done()]
        self.noted.append((argument.outputs[0][1], len(self.running)))
        self.running.append(future)
        return future

    def restart(self):
        super().restart()
        self.running = []

    def company(self, path: str) -> list[int]:
        return [number for name, number in self.noted if name == path]


def test_jobs_that_were_running_when_a_worker_died_are_tried_again_one_by_one(lab):
    """So that it comes out which of them it was; the others are not to blame, however often it happens."""
    for name in ("one", "two"):
        lab.put(f"a/source/{name}.txt", "DIE-RUNNING")
    for name in ("four", "five"):
        lab.put(f"a/source/{name}.txt", "slow")
    executor = Noting(2)
    done = lab.run(executor)
    assert done.failed == {"upper a/one", "upper a/two"}
    assert {"upper a/four", "upper a/five", "upper b/one", "upper b/three", "join b"} <= done.made
    for name in ("one", "two"):
        company = executor.company(f"a/upper/{name}.txt")
        assert company[-3:] == [0, 0, 0], "three times alone"
        assert len(company) in (3, 4)
    for name in ("a/upper/four.txt", "a/upper/five.txt"):
        company = executor.company(name)
        assert len(company) <= 3 and set(company[1:]) <= {0}
    again = [number for path in {path for path, _ in executor.noted} for number in executor.company(path)[1:]]
    assert again and set(again) == {0}, "whatever is tried again has no company"


class Failing:
    """An executor whose workers die as its test says."""

    capacity = 3
    elsewhere = False
    tells = False
    meter = InProcess.meter

    def __init__(self, dies) -> None:
        self.dies, self.restarts, self.tasks = dies, 0, []

    def submit(self, function, argument):
        path = argument.outputs[0][1]
        self.tasks.append(path)
        future = Future()
        kind = self.dies(path, self.tasks.count(path))
        if kind == "submitting":
            raise WorkersDied
        if kind == "running":
            future.set_exception(BrokenProcessPool("died"))
        elif kind == "unsendable":
            future.set_exception(TypeError("cannot pickle"))
        else:
            future.set_result(function(argument))
        return future

    def restart(self):
        self.restarts += 1

    def close(self, *, kill=False):
        """Nothing to end."""


@pytest.mark.parametrize("kind", ["submitting", "running"])
def test_job_that_ends_its_worker_each_time_is_given_up_after_three(lab, kind):
    executor = Failing(lambda path, turn: kind if path == "tables/count.txt" else None)
    done = lab.run(executor)
    assert done.failed == {"count"} and "died 3 times" in done.why("count")
    assert executor.tasks.count("tables/count.txt") == executor.restarts == 3
    assert done.workers_died


@pytest.mark.parametrize("kind", ["submitting", "running"])
def test_job_whose_worker_died_twice_may_still_be_done(lab, kind):
    executor = Failing(lambda path, turn: kind if path == "tables/count.txt" and turn <= 2 else None)
    done = lab.run(executor)
    assert len(done.made) == 11 and not done.failed
    assert done.workers_died


def test_executor_that_never_works_fails_all_and_ends(lab):
    executor = Failing(lambda path, turn: "submitting")
    done = lab.run(executor)
    assert done.failed == {"upper a/one", "upper a/two", "upper b/one", "upper b/three"}
    assert len(done.blocked) == 7 and done.made == set()


def test_job_that_dies_in_company_gets_no_strike_for_it(lab):
    """Four have died beside each other, and each may have been the one; then each dies twice alone."""
    executor = Failing(lambda path, turn: "running" if "upper" in path and turn <= 3 else None)
    executor.capacity = 4
    done = lab.run(executor)
    assert not done.failed and len(done.made) == 11
    assert [executor.tasks.count(f"a/upper/{name}.txt") for name in ("one", "two")] == [4, 4]


def test_what_cannot_be_sent_to_a_worker_is_its_jobs_failure_at_once(lab):
    executor = Failing(lambda path, turn: "unsendable" if path == "a/joined.txt" else None)
    done = lab.run(executor)
    assert done.failed == {"join a"} and "cannot pickle" in done.why("join a")
    assert executor.restarts == 0 and not done.workers_died


class Late:
    """An executor that gives back one result after the other, a while after it was asked.

    Its workers die as its test says; then nothing is heard any more of what else was under way.
    """

    capacity = 3
    elsewhere = False
    tells = False
    meter = InProcess.meter

    def __init__(self, dies) -> None:
        self.dies, self.tasks, self.running = dies, [], []
        self.beside: list[tuple[str, int, set[str]]] = []
        self.guard = threading.Lock()

    def submit(self, function, argument):
        path, future = argument.outputs[0][1], Future()
        with self.guard:
            self.tasks.append(path)
            turn = self.tasks.count(path)
            kind = self.dies(path, turn)
            if kind == "submitting":
                raise WorkersDied
            self.beside.append((path, turn, {other for other, _, _ in self.running}))
            self.running.append((path, future, kind or function(argument)))
        threading.Timer(0.03, self.deliver).start()
        return future

    def deliver(self):
        with self.guard:
            if self.running:
                _, future, result = self.running.pop(0)
                if result == "running":
                    future.set_exception(BrokenProcessPool("died"))
                else:
                    future.set_result(result)

    def restart(self):
        with self.guard:
            self.running.clear()

    def close(self, *, kill=False):
        """Nothing to end."""


@pytest.mark.parametrize("kind", ["submitting", "running"])
@pytest.mark.parametrize("path", ["a/upper/one.txt", "a/upper/two.txt", "b/upper/three.txt"])
def test_what_was_under_way_when_workers_died_is_neither_lost_nor_given_company(lab, path, kind):
    for group in "ab":
        for number in range(3):
            lab.put(f"{group}/source/n{number}.txt", f"text {number}")
    executor = Late(lambda name, turn: kind if name == path and turn == 1 else None)
    done = lab.run(executor)
    assert len(done.made) == 17 and not done.failed and not done.blocked
    assert set(lab.states().values()) == {State.FRESH}
    assert lab.leftovers() == []
    alone: set[str] = set()
    for name, turn, beside in executor.beside:
        if turn > 1:
            assert beside == set(), f"{name}, tried again, has company"
            alone.add(name)
        else:
            assert not alone & beside, f"{name} joins what is tried again"
    assert path in alone and len(alone) <= executor.capacity


@pytest.mark.parametrize("coordinator", [1, 4321])
def test_worker_ends_when_its_parent_is_another_and_not_before(monkeypatch, coordinator):
    """In a container anipipe itself may have the number 1: that is not yet what orphans have."""
    parent, ended = [coordinator], threading.Event()

    monkeypatch.setattr(os, "getppid", lambda: parent[0])
    monkeypatch.setattr(os, "_exit", lambda status: ended.set())
    executors._follow(coordinator)
    assert not ended.wait(1.2)
    parent[0] = 77
    assert ended.wait(3)


def test_worker_that_dies_while_writing_leaves_nothing(lab):
    lab.put("a/source/one.txt", "DIE-WRITING")
    done = lab.run(LocalProcesses(2))
    assert "upper a/one" in done.failed
    assert not lab.path("a/upper/one.txt").exists()
    assert lab.leftovers() == []


class Interrupting(Watcher):
    def settled(self, job, verdict, **more):
        super().settled(job, verdict, **more)
        if len(self.order) > 5:
            raise KeyboardInterrupt


def test_interrupted_run_with_workers_leaves_nothing_and_goes_on(lab):
    for index in range(10):
        lab.put(f"a/source/n{index}.txt", f"text {index}")
    lab.settings["pause"] = 0.02
    with pytest.raises(KeyboardInterrupt):
        lab.run(LocalProcesses(2), watcher=Interrupting())
    done = lab.run()
    assert not done.failed and not done.blocked and done.made
    assert State.GIVEN not in done.watcher.states.values()
    assert lab.leftovers() == []
