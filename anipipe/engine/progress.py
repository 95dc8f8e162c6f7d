"""How far a job is: told by stages, shown to the user, and taken as a sign of life.

A stage calls :func:`tell`. In a worker process that goes by way of a small file, which the coordinator looks
at now and then; nothing depends on it, so that a lost word is no loss. A job that gives no sign for too long
hangs, and its worker ends itself: no other process can end a thread.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anipipe.engine.lock import is_running

_INTERVAL = 0.5  # seconds between two words of one job
_LONGEST = 1e8  # seconds, three years: the system's clock for alarms counts no further than some thousands
_FORMAT = struct.Struct("<qq")
_METER = re.compile(r"anipipe-(\d+)-[0-9a-f]{8}-\d+")


class Meter(Protocol):
    """Takes down how far a job is."""

    def put(self, done: int, total: int) -> None:
        """Note that so much of so much is done."""

    def get(self) -> tuple[int, int] | None:
        """Return what was noted last, where that is not passed on at once."""

    def close(self) -> None:
        """Forget what was noted."""


@dataclass(frozen=True)
class Patience:
    """How long a job may go on without a sign of life.

    Attributes
    ----------
    seconds : float
    per_unit : float
        Seconds more for each unit of its work (a frame) as long as it has not told of any that is done.
    """

    seconds: float
    per_unit: float = 0.0

    def allowed(self, done: int, total: int) -> float:
        """Return how many seconds may pass until the next word."""
        return min(self.seconds + (0.0 if done else self.per_unit * total), _LONGEST)


class Alarm:
    """Ends this process when a job hangs, whatever it hangs in, and says where it was.

    Python's own threads cannot do that: code that never returns to the interpreter may hold its lock.

    Parameters
    ----------
    patience : Patience
    path : Path
        Where each thread's stack goes; there is nothing in the file as long as all is well.
    """

    def __init__(self, patience: Patience, path: Path) -> None:
        self._patience, self._path = patience, path
        self._file = path.open("w", encoding="utf-8")

    def put_off(self, done: int, total: int) -> None:
        """Take note of a sign of life."""
        seconds = self._patience.allowed(done, total)
        faulthandler.dump_traceback_later(seconds, file=self._file, exit=True)

    def close(self) -> None:
        """Take the alarm away: the job has ended."""
        faulthandler.cancel_dump_traceback_later()
        self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


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

    @staticmethod
    def abandoned() -> Iterator[Path]:
        """Yield the files of runs on this machine that were killed."""
        folder = Path(tempfile.gettempdir())
        for name in os.listdir(folder):
            match = _METER.fullmatch(name)
            if match and not is_running(int(match[1])):
                yield folder / name

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

    def get(self) -> None:
        """Return nothing: it was passed on."""

    def close(self) -> None:
        """Nothing was kept."""


class _Words:
    """The words of one job, not more often than anybody can read them."""

    def __init__(self, listeners: Sequence[Callable[[int, int], None]]) -> None:
        self._listeners, self._last = listeners, 0.0

    def say(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _INTERVAL or not done:
            self._last = now
            for listen in self._listeners:
                listen(done, total)


_CURRENT: ContextVar[_Words | None] = ContextVar("words of the job that runs", default=None)


def tell(done: int, total: int) -> None:
    """Tell how much of the work of the running job is done, in units of the stage's own; costs little."""
    words = _CURRENT.get()
    if words is not None:
        words.say(done, total)


@contextlib.contextmanager
def telling(*listeners: Callable[[int, int], None]) -> Iterator[None]:
    """Have what is told meanwhile passed on to ``listeners``."""
    mark = _CURRENT.set(_Words(listeners) if listeners else None)
    try:
        yield
    finally:
        _CURRENT.reset(mark)
