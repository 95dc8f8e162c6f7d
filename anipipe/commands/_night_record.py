"""What the report of a night holds about one experiment."""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anipipe.commands import status as states
from anipipe.commands._night_past import Known
from anipipe.commands.opening import Opened
from anipipe.engine.digest import size_in
from anipipe.engine.freshness import State, Verdict
from anipipe.engine.jobs import Job
from anipipe.engine.outcome import Silent
from anipipe.engine.plan import Plan
from anipipe.errors import INTERRUPTED, AnipipeError, LockedError, UsageError

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


def state_of(opened: Opened, tried: Container[str] = ()) -> Json:
    """Return what state an experiment is in after a run: the table, and what does not simply go well.

    A cell of the table is a number where all its jobs are up to date, else an object of states. Of what is to
    be looked at, only what is new is told: of the jobs that ran.
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
        "concerns": [
            {"job": job.label, "session": states.session_of(job), "text": text}
            for job in by_state.get(State.FRESH, ())
            if job.label in tried
            for text in states.noted_of(plan, job, "concerns")
        ],
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


def compared(opened: Opened, now: Json, before: Known | None, tried: Container[str], stamp: str) -> Json:
    """Return what has changed since an earlier night, and what this one cannot tell.

    Parameters
    ----------
    opened : Opened
    now
        Its :func:`state_of`; failures are dated in it: since when, and in how many nights.
    before : Known, optional
        None if no earlier night has looked into the experiment.
    tried
        Labels of the jobs that ran this night.
    stamp
        When it began.

    Returns
    -------
    dict
        ``changes``; and ``carried``, for the next night: sessions that were not looked at, and failures that
        were not tried again. They are neither gone nor mended.
    """
    plan, sessions = opened.plan, [unit.label for unit in opened.experiment.of("session")]
    known = before or Known({}, tuple(sessions))
    for failure in now["failed"]:
        then = known.failures.get(failure["job"], {})
        failure["since"], failure["tried"] = then.get("since", stamp), failure["job"] in tried
        failure["nights"] = max(then.get("nights", 0) + failure["tried"], 1)

    there = {*now["sessions"], states.WHOLE}
    unseen = {name: _is_gone(opened, name) for name in known.sessions if name not in there}
    hidden = [name for name, is_gone in unseen.items() if not is_gone]
    new = there.difference(known.sessions)
    found = {job.label: plan.state(job) if job.selected else None for job in plan.jobs}
    recovered = [label for label in known.failures if (state := found.get(label)) and state.current]
    untried = [
        {"job": label, **failure}
        for label, failure in known.failures.items()
        if (label in found or failure.get("session") in hidden) and not _is_settled(found.get(label))
    ]
    told = {"carried": {"failed": untried, "sessions": hidden}}
    if before is None:
        return {"changes": None, **told}
    changes = {
        "newly_failing": [job["job"] for job in now["failed"] if job["job"] not in known.failures],
        "recovered": recovered,
        "not_tried": [failure["job"] for failure in untried],
        "new_sessions": [name for name in sessions if name in new],
        "removed_sessions": [name for name, is_gone in unseen.items() if is_gone],
    }
    return {"changes": changes, **told}


def _is_settled(state: State | None) -> bool:
    """Say whether a job, of which nothing is known if it was not selected, failed this night or need not."""
    return state is not None and (state.current or state in (State.FAILED, State.SPARED))


def _is_gone(opened: Opened, session: str) -> bool:
    """Say whether a session that is not in the table was meant to be, and is not on disk either."""
    folders, experiment = opened.folders, opened.experiment
    amiss = [*experiment.dangling, *(problem.where for problem in experiment.problems)]
    is_meant = not folders or _is_within(session, folders)
    is_there = os.path.exists(experiment.root / session)  # noqa: PTH110 - never raises
    return is_meant and not is_there and not _is_within(session, amiss)


def _is_within(session: str, folders: Iterable[str]) -> bool:
    return any(folder and f"{session}/".startswith(f"{folder}/") for folder in folders)


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


def left_over(opened: Opened) -> str:
    """Return in words how much is not done of what was selected."""
    plan = opened.plan
    left = sum(job.selected and not _is_settled(plan.state(job)) for job in plan.jobs)
    return f"what was finished is kept, and the next night does what is left to do (jobs: {left})"


def stamp_now() -> str:
    """Return the time, as reports say it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def explained(error: BaseException) -> Json:
    """Return what to tell of what kept an experiment from being processed, or ended that."""
    if isinstance(error, AnipipeError):
        return {"exit_status": error.exit_status, "error": str(error)}
    if isinstance(error, KeyboardInterrupt):
        text = "interrupted; what was finished is kept"
        return {"exit_status": INTERRUPTED, "error": text, "interrupted": True}
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
