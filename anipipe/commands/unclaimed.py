"""Outputs of anipipe's that nothing claims any more; whatever is doubtful is kept."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from anipipe.commands.lineage import (
    Lineage,
    Recorded,
    inputs_in,
    is_gone,
    missed,
    ours,
    recorded_jobs,
)
from anipipe.commands.opening import Opened
from anipipe.engine.declare import Read, Stage, Unit
from anipipe.engine.digest import Disk
from anipipe.engine.freshness import State
from anipipe.engine.jobs import Job
from anipipe.engine.plan import Plan


class Reason(enum.StrEnum):
    """Why nothing claims an output."""

    OFF = "switched off"
    RENAMED = "renamed"


@dataclass(eq=False)
class Unclaimed:
    """What there is of a recorded job, and may go.

    Attributes
    ----------
    recorded : Recorded
    reason : Reason
    files : dict
        Paths relative to the root, with the digests that are on record.
    batch : str
        The trial, or calibration, that it belongs to. Of one that was renamed all is removed or nothing: what
        is left of half a trial would be made again.
    twin : str
        What it is called now, if it was renamed.
    """

    recorded: Recorded
    reason: Reason
    files: dict[str, str]
    batch: str
    twin: str = ""


@dataclass
class Findings:
    """What may go, by reason and in the order of stages; what is kept, path by path, and why."""

    unclaimed: list[Unclaimed] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)


class Doubt(NamedTuple):
    """A job whose outputs perhaps nothing claims, and for which reason.

    ``twin`` is what it was renamed to, if it was; ``but`` what speaks against that.
    """

    recorded: Recorded
    reason: Reason
    twin: str = ""
    but: str = ""


def find_unclaimed(
    opened: Opened,
    homes: Sequence[str],
    usable: Container[str],
    disk: Disk,
    progress: Callable[[Sequence[Doubt]], Iterable[Doubt]] = iter,
) -> Findings:
    """Look for what was made here, and what nothing makes, reads or is made from any more.

    Parameters
    ----------
    opened : Opened
        With a verdict for every job.
    homes : sequence of str
        All folders that keep records.
    usable : container of str
        Those of them whose outputs may be named; what is known of the others may be wrong.
    disk : Disk
        Digests the files in question.
    progress : callable
        Goes through what has to be looked at, and shows how far that is.
    """
    recorded = recorded_jobs(opened, homes)
    batches = _Batches(opened, recorded, disk)
    search = _Search(opened.plan, recorded, batches)
    findings = Findings()
    found: list[Unclaimed] = []
    lacking: dict[Unclaimed, str] = {}
    for each, reason, twin, but in progress(list(search.doubted(usable))):
        files, kept = ours(each, disk)
        findings.kept.update(kept or (dict.fromkeys(files, but) if but else {}))
        if kept or but:
            continue
        one = Unclaimed(each, reason, files, batches.of(each.unit) if each.there else "", twin)
        if reason is Reason.OFF and (why := search.lacking(each)):
            lacking[one] = why
        else:
            found.append(one)
    found = batches.only_whole(found, findings.kept)
    renamed = [one for one in found if one.reason is Reason.RENAMED]
    for one, why in lacking.items():
        beside = [other.recorded for other in renamed if one.batch and other.batch == one.batch]
        if search.rests_on_the_same(one.recorded, beside):
            found.append(one)  # under the new name, it can be made again
        else:
            findings.kept.update(dict.fromkeys(one.files, why))
    order = [(reason, stage.name) for reason in Reason for stage in opened.plan.registry]
    place = {one: order.index((one.reason, one.recorded.stage.name)) for one in found if one.files}
    findings.unclaimed = sorted(place, key=lambda one: place[one])
    return findings


#: States of jobs on which nothing can be built anew, since inputs of theirs are not there.
_ENDS = (State.ARCHIVED, State.BLOCKED, State.FAILED)


class _Search:
    """Tells for which reason nothing claims what a job has made, as far as records and settings tell."""

    def __init__(self, plan: Plan, recorded: Sequence[Recorded], batches: _Batches) -> None:
        self._plan, self._recorded, self._batches = plan, recorded, batches
        self._lineage = Lineage(recorded)
        self._off: dict[tuple[str, Unit], bool] = {}
        self._is_gone: dict[str, bool] = {}
        self._index: dict[tuple[str, str], list[Recorded]] = {}
        made = ((path, job.unit.names.get("camera")) for path, job in plan.by_output.items())
        self._cameras = {path: camera for path, camera in made if camera}

    def doubted(self, homes: Container[str]) -> Iterator[Doubt]:
        """Yield the jobs in some homes whose outputs nothing seems to claim."""
        for each in self._recorded:
            if each.home not in homes:
                continue
            if each.job is None and each.there and self._switched_off(each.stage, each.unit):
                yield Doubt(each, Reason.OFF)
            elif not each.stage.collected and (twin := self._twin(each)) is not None:
                yield twin

    def _switched_off(self, stage: Stage, unit: Unit) -> bool:
        """Say whether settings keep a stage from making anything for a unit; not whether it lacks inputs."""
        key = (stage.name, unit)
        if key not in self._off:
            reads = [read for _, read in stage.file_reads]
            off = [self._off_too(read, unit) for read in reads]
            needed = [is_off for is_off, read in zip(off, reads, strict=True) if not read.optional]
            self._off[key] = not stage.enabled(unit.settings) or any(needed) or (bool(off) and all(off))
        return self._off[key]

    def _off_too(self, read: Read, unit: Unit) -> bool:
        """Say whether all stages are switched off that would make an input."""
        per, producers = read.artifacts[0].per, self._plan.registry.producers
        units = [unit] if per == unit.kind else unit.related.get(per, [])
        makers = [
            (None if artifact.name in other.files else producers.get(artifact.name), other)
            for other in units
            for artifact in read.artifacts
        ]
        return bool(makers) and all(maker and self._switched_off(maker, other) for maker, other in makers)

    def lacking(self, each: Recorded) -> str:
        """Say why a job that is switched off could not be done again as it was, if that is so."""
        if each.stage.collected:
            return ""  # a run would take it out whatever there is
        if any(name.startswith("content:") for name in each.facts):
            return "the network that it was made with may be gone"
        before = self._plan.registry.upstream([each.stage])
        beside = [job for job in self._batches.jobs_beside(each.unit) if job.stage in before]
        ends = [job for job in beside if self._plan.state(job) in _ENDS]
        if ends:
            return f"it rests on {ends[0].label}, which is {self._plan.state(ends[0])}"
        return missed(each.facts, self._lineage, self._plan)

    def rests_on_the_same(self, each: Recorded, others: Sequence[Recorded]) -> bool:
        """Say whether all that a job rests on in the end is what some others rest on."""
        first, *rest = (set(self._lineage.behind(one.facts)[0].items()) for one in (each, *others))
        return first <= set().union(*rest)

    def _twin(self, old: Recorded) -> Doubt | None:
        """Tell which job has made the same of the same recordings, which are called otherwise now.

        If there is none, tell which one comes next, and what it has made otherwise.
        """
        first, _ = self._lineage.behind(old.facts)
        gone = next((path for path in first if self._gone(path)), None)
        if gone is None:
            return None
        candidates = self._current().get((old.stage.name, first[gone]), ())
        alike = [new for new in candidates if new is not old and self._has_moved(old, new)]
        twins = ((new.unit.label, self._lineage.difference(old, new, self._cameras)) for new in alike)
        found = min(twins, key=lambda twin: bool(twin[1]), default=None)
        if found is None:
            return None
        twin, other = found
        but = f"{twin} was made of the same recordings, but otherwise ({other})" if other else ""
        return Doubt(old, Reason.RENAMED, twin, but)

    def _current(self) -> Mapping[tuple[str, str], list[Recorded]]:
        """Return the jobs that are up to date by stage and digest of a recording that they rest on."""
        if not self._index:
            for each in self._recorded:
                if each.job is not None and self._plan.state(each.job) is State.FRESH:
                    for digest in set(self._lineage.behind(each.facts)[0].values()):
                        self._index.setdefault((each.stage.name, digest), []).append(each)
        return self._index

    def _has_moved(self, old: Recorded, new: Recorded) -> bool:
        """Say whether the recordings that two jobs do not share are the same, and the old one's are gone."""
        behind = self._lineage.behind
        before, _ = behind(old.facts, until=behind(new.facts)[1])
        now, _ = behind(new.facts, until=behind(old.facts)[1])
        same = bool(before) and sorted(before.values()) == sorted(now.values())
        return same and all(map(self._gone, before)) and all(map(self._is_there, now))

    def _is_there(self, path: str) -> bool:
        return self._plan.disk.path(path).is_file()

    def _gone(self, path: str) -> bool:
        if path not in self._is_gone:
            self._is_gone[path] = is_gone(self._plan.disk.root, path)
        return self._is_gone[path]


