"""The coordinator: takes jobs in the graph's order, commits what they made, isolates their failures."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Protocol

from anipipe.engine.digest import EMPTY, begins
from anipipe.engine.executors import Executor, WorkersDied
from anipipe.engine.freshness import PENDING, State, Verdict
from anipipe.engine.jobs import Examined, Job
from anipipe.engine.lanes import Lane, Running
from anipipe.engine.lock import Lock
from anipipe.engine.perform import Failed, Input, Made, Task, explain_os_error
from anipipe.engine.plan import Plan
from anipipe.engine.progress import CallMeter, FileMeter, Meter
from anipipe.errors import DataError

_LOOK = 1.0  # seconds between two looks at how far jobs are
#: A job that ran alone this often when its worker died is taken for what kills it.
MAX_STRIKES = 3


class Observer(Protocol):
    """Is told what happens."""

    def begin(self, plan: Plan) -> None:
        """Take note that a run starts."""

    def started(self, job: Job) -> None:
        """Take note that a job starts."""

    def progressed(self, job: Job, done: int, total: int) -> None:
        """Take note of how far a job is."""

    def settled(self, job: Job, verdict: Verdict, *, ran: bool, seconds: float, notices: list[str]) -> None:
        """Take note that nothing more will happen to a job in this run."""

    def withdrawn(self, path: str) -> None:
        """Take note that a part of a collection was taken out."""


@dataclass(slots=True)
class Outcome:
    """What a run did.

    Attributes
    ----------
    made, failed, blocked : list of Job
        Jobs that were done, that failed, and that could not be begun.
    without : list of str
        What other jobs did without: inputs that they gather, and that are not current.
    left_out : list of str
        Inputs that the tables are without.
    withdrawn : list of str
        Parts of collections that were taken out.
    """

    made: list[Job] = field(default_factory=list)
    failed: list[Job] = field(default_factory=list)
    blocked: list[Job] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)


class Runner:
    """Brings the selected jobs of a plan up to date.

    Parameters
    ----------
    plan : Plan
    executor : Executor
    lock : Lock
        Held by the caller.
    observer : Observer
    heavy : Executor, optional
        Runs the jobs that are :attr:`Stage.heavy`; has one worker. Else ``executor`` runs all.
    """

    def __init__(
        self, plan: Plan, executor: Executor, lock: Lock, observer: Observer, heavy: Executor | None = None
    ) -> None:
        self.plan, self.executor, self.lock, self.observer = plan, executor, lock, observer
        self.outcome = Outcome()
        #: Whether a worker process vanished: it may have left something unfinished.
        self.workers_died = False
        self._waiting: dict[Job, int] = {}
        self._ready: deque[Job] = deque()
        self._light = Lane(executor)
        self._heavy = self._light if heavy is None or heavy is executor else Lane(heavy)
        self._lanes = tuple(dict.fromkeys((self._heavy, self._light)))
        self._meters = 0
        self._strikes: dict[Job, int] = {}
        self._touched: set[Job | None] = set()

    def run(self) -> Outcome:
        """Do what has to be done.

        Raises
        ------
        LockedError
            If the lock was taken away.
        """
        self.observer.begin(self.plan)
        self._withdraw_unclaimed()
        for job in self.plan.jobs:
            self._waiting[job] = sum(source.producer is not None for source in job.sources)
        self._ready.extend(job for job in self.plan.jobs if not self._waiting[job])
        try:
            while self._ready or any(lane.busy for lane in self._lanes):
                self._fill()
                futures = [future for lane in self._lanes for future in lane.running]
                if futures:
                    done, _ = wait(futures, timeout=_LOOK, return_when=FIRST_COMPLETED)
                    for lane in self._lanes:
                        for word in lane.words():
                            self.observer.progressed(*word)
                        self._finish(lane, [future for future in done if future in lane.running])
        finally:
            for lane in self._lanes:
                lane.close()
        return self.outcome

    def _fill(self) -> None:
        """Start as much as there is room for."""
        for lane in self._lanes:
            while running := lane.take():
                self._submit(running)
        while self._ready and self._light.has_room:
            self._begin(self._ready.popleft())

    def _lane(self, job: Job) -> Lane:
        return self._heavy if job.stage.heavy(job.unit) else self._light

    def _begin(self, job: Job) -> None:
        examined = self._examined(job)
        verdict = examined.verdict
        if not (job.selected and verdict.state.to_do):
            self._settle_untouched(job, examined)
            return
        running, lane = Running(job, examined), self._lane(job)
        if lane.has_room:
            self._submit(running)
        else:
            lane.waiting.append(running)

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
            elif verdict.state is State.GIVEN:
                self._remember_given(job, examined)
            elif verdict.state is State.FRESH:
                self._forget_failure(job)
            self._note_left_out(job, examined.situation.left_out)
        self._settle(job, verdict, ran=False)

    def _submit(self, running: Running) -> None:
        job = running.job
        lane = self._lane(job)
        running.meter = self._meter(job, lane)
        task = Task(
            stage=job.stage,
            root=self.plan.disk.root,
            names=job.unit.names,
            options=job.options,
            inputs=tuple(Input(s.role, s.artifact, s.paths, s.unit.names) for s in running.examined.usable),
            outputs=tuple((artifact, path) for path, artifact in job.outputs.items()),
            token=self.lock.token,
            meter=running.meter,
        )
        self.observer.started(job)
        try:
            lane.start(running, task)
        except WorkersDied:
            self._revive(lane, [running])

    def _meter(self, job: Job, lane: Lane) -> Meter:
        if lane.executor.elsewhere:
            self._meters += 1
            return FileMeter.new(self.lock.token, self._meters)
        return CallMeter(lambda done, total: self.observer.progressed(job, done, total))

    def _finish(self, lane: Lane, done: Iterable[Future[Made | Failed]]) -> None:
        dead = []
        for future in done:
            running = lane.finished(future)
            result: Made | Failed
            try:
                result = future.result()
            except (BrokenProcessPool, OSError):
                dead.append(running)
                continue
            except Exception as error:  # what cannot even be sent to or from a worker
                result = Failed(f"unexpected {type(error).__name__}: {error}")
            if isinstance(result, Made):
                self._try_to_commit(running, result)
            else:
                self._fail(running, result)
        if dead:
            self._revive(lane, dead)

    def _try_to_commit(self, running: Running, made: Made) -> None:
        try:
            if self._keep_edited(running, made):
                self._discard(made)
                self._settle_untouched(running.job, self.plan.examine(running.job))
            else:
                self._commit(running, made)
        except DataError as error:
            self._discard(made)
            self._fail(running, Failed(str(error), seconds=made.seconds))
        except OSError as error:
            self._discard(made)
            target = self.plan.disk.path(next(iter(running.job.outputs)))
            self._fail(running, Failed(explain_os_error(error, target), seconds=made.seconds))
        except BaseException:
            self._discard(made)
            raise

    def _keep_edited(self, running: Running, made: Made) -> bool:
        """Find out which outputs were edited rather than cut short, and remember that; say if any was."""
        job, found = running.job, False
        for path in running.examined.verdict.compare:
            digest = running.examined.situation.outputs[path]
            if digest is not None and not begins(self.plan.disk.path(path), made.outputs[path][0]):
                self.plan.records.append(job.home, job.key, "kept", digest=digest)
                found = True
        return found

    def _revive(self, lane: Lane, dead: list[Running]) -> None:
        """Start workers anew, and find out which of the jobs that were running it was that ends them."""
        again = [*dead, *lane.restart()]
        self.workers_died = True
        for running in again:
            if len(again) == 1:
                self._strikes[running.job] = self._strikes.get(running.job, 0) + 1
            if self._strikes.get(running.job, 0) >= MAX_STRIKES:
                message = f"its worker process died {MAX_STRIKES} times (out of memory?); try --jobs 1"
                self._fail(running, Failed(message))
            else:
                lane.suspects.append(running)

    def _commit(self, running: Running, made: Made) -> None:
        job, plan, situation = running.job, self.plan, running.examined.situation
        disk, records = plan.disk, plan.records
        self.lock.check()
        for path in (path for source in running.examined.usable for path in source.paths):
            if not disk.unchanged_since(path):
                raise DataError(f"{disk.path(path)} changed while it was being read; run again")
        for path, digest in situation.outputs.items():
            disk.forget(path)
            if disk.digest(path) not in (None, EMPTY) if digest is None else not disk.unchanged_since(path):
                raise DataError(f"{disk.path(path)} was written by somebody while this ran; it is kept")
        facts = {**situation.facts, **{f"out:{path}": digest for path, (_, digest) in made.outputs.items()}}
        records.append(job.home, job.key, "intent", sync=True, facts=facts)
        for path, (temporary, digest) in made.outputs.items():
            if situation.outputs[path] == digest:
                temporary.unlink()  # the same bytes: the file, and what rests on it, can stay
            else:
                temporary.replace(disk.path(path))
            disk.wrote(path, digest)
        records.append(job.home, job.key, "done", notes=made.notes)
        verdict = Verdict(State.FRESH, running.examined.verdict.reasons)
        running.examined.verdict = verdict
        self.outcome.made.append(job)
        self._note_left_out(job, situation.left_out)
        self._settle(job, verdict, ran=True, seconds=made.seconds, notices=made.notes.get("notices", []))

    def _note_left_out(self, job: Job, left_out: list[str]) -> None:
        """Note what a job leaves out: a table is incomplete by it, another job does without."""
        if job.stage.fan_in:
            self.outcome.left_out.extend(left_out)
        else:
            self.outcome.without.extend(f"{job.label} does without {text}" for text in left_out)

    def _fail(self, running: Running, failed: Failed) -> None:
        job = running.job
        with contextlib.suppress(OSError):  # on a full disk even this fails; the user is told all the same
            self.plan.records.append(
                job.home,
                job.key,
                "failed",
                message=failed.message,
                traceback=failed.traceback,
                time=time.strftime("%Y-%m-%d %H:%M:%S"),
            )
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
        self.observer.settled(job, verdict, ran=ran, seconds=seconds, notices=notices or [])
        ready = []
        for dependent in self.plan.dependents[job]:
            self._waiting[dependent] -= 1
            if not self._waiting[dependent]:
                ready.append(dependent)
        # Ahead of what has not been begun: a trial is finished before the next one is opened.
        self._ready.extendleft(reversed(ready))

    def _remember_given(self, job: Job, examined: Examined) -> None:
        situation = examined.situation
        facts = {**situation.facts, **{f"out:{path}": digest for path, digest in situation.outputs.items()}}
        then = self.plan.claims(job).given
        if then is None or any(then.get(key) != value for key, value in facts.items() if key[:4] == "out:"):
            with contextlib.suppress(OSError):
                self.plan.records.append(job.home, job.key, "given", facts=facts)

    def _forget_failure(self, job: Job) -> None:
        """Record that what failed is up to date after all: what made it fail was taken back."""
        if self.plan.claims(job).failure is not None:
            with contextlib.suppress(OSError):
                self.plan.records.append(job.home, job.key, "recovered")

    def _withdraw(self, job: Job) -> None:
        if job.stage.collected:
            self._take_out(job.home, job.key)

    def _withdraw_unclaimed(self) -> None:
        for key in self.plan.unclaimed():
            self._take_out("", key)

    def _take_out(self, home: str, key: str) -> None:
        """Remove the recorded part of a collection, unless somebody has changed it."""
        records, disk = self.plan.records, self.plan.disk
        made = list(records.claims(home, key).made())
        if not made:
            return
        for path in {name[4:] for facts in made for name in facts if name.startswith("out:")}:
            disk.forget(path)
            digest = disk.digest(path)
            if digest is not None and any(facts.get(f"out:{path}") == digest for facts in made):
                try:
                    disk.path(path).unlink()
                except OSError:
                    return  # still ours, then, and tried again next time
                disk.forget(path)
                self.outcome.withdrawn.append(path)
                self.observer.withdrawn(path)
        with contextlib.suppress(OSError):
            records.append(home, key, "withdrawn")

    @staticmethod
    def _discard(made: Made) -> None:
        for temporary, _ in made.outputs.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
