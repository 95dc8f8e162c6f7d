"""What outputs were made from, as far back as the records tell, and whether that is still there."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from anipipe.commands.opening import Opened
from anipipe.engine.declare import Stage, Unit
from anipipe.engine.jobs import Job
from anipipe.engine.plan import Plan
from anipipe.engine.records import Claims, Facts, is_plain
from anipipe.project.naming import join

#: Kinds of facts that are files which something was made from.
_FILES = ("in", "with")
#: What the patterns of artifacts call a unit.
_NAMED = ("video", "trial", "recording")


@dataclass(eq=False)
class Recorded:
    """A job that has left a record, be it one of the plan or not.

    Attributes
    ----------
    unit : Unit
        What it was done for; made up where there is none such any more.
    there : bool
        Whether there is.
    job : Job, optional
        Of the plan.
    """

    home: str
    key: str
    stage: Stage
    unit: Unit
    there: bool
    job: Job | None
    claims: Claims

    @property
    def facts(self) -> Facts:
        """What it was made from, the last time."""
        return next(self.claims.made())


def recorded_jobs(opened: Opened, homes: Iterable[str]) -> list[Recorded]:
    """Return every job of this version's stages that some homes have on record as having made something."""
    stages = {stage.name: stage for stage in opened.plan.registry}
    jobs = {(job.home, job.key): job for job in opened.plan.jobs}
    units = {(unit.kind, unit.home, unit.key): unit for unit in opened.experiment.units}
    labels = {(unit.kind, unit.label): unit for unit in opened.experiment.units}
    found = []
    for home in homes:
        for key, claims in opened.plan.records.jobs(home):
            name, _, own = key.partition(":")
            stage = stages.get(name)
            if stage is None or not any(True for _ in claims.made()):
                continue
            unit = labels.get((stage.per, own)) if stage.collected else units.get((stage.per, home, own))
            if unit is None and (stage.collected or not is_plain(own) or "/" in own):
                continue  # parts of tables are for runs to take out; and no unit is called like this
            there = unit is not None
            unit = unit or _formerly(opened, stage.per, home, own)
            found.append(Recorded(home, key, stage, unit, there, jobs.get((home, key)), claims))
    return found


def _formerly(opened: Opened, kind: str, home: str, key: str) -> Unit:
    """Return a unit that is not there any more, with the names that tell where its outputs were."""
    settings = opened.experiment.settings
    session = f"{home}/" if home else ""
    names = {**dict(settings.config.pipeline), "session": session, **dict.fromkeys(_NAMED, key)}
    return Unit(kind, join(home, key), home, key, home, names, settings)


def outputs_in(facts: Facts) -> dict[str, str]:
    """Return the outputs that facts are of, with their digests."""
    return {name[4:]: str(digest) for name, digest in facts.items() if name.startswith("out:")}


def inputs_in(facts: Facts) -> dict[str, str]:
    """Return the files that something was made from, with the digests that they had."""
    named = ((name.partition(":"), digest) for name, digest in facts.items())
    return {path: str(digest) for (kind, _, path), digest in named if kind in _FILES}


class Lineage:
    """What recorded jobs were made from."""

    def __init__(self, recorded: Iterable[Recorded]) -> None:
        self._makers: dict[tuple[str, str], Facts] = {}
        for each in recorded:
            for facts in each.claims.made():
                for made in outputs_in(facts).items():
                    self._makers.setdefault(made, facts)

    def maker(self, path: str, digest: str) -> Facts | None:
        """Return the facts of the making of a file with some content, if that is on record."""
        return self._makers.get((path, digest))

    def behind(self, facts: Facts, until: Container[str] = ()) -> tuple[dict[str, str], set[str]]:
        """Go back from one making to the files that nothing on record has made.

        Parameters
        ----------
        facts : dict
            Of the making to begin with.
        until : container of str
            Paths at which to turn back.

        Returns
        -------
        first : dict
            Those files, with the digests that they had.
        seen : set of str
            These, and all others on the way to them.
        """
        first: dict[str, str] = {}
        seen: set[str] = set()
        pending = [facts]
        while pending:
            for path, digest in inputs_in(pending.pop()).items():
                if path in seen or path in until:
                    continue
                seen.add(path)
                maker = self.maker(path, digest)
                if maker is None:
                    first[path] = digest
                else:
                    pending.append(maker)
        return first, seen


def missed(facts: Facts, lineage: Lineage, plan: Plan) -> str:
    """Say what is not as it was when something was made from it; empty if all of it is.

    What is switched off as well is no firm ground: what that was made from has to be there, too.
    """
    seen: set[str] = set()
    pending = [facts]
    while pending:
        for path, digest in inputs_in(pending.pop()).items():
            if path in seen:
                continue
            seen.add(path)
            now = plan.disk.digest(path, sampled=digest.startswith("~")) if is_plain(path) else None
            if now is None:
                return f"it could not be made again without {path}"
            if now != digest:
                return f"it rests on what was in {path} before that changed"
            job = plan.by_output.get(path)
            if job is None:
                pending += filter(None, [lineage.maker(path, digest)])
            elif not plan.state(job).current:
                return f"it rests on {job.label}, which is {plan.state(job)}"
    return ""


def is_gone(root: Path, path: str) -> bool:
    """Say whether a file of an experiment is certainly not there; what is behind a dead link may be."""
    if not is_plain(path):
        return False
    parts = path.split("/")
    for end in range(len(parts), 0, -1):
        place = root.joinpath(*parts[:end])
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
        return end < len(parts) and place.exists()
    return root.exists()
