"""What the user reads of a run, of a plan and of an experiment's state, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anipipe.commands import status as states
from anipipe.commands.opening import Opened
from anipipe.commands.run import Result
from anipipe.console import COLOURS, paint, table_lines, wrapped
from anipipe.engine.freshness import MEANINGS, State
from anipipe.engine.jobs import Job

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
    blocked = {job for job in plan.jobs if job.selected and plan.state(job) is State.BLOCKED}
    for job in plan.jobs:
        if job in ahead or job in blocked:
            yield from _job_lines(opened, [job])
    for problem in opened.problems():
        yield wrapped(problem, paint("problem: ", "red"))
    yield f"{_jobs(len(ahead))} to do"


def result_lines(result: Result) -> Iterator[str]:
    """Yield what a run did, and what it could not do."""
    plan, outcome = result.opened.plan, result.outcome
    selected = [job for job in plan.jobs if job.selected]
    blocked = [job for job in outcome.blocked if not job.stage.fan_in and not _is_echo(result.opened, job)]
    yield from _job_lines(result.opened, blocked)
    for text in dict.fromkeys(text for job in selected for text in plan.verdicts[job].stale_inputs):
        yield wrapped(f"{text}; it was used as it is (--upstream makes it again)", paint("note: ", "yellow"))
    yield from _job_lines(result.opened, result.conflicts)
    forced = [job for job in selected if job.forced and job not in (*outcome.made, *outcome.failed, *blocked)]
    yield from _job_lines(result.opened, forced)
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


def _job_lines(opened: Opened, jobs: Sequence[Job]) -> Iterator[str]:
    """Yield a line for each job, but only one for all jobs of a stage that have the same reasons."""
    alike: dict[tuple[str, tuple[str, ...]], list[Job]] = {}
    for job in jobs:
        alike.setdefault((job.stage.name, opened.plan.verdicts[job].verdict.reasons), []).append(job)
    for (stage, reasons), group in alike.items():
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        state = _coloured(opened.plan.state(group[0]))
        yield wrapped("\n".join(reasons), f"{state} {stage} {group[0].unit.label}{more}: ")


def _is_echo(opened: Opened, job: Job) -> bool:
    """Say whether the reasons of a job only repeat that something before it could not be done."""
    return all(
        reason.endswith((" failed", " is blocked")) for reason in opened.plan.verdicts[job].verdict.reasons
    )


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"


def _coloured(state: State) -> str:
    return paint(str(state), COLOURS[state])
