"""Whether an experiment's disk can take what a run writes: rights, room, clock, kind, lock."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from anipipe.artifacts import UNCOMPRESSED_VIDEO, VIDEO
from anipipe.commands.doctor.findings import Finding, Level, isolated
from anipipe.engine import lock
from anipipe.engine.jobs import Job
from anipipe.engine.perform import DISK_FULL
from anipipe.engine.plan import Plan
from anipipe.engine.records import OWN_FOLDER
from anipipe.guards import read_regular

SUBJECT = "disk"
GIB = 2**30
#: Below this, other programs stop working, too.
LEAST_FREE = 1 * GIB
LEAST_FILES = 10_000  # that may still be made: a session with all pictures has some hundreds
#: The file system's clock and this machine's; FAT notes times to 2 s.
CLOCKS_APART = 2.0  # seconds
#: Names of results are those of videos, with something behind.
SHORTEST_NAMES = 200
#: Linux's names of file systems that other machines keep.
NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "glusterfs", "beegfs", "gpfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "virtiofs"),
}
#: Those of sticks and cards: no rights, and on FAT no file of more than 4 GB.
FAT = {"vfat", "msdos", "exfat"}
#: Of a video as the camera wrote it: rarely more than this share is left of it in H.264.
CONVERTED = 0.3
_LARGEST_LOCK = 2**16  # bytes
_MAKE_ROOM = "make room on this disk, or have your quota raised"
_SHOWN = 3  # folders that are named of many


@dataclass(frozen=True)
class Mount:
    """Where a file system hangs in the tree."""

    source: str
    point: Path
    kind: str


def findings(root: Path, homes: Iterable[str], plan: Plan | None) -> Iterator[Finding]:
    """Look at the disk of an experiment.

    Parameters
    ----------
    root
    homes
        Folders of sessions and calibrations, relative to the root.
    plan
        With every job's verdict; None if it could not be made.
    """
    yield from isolated(SUBJECT, "writing", lambda: _rights(root, set(homes), plan))
    yield from isolated(SUBJECT, "clock and lock", lambda: _clock_and_lock(root))
    yield from isolated(SUBJECT, "free", lambda: _room(root, plan))
    yield from isolated(SUBJECT, "kind", lambda: _kind(root))


def _found(level: Level, about: str, text: str, remedy: str = "") -> Finding:
    return Finding(level, SUBJECT, about, text, remedy)


def _own(folder: Path) -> Path:
    """Return where anipipe keeps what is its own in a folder, or the folder where there is no such place."""
    own = folder / OWN_FOLDER
    return own if own.is_dir() else folder


def _rights(root: Path, homes: set[str], plan: Plan | None) -> Iterator[Finding]:
    """Try to write where records go; ask for the rights of the folders that results go to."""
    refused: dict[str, OSError] = {}
    for home in sorted({"", *homes}):
        try:
            _probe(_own(root / home))
        except OSError as error:
            refused[home or "."] = error
    results = {os.path.dirname(path) for job in plan.jobs for path in job.outputs} if plan else set()  # noqa: PTH120
    closed = [folder for folder in sorted(results) if not _is_open(root, folder)]
    closed = [folder for folder in closed if not any(_within(folder, home) for home in refused)]
    if refused:
        reasons = ", ".join(dict.fromkeys(error.strerror or str(error) for error in refused.values()))
        full = all(error.errno in DISK_FULL for error in refused.values())
        mend = _MAKE_ROOM if full else _mend(root, next(iter(refused)))
        yield _found(
            "critical", "writing", f"nothing can be written in {_some(list(refused))}: {reasons}", mend
        )
    if closed:
        mend = _mend(root, closed[0])
        yield _found("critical", "writing", f"no right to write in {_some(closed)}", mend)
    if not refused and not closed:
        count = len({"", *homes})
        yield _found(
            "ok",
            "writing",
            f"works in {count} folder{'s' if count > 1 else ''}, and {len(results)} of results",
        )


def _probe(folder: Path) -> float:
    """Write a file, remove it, and return when the file system says that it was written."""
    path = folder / f"doctor.{secrets.token_hex(4)}"
    try:
        path.write_bytes(b"probe")
        return path.stat().st_mtime
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _is_open(root: Path, folder: str) -> bool:
    """Say whether files may be put into a folder, or it may be made."""
    path = root / folder
    while not path.exists() and path != root:
        path = path.parent
    return os.access(path, os.W_OK | os.X_OK)


def _within(folder: str, home: str) -> bool:
    return home == "." or f"{folder}/".startswith(f"{home}/")


def _mend(root: Path, folder: str) -> str:
    path = root / folder
    if os.name == "posix":
        with contextlib.suppress(OSError):
            if os.statvfs(path).f_flag & os.ST_RDONLY:
                return (
                    "it is mounted read-only: have it mounted for writing, or copy the experiment elsewhere"
                )
            owner = path.stat().st_uid
            return (
                f"it belongs to {_user(owner)}, and you are {_user(os.geteuid())}: have its owner run "
                "chmod -R g+w for your group, or work on a copy"
            )
    return "ask for the right to write there, or work on a copy"


def _user(number: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return f"user {number}"


def _some(folders: list[str]) -> str:
    more = len(folders) - _SHOWN
    return ", ".join(folders[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _clock_and_lock(root: Path) -> Iterator[Finding]:
    before = time.time()
    try:
        noted = _probe(_own(root))
    except OSError:
        return  # told with the rights
    apart = min(noted - before, 0.0) or max(noted - time.time(), 0.0)
    if abs(apart) > CLOCKS_APART:
        yield _found(
            "warning",
            "clock",
            f"the disk's clock is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} this machine's",
            "have both set by a time server (NTP): locks of other machines, and whether a recording still "
            "grows, are judged by times of files",
        )
    else:
        yield _found("ok", "clock", f"the disk's and this machine's agree within {CLOCKS_APART:g} s")
    yield from _lock(root, noted)


def _lock(root: Path, now: float) -> Iterator[Finding]:
    path = root / OWN_FOLDER / "lock"
    try:
        age = now - path.stat().st_mtime
        content, is_held = read_regular(path, limit=_LARGEST_LOCK), lock.holder_of(root) is not None
    except FileNotFoundError:
        yield _found("ok", "lock", "nobody is processing this experiment")
        return
    except OSError as error:
        text = f"{path} cannot be looked at: {error.strerror or error}"
        yield _found("critical", "lock", text, "delete it, if nobody is processing this experiment")
        return
    try:
        holder = json.loads(content)
    except (ValueError, RecursionError):
        holder = {}
    holder = holder if isinstance(holder, dict) else {}
    pid, host, since = (holder.get(key, "?") for key in ("pid", "host", "since"))
    who = f"process {pid} on {host} since {since}"
    if not is_held:
        yield _found(
            "note", "lock", f"left behind by {who}, which runs no more", "nothing: the next run removes it"
        )
    elif host != socket.gethostname() and age > 3 * lock.HEARTBEAT:
        yield _found(
            "warning",
            "lock",
            f"held by {who}, without a sign of life for {age / 60:.0f} minutes",
            f"look whether it still runs on {host}; if not, delete {path}, or wait: after "
            f"{lock.STALE_AFTER / 60:.0f} minutes the next run takes it over",
        )
    else:
        yield _found(
            "note", "lock", f"{who} is processing this experiment", "wait until it is done to run more"
        )


def to_write(root: Path, plan: Plan) -> int:
    """Estimate how much is still to be written, bytes. Videos count; all else is small beside them."""
    return round(sum(_written(root, job) for job in plan.jobs if plan.state(job).to_do))


def _written(root: Path, job: Job) -> float:
    """Return about how many bytes a job's videos take: as many as those that they are made from."""
    if not any(path.endswith(".mp4") for path in job.outputs):
        return 0.0
    total = 0.0
    for source in job.sources:
        if source.artifact in (VIDEO, UNCOMPRESSED_VIDEO):
            there = sum(_size(root / path) for path in source.paths)
            total += there or (_written(root, source.producer) if source.producer else 0)
    return total * (CONVERTED if VIDEO in job.outputs.values() else 1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _room(root: Path, plan: Plan | None) -> Iterator[Finding]:
    free = shutil.disk_usage(root).free
    needed = to_write(root, plan) if plan is not None else 0
    text = f"{_amount(free)}" + (f"; videos still to be made take about {_amount(needed)}" if needed else "")
    mend = (
        "make room, move raw recordings that are done with to an archive (their results are kept), or leave "
        "out pictures with labeling.pictures"
    )
    if free < LEAST_FREE:
        yield _found("critical", "free", text, mend)
    elif free < needed:
        yield _found(
            "warning", "free", f"{text}: not enough", f"{mend}; a run that finds it full loses nothing"
        )
    else:
        yield _found("ok", "free", text)
    if os.name == "posix":
        known = os.statvfs(root)
        if known.f_files and known.f_favail < LEAST_FILES:
            yield _found(
                "warning", "free", f"only {known.f_favail} more files fit on it", "remove files nobody needs"
            )


def _amount(size: int) -> str:
    return f"{size / GIB:.1f} GB" if size >= GIB / 10 else f"{size / 2**20:.0f} MB"


def mount_of(path: Path, table: str) -> Mount | None:
    """Return the mount that a path lies on, from the text of ``/proc/self/mounts``."""
    best: Mount | None = None
    for line in table.splitlines():
        source, point, kind = (re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), w) for w in line.split()[:3])
        here = Mount(source, Path(point), kind)
        if path.is_relative_to(here.point) and (
            best is None or len(here.point.parts) >= len(best.point.parts)
        ):
            best = here
    return best


