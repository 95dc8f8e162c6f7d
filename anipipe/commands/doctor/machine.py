"""What the machine has to offer: processors, memory, open files, the folder for temporary files."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from anipipe.commands.doctor.findings import Finding, Level, isolated

SUBJECT = "machine"
GIB = 2**30
#: A worker process with its libraries, a network and some seconds of video takes about so much.
MEMORY_PER_WORKER = 1.5 * GIB
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


def usable_processors() -> int:
    """Return how many processors this process may use: those it is bound to, within a container's limit."""
    import joblib

    return int(joblib.cpu_count())


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


def usable_memory() -> tuple[int, int] | None:
    """Return how much memory there is and how much of it is free, bytes; None where that cannot be told."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    # what Linux would free by forgetting files that it has read counts as free
    known = re.search(r"^MemAvailable: *(\d+) kB", _text(Path("/proc/meminfo")), flags=re.MULTILINE)
    free = int(known[1]) * 1024 if known else free
    for path in memory_limits(_text(Path("/proc/self/cgroup"))):
        with contextlib.suppress(ValueError):  # no such file, or "max"
            there = min(there, int(_text(path)))
    return there, min(free, there)


def memory_limits(groups: str) -> list[Path]:
    """Return the files in which Linux may note how much memory a container, or a cluster's job, may use.

    Parameters
    ----------
    groups
        The text of ``/proc/self/cgroup``: number, controllers (none in version 2) and path of each group. The
        limits of all groups above hold as well.
    """
    found: dict[Path, None] = {}
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        top, name = Path("/sys/fs/cgroup"), "memory.max"
        if controllers:
            if "memory" not in controllers.split(","):
                continue
            top, name = top / "memory", "memory.limit_in_bytes"
        own = top / path.strip("/")
        found.update(
            dict.fromkeys(folder / name for folder in (own, *own.parents) if folder.is_relative_to(top))
        )
    return list(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


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
