"""Decoding videos, against the bare decoder and OpenCV."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from anipipe.formats.video import Video
from benchmarks.measure import REPEATS, best, show

FRAMES, SIZE, SINGLE = 200, (1280, 1024), 20


def run(files: Sequence[Path] = ()) -> None:
    """Time reading a video made on the spot, or these files, with one thread and with two; print frames/s."""
    with tempfile.TemporaryDirectory(prefix="anipipe-video-") as folder:
        for path in files or [make_video(Path(folder) / "made.mp4")]:
            for threads in (1, 2):
                _compare(path, threads)


def _compare(path: Path, threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    cv2.setNumThreads(threads)
    video = Video(path)
    every, rng = range(video.count()), np.random.default_rng(0)
    single = sorted(rng.choice(len(every), min(SINGLE, len(every)), replace=False).tolist())
    tasks: list[tuple[str, int, Callable[[], None]]] = [
        ("decoder alone, nothing converted", len(every), lambda: _decode(path, threads)),
        ("anipipe, colours", len(every), lambda: _drain(video.frames())),
        ("OpenCV, colours", len(every), lambda: _opencv(path, threads, every, False)),
        ("anipipe, grey", len(every), lambda: _drain(video.frames(grey=True))),
        ("OpenCV, grey", len(every), lambda: _opencv(path, threads, every, True)),
        ("anipipe, single frames", len(single), lambda: _drain(video.read(single))),
        ("OpenCV, single frames", len(single), lambda: _opencv(path, threads, single, False)),
        ("anipipe, opening (info and count)", 1, lambda: _open(path)),
    ]
    rates = [count / best(task) for _, count, task in tasks]
    width, height = video.info.size
    show(
        f"video: {path.name}, {len(every)} frames, {width} x {height}, {video.info.codec};\n"
        f"threads: {threads}; "
        f"frames/s, best of {REPEATS}; single: {len(single)} frames at random, in ascending order;\n"
        "ratio: to the decoder alone",
        ["", "frames/s", "ratio"],
        [
            [name, f"{rate:.0f}", f"{rate / rates[0]:.2f}"]
            for (name, _, _), rate in zip(tasks, rates, strict=True)
        ],
    )


def make_video(path: Path, frames: int = FRAMES, size: tuple[int, int] = SIZE) -> Path:
    """Write a textured scene that moves, with a disc and noise of a camera."""
    rng, (width, height) = np.random.default_rng(0), size
    scene = cv2.GaussianBlur(rng.normal(128, 30, (height + 80, width + 120, 3)), (0, 0), 5)
    scene = np.clip(4 * (scene - 128) + 128, 0, 245).astype(np.uint8)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "20", "g": "60"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            down, right = number % 70, number % 100
            image = scene[down : down + height, right : right + width].copy()
            cv2.circle(image, (100 + 4 * number, height // 2), 60, (10, 10, 240), -1)
            image += rng.integers(0, 6, image.shape, dtype=np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        output.mux(stream.encode())
    return path


def _drain(frames: object) -> None:
    for _ in frames:  # type: ignore[attr-defined]
        pass


def _open(path: Path) -> None:
    video = Video(path)
    _ = video.info, video.count()


def _decode(path: Path, threads: int) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", threads
        _drain(container.decode(stream))


def _opencv(path: Path, threads: int, rows: Sequence[int], grey: bool) -> None:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    for row in rows:
        if isinstance(rows, list):
            capture.set(cv2.CAP_PROP_POS_FRAMES, row)
        picture = capture.read()[1]
        if grey:
            cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


if __name__ == "__main__":
    import sys

    run([Path(name) for name in sys.argv[1:]])
