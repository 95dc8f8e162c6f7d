"""What state an experiment is in: one line per session, one column per stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from anipipe.commands.opening import Opened
from anipipe.engine.freshness import QUIET, State
from anipipe.engine.jobs import Job
from anipipe.engine.plan import Plan

#: How a state is marked in a cell, the worst first: the order in which a cell's states are named.
MARKS: dict[State, str] = {
    State.FAILED: "failed",
    State.CONFLICT: "conflict",
    State.BLOCKED: "blocked",
    State.STALE: "stale",
    State.PENDING: "pending",
    State.EDITED: "edited",
    State.GIVEN: "given",
    State.ARCHIVED: "archived",
    State.WAITING: "waiting",
    State.SPARED: "-",
    State.FRESH: "ok",
}
WHOLE = "(all sessions)"
#: Groups of stages that share a column, behind those of all other stages.
_SHARED = ("pictures", "tables")


@dataclass(frozen=True)
class Table:
    """The states of an experiment's jobs, by session and column.

    Attributes
    ----------
    columns : list of str
        Stages in order; those that make pictures share a column, and those that make tables the last.
    rows : dict
        Session to the counts in each column.
    """

    columns: list[str]
    rows: dict[str, list[Counter[State]]]


def table(opened: Opened) -> Table:
    """Count the states of selected jobs by session and stage; sessions without jobs are left out."""
    jobs = [job for job in _shown(opened) if job.selected]
    columns = list(dict.fromkeys(column_of(job) for job in sorted(jobs, key=_family)))
    place = {column: index for index, column in enumerate(columns)}
    rows: dict[str, list[Counter[State]]] = {}
    for job in jobs:
        session = session_of(job)
        if session not in rows:
            rows[session] = [Counter() for _ in columns]
        rows[session][place[column_of(job)]][opened.plan.state(job)] += 1
    order = [unit.label for unit in opened.experiment.of("session") if unit.label in rows]
    return Table(columns, {session: rows[session] for session in dict.fromkeys((*order, *rows))})


def describe(opened: Opened) -> dict[str, Any]:
    """Return everything about an experiment's state, in plain JSON values."""
    plan = opened.plan
    jobs = [
        {
            "stage": job.stage.name,
            "session": session_of(job),
            "unit": job.unit.label,
            "state": str(plan.state(job)),
            "reasons": list(plan.verdicts[job].verdict.reasons),
            "notices": noted_of(plan, job),
            "outputs": list(job.outputs),
        }
        for job in _shown(opened)
    ]
    return {
        "experiment": str(opened.experiment.root),
        "counts": {str(state): count for state, count in plan.counts(_shown(opened)).items()},
        "jobs": jobs,
        "problems": opened.problems(),
        "notices": opened.notices(),
    }


def explained(opened: Opened) -> Iterator[tuple[Job, State, tuple[str, ...]]]:
    """Yield every job that is not simply up to date, with every reason."""
    for job in _shown(opened):
        verdict = opened.plan.verdicts[job].verdict
        if verdict.state not in QUIET:
            yield job, verdict.state, verdict.reasons


def noted(opened: Opened) -> Iterator[tuple[Job, list[str]]]:
    """Yield every job that had something to say of what it made, with that, while it stands."""
    for job in _shown(opened):
        if opened.plan.state(job) in (State.FRESH, State.ARCHIVED) and (texts := noted_of(opened.plan, job)):
            yield job, texts


def noted_of(plan: Plan, job: Job, kind: str = "notices") -> list[str]:
    """Return what a job had to say when it was done, or of that only the ``concerns``."""
    texts = plan.claims(job).notes.get(kind)
    return [str(text) for text in texts] if isinstance(texts, list) else []


def is_echo(plan: Plan, job: Job) -> bool:
    """Say whether the reasons of a job only repeat that something before it could not be done."""
    return all(reason.endswith((" failed", " is blocked")) for reason in plan.verdicts[job].verdict.reasons)


def _shown(opened: Opened) -> Iterator[Job]:
    """Yield the jobs of the sessions that were asked for."""
    for job in opened.plan.jobs:
        group = f"{job.unit.group}/"
        if not opened.folders or any(group.startswith(f"{folder}/") for folder in opened.folders):
            yield job


def _family(job: Job) -> int:
    """Return 0 for stages that have columns of their own, else the place of the column that they share."""
    return _SHARED.index(job.stage.group) + 1 if job.stage.group in _SHARED else 0


def column_of(job: Job) -> str:
    """Return the column that a job is counted in."""
    return job.stage.group if _family(job) else job.stage.name


def session_of(job: Job) -> str:
    """Return what a job is listed under."""
    if job.unit.kind == "experiment":
        return WHOLE
    return job.unit.group or "."
