"""The animal of the example: an articulated quadruped that walks along a curve on a floor.

The floor is the plane z = 0, z points up, lengths are mm, times are seconds. Bones are rigid: their lengths
are the same in each frame, and paws on the floor do not slip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
#: Pairs of joints that are on one bone.
BONES = (
    ("nose", "neck"),
    ("ear_left", "neck"),
    ("ear_right", "neck"),
    ("ear_left", "ear_right"),
    ("tail_base", "hip_left"),
    ("tail_base", "hip_right"),
    ("hip_left", "hip_right"),
    ("hip_left", "knee_left"),
    ("knee_left", "hindpaw_left"),
    ("hip_right", "knee_right"),
    ("knee_right", "hindpaw_right"),
)

SPINE, HEAD, THIGH, SHANK = 75.0, 46.0, 38.0, 36.0
HIP_HEIGHT, NECK_RISE = 52.0, 0.16
HIPS = (6.0, 17.0)  # forward, sideways from the middle of the pelvis
SHOULDERS = (58.0, 15.0)
TAIL = (-22.0, 0.0, 4.0)
EARS = (14.0, 15.0, 13.0)  # forward, sideways, up from the neck, in the head's frame
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
        How fast the heading changes, degrees/s; positive is to the left.
    stride : float
        Duration of a stride, s.
    """

    start: tuple[float, float]
    heading: float
    speed: float
    turning: float
    stride: float = 0.44


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
    beat = 2 * np.pi * times / walk.stride
    ground, heading = _path(walk, times)
    pelvis = np.column_stack([ground, HIP_HEIGHT + 1.5 * np.sin(2 * beat)])
    body = _frame(heading + 0.05 * np.sin(beat), 0.03 * np.sin(2 * beat))
    bend = np.radians(walk.turning) * 0.25
    chest = _frame(heading + bend - 0.06 * np.sin(beat), NECK_RISE + 0.03 * np.cos(2 * beat))
    # The head looks into the curve, and up and down as if sniffing.
    head = _frame(heading + 2 * bend + 0.25 * np.sin(0.31 * beat), -0.35 + 0.2 * np.sin(0.17 * beat + 1))
    neck = pelvis + SPINE * chest[..., 0]
    places = {
        "neck": neck,
        "nose": neck + HEAD * head[..., 0],
        "ear_left": neck + head @ np.array(EARS),
        "ear_right": neck + head @ (np.array(EARS) * (1, -1, 1)),
        "tail_base": pelvis + body @ np.array(TAIL),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hip = pelvis + body @ np.array([HIPS[0], sign * HIPS[1], 0.0])
        paw = _paw(walk, times, (HIPS[0] + 4, sign * (HIPS[1] + 4)), PHASES[f"hind_{side}"])
        places[f"hip_{side}"] = hip
        places[f"knee_{side}"] = _knee(hip, paw, body[..., 0])
        places[f"hindpaw_{side}"] = paw
        spot = (SHOULDERS[0] + 8, sign * SHOULDERS[1])
        places[f"forepaw_{side}"] = _paw(walk, times, spot, PHASES[f"fore_{side}"])
    return np.stack([places[joint] for joint in JOINTS], axis=1)


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


def _knee(hip: Floats, paw: Floats, forward: Floats) -> Floats:
    """Return (frames, 3): where the thigh and the shank meet, in front of the line from hip to paw."""
    way = paw - hip
    length = np.linalg.norm(way, axis=1)
    if not (length < THIGH + SHANK).all():
        raise ValueError("a paw is out of the leg's reach: choose a shorter stride or a lower speed")
    along = (THIGH**2 - SHANK**2 + length**2) / (2 * length)
    out = np.sqrt(THIGH**2 - along**2)
    way = way / length[:, None]
    front = forward - way * np.sum(forward * way, axis=1)[:, None]
    front /= np.linalg.norm(front, axis=1)[:, None]
    return hip + along[:, None] * way + out[:, None] * front
