"""Jobs in a Dask cluster: of this test's own, with its workers as separate processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anipipe.engine.dask_executor import GPU, Cluster, ClusterError, DaskExecutor
from anipipe.engine.freshness import State
from anipipe.engine.lanes import Lane

from .textline import Lab, Watcher

pytest.importorskip("distributed")
PROJECT = Path(__file__).parents[2]


class Processes:
    """A scheduler and workers, each a process that can be killed."""

    def __init__(self, folder: Path, allowed_failures: int = 0) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        self.environment |= {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures)}
        self.environment |= {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        self.file.unlink(missing_ok=True)
        here = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file)]
        self.scheduler = self._start("scheduler", here)
        end = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < end:
            time.sleep(0.05)
        return self.scheduler

    def start_worker(self, *more: str) -> subprocess.Popen[bytes]:
        command = ["--scheduler-file", str(self.file), "--nthreads", "1", "--no-dashboard", *more]
        command += ["--local-directory", str(self.folder), "--death-timeout", "20"]
        self.workers.append(self._start("worker", command))
        return self.workers[-1]

    def _start(self, what: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + what, *arguments],
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )

    def connect(self) -> object:
        from distributed import Client

        address = json.loads(self.file.read_text())["address"]
        return Client(address, timeout=5, set_as_default=False)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    started = Processes(tmp_path_factory.mktemp("dask"))
    started.start_worker()
    started.start_worker()
    yield started
    started.close()


@pytest.fixture
def cluster(processes: Processes) -> Iterator[Cluster]:
    opened = Cluster(processes.connect, "here")
    opened.client.wait_for_workers(2, timeout=60)
    yield opened
    opened.close(kill=False)


def fill(lab: Lab) -> None:
    for index in range(8):
        lab.put(f"{'ab'[index % 2]}/source/n{index}.txt", f"text {index}")
    lab.put("c/source/x.txt", "FAIL")


def everything(cluster: Cluster) -> DaskExecutor:
    return DaskExecutor(cluster, everywhere=True)


def test_results_are_those_of_one_process(lab: Lab, tmp_path: Path, cluster: Cluster) -> None:
    fill(lab)
    shutil.copytree(lab.root, tmp_path / "other")
    other = Lab(tmp_path / "other")
    one, two = lab.run(), other.run(everything(cluster))
    assert one.made == two.made and one.failed == two.failed == {"upper c/x"}
    assert lab.tree() == other.tree()
    assert lab.leftovers() == other.leftovers() == []
    assert {k: str(v) for k, v in one.watcher.states.items()} == {
        k: str(v) for k, v in two.watcher.states.items()
    }
    assert other.run(everything(cluster)).watcher.order == ["upper c/x"]


def test_a_job_that_ends_its_worker_is_given_up_after_three(lab: Lab, cluster: Cluster) -> None:
    lab.put("a/source/one.txt", "DIE-RUNNING")
    done = lab.run(everything(cluster))
    assert done.failed == {"upper a/one"} and "died 3 times" in done.why("upper a/one")
    assert {"upper a/two", "upper b/one", "upper b/three", "join b"} <= done.made
    assert done.workers_died and lab.leftovers() == []


def test_what_a_killed_worker_was_at_is_done_by_another(lab: Lab, cluster: Cluster) -> None:
    fill(lab)
    lab.put("c/source/x.txt", "SLOW")
    lab.settings["pause"] = 0.2
    killed: list[int] = []

    class Killing(Watcher):
        def settled(self, job, verdict, **more):
            super().settled(job, verdict, **more)
            if len(killed) < 3 and job.stage.name == "upper":
                busy = [w for w, keys in cluster.client.processing().items() if keys]
                pids = cluster.client.run(os.getpid, workers=busy[:1]).values() if not killed else []
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    done = lab.run(everything(cluster), watcher=Killing())
    assert killed and done.workers_died
    assert not done.failed and not done.blocked
    assert set(lab.states().values()) == {State.FRESH} and lab.leftovers() == []


def test_jobs_of_a_device_go_to_workers_that_have_one(
    lab: Lab, cluster: Cluster, processes: Processes
) -> None:
    worker = processes.start_worker("--resources", f"{GPU}=1")
    cluster.client.wait_for_workers(3, timeout=60)
    end = time.monotonic() + 30
    while not cluster.workers(gpu=True) and time.monotonic() < end:
        time.sleep(0.2)
    seen: dict[str, set[bool]] = {"heavy": set(), "light": set()}
    submit = cluster.submit

    def noting(task, *, gpu, restricted):
        seen["heavy" if task.stage.device(None) else "light"].add(gpu)
        assert restricted
        return submit(task, gpu=gpu, restricted=restricted)

    cluster.submit = noting  # type: ignore[method-assign]
    lab.replace("join", device=always_gpu)
    lanes = [Lane(DaskExecutor(cluster, gpu=True), bool), Lane(DaskExecutor(cluster), "".__eq__)]
    done = lab.run(lanes=lanes)
    assert len(done.made) == 11 and not done.failed
    assert seen == {"heavy": {True}, "light": {False}}
    os.killpg(worker.pid, signal.SIGKILL)


def test_where_there_are_no_workers_any_more_the_run_ends(processes: Processes, monkeypatch) -> None:
    monkeypatch.setattr("anipipe.engine.dask_executor._NONE_FOR", 0.0)
    monkeypatch.setattr("anipipe.engine.dask_executor._LOOK", 0.0)
    cluster = Cluster(processes.connect, "here")
    assert cluster.workers(gpu=False) >= 1, "there are some, so that nothing is wrong"
    monkeypatch.setattr(cluster.client, "scheduler_info", lambda n_workers: {"workers": {}})
    assert not cluster.workers(gpu=False), "from now on it counts"
    time.sleep(0.01)
    with pytest.raises(ClusterError, match="has had no workers"):
        cluster.workers(gpu=False)
    cluster.close(kill=False)


def always_gpu(unit: object) -> str:
    return "auto"


def test_a_scheduler_that_is_gone_ends_the_run_and_the_next_goes_on(lab: Lab, tmp_path: Path) -> None:
    lab.settings["pause"] = 0.3
    folder = tmp_path / "cluster"
    folder.mkdir()
    processes = Processes(folder)
    processes.start_worker()
    try:
        cluster = Cluster(processes.connect, "here")
        cluster.client.wait_for_workers(1, timeout=60)

        class Killing(Watcher):
            def settled(self, job, verdict, **more):
                super().settled(job, verdict, **more)
                if processes.scheduler.poll() is None:
                    os.killpg(processes.scheduler.pid, signal.SIGKILL)
                    processes.scheduler.wait()
                    processes.file.unlink(missing_ok=True)

        with pytest.raises(ClusterError, match="does not answer"):
            lab.run(everything(cluster), watcher=Killing())
        cluster.close(kill=True)
        done = lab.run()
        assert not done.failed and 0 < len(done.made) < 11
        assert set(lab.states().values()) == {State.FRESH}
    finally:
        processes.close()
