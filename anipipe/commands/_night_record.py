"""What the report of a night holds about one experiment."""

from __future__ import annotations

import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anipipe.commands import status as states
from anipipe.commands.opening import Opened
from anipipe.engine.digest import size_in
from anipipe.engine.freshness import State, Verdict
from anipipe.engine.jobs import Job
from anipipe.engine.outcome import Silent
from anipipe.engine.plan import Plan
from anipipe.errors import AnipipeError, LockedError, UsageError

#: Of the jobs that were done, so many of the slowest are named.
SLOWEST = 10
_TRACEBACK = 3000  # characters kept, of the end of each
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """What is kept of a job that ran, rather than the job, to which its whole plan is tied."""

    stage: str
    column: str
    session: str
    seconds: float
    done: bool


@dataclass
class Gathered(Silent):
    """Gathers what a night does in an experiment, in one run or several.

    Each job that ran is a line of the night's log.

    Attributes
    ----------
    ran : dict
        What ran, by the label of the job; what was tried twice, as it was the last time.
    notes : list of (str, str)
        Label of a job, and what a user should know about its data.
    """

    say: Callable[[str], None]
    ran: dict[str, Ran] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def settled(self, job: Job, verdict: Verdict, *, ran: bool, seconds: float, notices: list[str]) -> None:
        """Keep a job that ran."""
        if ran:
            done, column, session = (
                verdict.state is State.FRESH,
                states.column_of(job),
                states.session_of(job),
            )
            self.ran[job.label] = Ran(job.stage.name, column, session, seconds, done)
            self.say(f"  {'done' if done else 'failed'} {job.label} ({seconds:.2f} s)")
            self.notes += [(job.label, notice) for notice in notices]


def work_done(gathered: Gathered) -> Json:
    """Return what was done, by stage, and what took longest."""
    stages: dict[str, Json] = {}
    sessions: Counter[str] = Counter()
    done, ran = [job for job in gathered.ran.values() if job.done], gathered.ran
    for job in done:
        stage = stages.setdefault(
            job.stage, {"column": job.column, "jobs": 0, "seconds": 0.0, "longest": 0.0}
        )
        stage["jobs"] += 1
        stage["seconds"] = round(stage["seconds"] + job.seconds, 3)
        stage["longest"] = round(max(stage["longest"], job.seconds), 3)
        sessions[job.session] += 1
    slowest = sorted(ran, key=lambda label: -ran[label].seconds)[:SLOWEST]
    return {
        "done": len(done),
        "stages": stages,
        "done_in": dict(sessions),
        "slowest": [{"job": label, "seconds": round(ran[label].seconds, 3)} for label in slowest],
        "notes": [{"job": job, "text": text} for job, text in gathered.notes],
    }


def state_of(opened: Opened) -> Json:
    """Return what state an experiment is in after a run: the table, and what does not simply go well.

    A cell of the table is a number where all its jobs are up to date, else an object of states.
    """
    plan = opened.plan
    table = states.table(opened)
    selected = [job for job in plan.jobs if job.selected]
    by_state: dict[State, list[Job]] = {}
    for job in selected:
        by_state.setdefault(plan.state(job), []).append(job)
    blocked = [job for job in by_state.get(State.BLOCKED, ()) if not states.is_echo(plan, job)]
    return {
        "columns": table.columns,
        "sessions": {name: [_cell(counts) for counts in row] for name, row in table.rows.items()},
        "counts": {str(state): len(by_state[state]) for state in State if state in by_state},
        "failed": [_failure(plan, job) for job in by_state.get(State.FAILED, ())],
        "blocked": [_told(plan, job) for job in blocked],
        "blocked_after": len(by_state.get(State.BLOCKED, ())) - len(blocked),
        "conflicts": [_told(plan, job) for job in by_state.get(State.CONFLICT, ())],
        "given": _there(opened, by_state.get(State.GIVEN, ())),
        "edited": _there(opened, by_state.get(State.EDITED, ())),
        "waiting": _waited_for(plan, by_state.get(State.WAITING, ())),
        "disk": disk_use(opened),
    }


