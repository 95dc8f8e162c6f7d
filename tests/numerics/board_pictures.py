"""Pictures of boards whose corners are known: drawn from the boards' definitions, without OpenCV's drawing.

Each pixel is the mean of many samples; pixel (0, 0) is the centre of the top left pixel, so that its samples
lie between -0.5 and 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from anipipe.numerics.boards.detection import detect_board
from anipipe.numerics.boards.geometry import Board, make_board

DARK, LIGHT = 30.0, 200.0
CELLS = {"DICT_4X4_1000": 4, "DICT_5X5_100": 5, "DICT_6X6_250": 6, "DICT_APRILTAG_36h11": 6}


@dataclass(frozen=True)
class Drawn:
    """A board to draw; lengths as in the configuration, the size with its meaning."""

    kind: str
    size: tuple[int, int]
    square: float = 24.0
    marker: float = 18.0
    separation: float = 6.0
    dictionary: str = "DICT_4X4_1000"
    legacy: bool = False

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the board."""
        across, down = self.size
        if self.kind == "aruco":
            pitch = self.marker + self.separation
            return across * pitch - self.separation, down * pitch - self.separation
        more = 1 if self.kind == "checkerboard" else 0
        return (across + more) * self.square, (down + more) * self.square

    def truth(self) -> np.ndarray:
        """(n, 2) corners from the board's top left, by id."""
        across, down = self.size
        if self.kind == "aruco":
            pitch, side = self.marker + self.separation, self.marker
            return np.array(
                [
                    (x * pitch + dx, y * pitch + dy)
                    for y in range(down)
                    for x in range(across)
                    for dx, dy in ((0, 0), (side, 0), (side, side), (0, side))
                ]
            )
        fewer = 1 if self.kind == "charuco" else 0
        return np.array(
            [
                ((x + 1) * self.square, (y + 1) * self.square)
                for y in range(down - fewer)
                for x in range(across - fewer)
            ]
        )

    def dark(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether places on the board are dark."""
        if self.kind == "aruco":
            pitch = self.marker + self.separation
            column, row = np.floor(x / pitch).astype(int), np.floor(y / pitch).astype(int)
            number = np.where(self._inside(column, row), row * self.size[0] + column, -1)
            return self._in_marker(number, x - column * pitch, y - row * pitch)
        column, row = np.floor(x / self.square).astype(int), np.floor(y / self.square).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < self.extent[0]) & (y < self.extent[1])
        odd = (column + row) % 2 == 1
        if self.kind == "checkerboard":
            return inside & ~odd
        if self.legacy and self.size[1] % 2 == 0:
            odd = ~odd
        gap = (self.square - self.marker) / 2
        number = np.where(inside & odd, self._numbers(column, row), -1)
        in_marker = self._in_marker(number, x - column * self.square - gap, y - row * self.square - gap)
        return (inside & ~odd) | in_marker

    def _inside(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return (column >= 0) & (row >= 0) & (column < self.size[0]) & (row < self.size[1])

    def _numbers(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Markers count through the light squares, along the rows."""
        across, down = self.size
        light = np.add.outer(np.arange(down), np.arange(across)) % 2 == 1
        if self.legacy and down % 2 == 0:
            light = ~light
        counted = np.cumsum(light.reshape(-1)).reshape(down, across) - 1
        return counted[np.clip(row, 0, down - 1), np.clip(column, 0, across - 1)]

    def _in_marker(self, number: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        cells = CELLS[self.dictionary] + 2
        book = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))
        pictures = np.stack(
            [cv2.aruco.generateImageMarker(book, i, cells) for i in range(max(int(number.max()), 0) + 1)]
        )
        u, v = np.floor(x / self.marker * cells).astype(int), np.floor(y / self.marker * cells).astype(int)
        on = (number >= 0) & (u >= 0) & (v >= 0) & (u < cells) & (v < cells)
        value = pictures[np.clip(number, 0, None), np.clip(v, 0, cells - 1), np.clip(u, 0, cells - 1)]
        return on & (value == 0)


def view(board: Drawn, corners: list[tuple[float, float]]) -> np.ndarray:
    """Board_to_pixels homography that puts the board's four corners, clockwise from the top left, there."""
    width, height = board.extent
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    return cv2.getPerspectiveTransform(source, np.array(corners, dtype=np.float32)).astype(float)


