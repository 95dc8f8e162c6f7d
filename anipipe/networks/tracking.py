"""A network over all frames of a video: decoding, network and results overlap.

Frames are never held longer than they are needed; what grows with the video is the result alone.
With ``dynamic_crop`` see :mod:`anipipe.networks.dynamic_crop`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from anipipe.errors import ConfigError
from anipipe.networks.streams import Batch, Box, Frames, Stream, Times
from anipipe.networks.tracker import Tracker

#: Is told how many frames are done, of how many.
Progress = Callable[[int, int], object]


@dataclass
class Tracked:
    """Where the joints are in the frames of a video.

    Attributes
    ----------
    values : ndarray
        (frames, joints, candidates, 3), float32: x, y (pixels of the whole frame) and score; NaN for frames
        that are missing or damaged.
    seen : ndarray
        (frames,), False for those.
    times : Times
    """

    values: NDArray[np.float32]
    seen: NDArray[np.bool_]
    times: Times

    @classmethod
    def empty(cls, frames: int, tracker: Tracker) -> Tracked:
        """Return a result in which nothing is known yet."""
        shape = (frames, len(tracker.joints), tracker.candidates, 3)
        return cls(np.full(shape, np.nan, dtype=np.float32), np.zeros(frames, dtype=np.bool_), Times())

    def take(self, rows: NDArray[np.intp], values: NDArray[np.float32], corner: tuple[int, int]) -> None:
        """Take in what was found in pictures whose first pixel is at ``corner`` of the frame."""
        self.values[rows], self.seen[rows] = values, True
        self.values[rows, ..., :2] += np.array(corner, dtype=np.float32)


def track(
    tracker: Tracker,
    frames: Frames,
    count: int,
    size: tuple[int, int],
    *,
    crop: Box | None = None,
    progress: Progress | None = None,
) -> Tracked:
    """Find the joints in every frame.

    Parameters
    ----------
    tracker
    frames
        Rows and pictures, (height, width, 3), uint8, in the order blue, green, red; None for damaged ones.
    count
        Rows of the result.
    size
        Width and height of the frames.
    crop
        x, y, width, height of the part that the network sees.
    progress
        Is told how many frames have been done, of how many.

    Raises
    ------
    ConfigError
        The crop does not lie within the frame.
    """
    crop = checked_crop(crop, size)
    result = Tracked.empty(count, tracker)
    capacity = tracker.batch_size(crop[2], crop[3])
    pinned = tracker.compute.device.type == "cuda"
    running: deque[tuple[Batch, Tensor]] = deque()

    def collect() -> None:
        batch, values = running.popleft()
        began = time.perf_counter()
        there = values.cpu().numpy()  # waits for the device
        batch.release()
        arrived = time.perf_counter()
        result.take(batch.rows, there, crop[:2])
        result.times.computing += arrived - began
        result.times.writing += time.perf_counter() - arrived
        if progress is not None:
            progress(int(batch.rows[-1]) + 1, count)

    reading = Stream(frames, size, crop, capacity, result.times, buffers=4, pinned=pinned)
    with tracker.compute.threads_at_work(), reading as stream:
        for batch in stream:
            began = time.perf_counter()
            running.append((batch, tracker(batch.pictures)))
            result.times.computing += time.perf_counter() - began
            if len(running) > 1:  # one is always under way while results of the one before are taken in
                collect()
        while running:
            collect()
    return result


def checked_crop(crop: Box | None, size: tuple[int, int]) -> Box:
    """Return the part of the frame that is wanted, all of it for None; refuse one that lies outside."""
    if crop is None:
        return (0, 0, *size)
    x, y, width, height = crop
    if x + width > size[0] or y + height > size[1]:
        raise ConfigError(
            f"network.crop = {list(crop)} reaches to ({x + width}, {y + height}), and the frame has "
            f"{size[0]} x {size[1]} pixels; it is [x, y, width, height]"
        )
    return crop
