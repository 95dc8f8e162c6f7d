"""Decoding ahead: pictures flow from a thread of their own into buffers that are used over and over."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Frames = Iterable[tuple[int, NDArray[np.uint8] | None]]
Box = tuple[int, int, int, int]


@dataclass
class Times:
    """Seconds spent on each part of the work; they overlap.

    Attributes
    ----------
    decoding, preparing
        In the thread that reads: getting frames out of the video, copying them into buffers.
    computing
        Waiting for the network.
    writing
        Taking in the results.
    """

    decoding: float = 0.0
    preparing: float = 0.0
    computing: float = 0.0
    writing: float = 0.0


@dataclass
class Batch:
    """Some pictures, and which rows of the video they are; ``release`` gives their buffer back."""

    rows: NDArray[np.intp]
    pictures: Tensor
    release: Callable[[], None] = field(repr=False)


class Stream:
    """Batches of pictures, read ahead by a thread; a context manager, which ends the thread.

    Frames that are missing or damaged are left out, so that their rows stay as they were.

    Parameters
    ----------
    frames
        Rows and pictures, (height, width, 3) or None.
    size
        Width and height of the pictures.
    crop
        x, y, width, height of the part that is wanted; None: all of it.
    capacity
        Pictures per batch.
    times
        Is added to.
    buffers
        How many there are: one is filled, one is computed, one more keeps both from waiting.
    pinned
        In memory that a GPU copies from directly.
    """

    def __init__(
        self,
        frames: Frames,
        size: tuple[int, int],
        crop: Box | None,
        capacity: int,
        times: Times,
        *,
        buffers: int = 3,
        pinned: bool = False,
    ) -> None:
        x, y, width, height = crop or (0, 0, *size)
        self._frames, self._part = frames, (slice(y, y + height), slice(x, x + width))
        self._times, self._ending = times, threading.Event()
        self._free: queue.Queue[Tensor] = queue.Queue()
        self._full: queue.Queue[Batch | BaseException | None] = queue.Queue()
        for _ in range(buffers):
            buffer = torch.empty((capacity, height, width, 3), dtype=torch.uint8, pin_memory=pinned)
            self._free.put(buffer)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._free.put(torch.empty(0))  # wakes the thread, if it waits for a buffer
        self._thread.join()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            item = self._full.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _read(self) -> None:
        try:
            self._fill()
            self._full.put(None)
        except BaseException as error:  # is raised again where the batches are used
            self._full.put(error)

    def _fill(self) -> None:
        rows: list[int] = []
        buffer = self._free.get()
        began = time.perf_counter()
        for row, picture in self._frames:
            decoded = time.perf_counter()
            self._times.decoding += decoded - began
            if picture is not None:
                buffer[len(rows)].numpy()[...] = picture[self._part]
                rows.append(row)
                self._times.preparing += time.perf_counter() - decoded
            if len(rows) == len(buffer):
                self._hand_over(buffer, rows)
                buffer, rows = self._free.get(), []
            if self._ending.is_set():
                return
            began = time.perf_counter()
        if rows:
            self._hand_over(buffer, rows)

    def _hand_over(self, buffer: Tensor, rows: list[int]) -> None:
        pictures = buffer[: len(rows)]
        self._full.put(Batch(np.array(rows, dtype=np.intp), pictures, lambda: self._free.put(buffer)))
