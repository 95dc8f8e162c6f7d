"""The animal of the example: an articulated quadruped that walks along a curve on a floor.

The floor is the plane z = 0, z points up, lengths are mm, times are seconds. Bones are rigid: their lengths
are the same in each frame, and paws on the floor do not slip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = dict[str, Floats]

JOINTS = (
    "nose",
    "ear_left",
    "ear_right",
    "neck",
    "tail_base",
    "hip_left",
    "knee_left",
    "hindpaw_left",
    "hip_right",
    "knee_right",
    "hindpaw_right",
    "forepaw_left",
    "forepaw_right",
)

SPINE, HEAD, THIGH, SHANK = 75.0, 46.0, 36.0, 34.0
UPPER_ARM, FOREARM = 29.0, 33.0
HIP_HEIGHT, NECK_RISE = 55.0, 0.14
HIPS = (6.0, 14.0)  # forward, sideways from the middle of the pelvis
SHOULDERS = (56.0, 12.0, -9.0)  # and up, in the chest's frame
TAIL = (-22.0, 0.0, 4.0)
TAIL_PARTS, TAIL_PART = 6, 14.0
EARS = (11.0, 16.0, 21.0)  # forward, sideways, up from the neck, in the head's frame
STANCE = 0.64  # part of a stride that a paw is on the floor
LIFT = 11.0
#: When each paw is put down, in strides: a walk puts them down one after the other.
PHASES = {"hind_left": 0.0, "fore_left": 0.25, "hind_right": 0.5, "fore_right": 0.75}


@dataclass(frozen=True)
class Walk:
    """One walk.

    Attributes
    ----------
    start : (float, float)
        Where the pelvis is at time 0, mm.
    heading : float
        Of the first step, degrees from x towards y.
    speed : float
        mm/s.
    turning : float
        How fast the heading changes, degrees/s, not 0; positive is to the left.
    stride : float
        Duration of a stride, s.
    """

    start: tuple[float, float]
    heading: float
    speed: float
    turning: float
    stride: float = 0.6


def pose(walk: Walk, times: Floats) -> Floats:
    """Return where each joint is.

    Parameters
    ----------
    walk : Walk
    times : (frames,) array

    Returns
    -------
    (frames, joints, 3) array
        Joints in the order of :data:`JOINTS`.
    """
    places = posture(walk, times)
    return np.stack([places[joint] for joint in JOINTS], axis=1)


def posture(walk: Walk, times: Floats) -> Places:
    """Return where everything is that a picture of the animal needs.

    Parameters
    ----------
    walk : Walk
    times : (frames,) array

    Returns
    -------
    dict
        Joints and further places, (frames, 3); ``body``, ``chest`` and ``skull`` are frames of reference,
        (frames, 3, 3), with forward, left and up as columns.
    """
    beat = 2 * np.pi * times / walk.stride
    ground, heading = _path(walk, times)
    pelvis = np.column_stack([ground, HIP_HEIGHT + 1.5 * np.sin(2 * beat)])
    body = _frame(heading + 0.05 * np.sin(beat), 0.03 * np.sin(2 * beat))
    bend = np.radians(walk.turning) * 0.25
    chest = _frame(heading + bend - 0.06 * np.sin(beat), NECK_RISE + 0.03 * np.cos(2 * beat))
    # The head looks into the curve, and up and down as if sniffing.
    skull = _frame(heading + 2 * bend + 0.25 * np.sin(0.31 * beat), -0.35 + 0.2 * np.sin(0.17 * beat + 1))
    neck = pelvis + SPINE * chest[..., 0]
    places = {
        "body": body,
        "chest": chest,
        "skull": skull,
        "pelvis": pelvis,
        "neck": neck,
        "nose": neck + HEAD * skull[..., 0],
        "ear_left": neck + skull @ np.array(EARS),
        "ear_right": neck + skull @ (np.array(EARS) * (1, -1, 1)),
        "tail_base": pelvis + body @ np.array(TAIL),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hip = pelvis + body @ np.array([HIPS[0], sign * HIPS[1], 0.0])
        paw = _paw(walk, times, (HIPS[0] + 4, sign * (HIPS[1] + 3)), PHASES[f"hind_{side}"])
        places[f"hip_{side}"] = hip
        places[f"knee_{side}"] = _knee(hip, paw, body[..., 0], THIGH, SHANK)
        places[f"hindpaw_{side}"] = paw
        shoulder = pelvis + chest @ (np.array(SHOULDERS) * (1, sign, 1))
        paw = _paw(walk, times, (SHOULDERS[0] + 8, sign * (SHOULDERS[1] + 1)), PHASES[f"fore_{side}"])
        places[f"shoulder_{side}"] = shoulder
        places[f"elbow_{side}"] = _knee(shoulder, paw, -chest[..., 0], UPPER_ARM, FOREARM)
        places[f"forepaw_{side}"] = paw
    return places | _tail(places["tail_base"], heading, beat)


def _tail(root: Floats, heading: Floats, beat: Floats) -> Places:
    """Return the tail's points, ``tail_1`` .. ``tail_6``: a curve that hangs and sways."""
    places, point = {}, root
    for part in range(TAIL_PARTS):
        sway = 0.28 * np.sin(0.5 * beat - 0.5 * part) * (part + 1) / TAIL_PARTS
        back = _frame(heading + np.pi + sway, np.full_like(beat, -0.55 + 0.19 * part))
        point = point + TAIL_PART * back[..., 0]
        places[f"tail_{part + 1}"] = point
    return places


