"""``anipipe clean``: what anipipe made and nothing claims any more is listed, or removed.

Inputs, and what somebody else has made, adopted or changed, are never touched; neither is anything where the
experiment could not be read as a whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anipipe.commands.leftovers import find_leftovers
from anipipe.commands.lineage import Lineage, outputs_in, recorded_jobs
from anipipe.commands.opening import Opened, open_experiment
from anipipe.commands.run import locked
from anipipe.commands.unclaimed import Doubt, Reason, Unclaimed, find_unclaimed
from anipipe.engine.committing import link_in
from anipipe.engine.declare import Registry
from anipipe.engine.digest import Disk
from anipipe.engine.journal import Journal
from anipipe.engine.lock import Lock, holder_of
from anipipe.engine.records import OWN_FOLDER
from anipipe.errors import NotHereError
from anipipe.guards import visible
from anipipe.project import inside
from anipipe.project.finding import RESOLVED_FOLDER

#: Folders whose presence means something, be they empty.
_STANDING = (
    *("videos_raw", "videos_uncompressed", "predictions"),
    *("calibration_videos", "calibration_results"),
)
Progress = Callable[[Sequence[Doubt]], Iterable[Doubt]]


@dataclass
class Cleaning:
    """What was found, and what became of it.

    Attributes
    ----------
    root : Path
    unclaimed : list of Unclaimed
        What may go, as it is on record.
    leftovers : list of str
        What runs that were killed have left unfinished.
    kept : dict
        Files that look unclaimed and are kept: path to why.
    left_out : dict
        Folders in which nothing was looked for: path to why.
    sizes : dict
        Bytes of each file that may go.
    removed, folders : list of str
        Files, and folders that became empty by it.
    failed : dict
        What could not be removed or recorded: path to why.
    """

    root: Path
    unclaimed: list[Unclaimed] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """0, or 1 if something could not be removed."""
        return int(bool(self.failed))


def look(root: Path, parts: Sequence[Path], registry: Registry, *, progress: Progress = iter) -> Cleaning:
    """Find what could be removed; change nothing.

    Parameters
    ----------
    root : Path
        Of the experiment.
    parts : sequence of Path
        Only what belongs to sessions in or below these folders; everything if empty.
    registry : Registry
    progress : callable
        Goes through the jobs whose files have to be read.

    Raises
    ------
    ConfigError
        If the experiment's ``config.toml`` cannot be used.
    NotHereError
        If a folder holds no session, nor results of one.
    """
    opened = open_experiment(root, registry)
    return _look(opened, parts, opened.disk, progress, holder_of(opened.experiment.root))


def delete(
    root: Path, parts: Sequence[Path], registry: Registry, *, command: list[str], progress: Progress = iter
) -> Cleaning:
    """Remove what can be removed, after looking for it while nobody else can change anything.

    Parameters
    ----------
    root, parts, registry, progress
        As for :func:`look`.
    command : list of str
        The command line, for the log.

    Raises
    ------
    LockedError
        If a run holds the experiment.
    ConfigError, NotHereError
        As :func:`look`.
    """
    place = open_experiment(root, registry).experiment.root  # wrong settings are told without a lock
    with locked(place) as lock:
        opened = open_experiment(root, registry)
        # Without the notes of sizes and times: what is about to go is read as it is.
        disk = Disk(opened.experiment.root)
        cleaning = _look(opened, parts, disk, progress, None)
        if cleaning.unclaimed or cleaning.leftovers:
            journal = Journal(opened.experiment.root, lock.token, command)
            try:
                _Remover(opened, disk, lock, cleaning, journal).remove()
            finally:
                journal.close(opened.plan, cleaning.exit_status, opened.problems())
    return cleaning


def _look(
    opened: Opened, parts: Sequence[Path], disk: Disk, progress: Progress, holder: dict[str, Any] | None
) -> Cleaning:
    experiment = opened.experiment
    opened.look_ahead(retrying=False)
    cleaning = Cleaning(experiment.root, left_out=_unreadable(opened))
    homes = list(dict.fromkeys([unit.home for unit in experiment.units] + _homes_on_disk(opened, cleaning)))
    chosen = _chosen(opened, homes, [inside(experiment.root, part) for part in parts])
    usable = [home for home in chosen if not any(_nested(where, home) for where in cleaning.left_out)]
    cleaning.left_out = {
        where: why for where, why in cleaning.left_out.items() if any(_nested(where, home) for home in chosen)
    }
    findings = find_unclaimed(opened, homes, frozenset(usable), disk, progress)
    cleaning.unclaimed, cleaning.kept = findings.unclaimed, findings.kept
    cleaning.leftovers = list(find_leftovers(opened, usable, spare=str((holder or {}).get("token"))))
    for path in (*cleaning.leftovers, *(path for one in cleaning.unclaimed for path in one.files)):
        with contextlib.suppress(OSError):
            cleaning.sizes[path] = disk.path(path).lstat().st_size
    return cleaning


def _unreadable(opened: Opened) -> dict[str, str]:
    """Return the folders of which something could not be read, and why."""
    experiment = opened.experiment
    found = {problem.where: problem.message for problem in experiment.problems}
    found |= dict.fromkeys(experiment.dangling, "a link that leads nowhere (to a disk that is not mounted?)")
    return found | {unit.label: texts[0] for unit, texts in experiment.objections.items()}


def _nested(where: str, home: str) -> bool:
    """Say whether one of two folders holds the other; names are compared as they are shown."""
    one, other = f"{visible(where)}/".lstrip("/"), f"{visible(home)}/".lstrip("/")
    return one.startswith(other) or other.startswith(one)


def _homes_on_disk(opened: Opened, cleaning: Cleaning) -> list[str]:
    """Return the folders that keep records, also where no session is any more; links are not followed."""
    root = opened.experiment.root
    passed_over = {*dict(opened.experiment.settings.config.pipeline).values(), RESOLVED_FOLDER}
    homes = []

    def tell(error: OSError) -> None:
        folder = Path(os.fsdecode(error.filename)).relative_to(root).as_posix()
        cleaning.left_out.setdefault("" if folder == "." else folder, f"cannot be read: {error.strerror}")

    for folder, inner, _ in os.walk(root, onerror=tell):
        if OWN_FOLDER in inner:
            relative = Path(folder).relative_to(root).as_posix()
            homes.append("" if relative == "." else relative)
        inner[:] = sorted(name for name in inner if name[0] != "." and name not in passed_over)
    return homes


def _chosen(opened: Opened, homes: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Return the homes in or below folders; for a folder in a session, that of the session.

    Raises
    ------
    NotHereError
        If there is none.
    """
    if not folders or "" in folders:
        return list(homes)
    chosen: list[str] = []
    for folder in folders:
        below = [home for home in homes if f"{home}/".startswith(f"{folder}/")]
        above = [home for home in homes if f"{folder}/".startswith(f"{home}/" if home else "")]
        nearest = max(above, key=len, default="")
        own = nearest or any(unit.home == "" for unit in opened.experiment.of("session"))
        if not below and not own:
            raise NotHereError(f"{folder}: no session here, nor what is left of one")
        chosen += below or [nearest]
    return list(dict.fromkeys(chosen))


