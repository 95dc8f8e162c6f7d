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
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anipipe.engine.records import OWN_FOLDER
from anipipe.errors import LockedError

#: Seconds between two signs of life, and without any after which another machine's lock is dead.
HEARTBEAT, STALE_AFTER = 60.0, 3600.0


class Lock:
    """An experiment's lock: a file created exclusively, which says who holds it.

    A holder on the same machine is alive if its process is; one elsewhere if it gave a sign of life within
    the hour. Use as a context manager.

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
                threading.Thread(target=self._beat, daemon=True).start()
                return self
            holder = self._holder()
            if holder is None:
                continue  # it went away between our two looks
            if _alive(holder, self._age(self.path)):
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
        holder = self._holder()
        if holder is not None and holder.get("token") == self.token:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def check(self) -> None:
        """Make sure that the lock is still ours.

        Raises
        ------
        LockedError
            If it is not: then nothing more must be written.
        """
        holder = self._holder()
        if holder is None or holder.get("token") != self.token:
            raise LockedError(f"{self.path} was taken away from this run; nothing more is written")

    def _create(self) -> bool:
        # Written in full under another name and then linked, so that no one ever reads half a lock.
        draft = self.path.with_name(f"lock.{self.token}")
        draft.write_text(json.dumps({**_me(), "token": self.token}), encoding="utf-8")
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            try:
                with self.path.open("x", encoding="utf-8") as file:
                    file.write(draft.read_text(encoding="utf-8"))
            except FileExistsError:
                return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _holder(self) -> dict[str, Any] | None:
        try:
            holder = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
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
            holder = self._holder()
            if holder is not None and holder.get("token") == self.token:
                with contextlib.suppress(OSError):
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
    return f'"{token}"' in (root / OWN_FOLDER / "lock").read_text(encoding="utf-8")


def _me() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _alive(holder: dict[str, Any], age: float) -> bool:
    if holder.get("host") != socket.gethostname():
        # Nothing legible in it: only its age can tell.
        return age < (STALE_AFTER if holder else HEARTBEAT)
    if holder.get("boot") != _boot():
        return False
    pid = holder.get("pid")
    return isinstance(pid, int) and _running(pid) and holder.get("started") == _started(pid)


def _running(pid: int) -> bool:
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
    """Return what identifies this start of the machine, where that can be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
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
