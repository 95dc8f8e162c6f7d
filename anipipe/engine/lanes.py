"""Executors with the jobs that run on them: what is under way, what waits for room, how far each is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from anipipe.engine.executors import Executor
from anipipe.engine.jobs import Examined, Job
from anipipe.engine.perform import Failed, Made, Task, perform
from anipipe.engine.progress import FileMeter, Meter


@dataclass(slots=True)
class Running:
    """A job that is under way, or about to be."""

    job: Job
    examined: Examined
    meter: Meter | None = None


class Lane:
    """An executor and its jobs.

    Parameters
    ----------
    executor : Executor
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.running: dict[Future[Made | Failed], Running] = {}
        #: Jobs that wait for room.
        self.waiting: deque[Running] = deque()
        #: Jobs that were running when workers died: any of them may be what ends them.
        self.suspects: deque[Running] = deque()
        self._alone = False  # what runs is a suspect

    @property
    def busy(self) -> bool:
        """Whether anything is still to come from here."""
        return bool(self.running or self.waiting or self.suspects)

    @property
    def has_room(self) -> bool:
        """Whether another job can be started beside those that run."""
        tried = self.suspects or (self._alone and self.running)
        return not tried and len(self.running) < self.executor.capacity

    def take(self) -> Running | None:
        """Take out what is to be started now: suspects one by one and alone, before what waits."""
        if self.suspects and not self.running:
            self._alone = True
            return self.suspects.popleft()
        return self.waiting.popleft() if self.waiting and self.has_room else None

    def start(self, running: Running, task: Task) -> None:
        """Start a job.

        Raises
        ------
        WorkersDied
            There is nobody to run it; see :meth:`restart`.
        """
        self.running[self.executor.submit(perform, task)] = running

    def finished(self, future: Future[Made | Failed]) -> Running:
        """Take out a job whose future is done."""
        running = self.running.pop(future)
        self._alone = False
        _close(running)
        return running

    def restart(self) -> list[Running]:
        """Start workers anew; return the jobs that were running."""
        lost = list(self.running.values())
        self._alone = False
        self.close()
        self.executor.restart()
        return lost

    def words(self) -> Iterator[tuple[Job, int, int]]:
        """Yield how far jobs in other processes are: how much is done, of how much."""
        for running in self.running.values():
            if isinstance(running.meter, FileMeter) and (word := running.meter.get()):
                yield running.job, *word

    def close(self) -> None:
        """Forget what is running."""
        for running in self.running.values():
            _close(running)
        self.running.clear()


def _close(running: Running) -> None:
    if isinstance(running.meter, FileMeter):
        running.meter.close()
