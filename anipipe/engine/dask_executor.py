"""Jobs in the workers of a Dask cluster, on this machine or others that share the disk.

What travels is a job's description: paths, names, options. Files stay on the disk.

Scheduler and workers are described at https://distributed.dask.org; a worker that runs one job at a time, and
can be ended when it hangs, is ``dask worker ADDRESS --nthreads 1``, with ``--resources GPU=1`` if it has one.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from anipipe import __version__
from anipipe.engine.executors import WorkersDied
from anipipe.engine.perform import Failed, Result, Task
from anipipe.engine.progress import Meter
from anipipe.engine.remote import perform_remotely
from anipipe.errors import AnipipeError

#: Resource of workers that have a GPU.
GPU = "GPU"
_LOOK = 2.0  # seconds between two looks at which workers there are
_REFILL = 15.0  # seconds between two tries to replace workers that are gone
_NONE_FOR = 600.0  # seconds without any worker, after which none is expected to come
_ENDS_WITHIN = 20.0  # seconds in which workers that are to stop do so


class ClusterError(AnipipeError):
    """The cluster cannot be reached any more."""


@dataclass(frozen=True)
class Wire:
    """Tells the coordinator how far a job is, by an event of Dask."""

    topic: str
    number: int
    heard: dict[int, tuple[int, int]] = field(default_factory=dict, compare=False)

    def __reduce__(self) -> tuple[type[Wire], tuple[str, int]]:
        return Wire, (self.topic, self.number)  # what was heard stays with the coordinator

    def put(self, done: int, total: int) -> None:
        """Note that so much of so much is done."""
        from distributed import get_worker

        with contextlib.suppress(ValueError):  # no worker: the job runs here
            get_worker().log_event(self.topic, (self.number, done, total))

    def get(self) -> tuple[int, int] | None:
        """Return what was heard last."""
        return self.heard.get(self.number)

    def close(self) -> None:
        """Forget what was heard."""
        self.heard.pop(self.number, None)


class Cluster:
    """A connection to a Dask scheduler.

    Parameters
    ----------
    connect : callable
        Returns a client, also a second time, when the connection was lost.
    where : str
        The scheduler, for people.
    refill : callable, optional
        Has workers that are gone replaced. Left out: scheduler and workers are others', and do not end with
        the run.

    Raises
    ------
    ClusterError
        If nobody answers.
    """

    def __init__(
        self, connect: Callable[[], Any], where: str, *, refill: Callable[[], None] | None = None
    ) -> None:
        self._connect, self.where, self._refill = connect, where, refill
        self.heard: dict[int, tuple[int, int]] = {}
        self.topic = ""
        self._futures: dict[str, Any] = {}
        self._known: dict[str, Any] = {}
        self._looked = -_LOOK
        self._refilled = time.monotonic()
        self._lacking: dict[bool, float] = {}  # with a GPU or without, since when there have been none
        self.client = self._open()

    def _open(self) -> Any:
        try:
            return self._connect()
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            raise ClusterError(
                f"the Dask scheduler at {self.where} does not answer ({type(error).__name__}: {error}); what "
                "was finished is kept, and the next run goes on from there"
            ) from error

    def listen(self, token: str) -> None:
        """Hear from the jobs of the run with this token."""
        if self.topic != (topic := f"anipipe-{token}"):
            self.topic = topic
            self._subscribe()

    def _subscribe(self) -> None:
        with contextlib.suppress(Exception):  # how far jobs are is then not heard, and no more is lost
            self.client.subscribe_topic(self.topic, self._hear)

    def _hear(self, event: tuple[Any, tuple[int, int, int]]) -> None:
        number, done, total = event[1]
        self.heard[number] = done, total

    def workers(self, *, gpu: bool) -> int:
        """Count the workers that have a GPU, or have none.

        Raises
        ------
        ClusterError
            There have been none for long, and none are expected.
        """
        count, now = len(self._addresses(gpu=gpu)), time.monotonic()
        if count or self._refill is not None:
            self._lacking.pop(gpu, None)
        elif now - self._lacking.setdefault(gpu, now) > _NONE_FOR:
            what = "workers with a GPU" if gpu else "workers"
            raise ClusterError(
                f"the Dask scheduler at {self.where} has had no {what} for {_NONE_FOR / 60:g} min; what was "
                "finished is kept, and the next run goes on from there"
            )
        return count

    def _addresses(self, *, gpu: bool) -> list[str]:
        if time.monotonic() - self._looked > _LOOK and self.client.status == "running":
            with contextlib.suppress(Exception):  # what is lost is told by the jobs that run
                self._known = self.client.scheduler_info(n_workers=-1)["workers"]
            self._looked = time.monotonic()
            if self._refill is not None and time.monotonic() - self._refilled > _REFILL:
                self._refilled = time.monotonic()
                self._refill()
        items = self._known.items()
        return [address for address, worker in items if (GPU in worker.get("resources", {})) is gpu]

    def submit(self, task: Task, *, gpu: bool, restricted: bool) -> Future[Result]:
        """Have a job done by a worker with a GPU, or without one."""
        key = f"{self.topic}-{task.number}"
        resources = {GPU: 1} if gpu else None
        workers = self._addresses(gpu=False) if restricted and not gpu else None
        future: Future[Result] = Future()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a job that gathers a whole lab
            try:
                theirs = self.client.submit(
                    perform_remotely,
                    task,
                    __version__,
                    key=key,
                    pure=False,
                    resources=resources,
                    workers=workers,
                    allow_other_workers=workers is not None,  # where none of these is left
                )
            except Exception as error:  # Dask's own are of many kinds
                if self.client.status != "running":
                    raise WorkersDied from error
                future.set_result(Failed(f"unexpected {type(error).__name__} of Dask: {error}"))
                return future
        self._futures[key] = theirs
        theirs.add_done_callback(lambda done: self._settle(key, done, future))
        return future

    def _settle(self, key: str, theirs: Any, ours: Future[Result]) -> None:
        """Pass on what came out of a job; runs in a thread of Dask's."""
        from distributed.scheduler import KilledWorker

        try:
            if theirs.status == "finished":
                ours.set_result(theirs.result(timeout=60))
                return
            error = theirs.exception(timeout=60) if theirs.status == "error" else None
        except Exception:  # the connection, or the scheduler with it
            error = None
        finally:
            self._futures.pop(key, None)
        if isinstance(error, KilledWorker):
            ours.set_exception(WorkersDied(error.allowed_failures + 1))
        elif error is None:
            ours.set_exception(WorkersDied())
        else:
            ours.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    def reconnect(self) -> None:
        """Look for the scheduler again, if the connection is lost.

        Raises
        ------
        ClusterError
            If it is gone.
        """
        if self.client.status == "running":
            return
        with contextlib.suppress(Exception):
            self.client.close(timeout=2)
        self.client = self._open()
        self._looked = -_LOOK
        self._subscribe()

    def close(self, *, kill: bool) -> None:
        """End the connection, and what was started for it; with ``kill``, also the jobs that run."""
        with contextlib.suppress(Exception):
            if kill and self._refill is None:
                self._stop_jobs()
        with contextlib.suppress(Exception):
            self.client.close(timeout=_ENDS_WITHIN)

    def _stop_jobs(self) -> None:
        """Cancel what waits, and start those workers anew that are at a job of ours: it cannot be stopped."""
        running = self.client.processing()
        self.client.cancel(list(self._futures.values()), force=True)
        busy = [worker for worker, keys in running.items() if any(self._is_ours(key) for key in keys)]
        if busy:
            self.client.restart_workers(busy, timeout=_ENDS_WITHIN, raise_for_error=False)

    def _is_ours(self, key: object) -> bool:
        return isinstance(key, str) and key.startswith(f"{self.topic}-")


