"""Run ``anipipe run-all --jobs 1`` with clocks in it: ``python -m benchmarks.in_process REPORT EXPERIMENT``.

A process of its own, so that imports and memory are those of a run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()


class Clocks:
    """Adds up the time inside jobs, and inside fsync in and outside of them."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.jobs = 0
        self._inside = False

    def around_job(self, perform: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return perform with a clock."""

        def timed(task: Any) -> Any:
            self._inside = True
            began = time.perf_counter()
            try:
                return perform(task)
            finally:
                self.seconds["perform"] += time.perf_counter() - began
                self._inside = False
                self.jobs += 1

        return timed

    def around_fsync(self, fsync: Callable[[int], None]) -> Callable[[int], None]:
        """Return fsync with a clock."""

        def timed(descriptor: int) -> None:
            key = "work_fsync" if self._inside else "record_fsync"
            began = time.perf_counter()
            try:
                fsync(descriptor)
            finally:
                self.seconds[key] += time.perf_counter() - began

        return timed


def main(report: Path, experiment: Path) -> int:
    """Run, write the shares of the time, and return the run's exit status."""
    from anipipe.cli import cli
    from anipipe.engine import lanes, runner

    clocks = Clocks()
    lanes.perform = clocks.around_job(lanes.perform)
    os.fsync = clocks.around_fsync(os.fsync)
    planned: list[float] = []
    run = runner.Runner.run

    def noted(self: runner.Runner) -> Any:
        planned.append(time.perf_counter())
        return run(self)

    runner.Runner.run = noted
    started = time.perf_counter()
    status = cli.main(["run-all", "--jobs", "1", str(experiment)], standalone_mode=False)
    ended = time.perf_counter()
    seconds = clocks.seconds
    share = {
        "jobs": clocks.jobs,
        "wall": ended - BEGAN,
        "start": started - BEGAN,
        "plan": planned[0] - started,
        "work": seconds["perform"] - seconds["work_fsync"],
        "work_fsync": seconds["work_fsync"],
        "record_fsync": seconds["record_fsync"],
        "rest": ended - planned[0] - seconds["perform"] - seconds["record_fsync"],
    }
    report.write_text(json.dumps(share), encoding="utf-8")
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
