"""Running pose networks: the whole stage against the network alone, arithmetics, following, and memory.

``python -m benchmarks.networks MODEL VIDEO`` compares following the animal with whole frames, on yours.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
import yaml

from anipipe.config import resolve
from anipipe.formats.poses2d import write_pose_2d
from anipipe.formats.video import Video
from anipipe.networks.architectures.build import build_deeplabcut, initialise
from anipipe.networks.decoding import decode
from anipipe.networks.dynamic_crop import follow
from anipipe.networks.loading import load_model
from anipipe.networks.models import IMAGENET_MEAN, IMAGENET_STD, TrainedModel
from anipipe.networks.opening import open_tracker
from anipipe.networks.sources import ModelSource, find_model
from anipipe.networks.tracking import track
from anipipe.networks.training.configs import make_config
from anipipe.stages.pose_2d import PoseOptions, run_network
from benchmarks.measure import process, show

ROUNDS, FRAMES, JOINTS = 3, 24, ("a", "b", "c", "d")
BATCHES = {"cpu": (1, 2, 4, 8), "cuda": (8, 32, 64, 128)}
SHORT, LONG = 1_000, 20_000  # frames, for memory


def run() -> None:
    """Time networks with random weights on videos made on the spot; measure memory."""
    with tempfile.TemporaryDirectory(prefix="anipipe-networks-") as folder:
        place = Path(folder)
        cuda = torch.cuda.is_available()
        for net, size in (
            (("resnet_50", (640, 480)), ("resnet_50", (1280, 1024))) if cuda else (("resnet_18", (640, 480)),)
        ):
            video = make_video(place / f"{size[0]}.mp4", 1200 if cuda else FRAMES, size)
            _compare(make_model(place / net, net), video, "cuda" if cuda else "cpu")
        _memory(place)


def _compare(source: ModelSource, video: Video, device: str) -> None:
    """Interleave all ways, so that what else the machine does hits them alike; the best of some rounds."""
    count, size = video.count(), video.info.size
    quick = "float16" if device == "cuda" else "bfloat16"
    pictures = torch.stack([torch.from_numpy(p) for _, p in islice(video.frames(), 16) if p is not None])
    torch.set_num_threads(open_tracker(source, device).compute.threads)
    ways: dict[str, Callable[[], float]] = {}
    if device == "cpu":
        plain = load_model(source)
        ways["plain loop"] = lambda: _rate(lambda: _plain(plain, video, 4), 4)
    for precision in ("float32", quick):
        for batch in BATCHES[device]:
            ways[f"network alone, {precision}, {batch}"] = lambda p=precision, b=batch: _alone(
                source, device, p, b, pictures
            )
        ways[f"whole stage, {precision}"] = lambda p=precision: _rate(
            lambda: _stage(source, video, device, p), count
        )
    ways["decoding alone"] = lambda: _rate(lambda: [None for _ in replace(video, threads=0).frames()], count)
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            best[name] = max(best[name], way())
    alone = {
        p: max(rate for name, rate in best.items() if name.startswith(f"network alone, {p}"))
        for p in ("float32", quick)
    }
    limits = {f"whole stage, {p}": min(rate, best["decoding alone"]) for p, rate in alone.items()}
    show(
        f"networks: {source.name}, {size[0]} x {size[1]}, {device}; frames/s, best of {ROUNDS} interleaved\n"
        "rounds; ratio: of the whole stage to the smaller of network alone (best batch) and decoding alone;\n"
        f"{quick} is {alone[quick] / alone['float32']:.2f} times float32",
        ["", "frames/s", "ratio"],
        [
            [name, f"{rate:.2f}", f"{rate / limits[name]:.2f}" if name in limits else ""]
            for name, rate in best.items()
        ],
    )


def _rate(work: Callable[[], object], frames: int) -> float:
    began = time.perf_counter()
    work()
    return frames / (time.perf_counter() - began)


def _alone(source: ModelSource, device: str, precision: str, batch: int, pictures: torch.Tensor) -> float:
    tracker = open_tracker(source, device, precision, 1, batch)  # type: ignore[arg-type]
    there = pictures[torch.arange(batch) % len(pictures)].to(tracker.compute.device)
    times = max(1, FRAMES // 2 // batch) if device == "cpu" else 20
    tracker(there).cpu()
    return _rate(lambda: [tracker(there) for _ in range(times)][-1].cpu(), times * batch)


def _stage(source: ModelSource, video: Video, device: str, precision: str) -> None:
    options = replace(PoseOptions.of(resolve(())), device=device, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        write_pose_2d(run_network(source, video, options), Path(folder) / "pose.h5")


def _plain(model: TrainedModel, video: Video, frames: int) -> None:
    """Do as a script does: one frame after another, nothing overlapping."""
    for _, picture in islice(video.frames(), frames):
        assert picture is not None
        image = ((picture[..., ::-1] / 255 - IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32)
        with torch.inference_mode():
            decode(model.decoding, model.network(torch.from_numpy(image.transpose(2, 0, 1).copy())[None]))


def _memory(place: Path) -> None:
    """Measure the peak of fresh processes that track a short and a long video."""
    make_model(place / "tiny", "cspnext_tiny")
    peaks = []
    for frames in (SHORT, LONG):
        video = make_video(place / f"{frames}.mp4", frames, (160, 128))
        command = [sys.executable, "-m", "benchmarks.networks", "--track", place / "tiny", video.path]
        peaks.append(process(command, place / "log").peak)
    rows = [[f"{frames}", f"{peak:.0f}"] for frames, peak in zip((SHORT, LONG), peaks, strict=True)]
    show(
        "networks: peak memory of the whole stage, MiB",
        ["frames", "MiB"],
        [*rows, ["growth", f"{peaks[1] - peaks[0]:.0f}"]],
    )


def follow_and_compare(source: ModelSource, film: Path, most: int | None = None) -> None:
    """Follow the animal in a video, and compare with whole frames: speed, and how far points are moved."""
    video = Video(film)
    count, size = min(video.count(), most or video.count()), video.info.size
    tracker = open_tracker(source)
    whole, whole_time = _timed(lambda: track(tracker, video.frames(stop=count), count, size).values)
    window, window_time = _timed(
        lambda: follow(tracker, video.frames(stop=count), count, size, read=video.read).values
    )
    moved = np.hypot(*np.moveaxis(window[..., 0, :2] - whole[..., 0, :2], -1, 0))
    clear = whole[..., 0, 2] >= 0.6
    show(
        f"networks: dynamic_crop, {source.name} on {film.name}, {count} frames",
        ["", ""],
        [
            ["frames/s, whole frames", f"{count / whole_time:.2f}"],
            ["frames/s, dynamic_crop", f"{count / window_time:.2f}"],
            ["ratio", f"{whole_time / window_time:.2f}"],
            ["median difference, px", f"{np.nanmedian(moved):.3f}"],
            ["largest difference where the score is >= 0.6, px", f"{moved[clear].max():.2f}"],
            ["share of points with such a score", f"{clear.mean():.3f}"],
            ["share of points moved by more than 5 px", f"{(moved > 5).mean():.4f}"],
        ],
    )


def _timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def make_model(folder: Path, net: str) -> ModelSource:
    """Write a model with random weights, as DeepLabCut lays it out."""
    folder.mkdir(parents=True, exist_ok=True)
    config = make_config(net, JOINTS, folder, folder / "pytorch_config.yaml", 0)
    network = build_deeplabcut(config)
    initialise(network, torch.Generator().manual_seed(0))
    (folder / "pytorch_config.yaml").write_text(yaml.safe_dump(config))
    torch.save({"model": network.state_dict(), "metadata": {"epoch": 1}}, folder / "snapshot-001.pt")
    return find_model(folder)


def make_video(path: Path, frames: int, size: tuple[int, int]) -> Video:
    """Write a video of a moving gradient with noise."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (size[1] + 64, size[0] + 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "23", "g": "60"})
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p"
        for number in range(frames):
            image = noise[number % 64 :, number % 50 :][: size[1], : size[0]] + np.uint8(number % 128)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24")))
        output.mux(stream.encode())
    return Video(path)


if __name__ == "__main__":
    if sys.argv[1] == "--track":
        _stage(find_model(Path(sys.argv[2])), Video(Path(sys.argv[3])), "cpu", "float32")
    else:
        most = int(sys.argv[3]) if len(sys.argv) > 3 else None
        follow_and_compare(find_model(Path(sys.argv[1])), Path(sys.argv[2]), most)
