"""What runs that were killed have left unfinished."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from anipipe.commands.opening import Opened
from anipipe.engine.committing import link_in
from anipipe.engine.perform import TEMPORARY
from anipipe.engine.records import OWN_FOLDER
from anipipe.project.naming import join

#: Unfinished outputs, and what their workers say of hanging, with the token of the lock of their run.
_UNFINISHED = re.compile(rf"{re.escape(TEMPORARY)}([0-9a-f]{{8}})-.+")
#: Unfinished notes, attempts to take the lock, and probes of the clock; by the folder that they are in.
_NOTES = {
    OWN_FOLDER: re.compile(r"(lock|clock|doctor)\.[0-9a-f]{8}|lock\.turn|(stats|records)\.\d+\.tmp"),
    f"{OWN_FOLDER}/runs": re.compile(r"\..+\.tmp"),
    "{summaries}": re.compile(rf"{re.escape(TEMPORARY)}missing\.csv"),
}
_AGE = 3600.0  # seconds; others may be about to use younger notes, lock or no lock


def find_leftovers(opened: Opened, homes: Iterable[str], *, spare: str) -> Iterator[str]:
    """Yield what is unfinished in folders of ours, relative to the root.

    Parameters
    ----------
    opened : Opened
    homes : iterable of str
        Sessions, and other folders that keep records.
    spare : str
        Token of the run that is under way, if one is: its files are left out.
    """
    root, config = opened.experiment.root, opened.experiment.settings.config
    names = {unit.home: unit.names for unit in opened.experiment.units if unit.kind != "experiment"}
    outputs = {a.pattern.rpartition("/")[0] for stage in opened.plan.registry for a in stage.outputs}
    for home in homes:
        own = {**dict(config.pipeline), **names.get(home, {}), "session": f"{home}/" if home else ""}
        for pattern in sorted({*outputs, "{session}{videos_raw}", OWN_FOLDER} - {""}):
            folder = pattern.format_map(own)
            for name, _ in _files(root, folder) if home == "" or "{session}" in pattern else ():
                unfinished = _UNFINISHED.fullmatch(name)
                if unfinished and unfinished[1] != spare:
                    yield f"{folder}/{name}"
        for pattern, known in _NOTES.items():
            folder = join(home, pattern.format_map(own))
            for name, age in _files(root, folder):
                if known.fullmatch(name) and age > _AGE:
                    yield f"{folder}/{name}"


def _files(root: Path, folder: str) -> list[tuple[str, float]]:
    """Return the files in a folder with their ages in seconds; none if it is behind a link."""
    now, found = time.time(), []
    if not link_in(root, folder):
        with contextlib.suppress(OSError), os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    found.append((entry.name, now - entry.stat(follow_symlinks=False).st_mtime))
    return sorted(found)
