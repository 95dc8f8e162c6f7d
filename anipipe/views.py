"""What the user reads of a run, of a plan and of an experiment's state, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anipipe.commands import status as states
from anipipe.commands.adopt import Adoption, counted
from anipipe.commands.check_calibration import Check
from anipipe.commands.opening import Opened
from anipipe.commands.run import Result
from anipipe.console import COLOURS, paint, table_lines, wrapped
from anipipe.engine.declare import Stage
from anipipe.engine.freshness import MEANINGS, QUIET, State
from anipipe.engine.jobs import Job

#: Of jobs that have the same to say, so many are named.
_NAMED = 4
#: States of a run's end that are neither done nor a failure, but worth counting.
_KEPT = (State.GIVEN, State.EDITED, State.CONFLICT, State.ARCHIVED)


def idle_lines(opened: Opened, asked: Sequence[Stage]) -> Iterator[str]:
    """Say so, if stages that were asked for have nothing at all to do in an experiment."""
    names = {stage.name for stage in asked}
    if names and not any(job.selected and job.stage.name in names for job in opened.plan.jobs):
        command = asked[0].command or asked[0].name
        yield (
            f"{command} has nothing to do here: it is switched off in the configuration (labeling.pictures, "
            "filter.enabled, triangulation.triangulate, ...), or what it works on is not there"
        )


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
    blocked = [job for job in outcome.blocked if not job.stage.fan_in and not states.is_echo(plan, job)]
    yield from _job_lines(result.opened, blocked)
    for text in dict.fromkeys(text for job in selected for text in plan.verdicts[job].stale_inputs):
        yield wrapped(f"{text}; it was used as it is (--upstream makes it again)", paint("note: ", "yellow"))
    yield from _job_lines(result.opened, result.conflicts)
    yield from _spared_lines(result.opened)
    forced = [job for job in selected if job.forced and job not in (*outcome.made, *outcome.failed, *blocked)]
    yield from _job_lines(result.opened, forced)
    for problem in result.problems:
        yield wrapped(problem, paint("problem: ", "red"))
    if outcome.deaths:
        times = "once" if outcome.deaths == 1 else f"{outcome.deaths} times"
        text = f"workers died {times} (out of memory, or ended by somebody); what they were at was begun anew"
        yield wrapped(text, paint("note: ", "yellow"))
    for text in outcome.without:
        yield wrapped(text, paint("note: ", "yellow"))
    if outcome.left_out or any(job.stage.collected for job in (*outcome.blocked, *outcome.failed)):
        yield wrapped("the tables are incomplete; summaries/missing.csv tells what they lack, and why")
    counts = plan.counts(selected)
    up_to_date = counts[State.FRESH] - len(outcome.made)
    parts = [f"{_jobs(len(outcome.made))} done"]
    parts += [f"{up_to_date} up to date"] if up_to_date else []
    parts += [paint(f"{len(outcome.failed)} failed", "red")] if outcome.failed else []
    parts += [paint(f"{len(outcome.blocked)} blocked", "yellow")] if outcome.blocked else []
    parts += [f"{counts[state]} {state}" for state in _KEPT if counts[state]]
    parts += [f"{counts[State.SPARED]} not needed"] if counts[State.SPARED] else []
    yield ", ".join(parts)


def adoption_lines(adoption: Adoption, *, dry_run: bool) -> Iterator[str]:
    """Yield what was recorded as done, what was not and why, and which files nothing knows."""
    word = "would be adopted" if dry_run else "adopted"
    yield f"{word}: {counted(adoption.adopted) or 'nothing'}"
    if adoption.as_they_are:
        yield wrapped(
            "used as they are, since there is nothing here to make them from: "
            f"{counted(adoption.as_they_are)}"
        )
    refused: dict[tuple[str, str], list[Job]] = {}
    for job, reason in adoption.refused:
        refused.setdefault((job.stage.name, reason), []).append(job)
    for (_, reason), jobs in refused.items():
        yield wrapped(reason, f"{paint('not adopted', 'yellow')} {jobs[0].label}{_and_more(jobs)}: ")
    alike: dict[str, list[str]] = {}
    for remark in adoption.remarks:
        file, _, text = remark.partition(": ")
        alike.setdefault(text, []).append(file)
    for text, files in alike.items():
        yield wrapped(f"{files[0]}{_and_more(files)}: {text}", paint("note: ", "yellow"))
    for what, paths in adoption.unknown.items():
        shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        yield wrapped(f"{shown} ({what})", f"{paint('not recognised', 'yellow')}: ")
    if adoption.to_make:
        yield wrapped(f"the next run will make: {counted(adoption.to_make)}")


def status_lines(opened: Opened, *, why: bool) -> Iterator[str]:
    """Yield an experiment's state: a table, what its words mean, and the reasons if they are asked for."""
    table = states.table(opened)
    yield from table_lines("session", table.columns, table.rows, states.MARKS)
    seen = {state for row in table.rows.values() for cell in row for state in cell}
    for state in states.MARKS:
        if state in seen and state is not State.FRESH:
            yield f"  {_coloured(state)}: {MEANINGS[state]}"
    yield from notice_lines(opened)
    yield from _spared_lines(opened)
    for problem in opened.problems():
        yield wrapped(problem, paint("problem: ", "red"))
    if why:
        for jobs, state, reasons in _alike(opened, [job for job, *_ in states.explained(opened)]):
            names = ", ".join(job.unit.label for job in jobs[:_NAMED])
            yield f"{_coloured(state)} {jobs[0].stage.name} {names}{_and_more(jobs[_NAMED - 1 :])}".rstrip()
            for reason in reasons:
                yield wrapped(reason, "    ")
        for job, texts in states.noted(opened):
            yield f"{paint('noted', 'yellow')} {job.label}"
            for text in texts:
                yield wrapped(text, "    ")
        return
    hints = ["the reasons"] if seen - QUIET else []
    count = sum(1 for _ in states.noted(opened))
    hints += [f"what {_jobs(count)} noted"] if count else []
    if hints:
        yield f"`anipipe status --why` tells {' and '.join(hints)}"


