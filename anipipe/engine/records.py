"""What was made from what: one append-only file of lines in each home folder.

Each line is a JSON object about one job. Before an output is renamed into place, an ``intent`` line says
which facts the job is about to have; afterwards a ``done`` line confirms it. Whatever the moment of a kill,
the file on disk is then either the one confirmed last or one that was intended, and never looks foreign.
A line that cannot be parsed (the torn end of a killed run) is ignored.

Paths in the home folder are kept relative to it, as ``./…``, so that a session that is renamed, moved or
copied with its records is known for what it is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anipipe.guards import open_regular

Facts = dict[str, Any]

#: Folder, in each home, for what anipipe keeps for itself.
OWN_FOLDER = ".anipipe"
_FILE = "records.jsonl"
#: One of these is in every file of records that names an output elsewhere: as it is, with its characters
#: escaped, or in another encoding than ours. Looking for them is quicker than looking at each line.
_ODD = (b"\\", b"\0", b"..", b'"out:/')


@dataclass(slots=True)
class Claims:
    """All that is recorded about one job.

    Attributes
    ----------
    done : dict or None
        Facts of the last confirmed making.
    intents : list of dict
        Facts of makings that were begun after that and never confirmed.
    given : dict or None
        Facts seen when the output was first found to be somebody else's.
    failure : dict or None
        ``{"message", "traceback", "time"}`` of the last try, if it failed.
    kept : list of str
        Digests of outputs that were found to be edited, not cut short.
    notes : dict
        Small things learnt while making it (joint names, frame count, notices).
    """

    done: Facts | None = None
    intents: list[Facts] = field(default_factory=list)
    given: Facts | None = None
    failure: dict[str, Any] | None = None
    kept: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def made(self) -> Iterator[Facts]:
        """Yield the facts of every making that may be on disk, the latest first."""
        yield from reversed(self.intents)
        if self.done is not None:
            yield self.done

    def apply(self, line: dict[str, Any]) -> None:
        """Take in one more line."""
        event = line["event"]
        if event == "intent":
            self.intents.append(_typed(line["facts"], dict))
        elif event == "done":
            facts = line.get("facts") or (self.intents[-1] if self.intents else self.done)
            notes = _typed(line.get("notes", {}), dict)
            self.done = None if facts is None else _typed(facts, dict)
            self.intents, self.given, self.failure, self.notes = [], None, None, notes
            self.kept = []
        elif event == "given":
            self.given = _typed(line["facts"], dict)
        elif event == "failed":
            kept = ("message", "traceback", "time")
            self.failure = {key: _typed(line[key], str) for key in kept if key in line}
        elif event == "recovered":
            self.failure = None
        elif event == "kept":
            self.kept = [*self.kept, _typed(line["digest"], str)]
        elif event == "withdrawn":
            self.done, self.intents, self.notes = None, [], {}

    def lines(self, job: str) -> Iterator[dict[str, Any]]:
        """Yield the fewest lines that say the same."""
        if self.done is not None:
            yield {"job": job, "event": "done", "facts": self.done, "notes": self.notes}
        for facts in self.intents:
            yield {"job": job, "event": "intent", "facts": facts}
        if self.given is not None:
            yield {"job": job, "event": "given", "facts": self.given}
        for digest in self.kept:
            yield {"job": job, "event": "kept", "digest": digest}
        if self.failure is not None:
            yield {"job": job, "event": "failed", **self.failure}


_NOTHING = Claims()


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


class Records:
    """The records of all homes under one root, each read when first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._homes: dict[str, dict[str, Claims]] = {}
        self._seen: dict[str, tuple[int, int] | None] = {}
        self._lines: dict[str, int] = {}

    def file(self, home: str) -> Path:
        """Return the path of the records kept in ``home``."""
        return self.root / home / OWN_FOLDER / _FILE

    def claims(self, home: str, job: str) -> Claims:
        """Return what is recorded about a job; not to be modified."""
        return self._home(home).get(job, _NOTHING)

    def jobs(self, home: str) -> Iterator[tuple[str, Claims]]:
        """Yield every recorded job of a home."""
        yield from self._home(home).items()

    def append(self, home: str, job: str, event: str, *, sync: bool = False, **content: Any) -> None:
        """Record something about a job.

        Parameters
        ----------
        home, job : str
        event : {"intent", "done", "given", "kept", "failed", "recovered", "withdrawn"}
        sync : bool
            Wait until it is on the disk; needed where a rename relies on it.
        **content
            Further members of the line.

        Raises
        ------
        OSError
            If it cannot be written; then nothing is taken to be recorded.
        """
        line = {"job": job, "event": event, **content}
        known = self._home(home)
        # ASCII, for a file's name may be no valid text in any encoding.
        text = json.dumps(_shortened(line, home), separators=(",", ":")) + "\n"
        path = self.file(home)
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            open_regular(path).close()
        if path.is_symlink():
            raise OSError(errno.ELOOP, "a link, which is not written through; put the file here", str(path))
        with path.open("ab+") as file:
            end = file.tell()
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":  # the torn line of a killed run must not swallow this one
                    text = "\n" + text
            file.write(text.encode())
            file.flush()
            if sync:
                os.fsync(file.fileno())
        known.setdefault(job, Claims()).apply(line)
        self._lines[home] += 1

    def look_again(self) -> None:
        """Forget what was read from files that others have written to since."""
        for home in [home for home, seen in self._seen.items() if seen != self._stamp(home)]:
            del self._seen[home], self._homes[home], self._lines[home]

    def _stamp(self, home: str) -> tuple[int, int] | None:
        try:
            stat = os.stat(f"{self.root}{os.sep}{home}{os.sep}{OWN_FOLDER}{os.sep}{_FILE}")
        except OSError:
            return None
        return stat.st_size, stat.st_mtime_ns

    def compact(self) -> None:
        """Rewrite files, among those read, most of whose lines have been overtaken."""
        for home, known in self._homes.items():
            lines = [line for job, claims in known.items() for line in claims.lines(job)]
            if self._lines[home] <= 2 * len(lines) + 16:
                continue
            path = self.file(home)
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            try:
                temporary.unlink(missing_ok=True)
                with temporary.open("x", encoding="utf-8", newline="\n") as file:
                    for line in lines:
                        file.write(json.dumps(_shortened(line, home), separators=(",", ":")) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
                self._lines[home] = len(lines)
            except OSError:  # a full or read-only disk: the long file is as good
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def _home(self, home: str) -> dict[str, Claims]:
        known = self._homes.get(home)
        if known is None:
            self._seen[home] = self._stamp(home)
            known, self._lines[home] = _read(self.file(home), home)
            self._homes[home] = known
        return known


def _shortened(line: dict[str, Any], home: str) -> dict[str, Any]:
    """Return a line whose facts name files of the home folder relative to it."""
    if not home or "facts" not in line:
        return line
    return {**line, "facts": _renamed(line["facts"], f"{home}/", "./")}


def _renamed(facts: Facts, old: str, new: str) -> Facts:
    """Return facts in which files whose paths start with ``old`` start with ``new`` instead."""
    starts = {f"{kind}:{old}": f"{kind}:{new}" for kind in ("in", "with", "out")}

    def name(key: str) -> str:
        for start, other in starts.items():
            if key.startswith(start):
                return other + key[len(start) :]
        return key

    return {name(key): value for key, value in facts.items()}


def _read(path: Path, home: str) -> tuple[dict[str, Claims], int]:
    known: dict[str, Claims] = {}
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError:
        return known, 0  # where nothing can be read, nothing is known, and everything is somebody's
    odd = any(mark in content for mark in _ODD)
    lines = content.split(b"\n")
    for line in _parsed(lines, home):
        try:
            job = line["job"]
            if odd and any(map(_leads_out, _typed(line.get("facts", {}), dict))):
                continue  # nobody makes anything there, and it must not be taken for ours
            claims = known.get(job)
            if claims is not None:
                claims.apply(line)
            else:
                (claims := Claims()).apply(line)
                known[_typed(job, str)] = claims
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return known, len(lines)


def _leads_out(fact: str) -> bool:
    """Say whether a fact is of an output that lies out of the experiment."""
    kind, _, path = fact.partition(":")
    return kind == "out" and (path.startswith("/") or "\\" in path or ".." in path.split("/"))


def is_plain(path: str) -> bool:
    """Say whether a path from a record leads into the experiment, written as anipipe writes paths."""
    return not set(path) & set("\\\0") and not {"", ".", ".."} & set(path.split("/"))


def _parsed(lines: list[bytes], home: str) -> Iterator[Any]:
    """Yield what each line says, files of the home folder by their paths from the root."""
    whole = [line for line in lines if line]
    try:
        found = json.loads(_rooted(b"[" + b",".join(whole) + b"]", home))
    except (ValueError, RecursionError):
        found = []
    if len(found) == len(whole):  # nearly always: one call for a thousand lines
        yield from found
        return
    for line in whole:
        with contextlib.suppress(ValueError, RecursionError):
            yield json.loads(_rooted(line, home))


def _rooted(text: bytes, home: str) -> bytes:
    """Return JSON as we write it, in which facts name files of the home folder from the root.

    In the text and not in each of its dicts, which takes longer than all else that is done with them. What
    looks like the start of a name of a fact cannot be part of a string: quotes in strings have a backslash.
    """
    if home:
        place = json.dumps(home)[1:-1].encode()
        for start in (b'{"in:', b',"in:', b'{"with:', b',"with:', b'{"out:', b',"out:'):
            text = text.replace(start + b"./", start + place + b"/")
    return text
