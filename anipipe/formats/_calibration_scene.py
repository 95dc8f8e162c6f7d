"""The cameras and the boards of a calibration in space, drawn as SVG that a small script can turn."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.formats._calibration_drawings import escape
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.cameras import Camera, Rig

Floats = NDArray[np.float64]

BOARDS = 50  # drawn, taken evenly from all
FAR = 4.0  # times the usual distance from the middle, beyond which a board would shrink all others
WIDTH, HEIGHT = 900.0, 560.0
ELEVATION = np.radians(24.0)
AZIMUTHS = np.radians(np.arange(0.0, 360.0, 10.0))
DISTANCE = 4.0  # of the eye, in radii of the scene


@dataclass
class _Scene:
    """Points in space, and the lines and names that hang on them."""

    points: list[Floats] = field(default_factory=list)
    shapes: list[tuple[str, list[int], str]] = field(default_factory=list)

    def add(self, kind: str, points: ArrayLike, text: str = "") -> None:
        """Add a polygon, a line or a name: its class in the page's style, (n, 3) points, and its text."""
        rows = np.atleast_2d(np.asarray(points, dtype=np.float64))
        self.shapes.append((kind, list(range(len(self.points), len(self.points) + len(rows))), text))
        self.points += list(rows)


def scene_drawing(rig: Rig, solution: Solution, board_points: ArrayLike) -> str:
    """Draw cameras with their names, and boards.

    Parameters
    ----------
    rig
        The cameras.
    solution
        Its boards are drawn.
    board_points
        (corners, 3), on the board.

    Returns
    -------
    An SVG from a viewpoint from which the cameras lie well apart, with what a script needs to turn it in
    ``data-scene``: points relative to the middle and divided by the radius, and the points of each element.
    """
    if not len(rig):
        return ""
    centres = np.stack([camera.centre for camera in rig.cameras])
    boards = _chosen_boards(solution.boards, board_points, centres)
    everything = np.concatenate([centres, boards.reshape(-1, 3)])
    middle = (everything.min(axis=0) + everything.max(axis=0)) / 2
    radius = max(float(np.linalg.norm(everything - middle, axis=-1).max()), np.finfo(float).tiny)
    scene = _Scene()
    for board in boards:
        scene.add("board", board)
    for camera in rig.cameras:
        _add_camera(scene, camera, 0.16 * radius)
    points = (np.stack(scene.points) - middle) / radius
    turned = points @ _base(rig).T
    azimuth = _best_azimuth((centres - middle) @ _base(rig).T / radius)
    return _svg(scene, turned, float(azimuth))


def _chosen_boards(boards: Floats, board_points: ArrayLike, centres: Floats) -> Floats:
    """Return the outlines (boards, 4, 3) of some boards, evenly from all; those far off are left out."""
    board = np.asarray(board_points, dtype=np.float64)
    (left, top), (right, bottom) = board[:, :2].min(axis=0), board[:, :2].max(axis=0)
    outline = np.array([[left, top, 0], [right, top, 0], [right, bottom, 0], [left, bottom, 0]])
    known = boards[np.isfinite(boards[:, 0, 0])]
    if not len(known):
        return np.empty((0, 4, 3))
    quads = np.einsum("iab,kb->ika", known[:, :3, :3], outline) + known[:, None, :3, 3]
    middle = np.median(np.concatenate([centres, quads.mean(axis=1)]), axis=0)
    off = np.linalg.norm(quads.mean(axis=1) - middle, axis=-1)
    usual = max(float(np.median(off)), float(np.linalg.norm(centres - middle, axis=-1).max()))
    quads = quads[off <= FAR * usual]
    return np.asarray(quads[np.linspace(0, len(quads) - 1, min(len(quads), BOARDS)).astype(int)])


