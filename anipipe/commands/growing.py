"""Which recordings are still being written: they are left for later.

A recording grows if its size or time differs between two looks at it. One whose index cannot be read, and
that was touched within the hour, is taken for unfinished as well: many recorders write the index last, and
pause. An older one is tried, and fails with what is wrong with it. Nothing else makes a file wait: neither
that it is new, nor that it was copied, cloned or touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from anipipe.commands.opening import Opened
from anipipe.errors import DataError
from anipipe.formats.prediction_names import VIDEO_SUFFIXES
from anipipe.formats.video import Video
from anipipe.guards import open_regular

#: Seconds for which a recording without a readable index may have paused.
UNFINISHED = 3600.0

Stat = tuple[int, int]


@dataclass(frozen=True)
class Look:
    """Sizes and times of recordings, as they were seen at one moment.

    Attributes
    ----------
    seen : mapping
        Path to (bytes, modification time in ns); None where there was no such file.
    """

    seen: Mapping[Path, Stat | None]

    @classmethod
    def at(cls, paths: Iterable[Path]) -> Look:
        """Look at files now."""
        return cls({path: _stat(path) for path in paths})

    def growing(self, path: Path) -> str:
        """Say why a recording is taken to be still written, given what was seen before; empty if not."""
        now = _stat(path)
        if now is None:
            return ""  # gone: the job that needs it will say so
        before = self.seen.get(path)
        if before is None:
            return "has only just been found"
        if before[0] != now[0]:
            return f"is still being written: {before[0]} bytes, then {now[0]}"
        if before[1] != now[1]:
            return "is still being written: its time has changed between two looks"
        # A time in the future, of a camera's or a server's clock, does not wait for ever.
        if abs(time.time() - now[1] / 1e9) < UNFINISHED and not _has_index(path):
            return "is still being written: its index cannot be read, and it is less than an hour old"
        return ""


def recordings(opened: Opened) -> dict[str, Path]:
    """Return the recordings that are to be read by jobs that have to be done, by path in the experiment.

    The experiment has been looked ahead at. Recordings are what was found rather than made: videos, and
    videos or pictures of the board.
    """
    found = {}
    for job in opened.plan.ahead():
        for source in job.sources:
            if source.producer is None and source.artifact.sampled:
                found.update({path: opened.disk.path(path) for path in source.paths})
    return found


def growing(opened: Opened, before: Look) -> dict[str, str]:
    """Return the recordings that are still being written, with why that is thought.

    Parameters
    ----------
    opened : Opened
        Looked ahead at.
    before : Look
        An earlier look. What was not there then has only just appeared.

    Returns
    -------
    dict
        Path relative to the experiment, to the reason; for :meth:`anipipe.engine.plan.Plan.wait_for`.
    """
    reasons = {relative: before.growing(path) for relative, path in recordings(opened).items()}
    return {relative: f"{relative} {why}" for relative, why in reasons.items() if why}


def _has_index(path: Path) -> bool:
    if path.suffix.casefold() not in VIDEO_SUFFIXES:
        return True  # a picture: it is read as a whole
    try:
        Video(path).check()
    except (DataError, OSError):
        return False
    return True


def _stat(path: Path) -> Stat | None:
    try:
        try:
            # Opening makes a network file system look again; what it says unasked may be a minute old.
            with open_regular(path, buffering=0) as file:
                stat = os.fstat(file.fileno())
        except PermissionError:  # a recorder on Windows lets nobody else open its file
            stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
