"""Joint angles, in degrees, as Anipose defines, names and orders them.

=======================  ==================================================================================
definition               angle
=======================  ==================================================================================
``[a, b, c]``            the same as flex
``["flex", a, b, c]``    at b, between the directions to a and to c: 0 folded, 180 straight
``["axis", a, b, c]``    how far the direction c -> b is turned about the bone b -> a, from the world's x
``["cross-axis", ...]``  how far the direction a -> c is turned about the normal ``(a - b) x (b - c)``, also
                         from the world's x
``["chain", a, b, ..]``  Euler angles along a limb: ``J_flex``, ``J_rot`` (not of the last bone) and
                         ``J_abduct`` (of the first only)
=======================  ==================================================================================

**The world's x as a mark.** axis and cross-axis count from the part of the world's x that is normal to the
axis. Where the axis is parallel to x there is no such part, and no choice of a mark is continuous over all
directions of the axis (a sphere cannot be combed). There, within ``PARALLEL`` of x, the world's y takes its
place: the mark is continuous over that small cap, and what it reads at its border is what it would read for
an axis that comes to +x from below, in y, or to -x from above.

**Chains.** Bone i runs from joint i to joint i + 1. Its frame has z along the bone and x towards where the
limb bends at joint i + 1 (away from it, if that joint's name is written with a "/" at its end). The first
joint's angles are those of the first bone in the world, ``R = Rx(abduct) Ry(flex) Rz(rot)``; each further
joint's relate its bone to the one before. There the plane of bending is known, which leaves ``R = Rx(180)
Ry(flex) Rz(rot)`` with flex the inner angle, negative for "/". Each joint is computed by itself, so that a
missing one takes away its neighbours' angles in its own frames only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from anipipe.errors import DataError, Notice
from anipipe.numerics.lenses import Floats
from anipipe.suggest import no_joint

KINDS = ("flex", "axis", "cross-axis", "chain")
PARALLEL = 1e-7  # sine of the angle below which two directions count as parallel


def compute_angles(
    points: ArrayLike, joints: Sequence[str], definitions: Mapping[str, Sequence[str]]
) -> tuple[list[str], Floats]:
    """Compute angles from points in space.

    Parameters
    ----------
    points
        (frames, joints, 3); NaN where missing.
    joints
        Names along the second axis.
    definitions
        Per angle its kind and joints, as tabled above.

    Returns
    -------
    names
        Column names, in the order of the definitions. A chain's columns carry its joints' names, not its own.
    values
        Degrees, (frames, angles); NaN where a joint is missing, where two joints coincide, and where there is
        nothing to measure: axis and cross-axis of joints on one line, rot of a bone whose end is straight.

    Raises
    ------
    DataError
        If a joint is unknown (the message names the nearest one) or a definition has not the form that its
        kind asks for.

    Warns
    -----
    Notice
        If two definitions give one column; the later one stands, as in Anipose.
    """
    space = np.asarray(points, dtype=np.float64)
    if space.ndim != 3 or space.shape[1:] != (len(joints), 3):
        raise DataError(f"points have shape {space.shape}, expected (frames, {len(joints)}, 3)")
    columns: dict[str, Floats] = {}
    makers: dict[str, str] = {}
    for angle, definition in definitions.items():
        kind, names, signs = _parse(angle, definition)
        places = [space[:, _index(angle, name, joints)] for name in names]
        for column, values in _measure(angle, kind, names, signs, places).items():
            if column in columns:
                text = f"angles {makers[column]} and {angle} both give a column {column}; {angle}'s is kept"
                warnings.warn(Notice(text), stacklevel=2)
            columns[column] = values
            makers[column] = angle
    if not columns:
        return [], np.empty((space.shape[0], 0))
    return list(columns), np.stack(list(columns.values()), axis=1)


def _parse(angle: str, definition: Sequence[str]) -> tuple[str, list[str], list[int]]:
    """Split a definition into its kind, its joints, and -1 for each joint of a chain written with a "/"."""
    words = list(definition)
    known = bool(words) and words[0] in KINDS
    # A joint may be called like a kind: three words are three joints, unless they begin a chain.
    if known and (len(words) != 3 or words[0] == "chain"):
        kind, names = words[0], words[1:]
    else:
        kind, names = "flex", words
    if kind == "chain":
        if len(names) < 2:
            raise DataError(f"angle {angle}: a chain needs at least two joints, not {names}")
        signs = [-1 if name.endswith("/") else 1 for name in names]
        return kind, [name.removesuffix("/") for name in names], signs
    if len(names) != 3:
        raise DataError(
            f"angle {angle}: {words} should read [a, b, c], [chain, a, b, ..] "
            f"or [kind, a, b, c] with kind {', '.join(KINDS[:-1])}"
        )
    return kind, names, [1, 1, 1]


def _index(angle: str, joint: str, joints: Sequence[str]) -> int:
    """Find a joint by its name."""
    if joint in joints:
        return list(joints).index(joint)
    raise DataError(f"angles.{angle}: {no_joint(joint, joints)}")


def _measure(
    angle: str, kind: str, names: list[str], signs: list[int], places: list[Floats]
) -> dict[str, Floats]:
    """Compute the columns of one definition."""
    if kind == "chain":
        return _chain(names, signs, places)
    a, b, c = places
    if kind == "axis":
        return {angle: _turn(a - b, b - c)}
    if kind == "cross-axis":
        normal = np.cross(_unit(a - b), _unit(b - c))
        normal[_norm(normal) < PARALLEL] = np.nan
        return {angle: _turn(normal, c - a)}
    return {angle: _flex(a, b, c)}


def _flex(a: Floats, b: Floats, c: Floats) -> Floats:
    """Return the inner angle at b, (frames,), degrees.

    From sine and cosine: exact near 0 and 180 too, where the arc cosine loses half of its digits and rounding
    may leave its domain.
    """
    first, second = _unit(a - b), _unit(c - b)
    return np.degrees(np.arctan2(_norm(np.cross(first, second)), _dot(first, second)))


def _turn(axis: Floats, direction: Floats) -> Floats:
    """Return the rotation of a direction about an axis, counted from the world's x, (frames,), degrees."""
    z = _unit(axis)
    x = _normal_part(np.broadcast_to([1.0, 0.0, 0.0], z.shape), z)
    other = _normal_part(np.broadcast_to([0.0, 1.0, 0.0], z.shape), z)
    x = _unit(np.where((_norm(x) < PARALLEL)[:, None], other, x))
    y = np.cross(z, x)
    flat = np.hypot(_dot(direction, x), _dot(direction, y))
    turned = np.degrees(np.arctan2(_dot(direction, y), _dot(direction, x)))
    return np.where(flat > PARALLEL * _norm(direction), turned, np.nan)


