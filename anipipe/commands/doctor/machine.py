"""What the machine has to offer: processors, memory, open files, the folder for temporary files."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

from anipipe.commands.doctor.findings import Finding, Level, isolated
from anipipe.commands.resources import GIB, MEMORY_PER_WORKER, usable_memory, usable_processors

SUBJECT = "machine"
#: Each worker opens its libraries, the videos of a trial and pipes: some dozens of files.
LEAST_FILES = 512
#: Libraries put intermediate arrays and videos there.
LEAST_TEMPORARY = 1 * GIB


def findings() -> Iterator[Finding]:
    """Look at the machine."""
    for about, check in (
        ("processors", _processors),
        ("memory", _memory),
        ("open files", _open_files),
        ("temporary files", _temporary),
    ):
        yield from isolated(SUBJECT, about, check)


def _found(level: Level, about: str, text: str, remedy: str = "") -> Finding:
    return Finding(level, SUBJECT, about, text, remedy)


def _processors() -> Iterator[Finding]:
    there, usable = os.cpu_count() or 1, usable_processors()
    if usable < there:
        yield _found(
            "note",
            "processors",
            f"{usable} of the machine's {there} may be used here (a container's or a cluster's limit)",
            f"nothing, if that is meant; -j {usable} is the most workers that make sense",
        )
    else:
        yield _found("ok", "processors", f"{usable}")


def _memory() -> Iterator[Finding]:
    memory = usable_memory()
    if memory is None:
        yield _found("ok", "memory", "how much there is cannot be told on this system")
        return
    there, free = memory
    workers = max(1, int(free // MEMORY_PER_WORKER))
    text = f"{there / GIB:.0f} GB, {free / GIB:.0f} GB of it free"
    if workers < usable_processors():
        yield _found(
            "note",
            "memory",
            f"{text}: not enough for a worker on each of {usable_processors()} processors",
            f"close other programs, or run with -j {workers}",
        )
    else:
        yield _found("ok", "memory", text)


def _open_files() -> Iterator[Finding]:
    if sys.platform == "win32":
        return
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= limit < LEAST_FILES:
        yield _found(
            "note",
            "open files",
            f"a process may have {limit} open at a time: few for many workers",
            f"ulimit -n {4 * LEAST_FILES} before running anipipe",
        )
    else:
        yield _found("ok", "open files", f"up to {limit} at a time" if limit >= 0 else "no limit")


def _temporary() -> Iterator[Finding]:
    elsewhere = "make room there, or name another folder in the environment variable TMPDIR"
    try:
        folder = tempfile.gettempdir()
        with tempfile.TemporaryFile(prefix="anipipe-doctor-") as file:
            file.write(b"probe")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield _found("critical", "temporary files", f"cannot be written: {error}", elsewhere)
        return
    text = f"{folder}, {free / GIB:.1f} GB free"
    if free < LEAST_TEMPORARY:
        yield _found("warning", "temporary files", text, elsewhere)
    else:
        yield _found("ok", "temporary files", text)
