"""`anipipe bench-model`: how fast a network runs on this machine, and what limits it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from anipipe.config import Config
from anipipe.errors import DataError, Notice, UsageError
from anipipe.formats.video import Picture, Video
from anipipe.networks.models import Precision
from anipipe.networks.sources import ModelSource, find_model
from anipipe.project import walk

if TYPE_CHECKING:
    from torch import Tensor

    from anipipe.networks.streams import Times
    from anipipe.networks.tracker import Tracker

_LEAST_SECONDS = 2.0  # of each measurement
_BATCHES = {"cpu": (1, 2, 4, 8), "cuda": (1, 4, 16, 32, 64, 128), "mps": (1, 2, 4, 8, 16)}
_PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cpu": ("float32", "bfloat16"),
    "cuda": ("float32", "float16", "bfloat16"),
    "mps": ("float32", "float16"),
}


@dataclass(frozen=True)
class Subject:
    """What is measured: a model on a video, and the part of the frame that the network sees."""

    model: ModelSource
    video: Video
    crop: tuple[int, int, int, int] | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Speed:
    """Frames per second of the network alone, with the frames in memory already."""

    precision: Precision
    batch_size: int
    rate: float


@dataclass
class Bench:
    """What was measured, in frames per second.

    Attributes
    ----------
    model, video, device : str
    size : (int, int)
        Width and height of what the network sees.
    frames : int
        Of the video, that the whole stage was timed with.
    network : list of Speed
    decoding : float
        Reading the video, and nothing else.
    stage : dict
        Precision to the rate of the whole stage, with what it spent its time on.
    followed : float, optional
        The same with ``dynamic_crop``, in float32; None where the network cannot be used so.
    """

    model: str
    video: str
    device: str
    size: tuple[int, int]
    frames: int = 0
    network: list[Speed] = field(default_factory=list)
    decoding: float = 0.0
    stage: dict[Precision, tuple[float, Times]] = field(default_factory=dict)
    followed: float | None = None

    def best(self, precision: Precision) -> Speed:
        """Return the quickest batch size in one arithmetic."""
        return max((speed for speed in self.network if speed.precision == precision), key=lambda s: s.rate)


def find_subject(folder: Path, model: Path | None = None, video: Path | None = None) -> Subject:
    """Find out what to measure: what is named, else the first video in an experiment that has a network.

    Raises
    ------
    UsageError, DataError
        There is nothing to measure.
    """
    if model is not None and video is not None:
        return Subject(find_model(model), Video(video))
    experiment = walk(folder)
    views = [view for view in experiment.of("video") if view.files.get("video")]
    chosen = [view for view in views if view.files.get("model")]
    view = next(iter(chosen if model is None else views), None)
    if view is None or (video is not None and model is None and not chosen):
        reasons = dict.fromkeys(text for texts in experiment.objections.values() for text in texts)
        raise UsageError(
            "\n".join(reasons)
            or f"{folder}: no video here has a network (model_folder); or name both: --model and --video"
        )
    config: Config = view.settings.config
    crop = config.network.crop
    box = crop.get(view.names["camera"]) if isinstance(crop, dict) else crop
    source = find_model(Path(view.names["model"])) if model is None else find_model(model)
    film = video or experiment.root / view.files["video"][0]
    return Subject(source, Video(film), box if video is None else None, config.network.device)


def bench_model(
    subject: Subject, *, frames: int = 100, report: Callable[[str], None] = lambda what: None
) -> Bench:
    """Measure a network on a video, in every arithmetic and batch size that make sense on the device.

    Parameters
    ----------
    subject
    frames
        Of the video, for the whole stage.
    report
        Is told what is measured next.

    Raises
    ------
    ConfigError, DataError
        The device is not there, or the model or the video cannot be read.
    """
    import torch

    from anipipe.networks.devices import choose
    from anipipe.networks.tracking import checked_crop

    compute = choose(subject.device, "float32")
    video = replace(subject.video, threads=compute.threads)
    x, y, width, height = checked_crop(subject.crop, video.info.size)
    result = Bench(subject.model.name, video.path.name, str(compute).partition(",")[0], (width, height))
    some = [picture for _, picture in islice(video.frames(), 16) if picture is not None]
    if not some:
        raise DataError(
            f"{video.path}: the first frames of it are all missing or damaged; name another video"
        )
    resident = torch.stack([torch.from_numpy(p[y : y + height, x : x + width].copy()) for p in some])
    report("decoding alone")
    result.frames, result.decoding = _decoding(video, frames)
    with compute.threads_at_work():
        _measure(result, replace(subject, video=video), resident, compute.device.type, report)
    return result


def _measure(
    result: Bench, subject: Subject, resident: Tensor, kind: str, report: Callable[[str], None]
) -> None:
    """Measure everything in every arithmetic that makes sense on a kind of device."""
    video = subject.video
    for precision in _PRECISIONS[kind]:
        for size in _BATCHES[kind]:
            report(f"the network alone, {precision}, {size} frames at once")
            tracker = _tracker(subject, precision, size)
            rate = _network(tracker, resident, size)
            if rate is None:
                break  # no room for more
            result.network.append(Speed(precision, size, rate))
    if not result.network:
        raise DataError(
            f"the memory of {result.device} does not hold a single frame; give network.crop a part of it"
        )
    for precision in _PRECISIONS[kind]:
        report(f"the whole stage, {precision}")
        best = _tracker(subject, precision, result.best(precision).batch_size)
        result.stage[precision] = _stage(best, video, subject.crop, result.frames)
    best = _tracker(subject, "float32", result.best("float32").batch_size)
    if best.model.preparation.size is None:
        report("the whole stage with dynamic_crop")
        result.followed = _followed(best, video, subject.crop, result.frames)


def _tracker(subject: Subject, precision: Precision, batch_size: int) -> Tracker:
    from anipipe.networks.opening import open_tracker

    return open_tracker(subject.model, subject.device, precision, 1, batch_size)


def _decoding(video: Video, most: int) -> tuple[int, float]:
    began, count = time.perf_counter(), 0
    for count, _ in enumerate(islice(video.frames(), most), start=1):  # noqa: B007 - counts
        pass
    return count, count / (time.perf_counter() - began)


def _network(tracker: Tracker, resident: Tensor, size: int) -> float | None:
    """Return the rate with frames that lie on the device; None if its memory does not hold them."""
    import torch

    batch = resident[torch.arange(size) % len(resident)].to(tracker.compute.device)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        try:
            tracker(batch).cpu()
            began, done = time.perf_counter(), 0
            while done < 2 or time.perf_counter() - began < _LEAST_SECONDS:
                found = tracker(batch)
                done += 1
            found.cpu()  # waits for the device
        except (Notice, DataError):
            return None
    return done * size / (time.perf_counter() - began)


def _stage(
    tracker: Tracker, video: Video, crop: tuple[int, int, int, int] | None, frames: int
) -> tuple[float, Times]:
    from anipipe.networks.tracking import track

    began = time.perf_counter()
    found = track(tracker, _first(video, frames), frames, video.info.size, crop=crop)
    return frames / (time.perf_counter() - began), found.times


def _followed(tracker: Tracker, video: Video, crop: tuple[int, int, int, int] | None, frames: int) -> float:
    from anipipe.networks.dynamic_crop import follow

    began = time.perf_counter()
    follow(tracker, _first(video, frames), frames, video.info.size, read=video.read, crop=crop)
    return frames / (time.perf_counter() - began)


def _first(video: Video, frames: int) -> Iterator[Picture]:
    return islice(video.frames(), frames)
