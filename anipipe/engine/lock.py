"""One run at a time in one experiment, also when several machines share its disk."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anipipe.engine.records import OWN_FOLDER
from anipipe.engine.shares import steadily
from anipipe.errors import LockedError
from anipipe.guards import read_regular

#: Seconds between two signs of life, and without any after which another machine's lock is dead.
HEARTBEAT, STALE_AFTER = 20.0, 3600.0
_LARGEST = 2**16  # bytes


class Lock:
    """An experiment's lock: a file created exclusively, which says who holds it.

    A holder on the same machine is alive if its process is; one elsewhere if it gave a sign of life within
    the hour, or gives one while it is watched: by then the clock may have been set. Use as a context manager.

    Attributes
    ----------
    token : str
        Unique to this holding.

    Raises
    ------
    LockedError
        On entering, if somebody alive holds it; names them.
    OSError
        On entering, if the lock cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / OWN_FOLDER / "lock"
        self.token = secrets.token_hex(4)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(exist_ok=True)
        for _ in range(100):
            if self._create():
                self._tidy()
                threading.Thread(target=self._beat, daemon=True).start()
                return self
            holder = self._holder()
            if holder is None:
                continue  # it went away between our two looks
            if self._is_held(holder):
                raise LockedError(
                    f"{self.path.parent.parent} is being processed by process {holder.get('pid', '?')} on "
                    f"{holder.get('host', '?')} since {holder.get('since', '?')}; "
                    f"if that is not so, delete {self.path}"
                )
            self._remove(holder)
        raise LockedError(f"{self.path} could not be taken: others keep taking it; try again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            if self._is_ours():
                self.path.unlink()

    def check(self) -> None:
        """Make sure that the lock is still ours.

        Raises
        ------
        LockedError
            If it is not: then nothing more must be written.
        """
        if not self._is_ours():
            raise LockedError(f"{self.path} was taken away from this run; nothing more is written")

    def _is_ours(self) -> bool:
        holder = self._holder()
        return holder is not None and holder.get("token") == self.token

    def _create(self) -> bool:
        # Written in full under another name and then linked, so that no one ever reads half a lock.
        draft, text = self.path.with_name(f"lock.{self.token}"), json.dumps({**_me(), "token": self.token})
        try:
            draft.write_text(text, encoding="utf-8")
            os.link(draft, self.path)
        except FileExistsError:
            return self._is_ours()  # a network share may do it, lose the answer, and be asked again
        except OSError:
            if not draft.exists() or draft.stat().st_size < len(text):
                raise  # the disk is full
            return self._create_here(text)  # a file system without hard links
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        return True

    def _create_here(self, text: str) -> bool:
        try:
            file = self.path.open("x", encoding="utf-8")
        except FileExistsError:
            return False
        try:
            with file:
                file.write(text)
        except OSError:  # half a lock would keep others out, and nobody could tell whose it is
            self.path.unlink()
            raise
        return True

    def _tidy(self) -> None:
        """Remove what those left beside the lock who were killed while they tried to take it."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.path.parent):
                left = self.path.with_name(name)
                if name.startswith(("lock.", "clock.")) and self._age(left) > HEARTBEAT:
                    left.unlink()

    def _is_held(self, holder: dict[str, Any]) -> bool:
        """Say whether a holder is alive, where its age tells nothing by waiting for a sign of life."""
        age = self._age(self.path)
        # Who has our name and not our boot is this machine before it was started anew, or a namesake.
        namesake = _is_namesake(holder) and age < 2 * HEARTBEAT
        # A clock that was set makes any age; and so it does for a lock that is abandoned.
        if namesake or (_is_elsewhere(holder) and abs(age) >= STALE_AFTER):
            return self._beats()
        return _alive(holder, age)

    def _beats(self) -> bool:
        before, end = self._touched(), time.monotonic() + 1.5 * HEARTBEAT
        while time.monotonic() < end:
            time.sleep(HEARTBEAT / 20)
            if self._touched() != before:
                return True
        return False

    def _touched(self) -> int:
        """Return the lock's time; opening it makes a network file system look again. 0 if it is gone."""
        try:
            with self.path.open("rb") as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return 0

    def _holder(self) -> dict[str, Any] | None:
        try:
            holder = json.loads(steadily(partial(read_regular, self.path, limit=_LARGEST)))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            return {}
        return holder if isinstance(holder, dict) else {}

    def _age(self, path: Path) -> float:
        """Return the seconds since a file was last touched, by the clock of the file system."""
        probe = self.path.with_name(f"clock.{self.token}")
        try:
            probe.touch()
            return probe.stat().st_mtime - path.stat().st_mtime
        except OSError:
            return 0.0
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def _remove(self, dead: dict[str, Any]) -> None:
        """Remove a dead holder's lock, unless somebody else has done so and perhaps taken it since.

        Those who found it dead take turns, behind a second lock that is held for a moment only, so that
        none removes what another has just taken.
        """
        turn = self.path.with_name("lock.turn")
        try:
            turn.touch(exist_ok=False)
        except FileExistsError:
            if self._age(turn) > HEARTBEAT:  # its owner was killed in that moment
                with contextlib.suppress(OSError):
                    turn.unlink()
            time.sleep(0.05)
            return
        try:
            if self._holder() == dead:
                self.path.unlink(missing_ok=True)
        finally:
            with contextlib.suppress(OSError):
                turn.unlink()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # a share may be out of reach for a while
                holder = self._holder()
                if holder is not None and holder.get("token") == self.token:
                    os.utime(self.path)


def holder_of(root: Path) -> dict[str, Any] | None:
    """Return what the lock of an experiment says of its holder; None if nobody alive holds it."""
    lock = Lock(root)
    holder = lock._holder()
    return holder if holder and _alive(holder, lock._age(lock.path)) else None


def holds(root: Path, token: str) -> bool:
    """Say whether the run with this token still has the experiment.

    Raises
    ------
    OSError
        It cannot be seen.
    """
    return f'"{token}"'.encode() in read_regular(root / OWN_FOLDER / "lock", limit=_LARGEST)


def _me() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _alive(holder: dict[str, Any], age: float) -> bool:
    if _is_elsewhere(holder):
        # Nothing legible in it: only its age can tell.
        return age < (STALE_AFTER if holder else HEARTBEAT)
    if holder.get("boot") != _boot():
        return False
    pid = holder.get("pid")
    return isinstance(pid, int) and is_running(pid) and holder.get("started") == _started(pid)


def _is_elsewhere(holder: dict[str, Any]) -> bool:
    return holder.get("host") != socket.gethostname()


def _is_namesake(holder: dict[str, Any]) -> bool:
    return not _is_elsewhere(holder) and holder.get("boot") != _boot()


def is_running(pid: int) -> bool:
    """Say whether there is a process of this number on this machine."""
    if sys.platform == "win32":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)
        if not handle:
            return False
        code = ctypes.c_ulong()
        ctypes.windll.kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
        ctypes.windll.kernel32.CloseHandle(handle)
        return code.value == 259  # STILL_ACTIVE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _boot() -> str:
    """Return what identifies this start of the machine, or of a container on it, where that can be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process began, in ticks since boot: it tells a reused number from the same process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