def _kind(root: Path) -> Iterator[Finding]:
    try:
        mount = mount_of(root.resolve(), Path("/proc/self/mounts").read_text(encoding="utf-8"))
    except OSError:
        mount = None
    kind = "" if mount is None else mount.kind
    if mount is not None and kind in NETWORK:
        yield _found(
            "note",
            "kind",
            f"a network share ({kind}, {mount.source})",
            "nothing: results are written beside their place and renamed, and a lock keeps machines apart. "
            "What another machine changed may be seen some seconds late. Videos are read faster from a disk "
            "of this machine",
        )
    elif kind in FAT:
        yield _found(
            "note",
            "kind",
            f"a stick's or card's file system ({kind}), which notes times to 2 s"
            + (" and holds no file above 4 GB" if kind != "exfat" else ""),
            "good for carrying; process on another disk",
        )
    else:
        yield _found("ok", "kind", f"a disk of this machine{f' ({kind})' if kind else ''}")
    yield from _names(root)


def _names(root: Path) -> Iterator[Finding]:
    longest = os.pathconf(root, "PC_NAME_MAX") if hasattr(os, "pathconf") else SHORTEST_NAMES
    if longest < SHORTEST_NAMES:
        yield _found(
            "note",
            "names",
            f"names of files may have {longest} letters here, which is few",
            "give videos short names",
        )
    config = root / "config.toml"
    if config.is_file() and (root / "CONFIG.TOML").exists():
        yield _found("ok", "names", "capitals make no difference here: trial1 and Trial1 are one")
