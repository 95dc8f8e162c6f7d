"""``anipipe adopt``: results of Anipose, DeepLabCut or a person are recorded as if they had been made here.

No file is touched and nothing is run. What was adopted is then treated like what anipipe made: it is up to
date until something that it rests on changes.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from anipipe.commands.opening import Opened
from anipipe.commands.run import locked
from anipipe.engine.declare import Unit
from anipipe.engine.differences import PENDING
from anipipe.engine.freshness import State
from anipipe.engine.jobs import Examined, Job
from anipipe.engine.perform import learnt
from anipipe.errors import AnipipeError, Notice
from anipipe.project.naming import suffix_of

_FOREIGN = (State.GIVEN, State.EDITED, State.CONFLICT)
#: Noted with the record of a job whose outputs somebody else made: they are never cleaned away.
ADOPTED = "adopted"
#: Files that other programs leave behind, by the end of their names, and why they are of no use here.
_LEFT_BEHIND = {
    "detections.pickle": "Anipose's board detections; never opened, since a pickle can run any program. "
    "Boards are looked for again only if the calibration has to be made again",
    ".pickle": "what DeepLabCut keeps for itself",
    ".csv": "no table or pose that a stage makes here",
    ".mp4": "recordings that nothing here is made from",
}


@dataclass
class Adoption:
    """What came of looking at an experiment's files.

    Attributes
    ----------
    adopted : list of Job
        Recorded as done.
    as_they_are : list of Job
        Used as they stand: there is nothing here to make them from, so nothing can make them stale.
    refused : list of (Job, str)
        Foreign outputs that cannot be recorded as done, and why.
    to_make : list of Job
        What the next run will make, since nobody has made it yet.
    remarks : list of str
        What is odd about files that were taken in.
    unknown : dict
        Files that no stage reads or makes: what they are, to their paths.
    """

    adopted: list[Job] = field(default_factory=list)
    as_they_are: list[Job] = field(default_factory=list)
    refused: list[tuple[Job, str]] = field(default_factory=list)
    to_make: list[Job] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    unknown: dict[str, list[str]] = field(default_factory=dict)


def adopt(
    opened: Opened,
    *,
    edited: bool = False,
    dry_run: bool = False,
    progress: Callable[[Sequence[Job]], Iterable[Job]] = iter,
) -> Adoption:
    """Record the outputs that anipipe did not make as done, with what they rest on as it is now.

    Parameters
    ----------
    opened : Opened
        Its selected jobs are looked at.
    edited : bool
        Take in also what anipipe made and somebody has changed since.
    dry_run : bool
        Record nothing.
    progress : callable
        Goes through the jobs, and shows how far that is.

    Raises
    ------
    LockedError
        If a run holds the experiment.
    """
    if dry_run:
        return _adopt(opened, edited=edited, record=False, progress=progress)
    with locked(opened.experiment.root):
        opened.forget()
        result = _adopt(opened, edited=edited, record=True, progress=progress)
        opened.disk.save()
    return result


def _adopt(
    opened: Opened, *, edited: bool, record: bool, progress: Callable[[Sequence[Job]], Iterable[Job]]
) -> Adoption:
    plan, result = opened.plan, Adoption()
    for job in progress(plan.jobs):
        examined = plan.examine(job)
        state = examined.verdict.state
        if not job.selected:
            continue
        if state not in _FOREIGN:
            if state.to_do or state is State.PENDING:
                result.to_make.append(job)
            continue
        ours = any(f"out:{path}" in facts for facts in plan.claims(job).made() for path in job.outputs)
        if ours and not edited:
            result.refused.append((job, "it was made here and changed since; --edited takes it in as well"))
        elif examined.situation.missing or (job.stage.file_reads and not examined.usable):
            result.as_they_are.append(job)
        elif problem := _objection(job, examined):
            result.refused.append((job, problem))
        else:
            _take_in(opened, job, examined, record, result)
    result.unknown = _unknown_files(opened)
    return result


def _objection(job: Job, examined: Examined) -> str:
    """Say why a job cannot be taken for done, if it cannot."""
    pending = [key.partition(":")[2] for key, value in examined.situation.facts.items() if value is PENDING]
    if job.stage.fan_in:  # it may hold what is nowhere else any more
        path = next(iter(job.outputs))
        return f"a table over sessions stays as it is; to have it gathered anew: --force {path}"
    if pending:
        return f"{pending[0]}, which it rests on, is still to be made"
    return ""


def _take_in(opened: Opened, job: Job, examined: Examined, record: bool, result: Adoption) -> None:
    plan, notes = opened.plan, {}
    outputs = {path: d for path, d in examined.situation.outputs.items() if d is not None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        try:
            for path in outputs:
                artifact, file = job.outputs[path], plan.disk.path(path)
                value = artifact.read((file,), job.unit.names) if artifact.read is not None else None
                notes.update(learnt(artifact, value, file, file.name))
        except AnipipeError as error:
            result.refused.append((job, str(error)))
            return
    result.remarks += [str(warning.message) for warning in caught]
    # Nobody knows which versions of libraries made it, so that no new one is a reason to make it again.
    facts = {k: None if k[:8] == "library:" else value for k, value in examined.situation.facts.items()}
    facts |= {f"out:{path}": digest for path, digest in outputs.items()}
    if record:
        plan.records.append(job.home, job.key, "done", sync=True, facts=facts, notes={**notes, ADOPTED: True})
        plan.examine(job)
    result.adopted.append(job)


def _unknown_files(opened: Opened) -> dict[str, list[str]]:
    """Return the files in folders of results that nothing here reads or makes, by what they are."""
    names = opened.experiment.of("experiment")[0].names
    known = {*opened.plan.paths(), f"{names['summaries']}/missing.csv"}
    kinds = ("session", "calibration", "experiment")
    units = [unit for unit in opened.experiment.units if unit.kind in kinds]
    found: dict[str, list[str]] = {}
    for unit in units:
        for path in _files_of(opened, unit):
            if path not in known and all(path not in paths for paths in found.values()):
                found.setdefault(_what_it_is(path, unit), []).append(path)
    return found


def _files_of(opened: Opened, unit: Unit) -> Iterator[str]:
    folders = dict(opened.experiment.settings.config.pipeline)
    for key in folders:
        where = unit.names[key] if unit.kind == "experiment" else f"{unit.names['session']}{unit.names[key]}"
        if (unit.kind == "experiment") != (key == "summaries") or key == "videos_uncompressed":
            continue
        try:
            with os.scandir(opened.experiment.root / where) as entries:
                names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
        except OSError:
            continue
        yield from (f"{where}/{name}" for name in names)


def _what_it_is(path: str, unit: Unit) -> str:
    folder, _, name = path.rpartition("/")
    own = {unit.names[key]: key for key in unit.names if key.startswith("videos_") and key != "videos_raw"}
    if folder.rpartition("/")[2] in own:
        return f"in {folder.rpartition('/')[2]}/: no stage of this version makes these"
    for ending, text in _LEFT_BEHIND.items():
        if name.endswith(ending):
            return text
    return f"{suffix_of(name) or 'no suffix'}: read by no stage"


def counted(jobs: list[Job]) -> str:
    """Say how many jobs there are of each stage."""
    counts = Counter(job.stage.name for job in jobs)
    return ", ".join(f"{count} {stage}" for stage, count in counts.items())
