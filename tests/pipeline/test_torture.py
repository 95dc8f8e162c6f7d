"""Runs from under which something is pulled away, again and again, wherever their jobs are done.

``ANIPIPE_KILLS`` sets how often (default: once each of what can be killed, in a small lab; from 20 on the lab
is larger). For the figures: ``ANIPIPE_KILLS=60 pytest -n 0 -s tests/pipeline/test_torture.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from anipipe.engine.records import OWN_FOLDER
from tests.conftest import Lab
from tests.engine.test_dask import Processes
from tests.pipeline.film_lab import FILMS, files, film_lab, small_rig
from tests.pipeline.looking import left_over

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills with POSIX signals")

KILLS = int(os.environ.get("ANIPIPE_KILLS", "4"))
FULL = KILLS >= 20
#: What is killed, and the executors under which there is such a thing.
VICTIMS = {
    "coordinator": ("-j1", "-j2", "dask"),
    "worker process": ("-j2",),
    "Dask worker": ("dask",),
    "Dask scheduler": ("dask",),
}
NANNY = ("--nanny" if FULL else "--no-nanny",)
#: What joblib's loky says of semaphores when it ends a pool whose workers are just starting.
NOISE = re.compile(r"Traceback .*\n(?:  .*\n)*KeyError: '/loky-.*\n")
WAIT = 300.0  # seconds after which a run that goes on is taken to be stuck


@dataclass
class Figures:
    """What was done to the runs."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    ends: Counter[int] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def tell(self, root: Path) -> str:
        lines = sum(path.read_text().count("\n") for path in root.glob(".anipipe/runs/*.jsonl"))
        reports = [json.loads(path.read_text()) for path in root.glob(".anipipe/runs/*.json")]
        jobs = sum(job["ran"] for report in reports for job in report["jobs"]) + lines
        return (
            f"{self.kills.total()} kills ({self._list(self.kills)}) in {self.runs.total()} runs "
            f"({self._list(self.runs)}; exit statuses {self._list(self.ends)}), {jobs} jobs done, "
            f"{time.monotonic() - self.began:.0f} s"
        )

    @staticmethod
    def _list(counts: Counter) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


