"""Where nights leave their logs and reports, and how many of them are kept."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anipipe.commands._night_past import load
from anipipe.engine.journal import LOG, REPORT, rotate, stamp, stamped
from anipipe.errors import Notice, UsageError
from anipipe.formats.night_page import MARK, index_page, night_page, tally
from anipipe.guards import open_regular, visible

PAGE = ".html"
#: A copy of the newest page, and the list of all.
LATEST, INDEX = "latest.html", "index.html"
#: What a night that was killed left of a file that it was writing; a younger one may be another night's.
_UNFINISHED, _AGE = re.compile(r"\.(latest|index|\d{4}-\d\d-\d\dT[\w-]+)\.(html|json)(\.\d+)?\.tmp"), 3600.0
_HEAD = 1024  # bytes, in which a page of ours says that it is
Json = dict[str, Any]


class Reports:
    """The folder of nights' reports, and what one night writes into it: a log as it goes, then its report.

    Where nothing can be written, a folder for temporary files takes its place, so that there is always
    something to look at in the morning.

    Parameters
    ----------
    folder : Path or None
        None, if there is no place for it.
    """

    def __init__(self, folder: Path | None) -> None:
        self.name = stamp(secrets.token_hex(2))
        self.trouble = ""
        self._tallies: dict[str, Json] = {}
        self.folder = self._usable(folder)

    def say(self, line: str) -> None:
        """Add a line to the log."""
        with contextlib.suppress(OSError):
            self._write_line(self.folder, line)

    def earlier(self) -> Iterator[Json]:
        """Yield the reports of the nights before, the newest first; each may be large."""
        for name in reversed(stamped(self.folder)):
            report = self._load(name) if name != self.name else None
            if report is not None:
                yield report

    def write(self, report: Json, keep: int) -> tuple[Path, Path]:
        """Write the report, its page, and the list of nights; drop what is too old.

        Returns
        -------
        page, data : Path

        Raises
        ------
        OSError
            If it cannot be written anywhere.
        """
        try:
            return self._write(report, keep)
        except OSError as error:
            self.trouble = f"{self.folder}: the report cannot be written there ({error.strerror or error})"
            self.folder = Path(tempfile.mkdtemp(prefix="anipipe-nightly-"))
            return self._write(report, keep)

    def _write(self, report: Json, keep: int) -> tuple[Path, Path]:
        page, data = self.folder / f"{self.name}{PAGE}", self.folder / f"{self.name}{REPORT}"
        text = night_page(report)
        _replace(data, json.dumps(report, separators=(",", ":")))
        _replace(page, text)
        _replace(self.folder / LATEST, text)
        rotate(self.folder, keep, spare=self.name)
        _sweep(self.folder)
        _replace(self.folder / INDEX, index_page([self._listed(name) for name in stamped(self.folder)[::-1]]))
        return page, data

    def _load(self, name: str) -> Json | None:
        report = load(self.folder / f"{name}{REPORT}")
        if report is not None:
            self._tallies[name] = tally(report)
        return report

    def _listed(self, name: str) -> Json:
        """Return what the list of nights tells of one; of one that was killed there is only the log."""
        if name not in self._tallies:
            self._load(name)
        files = [suffix for suffix in (PAGE, REPORT, LOG) if (self.folder / f"{name}{suffix}").exists()]
        return {"started": name[:19], **self._tallies.get(name, {}), "name": name, "files": files}

    def _usable(self, folder: Path | None) -> Path:
        """Return a folder in which the log could be begun."""
        line = f"begun by process {os.getpid()}"
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._write_line(folder, line)
                return folder
            except OSError as error:
                self.trouble = f"{folder}: no report can be written there ({error.strerror or error})"
        other = Path(tempfile.mkdtemp(prefix="anipipe-nightly-"))
        self._write_line(other, line)
        return other

    def _write_line(self, folder: Path, line: str) -> None:
        with (folder / f"{self.name}{LOG}").open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {visible(line)}\n")


@contextmanager
def warnings_to(say: Callable[[str], None]) -> Iterator[None]:
    """Send warnings to a log rather than to whom cron mails to."""

    def show(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
        say(f"{'note' if issubclass(category, Notice) else category.__name__}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        warnings.showwarning = show
        yield


def check_ours(folder: Path) -> None:
    """Make sure that the pages with fixed names can be written into a folder: nobody else's are replaced.

    Raises
    ------
    UsageError
        If one of them is there and no night's.
    """
    for path in (folder / LATEST, folder / INDEX):
        try:
            with open_regular(path) as file:
                head = file.read(_HEAD)
        except OSError:  # no file, or one that cannot be read; or there is nothing, or its disk is away
            ours = not os.path.exists(path)  # noqa: PTH110 - never raises
        else:
            ours = not head or MARK.encode() in head
        if not ours:
            raise UsageError(
                f"{path}: is not a page of anipipe nightly, which would replace it; move it away, or name "
                "another folder with --report"
            )


def _sweep(folder: Path) -> None:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in filter(lambda entry: _UNFINISHED.fullmatch(entry.name), entries):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _AGE:
                (folder / entry.name).unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Made anew: what is there already may be a link to somebody's file.
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
