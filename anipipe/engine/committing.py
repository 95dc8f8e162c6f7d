"""What the coordinator alone does to files and records: puts outputs in place, takes them out, notes why.

The order of the steps of :meth:`Committer.commit` is what keeps a kill between any two of them harmless; see
:mod:`~anipipe.engine.records`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from anipipe.engine.digest import EMPTY, begins
from anipipe.engine.jobs import Examined, Job
from anipipe.engine.lock import Lock
from anipipe.engine.perform import Failed, Made
from anipipe.engine.plan import Plan
from anipipe.errors import DataError

#: Seconds after which what another machine wrote to a shared disk has to be seen here.
_SHOWS_WITHIN = 30.0


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
        for path in (path for source in examined.usable for path in source.paths):
            if not disk.unchanged_since(path):
                raise DataError(f"{disk.path(path)} changed while it was being read; run again")
        for path, digest in situation.outputs.items():
            disk.forget(path)
            if disk.digest(path) not in (None, EMPTY) if digest is None else not disk.unchanged_since(path):
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

    def note_failure(self, job: Job, failed: Failed) -> None:
        """Record why a job failed; on a full disk even that may not be possible, and nothing rests on it."""
        with contextlib.suppress(OSError):
            self._plan.records.append(
                job.home,
                job.key,
                "failed",
                message=failed.message,
                traceback=failed.traceback,
                time=time.strftime("%Y-%m-%d %H:%M:%S"),
            )

    def note_given(self, job: Job, examined: Examined) -> None:
        """Record an output that is somebody else's, the first time that it is seen."""
        situation = examined.situation
        facts = {**situation.facts, **{f"out:{path}": digest for path, digest in situation.outputs.items()}}
        then = self._plan.claims(job).given
        if then is None or any(then.get(key) != value for key, value in facts.items() if key[:4] == "out:"):
            with contextlib.suppress(OSError):
                self._plan.records.append(job.home, job.key, "given", facts=facts)

    def forget_failure(self, job: Job) -> None:
        """Record that what failed is up to date after all: what made it fail was taken back."""
        if self._plan.claims(job).failure is not None:
            with contextlib.suppress(OSError):
                self._plan.records.append(job.home, job.key, "recovered")

    def take_out(self, home: str, key: str) -> Iterator[str]:
        """Remove the recorded part of a collection, unless somebody has changed it; yield what is gone."""
        records, disk = self._plan.records, self._plan.disk
        made = list(records.claims(home, key).made())
        if not made:
            return
        for path in {name[4:] for facts in made for name in facts if name.startswith("out:")}:
            disk.forget(path)
            digest = disk.digest(path)
            if digest is not None and any(facts.get(f"out:{path}") == digest for facts in made):
                try:
                    disk.path(path).unlink()
                except OSError:
                    return  # still ours, then, and tried again next time
                disk.forget(path)
                yield path
        with contextlib.suppress(OSError):
            records.append(home, key, "withdrawn")


def _wait_for(temporary: Path) -> None:
    """Wait until a file shows that a worker has written, perhaps on another machine.

    Network file systems remember for a while that there was no such file. Listing the folder makes some of
    them look again.
    """
    end = time.monotonic() + _SHOWS_WITHIN
    while not temporary.exists() and time.monotonic() < end:
        with contextlib.suppress(OSError):
            os.listdir(temporary.parent)
        time.sleep(0.1)
