"""A night: all experiments under some folders are brought up to date, unattended; a report tells of it."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from anipipe import __version__
from anipipe.commands import _night_record as recording
from anipipe.commands._night_files import Reports, check_ours, warnings_to
from anipipe.commands._night_past import Past
from anipipe.commands._night_record import Gathered, Json
from anipipe.commands.growing import Look, growing, recordings
from anipipe.commands.night_places import default_folder, find, vanished
from anipipe.commands.opening import Opened
from anipipe.commands.run import Request, Result, prepare, run
from anipipe.commands.workers import ExecutorName
from anipipe.config import Config
from anipipe.engine.declare import Registry
from anipipe.engine.outcome import Both, Observer, Silent
from anipipe.errors import INTERRUPTED, AnipipeError, LockedError, UsageError
from anipipe.project import absolute

#: Raised when the meaning of something in a report changes.
SCHEMA = 1
#: So many times an experiment is processed again, for recordings that have settled since: a camera that
#: writes in bursts would keep the night busy with it.
AGAIN = 2
LOCKED, UNUSABLE = LockedError.exit_status, UsageError.exit_status


@dataclass(frozen=True)
class Night:
    """What is asked for.

    Attributes
    ----------
    roots : tuple of Path
        Experiments, sessions in them, or folders that hold experiments.
    until : datetime, optional
        After it nothing new is begun.
    jobs : int
        Worker processes; 0 for one per processor.
    executor : {"processes", "dask"}
    settle : float
        Seconds between two looks at recordings that may still be written.
    folder : Path, optional
        For the reports; else in ``.anipipe/nightly`` of the first root.
    command : tuple of str
        The command line.
    """

    roots: tuple[Path, ...]
    until: datetime | None = None
    jobs: int = 0
    executor: ExecutorName = "processes"
    settle: float = 10.0
    folder: Path | None = None
    command: tuple[str, ...] = ()

    def is_over(self) -> bool:
        """Say whether nothing new is to be begun."""
        return self.until is not None and datetime.now() >= self.until


@dataclass(frozen=True)
class Morning:
    """What is left of it.

    Attributes
    ----------
    report : dict
        As it was written; ``docs/nightly.md`` tells what is in it.
    page, data : Path
        The report to look at, and for programs.
    trouble : str
        Why they are not where they should be; empty if they are.
    """

    report: Json
    page: Path
    data: Path
    trouble: str

    @property
    def exit_status(self) -> int:
        """0, 1, 2 or 75, see :func:`overall`; or 130."""
        return int(self.report["exit_status"])


@dataclass
class _Work:
    """One experiment in the course of a night."""

    root: Path
    parts: list[Path]
    gathered: Gathered
    record: Json = field(default_factory=dict)
    seconds: float = 0.0
    waiting: list[Path] = field(default_factory=list)
    again: int = 0

    @property
    def is_to_be_tried(self) -> bool:
        """Say whether it may be processed once more, when what it waits for has settled."""
        return bool(self.waiting) and self.again < AGAIN


def overall(statuses: Sequence[int]) -> int:
    """Return the exit status of a night.

    0 if all went well, also if some experiments were locked; 1 if anything went wrong, also a configuration;
    2 if it was only paths and configurations, so that nothing could be done at all; 75 if all were locked.
    """
    usable = [status for status in statuses if status not in (LOCKED, UNUSABLE)]
    if usable:
        return int(any(status not in (0, LOCKED) for status in statuses))
    return UNUSABLE if UNUSABLE in statuses else max(statuses, default=0)


def nightly(
    night: Night, registry: Registry, *, observe: Callable[[Opened], Observer] = lambda opened: Silent()
) -> Morning:
    """Bring all experiments up to date, and write the report.

    Whatever goes wrong with one experiment, others go on. What was done until an interruption is reported,
    and that it was interrupted. Nothing is done, and that reported elsewhere, if the report would replace
    somebody else's page in the folder that is asked for.

    Parameters
    ----------
    night : Night
    registry : Registry
    observe : callable
        Returns who is told of the jobs of an experiment.

    Raises
    ------
    OSError
        If the report cannot be written anywhere.
    """
    try:
        if night.folder is not None:
            check_ours(night.folder)
    except UsageError as error:
        problem = {"where": str(night.folder), "message": str(error)}
        return _Course(replace(night, folder=None), registry, observe, {}, [problem]).run()
    return _Course(night, registry, observe, *find(night.roots)).run()


class _Course:
    def __init__(
        self,
        night: Night,
        registry: Registry,
        observe: Callable[[Opened], Observer],
        found: dict[Path, list[Path]],
        problems: list[dict[str, str]],
    ) -> None:
        self.night, self.registry, self.observe, self.problems = night, registry, observe, problems
        self.started, self._began = recording.stamp_now(), time.monotonic()
        self.roots = [str(absolute(root)) for root in night.roots]
        self.reports = Reports(night.folder or default_folder(night.roots, found))
        self.past = Past(self.reports.earlier())
        self.works = [_Work(root, parts, Gathered(self.reports.say)) for root, parts in found.items()]
        gone = vanished(self.past.found(self.roots), found, problems)
        self.gone = [record for record in gone if self.past.of(record["root"]) is not None]
        self.keep = Config().nightly.keep

    def run(self) -> Morning:
        interrupted = False
        try:
            with warnings_to(self.reports.say):
                self._all()
        except KeyboardInterrupt:
            interrupted = True  # which the report tells, and the exit status
        finally:
            morning = self._finish(interrupted)
        return morning

    def _all(self) -> None:
        for problem in self.problems:
            self.reports.say(f"problem: {problem['message']}")
        for record in self.gone:
            self.reports.say(f"problem: {record['error']}")
        look = self._first_look()
        for work in self.works:
            self._attempt(work, look)
        while not self.night.is_over() and (waiting := [work for work in self.works if work.is_to_be_tried]):
            again = Look.at(path for work in waiting for path in work.waiting)
            look = Look({**look.seen, **again.seen})
            time.sleep(self.night.settle)
            settled = [work for work in waiting if not all(look.growing(path) for path in work.waiting)]
            if not settled:
                break
            for work in settled:
                self.reports.say(f"{work.root}: what was still being written has settled")
                work.again += 1
                self._attempt(work, look)

    def _first_look(self) -> Look:
        """Look at the recordings that are to be read tonight; some seconds pass before the next look."""
        paths: list[Path] = []
        for work in self.works:
            try:
                opened, request = self._open(work)
                if request is not None:
                    opened.look_ahead()
                    paths += recordings(opened).values()
                    opened.disk.save()  # a cache: what was read now need not be read again under the lock
            except Exception as error:  # told when its turn comes
                self.reports.say(f"{work.root}: {type(error).__name__} at the first look")
        look = Look.at(paths)
        if paths and not self.night.is_over():
            time.sleep(self.night.settle)
        return look

    def _open(self, work: _Work) -> tuple[Opened, Request | None]:
        """Open an experiment; the request is None if it is to be left out."""
        night = self.night
        request = Request(
            self.registry.stages, jobs=night.jobs, executor=night.executor, until=night.until, apart=True
        )
        opened = prepare(work.root, work.parts, request, self.registry)
        wanted = opened.experiment.settings.config.nightly
        if work is self.works[0]:
            self.keep = wanted.keep
        if wanted.stages == "data":
            request = replace(request, stages=tuple(s for s in self.registry if s.group != "pictures"))
            for job in opened.plan.jobs:
                job.selected = job.selected and job.stage.group != "pictures"
        return opened, request if wanted.enabled else None

    def _attempt(self, work: _Work, look: Look) -> None:
        """Bring one experiment up to date, and note how that went, whatever happens."""
        began, opened, result = time.monotonic(), None, None
        error: BaseException | None = None
        work.waiting = []
        try:
            opened, request = self._open(work)
            if request is None:
                work.record = {"exit_status": 0, "left_out": True}
                return
            result = self._run(work, opened, request, look)
        except Exception as caught:
            error = caught
        except BaseException as caught:
            error = caught
            raise
        finally:
            work.seconds += time.monotonic() - began
            again_but_locked = work.record and isinstance(error, LockedError)
            if not again_but_locked and not work.record.get("left_out"):
                work.record = self._record(work, opened, result, error)
            self._log(work)

    def _run(self, work: _Work, opened: Opened, request: Request, look: Look) -> Result:
        begun = []

        def leave_growing(opened: Opened) -> None:
            begun.append(opened)
            left = growing(opened, look)
            work.waiting = [opened.disk.path(path) for path in left]
            if left:
                opened.plan.wait_for(left)
                opened.look_ahead()

        def observed(opened: Opened) -> Observer:
            return Both(work.gathered, self.observe(opened))

        command = list(self.night.command)
        try:
            return run(opened, request, command=command, observe=observed, before=leave_growing)
        except LockedError as error:
            if not begun:
                raise
            raise AnipipeError(f"{error}; {recording.left_over(opened)}") from error

    def _record(
        self, work: _Work, opened: Opened | None, result: Result | None, error: BaseException | None
    ) -> Json:
        record: Json = {"exit_status": 0, **recording.work_done(work.gathered)}
        if result is not None:
            record["exit_status"] = result.exit_status
            record["problems"] = result.problems
            record["put_off"] = len(result.outcome.put_off)
            record["missing_from_tables"] = len(result.outcome.left_out)
        try:
            if opened is not None and len(opened.plan.verdicts) == len(opened.plan.jobs):
                record |= recording.state_of(opened, work.gathered.ran)
                record["notices"] = opened.notices()
                before = self.past.of(str(work.root))
                record |= recording.compared(opened, record, before, work.gathered.ran, self.started)
        except Exception as caught:  # a defect of the report must not end the night
            error = error or caught
        if error is not None:
            record |= recording.explained(error)
        return record

    def _log(self, work: _Work) -> None:
        record = work.record
        counts = record.get("done", 0), len(record.get("failed", ())), record.get("put_off", 0)
        error = f": {record['error']}" if "error" in record else ""
        self.reports.say(
            f"{work.root}: exit status {record['exit_status']}, {counts[0]} done, {counts[1]} failed, "
            f"{counts[2]} put off, {len(work.waiting)} recordings growing{error}"
        )

    def _finish(self, interrupted: bool) -> Morning:
        night, records = self.night, []
        for work in self.works:
            record = work.record or {"exit_status": INTERRUPTED, "error": "not begun", "interrupted": True}
            verdict = "left out" if record.get("left_out") else recording.verdict_of(record)
            records.append(
                {"root": str(work.root), "verdict": verdict, "seconds": round(work.seconds, 3), **record}
            )
        records += self.gone
        statuses = [record["exit_status"] for record in records if not record.get("left_out")]
        statuses += [UNUSABLE for _ in self.problems]
        report = {
            "schema": SCHEMA,
            "name": self.reports.name,
            "version": __version__,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "python": sys.executable,
            "command": list(night.command),
            "roots": self.roots,
            "started": self.started,
            "ended": recording.stamp_now(),
            "seconds": round(time.monotonic() - self._began, 3),
            "until": night.until and night.until.strftime("%Y-%m-%dT%H:%M:%S"),
            "interrupted": interrupted,
            "exit_status": INTERRUPTED if interrupted else overall(statuses),
            "problems": self.problems,
            "experiments": records,
        }
        page, data = self.reports.write(report, self.keep)
        self.reports.say(f"ended with exit status {report['exit_status']}")
        return Morning(report, page, data, self.reports.trouble)