def bend(points: np.ndarray, size: tuple[int, int], k1: float) -> np.ndarray:
    """Move pixels as a lens does whose focal length is the picture's width."""
    middle, focal = np.array(size) / 2, size[0]
    ray = (points - middle) / focal
    return middle + focal * ray * (1 + k1 * (ray**2).sum(axis=-1, keepdims=True))


def unbend(points: np.ndarray, size: tuple[int, int], k1: float) -> np.ndarray:
    straight = points.copy()
    for _ in range(8):
        straight += points - bend(straight, size, k1)
    return straight


def render(
    board: Drawn,
    homography: np.ndarray,
    size: tuple[int, int] = (640, 480),
    *,
    blur: float = 0.8,
    noise: float = 2.0,
    k1: float = 0.0,
    samples: int = 6,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (height, width) picture and the (n, 2) true pixels of the corners by id."""
    picture = _shades(board, homography.tobytes(), size, k1, samples, seed)
    picture = LIGHT - (LIGHT - DARK) * picture
    if blur:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    picture += np.random.default_rng(seed).normal(0, noise, picture.shape)
    truth = cv2.perspectiveTransform(board.truth()[:, None].astype(float), homography).reshape(-1, 2)
    if k1:
        truth = bend(truth, size, k1)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8), truth


@cache
def _shades(
    board: Drawn, homography: bytes, size: tuple[int, int], k1: float, samples: int, seed: int
) -> np.ndarray:
    """Return which part of each pixel is dark, (height, width); many tests look at the same picture."""
    back = np.linalg.inv(np.frombuffer(homography).reshape(3, 3))

    def dark(pixels: np.ndarray) -> np.ndarray:
        mapped = (unbend(pixels, size, k1) if k1 else pixels) @ back[:, :2].T + back[:, 2]
        depth = np.where(mapped[..., 2] == 0, 1e-12, mapped[..., 2])
        return board.dark(mapped[..., 0] / depth, mapped[..., 1] / depth)

    places = np.stack(np.meshgrid(np.arange(size[0], dtype=float), np.arange(size[1])), axis=-1)
    middles = dark(places).astype(np.uint8)
    # only where there is an edge do the samples in a pixel differ
    square = np.ones((3, 3), np.uint8)
    edge = cv2.dilate(middles, square) != cv2.erode(middles, square)
    steps = (np.arange(samples) + 0.5) / samples - 0.5
    within = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    # On a regular grid of samples the place of an upright edge would be known to a twelfth of a pixel only.
    jitter = np.random.default_rng(seed + 1).uniform(-0.5, 0.5, (int(edge.sum()), len(within), 2)) / samples
    shades = middles.astype(float)
    shades[edge] = dark(places[edge][:, None] + within + jitter).mean(axis=1)
    return shades


SLANTED = [(80.3, 60.1), (560.7, 40.4), (520.2, 430.9), (50.6, 380.3)]
TURNED = [(330.0, 20.5), (600.4, 200.3), (390.2, 460.6), (110.7, 250.2)]
STRAIGHT = [(60.3, 50.7), (580.3, 50.7), (580.3, 430.7), (60.3, 430.7)]
VIEWS = {"slanted": SLANTED, "turned": TURNED, "straight": STRAIGHT}
NEW_EVEN = Drawn("charuco", (8, 6))
LEGACY_EVEN = Drawn("charuco", (7, 6), legacy=True)
ODD = Drawn("charuco", (6, 5), dictionary="DICT_6X6_250")
APRIL = Drawn("charuco", (6, 5), dictionary="DICT_APRILTAG_36h11")
GRID = Drawn("aruco", (6, 4), dictionary="DICT_5X5_100")
CHECKERS = Drawn("checkerboard", (8, 5))
BOARDS = {
    "new": NEW_EVEN,
    "legacy": LEGACY_EVEN,
    "odd": ODD,
    "april": APRIL,
    "grid": GRID,
    "checkers": CHECKERS,
}


def as_board(drawn: Drawn) -> Board:
    return make_board(
        drawn.kind,
        drawn.size,
        square=drawn.square,
        marker=drawn.marker,
        separation=drawn.separation,
        dictionary=drawn.dictionary,
    )


def see(picture, drawn, **options):
    """Ids and corners of one picture."""
    found = detect_board([(0, picture)], as_board(drawn), **options)
    if not found.sightings:
        return np.empty(0, int), np.empty((0, 2)), found
    return found.sightings[0].ids, found.sightings[0].corners, found
