"""Labelled videos against the bare decoder and encoder, and how memory grows with the video."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from anipipe.config import Config, Resolved
from anipipe.engine.executors import limit_threads
from anipipe.formats.films import write_film, x264_options
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.video import Video
from anipipe.stages.label_2d import label_2d
from anipipe.stages.labeling import OverlayOptions
from benchmarks.measure import best, process, show
from benchmarks.video import make_video

JOINTS, REPEATS = 15, 3
LENGTHS = (300, 3000)


def run(files: Sequence[Path] = ()) -> None:
    """Time labelling of a video made on the spot, or of these files; print ratios and peak memory."""
    with tempfile.TemporaryDirectory(prefix="anipipe-labelling-") as text:
        folder = Path(text)
        for path in files or [make_video(folder / "made.mp4")]:
            _compare(path, folder / "out.mp4")
        _memory(folder)


def _compare(path: Path, out: Path) -> None:
    video, options = Video(path), _options()
    pose = _pose(video)
    tasks = [
        ("PyAV: decode, encode; nothing drawn", lambda: _plain(path, out, options)),
        ("label-2d", lambda: write_film(label_2d(pose, video, options=options), out)),
    ]
    seconds = [best(task, repeats=REPEATS) for _, task in tasks]
    width, height = video.info.size
    show(
        f"label-2d: {path.name}, {video.count()} frames, {width} x {height}, {JOINTS} joints; x264 with one "
        f"thread, preset {options.preset}, crf {options.quality}; best of {REPEATS}",
        ["", "s", "frames/s", "ratio"],
        [
            [name, f"{spent:.2f}", f"{video.count() / spent:.0f}", f"{spent / seconds[0]:.2f}"]
            for (name, _), spent in zip(tasks, seconds, strict=True)
        ],
    )


def _options() -> OverlayOptions:
    config = Config.model_validate({"labeling": {"scheme": [[f"joint{n}" for n in range(JOINTS)]]}})
    return OverlayOptions.of(Resolved(config, {}, ()))


def _pose(video: Video) -> Pose2D:
    """Return joints that wander about the picture."""
    rng, count = np.random.default_rng(0), video.count()
    size = np.array(video.info.size)
    walk = np.cumsum(rng.normal(0, 3, (count, JOINTS, 2)), axis=0) + rng.uniform(0, size, (JOINTS, 2))
    points = np.abs((walk + size) % (2 * size) - size)  # turned back at the borders
    joints = tuple(f"joint{n}" for n in range(JOINTS))
    return Pose2D(joints, points[:, :, None], np.ones((count, JOINTS, 1)), "benchmark")


def _plain(path: Path, out: Path, options: OverlayOptions) -> None:
    """Decode and encode one frame after another, as the documentation of PyAV shows it."""
    with av.open(str(path)) as source, av.open(str(out), "w", options={"movflags": "+faststart"}) as target:
        taken = source.streams.video[0]
        taken.thread_count = 1
        rate = taken.average_rate or 30
        settings = x264_options(options.quality, options.preset)
        stream = target.add_stream("libx264", rate=rate, options=settings)
        stream.width, stream.height, stream.pix_fmt = taken.width, taken.height, "yuv420p"
        stream.codec_context.thread_count, stream.codec_context.gop_size = 1, round(rate)
        for number, frame in enumerate(source.decode(taken)):
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, 1 / Fraction(rate)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())


def _memory(folder: Path) -> None:
    rows = []
    for frames in LENGTHS:
        path = make_video(folder / f"{frames}.mp4", frames=frames, size=(640, 480))
        command = [sys.executable, "-m", "benchmarks.labelling", "label", str(path)]
        rows.append([str(frames), f"{process(command, folder / 'log').peak:.0f}"])
    show("label-2d: memory of a process, 640 x 480", ["frames", "MiB"], rows)


if __name__ == "__main__":
    limit_threads()  # as the command line does
    if sys.argv[1] == "label":
        film = Video(Path(sys.argv[2]))
        drawn = label_2d(_pose(film), film, options=_options())
        write_film(drawn, Path(sys.argv[2]).with_suffix(".labelled.mp4"))
    else:
        run([Path(name) for name in sys.argv[1:]])
