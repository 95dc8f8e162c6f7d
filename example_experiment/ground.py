"""What the animal walks on: a round floor with a grid, on a wooden bench, and the animal's shadow."""

from __future__ import annotations

import cv2
import numpy as np
from animal import Floats
from body import Capsule
from light import SUN, Singles
from numpy.typing import NDArray

STAGE = 215.0  # mm, radius of the floor
BENCH = -30.0  # mm, height of the bench below it
GRID = 30.0  # mm between lines
MAP, CELL = 640, 0.9  # shadows are drawn on a square of so many cells per side, mm per cell


def meet(eye: Floats, rays: Singles, height: float) -> Floats:
    """Return where rays, (..., 3), from one point meet a level plane, (..., 3); NaN where they do not."""
    down = np.where(rays[..., 2] < -1e-3, rays[..., 2], np.nan)
    return np.asarray(eye + ((height - eye[2]) / down)[..., None] * rays)


def albedo(eye: Floats, rays: Singles) -> Singles:
    """Return the colour of what rays meet in the empty scene, (..., 3), linear."""
    grain = _Grain(np.random.default_rng(3))
    floor, bench = meet(eye, rays, 0.0), meet(eye, rays, BENCH)
    radius = np.hypot(floor[..., 0], floor[..., 1])
    rim = np.array([0.07, 0.08, 0.08])
    under = np.where(_on_rim(eye, rays)[..., None], rim, _wood(bench, grain))
    return np.nan_to_num(
        np.where((radius <= STAGE)[..., None], _mat(floor, radius, grain), under), nan=0.02
    ).astype(np.float32)


def _mat(floor: Floats, radius: Floats, grain: _Grain) -> Floats:
    speckle = grain(floor, 1.1, 0.20) + grain(floor, 13.0, 0.14) + grain(floor, 47.0, 0.12)
    lines = np.abs((floor[..., :2] + GRID / 2) % GRID - GRID / 2).min(axis=-1)
    shade = np.exp(speckle) * (1 + 0.75 * np.clip(1.1 - lines, 0, 1))
    shade *= 1 + 1.5 * np.clip(1.6 - np.abs(radius - STAGE + 12), 0, 1)
    return np.array([0.155, 0.185, 0.185]) * shade[..., None]


def _wood(bench: Floats, grain: _Grain) -> Floats:
    shade = np.exp(grain(bench * (0.06, 1, 1), 1.6, 0.22) + grain(bench * (0.1, 1, 1), 9.0, 0.18))
    gap = np.abs((bench[..., 1] + 45) % 90 - 45)
    shade *= 1 - 0.6 * np.clip(1.4 - gap, 0, 1)
    # The floor's shadow on the bench.
    away = np.hypot(*(bench[..., axis] + BENCH * SUN[axis] / SUN[2] for axis in (0, 1)))
    shade *= 0.45 + 0.55 * np.clip((away - STAGE + 8) / 16, 0, 1)
    return np.array([0.13, 0.085, 0.055]) * shade[..., None]


def _on_rim(eye: Floats, rays: Singles) -> NDArray[np.bool_]:
    """Return which rays meet the side of the round floor, between its top and the bench."""
    x, y = rays[..., 0].astype(float), rays[..., 1].astype(float)
    a, half, c = x * x + y * y, x * eye[0] + y * eye[1], eye[0] ** 2 + eye[1] ** 2 - STAGE**2
    inside = half * half - a * c
    near = (-half - np.sqrt(np.maximum(inside, 0))) / a
    height = eye[2] + near * rays[..., 2]
    return np.asarray((inside > 0) & (height < 0) & (height > BENCH))


class _Grain:
    """Random texture of a plane."""

    def __init__(self, random: np.random.Generator) -> None:
        noise = cv2.GaussianBlur(random.normal(size=(512, 512)), (0, 0), 0.8, borderType=cv2.BORDER_REFLECT)
        self.noise = (noise / noise.std()).astype(np.float32)

    def __call__(self, points: Floats, scale: float, strength: float) -> Singles:
        """Return values at points, (...), of so many mm per cell."""
        cells = np.nan_to_num(points[..., :2] / scale + 256, nan=0.0, posinf=0.0, neginf=0.0)
        return strength * cv2.remap(
            self.noise, cells.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )


def shadows(body: list[Capsule], floor: Singles) -> tuple[Singles, Singles]:
    """Return how much light the animal takes from the floor, 0 to 1.

    Parameters
    ----------
    body
        The animal.
    floor
        (..., 2), places on the floor, mm; NaN where there is none.

    Returns
    -------
    Of the sun's light, and of the sky's (around paws), (...) each.
    """
    centre = np.mean([part.a for part in body], axis=0)[:2]
    cast, touch = (np.zeros((MAP, MAP), dtype=np.float32) for _ in range(2))
    slant = SUN[:2] / SUN[2]
    for part in body:
        for share in np.linspace(0, 1, 5):
            place = part.a + (part.b - part.a) * share
            radius = part.radii[0] + (part.radii[1] - part.radii[0]) * share
            _disc(cast, place[:2] - place[2] * slant - centre, radius, 1.0)
            low = float(np.clip(1.15 - (place[2] - radius) / 34, 0, 0.85))
            _disc(touch, place[:2] - centre, radius * 1.25 + 1, low)
    cells = np.nan_to_num((floor - centre.astype(np.float32)) / CELL + MAP / 2, nan=-9, posinf=-9, neginf=-9)
    blurred = (cv2.GaussianBlur(one, (0, 0), blur / CELL) for one, blur in ((0.93 * cast, 3.2), (touch, 5.0)))
    cast, touch = (cv2.remap(one, cells, None, cv2.INTER_LINEAR, borderValue=0.0) for one in blurred)
    return cast, touch


def _disc(image: Singles, place: Floats, radius: float, value: float) -> None:
    """Draw a disc where the image is not darker yet; place and radius in mm from its middle."""
    x, y = place / CELL + MAP / 2
    reach = radius / CELL
    left, top = max(int(x - reach) - 1, 0), max(int(y - reach) - 1, 0)
    part = image[top : int(y + reach) + 3, left : int(x + reach) + 3]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    cover = value * np.clip(reach + 0.5 - np.hypot(columns - x, rows - y), 0, 1)
    np.maximum(part, cover, out=part)
