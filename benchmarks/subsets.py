"""The search for cameras that agree, against aniposelib's."""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.aniposelib_cameras import camera_group
from anipipe.numerics.cameras import Rig, project
from anipipe.numerics.point_refinement import refine
from anipipe.numerics.subsets import Choice, choose_cameras
from anipipe.numerics.triangulation import dlt
from benchmarks.measure import REPEATS, best, process, show
from benchmarks.rigs import around
from benchmarks.triangulation import REAL, real

Floats = NDArray[np.float64]

POINTS, PEER_POINTS = 24_000, 300  # aniposelib takes some milliseconds for a point
NOISE, OUTLIERS, LOST = 2.0, 0.1, 0.02
LENGTHS, JOINTS = (1000, 10_000, 100_000), 12

#: Searches a recording, or only loads it, in a process of its own.
_SEARCH = """
import sys, time
import numpy as np
from anipipe.numerics.subsets import choose_cameras
from benchmarks.rigs import around
pixels = np.load(sys.argv[1])
began = time.perf_counter()
if sys.argv[2] == "search":
    choose_cameras(pixels, around(len(pixels)))
print(time.perf_counter() - began)
"""


def run() -> None:
    """Time both, compare their choices, measure what choices are worth, and how memory grows."""
    recordings = [(f"synthetic, {count} cameras", *synthetic(count, POINTS)[:2]) for count in (3, 4)]
    fly = REAL / "fly-3cam"
    if fly.is_dir():
        recordings.append(("fly-3cam", *real(fly)))
    else:
        print(f"\nsubsets: no real recording in {fly}; set ANIPIPE_REAL_DATA to where they are")
    show(
        f"subsets: points/s from pixels to 3D, best of {REPEATS}, aniposelib's of {PEER_POINTS} points; how\n"
        "often it takes the same cameras as anipipe by its rule; synthetic: 2 px noise, 10 % outliers",
        ["recording", "points", "agreement", "smallest-error", "aniposelib", "ratio", "same cameras"],
        [_compared(*recording) for recording in recordings],
    )
    show(
        "subsets: distance to the truth in mm, median and 95th percentile, and the shares of good pixels\n"
        "left out and of outliers kept; 2 px noise, outliers 10 to 200 px away",
        ["cameras, outliers", "method", "median", "95 %", "good left out", "outliers kept"],
        [row for cameras in (3, 4, 6) for share in (0.0, 0.1, 0.3) for row in _worth(cameras, share)],
    )
    show(
        f"subsets: frames of {JOINTS} joints and 3 cameras in a process of its own: seconds, and peak\n"
        "memory, MiB, with the search and of loading the recording alone",
        ["frames", "seconds", "search", "loading"],
        [_grown(frames) for frames in LENGTHS],
    )


def synthetic(
    cameras: int, count: int, outliers: float = OUTLIERS, seed: int = 2
) -> tuple[Rig, Floats, NDArray[np.bool_]]:
    """Return cameras, noisy pixels (cameras, points, 2) of :func:`truth`, and which are outliers."""
    rng = np.random.default_rng(seed)
    rig = around(cameras)
    points = truth(count)
    pixels = np.stack([project(points, camera) for camera in rig.cameras])
    pixels += rng.normal(0, NOISE, pixels.shape)
    wrong = rng.random(pixels.shape[:2]) < outliers
    turn, distance = rng.uniform(0, 2 * np.pi, wrong.sum()), rng.uniform(10, 200, wrong.sum())
    pixels[wrong] += np.stack([distance * np.cos(turn), distance * np.sin(turn)], axis=-1)
    pixels[rng.random(pixels.shape[:2]) < LOST] = np.nan
    return rig, pixels, wrong


def truth(count: int) -> Floats:
    """Return (points, 3) in a cube, mm."""
    return np.random.default_rng(7).uniform(-120, 120, (count, 3))


def _compared(name: str, rig: Rig, pixels: Floats) -> list[str]:
    count = pixels.shape[1]
    agreement = count / best(lambda: choose_cameras(pixels, rig))
    smallest = count / best(lambda: choose_cameras(pixels, rig, rule="smallest-error"))
    seen = np.flatnonzero(
        np.isfinite(pixels[..., 0]).any(axis=0)
    )  # aniposelib fails on points that none sees
    some = pixels[:, seen[:: max(1, seen.size // PEER_POINTS)]]
    group = camera_group(rig)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group.triangulate_ransac(some[:, :20])  # compiles
        began = time.perf_counter()
        _, picked, _, _ = group.triangulate_ransac(some)
        peer = some.shape[1] / (time.perf_counter() - began)
    same = (choose_cameras(some, rig, rule="smallest-error").used == picked[..., 0]).all(axis=0)
    return [
        name,
        str(count),
        f"{agreement:.3g}",
        f"{smallest:.3g}",
        f"{peer:.3g}",
        f"{agreement / peer:.0f}",
        f"{100 * same.mean():.1f} %",
    ]


def _worth(cameras: int, share: float) -> list[list[str]]:
    rig, pixels, wrong = synthetic(cameras, POINTS // 4, share)
    agreement, smallest = choose_cameras(pixels, rig), choose_cameras(pixels, rig, rule="smallest-error")
    linear = dlt(pixels, rig)
    chosen = np.where(agreement.used[..., None], pixels, np.nan)
    found: list[tuple[str, Floats, Choice | None]] = [
        ("all cameras", linear, None),
        ("all, refined", refine(linear, pixels, rig), None),
        ("agreement", agreement.points, agreement),
        ("agreement, refined", refine(agreement.points, chosen, rig), agreement),
        ("smallest-error", smallest.points, smallest),
    ]
    seen = np.isfinite(pixels[..., 0])
    rows = []
    for method, points, choice in found:
        off = np.linalg.norm(points - truth(len(points)), axis=-1)
        shares = ["", ""]
        if choice is not None:
            good, bad = seen & ~wrong, seen & wrong
            shares[0] = f"{100 * (~choice.used[good]).mean():.1f} %"
            shares[1] = f"{100 * choice.used[bad].mean():.1f} %" if bad.any() else ""
        numbers = [f"{value:.2f}" for value in np.nanpercentile(off, [50, 95])]
        rows.append([f"{cameras}, {100 * share:.0f} %", method, *numbers, *shares])
    return rows


def _grown(frames: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "pixels.npy"
        np.save(recording, synthetic(3, frames * JOINTS)[1])
        loading, search = (
            process([sys.executable, "-c", _SEARCH, recording, what], Path(folder) / "log")
            for what in ("loading", "search")
        )
    return [str(frames), f"{float(search.output):.2f}", f"{search.peak:.0f}", f"{loading.peak:.0f}"]
