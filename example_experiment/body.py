"""What the animal is made of: tapered capsules along its bones, which melt into one another, and its fur."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from animal import TAIL_PARTS, Floats, Places
from light import Singles
from scipy.ndimage import gaussian_filter

Colour = tuple[float, float, float]

#: Colours, linear red, green and blue.
TAWNY: Colour = (0.44, 0.185, 0.06)
RUST: Colour = (0.30, 0.10, 0.03)
CREAM: Colour = (0.72, 0.60, 0.46)
SOCK: Colour = (0.045, 0.03, 0.025)
BLACK: Colour = (0.008, 0.007, 0.008)

HIND_LEG, FORE_LEG = (12.5, 7.0, 4.0), (10.0, 5.8, 3.8)  # radii from top to bottom, mm
TAIL = (5.0, 6.5, 8.0, 8.6, 7.8, 5.8, 2.0)
_POINT = np.array([0, 0, 1e-3])  # a ball has a direction too


class Capsule(NamedTuple):
    """A tapered capsule.

    Attributes
    ----------
    a, b : ndarray
        (3,), its ends, mm.
    radii : (float, float)
        At the ends, mm.
    colours : (Colour, Colour)
        At the ends.
    pale : float
        How much of it turns pale on its lower side, 0 to 1.
    furry : bool
        Melts into its neighbours and has fur; eyes and nose do not.
    """

    a: Floats
    b: Floats
    radii: tuple[float, float]
    colours: tuple[Colour, Colour] = (TAWNY, TAWNY)
    pale: float = 0.0
    furry: bool = True


def capsules(places: Places, frame: int) -> list[Capsule]:
    """Return the animal's body in one frame.

    Parameters
    ----------
    places
        From :func:`animal.posture`.
    frame
        Which of its frames.
    """
    at = {name: place[frame] for name, place in places.items()}
    sides = [part for side, sign in (("left", 1), ("right", -1)) for part in _side(at, side, sign)]
    return [*_trunk(at), *_head(at), *sides, *_tail(at)]


def _trunk(at: Places) -> list[Capsule]:
    pelvis, chest = at["pelvis"], at["chest"]
    back = pelvis + at["body"] @ np.array([-8.0, 0.0, -1.0])
    loin, ribs, throat = (pelvis + chest @ np.array([x, 0.0, z]) for x, z in ((25, -3), (52, -6), (55, -4)))
    return [
        Capsule(back, loin, (18.5, 18.5), (RUST, TAWNY), pale=0.8),
        Capsule(loin, ribs, (18.5, 18.0), pale=0.9),
        Capsule(throat, at["neck"], (15.5, 11.0), pale=1.0),
        Capsule(back, at["tail_base"], (15.0, 6.5), (RUST, RUST), pale=0.5),
    ]


def _head(at: Places) -> list[Capsule]:
    brow, muzzle, jaw, snout = (_on_skull(at, x, 0, z) for x, z in ((15, 3), (30, -1), (15, 2), (42, -1)))
    return [
        Capsule(at["neck"], brow, (11.0, 13.0), pale=0.7),
        Capsule(jaw, muzzle, (11.5, 6.8), pale=0.8),
        Capsule(muzzle, snout, (6.8, 3.6), pale=0.6),
        Capsule(
            _on_skull(at, 44, 0, 0.4), _on_skull(at, 45, 0, 0.4), (2.6, 2.6), (BLACK, BLACK), furry=False
        ),
    ]


def _side(at: Places, side: str, sign: int) -> list[Capsule]:
    """Return what there is of it on each side: an ear, an eye, a hind leg and a fore leg."""
    eye = _on_skull(at, 24, sign * 8.3, 6.3)
    parts = [
        Capsule(_on_skull(at, 12, sign * 8.5, 9), at[f"ear_{side}"], (5.4, 1.2), (TAWNY, SOCK)),
        Capsule(eye, eye + _POINT, (2.5, 2.5), (BLACK, BLACK), furry=False),
    ]
    forward = at["body"][:, 0] * (1, 1, 0)
    for joints, radii in (
        (("hip", "knee", "hindpaw"), HIND_LEG),
        (("shoulder", "elbow", "forepaw"), FORE_LEG),
    ):
        top, middle, paw = (at[f"{joint}_{side}"] for joint in joints)
        ankle, heel, toes = (
            paw + np.array([0, 0, z]) + x * forward for x, z in ((0, 4.5), (-2, 3.4), (6, 3))
        )
        parts += [
            Capsule(top, middle, radii[:2]),
            Capsule(middle, ankle, radii[1:], (TAWNY, SOCK)),
            Capsule(heel, toes, (4.0, 3.2), (SOCK, SOCK)),
        ]
    return parts


def _on_skull(at: Places, forward: float, left: float, up: float) -> Floats:
    return np.asarray(at["neck"] + at["skull"] @ np.array([forward, left, up]))


def _tail(at: Places) -> list[Capsule]:
    ends = [at["tail_base"], *(at[f"tail_{part + 1}"] for part in range(TAIL_PARTS))]
    colours = [*[RUST] * (TAIL_PARTS - 1), CREAM, CREAM]
    return [
        Capsule(ends[part], ends[part + 1], TAIL[part : part + 2], (colours[part], colours[part + 1]))
        for part in range(TAIL_PARTS)
    ]


def fur(seed: int = 7) -> Singles:
    """Return a periodic block of noise, (64, 64, 64): strands along its first axis, mean 0, deviation 1."""
    random = np.random.default_rng(seed)
    fine = gaussian_filter(random.normal(size=(64, 64, 64)), (4.0, 0.75, 0.75), mode="wrap")
    coarse = gaussian_filter(random.normal(size=(64, 64, 64)), (6.0, 3.0, 3.0), mode="wrap")
    return (0.8 * fine / fine.std() + 0.6 * coarse / coarse.std()).astype(np.float32)
