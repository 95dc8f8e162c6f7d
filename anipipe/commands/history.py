"""What was done in an experiment, and when: its past runs, and the story of a session."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from anipipe.engine.freshness import State
from anipipe.engine.journal import REPORT, SO_FAR, runs_folder, stamped
from anipipe.engine.lock import holder_of
from anipipe.guards import read_regular

#: How a run ended, if it did.
ENDED, KILLED, RUNNING = "ended", "killed", "running"
#: Stands for the reason of a failure that is that of the time before.
AS_BEFORE = "as the time before"
_LARGEST = 2**29  # bytes; a failed job takes some thousand
_MOST = 1e9  # seconds, jobs: no more than that can be true
_YEARS = range(1971, 9000)  # others are not dealt with by all time zones


@dataclass(frozen=True)
class Run:
    """A run of an experiment, by what it left in ``.anipipe/runs``.

    Attributes
    ----------
    name : str
        Of its log and report.
    state : {"ended", "killed", "running"}
        Killed: there is a log but no usable report, and nobody holds the experiment in its name.
    report : dict
        What the journal wrote; of a run without a report, what was written of it so far. What is not of the
        kind that the journal writes is left out.
    """

    name: str
    state: str
    report: dict[str, Any]

    @property
    def started(self) -> datetime:
        """When it began, in the time of the place where it ran."""
        day, _, clock = self.name[:19].partition("T")
        for text in (str(self.report.get("started")), f"{day}T{clock.replace('-', ':')}"):
            with contextlib.suppress(ValueError):
                when = datetime.fromisoformat(text)
                if when.year in _YEARS:
                    return when if when.tzinfo else when.astimezone()
        return datetime.fromtimestamp(0).astimezone()

    @property
    def seconds(self) -> float | None:
        """How long it took; None if that is not known."""
        return self.report.get("seconds")

    @property
    def exit_status(self) -> int | None:
        """What it ended with; None if it did not end."""
        return self.report.get("exit_status")

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """What is told of single jobs."""
        return list(self.report["jobs"])

    @property
    def counts(self) -> Counter[str]:
        """How many jobs it did, failed at, and left blocked, waiting, or for later."""
        counts: Counter[str] = Counter()
        for job in self.jobs:
            counts["done" if _was_done(job) else str(job.get("state"))] += 1
        counts["put off"] = int(self.report.get("put_off", 0))
        return counts

    def describe(self) -> dict[str, Any]:
        """Return what is listed of it, in plain JSON values."""
        counts = self.counts
        return {
            "name": self.name,
            "started": self.started.isoformat(),
            "seconds": self.seconds,
            "state": self.state,
            "exit_status": self.exit_status,
            "command": self.report.get("command", []),
            "host": self.report.get("host"),
            "version": self.report.get("version"),
            **{word.replace(" ", "_"): counts[word] for word in COUNTED},
        }


#: What is counted of a run, in the words of :attr:`Run.counts`.
COUNTED = ("done", "failed", "blocked", "waiting", "put off")


@dataclass(frozen=True)
class Event:
    """Something that a run did, or could not do, for a session.

    Attributes
    ----------
    when : datetime
    run : Run
    job : dict
        The journal's entry.
    why : tuple of str
        The reasons; what the same job's try before has said is not repeated.
    """

    when: datetime
    run: Run
    job: dict[str, Any]
    why: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """What came of it."""
        return "done" if _was_done(self.job) else str(self.job.get("state"))

    def describe(self) -> dict[str, Any]:
        """Return all that is told of it, in plain JSON values."""
        return {"when": self.when.isoformat(), "run": self.run.name, **self.job}


def past_runs(root: Path) -> list[Run]:
    """Return the runs of an experiment of which something is kept, the oldest first."""
    folder = runs_folder(root)
    holder = None
    with contextlib.suppress(OSError):  # the lock cannot be looked at: whoever runs something will be told
        holder = holder_of(root)
    token = str(holder.get("token")) if holder else None
    return sorted((_run(folder, name, token) for name in stamped(folder)), key=lambda run: run.started)


def story(runs: Sequence[Run], session: str, *, stages: Sequence[str] = ()) -> list[Event]:
    """Return what runs did for a session, or for those below a folder, in order.

    Parameters
    ----------
    runs : sequence of Run
    session : str
        Folder relative to the experiment; empty for the whole of it.
    stages : sequence of str
        Only these; all if empty.
    """
    events = [
        Event(run.started + timedelta(seconds=job.get("at", 0)), run, job)
        for run in runs
        for job in run.jobs
        if _concerns(job, session)
        and (job.get("ran") or job.get("state") == State.BLOCKED)
        and (not stages or job.get("stage") in stages)
    ]
    return list(_told_once(events))


def sessions(runs: Sequence[Run]) -> list[str]:
    """Return the sessions that runs have worked on."""
    found = (job.get("session") for run in runs for job in run.jobs)
    return list(dict.fromkeys(name for name in found if isinstance(name, str)))


def _told_once(events: Sequence[Event]) -> Iterator[Event]:
    """Leave out of the reasons what the same job's try before has said."""
    said: dict[str, str] = {}
    for event in events:
        job, reasons = str(event.job.get("job")), [str(reason) for reason in event.job.get("reasons", ())]
        first = next(iter(reasons), "")
        if first and said.get(job) == first:
            reasons[0] = "failed the time before" if event.state == "done" else AS_BEFORE
        said[job] = "" if event.state == "done" else first
        yield replace(event, why=tuple(reasons))