def _add_camera(scene: _Scene, camera: Camera, deep: float) -> None:
    """Add a pyramid that opens the way that a camera looks, and its name behind it."""
    width, height = camera.size or (2 * camera.matrix[0, 2] + 1, 2 * camera.matrix[1, 2] + 1)
    # as wide as it sees, within what can be drawn
    half = np.array([width / camera.matrix[0, 0], height / camera.matrix[1, 1]]) / 2
    half = np.clip(half * min(1.0, 0.8 / half.max()) * max(1.0, 0.3 / half.max()), 0.05, 0.8)
    corners = deep * np.array(
        [[-half[0], -half[1], 1], [half[0], -half[1], 1], [half[0], half[1], 1], [-half[0], half[1], 1]]
    )
    roof = deep * np.array([[-half[0] / 2, -half[1], 1], [0, -1.5 * half[1], 1], [half[0] / 2, -half[1], 1]])

    def place(points: Floats) -> Floats:
        return np.asarray(points @ camera.rotation_matrix + camera.centre)

    world, tip = place(corners), camera.centre
    for first in range(4):
        scene.add("ray", [tip, world[first]])
    scene.add("camera", world)
    scene.add("up", place(roof))
    scene.add("name", place(np.array([[0.0, 0.0, -0.5 * deep]])), camera.name)


def _base(rig: Rig) -> Floats:
    """Return the rotation (3, 3) from the world to axes whose y points down, as most cameras have it."""
    down = np.mean([camera.rotation_matrix[1] for camera in rig.cameras], axis=0)
    if np.linalg.norm(down) < 0.5:  # they do not agree: then down is across the plane in which they stand
        centres = np.stack([camera.centre for camera in rig.cameras])
        across = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=True)[2][2]
        looking = np.mean([camera.rotation_matrix[2] for camera in rig.cameras], axis=0)
        down = across if across @ looking >= 0 else -across
    y = down / np.linalg.norm(down)
    x = np.cross(y, np.eye(3)[int(np.argmin(np.abs(y)))])
    x /= np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)])


def _best_azimuth(centres: Floats) -> float:
    """Return the turn about the upright axis at which the nearest two of the cameras are farthest apart."""
    spread = []
    for azimuth in AZIMUTHS:
        flat = _flattened(centres, float(azimuth), float(ELEVATION))[0]
        gap = np.linalg.norm(flat[:, None] - flat[None], axis=-1)[np.triu_indices(len(flat), 1)]
        spread.append(round(float(gap.min(initial=np.inf)), 9))
    return float(AZIMUTHS[int(np.argmax(spread))])


def _flattened(points: Floats, azimuth: float, elevation: float) -> tuple[Floats, Floats]:
    """Project (n, 3) points, seen from outside of the scene; return (n, 2) and their distance (n,)."""
    sine, cosine = np.sin(azimuth), np.cos(azimuth)
    x, z = cosine * points[:, 0] + sine * points[:, 2], cosine * points[:, 2] - sine * points[:, 0]
    y, z = (
        np.cos(elevation) * points[:, 1] - np.sin(elevation) * z,
        np.cos(elevation) * z + np.sin(elevation) * points[:, 1],
    )
    scale = DISTANCE / (DISTANCE + z)
    return np.stack([x * scale, y * scale], axis=-1), z


def _svg(scene: _Scene, points: Floats, azimuth: float) -> str:
    flat, _ = _flattened(points, azimuth, float(ELEVATION))
    zoom = 0.9 * min(WIDTH / 2 / np.abs(flat[:, 0]).max(), HEIGHT / 2 / np.abs(flat[:, 1]).max())
    shown = zoom * flat
    elements = []
    for kind, indices, text in scene.shapes:
        if text:
            x, y = shown[indices[0]]
            elements.append(f'<text x="{x:.1f}" y="{y:.1f}" class="name">{escape(text)}</text>')
            continue
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in shown[indices].tolist())
        closed = "Z" if kind in ("board", "camera") else ""
        elements.append(f'<path d="M{line}{closed}" class="{kind}"/>')
    data: dict[str, Any] = {
        "points": np.round(points, 4).tolist(),
        "shapes": [indices for _, indices, _ in scene.shapes],
        "azimuth": round(azimuth, 4),
        "elevation": round(float(ELEVATION), 4),
        "distance": DISTANCE,
        "zoom": round(float(zoom), 2),
    }
    box = f"{-WIDTH / 2:.0f} {-HEIGHT / 2:.0f} {WIDTH:.0f} {HEIGHT:.0f}"
    return (
        f'<svg id="scene" viewBox="{box}" role="img" aria-label="the cameras and the boards in space" '
        f'data-scene="{escape(json.dumps(data, separators=(",", ":")))}">{"".join(elements)}</svg>'
    )
