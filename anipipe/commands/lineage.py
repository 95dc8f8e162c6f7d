"""What was made here and from what, as far back as the records tell, and whether that is still there."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from anipipe.commands.adopt import ADOPTED
from anipipe.commands.opening import Opened
from anipipe.engine.committing import link_in
from anipipe.engine.declare import Stage, Unit
from anipipe.engine.differences import differences
from anipipe.engine.digest import EMPTY, Disk
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


class Making(NamedTuple):
    """One making that is on record: the stage, and the facts."""

    stage: Stage
    facts: Facts


class Lineage:
    """What recorded jobs were made from."""

    def __init__(self, recorded: Iterable[Recorded]) -> None:
        self._makers: dict[tuple[str, str], Making] = {}
        for each in recorded:
            for facts in each.claims.made():
                for made in outputs_in(facts).items():
                    self._makers.setdefault(made, Making(each.stage, facts))

    def maker(self, path: str, digest: str) -> Making | None:
        """Return the making of a file with some content, if that is on record."""
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
                    pending.append(maker.facts)
        return first, seen

    def difference(self, old: Recorded, new: Recorded, cameras: Mapping[str, str]) -> str:
        """Say in what two jobs of one stage differ, but for what files are called; empty if in nothing.

        Files of the same content are the same, however they came about. Others are, if they were made alike
        from the same: networks and encoders of videos need not give the same bytes twice. Of a job that was
        interrupted any making on record may have left what is there, hence all of them have to agree.

        Parameters
        ----------
        old, new : Recorded
        cameras : mapping
            By path, of files that are of one camera: what goes by another one is something else.
        """
        for before, now in product(old.claims.made(), new.claims.made()):
            alike = list(outputs_in(before).values()) == list(outputs_in(now).values())
            if not alike and (
                found := self._difference(Making(old.stage, before), Making(new.stage, now), cameras)
            ):
                return found
        return ""

    def _difference(self, old: Making, new: Making, cameras: Mapping[str, str]) -> str:
        seen = set()
        pending = [(old, new)]
        while pending:
            before, now = pending.pop()
            if changes := _changes(before, now):
                return f"{before.stage.name}: {changes[0]}"
            inputs = list(inputs_in(before.facts).items()), list(inputs_in(now.facts).items())
            if len(inputs[0]) != len(inputs[1]):
                return f"{before.stage.name}: of {len(inputs[0])} files, not {len(inputs[1])}"
            # In the order of the stage's reads: which is which counts, as with the views of two cameras.
            for one, other in zip(*inputs, strict=True):
                if len({cameras.get(path) for path, _ in (one, other)} - {None}) > 1:
                    return f"{before.stage.name}: {one[0]} and {other[0]} are of different cameras"
                if one[1] == other[1] or (one, other) in seen:
                    continue
                seen.add((one, other))
                makers = self.maker(*one), self.maker(*other)
                if makers[0] is None or makers[1] is None:
                    what = "changed" if one[0] == other[0] else f"is not the same as {other[0]}"
                    return f"{before.stage.name}: {one[0]} {what}"
                pending.append((makers[0], makers[1]))
        return ""


def _changes(before: Making, now: Making) -> list[str]:
    """Name the differences between two makings, apart from files."""
    if before.stage is not now.stage:
        return [f"not {now.stage.name}"]
    introduced = now.stage.options.introduced()
    return differences(_settings(before.facts, "not known"), _settings(now.facts, "unknown"), introduced)


def _settings(facts: Facts, unknown: str) -> dict[str, Any]:
    """Return what is no file among facts; of libraries, versions that nobody knows are unlike any other."""
    named = ((name, name.partition(":")[0], value) for name, value in facts.items())
    return {
        name: unknown if kind == "library" and value is None else value
        for name, kind, value in named
        if kind not in (*_FILES, "out")
    }


def ours(each: Recorded, disk: Disk) -> tuple[dict[str, str], dict[str, str]]:
    """Return the outputs of a job that are just as it left them, or else, path by path, why they are kept."""
    places = {path: a.sampled for a in each.stage.outputs for path in a.paths(each.unit)}
    files: dict[str, str] = {}
    kept: dict[str, str] = {}
    for path, sampled in places.items():
        if not is_plain(path) or not os.path.lexists(disk.path(path)):
            continue
        link = link_in(disk.root, path)
        digest = None if link else disk.digest(path, sampled=sampled)
        if digest in _written(each.claims, path):
            files[path] = str(digest)
        else:
            kept[path] = f"{link} is a link" if link else _foreign(each.claims, path, digest)
    if kept:
        return {}, {**dict.fromkeys(files, f"kept together with {next(iter(kept))}"), **kept}
    return files, {}


def _written(claims: Claims, path: str) -> set[str | None]:
    """Return the digests that a file may have if anipipe wrote it."""
    adopted = claims.done if ADOPTED in claims.notes else None
    return {outputs_in(facts).get(path) for facts in claims.made() if facts is not adopted} - {None}


def _foreign(claims: Claims, path: str, digest: str | None) -> str:
    if digest is None or digest == EMPTY:
        return "nothing is in it"
    if digest.startswith("!"):
        return f"it cannot be read: {digest[1:]}"
    if ADOPTED in claims.notes:
        return "it was adopted, not made by anipipe"
    on_record = any(path in outputs_in(facts) for facts in claims.made())
    return "it was changed since anipipe made it" if on_record else "it was not made by anipipe"


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
                maker = lineage.maker(path, digest)
                pending += [] if maker is None else [maker.facts]
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
