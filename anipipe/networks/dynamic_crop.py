"""Following an animal with a window: only what surrounds it is computed, until it is lost.

A video is cut into stretches, each of which begins with a whole frame, so that several can be followed
side by side in one batch. In every further frame the network sees a window around the place of the frame
before. Where a joint that was seen is lost, or one comes near the window's edge, or unsure ones are found
where others are, that frame is computed as a whole.

The window has one size for a video. It never leaves the frame, and moves in steps of the network's grid, so
that the network sees the very pixels that it would in the whole frame, in the same cells.

Which frames are followed side by side changes nothing: the result is that of one stretch after another.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anipipe.errors import ConfigError, Notice
from anipipe.networks.streams import Box, Frames, Stream
from anipipe.networks.tracker import Tracker
from anipipe.networks.tracking import Progress, Tracked, checked_crop, track

STRETCH = 48  # frames
GRID = 32  # pixels: every network here has cells, inner ones as well, of this or a divisor of it
CLEAR = 0.4  # the score from which on a joint counts as seen,
LOST = 0.2  # and that below which it no longer does: scores of joints that are half hidden go up and down
SURE = 0.6  # the score below which a joint may really be somewhere else,
_COLLAPSED = 0.4  # which is likely where joints lie together within this share of the animal's usual size
_SAMPLES = 24  # frames from which the size of the window is found
_MARGIN = 0.25  # of the animal's size, around it on each side
_LEAST_MARGIN = 40  # pixels, so that there is something around a small animal for the network to see
_GUARD = 16  # pixels from the window's edge, within which a joint may be drawn by what is cut off
_WORTHWHILE = 0.7  # of the frame's area, above which a window saves too little
_BUFFER = {"cpu": 96 * 2**20, "cuda": 2**30, "mps": 2**28}  # bytes of frames that are followed together

Values = NDArray[np.float32]


class _Pose(NamedTuple):
    """Joints (joints, 3) in one frame, and which of them are seen."""

    values: Values
    seen: NDArray[np.bool_]

    @classmethod
    def after(cls, values: Values, before: _Pose | None) -> _Pose:
        still = False if before is None else before.seen & (values[:, 2] >= LOST)
        return cls(values, (values[:, 2] >= CLEAR) | still)


@dataclass(frozen=True)
class _Field:
    """A frame's size and that of the window in it, (width, height), and the animal's usual size."""

    frame: NDArray[np.intp]
    window: NDArray[np.intp]
    animal: float

    def doubts(self, pose: _Pose) -> bool:
        """Say whether an unsure joint was taken for another one, while its own place may be outside."""
        points = pose.values[pose.seen, :2]
        together = bool(len(points)) and np.ptp(points, axis=0).max() < _COLLAPSED * self.animal
        return together and bool((pose.values[:, 2] < SURE).any())

    def corner(self, pose: _Pose) -> NDArray[np.intp] | None:
        """Return where the window has to be after a pose; None if that calls for the whole frame."""
        points = pose.values[pose.seen, :2]
        if not len(points) or self.doubts(pose):
            return None
        low, high = points.min(axis=0), points.max(axis=0)
        if ((high - low) + 2 * _GUARD > self.window).any():
            return None
        wanted = (low + high - self.window) / 2
        corner: NDArray[np.intp] = np.rint(wanted / GRID).astype(np.intp) * GRID
        return corner.clip(0, self.frame - self.window)

    def trusts(self, pose: _Pose, before: _Pose, corner: NDArray[np.intp]) -> bool:
        """Say whether what was found in a window can be what the whole frame shows."""
        if (before.seen & ~pose.seen).any() or self.doubts(pose):
            return False
        points = pose.values[pose.seen, :2]
        low = np.where(corner > 0, corner + _GUARD, -np.inf)
        high = np.where(corner + self.window < self.frame, corner + self.window - _GUARD, np.inf)
        return bool(((points >= low) & (points <= high)).all())


def follow(
    tracker: Tracker,
    frames: Frames,
    count: int,
    size: tuple[int, int],
    *,
    read: Callable[[Iterable[int]], Frames],
    crop: Box | None = None,
    progress: Progress | None = None,
) -> Tracked:
    """Find the joints in every frame, computing no more of it than a window around the animal.

    Parameters
    ----------
    tracker, frames, count, size, crop, progress
        As in :func:`~anipipe.networks.tracking.track`.
    read
        Gives some frames by their rows; the size of the window is found from them.

    Raises
    ------
    ConfigError
        The crop does not lie within the frame; or the network scales every picture to one size, to which a
        window is no part of the frame.
    """
    if tracker.model.preparation.size is not None:
        raise ConfigError(
            f"network.dynamic_crop: {tracker.model.name} scales every frame to one size, so that a window "
            "would show it the animal larger than it knows it; switch dynamic_crop off"
        )
    crop = checked_crop(crop, size)
    rows = np.unique(np.linspace(0, count - 1, min(_SAMPLES, max(1, count // STRETCH))).astype(int))
    sample = track(tracker, read(rows.tolist()), count, size, crop=crop).values[rows, :, 0]
    window = window_size(sample, (crop[2], crop[3]))
    if window is None:
        text = "the animal is not seen, or fills the frame: whole frames are computed (network.dynamic_crop)"
        warnings.warn(text, Notice, stacklevel=2)
        return track(tracker, frames, count, size, crop=crop, progress=progress)
    field = _Field(np.array(crop[2:]), np.array(window), animal_size(sample))
    result = Tracked.empty(count, tracker)
    side_by_side = max(1, _BUFFER[tracker.compute.device.type] // (STRETCH * crop[2] * crop[3] * 3))
    reading = Stream(frames, size, crop, side_by_side * STRETCH, result.times, buffers=2)
    with tracker.compute.threads_at_work(), reading as stream:
        for batch in stream:
            began = time.perf_counter()
            found = _follow(tracker, batch.pictures, field)
            result.times.computing += time.perf_counter() - began
            batch.release()
            result.take(batch.rows, found, crop[:2])
            if progress is not None:
                progress(int(batch.rows[-1]) + 1, count)
    return result


def window_size(values: Values, frame: tuple[int, int]) -> tuple[int, int] | None:
    """Return the width and height of a window that holds the animal in nearly all frames.

    Parameters
    ----------
    values
        (frames, joints, 3): x, y, score in some frames of the video.
    frame
        Width and height of the frame, which the window's differ from by multiples of the grid.

    Returns
    -------
    (int, int), optional
        None where a window would not be worth while, or the animal is not seen.
    """
    if not (values[..., 2] >= CLEAR).any():
        return None
    extent = animal_size(values)
    side = extent + 2 * max(_LEAST_MARGIN, _MARGIN * extent)
    steps = np.floor((np.array(frame) - side) / GRID).clip(min=0)
    width, height = (np.array(frame) - GRID * steps).astype(int).tolist()
    return (width, height) if width * height < _WORTHWHILE * frame[0] * frame[1] else None


def animal_size(values: Values) -> float:
    """Return the longer side, in pixels, of what holds the joints that are seen, in nearly all frames."""
    clear = values[..., 2] >= CLEAR
    seen = clear.any(axis=1)
    points = np.where(clear[seen][..., None], values[seen][..., :2], np.nan)
    # the longer one, since the animal may turn
    extents = (np.nanmax(points, axis=1) - np.nanmin(points, axis=1)).max(axis=1)
    return float(np.quantile(extents, 0.95))


def _follow(tracker: Tracker, pictures: Tensor, field: _Field) -> Values:
    """Follow stretches of pictures side by side; return (pictures, joints, candidates, 3)."""
    found: Values | None = None
    poses: dict[int, _Pose] = {}
    for step in range(min(STRETCH, len(pictures))):
        now = list(range(step, len(pictures), STRETCH))
        before = {index: poses[index - 1] for index in now if index - 1 in poses}
        corners = {index: field.corner(pose) for index, pose in before.items()}
        near = {index: corner for index, corner in corners.items() if corner is not None}
        windows = _look(tracker, _windows(pictures, near, field), list(near.values()))
        there = dict(zip(near, windows, strict=True))
        for index, corner in near.items():
            pose = _Pose.after(there[index][:, 0], before[index])
            if not field.trusts(pose, before[index], corner):
                del there[index]
        whole = [index for index in now if index not in there]
        there |= zip(whole, _look(tracker, pictures[whole]), strict=True)
        poses = {index: _Pose.after(values[:, 0], before.get(index)) for index, values in there.items()}
        if found is None:
            found = np.empty((len(pictures), *there[0].shape), dtype=np.float32)
        for index, values in there.items():
            found[index] = values
    assert found is not None
    return found


def _windows(pictures: Tensor, corners: dict[int, NDArray[np.intp]], field: _Field) -> Tensor:
    width, height = field.window.tolist()
    windows = torch.empty((len(corners), height, width, 3), dtype=torch.uint8)
    for window, (index, (x, y)) in zip(windows, corners.items(), strict=True):
        window.copy_(pictures[index, y : y + height, x : x + width])
    return windows


def _look(tracker: Tracker, pictures: Tensor, corners: list[NDArray[np.intp]] | None = None) -> Values:
    """Find the joints in pictures, in pixels of the frame that has them as windows at ``corners``."""
    if not len(pictures):
        return np.empty((0, len(tracker.joints), tracker.candidates, 3), dtype=np.float32)
    found: Values = tracker(pictures).cpu().numpy()
    if corners is not None:
        found[..., :2] += np.stack(corners)[:, None, None]
    return found
