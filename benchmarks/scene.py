"""The 3D view, against matplotlib's 3D axes."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np

from anipipe.numerics.drawing.colours import edges, joint_colours
from anipipe.numerics.drawing.scene import Scene, Viewpoint
from benchmarks.measure import show

JOINTS, FRAMES, PLAIN_FRAMES = 15, 600, 30
SIZE = (640, 480)


def run() -> None:
    """Time single frames of a walking body, and print milliseconds."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        points = _walk()
        plain = _milliseconds(_plain(points), PLAIN_FRAMES)
        rows = [["matplotlib, circling", f"{plain:.1f}", ""]]
        for name, options in (
            ("anipipe, fixed", {}),
            ("anipipe, circling", {"step": 0.5}),
            ("anipipe, circling, 10 earlier places", {"step": 0.5, "trail": 10}),
        ):
            ours = _milliseconds(_ours(points, **options), FRAMES)
            rows.append([name, f"{ours:.2f}", f"{plain / ours:.0f}"])
    finally:
        cv2.setNumThreads(threads)
    show(
        f"scene: {JOINTS} joints, {JOINTS - 1} lines, {SIZE[0]}x{SIZE[1]}, one thread; ms a frame, median;\n"
        "ratio: how much faster than matplotlib's 3D axes",
        ["", "ms", "ratio"],
        rows,
    )


def _walk() -> np.ndarray:
    rng = np.random.default_rng(7)
    body = np.cumsum(rng.normal(0, 8, (JOINTS, 3)), axis=0)
    way = np.cumsum(rng.normal(0, 1.5, (FRAMES, 1, 3)) * [1, 1, 0], axis=0)
    return way + body + rng.normal(0, 0.3, (FRAMES, JOINTS, 3))


def _look() -> tuple[tuple[tuple[int, int], ...], np.ndarray]:
    names = [f"joint{number}" for number in range(JOINTS)]
    return edges(names, [names]), joint_colours(names, [names], "rainbow")


def _ours(points: np.ndarray, step: float = 0.0, trail: int = 0) -> Callable[[int], object]:
    lines, colours = _look()
    view = Viewpoint(size=SIZE, step=step)
    return Scene(points, lines, colours, up=(0, 0, 1), unit="mm", viewpoint=view, trail=trail).draw


def _plain(points: np.ndarray) -> Callable[[int], object]:
    """Points and lines in matplotlib's 3D axes, kept from frame to frame, drawn into memory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines, colours = _look()
    canvas = FigureCanvasAgg(Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100))
    axes = canvas.figure.add_subplot(projection="3d")
    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    dots = axes.scatter(*points[0].T, c=colours / 255, depthshade=False)
    strokes = [axes.plot(*points[0, list(pair)].T, color=colours[pair[0]] / 255)[0] for pair in lines]

    def draw(frame: int) -> object:
        axes.view_init(elev=25, azim=-60 + 0.5 * frame)
        dots._offsets3d = tuple(points[frame].T)
        for stroke, pair in zip(strokes, lines, strict=True):
            stroke.set_data_3d(*points[frame, list(pair)].T)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())

    return draw


def _milliseconds(draw: Callable[[int], object], frames: int) -> float:
    for frame in range(min(frames, 50)):
        draw(frame)
    times = []
    for frame in range(frames):
        began = time.perf_counter()
        draw(frame)
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


if __name__ == "__main__":
    run()
