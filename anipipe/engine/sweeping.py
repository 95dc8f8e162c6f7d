"""Unfinished outputs that a run may leave behind when it is killed, and their removal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from anipipe.engine.journal import runs_folder
from anipipe.engine.perform import TEMPORARY
from anipipe.engine.progress import FileMeter
from anipipe.engine.records import OWN_FOLDER


class Sweeper:
    """Removes what was left unfinished, if the last run may have left anything.

    A mark on disk says that a run is under way; one that is found at the start is of a run that was cut
    short. Looking into every folder is spared otherwise.

    Parameters
    ----------
    root : Path
    folders : iterable of Path
        Where outputs go.
    """

    def __init__(self, root: Path, folders: Iterable[Path]) -> None:
        self._mark = root / OWN_FOLDER / "unfinished"
        self._folders = list(folders)
        self._own = (root / OWN_FOLDER, runs_folder(root))
        self._needed = self._mark.exists()

    def begin(self) -> None:
        """Remove what an earlier run left, and mark this one as begun."""
        if self._needed:
            self._sweep()
        self._mark.unlink(missing_ok=True)  # were it a link, something elsewhere would be touched
        self._mark.touch()

    def end(self, *, clean: bool) -> None:
        """Take the mark away; unless everything went well, remove what this run left first.

        What orphaned workers of a killed run wrote after the start of this one goes now too.
        """
        if self._needed or not clean:
            self._sweep()
        with contextlib.suppress(OSError):
            self._mark.unlink(missing_ok=True)

    def leave(self) -> None:
        """Have a later run remove what this one left, since another has the experiment now."""
        with contextlib.suppress(OSError):
            self._mark.touch()

    def _sweep(self) -> None:
        own = {*self._own, *(folder.parent / OWN_FOLDER for folder in self._folders)}
        drafts = [path for folder in own for path in _named(folder, _is_draft)]
        outputs = [path for folder in self._folders for path in _named(folder, _is_unfinished)]
        for path in (*drafts, *outputs, *FileMeter.abandoned()):
            with contextlib.suppress(OSError):
                path.unlink()


def _is_unfinished(name: str) -> bool:
    return name.startswith(TEMPORARY)


def _is_draft(name: str) -> bool:
    return name.endswith(".tmp")


def _named(folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder) if wanted(name)]
    except OSError:
        return []
