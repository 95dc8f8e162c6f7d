"""What is wrong or doubtful about a calibration, told from the board that it was made with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from anipipe.numerics.calibration.alarms import Alarm, by_level, named
from anipipe.numerics.calibration.coverage import (
    GOOD_LINK,
    WEAK_LINK,
    corners_in_space,
    depth_ratio,
    depths,
    image_coverage,
)
from anipipe.numerics.calibration.lengths import length_errors, spacing
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.views import BoardViews, groups, shared_corners
from anipipe.numerics.cameras import Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.triangulation import dlt

LEAF_LINK = 100  # a camera that hangs on one other needs more: nothing else corrects that link
FLAT = 2.0  # farthest over nearest corner: below, size and distance cannot be told apart
FOCAL_KNOWN = 0.005  # standard deviation over focal length at which tilted boards have told it all the same
BEHIND = 0.01  # of a camera's corners: fewer are single boards that were taken for their mirror image
LONG, WRONG_LENGTH = 0.003, 0.05  # of the corners' distance: more than tilt and noise make; another board
ROUGH_LENGTH = 0.02  # of the corners' distance, rms
COVERAGE = {"image": 0.8, "edges": 0.75, "corners": 0.5}  # caliscope's thresholds
PLACES = {"image": "the picture", "edges": "the picture's edges", "corners": "the picture's corners"}
SOFT = 1.0  # px, median: sharp pictures come to a third of it
WRONG, WRONG_SHARE = 5.0, 0.005  # px and of the picture's diagonal, median; the larger of the two
BORDER = 0.8  # of half the diagonal: the outermost fifth of the radius
BORDER_FACTOR, BORDER_CORNERS = 3.0, 20
WILD, WILD_CORNERS = 7.0, 5  # times the median from which on a corner is far off, and how many are no chance
OUTERMOST, MOSTLY = 0.2, 0.7  # share of the corners that lie outermost, and of those far off among them

_MORE = "with the board moved slowly, near and far, tilted every way, to all parts of the picture"


def solution_alarms(
    views: BoardViews, solution: Solution, board_points: ArrayLike, *, lengths: Floats | None = None
) -> list[Alarm]:
    """Find what is wrong or doubtful about a calibration by what it was made with.

    Parameters
    ----------
    views
        The board's corners in the cameras' images.
    solution
        The calibration, in the views' axes.
    board_points
        (corners, 3), on the board.
    lengths
        (n,) errors of lengths on the board (:func:`~anipipe.numerics.calibration.lengths.length_errors`), if
        they are known already.

    Returns
    -------
    Alarms, the worst first.
    """
    rig = Rig(solution.rig.subset(views.cameras).cameras)
    if lengths is None:
        lengths = length_errors(dlt(views.pixels, rig), board_points)
    depth = np.where(views.seen, depths(corners_in_space(solution.boards, board_points), rig), np.nan)
    return by_level(
        [
            *_links(views),
            *_behind(views, depth),
            *_errors(views, solution.distances),
            *_lengths(lengths, spacing(board_points), str(solution.rig.metadata.get("units") or "")),
            *_borders(views, solution.distances),
            *_flat(views, depth, solution),
            *_uncovered(views),
        ]
    )


def _links(views: BoardViews) -> Iterator[Alarm]:
    """Find cameras that hang on the others by too little."""
    shared = shared_corners(views)
    np.fill_diagonal(shared, 0)
    apart = groups(shared)
    if len(apart) > 1:
        parts = " | ".join(named([views.cameras[index] for index in group]) for group in apart)
        yield Alarm(
            "critical",
            (),
            f"these groups of cameras never saw the board at one time, so their places to each other are "
            f"made up: {parts}",
            "Film the board once more where cameras of different groups see it at the same time.",
        )
    for index, camera in enumerate(views.cameras):
        best, linked = int(shared[index].max(initial=0)), int((shared[index] > 0).sum())
        if not best or best >= GOOD_LINK:
            continue
        partner = views.cameras[int(shared[index].argmax())]
        remedy = f"Film the board where {camera} and {partner} both see all of it, some twenty poses more."
        link = f"camera {camera} shares only {best} corners with camera {partner}"
        if best < WEAK_LINK:
            text = f"{link}, its best link to the others: less than one good view, so its place is a guess"
            yield Alarm("critical", (camera,), text, remedy)
        elif linked == 1 and best < LEAF_LINK and len(views.cameras) > 2:
            text = f"{link} and none with any other: nothing checks its place"
            yield Alarm("warning", (camera,), text, remedy)
        else:
            text = f"{link}, its best link to the others; {GOOD_LINK} or more are needed for a firm place"
            yield Alarm("warning", (camera,), text, remedy)


def _behind(views: BoardViews, depth: Floats) -> Iterator[Alarm]:
    for index, camera in enumerate(views.cameras):
        known = int(np.isfinite(depth[index]).sum())
        behind = int((depth[index] <= 0).sum())
        if not behind:
            continue
        yield Alarm(
            "critical" if behind > BEHIND * known else "warning",
            (camera,),
            f"{behind} of the {known} corners of the board that camera {camera} saw would lie behind it",
            "The cameras' places are wrong, or the board was taken for its mirror image: check that "
            "recordings named alike were made at the same time, and the keys that describe the board.",
        )


def misfit(distances: Floats, size: tuple[int, int]) -> bool:
    """Say whether a camera does not explain what it saw of the board.

    Parameters
    ----------
    distances
        Of its corners from where they should be, px; NaN does not count.
    size
        Of its pictures, px.

    Returns
    -------
    Whether the median is above 5 px and half a per cent of the picture's diagonal; or the mean is above twice
    that, and not for a few mistaken corners alone.
    """
    values = distances[np.isfinite(distances)]
    if not values.size:
        return False
    limit = max(WRONG, WRONG_SHARE * float(np.hypot(*size)))
    median = float(np.median(values))
    return median > limit or (median > SOFT and float(values.mean()) > 2 * limit)


def _errors(views: BoardViews, off: Floats) -> Iterator[Alarm]:
    for index, (camera, size) in enumerate(zip(views.cameras, views.sizes, strict=True)):
        values = off[index][np.isfinite(off[index])]
        median = float(np.median(values)) if values.size else 0.0
        if median <= SOFT:
            continue
        text = f"camera {camera}: corners of the board lie {median:.1f} px (median) from where they should"
        if misfit(off[index], size):
            yield Alarm(
                "critical",
                (camera,),
                f"{text}: the calibration does not explain what this camera saw",
                "Check that its recordings were made at the same time as the others' of the same name, "
                "frame by frame, that the board is the one in [calibration], that the lenses are those in "
                "calibration_init if there is one, and that the camera did not move.",
            )
        else:
            yield Alarm(
                "warning",
                (camera,),
                f"{text}; sharp pictures come to 0.1 to 0.5 px",
                "Look at the worst frames for blur, glare and frames that were not taken at the same time; "
                "move the board more slowly, give more light, and check that it is flat. If arrows in the "
                "report point outwards or inwards, the lens needs a richer model (calibration.distortion).",
            )


def _lengths(lengths: Floats, true: float | None, units: str) -> Iterator[Alarm]:
    if true is None or not lengths.size:
        return
    # the middle, not the mean: a few mistaken corners are no wrong scale
    scale, rms = float(np.median(lengths)) / true, float(np.sqrt(np.mean(lengths**2))) / true
    if abs(scale) > LONG:
        wrong = abs(scale) > WRONG_LENGTH
        unit = f" {units}" if units else ""
        yield Alarm(
            "critical" if wrong else "warning",
            (),
            f"distances on the board come out {abs(scale):.1%} too {'long' if scale > 0 else 'short'} "
            f"({scale * true:+.3g}{unit} in {true:g}{unit}), and so would all lengths in 3D",
            "Measure a square of the board and compare it with calibration.board_square_side_length, and the "
            "units with those of the cameras, if these were given. If both are right, check that the board "
            "is flat.",
        )
    if rms > ROUGH_LENGTH:
        yield Alarm(
            "warning",
            (),
            f"distances between neighbouring corners of the board are off by {rms:.1%} (root mean square)",
            "Look at the worst frames: delete mistaken corners from calibration/detections/, or film the "
            "board again more slowly and nearer to the cameras.",
        )


def _borders(views: BoardViews, off: Floats) -> Iterator[Alarm]:
    """Find lens models that do not reach the outermost corners."""
    for index, (camera, size) in enumerate(zip(views.cameras, views.sizes, strict=True)):
        known = np.isfinite(off[index])
        middle = (np.asarray(size) - 1) / 2
        radius = np.linalg.norm(views.pixels[index][known] - middle, axis=-1) / np.linalg.norm(middle)
        text = _border_errors(radius, off[index][known])
        if not text:
            continue
        yield Alarm(
            "warning",
            (camera,),
            f"camera {camera}: {text}: the lens model does not reach the border",
            'Film the board more often near the borders, and set calibration.distortion = "full" (for a '
            "fisheye lens, calibration.fisheye = true), which without more corners there leads nowhere "
            "beyond them. Where no animal comes, it does not matter.",
        )


def _border_errors(radius: Floats, off: Floats) -> str:
    """Say what is wrong near the border of a picture; empty if nothing is.

    Takes the (n,) corners' distance from the middle, as a share of the picture's half diagonal, and how many
    px they are off.
    """
    if len(off) < BORDER_CORNERS:
        return ""
    outer, inner = off[radius > BORDER], off[radius <= BORDER]
    if min(outer.size, inner.size) >= BORDER_CORNERS:
        # medians, so that some mistaken corners do not pass for a wrong lens
        far, near = float(np.median(outer)), float(np.median(inner))
        if far > max(BORDER_FACTOR * near, SOFT):
            return (
                f"near the border of the picture corners are off by {far:.1f} px, elsewhere by {near:.1f} px"
            )
    wild = off > max(WILD * float(np.median(off)), SOFT)
    outermost = radius >= np.quantile(radius, 1 - OUTERMOST)
    # mistaken corners lie anywhere
    if wild.sum() >= WILD_CORNERS and (wild & outermost).sum() >= MOSTLY * wild.sum():
        return f"{wild.sum()} corners are off by up to {off.max():.0f} px, nearly all near the border"
    return ""


def _flat(views: BoardViews, depth: Floats, solution: Solution) -> Iterator[Alarm]:
    for index, camera in enumerate(views.cameras):
        told = solution.deviations.get(camera)
        if camera in solution.guessed:
            focal = float(solution.rig.camera(camera).matrix[0, 0])
            yield Alarm(
                "warning",
                (camera,),
                f"nothing tells the focal length of camera {camera}, which is taken to be {focal:.0f} px: "
                "depths before it may be far off",
                "Film the board tilted to all sides, very near to the camera, and at least twice as far; or "
                "name a calibration with this lens in calibration.calibration_init.",
            )
        if told is not None and "focal_length" not in told:
            continue  # it was not estimated from this board
        ratio = depth_ratio(depth[index])
        if ratio is None or ratio >= FLAT:
            continue
        focal = float(solution.rig.camera(camera).matrix[0, 0])
        known = told is None or told["focal_length"] < FOCAL_KNOWN * focal
        consequence = (
            "its focal length rests on the tilt of the board alone"
            if known
            else "its focal length and its distance are hardly told apart"
        )
        yield Alarm(
            "note" if known else "warning",
            (camera,),
            f"camera {camera} saw the board only {ratio:.2g} times as far away as near: {consequence}",
            "Film the board also very near to the camera, filling its picture, and at least twice as far.",
        )


def _uncovered(views: BoardViews) -> Iterator[Alarm]:
    lacking: dict[str, list[str]] = {}
    cameras = []
    for index, camera in enumerate(views.cameras):
        shares = image_coverage(views.pixels[index], views.sizes[index])
        low = [name for name, least in COVERAGE.items() if shares[name] < least]
        for name in low:
            lacking.setdefault(name, []).append(f"{shares[name]:.0%} in {camera}")
        cameras += [camera] if low else []
    if not cameras:
        return
    parts = "; ".join(f"of {PLACES[name]}, {', '.join(told)}" for name, told in lacking.items())
    yield Alarm(
        "note",
        tuple(cameras),
        f"the board was not seen everywhere, and lenses are a guess where it was not. It came to: {parts}",
        f"Film it again {_MORE}; it may stick out of the picture.",
    )
