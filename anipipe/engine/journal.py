"""The log and the report that a run leaves in ``.anipipe/runs``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from anipipe import __version__
from anipipe.engine.freshness import QUIET, State, Verdict
from anipipe.engine.jobs import Job
from anipipe.engine.outcome import Silent
from anipipe.engine.plan import Plan
from anipipe.engine.records import OWN_FOLDER
from anipipe.guards import visible

#: Reports of this many runs are kept.
KEPT = 200
LOG, REPORT = ".log", ".json"
#: What a report is to hold, while its run is under way; and for good, if it was killed.
SO_FAR = ".jsonl"
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\w+)\.(?:log|jsonl?|html)")
_TRACEBACK = 4000  # characters kept, of its end


def runs_folder(root: Path) -> Path:
    """Return where the runs of an experiment leave their logs and reports."""
    return root / OWN_FOLDER / "runs"


def stamp(token: str) -> str:
    """Return a name for what is left by a run that begins now; such names sort by time."""
    return f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{token}"


def stamped(folder: Path) -> list[str]:
    """Return the names of the runs that left something in a folder, the oldest first."""
    try:
        found = [match[1] for name in os.listdir(folder) if (match := _STAMPED.fullmatch(name))]
    except OSError:
        return []
    return sorted(set(found))


def rotate(folder: Path, keep: int, *, spare: str) -> None:
    """Remove what all but the newest runs left in a folder; never that of ``spare``, whatever the clock says.

    Raises
    ------
    OSError
        If something cannot be removed.
    """
    names = stamped(folder)
    for name in [name for name in names if name != spare][: max(len(names) - keep, 0)]:
        for path in folder.glob(f"{name}.*"):
            path.unlink(missing_ok=True)


class Journal(Silent):
    """Writes a run's log as it goes (``NAME.log``) and its report at the end (``NAME.json``).

    What the report is to hold is also written as it comes, a line each (``NAME.jsonl``), and removed once the
    report is there: of a run that was killed these lines remain, and tell what it had done.
    Nothing here may stop a run: on a full disk the log ends early.

    Parameters
    ----------
    root : Path
    token : str
        Of the run's lock; keeps two runs of one second apart.
    command : list of str
        The command line.
    about : mapping
        What else is worth keeping of the run, in plain JSON values: how it is executed.
    """

    def __init__(
        self, root: Path, token: str, command: list[str], about: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = runs_folder(root)
        self.name = stamp(token)
        self.report: dict[str, Any] = {
            "command": command,
            "started": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            **(about or {}),
            "jobs": [],
            "withdrawn": [],
        }
        self._plan: Plan | None = None
        self._began = time.monotonic()

    def begin(self, plan: Plan) -> None:
        """Note that a run begins; one with nothing to do leaves a report alone."""
        self._plan = plan
        if plan.ahead():
            self.write(f"begun by process {self.report['pid']} on {self.report['host']}")
            self._append({key: value for key, value in self.report.items() if value != []})

    def write(self, line: str) -> None:
        """Add a line to the log."""
        self._add(LOG, f"{time.strftime('%H:%M:%S')} {visible(line)}")

    def settled(self, job: Job, verdict: Verdict, *, ran: bool, seconds: float, notices: list[str]) -> None:
        """Note what became of a job; jobs that are simply up to date are only counted."""
        if verdict.state in QUIET and not ran:
            return
        entry = {
            "job": job.label,
            "stage": job.stage.name,
            "unit": job.unit.label,
            "session": job.unit.group,
            "state": str(verdict.state),
            "ran": ran,
            "at": round(time.monotonic() - self._began, 3),
            "seconds": round(seconds, 4),
            "reasons": list(verdict.reasons),
            "notices": notices,
            "outputs": list(job.outputs),
        }
        if ran and verdict.state is State.FAILED and (end := self._traceback(job, verdict)):
            entry["traceback"] = end
        self.report["jobs"].append(entry)
        if ran:
            word = "done" if verdict.state is State.FRESH else str(verdict.state)
            self.write(f"{word} {job.label} ({seconds:.2f} s): {'; '.join(verdict.reasons)}")
            for notice in notices:
                self.write(f"  note: {notice}")
            self._append(entry)

    def withdrawn(self, path: str) -> None:
        """Note a part of a collection that was taken out."""
        self.report["withdrawn"].append(path)
        self.write(f"withdrawn {path}")

    def close(self, plan: Plan, status: int, problems: list[str], *, put_off: int = 0) -> None:
        """Write the report, whole or not at all, and drop the oldest ones.

        Parameters
        ----------
        plan : Plan
        status : int
            The run's exit status.
        problems : list of str
            What is wrong that is no job's failure.
        put_off : int
            How many jobs were left for a later run, since the time was up.
        """
        states = [plan.verdicts[job].verdict.state for job in plan.jobs if job in plan.verdicts]
        self.report |= {
            "seconds": round(time.monotonic() - self._began, 3),
            "exit_status": status,
            "put_off": put_off,
            "problems": problems,
            "counts": {str(state): states.count(state) for state in State if state in states},
        }
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / f".{self.name}.tmp"
            try:
                temporary.write_text(json.dumps(self.report, indent=1), encoding="utf-8")
                temporary.replace(self._path(REPORT))
            finally:
                temporary.unlink(missing_ok=True)
            self._path(SO_FAR).unlink(missing_ok=True)
            rotate(self.folder, KEPT, spare=self.name)

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self.name}{suffix}"

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._add(SO_FAR, json.dumps(entry, separators=(",", ":")))

    def _add(self, suffix: str, line: str) -> None:
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path(suffix).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{line}\n")

    def _traceback(self, job: Job, verdict: Verdict) -> str:
        """Return the end of what is recorded of a failure, if it is this one."""
        failure = self._plan.claims(job).failure if self._plan else None
        if not failure or failure.get("message") not in verdict.reasons:
            return ""
        return str(failure.get("traceback", ""))[-_TRACEBACK:]
