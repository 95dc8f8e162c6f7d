"""How rays of sight meet the animal, and the light there.

The animal is a smooth union of capsules, found by sphere tracing (Hart 1996). Everything is computed in
single precision about the animal's middle.
"""

from __future__ import annotations

import numpy as np
from animal import Floats
from body import CREAM, Capsule, fur
from light import BOUNCE_COLOUR, SKY_COLOUR, SUN, SUN_COLOUR, Singles
from numpy.typing import NDArray

MELT = 2.2  # mm over which capsules melt into one another
BLOCK = 3000  # rays at once
STEPS, NEAR, REACH = 24, 0.12, 260.0  # mm from the skin that count as on it; mm that a ray is followed
STRAND = 0.8  # mm per cell of the fur
FUR = fur()


class Animal:
    """The capsules of one frame as arrays, and how rays meet them.

    Parameters
    ----------
    body
        From :func:`body.capsules`.
    """

    def __init__(self, body: list[Capsule]) -> None:
        a, b, radii, colours, pale, furry = (np.array(values) for values in zip(*body, strict=True))
        single = np.float32
        self.middle = a.mean(axis=0)
        self.a = (a - self.middle).astype(single)
        self.along = (b - self.middle).astype(single) - self.a
        self.square = np.sum(self.along**2, axis=1)
        self.radius = radii[:, 0].astype(single)
        self.growth = radii[:, 1].astype(single) - self.radius
        self.colour = colours[:, 0].astype(single)
        self.change = colours[:, 1].astype(single) - self.colour
        self.pale, self.furry = pale.astype(single), furry
        self.frames = _frames(self.along)

    def shade(self, eye: Floats, rays: Singles, start: Singles) -> Singles:
        """Return what rays show.

        Parameters
        ----------
        eye
            (3,), where they begin, mm.
        rays
            (rays, 3), unit directions.
        start
            (rays,), how far along the animal is not yet reached, mm.

        Returns
        -------
        (rays, 4), linear colour, and 1 where the animal is met, else 0.
        """
        blocks = range(0, len(rays), BLOCK)  # which the processor's caches hold
        parts = [self._shade(eye, rays[one : one + BLOCK], start[one : one + BLOCK]) for one in blocks]
        return np.concatenate([np.zeros((0, 4), dtype=np.float32), *parts])

    def _shade(self, eye: Floats, rays: Singles, start: Singles) -> Singles:
        out = np.zeros((len(rays), 4), dtype=np.float32)
        hit, points = self._trace((eye - self.middle).astype(np.float32), rays, start)
        view, sun = -rays[hit], SUN.astype(np.float32)
        normals, albedo, gloss = self._skin(points)
        direct = np.clip((normals @ sun + 0.15) / 1.15, 0, 1) * self._in_sun(points + 2 * normals, sun)
        # The sky is hidden in folds and under the belly.
        open_sky = np.clip(self._distance(points + 9 * normals) / 9, 0.15, 1)
        open_sky *= np.clip(0.45 + (points[:, 2] + self.middle[2]) / 45, 0.55, 1)
        up = (0.5 + 0.5 * normals[:, 2])[:, None]
        light = (
            SUN_COLOUR * direct[:, None] + (SKY_COLOUR * up + BOUNCE_COLOUR * (1 - up)) * open_sky[:, None]
        )
        # Light that grazes hairs shines through them.
        sight = np.sum(normals * view, axis=1)
        rim = 0.35 * np.clip(1 - sight, 0, 1) ** 3 * (0.3 + 0.7 * up[:, 0]) * open_sky
        half = view + sun
        half /= np.linalg.norm(half, axis=1)[:, None]
        shine = np.clip(np.sum(normals * half, axis=1), 0, 1)
        shine = gloss * shine**60 * 1.3 + (1 - gloss) * 0.015 * shine**8
        out[hit, :3] = albedo * (light + rim[:, None]) + shine[:, None] * SUN_COLOUR
        out[hit, 3] = 1
        return out

    def _parts(self, points: Singles) -> tuple[Singles, Singles]:
        """Return each capsule's distance, and where along it, 0 to 1; (capsules, points) each."""
        dot = self.along @ points.T - np.sum(self.a * self.along, axis=1)[:, None]
        where = np.clip(dot / self.square[:, None], 0, 1)
        square = self.a @ points.T
        square *= -2
        square += np.sum(points**2, axis=1)
        square += np.sum(self.a**2, axis=1)[:, None]
        square += where * (where * self.square[:, None] - 2 * dot)
        np.maximum(square, 1e-6, out=square)
        return np.sqrt(square, out=square) - (self.radius[:, None] + self.growth[:, None] * where), where

    def _distance(self, points: Singles) -> Singles:
        """Return the distance to the skin, about, mm."""
        parts, _ = self._parts(points)
        soft, hard = parts[self.furry], parts[~self.furry].min(axis=0)
        least = soft.min(axis=0)
        melted = least - MELT * np.log(np.exp((least - soft) / MELT).sum(axis=0))
        return np.minimum(melted, hard)

    def _trace(self, origin: Singles, rays: Singles, start: Singles) -> tuple[NDArray[np.int64], Singles]:
        """Return which rays hit, and where."""
        depth, going, hits = start.copy(), np.arange(len(rays)), []
        for _ in range(STEPS):
            step = self._distance(origin + depth[going, None] * rays[going])
            near = step < NEAR
            hits.append(going[near])
            depth[going] += 0.92 * step
            going = going[~near]
            going = going[depth[going] < start[going] + REACH]
        hit = np.sort(np.concatenate(hits))
        return hit, origin + depth[hit, None] * rays[hit]

    def _skin(self, points: Singles) -> tuple[Singles, Singles, Singles]:
        """Return normals, (n, 3), albedo, (n, 3), and how glossy it is, (n,)."""
        parts, where = self._parts(points)
        least = parts.argmin(axis=0)
        hard = ~self.furry[least]
        weights = np.exp((parts.min(axis=0) - parts) / MELT) * self.furry[:, None]
        weights[:, hard] = 0
        weights[least[hard], hard] = 1
        weights /= weights.sum(axis=0)
        pull = weights / np.maximum(parts + self.radius[:, None] + self.growth[:, None] * where, 1e-3)
        normals = points * pull.sum(axis=0)[:, None] - pull.T @ self.a - (pull * where).T @ self.along
        normals /= np.linalg.norm(normals, axis=1)[:, None]
        albedo = weights.T @ self.colour + (weights * where).T @ self.change
        local = np.einsum("nij,nj->ni", self.frames[least], points - self.a[least])
        noise = _sample(local / STRAND + 11.0 * least[:, None]) * ~hard
        below = np.clip(-normals[:, 2] * 1.5 + 0.05 + 0.12 * noise, 0, 1) * (self.pale @ weights)
        albedo = albedo + (np.array(CREAM, dtype=np.float32) - albedo) * below[:, None]
        return normals, albedo * np.exp(0.17 * noise)[:, None], hard.astype(np.float32)

    def _in_sun(self, points: Singles, sun: Singles) -> Singles:
        """Return how much of the sun reaches points, 0 to 1: less where the way passes near the body."""
        lit, way = np.ones(len(points), dtype=np.float32), np.full(len(points), 4.0, dtype=np.float32)
        for _ in range(5):
            free = self._distance(points + way[:, None] * sun)
            lit = np.minimum(lit, 0.5 + 0.5 * np.clip(free / (0.12 * way), -1, 1))
            way += np.clip(free, 5, 20)
        return lit * lit * (3 - 2 * lit)


def _sample(cells: Singles) -> Singles:
    """Look up the block of fur between its cells, (n, 3) cells."""
    low = np.floor(cells).astype(np.int32)
    share = (cells - low).astype(np.float32)
    total = np.zeros(len(cells), dtype=np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        x, y, z = ((low + corner) % FUR.shape[0]).T
        total += weight * FUR[x, y, z]
    return total


def _frames(along: Singles) -> Singles:
    """Return frames with the first axis along each capsule, (n, 3, 3), rows are axes."""
    first = along / np.linalg.norm(along, axis=1)[:, None]
    helper = np.where(np.abs(first[:, 2:]) < 0.9, [[0, 0, 1]], [[1, 0, 0]])
    second = np.cross(helper, first)
    second /= np.linalg.norm(second, axis=1)[:, None]
    return np.stack([first, second, np.cross(first, second)], axis=1).astype(np.float32)
