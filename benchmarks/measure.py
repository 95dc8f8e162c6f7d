"""Measuring and showing: times of calls, time and memory of processes, tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPEATS = 5
_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, else KiB


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes
    ----------
    status : int
    seconds : float
        Wall time, from its start, imports included.
    peak : float
        Largest memory that it, or one of its own processes that it waited for, held at once, MiB; NaN where
        the system does not tell.
    output : str
    """

    status: int
    seconds: float
    peak: float
    output: str


#: Runs a command and tells its exit status, wall time and peak memory. A process begins as a copy of the one
#: that starts it, whose size then counts as its own; hence this small one, which imports next to nothing.
_LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
with open(sys.argv[1], "w") as log:
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    if hasattr(os, "wait4"):
        _, code, usage = os.wait4(child.pid, 0)
        child.returncode, peak = os.waitstatus_to_exitcode(code), usage.ru_maxrss
    else:
        child.wait()
        peak = None
print(json.dumps([child.returncode, time.perf_counter() - began, peak]))
"""


def process(command: Sequence[str | Path], log: Path) -> Ended:
    """Run a command to its end; what it prints goes through a file, so that nothing waits for a reader.

    As where anipipe is installed, Python keeps what it compiles, though it be told not to where this runs.
    """
    launched = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, str(log), *(str(part) for part in command)],
        stdout=subprocess.PIPE,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    )
    status, seconds, peak = json.loads(launched.stdout)
    mebibytes = float("nan") if peak is None else peak * _UNIT / 2**20
    return Ended(status, seconds, mebibytes, log.read_text(encoding="utf-8", errors="replace"))


def best(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the shortest time of several calls, s; the first, which may compile, is not counted."""
    function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in (header, *rows):
        first, *others = (
            f"{cell:<{width}}" if not at else f"{cell:>{width}}"
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())
