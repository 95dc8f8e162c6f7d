"""What the coordinator alone does to files and records: puts outputs in place, takes them out, notes why.

The order of the steps of :meth:`Committer.commit` is what keeps a kill between any two of them harmless; see
:mod:`~anipipe.engine.records`.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from anipipe.engine.declare import Names
from anipipe.engine.digest import EMPTY, begins
from anipipe.engine.jobs import Examined, Job
from anipipe.engine.lock import Lock
from anipipe.engine.perform import Failed, Made
from anipipe.engine.plan import Plan
from anipipe.engine.records import is_plain
from anipipe.engine.shares import SHOWS_WITHIN, eventually
from anipipe.errors import DataError


class Committer:
    """Puts the outputs of one run in place.

    Parameters
    ----------
    plan : Plan
    lock : Lock
        Of the run; nothing is written once it is lost.
    """

    def __init__(self, plan: Plan, lock: Lock) -> None:
        self._plan, self._lock = plan, lock

    def keep_edited(self, job: Job, examined: Examined, made: Made) -> bool:
        """Find out which outputs were edited rather than cut short, and remember that; say if any was."""
        found = False
        for path in examined.verdict.compare:
            digest = examined.situation.outputs[path]
            if digest is not None and not begins(self._plan.disk.path(path), made.outputs[path][0]):
                self._lock.check()
                self._plan.records.append(job.home, job.key, "kept", digest=digest)
                found = True
        return found

    def commit(self, job: Job, examined: Examined, made: Made) -> None:
        """Record what was made, and rename it into place.

        Raises
        ------
        LockedError
            The lock was lost.
        DataError
            Something changed while the job ran.
        OSError
            The disk is full, say.
        """
        disk, records, situation = self._plan.disk, self._plan.records, examined.situation
        self._lock.check()
        self._make_sure_of_inputs(examined)
        for path, digest in situation.outputs.items():
            if self._digest_now(path, sampled=job.outputs[path].sampled) not in (digest, digest or EMPTY):
                raise DataError(f"{disk.path(path)} was written by somebody while this ran; it is kept")
        for temporary, _ in made.outputs.values():
            _wait_for(temporary)
        facts = {**situation.facts, **{f"out:{path}": digest for path, (_, digest) in made.outputs.items()}}
        records.append(job.home, job.key, "intent", sync=True, facts=facts)
        for path, (temporary, digest) in made.outputs.items():
            if situation.outputs[path] == digest:
                temporary.unlink()  # the same bytes: the file, and what rests on it, can stay
            else:
                temporary.replace(disk.path(path))
            disk.wrote(path, digest)
        records.append(job.home, job.key, "done", notes=made.notes)

    def _make_sure_of_inputs(self, examined: Examined) -> None:
        """Refuse what was made from something else than is going to be recorded.

        What was merely touched, or shows only now as it is, counts as it did: content decides.
        """
        facts = examined.situation.facts
        for source in examined.usable:
            now = {path: self._digest_now(path, sampled=source.artifact.sampled) for path in source.paths}
            recorded = source.facts([digest or "" for digest in now.values()])
            if any(facts.get(key) != value for key, value in recorded.items()):
                path = next((p for p in now if now[p] not in facts.values()), source.paths[0])
                what = "was taken away" if now[path] is None else "changed"
                raise DataError(f"{self._plan.disk.path(path)} {what} while it was being read; run again")

    def _digest_now(self, path: str, *, sampled: bool) -> str | None:
        disk = self._plan.disk
        if not disk.unchanged_since(path):
            disk.forget(path)
        return disk.digest(path, sampled=sampled)

    def note_failure(self, job: Job, failed: Failed) -> None:
        """Record why a job failed; on a full disk even that may not be possible, and nothing rests on it."""
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        self._note(job.home, job.key, "failed", message=failed.message, traceback=failed.traceback, time=when)

    def note_given(self, job: Job, examined: Examined) -> None:
        """Record an output that is somebody else's, the first time that it is seen."""
        situation = examined.situation
        facts = {**situation.facts, **{f"out:{path}": digest for path, digest in situation.outputs.items()}}
        then = self._plan.claims(job).given
        if then is None or any(then.get(key) != value for key, value in facts.items() if key[:4] == "out:"):
            self._note(job.home, job.key, "given", facts=facts)

    def forget_failure(self, job: Job) -> None:
        """Record that what failed is up to date after all: what made it fail was taken back."""
        if self._plan.claims(job).failure is not None:
            self._note(job.home, job.key, "recovered")

    def take_out(self, home: str, key: str) -> Iterator[str]:
        """Remove the recorded part of a collection, unless somebody has changed it; yield what is gone.

        Records may have been tampered with: one that names anything but such a part has nothing removed.
        """
        records, disk = self._plan.records, self._plan.disk
        made = list(records.claims(home, key).made())
        paths = {name[4:] for facts in made for name in facts if name.startswith("out:")}
        if not made or not all(self._is_part(home, key, path) for path in paths):
            return
        self._lock.check()
        for path in paths:
            disk.forget(path)
            digest = disk.digest(path)
            if digest is not None and any(facts.get(f"out:{path}") == digest for facts in made):
                try:
                    disk.path(path).unlink()
                except OSError:
                    return  # still ours, then, and tried again next time
                disk.forget(path)
                yield path
        self._note(home, key, "withdrawn")

    def _note(self, home: str, key: str, event: str, **content: Any) -> None:
        """Record what nothing rests on, and can be left out on a full disk.

        Raises
        ------
        LockedError
            The lock was lost.
        """
        self._lock.check()
        with contextlib.suppress(OSError):
            self._plan.records.append(home, key, event, **content)

    def _is_part(self, home: str, key: str, path: str) -> bool:
        """Say whether a file is what a job makes, or lies where it was made while there was such a job."""
        job = self._plan.by_output.get(path)
        if job is not None:
            return (job.home, job.key) == (home, key)
        patterns = [
            artifact.pattern
            for stage in self._plan.registry
            for artifact in stage.outputs
            if artifact.collected and stage.name == key.partition(":")[0]
        ]
        names = next((job.unit.names for job in self._plan.jobs), {})  # all call its folder the same
        return (
            is_plain(path)
            and any(_shape(pattern, names).fullmatch(path) for pattern in patterns)
            and path not in self._known
            and not link_in(self._plan.disk.root, path.rpartition("/")[0])
        )

    @cached_property
    def _known(self) -> set[str]:
        return self._plan.paths()


def _shape(pattern: str, names: Names) -> re.Pattern[str]:
    """Return what the paths of an artifact look like, whatever the unit; names fill in its folder."""
    folder, _, name = pattern.rpartition("/")
    filled = re.sub(r"{(\w+)}", lambda found: names.get(found[1], found[0]), folder)
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(f"{filled}/{name}")))


def link_in(root: Path, path: str) -> str:
    """Return the first part of a path that is a link; empty if there is none."""
    parts = path.split("/")
    ways = ("/".join(parts[:end]) for end in range(1, len(parts) + 1))
    return next((way for way in ways if (root / way).is_symlink()), "")


def _wait_for(temporary: Path) -> None:
    """Wait until a file shows that a worker has written, perhaps on another machine.

    Raises
    ------
    DataError
        It does not.
    """

    def shows() -> bool:
        # Listing the folder makes some network file systems look again.
        return temporary.name in os.listdir(temporary.parent) and temporary.exists()

    if not eventually(shows):
        raise DataError(
            f"{temporary}: a worker has written this, but it does not show here after {SHOWS_WITHIN:.0f} s; "
            "do all machines see the same disk?"
        )
