"""A lab of many small sessions: what the pipeline costs beside the work itself."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anipipe.formats.calibrations import write_calibration
from anipipe.numerics.cameras import project
from benchmarks.measure import Ended, process, show
from benchmarks.rigs import around

CAMERAS, FRAMES, JOINTS = 3, 5, ("nose", "neck", "tail")
GROUP = 50  # sessions in a folder
OVERRIDES = 20  # one session in so many has a configuration of its own
SCORER = "DLC_Resnet50_labJan1shuffle1_snapshot_100"
REPEATS = 3  # of status and of runs that do nothing; the middle one counts

STATUS_S, NOOP_S, OVERHEAD_MS = 2.0, 3.0, 10.0  # aims for 1000 sessions; per job
AIMED_AT = 1000

CONFIG = """\
project = "lab"
model_type = "import"

[triangulation]
cam_regex = "-cam([0-9])$"
score_threshold = 0.6
axes = [["x", "tail", "nose"], ["z", "tail", "neck"]]
reference_point = "tail"

[angles]
back = ["nose", "neck", "tail"]

[labeling]
# What they cost is drawing and encoding (python -m benchmarks labelling), which would hide all else here.
pictures = []
"""
OVERRIDE = "[triangulation]\nscore_threshold = 0.7\n"


@dataclass(frozen=True)
class Figures:
    """What was measured of a lab of one size."""

    sessions: int
    first: Ended
    alone: Ended
    status: Ended
    noop: Ended
    share: dict[str, float]


def run(sessions: int, jobs: int) -> None:
    """Measure labs of a quarter, a half and the whole of so many sessions, and print what was found."""
    sizes = sorted({max(1, sessions // 4), max(1, sessions // 2), sessions})
    with tempfile.TemporaryDirectory(prefix="anipipe-lab-") as folder:
        found = [measure(Path(folder), size, jobs) for size in sizes]
    _show_times(found, jobs)
    _show_overhead(found)
    _show_aims(found[-1])


def measure(folder: Path, sessions: int, jobs: int) -> Figures:
    """Make a lab of one size, run everything in processes of their own, and remove it."""
    lab, log = folder / f"lab-{sessions}", folder / "output.txt"
    command = [sys.executable, "-m", "anipipe.cli"]
    _say(f"{sessions} sessions: first run with {jobs} jobs")
    make(lab, sessions)
    first = _checked(process([*command, "run-all", "--jobs", str(jobs), lab], log))
    _say(f"{sessions} sessions: status, and runs that do nothing")
    statuses = [_checked(process([*command, "status", lab], log)) for _ in range(REPEATS)]
    # --jobs 1 and N alike, as a run that does nothing starts no workers
    noops = [_checked(process([*command, "run-all", lab], log)) for _ in range(REPEATS)]
    for ended in noops:
        if not ended.output.startswith("0 jobs done"):
            print(f"warning: a second run was not without jobs: {ended.output.strip().splitlines()[-1]}")
    shutil.rmtree(lab)

    _say(f"{sessions} sessions: first run in one process")
    make(lab, sessions)
    share_file = folder / "share.json"
    alone = _checked(process([sys.executable, "-m", "benchmarks.in_process", share_file, lab], log))
    share = json.loads(share_file.read_text(encoding="utf-8"))
    shutil.rmtree(lab)
    return Figures(sessions, first, alone, _middle(statuses), _middle(noops), share)


def make(lab: Path, sessions: int) -> None:
    """Write a lab: groups of sessions of one trial each, one calibration for all, some overrides."""
    rng = np.random.default_rng(1)
    rig = around(CAMERAS)
    (lab / "calibration").mkdir(parents=True)
    write_calibration(rig, lab / "calibration" / "calibration.toml")
    (lab / "config.toml").write_text(CONFIG, encoding="utf-8")
    header = [
        ["scorer", *[SCORER] * (3 * len(JOINTS))],
        ["bodyparts", *(joint for joint in JOINTS for _ in range(3))],
        ["coords", *("x", "y", "likelihood") * len(JOINTS)],
    ]
    top = "\n".join(",".join(row) for row in header)
    for number in range(sessions):
        session = lab / f"group-{number // GROUP}" / f"session-{number}"
        (session / "predictions").mkdir(parents=True)
        if number % OVERRIDES == 0:
            (session / "config.toml").write_text(OVERRIDE, encoding="utf-8")
        points = rng.uniform(-60, 60, (FRAMES, len(JOINTS), 3))
        for index, camera in enumerate(rig.cameras):
            cells = np.dstack([project(points, camera).round(2), np.full(points.shape[:2], 0.9)])
            lines = [
                f"{frame}," + ",".join(map(str, row.tolist()))
                for frame, row in enumerate(cells.reshape(FRAMES, -1))
            ]
            path = session / "predictions" / f"walk-cam{index}{SCORER}.csv"
            path.write_text("\n".join([top, *lines]) + "\n", encoding="utf-8")


def _say(text: str) -> None:
    """Tell how far it is, apart from the tables: a large lab takes minutes."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def _checked(ended: Ended) -> Ended:
    if ended.status != 0:
        last = "\n".join(ended.output.strip().splitlines()[-3:])
        print(
            f"warning: a run ended with exit status {ended.status}, so that its figures mean little:\n{last}"
        )
    return ended


