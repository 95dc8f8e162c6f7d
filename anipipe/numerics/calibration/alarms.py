"""What is wrong or doubtful about calibrated cameras, in plain words, with what to do about it.

Three sources, each in a module of its own: the cameras alone (here), the board that they were calibrated with
(``solution_alarms``), and an animal that they filmed (``pose_alarms``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from anipipe.numerics.calibration.views import groups
from anipipe.numerics.cameras import Camera, Rig, undistort
from anipipe.numerics.lenses import Floats

Level = Literal["critical", "warning", "note"]
LEVELS: tuple[Level, ...] = ("critical", "warning", "note")

TOO_CLOSE = 0.01  # of the usual distance between two cameras: no two housings fit there
SAME = 1e-9  # relative, within which two cameras' numbers are copies of each other
FOCAL_RANGE = (0.3, 5.0)  # picture widths: 118 degrees across to 11 degrees; what lies beyond is rarely meant
SAMPLES = 48  # points across and down a picture that are asked for their rays
FOLDED = 0.001  # of a picture's area: less is a corner that no animal is seen in


@dataclass(frozen=True)
class Alarm:
    """Something wrong or doubtful.

    Attributes
    ----------
    level
        ``critical``: 3D from these cameras would be wrong; ``warning``: it may be worse than it needs to be;
        ``note``: worth knowing.
    cameras
        Whom it is about; empty where it is about all.
    text
        What was found, for people who film animals and not boards.
    remedy
        What to film, set or do.
    """

    level: Level
    cameras: tuple[str, ...]
    text: str
    remedy: str


def by_level(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Return alarms, the worst first, else as they came."""
    return sorted(alarms, key=lambda alarm: LEVELS.index(alarm.level))


def as_values(alarms: Iterable[Alarm]) -> list[dict[str, Any]]:
    """Return alarms as plain values for JSON, the worst first."""
    return [{**asdict(alarm), "cameras": list(alarm.cameras)} for alarm in by_level(alarms)]


def is_critical(alarms: Iterable[Alarm]) -> bool:
    """Say whether any alarm is critical."""
    return any(alarm.level == "critical" for alarm in alarms)