def _path(walk: Walk, times: Floats) -> tuple[Floats, Floats]:
    """Return place (frames, 2) and heading (frames,) in radians on a circle."""
    first, turning = np.radians(walk.heading), np.radians(walk.turning)
    heading = first + turning * times
    radius = walk.speed / turning
    x = walk.start[0] + radius * (np.sin(heading) - np.sin(first))
    y = walk.start[1] - radius * (np.cos(heading) - np.cos(first))
    return np.column_stack([x, y]), heading


def _frame(yaw: Floats, pitch: Floats) -> Floats:
    """Return (frames, 3, 3): forward, left and up as columns."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    zero = np.zeros_like(yaw)
    forward = np.stack([cy * cp, sy * cp, sp], axis=-1)
    left = np.stack([-sy, cy, zero], axis=-1)
    return np.stack([forward, left, np.cross(forward, left)], axis=-1)


def _paw(walk: Walk, times: Floats, spot: tuple[float, float], phase: float) -> Floats:
    """Return (frames, 3): on the floor where the body passes in mid-stance, then over to the next place."""
    cycle = times / walk.stride - phase
    number = np.floor(cycle)
    swing = np.clip((cycle - number - STANCE) / (1 - STANCE), 0, 1)
    here, there = (_spot(walk, (number + step + phase + STANCE / 2) * walk.stride, spot) for step in (0, 1))
    eased = swing * swing * (3 - 2 * swing)
    ground = here + (there - here) * eased[:, None]
    return np.column_stack([ground, LIFT * np.sin(np.pi * swing) ** 2])


def _spot(walk: Walk, times: Floats, spot: tuple[float, float]) -> Floats:
    """Return (frames, 2): the point of the floor that lies so far forward and left of the pelvis."""
    ground, heading = _path(walk, times)
    forward = np.column_stack([np.cos(heading), np.sin(heading)])
    left = np.column_stack([-np.sin(heading), np.cos(heading)])
    return ground + spot[0] * forward + spot[1] * left


def _knee(hip: Floats, paw: Floats, forward: Floats, upper: float, lower: float) -> Floats:
    """Return (frames, 3): where two bones of these lengths meet, in front of the line from hip to paw."""
    way = paw - hip
    length = np.linalg.norm(way, axis=1)
    if not (length < upper + lower).all():
        raise ValueError("a paw is out of the leg's reach: choose a shorter stride or a lower speed")
    along = (upper**2 - lower**2 + length**2) / (2 * length)
    out = np.sqrt(upper**2 - along**2)
    way = way / length[:, None]
    front = forward - way * np.sum(forward * way, axis=1)[:, None]
    front /= np.linalg.norm(front, axis=1)[:, None]
    return hip + along[:, None] * way + out[:, None] * front
