"""Which experiments a path is in, is, or holds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from anipipe.config import Config, nearest, read_layer
from anipipe.engine.records import OWN_FOLDER
from anipipe.errors import ConfigError, UsageError
from anipipe.project.naming import natural

CONFIG = "config.toml"
#: Folder, in a session, that holds the configuration that the session was processed with.
RESOLVED_FOLDER = "config"
#: What is no experiment, and holds none.
_OF_THE_SYSTEM, _ENVIRONMENT = ("lost+found", "site-packages", "node_modules"), "pyvenv.cfg"
#: Folders within one another that are looked into; a loop of mounted disks has no end.
DEEPEST = 99
_LOOKED_AT = 200  # keys of a file, to know whose it is
_OF_A_FILE = re.compile(r"[^/]\.[A-Za-z]\w{0,4}$")


def find_experiments(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """Find the experiments that ``paths`` are in, are, or hold.

    Returns
    -------
    dict
        :attr:`Search.experiments`.

    Raises
    ------
    UsageError
        If a path does not exist, or no experiment is there.
    """
    search = Search()
    for path in paths:
        search.look(path)
    return search.experiments


@dataclass
class Search:
    """What was found under the paths that were looked at.

    Attributes
    ----------
    experiments : dict
        Experiment folder to the folders of it that were named; none if it was named as a whole. One that
        links lead to as well is one, under the name by which it was found first.
    lost : list of Path
        Links on the way that lead nowhere, as they do while a disk is not mounted; those to files by their
        names are none of ours.
    """

    experiments: dict[Path, list[Path]] = field(default_factory=dict)
    lost: list[Path] = field(default_factory=list)
    _named: dict[str, Path] = field(default_factory=dict, init=False)

    def look(self, path: Path) -> None:
        """Find the experiments that a path is in, is, or holds.

        Raises
        ------
        UsageError
            If it does not exist, or no experiment is there.
        """
        if not path.exists():
            raise UsageError(f"{path}: there is no such folder")
        path = absolute(path)
        folder = path if path.is_dir() else path.parent
        root = experiment_above(folder)
        if root is not None:
            self._add(root, folder)
            return
        below = list(self._below(folder, set()))
        if not below:
            raise UsageError(
                f"{path}: no {CONFIG} here, above or below, so this is no experiment; "
                "`anipipe init` writes one"
            )
        for root in below:
            self._add(root, root)

    def _add(self, root: Path, folder: Path) -> None:
        known = self._named.setdefault(os.path.realpath(root), root)
        is_new = known not in self.experiments
        parts = self.experiments.setdefault(known, [])
        if root == folder:
            parts.clear()
        elif (is_new or parts) and (part := known / folder.relative_to(root)) not in parts:
            parts.append(part)

    def _below(self, folder: Path, visited: set[tuple[int, int]], depth: int = 0) -> Iterator[Path]:
        """Yield the experiments in a folder; links are followed, each folder once."""
        if depth > DEEPEST:
            return
        try:
            stat = folder.stat()
            if (stat.st_dev, stat.st_ino) in visited:
                return
            visited.add((stat.st_dev, stat.st_ino))
            if (folder / _ENVIRONMENT).exists():  # of Python, with anipipe and its templates in it
                return
            if is_ours(folder / CONFIG):
                yield folder
                return
            entries = [
                entry
                for entry in sorted(os.scandir(folder), key=lambda entry: natural(entry.name))
                if entry.name[0] != "." and entry.name not in _OF_THE_SYSTEM
            ]
            below = [entry for entry in entries if entry.is_dir()]
            self.lost += [folder / entry.name for entry in entries if _is_lost(entry)]
        except OSError:
            yield folder  # what cannot be looked into is told as an experiment that cannot be opened
            return
        for entry in sorted(below, key=lambda entry: entry.is_symlink()):
            yield from self._below(folder / entry.name, visited, depth + 1)


def _is_lost(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry is a link that leads nowhere, and not to what its name says is a file."""
    if not entry.is_symlink() or os.path.exists(entry.path):  # noqa: PTH110 - never raises
        return False
    return not any(_OF_A_FILE.search(name) for name in (entry.name, str(Path(entry.path).readlink())))


def absolute(path: Path) -> Path:
    """Return an absolute path with its links as the user wrote them: a linked session stays where it is."""
    here = os.environ.get("PWD", "")  # the shell's idea of where we are, in which links are kept
    if not path.is_absolute() and here and Path(here).is_dir() and Path(here).samefile(Path()):
        path = Path(here) / path
    return Path(os.path.abspath(path))  # noqa: PTH100


def inside(root: Path, path: Path) -> str:
    """Return where a path lies in an experiment; a relative one may be meant from here or from there.

    Returns
    -------
    str
        Relative to ``root``, with forward slashes; empty for ``root`` itself.

    Raises
    ------
    UsageError
        If it lies elsewhere.
    """
    candidates = [absolute(path), absolute(root / path), path.resolve()]
    for candidate, base in zip(candidates, (root, root, root.resolve()), strict=True):
        if candidate.is_relative_to(base) and (candidate.exists() or candidate is candidates[1]):
            relative = candidate.relative_to(base).as_posix()
            return "" if relative == "." else relative
    raise UsageError(f"{path}: lies outside the experiment {root}")


def is_ours(path: Path) -> bool:
    """Say whether a ``config.toml`` is meant for anipipe: other programs use that name, and results too."""
    if path.parent.name == RESOLVED_FOLDER or not path.is_file():
        return False
    try:
        values = read_layer(path).values
    except ConfigError:
        return True  # broken: let it be named rather than passed over
    known = list(Config.model_fields)
    return not values or any(nearest(name, known) for name in islice(values, _LOOKED_AT))


def experiment_above(folder: Path) -> Path | None:
    """Return the topmost folder, from ``folder`` upwards, whose ``config.toml`` is one of ours.

    What has been processed before stays an experiment, whatever turns up above it later.
    """
    ours = [candidate for candidate in (folder, *folder.parents) if is_ours(candidate / CONFIG)]
    processed = [candidate for candidate in ours if (candidate / OWN_FOLDER / "runs").is_dir()]
    return next(iter(reversed(processed or ours)), None)


def judge_link(root: Path, link: str) -> tuple[bool, str]:
    """Say whether a linked folder is to be looked into, and what a user should know about it.

    Parameters
    ----------
    root : Path
        Of the experiment.
    link : str
        Relative to it.
    """
    target, here = (root / link).resolve(), root.resolve()
    if here != target and here.is_relative_to(target):
        return False, f"{link}: passed over, it is a link to {target}, which holds this experiment"
    other = experiment_above(target.parent)
    if other is None or other.resolve() == here:
        return True, ""
    return True, (
        f"{link} is a link into another experiment, {other}: results are written there, over those of its "
        "own; link its folder of videos into a session of this experiment instead"
    )
