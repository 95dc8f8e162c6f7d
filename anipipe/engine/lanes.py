"""Executors with the jobs that run on them: what is under way, what waits for room, how far each is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from anipipe.engine.executors import Executor
from anipipe.engine.jobs import Examined, Job
from anipipe.engine.order import Queue
from anipipe.engine.perform import MORE_MEMORY, Result, Task, perform

#: A job that ran alone this often when its worker died is taken for what kills it.
MAX_STRIKES = 3


@dataclass(slots=True)
class Running:
    """A job that is under way, or about to be."""

    job: Job
    examined: Examined
    task: Task | None = None
    strikes: int = 0


class Lane:
    """An executor and its jobs.

    Parameters
    ----------
    executor : Executor
    takes : callable
        Whether it runs jobs that are for a device; ``""`` stands for those that take one thread.
    """

    def __init__(self, executor: Executor, takes: Callable[[str], bool]) -> None:
        self.executor, self.takes = executor, takes
        self.running: dict[Future[Result], Running] = {}
        #: Jobs that were running when workers died: any of them may be what ends them.
        self.suspects: deque[Running] = deque()
        self._again: deque[Running] = deque()
        self._alone = False  # what runs is a suspect

    @property
    def busy(self) -> bool:
        """Whether anything is still to come from here, apart from what waits in queues."""
        return bool(self.running or self.suspects or self._again)

    @property
    def has_room(self) -> bool:
        """Whether another job can be started beside those that run."""
        tried = self.suspects or (self._alone and self.running)
        return not tried and len(self.running) < self.executor.capacity

    def take(self, queues: Sequence[Queue]) -> Running | None:
        """Take out what is to be started now: suspects one by one and alone, before what waits."""
        if not self.running:
            self._alone = False
        if self.suspects and not self.running:
            self._alone = True
            return self.suspects.popleft()
        waiting = next((queue for queue in queues if queue), None)
        # Whether there is room is asked only where there is something to do: a cluster may have to say no.
        if not (self._again or waiting) or not self.has_room:
            return None
        if self._again:
            return self._again.popleft()
        return None if waiting is None else waiting.pop()

    def give_up(self) -> list[Running]:
        """Take out what is not begun: what was to be done again; all of it, if there is nobody to do it."""
        left = [*self.suspects, *self._again]
        if self.running and not self.executor.capacity:
            left += self.running.values()
            self.close()
        self.suspects.clear()
        self._again.clear()
        return left

    def start(self, running: Running, task: Task) -> None:
        """Start a job.

        Raises
        ------
        WorkersDied
            There is nobody to run it; see :meth:`lost`.
        """
        running.task = task
        self.running[self.executor.submit(perform, task)] = running

    def finished(self, future: Future[Result]) -> Running:
        """Take out a job whose future is done."""
        running = self.running.pop(future)
        self._alone = False
        _close(running)
        return running

    def lost(self, dead: Sequence[tuple[Running, int]]) -> Iterator[tuple[Running, str, str]]:
        """Take in that workers died; have what they were at done again, but for what ends them.

        Parameters
        ----------
        dead : sequence of (Running, int)
            The jobs that were told of, and how many workers each has ended, where that is known.

        Yields
        ------
        running : Running
            A job that is not to be tried again.
        message, traceback : str
            Why.
        """
        lost = [running for running, _ in dead]
        if not self.executor.tells:
            lost += self.running.values()  # the others will tell of the same death
            self._alone = False
            self.close()
            self.executor.restart()
        elif not all(deaths for _, deaths in dead):
            self.executor.restart()  # it was the connection that was lost
        known = {id(running): deaths for running, deaths in dead}
        words = {id(running): _last_words(running) for running in lost}
        hung = any(words.values())
        begun = sum(text is not None for text in words.values())
        for running in lost:
            text = words[id(running)]
            if text:
                yield running, _patience_ended(running), text
                continue
            alone = len(lost) == 1 or (begun == 1 and text is not None)
            running.strikes += known[id(running)] if self.executor.tells else int(alone and not hung)
            if running.strikes >= MAX_STRIKES:
                message = f"its worker process died {running.strikes} times (out of memory?): {MORE_MEMORY}"
                yield running, message, ""
            elif self.executor.tells or hung or (begun and text is None):
                self._again.append(running)  # it is known that it was not this one, or which it was
            else:
                self.suspects.append(running)

    def words(self) -> Iterator[tuple[Job, int, int]]:
        """Yield how far jobs in other processes are: how much is done, of how much."""
        for running in self.running.values():
            meter = running.task and running.task.meter
            if meter and (word := meter.get()):
                yield running.job, *word

    def close(self) -> None:
        """Forget what is running."""
        for running in self.running.values():
            _close(running)
        self.running.clear()


def _close(running: Running) -> None:
    if running.task is not None and running.task.meter is not None:
        running.task.meter.close()


def _last_words(running: Running) -> str | None:
    """Return where a job hung, if it did, empty if it did not, None if it was not begun; and forget it."""
    if running.task is None:
        return None
    try:
        text = running.task.black_box.read_text(encoding="utf-8", errors="replace")
        running.task.black_box.unlink()
    except OSError:
        return None
    return text


def _patience_ended(running: Running) -> str:
    task = running.task
    if task is None or task.patience is None:
        return "hung"
    minutes = task.patience.allowed(0, task.frames) / 60
    return (
        f"gave no sign of life for {minutes:.3g} min, and was ended (jobs.timeout); is a recording damaged, "
        "or does a disk not answer? The traceback says what it was at"
    )
