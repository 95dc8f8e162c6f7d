"""Spheres as they look from the eye: shaded, with thin dark outlines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.drawing._floor import DISC, SHIFT, fixed
from anipipe.numerics.drawing._patches import Mask, put
from anipipe.numerics.drawing._view import View
from anipipe.numerics.lenses import Floats

Image = NDArray[np.uint8]
#: How far from the eye something is, and what paints it.
Item = tuple[float, Callable[[Image], None]]

OUTLINE = (16, 14, 12)
PALE = 0.5  # how far the colours of filled points go towards the floor's
PHASES = 4  # places within a pixel, and radii per pixel, that spheres are drawn at
KEPT = 32 * PHASES  # pictures of smaller spheres are kept
LIGHT = np.array([-0.42, -0.56, 0.72])  # the direction it comes from: right, down, towards the eye
SHADE = 0.30  # what remains of a colour in the dark
SHINE, BRIGHT = 0.90, 0.55  # from which cosine on a sphere shines, and how much of that is white
RING = 0.34  # width of the ring that stands for a filled point, of the radius
GLASS = 0.30  # how opaque it is within
DOT = 0.35  # radius of an earlier place's dot, in radii of a sphere
FADING = (0.15, 0.75)  # how far the latest and the earliest of them go towards the floor's colour


class Spheres:
    """The painter of joints.

    Parameters
    ----------
    colours
        (joints, 3), in the order of the picture's channels.
    radius
        In the scene.
    outline
        px, within the sphere.
    """

    def __init__(self, colours: NDArray[np.uint8], radius: float, outline: float) -> None:
        self._ramps = [[ramp(colour) for colour in shades] for shades in (colours, paler(colours, PALE))]
        self._radius = radius
        self._outline = round(outline * PHASES)

    def items(self, view: View, places: Floats, filled: NDArray[np.bool_]) -> list[Item]:
        """Return what is to be painted of joints at places (joints, 3), as the view gives them."""
        shown = np.flatnonzero(view.within(places))
        steps = places[shown]
        depths = steps[:, 2].tolist()
        steps[:, 2] = np.minimum(np.maximum(self._radius * view.focal / steps[:, 2], 1.0), max(view.size) / 2)
        steps = np.round(steps * PHASES).astype(int)
        return [
            (depth, partial(_paint, colours=self._ramps[hollow][joint], place=(column, row), radius=radius,
                            outline=self._outline, hollow=hollow))
            for joint, depth, (column, row, radius), hollow in zip(
                shown.tolist(), depths, steps.tolist(), filled[shown].tolist(), strict=True
            )
        ]  # fmt: skip


class Dots:
    """The painter of the joints' earlier places.

    Parameters
    ----------
    colours
        (joints, 3), in the order of the picture's channels.
    radius
        Of the spheres, in the scene.
    count
        How many of each joint; the earlier, the paler.
    """

    def __init__(self, colours: NDArray[np.uint8], radius: float, count: int) -> None:
        self.count = count
        self._sphere = radius
        self._shades = [paler(colours, amount).tolist() for amount in np.linspace(*FADING, count)]

    def items(self, view: View, places: Floats) -> list[Item]:
        """Return what is to be painted of earlier places (times, joints, 3), the latest first."""
        times, joints = np.nonzero(view.within(places))
        shown = places[times, joints]
        depths = shown[:, 2] + self._sphere  # within a sphere they are hidden
        radii = np.maximum(DOT * self._sphere * view.focal / shown[:, 2:], 1.0)
        return [
            (depth, partial(_dot, centre=centre, radius=radius, colour=self._shades[time][joint]))
            for time, joint, depth, centre, (radius,) in zip(
                times.tolist(), joints.tolist(), depths.tolist(), fixed(shown[:, :2]).tolist(),
                fixed(radii).tolist(), strict=True,
            )
        ]  # fmt: skip


def paler(colours: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """Return colours (n, 3) on their way to the floor's: 0 as they are, 1 there."""
    mixed = colours + amount * (np.array(DISC) - colours.astype(np.float64))
    return np.asarray(np.round(mixed), dtype=np.uint8)


def ramp(colour: NDArray[np.uint8]) -> Image:
    """Return the colours of a sphere, (1, 256, 3), from its outline through the dark to what shines.

    The sphere has the colour itself where the light falls as on its middle.
    """
    cosine = np.linspace(0, 1, 255)[:, None]
    lit = colour * (SHADE + (1 - SHADE) * np.minimum(cosine / LIGHT[2], 1))
    shine = BRIGHT * np.clip((cosine - SHINE) / (1 - SHINE), 0, 1)
    return np.round(np.concatenate([[OUTLINE], lit + shine * (255 - lit)])[None]).astype(np.uint8)


def _dot(picture: Image, *, centre: list[int], radius: int, colour: list[int]) -> None:
    import cv2

    cv2.circle(picture, centre, radius, colour, -1, cv2.LINE_AA, SHIFT)


def _paint(
    picture: Image, *, colours: Image, place: tuple[int, int], radius: int, outline: int, hollow: bool
) -> None:
    """Paint a sphere; colours as :func:`ramp` gives them, column, row and lengths in parts of a pixel."""
    import cv2

    (column, right), (row, down) = (divmod(at, PHASES) for at in place)
    sphere = (_kept if radius <= KEPT else _sphere)(radius, outline, right, down, hollow)
    reach = len(sphere.alpha) // 2
    patch = np.asarray(cv2.LUT(sphere.shades, colours), dtype=np.uint8)
    put(picture, patch, sphere.alpha, sphere.rest, column - reach, row - reach)


@dataclass(frozen=True)
class _Sphere:
    """A sphere without its colour.

    Attributes
    ----------
    shades
        (size, size, 3), where along a :func:`ramp` each pixel's colour is.
    alpha, rest
        (size, size), how opaque it is, and what is missing of 1.
    """

    shades: Image
    alpha: Mask
    rest: Mask


def _sphere(radius: int, outline: int, column: int, row: int, hollow: bool) -> _Sphere:
    """Return a sphere; all lengths in parts of a pixel, the place being that within the middle pixel."""
    outer, inner = radius / PHASES, max(radius - outline, 1) / PHASES
    reach = int(np.ceil(outer + 1.5))
    steps = np.arange(-reach, reach + 1.0)
    right, down = steps - column / PHASES, steps[:, None] - row / PHASES
    distance = np.hypot(right, down)
    forwards = np.sqrt(np.clip(1 - (distance / inner) ** 2, 0, 1))
    cosine = np.clip((LIGHT[0] * right + LIGHT[1] * down) / inner + LIGHT[2] * forwards, 0, 1)
    body = np.clip(inner - distance + 0.5, 0, 1)
    alpha = np.clip(outer - distance + 0.5, 0, 1)
    if hollow:
        alpha *= 1 - (1 - GLASS) * np.clip(inner * (1 - RING) - distance + 0.5, 0, 1)
    shades = np.round(body * (1 + 254 * cosine)).astype(np.uint8)
    opaque = alpha.astype(np.float32)
    return _Sphere(np.repeat(shades[..., None], 3, axis=-1), opaque, 1 - opaque)


_kept = lru_cache(maxsize=2048)(_sphere)
