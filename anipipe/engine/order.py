"""Which job is begun next.

First what others wait for (a calibration, for all its sessions); then batches (trials) that have been begun,
those with the least left first, so that results come early and a night that ends too soon leaves little half
done; then the largest, so that the last to run are short and no worker idles for long.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from anipipe.engine.jobs import Job

if TYPE_CHECKING:
    from anipipe.engine.lanes import Running


class Order:
    """How far the batches of a run are.

    Parameters
    ----------
    jobs : iterable of Job
        All that may be done.
    dependents : callable
        The jobs that read what a job writes.
    size : callable
        How much a job reads of what was recorded, in MiB; stands for how long it takes.
    """

    def __init__(
        self, jobs: Iterable[Job], dependents: Callable[[Job], Iterable[Job]], size: Callable[[Job], int]
    ) -> None:
        self.size = size
        self._left: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self._place: dict[Job, int] = {}
        self._open: set[str] = set()
        self._wanted: set[str] = set()
        for place, job in enumerate(jobs):
            self._place[job] = place
            self._left[job.batch] += 1
            self._sizes[job.batch] += size(job)
            if any(_waits(other, job.batch) for other in dependents(job)):
                self._wanted.add(job.batch)

    def begun(self, job: Job) -> None:
        """Take note that a job was started."""
        self._open.add(job.batch)

    def ended(self, job: Job) -> None:
        """Take note that nothing more will happen to a job."""
        self._left[job.batch] -= 1
        if not self._left[job.batch]:
            self._open.discard(job.batch)

    def open(self) -> Iterable[str]:
        """Return the batches that have been begun and are not finished: few, as they are finished first."""
        return self._open

    def of_begun(self, batch: str) -> tuple[int, str]:
        """Return the rank among batches that have been begun, the smallest first."""
        return self._left[batch], batch

    def of_batch(self, batch: str) -> tuple[bool, int]:
        """Return the rank among batches that have not been begun."""
        return batch not in self._wanted, -self._sizes[batch]

    def is_wanted(self, batch: str) -> bool:
        """Say whether other batches wait for this one."""
        return batch in self._wanted

    def of_job(self, job: Job) -> tuple[int, int]:
        """Return the rank within a batch: what takes long first, else in the order of the graph."""
        return -self.size(job), self._place[job]


class Queue:
    """Jobs that wait for room, the most urgent first."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._batches: dict[str, list[tuple[tuple[int, int], Running]]] = {}
        self._unbegun: list[tuple[tuple[bool, int], int, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, running: Running) -> None:
        """Put a job in."""
        batch = running.job.batch
        if batch not in self._batches:
            self._batches[batch] = []
            rank = self._order.of_batch(batch)
            heapq.heappush(self._unbegun, (rank, self._order.of_job(running.job)[1], batch))
        heapq.heappush(self._batches[batch], (self._order.of_job(running.job), running))
        self._count += 1

    def pop(self) -> Running:
        """Take the most urgent job out.

        Raises
        ------
        IndexError
            If there is none.
        """
        if not self._count:
            raise IndexError("no job waits")
        batch = self._next()
        waiting = self._batches[batch]
        _, running = heapq.heappop(waiting)
        if not waiting:
            del self._batches[batch]
        self._count -= 1
        return running

    def _next(self) -> str:
        while self._unbegun and self._unbegun[0][2] not in self._batches:
            heapq.heappop(self._unbegun)  # what has been emptied in the meantime
        first = self._unbegun[0][2]
        if self._order.is_wanted(first):
            return first
        begun = [batch for batch in self._order.open() if batch in self._batches]
        return min(begun, key=self._order.of_begun) if begun else first


def _waits(other: Job, batch: str) -> bool:
    """Say whether a job of another batch cannot begin without this one; tables and the like can."""
    if other.batch == batch or other.stage.fan_in:
        return False
    return not any(source.gathered for source in other.sources)