#: Without it, what was made from it would not look outdated, but as if that had gone to the archive.
_TO_BE_REPLACED = "what is there was made from it: bring that up to date first (`anipipe run-all`)"


class _Batches:
    """Sees to it that nothing is removed that a job would make, or miss.

    What was renamed still has jobs while its 2D poses are there; they end when all of it is gone.
    """

    def __init__(self, opened: Opened, recorded: Sequence[Recorded], disk: Disk) -> None:
        self._plan, self._recorded, self._disk = opened.plan, recorded, disk
        self._batch: dict[Unit, str] = dict.fromkeys(opened.experiment.units, "")
        for kind, members in (("trial", "video"), ("calibration", "board")):
            for unit in opened.experiment.of(kind):
                for member in (unit, *unit.related.get(members, ())):
                    self._batch[member] = f"{kind} {unit.label}"
        self._jobs: dict[str, list[Job]] = {}
        for job in self._plan.jobs:
            if self._batch[job.unit]:
                self._jobs.setdefault(self._batch[job.unit], []).append(job)

    def of(self, unit: Unit) -> str:
        """Return the trial, or the calibration, that a unit belongs to; empty if it is neither's."""
        return self._batch[unit]

    def jobs_beside(self, unit: Unit) -> list[Job]:
        """Return the jobs of the trial, or the calibration, that a unit belongs to."""
        return self._jobs.get(self._batch[unit], [])

    def only_whole(self, found: list[Unclaimed], kept: dict[str, str]) -> list[Unclaimed]:
        """Leave out what still is claimed, and note by what."""
        while True:
            batches = {one.batch for one in found if one.reason is Reason.RENAMED} - {""}
            files = {path for one in found for path in one.files}
            claims = {_folded(path): by for path, by in self._claims(batches)}
            remains = self._remains(batches, files)
            claimed = {}
            for one in found:
                reasons = [claims[_folded(path)] for path in one.files if _folded(path) in claims]
                if one.reason is Reason.RENAMED and one.batch in remains:
                    reasons.append(remains[one.batch])
                if reasons:
                    claimed[one] = reasons[0]
            if not claimed:
                return found
            for one, reason in claimed.items():
                kept.update(dict.fromkeys(one.files, reason))
            found = [one for one in found if one not in claimed]

    def _claims(self, batches: Container[str]) -> Iterator[tuple[str, str]]:
        """Yield every file that is made, read or was found for what stays."""
        for unit, batch in self._batch.items():
            if batch not in batches:
                yield from ((path, f"{unit.label} has it") for paths in unit.files.values() for path in paths)
        for job in self._plan.jobs:
            if self._batch[job.unit] not in batches:
                yield from ((path, f"{job.label} makes it") for path in job.outputs)
                for source in job.sources:
                    yield from ((path, f"{job.label} reads it") for path in source.paths)
        for each in self._recorded:
            if each.job is not None and self._batch[each.unit] not in batches:
                yield from ((path, _TO_BE_REPLACED) for path in inputs_in(each.facts))

    def _remains(self, batches: Container[str], files: Container[str]) -> dict[str, str]:
        """Return the batches of which something else is there, with which they would live on."""
        there = [(self._batch[unit], path) for unit in self._batch for p in unit.files.values() for path in p]
        for job in self._plan.jobs:
            if not job.stage.collected:
                there += [(self._batch[job.unit], path) for path in job.outputs if self._disk.exists(path)]
        return {
            batch: f"{path} is there too" for batch, path in there if batch in batches and path not in files
        }


def _folded(path: str) -> str:
    """Return what names have in common that are one file where neither case nor encoding counts."""
    return unicodedata.normalize("NFC", path).casefold()
