"""What this machine has for jobs: processors, memory, GPUs."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import subprocess
from pathlib import Path

GIB = 2**30
#: A worker process with its libraries, a network and some seconds of video takes about so much.
MEMORY_PER_WORKER = 1.5 * GIB
_PATIENCE = 20  # seconds for nvidia-smi, which is slow where no service keeps the driver awake


def usable_processors() -> int:
    """Return how many processors this process may use: those it is bound to, within a container's limit."""
    import joblib

    return int(joblib.cpu_count())


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
            limit = int(_text(path))
            there, free = min(there, limit), min(free, limit - _used(path.parent))
    return there, free


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


def _used(group: Path) -> int:
    """Return how much of its memory a group uses, without what it would forget of files that it has read."""
    current = _text(group / "memory.current") or _text(group / "memory.usage_in_bytes") or "0"
    files = re.search(r"^(?:total_)?inactive_file (\d+)$", _text(group / "memory.stat"), flags=re.MULTILINE)
    return int(current) - (int(files[1]) if files else 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def nvidia_driver() -> tuple[str, tuple[str, ...], str]:
    """Return the driver's version and the names of its GPUs, or why it says nothing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "", (), ""
    asked = [program, "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", (), str(error)
    rows = [row for row in csv.reader(done.stdout.splitlines(), skipinitialspace=True) if len(row) == 2]
    if done.returncode or not rows:
        lines = (done.stdout + done.stderr).strip().splitlines()
        return "", (), lines[0] if lines else f"it ended with status {done.returncode}"
    return rows[0][0], tuple(name for _, name in rows), ""
