"""What is wrong with calibrated cameras, told from the 2D poses of an animal that they filmed.

No board is needed: points that cameras see at one time have to meet in space. Tracked points are many times
less exact than corners of a board, so that only gross faults show, such as a camera that was moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from anipipe.numerics.calibration.alarms import Alarm, by_level, named
from anipipe.numerics.calibration.coverage import depths
from anipipe.numerics.cameras import Camera, Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.triangulation import dlt, reprojection_errors

POINTS = 5000  # medians of as many are settled
FEW_POINTS = 30  # below, nothing is said
CONTRADICTION = 0.02  # of the diagonal, median: tracked points are off by half a percent at most
ROUGH = 0.01  # of the diagonal, median
EXACT = 1e-6  # px: no error at all
DISTURBED = 0.005  # of the diagonal, median, of cameras that one wrong camera disturbs
RELIEF = 3.0  # times smaller errors of the others without a camera mean that it is the one that is wrong
BEHIND = 0.1  # of the points; single mistaken ones come out anywhere
EXCHANGED = 5.0  # times smaller errors with two cameras in each other's place mean that they were confused


@dataclass(frozen=True, eq=False)
class Trial:
    """Points that several cameras saw, such as joints of an animal frame by frame.

    Attributes
    ----------
    cameras
        Their names.
    pixels
        (cameras, points, 2), px of the whole frame; NaN where a camera did not see a point for certain.
    """

    cameras: tuple[str, ...]
    pixels: Floats


def gather(rig: Rig, trials: Sequence[Trial]) -> Floats:
    """Put the points of all trials together.

    Parameters
    ----------
    rig
        The cameras; those of a trial that it lacks are left out.
    trials
        The points.

    Returns
    -------
    (cameras of the rig, points, 2), of points that two cameras or more saw; no more than :data:`POINTS`,
    taken evenly from all.
    """
    parts = [np.empty((len(rig), 0, 2))]
    for trial in trials:
        part = np.full((len(rig), trial.pixels.shape[1], 2), np.nan)
        for camera, pixels in zip(trial.cameras, trial.pixels, strict=True):
            if camera in rig.names:
                part[rig.names.index(camera)] = pixels
        parts.append(part)
    pixels = np.concatenate(parts, axis=1)
    pixels = pixels[:, np.isfinite(pixels).all(axis=-1).sum(axis=0) >= 2]
    count = pixels.shape[1]
    return np.asarray(pixels[:, np.linspace(0, count - 1, min(count, POINTS)).astype(int)])


def pose_errors(rig: Rig, pixels: Floats) -> list[float | None]:
    """Return each camera's median reprojection error, px, of points triangulated from all cameras.

    Parameters
    ----------
    rig
        The cameras.
    pixels
        (cameras, points, 2), of :func:`gather`.

    Returns
    -------
    Per camera; None where it has no point with another camera.
    """
    off = reprojection_errors(dlt(pixels, rig), pixels, rig)
    return [_median(row) for row in off]


def pose_alarms(rig: Rig, trials: Sequence[Trial]) -> list[Alarm]:
    """Find what 2D poses say against calibrated cameras.

    Parameters
    ----------
    rig
        The cameras.
    trials
        What they saw.

    Returns
    -------
    Alarms, the worst first: cameras of the poses that the calibration lacks, two that were confused with each
    other, a camera that does not fit the others, pairs that contradict each other, large errors, and points
    behind cameras.
    """
    unknown = sorted({name for trial in trials for name in trial.cameras} - set(rig.names))
    found = []
    if unknown:
        found.append(
            Alarm(
                "warning",
                tuple(unknown),
                f"there are 2D poses of camera {named(unknown)}, which the calibration lacks; it has "
                f"{named(rig.names)}",
                "Calibrate with recordings of all cameras, or give them the same names in the videos and in "
                "calibration.toml.",
            )
        )
    pixels = gather(rig, trials)
    if pixels.shape[1] < FEW_POINTS:
        return found
    diagonals = [_diagonal(camera, image) for camera, image in zip(rig.cameras, pixels, strict=True)]
    culprit = _culprit(rig, pixels, diagonals)
    faults = [_odd_one_out(rig, pixels, culprit)] if culprit is not None else []
    faults += _contradictions(rig, pixels, diagonals, culprit)
    faults = faults or list(_rough(rig, pixels, diagonals))
    if faults and (exchange := exchange_alarm(rig, pixels, "the animal")) is not None:
        return by_level([*found, exchange])  # from which the others follow
    return by_level([*found, *faults, *_behind(rig, pixels)])


def exchange_alarm(rig: Rig, pixels: Floats, what: str) -> Alarm | None:
    """Find two cameras that were confused with each other.

    Parameters
    ----------
    rig
        The cameras.
    pixels
        (cameras, points, 2), px; NaN where a camera did not see a point for certain.
    what
        Was seen.

    Returns
    -------
    What says so, if all views meet far better with two cameras in each other's place; else None.
    """
    after, pair = np.inf, (0, 0)
    for first, second in combinations(range(len(rig)), 2):
        order = np.arange(len(rig))
        order[[first, second]] = second, first
        error = _common_error(rig, pixels[order])
        if error is not None and error < after:
            after, pair = error, (first, second)
    before = _common_error(rig, pixels)
    limit = DISTURBED * min(map(_diagonal, rig.cameras, pixels))
    if before is None or before < EXCHANGED * max(after, EXACT) or after > limit:
        return None
    names = tuple(rig.names[index] for index in pair)
    return Alarm(
        "critical",
        names,
        f"cameras {named(names)} are confused with each other: with each in the other's place, what all see "
        f"of {what} meets within {after:.2g} px (median) instead of {before:.3g} px",
        "Exchange their names in calibration.toml; or those of their videos, if it is these that are wrong.",
    )


def _diagonal(camera: Camera, pixels: Floats) -> float:
    """Return the diagonal of a camera's picture; where its size is unknown, of the part with points in it."""
    if camera.size is not None:
        return float(np.hypot(*camera.size))
    seen = pixels[np.isfinite(pixels).all(axis=-1)]
    return float(np.hypot(*np.ptp(seen, axis=0))) if len(seen) else 0.0


