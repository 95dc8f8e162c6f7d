"""Triangulation by the direct linear transform, against aniposelib's, and its refinement."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anipipe.formats.calibrations import read_calibration
from anipipe.formats.importing import import_pose
from anipipe.numerics.aniposelib_cameras import camera_group
from anipipe.numerics.cameras import Rig, project
from anipipe.numerics.point_refinement import refine
from anipipe.numerics.triangulation import dlt, reprojection_errors
from benchmarks.measure import REPEATS, best, show
from benchmarks.rigs import around

Floats = NDArray[np.float64]

FRAMES, JOINTS, NOISE, LOST = 5000, 12, 0.5, 0.05
REAL = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
SCORE = 0.3


def run() -> None:
    """Time both on the same pixels, and print points per second."""
    recordings = [("synthetic", *synthetic())]
    fly = REAL / "fly-3cam"
    if fly.is_dir():
        recordings.append(("fly-3cam", *real(fly)))
    else:
        print(f"\ntriangulation: no real recording in {fly}; set ANIPIPE_REAL_DATA to where they are")
    rows = [_compared(name, rig, pixels) for name, rig, pixels in recordings]
    show(
        f"triangulation: points/s from pixels to 3D, best of {REPEATS} once compiled (aniposelib's JAX may\n"
        "use all cores, anipipe uses one); largest difference of a point, in the calibration's unit and\n"
        "relative to the extent of all points",
        ["recording", "points", "anipipe", "aniposelib", "ratio", "difference", "relative", "only one has"],
        rows,
    )
    show(
        f"refinement of linear solutions: points/s, best of {REPEATS}; rms distance between projections and\n"
        "pixels, px, and how far points move, in the calibration's unit",
        ["recording", "points", "points/s", "linear", "refined", "median move", "largest"],
        [_refined(*recording) for recording in recordings],
    )


def synthetic() -> tuple[Rig, Floats]:
    """Return three cameras and noisy pixels, (3, points, 2), some missing."""
    rng = np.random.default_rng(2)
    rig = around(3)
    points = rng.uniform(-120, 120, (FRAMES * JOINTS, 3))
    pixels = np.stack([project(points, camera) for camera in rig.cameras])
    pixels += rng.normal(0, NOISE, pixels.shape)
    pixels[rng.random(pixels.shape[:2]) < LOST] = np.nan
    return rig, pixels


def real(folder: Path) -> tuple[Rig, Floats]:
    """Return the cameras of a recording and its pixels, (cameras, points, 2)."""
    rig = read_calibration(folder / "calibration.toml")
    pixels = []
    for name in rig.names:
        pose = import_pose(sorted((folder / "predictions").glob(f"*{name}*.csv")))
        seen = pose.scores[:, :, 0] >= SCORE
        pixels.append(np.where(seen[..., None], pose.points[:, :, 0], np.nan).reshape(-1, 2))
    return rig, np.stack(pixels)


def _compared(name: str, rig: Rig, pixels: Floats) -> list[str]:
    group = camera_group(rig)

    def peer() -> Floats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(group.triangulate(pixels))

    ours, theirs = dlt(pixels, rig), peer()
    count = pixels.shape[1]
    mine, other = count / best(lambda: dlt(pixels, rig)), count / best(peer)
    both = np.isfinite(ours).all(axis=1) & np.isfinite(theirs).all(axis=1)
    either = np.isfinite(ours).all(axis=1) | np.isfinite(theirs).all(axis=1)
    difference = float(np.abs(ours[both] - theirs[both]).max())
    extent = float(np.ptp(ours[both], axis=0).max())
    return [
        name,
        str(count),
        f"{mine:.3g}",
        f"{other:.3g}",
        f"{mine / other:.2f}",
        f"{difference:.1e}",
        f"{difference / extent:.1e}",
        str(int((either & ~both).sum())),
    ]


def _refined(name: str, rig: Rig, pixels: Floats) -> list[str]:
    linear = dlt(pixels, rig)
    found = refine(linear, pixels, rig)
    rms = [np.sqrt(np.nanmean(reprojection_errors(points, pixels, rig) ** 2)) for points in (linear, found)]
    moved = np.linalg.norm(found - linear, axis=1)
    count = pixels.shape[1]
    return [
        name,
        str(count),
        f"{count / best(lambda: refine(linear, pixels, rig)):.3g}",
        *(f"{value:.4f}" for value in rms),
        f"{np.nanmedian(moved):.2g}",
        f"{np.nanmax(moved):.2g}",
    ]
