"""Bringing experiments up to date."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from anipipe.commands.opening import Opened, open_experiment
from anipipe.commands.workers import ExecutorName, open_lanes, patience
from anipipe.engine.declare import Registry, Stage
from anipipe.engine.freshness import State
from anipipe.engine.jobs import Job
from anipipe.engine.journal import Journal
from anipipe.engine.lanes import Lane
from anipipe.engine.lock import Lock
from anipipe.engine.outcome import Both, Observer, Outcome
from anipipe.engine.perform import TEMPORARY
from anipipe.engine.plan import Plan
from anipipe.engine.runner import Runner
from anipipe.engine.sweeping import Sweeper
from anipipe.errors import INTERRUPTED, AnipipeError, LockedError, UsageError
from anipipe.project import inside


@dataclass(frozen=True)
class Request:
    """What a user asked to have done.

    Attributes
    ----------
    stages : tuple of Stage
        The stages to bring up to date.
    only : tuple of str
        Sessions, by folder; all if empty.
    force : tuple of Path
        Outputs, or folders of outputs, to be made again whatever is there.
    jobs : int
        Jobs at a time; 0 for as many as the machine can do.
    executor : {"processes", "dask"}
        Where they run.
    until : datetime, optional
        Nothing new is begun after it.
    apart : bool
        No job runs in this process, so that one that hangs can be ended.
    """

    stages: tuple[Stage, ...]
    only: tuple[str, ...] = ()
    force: tuple[Path, ...] = ()
    jobs: int = 0
    executor: ExecutorName = "processes"
    until: datetime | None = None
    apart: bool = False

    @property
    def deadline(self) -> float | None:
        """From when on nothing new is begun, in seconds since the epoch."""
        return None if self.until is None else self.until.timestamp()


@dataclass
class Result:
    """What came of it.

    Attributes
    ----------
    opened : Opened
    outcome : Outcome
    problems : list of str
        What else is wrong: sessions that cannot be processed, joints that nothing has.
    restricted : bool
        Only some sessions were asked for, so that what others lack is not this run's failure.
    """

    opened: Opened
    outcome: Outcome = field(default_factory=Outcome)
    problems: list[str] = field(default_factory=list)
    restricted: bool = False

    @property
    def conflicts(self) -> list[Job]:
        """The jobs whose given or edited outputs no longer fit what they were made from."""
        plan = self.opened.plan
        return [job for job in plan.jobs if job.selected and plan.state(job) is State.CONFLICT]

    @property
    def exit_status(self) -> int:
        """0, or 1 if anything could not be done, or failed before and was not tried again."""
        outcome = self.outcome
        left_out = outcome.left_out and not self.restricted
        stands = any(self.opened.plan.state(job) is State.FAILED for job in outcome.put_off)
        return int(bool(outcome.failed or outcome.blocked or left_out or stands or self.problems))


def prepare(root: Path, parts: Sequence[Path], request: Request, registry: Registry) -> Opened:
    """Open an experiment and choose its jobs.

    Raises
    ------
    ConfigError, UsageError
        If the experiment's configuration, ``--only`` or ``--force`` cannot be used.
    """
    opened = open_experiment(root, registry)
    experiment, plan = opened.experiment, opened.plan
    folders = [*parts, *(experiment.root / session for session in request.only)]
    if folders:
        units = [*experiment.below(folders), *experiment.of("experiment")]
        opened.restrict([inside(experiment.root, folder) for folder in folders])
        plan.select(request.stages, units=units)
    else:
        plan.select(request.stages)
    plan.force([inside(experiment.root, path) for path in request.force])
    return opened


def run(
    opened: Opened,
    request: Request,
    *,
    command: list[str],
    observe: Callable[[Opened], Observer],
    before: Callable[[Opened], None] = lambda opened: None,
) -> Result:
    """Do what has to be done in one experiment.

    Parameters
    ----------
    opened : Opened
    request : Request
    command : list of str
        The command line, for the journal.
    observe : callable
        Returns who is told of jobs.
    before : callable
        Called once the lock is held and all jobs have been looked ahead at, before anything is done.

    Raises
    ------
    LockedError
        If another run holds the experiment.
    UsageError
        If nothing can be written there.
    """
    root = opened.experiment.root
    with locked(root) as lock:
        opened.forget()  # what was looked at before the lock was held may have changed
        plan, result = opened.plan, Result(opened, restricted=opened.restricted)
        folders = dict.fromkeys(path.rpartition("/")[0] for path in plan.by_output)
        sweeper = Sweeper(root, (opened.disk.path(folder) for folder in folders))
        sweeper.begin()
        opened.look_ahead()
        before(opened)
        plan.records.compact()
        journal = Journal(root, lock.token, command, {"executor": request.executor, "jobs": request.jobs})
        observer = Both(journal, observe(opened))
        finished = lost = False
        status, ended_by = 1, list[str]()
        try:
            with _lanes(opened, request) as lanes:
                config = opened.experiment.settings.config
                runner = Runner(
                    plan, lanes, lock, observer, until=request.deadline, patience=patience(config)
                )
                result.outcome = runner.outcome
                runner.run()
            finished = True
        except KeyboardInterrupt:
            status = INTERRUPTED
            raise
        except AnipipeError as error:
            lost = isinstance(error, LockedError)  # what lies unfinished may be another run's by now
            status, ended_by = error.exit_status, [str(error)]
            raise
        finally:
            opened.disk.prune(plan.paths())
            opened.disk.save()
            result.problems = opened.problems()
            if finished and any(stage.group == "tables" for stage in request.stages):
                result.problems += write_missing(opened)
            status = result.exit_status if finished else status
            problems = [*ended_by, *result.problems]
            journal.close(plan, status, problems, put_off=len(result.outcome.put_off))
            if lost:
                sweeper.leave()
            else:
                told_of_all = request.executor != "dask"  # which may begin a lost job anew without a word
                sweeper.end(clean=finished and told_of_all and not result.outcome.deaths)
    return result


def _lanes(opened: Opened, request: Request) -> AbstractContextManager[list[Lane]]:
    return open_lanes(
        opened.experiment.settings.config,
        opened.experiment.root,
        executor=request.executor,
        jobs=request.jobs,
        at_most=len(opened.plan.ahead()),
        apart=request.apart,
    )


def write_missing(opened: Opened) -> list[str]:
    """Write ``summaries/missing.csv``: what the tables are without, and why.

    Returns
    -------
    list of str
        What went wrong with that, in words; empty if nothing did.
    """
    rows = [
        [job.unit.group, job.unit.key, job.stage.name, str(plan_state), "; ".join(reasons)]
        for job, plan_state, reasons in _left_out(opened.plan)
    ]
    unread = [*opened.experiment.problems, *opened.unreachable()]
    rows += [[problem.where, "", "", "failed", problem.message] for problem in unread]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["session", "trial", "stage", "state", "reason"])
    writer.writerows(rows)
    names = opened.experiment.of("experiment")[0].names
    path = opened.experiment.root / names["summaries"] / "missing.csv"
    content = text.getvalue()
    try:
        there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else content[:0]
        if there == content:
            return []
        if there and not there.startswith(content.partition("\n")[0]):
            return [f"{path}: not written by anipipe, and so not replaced; rename it"]
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}missing.csv")
        try:
            temporary.unlink(missing_ok=True)
            temporary.write_text(content, encoding="utf-8", errors="backslashreplace", newline="\n")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        return [f"{path}: cannot be written: {error.strerror}"]
    return []


def _left_out(plan: Plan) -> Iterator[tuple[Job, State, tuple[str, ...]]]:
    for job in plan.jobs:
        if job.stage.collected and not job.stage.fan_in:
            verdict = plan.verdicts[job].verdict
            stays = not job.selected and all(plan.disk.exists(path) for path in job.outputs)
            if not verdict.state.current and not stays:
                yield job, verdict.state, verdict.reasons


@contextmanager
def locked(root: Path) -> Iterator[Lock]:
    """Hold an experiment's lock.

    Raises
    ------
    LockedError
        If another run holds it.
    UsageError
        If nothing can be written there.
    """
    try:
        lock = Lock(root)
        lock.__enter__()
    except LockedError:
        raise
    except OSError as error:
        where = Path(error.filename).parent if error.filename else root
        raise UsageError(
            f"{where}: nothing can be written here ({error.strerror}); "
            "check the permissions and the free space of the disk"
        ) from error
    try:
        yield lock
    finally:
        lock.__exit__(None, None, None)
