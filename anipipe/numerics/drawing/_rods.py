"""The lines between joints as they look from the eye: rods, in pieces that hide and are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.drawing._floor import SHIFT, fixed
from anipipe.numerics.drawing._spheres import OUTLINE, PALE, Image, Item, paler
from anipipe.numerics.drawing._view import View
from anipipe.numerics.lenses import Floats

Flags = NDArray[np.bool_]
Ints = NDArray[np.int32]

SMOOTH = 32  # by how much a colour may change from one piece of a line to the next
PIECES = (2, 8)  # of a line, at least and at most
SUNK = 0.8  # how deep rods begin within the spheres at their ends, in radii from the middle
OVERLAP = 0.6  # px; of the pieces of a line, so that no gap shows between them


class Rods:
    """The painter of the lines between joints.

    Parameters
    ----------
    edges
        Pairs of joints.
    colours
        (joints, 3), in the order of the picture's channels; lines go from the one joint's to the other's.
    width
        Half of theirs, in the scene.
    sphere
        Radius of the joints' spheres, in the scene.
    outline
        px, outside of the rods.
    """

    def __init__(
        self,
        edges: Sequence[tuple[int, int]],
        colours: NDArray[np.uint8],
        width: float,
        sphere: float,
        outline: float,
    ) -> None:
        self.edges = np.array(edges, dtype=np.intp).reshape(-1, 2)
        self._width, self._sphere, self._outline = width, sphere, outline
        shades = colours[self.edges].astype(np.float64)
        changes = np.abs(shades[:, 0] - shades[:, 1]).max(axis=-1, initial=0)
        counts = np.clip(np.ceil(changes / SMOOTH), *PIECES).astype(int)
        self._line = np.repeat(np.arange(len(counts)), counts)
        first = np.arange(len(self._line)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._cuts = (first[:, None] + [0, 1]) / counts[self._line, None]
        along = self._cuts.mean(axis=-1, keepdims=True)
        mixed = shades[self._line, 0] * (1 - along) + shades[self._line, 1] * along
        bright = np.round(mixed).astype(np.uint8)
        self._colours = [bright.tolist(), paler(bright, PALE).tolist()]

    def items(self, view: View, places: Floats, points: Floats, filled: Flags) -> list[Item]:
        """Return what is to be painted of the lines between joints.

        Parameters
        ----------
        view
            The eye.
        places
            (joints, 3), as the view gives them.
        points
            (joints, 3), in the scene.
        filled
            (joints,), which points rest on no camera.
        """
        start, end = self.edges.T
        there = view.within(places)
        lengths = np.linalg.norm(points[end] - points[start], axis=-1)
        hidden = SUNK * self._sphere / np.maximum(lengths, 1e-12)
        hidden[~(there[start] & there[end])] = 1  # all of the line
        hidden = hidden[self._line, None]
        cuts = np.minimum(np.maximum(self._cuts, hidden), 1 - hidden)
        shown = np.flatnonzero(cuts[:, 0] < cuts[:, 1])
        line = self._line[shown]
        change = places[end] - places[start]
        ends = places[start][line, None] + cuts[shown, :, None] * change[line, None]
        along = change[:, :2] / np.maximum(np.hypot(change[:, 0], change[:, 1]), 1e-9)[:, None]
        outlines, bodies = self._corners(ends, along[line, None], view.focal)
        pale = (filled[start] | filled[end])[line]
        return [
            (depth, partial(_paint, outline=outline, body=body, colour=self._colours[is_pale][piece]))
            for piece, depth, outline, body, is_pale in zip(
                shown.tolist(),
                ends[..., 2].mean(axis=1).tolist(),
                outlines,
                bodies,
                pale.tolist(),
                strict=True,
            )
        ]

    def _corners(self, ends: Floats, along: Floats, focal: float) -> tuple[Ints, Ints]:
        """Return the corners of rods in the picture, (rods, 4, 2), with their outlines and without.

        Parameters
        ----------
        ends
            (rods, 2, 3), places.
        along
            (rods, 1, 2), unit vectors in the picture from the first end to the second.
        focal
            px.
        """
        across = along[..., ::-1] * [-1, 1]
        half = across * np.maximum(self._width * focal / ends[..., 2:], 0.5)
        wide = half + self._outline * across
        middle = ends[..., :2]
        longer = middle + OVERLAP * along * [[-1], [1]]
        outlines = np.concatenate([middle + wide, (middle - wide)[:, ::-1]], axis=1)
        bodies = np.concatenate([longer + half, (longer - half)[:, ::-1]], axis=1)
        return fixed(outlines), fixed(bodies)


def _paint(picture: Image, *, outline: Ints, body: Ints, colour: list[int]) -> None:
    import cv2

    cv2.fillConvexPoly(picture, outline, OUTLINE, cv2.LINE_AA, SHIFT)
    cv2.fillConvexPoly(picture, body, colour, cv2.LINE_AA, SHIFT)
