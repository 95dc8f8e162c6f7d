"""How far a job is, for the user: told by stages, shown by whoever watches the run.

A stage calls :func:`tell`. In a worker process that goes by way of a small file, which the coordinator looks
at now and then; nothing depends on it, so that a lost word is no loss.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_INTERVAL = 0.5  # seconds between two words of one job
_FORMAT = struct.Struct("<qq")


class Meter(Protocol):
    """Takes down how far a job is."""

    def put(self, done: int, total: int) -> None:
        """Note that so much of so much is done."""


@dataclass(frozen=True)
class FileMeter:
    """Takes it down in a file, for another process of this machine to read.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @classmethod
    def new(cls, token: str, number: int) -> FileMeter:
        """Return one whose file nobody else uses; it is made once there is something to note."""
        return cls(Path(tempfile.gettempdir()) / f"anipipe-{os.getpid()}-{token}-{number}")

    def put(self, done: int, total: int) -> None:
        """Note that so much of so much is done."""
        with contextlib.suppress(OSError):
            self.path.write_bytes(_FORMAT.pack(done, total))

    def get(self) -> tuple[int, int] | None:
        """Return what was noted last."""
        try:
            return _FORMAT.unpack(self.path.read_bytes())
        except (OSError, struct.error):
            return None

    def close(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class CallMeter:
    """Passes it on at once, in the same process."""

    call: Callable[[int, int], None]

    def put(self, done: int, total: int) -> None:
        """Note that so much of so much is done."""
        self.call(done, total)


class _Words:
    """The words of one job, not more often than anybody can read them."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._last = meter, 0.0

    def say(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _INTERVAL:
            self._last = now
            self._meter.put(done, total)


_CURRENT: ContextVar[_Words | None] = ContextVar("words of the job that runs", default=None)


def tell(done: int, total: int) -> None:
    """Tell how much of the work of the running job is done, in units of the stage's own; costs little."""
    words = _CURRENT.get()
    if words is not None:
        words.say(done, total)


@contextlib.contextmanager
def telling(meter: Meter | None) -> Iterator[None]:
    """Have what is told meanwhile taken down by ``meter``."""
    mark = _CURRENT.set(None if meter is None else _Words(meter))
    try:
        yield
    finally:
        _CURRENT.reset(mark)