_ALARM_COLOURS = {"critical": "red", "warning": "yellow", "note": "cyan"}


def check_lines(check: Check) -> Iterator[str]:
    """Yield what came out of checking a calibration: a line per camera, then what is wrong with them."""
    yield paint(str(check.path), "bold")
    rows: list[tuple[str, ...]] = [("camera", "size", "focal length", "nearest camera", "board", "2D poses")]
    for row in check.cameras:
        unit = f" {check.units}" if check.units else ""
        rows.append(
            (
                row.name,
                "unknown" if row.size is None else f"{row.size[0]} x {row.size[1]}",
                f"{row.focal_length:.0f} px",
                "-" if row.distance is None else f"{row.nearest}, {row.distance:.4g}{unit} away",
                *("-" if error is None else f"{error:.2f} px" for error in (row.board_error, row.pose_error)),
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for number, cells in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        yield "  " + (paint(line, "bold") if number == 0 else line)
    yield wrapped("; ".join(check.looked_at), "  looked at ")
    for notice in check.notices:
        yield wrapped(notice, paint("note: ", "yellow"))
    groups: dict[tuple[str, str], list[str]] = {}
    for alarm in check.alarms:
        groups.setdefault((alarm.level, alarm.remedy), []).append(alarm.text)
    for (level, remedy), texts in groups.items():
        for text in texts:
            yield wrapped(text, paint(f"{level}: ", _ALARM_COLOURS[level]))
        yield wrapped(remedy, "  what to do: ")
    if check.critical:
        yield paint("do not use this calibration", "red")
    else:
        warned = any(alarm.level == "warning" for alarm in check.alarms)
        yield "usable with care" if warned else "usable: nothing is wrong with it"


def _job_lines(opened: Opened, jobs: Sequence[Job]) -> Iterator[str]:
    """Yield a line for each job, but only one for all jobs of a stage that have the same reasons."""
    for group, state, reasons in _alike(opened, jobs):
        yield wrapped("\n".join(reasons), f"{_coloured(state)} {group[0].label}{_and_more(group)}: ")


def _alike(opened: Opened, jobs: Sequence[Job]) -> Iterator[tuple[list[Job], State, tuple[str, ...]]]:
    """Yield together the jobs of a stage in one state, for the same reasons but for their own paths."""
    alike: dict[tuple[str, State, tuple[str, ...]], list[Job]] = {}
    for job in jobs:
        verdict = opened.plan.verdicts[job].verdict
        reasons = tuple(_without_paths(job, reason) for reason in verdict.reasons)
        alike.setdefault((job.stage.name, verdict.state, reasons), []).append(job)
    for (_, state, _), group in alike.items():
        yield group, state, opened.plan.verdicts[group[0]].verdict.reasons


def _without_paths(job: Job, reason: str) -> str:
    paths = [*job.outputs, *(path for source in job.sources for path in source.paths)]
    for number, path in enumerate(paths):
        reason = reason.replace(path, f"{{{number}}}")
    return reason


def _and_more(group: Sequence[object]) -> str:
    return f" and {len(group) - 1} more" if len(group) > 1 else ""


def _spared_lines(opened: Opened) -> Iterator[str]:
    """Say which outputs of somebody else stand for what could be made from files that lie beside them."""
    plan = opened.plan
    for job in plan.jobs:
        spared = [s for s in job.sources if s.producer and plan.state(s.producer) is State.SPARED]
        if job.selected and spared and plan.state(job) is State.GIVEN:
            path = next(path for path in job.outputs if plan.disk.exists(path))
            yield wrapped(
                f"{path} was not made by anipipe and is used as it is; it could be made anew, with "
                f"{len(spared)} {spared[0].artifact.name}: --force {path}",
                paint("note: ", "yellow"),
            )


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"


def _coloured(state: State) -> str:
    return paint(str(state), COLOURS[state])
