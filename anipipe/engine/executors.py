"""Where jobs run. An executor takes a function with one argument and gives back a future."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from types import MappingProxyType
from typing import Any, Protocol

from anipipe.engine.progress import CallMeter, FileMeter, Meter

#: One thread in each of the libraries that would take all cores for one job. Fixed, rather than a share of
#: the cores, so that results do not depend on how many workers there are.
THREADS = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    )
}


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
#: Variable of a worker's environment: the device that is meant by "auto" there.
DEVICE = "ANIPIPE_DEVICE"


def limit_threads() -> None:
    """Hold numerical libraries to :data:`THREADS` in this process; to be called before they are imported."""
    os.environ.update(THREADS)


def keep_memory() -> None:
    """Let this process keep the memory that arrays leave, for the next ones, rather than give each one back.

    That is what the C library of Linux does unless it is told otherwise, as Dask tells its workers: then each
    array is made of pages that the system has to clear first, and jobs take half as long again. See
    mallopt(3); the values are those that it comes to by itself.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, which has its own way
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


class WorkersDied(Exception):
    """Worker processes vanished, and with them what was running.

    Parameters
    ----------
    deaths : int
        How many workers this very job has ended; 0 where that cannot be told from the others that ran.
    """

    def __init__(self, deaths: int = 0) -> None:
        super().__init__(deaths)
        self.deaths = deaths


class Executor(Protocol):
    """Submits jobs.

    Attributes
    ----------
    elsewhere : bool
        Jobs run in other processes, which can be ended if they hang.
    tells : bool
        Whose worker died is told by the future: :class:`WorkersDied` with a number.
    """

    elsewhere: bool
    tells: bool

    @property
    def capacity(self) -> int:
        """How many jobs it takes at a time, those that wait for a worker included."""

    def meter(self, token: str, number: int, heard: Callable[[int, int], None]) -> Meter:
        """Return what hears how far a job is: by a call at once, or to be looked at now and then."""

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Have ``function(argument)`` run."""

    def restart(self) -> None:
        """Start anew after workers have died."""

    def close(self, *, kill: bool = False) -> None:
        """End; at once if ``kill``."""


class InProcess:
    """Runs each job at once in this process: the easiest to debug."""

    capacity = 1
    elsewhere = False
    tells = False

    def meter(self, token: str, number: int, heard: Callable[[int, int], None]) -> Meter:
        """Return what passes every word on."""
        return CallMeter(heard)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Run ``function(argument)`` now."""
        future: Future[Any] = Future()
        future.set_result(function(argument))
        return future

    def restart(self) -> None:
        """Nothing to start."""

    def close(self, *, kill: bool = False) -> None:
        """Nothing to end."""


class LocalProcesses:
    """Runs jobs in worker processes of this machine (joblib's loky), started with the first job.

    Parameters
    ----------
    workers : int
    env : mapping
        Further variables of the workers' environment.
    """

    elsewhere = True
    tells = False

    def __init__(self, workers: int, env: Mapping[str, str] = MappingProxyType({})) -> None:
        self.workers = workers
        self._env = {**THREADS, **env}
        self._pool: Any = None

    @property
    def capacity(self) -> int:
        """One job waits for each that runs, so that workers never idle; more would only delay Ctrl-C."""
        return 2 * self.workers

    def meter(self, token: str, number: int, heard: Callable[[int, int], None]) -> Meter:
        """Return a file that is looked at."""
        return FileMeter.new(token, number)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Queue ``function(argument)``."""
        if self._pool is None:
            self._pool = self._start()
        try:
            future: Future[Any] = self._pool.submit(function, argument)
        except (BrokenProcessPool, RuntimeError) as error:
            raise WorkersDied from error
        return future

    def restart(self) -> None:
        """Drop the pool; the next job starts another."""
        self.close(kill=True)

    def close(self, *, kill: bool = False) -> None:
        """Shut the pool down."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=kill)
            self._pool = None

    def _start(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        # A worker that has grown large ends itself and another takes its place: nothing to tell a user.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        return ProcessPoolExecutor(
            max_workers=self.workers, timeout=600, env=self._env, initializer=_follow, initargs=(os.getpid(),)
        )


def _follow(coordinator: int) -> None:
    """End this worker soon after its coordinator, which may be killed without a chance to say so."""

    def watch() -> None:
        while os.getppid() == coordinator:
            time.sleep(0.5)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to act on
    threading.Thread(target=watch, daemon=True).start()
