"""What is on disk, by content, without reading again what has not changed.

A file whose size and modification time are as noted is taken to have the noted content. The notes are a
cache: they can be deleted at any time, and then contents are read once more.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from anipipe.engine.shares import steadily
from anipipe.guards import open_regular

#: Digest of an empty file: as an output it is what a crash leaves behind, and holds nobody's work.
EMPTY = "empty"
#: What stands for the digest of a file that cannot be read begins with this.
UNREADABLE = "!"
#: Files above this many bytes are sampled where that is allowed.
SAMPLED_ABOVE = 64 * 2**20
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_SAMPLES = 32
_BLOCK = 2**20
_PREFIXES = 32
_PREFIX_BYTES = 3


def digest_file(path: str | Path, *, sampled: bool = False) -> str:
    """Return the digest of a file's content.

    Parameters
    ----------
    path : path
    sampled : bool
        Digest files of more than 64 MiB by their size and 32 blocks of 1 MiB spread evenly over them
        (first and last included); meant for videos, where any edit moves what follows.

    Returns
    -------
    str
        BLAKE2b of 128 bits in hex, a dot, and the size in bytes; sampled digests start with ``~``.
    """
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - for every file of a lab: the cheapest way
        size = os.fstat(file.fileno()).st_size
        if sampled and size > SAMPLED_ABOVE:
            for index in range(_SAMPLES):
                file.seek((size - _BLOCK) * index // (_SAMPLES - 1))
                digest.update(file.read(_BLOCK))
            return f"~{digest.hexdigest()}.{size}"
        size = 0
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return f"{digest.hexdigest()}.{size}"


def size_in(digest: str) -> int:
    """Return the size in bytes that a digest was taken of; 0 if it was taken of nothing."""
    size = digest.rpartition(".")[2]
    return int(size) if size.isdecimal() else 0


def prefix_digests(path: Path) -> str:
    """Return short digests of a file's first 1/32, 2/32, … of its length, one after another in hex.

    With them a file that was cut short can be told from one that was edited, without the file.
    """
    size = path.stat().st_size
    digest, found = hashlib.blake2b(digest_size=_PREFIX_BYTES), []
    with path.open("rb") as file:
        for index in range(1, _PREFIXES):
            _feed(digest, file, size * index // _PREFIXES)
            found.append(digest.hexdigest())
    return "".join(found)


def known_prefixes(path: Path, size: int, prefixes: str) -> tuple[int, int]:
    """Compare a file with the prefixes of one that had ``size`` bytes.

    Returns
    -------
    agreeing, reached : int
        How many of the prefixes the file begins with, and how many it is long enough for.
    """
    now, width = path.stat().st_size, 2 * _PREFIX_BYTES
    reached = [index for index in range(1, _PREFIXES) if size * index // _PREFIXES <= now]
    digest = hashlib.blake2b(digest_size=_PREFIX_BYTES)
    with path.open("rb") as file:
        for count, index in enumerate(reached):
            _feed(digest, file, size * index // _PREFIXES)
            if digest.hexdigest() != prefixes[width * count : width * (count + 1)]:
                return count, len(reached)
    return len(reached), len(reached)


def _feed(digest: hashlib.blake2b, file: BinaryIO, end: int) -> None:
    while (left := end - file.tell()) > 0 and (block := file.read(min(left, _BLOCK))):
        digest.update(block)


def begins(path: Path, whole: Path) -> bool:
    """Say whether a file holds just the beginning of another one, as if it had been cut short."""
    with path.open("rb") as part, whole.open("rb") as file:
        while block := part.read(_BLOCK):
            if file.read(len(block)) != block:
                return False
    return True


class Disk:
    """The files under one root, seen through notes of their sizes, times and digests.

    Paths are relative to the root, with forward slashes.
    """

    def __init__(self, root: Path, notes: Path | None = None) -> None:
        self.root = root
        self._prefix = f"{root}{os.sep}"
        self._notes_path = notes
        self._notes: dict[str, list[int | str]] = _load_notes(notes) if notes else {}
        self._seen: dict[str, str | None] = {}
        self._stats: dict[str, _Stat] = {}
        self._young: dict[str, tuple[str, bool]] = {}
        self._sampled: set[str] = set()
        self._changed = False

    def path(self, relative: str) -> Path:
        """Return the full path of ``relative``."""
        return Path(self._prefix + relative)

    def digest(self, relative: str, *, sampled: bool = False) -> str | None:
        """Return the digest of a file; ``None`` if it is missing, :data:`EMPTY` if there is nothing in it.

        The answer is remembered for the life of this object: see :meth:`forget`.
        """
        if relative in self._seen:
            return self._seen[relative]
        if sampled:
            self._sampled.add(relative)
        result = self._digest(relative, sampled)
        self._seen[relative] = result
        return result

    def exists(self, relative: str) -> bool:
        """Say whether there is a file, be it empty."""
        if relative in self._seen:
            return self._seen[relative] is not None
        try:
            stat = self._stat(relative)
        except OSError:
            return True  # something is there, though it cannot be looked at
        return stat is not None

    def forget(self, relative: str) -> None:
        """Look at a file anew next time; also into it, if it was touched since."""
        if relative in self._seen and not self.unchanged_since(relative):
            self._changed = self._notes.pop(relative, None) is not None or self._changed
        self._seen.pop(relative, None)

    def wrote(self, relative: str, digest: str) -> None:
        """Note a file that was just written, whose digest is known."""
        stat = self._stat(relative)
        if stat is not None:
            self._seen[relative] = digest
            self._stats[relative] = stat
            self._note(relative, stat, digest)

    def unchanged_since(self, relative: str) -> bool:
        """Say whether a file was not touched since it was digested: also not with the same size and time."""
        try:
            return self._stats.get(relative) == self._stat(relative)
        except OSError:
            return False

    def save(self) -> None:
        """Write the notes, if there is anything new in them; a failure to do so costs only time."""
        self._note_young()
        if self._notes_path is None or not self._changed:
            return
        text = json.dumps({"version": 1, "files": self._notes}, separators=(",", ":"))
        temporary = self._notes_path.with_suffix(f".{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            self._notes_path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.unlink(missing_ok=True)
                with temporary.open("x", encoding="utf-8") as file:
                    file.write(text)
                temporary.replace(self._notes_path)
                self._changed = False
            finally:
                temporary.unlink(missing_ok=True)

    def prune(self, keep: Container[str]) -> None:
        """Drop the notes of files that nothing mentions any more."""
        gone = [path for path in self._notes if path not in keep]
        for path in gone:
            del self._notes[path]
        self._changed = self._changed or bool(gone)

    def _digest(self, relative: str, sampled: bool) -> str | None:
        try:
            stat = self._stat(relative)
            if stat is None:
                return None
            self._stats[relative] = stat
            if stat.size == 0:
                return EMPTY
            note = self._notes.get(relative)
            if note is not None and note[1] == stat.modified and note[0] == stat.size:
                return str(note[2])
            digest = steadily(partial(digest_file, self._prefix + relative, sampled=sampled))
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"{UNREADABLE}{error.strerror}"  # the job that needs it will fail and say so
        self._note(relative, stat, digest)
        return digest

    def _note(self, relative: str, stat: _Stat, digest: str) -> None:
        if not _young(stat.noted):
            self._notes[relative] = [*stat.noted, digest]
            self._young.pop(relative, None)
            self._changed = True
        else:
            self._young[relative] = digest, relative in self._sampled
            self._changed = self._notes.pop(relative, None) is not None or self._changed

    def _note_young(self) -> None:
        """Note what was too young before and is not any more, if it still holds what it held then."""
        for relative, (digest, sampled) in list(self._young.items()):
            with contextlib.suppress(OSError):
                stat = self._stat(relative)
                if stat is None or stat != self._stats.get(relative) or _young(stat.noted):
                    continue
                if digest_file(self._prefix + relative, sampled=sampled) == digest:
                    self._note(relative, stat, digest)

    def _stat(self, relative: str) -> _Stat | None:
        """Return size and times; ``None`` if there can be no such file. Other trouble is raised."""
        try:
            stat = os.stat(self._prefix + relative)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            stat = steadily(partial(os.stat, self._prefix + relative))
        return _Stat(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class _Stat(NamedTuple):
    """What tells that a file was touched. Copies keep size and time of modification; those are noted."""

    size: int
    modified: int
    changed: int

    @property
    def noted(self) -> tuple[int, int]:
        return self.size, self.modified


def _young(stat: tuple[int, int]) -> bool:
    """Say whether a file may be rewritten with the same size and time, within a tick of its disk's clock.

    What is that young is not noted, else such an edit would be missed. Whole seconds betray a coarse clock.
    """
    tick = 2_000_000_000 if stat[1] % 1_000_000_000 == 0 else 20_000_000
    return stat[1] >= time.time_ns() - tick


def _load_notes(path: Path) -> dict[str, list[int | str]]:
    try:
        with open_regular(path) as file:
            content = json.loads(file.read())
        files = content["files"] if content["version"] == 1 else {}
        return {name: note for name, note in files.items() if len(note) == 3}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # a cache: whatever is wrong with it, contents can be read again