def _run(folder: Path, name: str, token: str | None) -> Run:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        report = _sound(json.loads(read_regular(folder / f"{name}{REPORT}", limit=_LARGEST)), _OF_RUN)
        if "exit_status" in report:
            return Run(name, ENDED, report | {"jobs": _jobs(report.get("jobs", ()))})
    state = RUNNING if token is not None and name.endswith(f"-{token}") else KILLED
    return Run(name, state, _so_far(folder / f"{name}{SO_FAR}"))


def _so_far(path: Path) -> dict[str, Any]:
    """Return the report of a run that did not write one, from the lines that it wrote as it went."""
    lines = []
    with contextlib.suppress(OSError):
        for text in read_regular(path, limit=_LARGEST).split(b"\n"):
            with contextlib.suppress(ValueError, RecursionError):  # the torn end
                lines.append(json.loads(text))
    heads = [head for line in lines if "started" in (head := _sound(line, _OF_RUN))]
    jobs = _jobs(lines)
    seconds = {"seconds": max(job.get("at", 0) for job in jobs)} if jobs else {}
    return {**(heads[0] if heads else {}), **seconds, "jobs": jobs}


def _sound(told: object, kinds: Mapping[str, Callable[[Any], bool]]) -> dict[str, Any]:
    """Return what is of the kind that a journal writes: anybody may have put anything into its folder."""
    told = told if isinstance(told, dict) else {}
    return {key: value for key, value in told.items() if key not in kinds or kinds[key](value)}


def _jobs(told: Sequence[Any]) -> list[dict[str, Any]]:
    return [job for each in told if "job" in (job := _sound(each, _OF_JOB))]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_amount(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < _MOST


_OF_JOB = {
    **dict.fromkeys(("job", "stage", "unit", "session", "state", "traceback"), _is_text),
    **dict.fromkeys(("reasons", "notices", "outputs"), _is_list),
    **dict.fromkeys(("at", "seconds"), _is_amount),
}
_OF_RUN = {
    "started": _is_text,
    **dict.fromkeys(("jobs", "command"), _is_list),
    **dict.fromkeys(("seconds", "put_off", "exit_status"), _is_amount),
}


def _was_done(job: dict[str, Any]) -> bool:
    return bool(job.get("ran")) and job.get("state") == State.FRESH


def _concerns(job: dict[str, Any], session: str) -> bool:
    # Reports from before sessions were noted name the unit, which begins with its session.
    where = str(job.get("session", job.get("unit", "")))
    return not session or where == session or where.startswith(f"{session}/")