class Torturer:
    """Starts runs, kills what takes part in them, and gives them work."""

    def __init__(self, root: Path, folder: Path, seed: int) -> None:
        self.root, self.folder = root, folder
        self.lab = Lab(root, small_rig("AB"))
        self.rng = np.random.default_rng(seed)
        self.figures = Figures()
        self.config, self.given = (root / "config.toml").read_text(), files(root).keys()
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.cluster = self._new_cluster()

    def close(self) -> None:
        self.cluster.close()

    def turn(self, victim: str) -> None:
        """Have one run, and kill something of it at a random moment; again, until it is met in the middle."""
        executor = str(self.rng.choice(VICTIMS[victim]))
        before = self.figures.kills.total()
        for sooner in range(1, 25):  # each time that it has ended before, look for an earlier moment
            to_do = self._give_work()
            first = -1 if victim in ("coordinator", "Dask scheduler") else 0
            with self._run(executor) as process:
                moment = int(self.rng.integers(first, max(to_do // (sooner + 1), 1)))
                if self._await_moment(process, moment, self.rng.uniform(0, 0.5 / sooner)):
                    self._kill(victim, process)
            self._look_at_states()
            if self.figures.kills.total() > before:
                return
        pytest.fail(f"{victim} of a run with {executor} was never met: runs end too soon")

    @contextlib.contextmanager
    def _run(self, executor: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a run, and see how it ends."""
        arguments = ["--executor", "dask"] if executor == "dask" else [executor]
        log = self.folder / "run.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "anipipe.cli", "run-all", *arguments],
                cwd=self.root,
                stdout=file,
                stderr=file,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                start_new_session=True,
            )
        try:
            yield process
            status = process.wait(WAIT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        text = NOISE.sub("", log.read_text())
        self.figures.runs[executor] += 1
        self.figures.ends[status] += 1
        gone = any(words in text for words in ("does not answer", "has no workers", "nor a scheduler file"))
        assert "Traceback" not in text, text
        assert status in (0, -signal.SIGKILL) or (status in (1, 2) and gone), f"{executor}: {status}\n{text}"
        if gone or self.cluster.scheduler.poll() is not None:
            self.cluster.close()
            self.cluster = self._new_cluster()

    def _await_moment(self, process: subprocess.Popen[bytes], jobs: int, pause: float) -> bool:
        """Wait until so many jobs are done and for a pause, s; say whether the run still goes on then.

        Told by jobs, not by the clock, it is spread over the run also where the machine is busy.
        """
        if jobs < 0:  # before there is a lock
            time.sleep(pause)
            return process.poll() is None
        while process.poll() is None and self._done_by(process.pid) < jobs:
            time.sleep(0.003)
        time.sleep(pause)
        return process.poll() is None

    def _done_by(self, pid: int) -> int:
        """Return how many jobs a run has done; -1 before it has begun, and when it has ended."""
        with contextlib.suppress(OSError):
            holder = json.loads((self._own() / "lock").read_text())
            if holder["pid"] == pid:
                for path in self._own().glob(f"runs/*-{holder['token']}.jsonl"):
                    return path.read_bytes().count(b"\n") - 1
        return -1

    def _kill(self, victim: str, process: subprocess.Popen[bytes]) -> None:
        coin = bool(self.rng.integers(2))
        if victim == "coordinator":
            (os.killpg if coin else os.kill)(process.pid, signal.SIGKILL)  # its workers too, or orphaned
        elif victim == "worker process":
            workers = [pid for pid in offspring(process.pid) if b"loky" in command_of(pid)]
            if not workers:
                return
            os.kill(int(self.rng.choice(workers)), signal.SIGKILL)
        elif victim == "Dask worker":
            worker = self.cluster.workers.pop(int(self.rng.integers(len(self.cluster.workers))))
            inner = offspring(worker.pid)
            if coin and inner:  # its nanny starts another
                os.kill(inner[-1], signal.SIGKILL)
                self.cluster.workers.append(worker)
            else:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()
                self.cluster.start_worker(*NANNY)
        else:
            os.killpg(self.cluster.scheduler.pid, signal.SIGKILL)
            self.cluster.scheduler.wait()
            if coin:  # another is there soon, at another place; else the run finds nobody
                self.cluster.close()
                self.cluster = self._new_cluster()
            else:
                self.cluster.file.unlink()
        self.figures.kills[victim] += 1

    def _new_cluster(self) -> Processes:
        cluster = Processes(self.folder, int(self.rng.choice([0, 3])))  # as we start it, and Dask's default
        for _ in range(2):
            cluster.start_worker(*NANNY)
        return cluster

    def _give_work(self) -> int:
        """Change a setting or delete outputs, if nothing is left to do; return how many jobs there are."""
        counts = self.states()
        if "stale" in counts:
            return counts["stale"] + counts["pending"]
        what = int(self.rng.integers(3))
        if what == 0:
            now = (self.root / "config.toml").read_text()
            other = self.config.replace("score_threshold = 0.5", "score_threshold = 0.6")
            (self.root / "config.toml").write_text(other if now == self.config else self.config)
        elif what == 1:
            for folder in list(self.root.glob("*/pose-2d*")) + list(self.root.glob("*/videos-labeled*")):
                shutil.rmtree(folder)
        else:
            for path in sorted(files(self.root).keys() - self.given):
                if self.rng.random() < 0.7:
                    (self.root / path).unlink()
        assert "stale" in self.states()
        return self._give_work()

    def states(self) -> Counter[str]:
        """Count the states of all jobs but that of the calibration, which is given."""
        (described,) = json.loads(self.lab.run("status", "--json"))
        return Counter(job["state"] for job in described["jobs"] if job["stage"] != "calibrate")

    def _look_at_states(self) -> None:
        counts = self.states()
        assert set(counts) <= {"fresh", "stale", "pending"}, counts

    def _own(self) -> Path:
        return self.root / OWN_FOLDER


def command_of(pid: int) -> bytes:
    import psutil

    with contextlib.suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline()).encode()
    return b""


def offspring(pid: int) -> list[int]:
    import psutil

    with contextlib.suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


@pytest.fixture
def torturer(tmp_path: Path) -> Iterator[Torturer]:
    sessions = [f"s{number}" for number in range(4 if FULL else 2)]
    pictures = FILMS if FULL else "pictures = ['label-2d', 'label-3d']\n"
    root = film_lab(tmp_path / "lab", sessions, frames=30 if FULL else 6, pictures=pictures)
    if FULL:
        (root / "s0/config.toml").write_text("labeling.pictures = ['label-compare', 'previews']\n")
    folder = tmp_path / "cluster"
    folder.mkdir()
    with (root / "config.toml").open("a") as config:
        config.write(f"\n[cluster]\naddress = '{(folder / 'scheduler.json').as_posix()}'\n")
    started = Torturer(root, folder, seed=KILLS)
    yield started
    started.close()


@pytest.mark.timeout(3600)
def test_whatever_is_killed_the_end_is_as_if_nothing_had_been(torturer: Torturer, tmp_path: Path):
    whole = Lab(shutil.copytree(torturer.root, tmp_path / "whole"), torturer.lab.rig)
    whole.run("run-all", "-j2")
    for number in range(KILLS):
        torturer.turn(list(VICTIMS)[number % len(VICTIMS)])
    (torturer.root / "config.toml").write_text(torturer.config)
    with torturer._run("-j2"):
        pass
    sys.stdout.write(f"\n{torturer.figures.tell(torturer.root)}\n")
    assert files(torturer.root) == files(whole.root)
    assert left_over(torturer.root) == [] and list(torturer.temporary.glob("anipipe-*")) == []
    assert set(torturer.states()) == {"fresh"}
    assert "0 jobs done" in torturer.lab.run("run-all")
