"""Which colour a joint has: one rule for every picture and video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Colours = NDArray[np.uint8]


def joint_colours(joints: Sequence[str], scheme: Iterable[Sequence[str]], colormap: str) -> Colours:
    """Return a colour for each joint, spread evenly over a colour map.

    Joints that ``scheme`` names are spread in the order in which it first names them, so that a joint has
    one colour in all pictures, also of cameras whose networks know other joints besides; these take colours
    between them. Without a scheme all are spread in their own order, which is DeepLabCut's rule.

    Parameters
    ----------
    joints
        All joints of a pose, whether they are drawn or not.
    scheme
        Lines, each through a list of joints.
    colormap
        A name that ``matplotlib.colormaps`` knows.

    Returns
    -------
    (joints, 3), red first, 0 to 255.

    Raises
    ------
    KeyError
        There is no such colour map.
    """
    from matplotlib import colormaps

    named = list(dict.fromkeys(joint for line in scheme for joint in line)) or list(joints)
    others = [joint for joint in joints if joint not in named]
    gaps = max(1, len(named) - 1)
    step = 1 + -(-len(others) // gaps)
    between = [place for place in range(gaps * step) if place % step]
    places = {joint: place * step for place, joint in enumerate(named)} | dict(
        zip(others, between, strict=False)
    )
    shades = colormaps[colormap](np.array([places[joint] / (gaps * step) for joint in joints]))[:, :3]
    return np.asarray(np.round(255 * shades), dtype=np.uint8)


def named_colour(name: str) -> tuple[int, int, int]:
    """Return the red, green and blue, 0 to 255, of a colour as matplotlib names it."""
    from matplotlib.colors import to_rgb

    red, green, blue = (round(255 * part) for part in to_rgb(name))
    return red, green, blue


def edges(joints: Sequence[str], scheme: Iterable[Sequence[str]]) -> tuple[tuple[int, int], ...]:
    """Return the lines of a scheme as pairs of places among ``joints``, each once; others are left out."""
    places = {joint: place for place, joint in enumerate(joints)}
    pairs = [pair for line in scheme for pair in pairwise(line)]
    known = [(places[a], places[b]) for a, b in pairs if a in places and b in places and a != b]
    return tuple(dict.fromkeys((min(pair), max(pair)) for pair in known))