def _middle(ended: list[Ended]) -> Ended:
    return sorted(ended, key=lambda one: one.seconds)[len(ended) // 2]


def _show_times(found: list[Figures], jobs: int) -> None:
    rows = []
    for figures in found:
        cells = [str(figures.sessions), f"{figures.share['jobs']:.0f}"]
        for ended in (figures.first, figures.alone, figures.status, figures.noop):
            cells += [f"{ended.seconds:.2f}", f"{ended.peak:.0f}"]
        rows.append(cells)
    if len(found) > 1:
        small, large = found[0], found[-1]
        cells = [f"x {large.sessions / small.sessions:.2f}", ""]
        for name in ("first", "alone", "status", "noop"):
            one, other = getattr(small, name), getattr(large, name)
            cells += [f"x {other.seconds / one.seconds:.2f}", f"x {other.peak / one.peak:.2f}"]
        rows.append(cells)
    names = (f"first -j{jobs}", "first -j1", "status", "no-op")
    columns = [column for name in names for column in (f"{name}, s", "MiB")]
    show(
        f"lab: sessions of {CAMERAS} cameras, {FRAMES} frames, {len(JOINTS)} joints; wall time from\n"
        "start to exit of the process, peak memory of its largest process; status and no-op: the middle of\n"
        f"{REPEATS}; last row: growth",
        ["sessions", "jobs", *columns],
        rows,
    )


def _show_overhead(found: list[Figures]) -> None:
    keys = ("wall", "start", "plan", "work", "work_fsync", "record_fsync", "rest")
    rows = []
    for figures in found:
        share = figures.share
        per_job = 1000 / share["jobs"] if share["jobs"] else float("nan")
        rows.append([str(figures.sessions), *(f"{share[key] * per_job:.2f}" for key in keys)])
    show(
        "lab: where the first run's time goes with --jobs 1, ms per job. wall = all of it; start =\n"
        "imports; plan = walk, digests and plan; work = inside perform(), without its fsync; then fsync of\n"
        "outputs, and of records; rest = examining, committing, recording, reporting. Clocks are put around\n"
        "perform() and os.fsync.",
        ["sessions", *(key.replace("_", " ") for key in keys)],
        rows,
    )


def _show_aims(largest: Figures) -> None:
    share = largest.share
    overhead = 1000 * (share["plan"] + share["rest"]) / max(share["jobs"], 1)
    rows = [
        _aim("status, s", largest.status.seconds, STATUS_S),
        _aim("no-op run-all, s", largest.noop.seconds, NOOP_S),
        _aim("overhead (plan + rest), ms per job", overhead, OVERHEAD_MS),
    ]
    show(
        f"lab: {largest.sessions} sessions against the aims for {AIMED_AT}",
        ["", "measured", "aim", "ratio"],
        rows,
    )


def _aim(what: str, measured: float, aim: float) -> list[str]:
    return [what, f"{measured:.2f}", f"{aim:.2f}", f"{measured / aim:.2f}"]