class DaskExecutor:
    """Runs jobs in the workers of a cluster: those with a GPU, or the others.

    Parameters
    ----------
    cluster : Cluster
    gpu : bool
        For jobs that take a GPU.
    everywhere : bool
        No worker has a GPU, so that all run all.
    """

    elsewhere = True
    tells = True

    def __init__(self, cluster: Cluster, *, gpu: bool = False, everywhere: bool = False) -> None:
        self._cluster, self._gpu, self._everywhere = cluster, gpu, everywhere

    @property
    def capacity(self) -> int:
        """One job for each worker, so that whose worker died is known; none while there is no worker."""
        return self._cluster.workers(gpu=self._gpu)

    def meter(self, token: str, number: int, heard: Callable[[int, int], None]) -> Meter:
        """Return what sends its words through Dask."""
        self._cluster.listen(token)
        return Wire(self._cluster.topic, number, self._cluster.heard)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Have a job done; ``function`` is :func:`~anipipe.engine.perform.perform`, with checks around it."""
        return self._cluster.submit(argument, gpu=self._gpu, restricted=not self._everywhere)

    def restart(self) -> None:
        """Find the scheduler again."""
        self._cluster.reconnect()

    def close(self, *, kill: bool = False) -> None:
        """Leave the cluster as it is: others may use it; see :meth:`Cluster.close`."""