def named(cameras: Sequence[str]) -> str:
    """Return the names of cameras for a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(cameras[:-1]), *cameras[-1:])))


def rig_alarms(rig: Rig) -> list[Alarm]:
    """Find what can be seen wrong with cameras without anything that they saw.

    Parameters
    ----------
    rig
        The cameras.

    Returns
    -------
    Alarms for: fewer than two cameras, cameras in one place or copied, unusual focal lengths, the optical
    axis outside the picture, and pixels that the lens model gives no ray. What depends on the pictures' size
    is left out where the calibration does not tell it.
    """
    found = list(_too_few(rig)) + list(_too_close(rig))
    for camera in rig.cameras:
        if camera.size is not None:
            found += [*_focal(camera, camera.size), *_axis(camera, camera.size), *_folds(camera, camera.size)]
    return by_level(found)


def _too_few(rig: Rig) -> Iterator[Alarm]:
    if len(rig) < 2:
        yield Alarm(
            "critical",
            rig.names,
            "the calibration has only one camera, and 3D takes at least two"
            if len(rig)
            else "the calibration has no camera",
            "Record the calibration board with all cameras and calibrate again.",
        )


def _too_close(rig: Rig) -> Iterator[Alarm]:
    """Find cameras that are in one place; those that are all together get one alarm."""
    if len(rig) < 2:
        return
    centres = np.stack([camera.centre for camera in rig.cameras])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    # not the median: one camera that is far off has a share in half of the pairs of four
    usual = float(np.quantile(distances[np.triu_indices(len(rig), 1)], 0.25))
    rounding = SAME * float(np.abs(centres).max())  # a copy's centre may differ in its last digits
    near = distances <= max(TOO_CLOSE * usual, rounding) if len(rig) > 2 else distances <= rounding
    for group in groups(near):
        if len(group) < 2:
            continue
        cameras = [rig.cameras[index] for index in group]
        names = tuple(camera.name for camera in cameras)
        if all(_is_copy(cameras[0], other) for other in cameras[1:]):
            what = f"cameras {named(names)} have exactly the same lens and place: one is a copy of the other"
        elif float(distances[np.ix_(group, group)].max()) <= rounding:
            what = f"cameras {named(names)} are in one and the same place"
        else:
            largest = float(distances[np.ix_(group, group)].max())
            what = (
                f"cameras {named(names)} are {largest:.3g} apart, where two cameras are usually {usual:.3g} "
                "apart: they would be inside each other"
            )
        yield Alarm(
            "critical",
            names,
            f"{what}; 3D that rests on them is wrong",
            "Calibrate again with recordings of the board by all of these cameras. If the file was put "
            "together by hand, put in each camera's own section.",
        )


def _is_copy(one: Camera, other: Camera) -> bool:
    return one.fisheye == other.fisheye and all(
        np.allclose(getattr(one, key), getattr(other, key), rtol=SAME, atol=0)
        for key in ("matrix", "distortions", "rotation", "translation")
    )


def _focal(camera: Camera, size: tuple[int, int]) -> Iterator[Alarm]:
    widths = float(camera.matrix[0, 0]) / size[0]
    low, high = FOCAL_RANGE
    if low <= widths <= high:
        return
    if widths < low:
        what = "an extremely wide view. Ordinary lenses do not reach that"
        remedy = (
            "If it is a fisheye lens, set calibration.fisheye = true. Else film the board nearer and "
            "farther, and tilted, and calibrate again."
        )
    else:
        what = "a view as narrow as a telescope's, for which distance along the view is hardly measurable"
        remedy = (
            "With telephoto, macro or telecentric lenses this can be right; compare distances between "
            "cameras with a tape measure. Else film the board nearer and farther, and tilted, and "
            "calibrate again."
        )
    yield Alarm(
        "warning",
        (camera.name,),
        f"camera {camera.name}: the focal length is {widths:.3g} picture widths ({camera.matrix[0, 0]:.0f} "
        f"px): {what}",
        remedy,
    )


def _axis(camera: Camera, size: tuple[int, int]) -> Iterator[Alarm]:
    centre = camera.matrix[:2, 2]
    if ((centre >= -0.5) & (centre <= np.array(size) - 0.5)).all():
        return
    yield Alarm(
        "warning",
        (camera.name,),
        f"camera {camera.name}: its optical axis meets the picture at ({centre[0]:.0f}, {centre[1]:.0f}) px, "
        f"outside its {size[0]} x {size[1]} px",
        "Right only for a picture that was cut out of a larger one. Else calibrate again with recordings of "
        "the size that the videos have.",
    )


def _folds(camera: Camera, size: tuple[int, int]) -> Iterator[Alarm]:
    share = rayless_share(camera, size)
    if share < FOLDED:
        return
    remedy = (
        "Film the board also near the borders and corners of the picture: there the lens is a guess so far."
    )
    if camera.fisheye or camera.distortions[4] != 0:
        remedy += ' Without that, calibration.distortion = "k1k2" is steadier than "full".'
    else:
        remedy += (
            ' If calibration.distortion is "k1", set "k1k2", as k1 alone cannot follow a wide lens to its '
            "border; for a fisheye lens set calibration.fisheye = true."
        )
    yield Alarm(
        "warning",
        (camera.name,),
        f"camera {camera.name}: in {share:.1%} of its picture, towards the border, the lens model leads "
        "nowhere; points seen there get no 3D from this camera",
        remedy,
    )


def rayless_share(camera: Camera, size: tuple[int, int]) -> float:
    """Return the share of a camera's picture (width and height, px) that its lens model gives no ray."""
    sides = [np.linspace(-0.5, side - 0.5, SAMPLES) for side in size]
    grid: Floats = np.stack(np.meshgrid(*sides), axis=-1)
    return float(np.isnan(undistort(grid, camera)[..., 0]).mean())
