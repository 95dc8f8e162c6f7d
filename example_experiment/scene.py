"""Pictures of the animal as a camera takes them, through the whole model of its lens.

Rays are found from pixels, and pixels from points, by anipipe's own camera model, distortion included. Light
is added up linearly.
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from animal import Places
from body import Capsule, capsules
from ground import albedo, meet, shadows
from light import SKY_COLOUR, SUN_ON_FLOOR, Picture, Singles, develop
from numpy.typing import NDArray
from tracing import MELT, Animal

from anipipe.numerics.cameras import Camera, project, undistort

FINE, FINEST = 2, 4  # rays per pixel in each direction: of the animal, of what does not move
MARGIN = 40  # px around the animal's bones
Frame = tuple[int, int, int, int]  # left, top, right, bottom, px


class View:
    """What one camera sees.

    Parameters
    ----------
    camera
        With a known size.
    """

    def __init__(self, camera: Camera) -> None:
        assert camera.size is not None
        self.camera, self.size = camera, camera.size
        self._rays: dict[int, Singles] = {}

    def rays(self, fine: int) -> Singles:
        """Return unit directions of sight in the world, so many per pixel in each direction; they are kept.

        Returns
        -------
        (height * fine, width * fine, 3).
        """
        if fine not in self._rays:
            x, y = ((np.arange(side * fine) + 0.5) / fine - 0.5 for side in self.size)
            flat = undistort(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), self.camera)
            rays = np.column_stack([flat, np.ones(len(flat))]) @ self.camera.rotation_matrix
            rays /= np.linalg.norm(rays, axis=1)[:, None]
            self._rays[fine] = rays.reshape(len(y), len(x), 3).astype(np.float32)
        return self._rays[fine]

    @cached_property
    def _albedo(self) -> Singles:
        """Colour of the empty scene, (height, width, 3)."""
        fine = albedo(self.camera.centre, self.rays(FINEST))
        return cv2.resize(fine, self.size, interpolation=cv2.INTER_AREA)

    @cached_property
    def _floor(self) -> Singles:
        """Where each pixel looks at the floor, (height, width, 2), mm."""
        return meet(self.camera.centre, self.rays(1), 0.0)[..., :2].astype(np.float32)

    @property
    def empty(self) -> Singles:
        """The light of the empty scene, (height, width, 3)."""
        return self._albedo * (SUN_ON_FLOOR + SKY_COLOUR)

    def photograph(self, places: Places, frame: int, random: np.random.Generator) -> Picture:
        """Return a picture of the animal, (height, width, 3), red first.

        Parameters
        ----------
        places
            From :func:`animal.posture`.
        frame
            Which of its frames.
        random
            Of the sensor's noise.
        """
        body = capsules(places, frame)
        cast, touch = (one[..., None] for one in shadows(body, self._floor))
        light = self._albedo * (SUN_ON_FLOOR * (1 - cast) + SKY_COLOUR * (1 - touch))
        left, top, right, bottom = around = self._around(body)
        start = self._first_guess(body, around)
        mask = start > 0
        rays = self.rays(FINE)[top * FINE : bottom * FINE, left * FINE : right * FINE][mask]
        animal = np.zeros((*mask.shape, 4), dtype=np.float32)
        animal[mask] = Animal(body).shade(self.camera.centre, rays, start[mask])
        animal = cv2.resize(animal, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        under = light[top:bottom, left:right]
        light[top:bottom, left:right] = animal[..., :3] + under * (1 - animal[..., 3:])
        return develop(light, random)

    def _around(self, body: list[Capsule]) -> Frame:
        """Return what of the picture holds the animal."""
        ends = project(np.array([end for part in body for end in (part.a, part.b)]), self.camera)
        left, top = np.floor(ends.min(axis=0) - MARGIN).astype(int)
        right, bottom = np.ceil(ends.max(axis=0) + MARGIN).astype(int)
        return max(left, 0), max(top, 0), min(right, self.size[0]), min(bottom, self.size[1])

    def _first_guess(self, body: list[Capsule], around: Frame) -> NDArray[np.float32]:
        """Return how far along the ray of each fine pixel no part of the animal is reached, mm.

        -1 where none comes near: each part is drawn as a thick line, the nearest ones last.
        """
        left, top, right, bottom = around
        start = np.full(((bottom - top) * FINE, (right - left) * FINE), -1, dtype=np.float32)
        eye, focal = self.camera.centre, float(self.camera.matrix[0, 0])

        def nearest(part: Capsule) -> float:
            return float(min(np.linalg.norm(end - eye) for end in (part.a, part.b)))

        for part in sorted(body, key=nearest, reverse=True):
            reach = max(part.radii) + 1.5 * MELT
            near = nearest(part) - reach
            ends = (project(np.stack([part.a, part.b]), self.camera) - (left, top)) * FINE
            one, other = ends.round().astype(int).tolist()
            cv2.line(start, one, other, near, int(np.ceil(2 * (reach * focal / near * FINE + 2))))
        return start