class _Remover:
    """Removes what was found, and has it on record once all that belongs together is gone."""

    def __init__(self, opened: Opened, disk: Disk, lock: Lock, cleaning: Cleaning, journal: Journal) -> None:
        self._opened, self._disk, self._lock = opened, disk, lock
        self._cleaning, self._journal = cleaning, journal

    def remove(self) -> None:
        """Remove all of it. What fails is noted, and the rest goes on."""
        cleaning = self._cleaning
        gone: list[Unclaimed] = []
        for batch in self._batches():
            self._lock.check()
            for one in batch:
                if not all([self._unlink(path) for path in one.files]):
                    break  # the rest of what was renamed stays as it is, for the next try
                gone.append(one)
        for path in cleaning.leftovers:
            self._unlink(path)
        self._withdraw(gone)
        self._remove_folders()

    def _batches(self) -> Iterator[list[Unclaimed]]:
        """Yield what is removed together: 2D poses first, by which the walker knows of what was renamed.

        What rests on other results goes before these, so that after an interruption the next call finds it.
        """
        batches: dict[object, list[Unclaimed]] = {}
        for one in self._cleaning.unclaimed:  # in the order of stages
            together = one.batch if one.reason is Reason.RENAMED and one.batch else one
            batches.setdefault(together, []).append(one)
        yield from reversed(batches.values())

    def _unlink(self, path: str) -> bool:
        """Remove a file that still is what was looked at; say whether it is gone."""
        why = ""
        try:
            if link := link_in(self._disk.root, path):
                why = f"{link} has become a link"
            elif path not in self._cleaning.leftovers and not self._disk.unchanged_since(path):
                why = "it changed while anipipe looked at it"
            else:
                self._disk.path(path).unlink(missing_ok=True)
        except OSError as error:
            why = f"cannot be removed: {error.strerror or error}"
        if why:
            self._cleaning.failed[path] = why
            return False
        self._cleaning.removed.append(path)
        self._journal.withdrawn(path)
        return True

    def _withdraw(self, gone: Sequence[Unclaimed]) -> None:
        """Record what is gone, save what tells where something comes from that is still there."""
        plan, units = self._opened.plan, self._opened.experiment.units
        homes = dict.fromkeys([*(one.recorded.home for one in gone), *(unit.home for unit in units)])
        recorded = recorded_jobs(self._opened, homes)
        lineage, needed = Lineage(recorded), set[str]()
        for each in recorded:
            if any(os.path.lexists(plan.disk.path(path)) for path in outputs_in(each.facts)):
                needed |= lineage.behind(each.facts)[1]
        for each in (one.recorded for one in gone):
            if needed.isdisjoint(outputs_in(each.facts)):
                try:
                    plan.records.append(each.home, each.key, "withdrawn")
                except OSError as error:
                    file = plan.records.file(each.home)
                    self._cleaning.failed[str(file)] = f"cannot be written: {error.strerror}"

    def _remove_folders(self) -> None:
        """Remove the folders of results that have become empty."""
        settings = self._opened.experiment.settings.config.pipeline
        units = {unit.home: unit.names for unit in self._opened.experiment.units}
        standing = {names[key] for names in (dict(settings), *units.values()) for key in _STANDING}
        homes = {"", *units, *(one.recorded.home for one in self._cleaning.unclaimed)}
        for path in self._cleaning.removed:
            folder = path.rpartition("/")[0]
            while folder not in homes and folder.rpartition("/")[2] not in (*standing, OWN_FOLDER, "runs"):
                try:
                    self._disk.path(folder).rmdir()
                except OSError:  # it is not empty, or not ours to remove
                    break
                self._cleaning.folders.append(folder)
                folder = folder.rpartition("/")[0]
