"""A job on another machine, which shares the disk and nothing else.

What can be taken for granted in a worker that the coordinator has started itself is made sure of here: the
same versions, the same files as the coordinator sees them, one job at a time, and that somebody still waits
for what comes out.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from anipipe import __version__
from anipipe.engine.digest import UNREADABLE, size_in
from anipipe.engine.executors import keep_memory, limit_threads
from anipipe.engine.jobs import library_version
from anipipe.engine.lock import holds
from anipipe.engine.perform import Failed, Made, Result, Task, discard, perform
from anipipe.engine.shares import eventually, steadily

limit_threads()  # before anything imports a numerical library, where nobody has done so yet
keep_memory()

_ONE_AT_A_TIME = threading.Lock()


def perform_remotely(task: Task, version: str) -> Result:
    """Do a job as :func:`~anipipe.engine.perform.perform` does, unless this worker is not fit for it."""
    with _ONE_AT_A_TIME:  # warnings, time-outs and threads are matters of the whole process
        unfit = "; ".join(_unfit(task, version))
        if unfit:
            return Failed(f"worker {socket.gethostname()}: {unfit}")
        result = perform(task)
        if isinstance(result, Made) and not _is_wanted(task):
            discard(path for path, _ in result.outputs.values())
            return Failed("the run that asked for this is over")
        return result


def _unfit(task: Task, version: str) -> Iterator[str]:
    if version != __version__:
        yield f"has anipipe {__version__}, and the run {version}; install the same on all machines"
    for name, theirs in task.libraries.items():
        ours = library_version(name)
        if ours != theirs:
            yield f"has {name} {ours}, and the run {theirs}, which may give other results; install the same"
    if not eventually(lambda: holds(task.root, task.token)):
        yield (
            f"{task.root} is not there, or is another folder than the run's; all machines need the "
            "experiment at the same path, on a disk that they share"
        )
        return
    readable = {path: digest for path, digest in task.digests.items() if digest[0] != UNREADABLE}
    for path, digest in readable.items():
        if not eventually(partial(_has_size, task.root / path, size_in(digest))):
            yield f"{task.root / path} is not what the run saw; is the disk shared, and up to date?"


def _has_size(path: Path, size: int) -> bool:
    return path.stat().st_size == size


def _is_wanted(task: Task) -> bool:
    """Say whether the run still waits for what a job has made."""
    try:
        return steadily(lambda: holds(task.root, task.token))
    except OSError:
        return False