def _median(values: Floats) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _common_error(rig: Rig, pixels: Floats) -> float | None:
    """Return the median reprojection error of points triangulated from all cameras, px."""
    return _median(reprojection_errors(dlt(pixels, rig), pixels, rig))


def _of(rig: Rig, pixels: Floats, chosen: Sequence[int]) -> tuple[Rig, Floats, Floats]:
    """Triangulate with some cameras only; return them, their pixels and the points (points, 3)."""
    part, image = Rig(tuple(rig.cameras[index] for index in chosen)), pixels[list(chosen)]
    return part, image, dlt(image, part)


def _pair_error(rig: Rig, pixels: Floats, pair: tuple[int, int]) -> float | None:
    """Return how far two cameras' views of points are from meeting: the median over points, px."""
    part, image, world = _of(rig, pixels, pair)
    off = reprojection_errors(world, image, part).mean(axis=0)
    return _median(off) if np.isfinite(off).sum() >= FEW_POINTS else None


def _others_errors(rig: Rig, pixels: Floats, left_out: int) -> tuple[float, float] | None:
    """Return the other cameras' median error with a camera and without it, of points that three saw, px."""
    others = [index for index in range(len(rig)) if index != left_out]
    seen = np.asarray(np.isfinite(pixels).all(axis=-1))
    shared = seen[left_out] & (np.delete(seen, left_out, axis=0).sum(axis=0) >= 2)
    points = pixels[:, shared]
    if points.shape[1] < FEW_POINTS:
        return None
    part, image, without = _of(rig, points, others)
    errors = [_median(reprojection_errors(world, image, part)) for world in (dlt(points, rig), without)]
    return None if errors[0] is None or errors[1] is None else (errors[0], errors[1])


def _culprit(rig: Rig, pixels: Floats, diagonals: Sequence[float]) -> int | None:
    """Return the camera without which the others agree far better, if there is one."""
    relief: dict[int, float] = {}
    for index in range(len(rig)) if len(rig) > 2 else ():
        errors = _others_errors(rig, pixels, index)
        others = np.delete(diagonals, index)
        if (
            errors is not None
            and errors[0] > RELIEF * errors[1]
            and errors[0] > DISTURBED * float(others.min())
        ):
            relief[index] = errors[0] / max(errors[1], EXACT)
    return max(relief, key=lambda index: relief[index], default=None)


def _odd_one_out(rig: Rig, pixels: Floats, culprit: int) -> Alarm:
    errors = _others_errors(rig, pixels, culprit)
    assert errors is not None
    name = rig.names[culprit]
    return Alarm(
        "critical",
        (name,),
        f"camera {name} contradicts all others: where these see the animal, they agree within "
        f"{errors[1]:.1f} px without it and only within {errors[0]:.1f} px with it. It was moved, its "
        "place in the calibration is wrong, or its videos are another camera's or shifted in time",
        f"Check that camera {name} has its own name in videos and calibration, and that its videos start "
        f"with the others' (cameras.{name}.frame_offset). Else film the board with all cameras and "
        "calibrate again.",
    )


def _contradictions(
    rig: Rig, pixels: Floats, diagonals: Sequence[float], culprit: int | None
) -> Iterator[Alarm]:
    """Find pairs of cameras that do not see the same; a camera known to be wrong is told already."""
    for first, second in combinations(range(len(rig)), 2):
        if culprit in (first, second):
            continue
        error = _pair_error(rig, pixels, (first, second))
        limit = CONTRADICTION * (diagonals[first] + diagonals[second]) / 2
        if error is None or error <= limit:
            continue
        names = (rig.names[first], rig.names[second])
        yield Alarm(
            "critical",
            names,
            f"cameras {named(names)} contradict each other: what both see of the animal misses a common "
            f"point by {error:.1f} px (median)",
            "Check that their videos are of the same moments and not confused with each other. If they "
            "are, a camera was moved after the calibration: film the board and calibrate again.",
        )


def _rough(rig: Rig, pixels: Floats, diagonals: Sequence[float]) -> Iterator[Alarm]:
    for name, error, diagonal in zip(rig.names, pose_errors(rig, pixels), diagonals, strict=True):
        if error is not None and error > ROUGH * diagonal:
            yield Alarm(
                "warning",
                (name,),
                f"camera {name}: the animal's points lie {error:.1f} px (median) from where the 3D points "
                "are projected",
                "Look at its 2D poses in labelled videos. If these are right, the camera may have been moved "
                "since it was calibrated.",
            )


def _behind(rig: Rig, pixels: Floats) -> Iterator[Alarm]:
    depth = np.where(np.isfinite(pixels).all(axis=-1), depths(dlt(pixels, rig), rig), np.nan)
    for name, row in zip(rig.names, depth, strict=True):
        known = int(np.isfinite(row).sum())
        behind = int((row <= 0).sum())
        if known and behind > BEHIND * known:
            yield Alarm(
                "critical",
                (name,),
                f"{behind / known:.0%} of the points that camera {name} sees would lie behind it",
                "The cameras' places in the calibration are wrong, or videos are confused with each other: "
                "check the names of cameras, then film the board and calibrate again.",
            )
