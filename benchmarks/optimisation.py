"""The optimisation in time: against aniposelib's on a real recording, and how it grows with the recording."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.aniposelib_cameras import camera_group
from anipipe.numerics.cameras import Rig, project
from anipipe.numerics.refinement.solver import optimise
from anipipe.numerics.triangulation import dlt
from benchmarks.measure import REPEATS, process, show
from benchmarks.rigs import around
from benchmarks.triangulation import REAL, real

Floats = NDArray[np.float64]

FLY: dict[str, Any] = {
    "constraints": [(first, first + 1) for first in range(0, 12, 2)],
    "scale_smooth": 5,
    "scale_length": 2,
    "n_deriv_smooth": 2,
    "reproj_error_threshold": 5,
}
LENGTHS = (1_000, 10_000, 100_000)  # frames
LIMBS = ((0, 1), (1, 2), (2, 3), (1, 4), (4, 5), (5, 6), (1, 7), (7, 8), (8, 9), (3, 10), (3, 11))
NOISE, LOST, WRONG = 1.0, 0.05, 0.005
PEER_REPEATS = 3


def run() -> None:
    """Print both tables; each figure of memory is that of a process of its own."""
    fly = REAL / "fly-3cam"
    if fly.is_dir():
        _show_real(fly)
    else:
        print(f"\noptimisation: no real recording in {fly}; set ANIPIPE_REAL_DATA to where they are")
    rows = []
    for order in (2, 3):
        for frames in LENGTHS:
            told, peak = _apart("grow", str(frames), str(order))
            seconds, steps, converged, before, after = told
            rows.append(
                [
                    str(frames),
                    str(order),
                    f"{seconds:.2f}",
                    f"{1e3 * seconds / frames:.2f}",
                    f"{peak:.0f}",
                    str(steps),
                    "yes" if converged else "no",
                    f"{before:.2f}",
                    f"{after:.2f}",
                ]
            )
    show(
        f"optimisation: a skeleton of 12 connected joints before 3 cameras; {NOISE} px of noise, {LOST:.0%}\n"
        f"of pixels lost, {WRONG:.1%} wrong by 60 px; one process each, its peak memory in MiB; mean\n"
        "distance from the truth, mm",
        ["frames", "n_deriv", "s", "ms/frame", "MiB", "steps", "converged", "triangulated", "optimised"],
        rows,
    )


def synthetic(frames: int) -> tuple[Rig, Floats, Floats]:
    """Return cameras, true points (frames, joints, 3) in mm, and pixels (cameras, frames, joints, 2)."""
    rng = np.random.default_rng(6)
    rig = around(3)
    clock = np.arange(frames)
    truth = np.zeros((frames, 12, 3))
    truth[:, 0] = np.stack(
        [60 * np.sin(clock / 300), 60 * np.cos(clock / 410), 10 * np.sin(clock / 50)], axis=1
    )
    for first, second in LIMBS:
        turn, rise = (
            np.sin(clock / rng.uniform(8, 40) + rng.uniform(0, 6)) + rng.uniform(0, 6) for _ in range(2)
        )
        towards = np.stack([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)], axis=1)
        truth[:, second] = truth[:, first] + rng.uniform(12, 30) * towards
    pixels = np.stack([project(truth, camera) for camera in rig.cameras])
    pixels += rng.normal(0, NOISE, pixels.shape)
    wrong = rng.random(pixels.shape[:-1]) < WRONG
    pixels[wrong] += rng.normal(0, 60, (int(wrong.sum()), 2))
    pixels[rng.random(pixels.shape[:-1]) < LOST] = np.nan
    return rig, truth, pixels


def _show_real(folder: Path) -> None:
    (mine, my_cost, steps), my_peak = _apart("ours", str(folder))
    (other, other_cost, _), other_peak = _apart("theirs", str(folder))
    show(
        f"optimisation: fly-3cam, 500 frames, 12 joints, from the same start; median of {REPEATS} "
        f"(aniposelib: {PEER_REPEATS}) once\ncompiled; cost by aniposelib's objective; peak memory of a "
        "process each, imports of aniposelib included",
        ["", "s", "ratio", "cost", "steps", "MiB"],
        [
            ["anipipe", f"{mine:.3f}", f"{other / mine:.1f}", f"{my_cost:.2f}", str(steps), f"{my_peak:.0f}"],
            ["aniposelib", f"{other:.3f}", "1", f"{other_cost:.2f}", "", f"{other_peak:.0f}"],
        ],
    )


def _apart(*arguments: str) -> tuple[list[Any], float]:
    """Measure in a process of its own; return what it tells, and its peak memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="anipipe-optimisation-") as folder:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.optimisation", *arguments]
        ended = process(command, Path(folder) / "log")
    if ended.status:
        raise RuntimeError(ended.output)
    return json.loads(ended.output.strip().splitlines()[-1]), ended.peak


def _fly(folder: Path, who: str) -> tuple[float, float, int]:
    """Return median seconds, cost in aniposelib's objective, and steps."""
    rig, flat = real(folder)
    pixels = flat.reshape(len(rig), -1, 12, 2)
    start = dlt(pixels, rig)
    group = camera_group(rig)
    limbs, steps, times = FLY["constraints"], 0, []
    for _ in range(1 + (REPEATS if who == "ours" else PEER_REPEATS)):  # the first may compile
        began = time.perf_counter()
        if who == "ours":
            found = optimise(start, pixels, rig, **FLY)
            points, steps = found.points, found.steps
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                points = group.optim_points(pixels, start, **FLY)
        times.append(time.perf_counter() - began)
    distances = np.linalg.norm(points[:, ::2] - points[:, 1::2], axis=2)
    # the lengths that suit the points best, as aniposelib does not tell its own
    lengths = (distances**2).sum(axis=0) / distances.sum(axis=0)
    from aniposelib.cameras import medfilt_data

    typical = np.mean(np.abs(np.diff(np.apply_along_axis(medfilt_data, 0, start, size=7), axis=0)))
    residuals = type(group)._error_fun_triangulation.py_func(
        *(group, np.concatenate([points.ravel(), lengths]), pixels, limbs, [], None),
        *(FLY["scale_smooth"] / typical, FLY["scale_length"], 1, FLY["reproj_error_threshold"]),
        *("soft_l1", FLY["n_deriv_smooth"]),
    )
    return median(times[1:]), 0.5 * float(np.sum(residuals**2)), steps


def _grown(frames: int, order: int) -> tuple[float, int, bool, float, float]:
    """Return seconds, steps, whether converged, and mean distances from the truth before and after."""
    rig, truth, pixels = synthetic(frames)
    start = dlt(pixels, rig)
    began = time.perf_counter()
    found = optimise(start, pixels, rig, constraints=LIMBS, n_deriv_smooth=order)
    seconds = time.perf_counter() - began
    before = float(np.nanmean(np.linalg.norm(start - truth, axis=-1)))
    after = float(np.mean(np.linalg.norm(found.points - truth, axis=-1)))
    return seconds, found.steps, found.converged, before, after


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "grow":
        print(json.dumps(_grown(int(given[0]), int(given[1]))))
    else:
        print(json.dumps(_fly(Path(given[0]), what)))