def disk_use(opened: Opened) -> Json:
    """Return the bytes that outputs take, by stage, as they were seen, and what is left on the disk."""
    disk, outputs = opened.disk, Counter[str]()
    for job in opened.plan.jobs:
        for path, artifact in job.outputs.items():
            outputs[job.stage.name] += size_in(disk.digest(path, sampled=artifact.sampled) or "")
    used: Json = {"outputs": {name: size for name, size in outputs.most_common() if size}}
    try:
        usage = shutil.disk_usage(opened.experiment.root)
    except OSError:
        return used
    return used | {"free": usage.free, "size": usage.total}


def changes(now: Json, before: Json | None, stamp: str) -> Json | None:
    """Return what has changed since an earlier report, and date the failures: since when, how many nights.

    Parameters
    ----------
    now
        A record with :func:`state_of`; its failures are dated.
    before
        The record of the same experiment; None if there is none.
    stamp
        When this night began.
    """
    then = {failure["job"]: failure for failure in (before or {}).get("failed", ())}
    for failure in now["failed"]:
        known = then.get(failure["job"], {})
        failure["since"], failure["nights"] = known.get("since", stamp), known.get("nights", 0) + 1
    if before is None:
        return None
    failing = {failure["job"]: None for failure in now["failed"]}
    here, there = ({name: None for name in record.get("sessions", ())} for record in (now, before))
    return {
        "newly_failing": [job for job in failing if job not in then],
        "recovered": [job for job in then if job not in failing],
        "new_sessions": [name for name in here if name not in there and name != states.WHOLE],
        "removed_sessions": [name for name in there if name not in here and name != states.WHOLE],
    }


def verdict_of(record: Mapping[str, Any]) -> str:
    """Return in a word how an experiment fared."""
    status = record["exit_status"]
    if status == LockedError.exit_status:
        return "locked"
    if record.get("interrupted"):
        return "interrupted"
    if status:
        return "unusable" if status == UsageError.exit_status else "failed"
    if record.get("put_off"):
        return "unfinished"
    if record.get("waiting"):
        return "waiting"
    return "done" if record.get("done") else "up to date"


def stamp_now() -> str:
    """Return the time, as reports say it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def explained(error: BaseException) -> Json:
    """Return what to tell of what kept an experiment from being processed, or ended that."""
    if isinstance(error, AnipipeError):
        return {"exit_status": error.exit_status, "error": str(error)}
    if isinstance(error, KeyboardInterrupt):
        return {"exit_status": 1, "error": "interrupted; what was finished is kept", "interrupted": True}
    if isinstance(error, OSError):
        return {"exit_status": 1, "error": str(error)}
    text = "".join(traceback.format_exception(error))
    told = f"unexpected {type(error).__name__}: {error} (a defect of anipipe; please report it)"
    return {"exit_status": 1, "error": told, "traceback": text[-_TRACEBACK:]}


def _cell(counts: Counter[State]) -> int | dict[str, int]:
    if set(counts) <= {State.FRESH}:
        return counts.total()
    return {str(state): count for state, count in counts.items()}


def _told(plan: Plan, job: Job) -> Json:
    verdict = plan.verdicts[job].verdict
    return {"job": job.label, "session": states.session_of(job), "reasons": list(verdict.reasons)}


def _failure(plan: Plan, job: Job) -> Json:
    recorded = plan.claims(job).failure or {}
    message = next(iter(plan.verdicts[job].verdict.reasons), "failed")
    told = {"job": job.label, "stage": job.stage.name, "session": states.session_of(job), "message": message}
    # On a full disk the failure could not be recorded, and what is recorded is an earlier one.
    trace = recorded.get("traceback", "") if recorded.get("message") == message else ""
    return {**told, "traceback": trace[-_TRACEBACK:]}


def _there(opened: Opened, jobs: Iterable[Job]) -> list[str]:
    return [path for job in jobs for path in job.outputs if opened.disk.exists(path)]


def _waited_for(plan: Plan, jobs: Iterable[Job]) -> Json:
    """Return how many jobs wait, and which files they wait for, with the reason."""
    jobs = list(jobs)
    reasons = dict.fromkeys(reason for job in jobs for reason in plan.verdicts[job].verdict.reasons)
    files = [reason for reason in reasons if not reason.endswith(" waits")]
    return {"jobs": len(jobs), "files": files} if jobs else {}
