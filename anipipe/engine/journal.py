"""The log and the report that a run leaves in ``.anipipe/runs``."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from anipipe.engine.freshness import QUIET, State, Verdict
from anipipe.engine.jobs import Job
from anipipe.engine.plan import Plan
from anipipe.engine.records import OWN_FOLDER

#: Reports of this many runs are kept.
KEPT = 200


class Journal:
    """Writes a run's log as it goes (``NAME.log``) and its report at the end (``NAME.json``).

    Nothing here may stop a run: on a full disk the log ends early.

    Parameters
    ----------
    root : Path
    token : str
        Of the run's lock; keeps two runs of one second apart.
    command : list of str
        The command line.
    """

    def __init__(self, root: Path, token: str, command: list[str]) -> None:
        self.folder = root / OWN_FOLDER / "runs"
        self.name = f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{token}"
        self.report: dict[str, Any] = {
            "command": command,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "jobs": [],
            "withdrawn": [],
        }
        self._began = time.monotonic()

    def write(self, line: str) -> None:
        """Add a line to the log."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{self.name}.log"
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def settled(self, job: Job, verdict: Verdict, *, ran: bool, seconds: float, notices: list[str]) -> None:
        """Note what became of a job; jobs that are simply up to date are only counted."""
        if verdict.state in QUIET and not ran:
            return
        entry = {
            "job": job.label,
            "stage": job.stage.name,
            "unit": job.unit.label,
            "state": str(verdict.state),
            "ran": ran,
            "seconds": round(seconds, 4),
            "reasons": list(verdict.reasons),
            "notices": notices,
            "outputs": list(job.outputs),
        }
        self.report["jobs"].append(entry)
        if ran:
            word = "done" if verdict.state is State.FRESH else str(verdict.state)
            self.write(f"{word} {job.label} ({seconds:.2f} s): {'; '.join(verdict.reasons)}")
            for notice in notices:
                self.write(f"  note: {notice}")

    def withdrawn(self, path: str) -> None:
        """Note a part of a collection that was taken out."""
        self.report["withdrawn"].append(path)
        self.write(f"withdrawn {path}")

    def close(self, plan: Plan, status: int, problems: list[str]) -> None:
        """Write the report, whole or not at all, and drop the oldest ones."""
        states = [plan.verdicts[job].verdict.state for job in plan.jobs if job in plan.verdicts]
        self.report |= {
            "seconds": round(time.monotonic() - self._began, 3),
            "exit_status": status,
            "problems": problems,
            "counts": {str(state): states.count(state) for state in State if state in states},
        }
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / f".{self.name}.tmp"
            temporary.write_text(json.dumps(self.report, indent=1), encoding="utf-8")
            temporary.replace(self.folder / f"{self.name}.json")
            names = sorted({name.rpartition(".")[0] for name in os.listdir(self.folder) if name[0] != "."})
            for name in names[:-KEPT]:
                for suffix in (".log", ".json"):
                    (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
