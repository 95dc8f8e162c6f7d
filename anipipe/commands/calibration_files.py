"""Which calibrations a path names, and which sessions use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from anipipe.artifacts import CALIBRATION
from anipipe.engine.declare import Unit
from anipipe.errors import UsageError
from anipipe.project import Experiment, experiment_above, find_experiments, walk


@dataclass
class Source:
    """A calibration, and what there is to hold it against.

    Attributes
    ----------
    path
        The file.
    root
        Of its experiment; None if it is in none.
    unit
        The experiment's calibration that it is; None if it is none of them.
    sessions
        The sessions that use it, of those that were asked for.
    """

    path: Path
    root: Path | None = None
    unit: Unit | None = None
    sessions: list[Unit] = field(default_factory=list)


def find(paths: Sequence[Path]) -> list[Source]:
    """Find the calibrations that paths name.

    Parameters
    ----------
    paths
        Calibration files, or folders that are, hold or lie in experiments, or hold a calibration.toml.

    Raises
    ------
    UsageError
        A path that does not exist, or where there is no calibration.
    """
    found: dict[Path, Source] = {}
    for path in paths or (Path(),):
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder")
        for source in _of_path(path):
            same = found.setdefault(source.path.resolve(), source)
            same.sessions += [session for session in source.sessions if session not in same.sessions]
    return list(found.values())


def _of_path(path: Path) -> list[Source]:
    folder = path if path.is_dir() else path.parent
    file = path if path.is_file() else path / "calibration.toml"
    root = experiment_above(folder.absolute())
    known = []
    for top in [root] if root is not None else [] if file.is_file() else find_experiments([path]):
        known += _of_experiment(walk(top))
    chosen = [source for source in known if file.is_file() and source.path.resolve() == file.resolve()]
    if chosen or file.is_file():
        return chosen or [Source(file)]
    here = folder.resolve()
    for source in known:
        if source.path.resolve().is_relative_to(here):
            chosen.append(source)  # with all of its sessions
            continue
        assert source.root is not None
        within = [s for s in source.sessions if (source.root / s.home).resolve().is_relative_to(here)]
        within = within or [
            s for s in source.sessions if here.is_relative_to((source.root / s.home).resolve())
        ]
        if within:
            chosen.append(replace(source, sessions=within))
    there = [source for source in chosen if source.path.is_file()]
    if not there:
        lacking = (
            f"; {chosen[0].path} is not there, `anipipe calibrate --upstream` makes it" if chosen else ""
        )
        raise UsageError(f"{path}: no calibration here{lacking}")
    return there


def _of_experiment(experiment: Experiment) -> list[Source]:
    sources = []
    for unit in experiment.of("calibration"):
        path = experiment.root / CALIBRATION.paths(unit)[0]
        sessions = [s for s in experiment.of("session") if unit in s.related["calibration"]]
        sources.append(Source(path, experiment.root, unit, sessions))
    return sources
