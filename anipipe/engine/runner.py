"""The coordinator: takes jobs in the graph's order, commits what they made, isolates their failures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property

from anipipe.engine.committing import Committer
from anipipe.engine.differences import PENDING
from anipipe.engine.digest import size_in
from anipipe.engine.executors import WorkersDied
from anipipe.engine.freshness import State, Verdict
from anipipe.engine.jobs import Examined, Job, Source
from anipipe.engine.lanes import Lane, Running
from anipipe.engine.lock import Lock
from anipipe.engine.order import Order, Queue
from anipipe.engine.outcome import Observer, Outcome
from anipipe.engine.perform import Failed, Input, Made, PutOff, Result, Task, discard, explain_os_error
from anipipe.engine.plan import Plan
from anipipe.engine.progress import Patience
from anipipe.engine.records import Facts
from anipipe.errors import DataError

_LEAST_PER_FRAME = 100  # bytes
_LOOK = 1.0  # seconds between two looks at how far jobs are


class Runner:
    """Brings the selected jobs of a plan up to date.

    Parameters
    ----------
    plan : Plan
        Looked ahead.
    lanes : sequence of Lane
        Where jobs run. Each job goes to one that takes its :attr:`Stage.device`.
    lock : Lock
        Held by the caller.
    observer : Observer
    until : float, optional
        Seconds since the epoch, from which on nothing new is begun.
    patience : Patience, optional
        When a job in another process is taken to hang; never, if left out.
    """

    def __init__(
        self,
        plan: Plan,
        lanes: Sequence[Lane],
        lock: Lock,
        observer: Observer,
        *,
        until: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.plan, self.lock, self.observer = plan, lock, observer
        self.outcome = Outcome()
        self._lanes, self._until, self._patience = lanes, until, patience
        self._committer = Committer(plan, lock)
        self._settled: set[Job] = set()
        self._queues: dict[str, Queue] = {}
        self._inputs_left: dict[Job, int] = {}
        self._ready: deque[Job] = deque()
        self._touched: set[Job | None] = set()
        self._numbers = 0

    def run(self) -> Outcome:
        """Do what has to be done.

        Raises
        ------
        LockedError
            If the lock was taken away.
        """
        self.observer.begin(self.plan)
        for key in self.plan.unclaimed():
            self._take_out("", key)
        for job in self.plan.jobs:
            self._inputs_left[job] = sum(source.producer is not None for source in job.sources)
        self._ready.extend(job for job in self.plan.jobs if not self._inputs_left[job])
        try:
            while self._is_anything_left:
                self._look_at_ready()
                self._fill()
                futures = [future for lane in self._lanes for future in lane.running]
                if futures:
                    done, _ = wait(futures, timeout=_LOOK, return_when=FIRST_COMPLETED)
                    for lane in self._lanes:
                        for word in lane.words():
                            self.observer.progressed(*word)
                        self._finish(lane, [future for future in done if future in lane.running])
                elif not self._ready and self._is_anything_left:
                    time.sleep(_LOOK)  # a cluster's workers have yet to come
        finally:
            for lane in self._lanes:
                lane.close()
        return self.outcome

    @property
    def _is_anything_left(self) -> bool:
        return bool(self._ready or any(self._queues.values()) or any(lane.busy for lane in self._lanes))

    @cached_property
    def _order(self) -> Order:
        """What comes first; made when there is something to do."""
        left = [job for job in self.plan.jobs if job not in self._settled]
        return Order(left, self.plan.dependents.__getitem__, self._size)

    def _look_at_ready(self) -> None:
        """Settle what is up to date or cannot be done, and queue the rest."""
        while self._ready:
            job = self._ready.popleft()
            examined = self._examined(job)
            if job.selected and examined.verdict.state.to_do:
                device = job.stage.device(job.unit)
                if device not in self._queues:
                    self._queues[device] = Queue(self._order)
                self._queues[device].push(Running(job, examined))
            else:
                self._settle_untouched(job, examined)

    def _fill(self) -> None:
        """Start as much as there is room for, unless the time is up."""
        # What is put off makes others ready, which are then put off in their turn.
        while self._time_is_up() and (left := list(self._not_begun())):
            for running in left:
                self._settle_untouched(running.job, running.examined)
            self._look_at_ready()
        for lane in self._lanes:
            queues = [queue for device, queue in self._queues.items() if lane.takes(device)]
            while (next_one := lane.take(queues)) is not None:
                self._begin(lane, next_one)

    def _not_begun(self) -> Iterator[Running]:
        """Take out what waits in queues, or in vain for workers."""
        for queue in self._queues.values():
            while queue:
                yield queue.pop()
        for lane in self._lanes:
            yield from lane.give_up()

    def _examined(self, job: Job) -> Examined:
        """Return the verdict of the look ahead, where nothing that it rests on has been touched since."""
        ahead = self.plan.verdicts.get(job)
        if (
            ahead is None
            or any(value is PENDING for value in ahead.situation.facts.values())
            or any(source.producer in self._touched for source in job.sources)
        ):
            return self.plan.examine(job)
        return ahead

    def _settle_untouched(self, job: Job, examined: Examined) -> None:
        verdict = examined.verdict
        if job.selected:
            if verdict.state is State.BLOCKED:
                self.outcome.blocked.append(job)
                self._withdraw(job)
            elif verdict.state is State.WAITING:
                self.outcome.waiting.append(job)
            elif verdict.state is State.GIVEN:
                self._committer.note_given(job, examined)
            elif verdict.state is State.FRESH:
                self._committer.forget_failure(job)
            elif verdict.state.to_do or verdict.state is State.PENDING:
                self.outcome.put_off.append(job)
            self._note_left_out(job, examined.situation.left_out)
        self._settle(job, verdict, ran=False)

    def _begin(self, lane: Lane, running: Running) -> None:
        """Start a job, unless it turns out that what it reads has changed while it waited."""
        job, disk = running.job, self.plan.disk
        paths = [path for source in running.examined.usable for path in source.paths]
        changed = [path for path in paths if not disk.unchanged_since(path)]
        if changed:
            for path in changed:
                disk.forget(path)
            running.examined = self.plan.examine(job)
            if not running.examined.verdict.state.to_do:
                self._settle_untouched(job, running.examined)
                return
        self._numbers += 1
        self.observer.started(job)
        self._order.begun(job)
        try:
            lane.start(running, self._task(running, lane))
        except WorkersDied:
            self._revive(lane, [(running, 0)])

    def _task(self, running: Running, lane: Lane) -> Task:
        job, usable = running.job, running.examined.usable
        facts = running.examined.situation.facts
        return Task(
            stage=job.stage,
            root=self.plan.disk.root,
            names=job.unit.names,
            options=job.options,
            inputs=tuple(Input(s.role, s.artifact, s.paths, s.unit.names) for s in usable),
            outputs=tuple((artifact, path) for path, artifact in job.outputs.items()),
            token=self.lock.token,
            number=self._numbers,
            meter=lane.executor.meter(
                self.lock.token,
                self._numbers,
                lambda done, total: self.observer.progressed(job, done, total),
            ),
            patience=self._patience if lane.executor.elsewhere else None,
            frames=sum(self._frames(source, facts) for source in usable),
            until=self._until,
            digests={key.partition(":")[2]: facts[key] for key in facts if key[:3] in ("in:", "wit")},
            libraries={key.partition(":")[2]: facts[key] for key in facts if key[:8] == "library:"},
        )

    def _time_is_up(self) -> bool:
        return self._until is not None and time.time() >= self._until

    def _frames(self, source: Source, facts: Facts) -> int:
        """Return how much there is in what a job has made: as it noted, else at most, by the file's size."""
        if source.producer is None:
            return 0  # a recording: who reads it tells how far that is
        noted = self.plan.claims(source.producer).notes.get("frames")
        if isinstance(noted, int):
            return noted
        return _bytes(source, facts) // _LEAST_PER_FRAME

    def _finish(self, lane: Lane, done: Iterable[Future[Result]]) -> None:
        dead = []
        for future in done:
            running = lane.finished(future)
            result: Result
            try:
                result = future.result()
            except WorkersDied as error:
                dead.append((running, error.deaths))
                continue
            except (BrokenProcessPool, OSError):
                dead.append((running, 0))
                continue
            except Exception as error:  # what cannot even be sent to or from a worker
                result = Failed(f"unexpected {type(error).__name__}: {error}")
            if isinstance(result, Made):
                self._try_to_commit(running, result)
            elif isinstance(result, PutOff):
                self._settle_untouched(running.job, running.examined)
            else:
                self._fail(running, result)
        if dead:
            self._revive(lane, dead)

    def _revive(self, lane: Lane, dead: Sequence[tuple[Running, int]]) -> None:
        """Have done again what was lost with its workers, but for the jobs that end them."""
        self.outcome.deaths += 1
        for running, message, traceback in lane.lost(dead):
            self._fail(running, Failed(message, traceback))

    def _try_to_commit(self, running: Running, made: Made) -> None:
        job, examined = running.job, running.examined
        try:
            if self._committer.keep_edited(job, examined, made):
                _discard(made)
                self._settle_untouched(job, self.plan.examine(job))
                return
            self._committer.commit(job, examined, made)
        except DataError as error:
            _discard(made)
            self._fail(running, Failed(str(error), seconds=made.seconds))
        except OSError as error:
            _discard(made)
            target = self.plan.disk.path(next(iter(job.outputs)))
            self._fail(running, Failed(explain_os_error(error, target), seconds=made.seconds))
        except BaseException:
            _discard(made)
            raise
        else:
            self._made(running, made)

    def _made(self, running: Running, made: Made) -> None:
        job, examined = running.job, running.examined
        examined.verdict = Verdict(State.FRESH, examined.verdict.reasons)
        self.outcome.made.append(job)
        self._note_left_out(job, examined.situation.left_out)
        notices = made.notes.get("notices", [])
        self._settle(job, examined.verdict, ran=True, seconds=made.seconds, notices=notices)

    def _note_left_out(self, job: Job, left_out: list[str]) -> None:
        """Note what a job leaves out: a table is incomplete by it, another job does without."""
        if job.stage.fan_in:
            self.outcome.left_out.extend(left_out)
        else:
            self.outcome.without.extend(f"{job.label} does without {text}" for text in left_out)

    def _fail(self, running: Running, failed: Failed) -> None:
        job = running.job
        self._committer.note_failure(job, failed)
        self.plan.tried.add(job)
        verdict = Verdict(State.FAILED, (failed.message,))
        running.examined.verdict = verdict
        self.outcome.failed.append(job)
        self._withdraw(job)
        self._settle(job, verdict, ran=True, seconds=failed.seconds, notices=failed.notes.get("notices", []))

    def _settle(
        self, job: Job, verdict: Verdict, *, ran: bool, seconds: float = 0.0, notices: list[str] | None = None
    ) -> None:
        if ran or verdict.state is State.BLOCKED:
            self._touched.add(job)
        self._settled.add(job)
        if "_order" in self.__dict__:
            self._order.ended(job)
        self.observer.settled(job, verdict, ran=ran, seconds=seconds, notices=notices or [])
        for dependent in self.plan.dependents[job]:
            self._inputs_left[dependent] -= 1
            if not self._inputs_left[dependent]:
                self._ready.append(dependent)

    def _withdraw(self, job: Job) -> None:
        if job.stage.collected:
            self._take_out(job.home, job.key)

    def _take_out(self, home: str, key: str) -> None:
        for path in self._committer.take_out(home, key):
            self.outcome.withdrawn.append(path)
            self.observer.withdrawn(path)

    def _size(self, job: Job) -> int:
        """Return how much a job reads of what no other makes, in MiB, as far as that is known."""
        examined = self.plan.verdicts.get(job)
        facts = {} if examined is None else examined.situation.facts
        return sum(_bytes(source, facts) for source in job.sources if source.producer is None) >> 20


def _bytes(source: Source, facts: Facts) -> int:
    """Return how large the files of an input are, as far as that is known."""
    digests = (facts.get(f"in:{path}") or facts.get(f"with:{path}") for path in source.paths)
    return sum(size_in(digest) for digest in digests if isinstance(digest, str))


def _discard(made: Made) -> None:
    discard(temporary for temporary, _ in made.outputs.values())