def _chain(names: list[str], signs: list[int], places: list[Floats]) -> dict[str, Floats]:
    """Compute the columns of a chain, in Anipose's order."""
    bones = [_unit(end - start) for start, end in pairwise(places)]
    frames = [
        _bone_frame(bone, following, sign)
        for bone, following, sign in zip(bones[:-1], bones[1:], signs[1:-1], strict=True)
    ]
    columns: dict[str, Floats] = {}
    for i, bone in enumerate(bones):
        last = i == len(bones) - 1
        if i == 0:
            flex = np.arctan2(bone[:, 0], np.hypot(bone[:, 1], bone[:, 2]))
            upright = np.hypot(bone[:, 1], bone[:, 2]) >= PARALLEL
            abduct = np.where(upright, np.arctan2(-bone[:, 1], bone[:, 2]), 0.0 * flex)
            before = np.broadcast_to(np.eye(3), (len(bone), 3, 3))
        else:
            flex = np.radians(signs[i] * _flex(places[i - 1], places[i], places[i + 1]))
            abduct = np.full_like(flex, np.pi)
            before = frames[i - 1]
        columns[f"{names[i]}_flex"] = np.degrees(flex)
        if not last:
            columns[f"{names[i]}_rot"] = np.degrees(_remaining_rotation(before, frames[i], abduct, flex))
        if i == 0:
            columns[f"{names[i]}_abduct"] = np.degrees(abduct)
    return columns


def _bone_frame(bone: Floats, following: Floats, sign: int) -> Floats:
    """Return a bone's frame, (frames, 3, 3) with x, y, z as columns.

    NaN where the joint at its end is straight, and so has no plane of bending.
    """
    bend = _normal_part(following, bone)
    bend = np.where((_norm(bend) < PARALLEL)[:, None], np.nan, bend)
    x = sign * _unit(bend)
    return np.stack([x, np.cross(bone, x), bone], axis=-1)


def _remaining_rotation(before: Floats, after: Floats, abduct: Floats, flex: Floats) -> Floats:
    """Return rot of ``before^T after = Rx(abduct) Ry(flex) Rz(rot)``, (frames,), radians.

    Rz(rot)'s first column is (cos rot, sin rot, 0): the later frame's x, seen from the earlier frame and
    turned back twice.
    """
    x, y, z = (_dot(before[..., axis], after[..., 0]) for axis in range(3))
    y, z = np.cos(abduct) * y + np.sin(abduct) * z, np.cos(abduct) * z - np.sin(abduct) * y
    return np.arctan2(y, np.cos(flex) * x - np.sin(flex) * z)


def _normal_part(vector: Floats, unit: Floats) -> Floats:
    """Return the part of vectors that is normal to unit vectors, (frames, 3)."""
    part = vector - unit * _dot(vector, unit)[:, None]
    return np.asarray(part - unit * _dot(part, unit)[:, None])


def _dot(a: Floats, b: Floats) -> Floats:
    """Return the scalar products, (frames,)."""
    return np.asarray(a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2])


def _norm(vector: Floats) -> Floats:
    """Return the lengths, (frames,)."""
    return np.sqrt(_dot(vector, vector))


def _unit(vector: Floats) -> Floats:
    """Return vectors of length 1, (frames, 3); NaN where there is no length."""
    length = _norm(vector)
    return np.asarray(vector / np.where(length > 0, length, np.nan)[:, None])
