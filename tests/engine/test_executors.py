from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from anipipe.engine.executors import THREADS, InProcess, LocalProcesses, WorkersDied, limit_threads
from anipipe.engine.freshness import State

from .textline import Lab, Watcher


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


def test_worker_that_dies_while_writing_leaves_nothing(lab):
    lab.put("a/source/one.txt", "DIE-WRITING")
    done = lab.run(LocalProcesses(2))
    assert "upper a/one" in done.failed
    assert not lab.path("a/upper/one.txt").exists()
    lab.run(only=["join"])
    assert lab.leftovers() == [], "at the latest, the next run cleans up"


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
