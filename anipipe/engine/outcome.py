"""What a run did, and who is told meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from anipipe.engine.freshness import Verdict
from anipipe.engine.jobs import Job
from anipipe.engine.plan import Plan


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


class Silent:
    """Takes note of nothing."""

    def begin(self, plan: Plan) -> None:
        """Do nothing."""

    def started(self, job: Job) -> None:
        """Do nothing."""

    def progressed(self, job: Job, done: int, total: int) -> None:
        """Do nothing."""

    def settled(self, job: Job, verdict: Verdict, *, ran: bool, seconds: float, notices: list[str]) -> None:
        """Do nothing."""

    def withdrawn(self, path: str) -> None:
        """Do nothing."""


class Both:
    """Tells two observers, one after the other."""

    def __init__(self, first: Observer, second: Observer) -> None:
        self._observers = first, second

    def begin(self, plan: Plan) -> None:
        """Pass it on."""
        for each in self._observers:
            each.begin(plan)

    def started(self, job: Job) -> None:
        """Pass it on."""
        for each in self._observers:
            each.started(job)

    def progressed(self, job: Job, done: int, total: int) -> None:
        """Pass it on."""
        for each in self._observers:
            each.progressed(job, done, total)

    def settled(self, job: Job, verdict: Verdict, *, ran: bool, seconds: float, notices: list[str]) -> None:
        """Pass it on."""
        for each in self._observers:
            each.settled(job, verdict, ran=ran, seconds=seconds, notices=notices)

    def withdrawn(self, path: str) -> None:
        """Pass it on."""
        for each in self._observers:
            each.withdrawn(path)


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
    waiting : list of Job
        Jobs whose recordings are still being written.
    put_off : list of Job
        Jobs that were not begun, since the time was up.
    deaths : int
        How often workers died; what they were at was done again, or has failed.
    """

    made: list[Job] = field(default_factory=list)
    failed: list[Job] = field(default_factory=list)
    blocked: list[Job] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    waiting: list[Job] = field(default_factory=list)
    put_off: list[Job] = field(default_factory=list)
    deaths: int = 0
