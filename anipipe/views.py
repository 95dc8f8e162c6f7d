"""What the user reads of a run, of a plan and of an experiment's state, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from anipipe.commands import status as states
from anipipe.commands.opening import Opened
from anipipe.commands.run import Result
from anipipe.console import paint, table_lines, wrapped
from anipipe.engine.freshness import MEANINGS, State
from anipipe.engine.plan import Job

_COLOURS = {
    State.FRESH: "green",
    State.STALE: "yellow",
    State.PENDING: "yellow",
    State.BLOCKED: "yellow",
    State.FAILED: "red",
    State.CONFLICT: "magenta",
    State.GIVEN: "cyan",
    State.EDITED: "cyan",
    State.ARCHIVED: "blue",
}
#: States of a run's end that are neither done nor a failure, but worth counting.
_KEPT = (State.GIVEN, State.EDITED, State.CONFLICT, State.ARCHIVED)


def notice_lines(opened: Opened) -> Iterator[str]:
    """Yield what a user should know before anything is done."""
    for notice in opened.notices():
        yield wrapped(notice, paint("note: ", "yellow"))


def plan_lines(opened: Opened) -> Iterator[str]:
    """Yield what a run would do, and why."""
    plan = opened.plan
    ahead = plan.ahead()
    for job in plan.jobs:
        if job in ahead or (job.selected and plan.state(job) is State.BLOCKED):
            yield _job_line(opened, job)
    for problem in opened.problems():
        yield wrapped(problem, paint("problem: ", "red"))
    yield f"{_jobs(len(ahead))} to do"


def result_lines(result: Result) -> Iterator[str]:
    """Yield what a run did, and what it could not do."""
    plan, outcome = result.opened.plan, result.outcome
    selected = [job for job in plan.jobs if job.selected]
    for job in outcome.blocked:
        if not job.stage.fan_in and any(
            not _is_echo(reason) for reason in plan.verdicts[job].verdict.reasons
        ):
            yield _job_line(result.opened, job)
    for text in dict.fromkeys(text for job in selected for text in plan.verdicts[job].stale_inputs):
        yield wrapped(f"{text}; it was used as it is (--upstream makes it again)", paint("note: ", "yellow"))
    for job in selected:
        if plan.state(job) is State.CONFLICT:
            yield _job_line(result.opened, job)
    for problem in result.problems:
        yield wrapped(problem, paint("problem: ", "red"))
    if outcome.left_out or any(job.stage.collected for job in (*outcome.blocked, *outcome.failed)):
        yield wrapped("the tables are incomplete; summaries/missing.csv tells what they lack, and why")
    counts = plan.counts(selected)
    up_to_date = counts[State.FRESH] - len(outcome.made)
    parts = [f"{_jobs(len(outcome.made))} done"]
    parts += [f"{up_to_date} up to date"] if up_to_date else []
    parts += [paint(f"{len(outcome.failed)} failed", "red")] if outcome.failed else []
    parts += [paint(f"{len(outcome.blocked)} blocked", "yellow")] if outcome.blocked else []
    parts += [f"{counts[state]} {state}" for state in _KEPT if counts[state]]
    yield ", ".join(parts)


def status_lines(opened: Opened, *, why: bool) -> Iterator[str]:
    """Yield an experiment's state: a table, what its words mean, and the reasons if they are asked for."""
    table = states.table(opened)
    yield from table_lines("session", table.columns, table.rows, states.MARKS)
    seen = {state for row in table.rows.values() for cell in row for state in cell}
    for state in states.MARKS:
        if state in seen and state is not State.FRESH:
            yield f"  {_coloured(state)}: {MEANINGS[state]}"
    yield from notice_lines(opened)
    for problem in opened.problems():
        yield wrapped(problem, paint("problem: ", "red"))
    if why:
        for job, state, reasons in states.explained(opened):
            yield f"{_coloured(state)} {job.label}"
            for reason in reasons:
                yield wrapped(reason, "    ")
    elif seen - {State.FRESH}:
        yield "`anipipe status --why` tells the reasons"


def _job_line(opened: Opened, job: Job) -> str:
    verdict = opened.plan.verdicts[job].verdict
    return wrapped("\n".join(verdict.reasons), f"{_coloured(verdict.state)} {job.label}: ")


def _is_echo(reason: str) -> bool:
    """Say whether a reason only repeats that something before it could not be done."""
    return reason.endswith((" failed", " is blocked"))


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"


def _coloured(state: State) -> str:
    return paint(str(state), _COLOURS[state])
