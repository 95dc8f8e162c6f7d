"""Pictures in batches, read and augmented by other threads while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.networks.training.augmentation import Augmentation, Picture, Points, augment

#: Pictures that were read are kept for the next epoch while they take less memory than this, bytes.
KEPT = 2 << 30
#: Batches that are made ready before they are wanted.
AHEAD = 3


def read_picture(path: Path) -> Picture:
    """Read a picture, (height, width, 3), blue first.

    Raises
    ------
    DataError
        It is missing, or no picture.
    """
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such picture. Copy it there, or delete its labels.") from error
    picture: Picture | None = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if picture is None:
        raise DataError(f"{path}: cannot be read as a picture. Extract it anew, or delete its labels.")
    return picture


class Frames:
    """Labelled frames.

    Parameters
    ----------
    paths
        The pictures.
    points
        (frames, joints, 2), pixels, NaN where unlabelled.
    """

    def __init__(self, paths: Sequence[Path], points: Points) -> None:
        self.paths = tuple(paths)
        self.points = points
        self._kept: dict[int, Picture] = {}
        self._room = KEPT

    def __len__(self) -> int:
        return len(self.paths)

    def picture(self, index: int) -> Picture:
        """Return a picture; as :func:`read_picture`."""
        if index in self._kept:
            return self._kept[index]
        picture = read_picture(self.paths[index])
        if picture.nbytes <= self._room:  # threads may overdraw this by a few pictures
            self._room -= picture.nbytes
            self._kept[index] = picture
        return picture


@dataclass(frozen=True)
class Batch:
    """Some frames of one size.

    Attributes
    ----------
    pictures
        (frames, height, width, 3), uint8.
    points
        (frames, joints, 2), float32, NaN where unlabelled.
    """

    pictures: NDArray[np.uint8]
    points: NDArray[np.float32]


def batch_count(frames: int, size: int) -> int:
    """Return how many batches an epoch has."""
    whole, rest = divmod(frames, size)
    return whole + (rest > 1 or frames == 1)


def batches(
    frames: Frames,
    augmentation: Augmentation,
    *,
    size: int,
    divisor: int,
    seed: int,
    epoch: int,
    pool: Executor,
) -> Iterator[Batch]:
    """Yield an epoch of batches.

    What comes depends on the seed and the epoch alone: each frame has random numbers of its own, so neither
    the number of threads nor what went before matters.

    Parameters
    ----------
    frames
        All are used once.
    augmentation
        What happens to each.
    size
        Frames of a batch; the last may have fewer, but a single one is left out of the epoch, since
        normalising by it alone would disturb what the others have taught.
    divisor
        Width and height are filled up to a multiple of this.
    seed, epoch
        Decide the order and the changes.
    pool
        Threads.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(frames))

    def sample(index: int) -> tuple[Picture, Points]:
        random = np.random.default_rng((seed, epoch, index))
        return augment(frames.picture(index), frames.points[index], augmentation, random)

    count = batch_count(len(frames), size)
    chunks = [order[start : start + size] for start in range(0, count * size, size)]
    waiting: deque[list[Future[tuple[Picture, Points]]]] = deque()
    try:
        for chunk in chunks:
            waiting.append([pool.submit(sample, int(index)) for index in chunk])
            if len(waiting) > AHEAD:
                yield _together([one.result() for one in waiting.popleft()], divisor)
        while waiting:
            yield _together([one.result() for one in waiting.popleft()], divisor)
    finally:
        for one in (one for several in waiting for one in several):
            one.cancel()


def _together(samples: Sequence[tuple[Picture, Points]], divisor: int) -> Batch:
    """Put pictures into one array as large as the largest, black on the right and below."""
    height, width = np.max([picture.shape[:2] for picture, _ in samples], axis=0)
    height, width = (-(-side // divisor) * divisor for side in (height, width))
    pictures = np.zeros((len(samples), height, width, 3), np.uint8)
    for row, (picture, _) in zip(pictures, samples, strict=True):
        row[: picture.shape[0], : picture.shape[1]] = picture
    return Batch(pictures, np.stack([points for _, points in samples]).astype(np.float32))
